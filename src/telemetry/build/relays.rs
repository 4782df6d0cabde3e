//! What relays say of themselves.

use std::sync::Arc;

use super::{Own, gauge, to_f64};
use crate::model::{DeadReason, RelayFacts, UnixMs};
use crate::telemetry::catalogue::{self as metrics, Metric, key};
use crate::telemetry::process::ProcessState;
use crate::telemetry::snapshot::SharedAttributes;

type Amount<'a> = &'a dyn Fn(&RelayFacts) -> f64;

impl Own<'_> {
    /// What was sent and given up is durable; attempts and failures are the process's.
    pub(super) fn relays(&mut self, process: &ProcessState, now: UnixMs) {
        let shared = |name: &str| -> SharedAttributes { Arc::new([(key::RELAY, name.to_owned())]) };
        for relay in &process.relays {
            self.counter(&metrics::RELAY_SENT, shared(&relay.name), None, relay.sent);
        }
        for relay in &process.relays {
            for (reason, dead) in DeadReason::ALL.into_iter().zip(relay.dead) {
                let own = Some((key::REASON, reason.as_str()));
                self.counter(&metrics::RELAY_DEAD, shared(&relay.name), own, dead);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "an age stays far below 2^53 ms")]
        let age = |relay: &RelayFacts| relay.oldest.map_or(0, |at| now.since(at).max(0)) as f64 / 1000.0;
        let families: [(&'static Metric, Amount<'_>); 3] = [
            (&metrics::RELAY_DEAD_KEPT, &|relay| to_f64(relay.kept)),
            (&metrics::RELAY_QUEUED, &|relay| to_f64(relay.waiting)),
            (&metrics::RELAY_OLDEST, &age),
        ];
        for (metric, value) in families {
            for relay in &process.relays {
                self.points.push(gauge(metric, shared(&relay.name), [None, None], value(relay)));
            }
        }
        for (name, stats) in &process.relay_stats {
            self.own(&metrics::RELAY_ATTEMPTS, shared(name), None, stats.attempts);
        }
        for (name, stats) in &process.relay_stats {
            for (reason, n) in &stats.failures {
                let own = Some((key::REASON, reason.as_str()));
                self.own(&metrics::RELAY_FAILURES, shared(name), own, *n);
            }
        }
        for (name, stats) in &process.relay_stats {
            self.own(&metrics::RELAY_RETRIES, shared(name), None, stats.retries);
        }
    }
}
