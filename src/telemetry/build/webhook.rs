//! What our own receiver of webhooks says of itself: nothing if there is none.

use super::{Own, ProcessState, metrics};
use crate::telemetry::catalogue::key;
use crate::telemetry::snapshot::{HistogramValue, Point, SharedAttributes, Value};
use crate::telemetry::webhook::{WEBHOOK_BOUNDS_MS, WebhookError};

impl Own<'_> {
    /// Every value of a closed list is shown, also the zeros: counters of a process begin with it.
    pub(super) fn webhook(&mut self, process: &ProcessState) {
        let Some(stats) = &process.webhook else { return };
        let shared = || -> SharedAttributes { [(key::CHANNEL, "cron".to_owned())].into() };
        for (outcome, n) in [("new", stats.new), ("repeated", stats.repeated)] {
            self.own(&metrics::WEBHOOK_RECEIVED, shared(), Some((key::OUTCOME, outcome)), n);
        }
        for error in WebhookError::ALL {
            let n = stats.errors.get(&error).copied().unwrap_or(0);
            self.own(&metrics::WEBHOOK_ERRORS, shared(), Some((key::REASON, error.as_str())), n);
        }
        let (counts, sum) = (stats.durations.to_vec(), stats.took_us / 1_000);
        let value = Value::Histogram(HistogramValue { bounds: &WEBHOOK_BOUNDS_MS, counts, sum });
        let metric = &metrics::WEBHOOK_DURATION;
        self.points.push(Point { metric, shared: shared(), own: [None, None], value, series: None });
    }
}
