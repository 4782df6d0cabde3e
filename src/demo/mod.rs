//! A simulated OpenClaw gateway: it writes the real formats into a directory and knows what was billed.
//!
//! The `demo` command, the tests and the benches share it, so it does to its files what OpenClaw does:
//! one append per record, the prune by temporary file and rename, the rewritten job list, logs that stay
//! when their job goes, rows that are inserted at the start of a run and updated at its end, and the imports and
//! renames of an upgrade. Formats and habits were taken from recorded state directories of 2026.2.17, 2026.5.28,
//! 2026.6.11 and 2026.9.6.
//!
//! Invariants:
//! - Equal options, seed and times give equal files and rows, however finely [`Gateway::step`] is called.
//! - A run is in the [`Bill`] exactly when its record was handed to the file system or committed.
//! - Failed runs fail before the provider bills, and a record with usage carries the input and output that
//!   were billed: whoever counts every record once arrives at the bill.
//! - `runAtMs` is unique per job, over upgrades and rollbacks too.
//!
//! Deliberately absent: a clock and any waiting (every operation takes its time as a value), transcripts,
//! the posts of webhooks, the file in which 2026.5.28 keeps a ledger of tasks (its rows appear with the upgrade).

mod bill;
mod catalogue;
pub mod command;
pub mod corpus;
mod delivery;
mod detail;
mod error;
mod faults;
mod gateway;
mod gateway_log;
mod generation;
mod incident;
mod jobs;
mod plan;
mod prefill;
mod provider;
mod record;
mod schedule;
mod sqlite;
mod store;
mod upgrade;
mod writer;

#[cfg(test)]
mod tests;

pub use bill::{Bill, JobBill, Tokens};
pub use error::Error;
pub use faults::Torn;
pub use gateway::{Finished, Gateway, Options, Scene, WrittenRun};
pub use gateway_log::Said;
pub use generation::{CacheShown, Generation, Store};
pub use incident::Incident;
pub use jobs::Job;
pub use record::{RecordUsage, RunRecord};
pub use sqlite::{CronRunLogsWriter, TaskId, TaskRunsWriter};
pub use writer::RunLogWriter;

/// Returns a random UUID (version 4) as OpenClaw writes its ids.
fn uuid(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..);
    let bits = (bits & !(0xf << 76)) | (4 << 76);
    let hex = format!("{:032x}", (bits & !(3 << 62)) | (2 << 62));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
