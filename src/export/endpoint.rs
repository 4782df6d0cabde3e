//! The task of one endpoint: when to push, when to wait, what to say.
//!
//! Invariants: a full push every interval; a change is pushed at once, but never two pushes within 250 ms;
//! after a failure nothing is sent until the wait is over, and then a full, fresh snapshot. One line is logged
//! when an endpoint begins to fail and one when it takes metrics again. A new target is served at once, with a full
//! push, and what was known of the endpoint stays known: a push that it cut short is harmless. Deliberately absent:
//! queues, and any knowledge of other endpoints.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::backoff;
use super::bisect::Halt;
use super::push::{Feed, Pushed, Pusher};
use super::remedy::{Signal, remedy};
use super::target::{Targets, replaced};
use super::transport::{Deliver, Renewing};
use crate::config::{EndpointConfig, Protocol};
use crate::model::{EndpointState, UnixMs};

/// Least time between two pushes.
const GAP: Duration = Duration::from_millis(250);
/// Time for the last push at shutdown.
const LAST_PUSH: Duration = Duration::from_secs(3);

/// Serves one endpoint until `shutdown` turns true or its sender is gone; then pushes once more, within 3 s.
///
/// `state` is what the ledger has stored for the endpoint, and `targets` what to push to, now and later. Every failure is logged, counted and retried here.
pub async fn run(
    mut targets: Targets,
    feed: Feed,
    state: EndpointState,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut target = Arc::clone(&targets.borrow_and_update());
    let transport = |target: &super::Target| Renewing::new(Arc::new(target.endpoint.clone()));
    let mut health = Health::new(target.endpoint.protocol, state.name.clone());
    let feed = Feed { resource: target.resource.clone(), ..feed };
    let mut pusher = Pusher::new(feed, state, target.endpoint.interval_ms, transport(&target));
    loop {
        let next = replaced(&mut targets);
        match serve(&target.endpoint, (&mut pusher, &mut health), &mut shutdown, next).await {
            Next::Stop => break,
            Next::Replaced => {}
        }
        target = Arc::clone(&targets.borrow_and_update());
        health.protocol = target.endpoint.protocol;
        pusher.aim(target.resource.clone(), target.endpoint.interval_ms, transport(&target));
    }
    last_push(&target.endpoint, &mut pusher).await;
}

/// [`run`] with any transport, and the same target for ever.
#[cfg(test)]
pub(crate) async fn run_with<D: Deliver>(
    config: &EndpointConfig,
    feed: Feed,
    state: EndpointState,
    mut shutdown: watch::Receiver<bool>,
    transport: D,
) {
    let mut health = Health::new(config.protocol, state.name.clone());
    let mut pusher = Pusher::new(feed, state, config.interval_ms, transport);
    let never = std::future::pending();
    _ = serve(config, (&mut pusher, &mut health), &mut shutdown, never).await;
    last_push(config, &mut pusher).await;
}

/// Why a target is not served any more.
enum Next {
    Stop,
    Replaced,
}

async fn serve<D: Deliver>(
    config: &EndpointConfig,
    (pusher, health): (&mut Pusher<D>, &mut Health),
    shutdown: &mut watch::Receiver<bool>,
    replaced: impl Future<Output = ()>,
) -> Next {
    let mut changed = pusher.feed.changed.clone();
    let mut schedule = Schedule::new(config.interval_ms);
    let mut watching = true;
    tokio::pin!(replaced);
    loop {
        tokio::select! {
            biased;
            () = stopped(shutdown) => return Next::Stop,
            () = &mut replaced => return Next::Replaced,
            () = sleep_until(schedule.due()) => {}
            change = changed.changed(), if watching && !schedule.dirty => {
                watching = change.is_ok();
                schedule.dirty = watching;
                continue;
            }
        }
        let full = schedule.full_is_due();
        schedule.dirty = false;
        // What changes from here on may be missing in the snapshot and must wake us again.
        changed.mark_unchanged();
        let started = Instant::now();
        let pushed = tokio::select! {
            biased;
            () = stopped(shutdown) => return Next::Stop,
            () = &mut replaced => return Next::Replaced,
            pushed = pusher.push(full) => pushed,
        };
        health.learn(&pushed, (pusher.feed.now)());
        schedule.learn(&pushed, full, started);
    }
}

