//! A simulated OpenClaw gateway: it writes the real formats into a directory and knows what was billed.
//!
//! The `demo` command, the tests and the benches share it, so it does to its files what OpenClaw does:
//! one append per record, the prune by temporary file and rename, the rewritten job list, logs that stay
//! when their job goes. Formats and habits were taken from recorded state directories of 2026.2.17 and
//! 2026.5.28.
//!
//! Invariants:
//! - Equal options, seed and times give equal bytes, however finely [`Gateway::step`] is called.
//! - A run is in the [`Bill`] exactly when its record was handed to the file system.
//! - Failed runs fail before the provider bills, and a record with usage carries the input and output that
//!   were billed: whoever counts every record once arrives at the bill.
//! - `runAtMs` is unique per job.
//!
//! Deliberately absent: a clock and any waiting (every operation takes its time as a value), transcripts,
//! the stores in SQLite, webhooks.

mod bill;
mod catalogue;
pub mod command;
pub mod corpus;
mod error;
mod faults;
mod gateway;
mod jobs;
mod plan;
mod prefill;
mod provider;
mod record;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use bill::{Bill, JobBill, Tokens};
pub use error::Error;
pub use faults::Torn;
pub use gateway::{Finished, Gateway, Options, WrittenRun};
pub use jobs::Job;
pub use record::{RecordUsage, RunRecord};
pub use writer::RunLogWriter;

/// Which OpenClaw is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// 2026.2.17, the first with usage in its records: job state inside `jobs.json`, files 0644, a failed
    /// provider call is recorded as `ok`.
    V2026_2_17,
    /// 2026.5.28, the last that writes run logs: `jobs-state.json`, files 0600 and a chmod with every
    /// append, delivery traces, diagnostics.
    #[default]
    V2026_5_28,
}

/// Returns a random UUID (version 4) as OpenClaw writes its ids.
fn uuid(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..);
    let bits = (bits & !(0xf << 76)) | (4 << 76);
    let hex = format!("{:032x}", (bits & !(3 << 62)) | (2 << 62));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
