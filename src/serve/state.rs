//! What the core, the HTTP surface and the exporters share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outbox::SinkStats;
use crate::clock::process_cpu_ns;
use crate::ledger::SharedTotals;
use crate::model::UnixMs;
use crate::telemetry::{EndpointStats, ProcessState, Snapshot, SnapshotBuilder, WebhookStats};

/// Shared by all parts of a running daemon.
pub struct Shared {
    totals: SharedTotals,
    builder: Mutex<SnapshotBuilder>,
    process: Mutex<ProcessState>,
    endpoints: Vec<(String, Arc<Mutex<EndpointStats>>)>,
    sinks: SinkStats,
    readiness: Mutex<Readiness>,
    webhook: Option<Arc<Mutex<WebhookStats>>>,
}

/// What stands in the way of being ready; nothing if all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Why the sources cannot be read.
    pub source: Option<String>,
    /// Why the ledger cannot be written.
    pub ledger: Option<String>,
    /// What is wrong with the job list or the gateway's configuration; does not make it unready.
    pub note: Option<String>,
}

impl Shared {
    /// Brings the parts together.
    #[must_use]
    pub fn new(
        totals: SharedTotals,
        process: ProcessState,
        endpoints: Vec<(String, Arc<Mutex<EndpointStats>>)>,
        sinks: SinkStats,
    ) -> Self {
        Self {
            totals,
            builder: Mutex::default(),
            process: Mutex::new(process),
            endpoints,
            sinks,
            readiness: Mutex::new(Readiness { source: Some("starting".into()), ..Readiness::default() }),
            webhook: None,
        }
    }

    /// Shows how a receiver of webhooks fares, if there is one.
    #[must_use]
    pub fn with_webhook(self, webhook: Option<Arc<Mutex<WebhookStats>>>) -> Self {
        Self { webhook, ..self }
    }

    /// Returns all points of this moment.
    #[must_use]
    pub fn snapshot(&self, now: UnixMs) -> Snapshot {
        let mut process = lock(&self.process).clone();
        process.cpu_ns = process_cpu_ns();
        process.resident_bytes = resident_bytes();
        process.endpoints =
            self.endpoints.iter().map(|(name, stats)| (name.clone(), lock(stats).clone())).collect();
        process.sinks = self.sinks.iter().map(|(name, stats)| (name.clone(), lock(stats).clone())).collect();
        process.webhook = self.webhook.as_ref().map(|stats| lock(stats).clone());
        let mut builder = lock(&self.builder);
        builder.build(&lock(&self.totals), &process, now)
    }

    /// Returns the revision of the totals.
    #[must_use]
    pub fn revision(&self) -> u64 {
        lock(&self.totals).revision
    }

    /// Changes what the process says of itself.
    pub fn update(&self, change: impl FnOnce(&mut ProcessState, &mut Readiness)) {
        change(&mut lock(&self.process), &mut lock(&self.readiness));
    }

    /// Returns what stands in the way of being ready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        lock(&self.readiness).clone()
    }
}

/// Returns the memory that this process holds, in bytes; `None` where there is no `/proc`.
fn resident_bytes() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Locks; a panic elsewhere ends the process, so that a poisoned lock is never met.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
