//! What the core, the HTTP surface and the exporters share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::relay::RelayStatsByName;
use super::tasks::Stats;
use crate::clock::process_cpu_ns;
use crate::ledger::SharedTotals;
use crate::model::UnixMs;
use crate::telemetry::{ProcessState, Snapshot, SnapshotBuilder, WebhookStats};

/// Shared by all parts of a running daemon.
pub struct Shared {
    totals: SharedTotals,
    builder: Mutex<SnapshotBuilder>,
    process: Mutex<ProcessState>,
    endpoints: Mutex<Stats>,
    sinks: Mutex<Stats>,
    relays: Mutex<RelayStatsByName>,
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
    pub fn new(totals: SharedTotals, process: ProcessState) -> Self {
        Self {
            totals,
            builder: Mutex::default(),
            process: Mutex::new(process),
            endpoints: Mutex::default(),
            sinks: Mutex::default(),
            relays: Mutex::default(),
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
        process.endpoints = standing(&self.endpoints);
        process.sinks = standing(&self.sinks);
        process.relay_stats = standing(&self.relays);
        process.webhook = self.webhook.as_ref().map(|stats| lock(stats).clone());
        let mut builder = lock(&self.builder);
        builder.build(&lock(&self.totals), &process, now)
    }

    /// Shows how these endpoints fare, and no others.
    pub fn set_endpoints(&self, stats: Stats) {
        *lock(&self.endpoints) = stats;
    }

    /// Shows how these sinks of events fare, and no others.
    pub fn set_sinks(&self, stats: Stats) {
        *lock(&self.sinks) = stats;
    }

    /// Shows how these relays fare, and no others.
    pub fn set_relays(&self, stats: RelayStatsByName) {
        *lock(&self.relays) = stats;
    }

    /// Returns where each relay says how it fares.
    pub fn relays(&self) -> RelayStatsByName {
        lock(&self.relays).clone()
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

/// What several tasks count, by their names.
type ByName<T> = Vec<(String, Arc<Mutex<T>>)>;

fn standing<T: Clone>(stats: &Mutex<ByName<T>>) -> Vec<(String, T)> {
    lock(stats).iter().map(|(name, stats)| (name.clone(), lock(stats).clone())).collect()
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