async fn last_push<D: Deliver>(config: &EndpointConfig, pusher: &mut Pusher<D>) {
    let last = timeout(LAST_PUSH, pusher.push(true)).await;
    if !matches!(last, Ok(Pushed::Complete { .. })) {
        warn!(
            endpoint = config.name,
            "the last push at shutdown was not taken; nothing is lost, the next start pushes all totals"
        );
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// When the next push is due.
struct Schedule {
    interval: Duration,
    next_full: Instant,
    /// No push before.
    earliest: Instant,
    /// Totals changed since the last push.
    dirty: bool,
    /// Changes wait for the full push.
    quiet: bool,
    failures: u32,
}

impl Schedule {
    fn new(interval_ms: u64) -> Self {
        let now = Instant::now();
        Self {
            interval: Duration::from_millis(interval_ms),
            next_full: now,
            earliest: now,
            dirty: false,
            quiet: false,
            failures: 0,
        }
    }

    fn due(&self) -> Instant {
        let wanted = if self.dirty && !self.quiet { self.earliest } else { self.next_full };
        wanted.min(self.next_full).max(self.earliest)
    }

    fn full_is_due(&self) -> bool {
        self.failures > 0 || Instant::now() >= self.next_full
    }

    fn learn(&mut self, pushed: &Pushed, full: bool, started: Instant) {
        let now = Instant::now();
        let wait = match pushed {
            Pushed::Complete { costly } => {
                self.failures = 0;
                self.quiet = *costly;
                if full {
                    self.next_full = started + self.interval;
                }
                GAP
            }
            Pushed::HeldBack => self.back_off(None),
            Pushed::Failed(halt) => self.back_off(halt.after_ms),
        };
        self.earliest = now + wait.max(GAP);
        if self.failures > 0 {
            self.next_full = self.earliest;
        }
    }

    fn back_off(&mut self, after_ms: Option<u64>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let random = || backoff::wait_ms(self.failures, fastrand::u64(..));
        Duration::from_millis(after_ms.unwrap_or_else(random))
    }
}

/// What was said about the endpoint.
struct Health {
    protocol: Protocol,
    name: String,
    failing_since: Option<UnixMs>,
    holding_back: bool,
}

impl Health {
    const fn new(protocol: Protocol, name: String) -> Self {
        Self { protocol, name, failing_since: None, holding_back: false }
    }

    fn learn(&mut self, pushed: &Pushed, now: UnixMs) {
        let endpoint = self.name.as_str();
        match pushed {
            Pushed::Failed(Halt { failure, message, .. }) if self.failing_since.is_none() => {
                self.failing_since = Some(now);
                warn!(
                    endpoint,
                    reason = failure.as_str(),
                    "endpoint does not take metrics: {message}; {}. Nothing is lost: pushes go on and hold all \
                     totals",
                    remedy(*failure, self.protocol, Signal::Metrics)
                );
            }
            Pushed::Failed(_) => {}
            Pushed::HeldBack | Pushed::Complete { .. } => {
                if let Some(since) = self.failing_since.take() {
                    info!(endpoint, "endpoint takes metrics again after {} s", now.since(since) / 1000);
                }
            }
        }
        match (pushed, self.holding_back) {
            (Pushed::HeldBack, false) => {
                self.holding_back = true;
                warn!(
                    endpoint,
                    "the ledger cannot store how far the endpoint was served: new series are held back until it \
                     can; see to its disk"
                );
            }
            (Pushed::Complete { .. }, true) => self.holding_back = false,
            _ => {}
        }
    }
}
