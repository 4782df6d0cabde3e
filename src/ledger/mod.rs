//! The durable count: all SQL of ours.
//!
//! One transaction per batch moves the position, the runs and the counters together, or nothing:
//!
//! | A record arrives | Outcome |
//! |---|---|
//! | key unknown | insert, count |
//! | key known, same content | nothing (`duplicate`) |
//! | key known, better provenance or a missing field now known | update, count the difference |
//! | key known, contradicting value of equal standing | keep the first, count `conflict` |
//! | key older than what retention has folded away | nothing (`expired`) |
//! | not countable | reject with its reason; the position moves on |
//!
//! Invariants: one writer per ledger; exported counters never fall; what readers of [`Totals`] see has been
//! committed. Deliberately absent: where records come from and where totals go.

mod ahead;
mod apply;
mod audit;
mod backup;
mod book;
mod calls;
mod commit;
mod endpoints;
mod events;
mod fold;
mod growth;
mod identify;
mod in_memory;
mod jobs;
mod labels;
mod memory;
mod merge;
mod notices;
mod open;
mod outbox;
mod positions;
mod pricing;
mod read;
mod relays;
mod restore;
mod rows;
mod schema;
mod segments;
mod series;
mod store;
mod totals;
mod usage;
mod used;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use crate::model::UnixMs;

pub use apply::Applied;
pub use audit::Check;
pub use backup::{BackupError, back_up};
pub use growth::{Counted, Growth};
pub use labels::{JobLabel, Labels};
pub use merge::Outcome;
pub use open::{DEFAULT_GATEWAY, OpenOptions, Opened, Origin, set_aside};
pub use outbox::{Describe, OutboxSettings};
pub use pricing::{Pricing, Spent};
pub use read::{LedgerReader, Summary, UsedModel};
pub use relays::{RelayRule, Wants};
pub use restore::{Continuation, RestoreOptions, Restored, restore};
pub use totals::{
    CONTEXT_BOUNDS, ContextKind, Counters, DURATION_BOUNDS_MS, Histogram, JobFacts, RUN_TOKENS_BOUNDS,
    Series, SeriesKind, SharedTotals, SourceFacts, Totals,
};
pub use usage::{FoldedRuns, UsageReader, UsedJob, UsedPart, UsedRun, Window};
pub use witness::IsOurs;

/// How much earlier than its creation a series starts, in milliseconds: one push interval, so that the zero
/// point at its start lies one interval before its first value.
pub const ZERO_LEAD_MS: i64 = 15_000;

/// Why the ledger could not do its job. Nothing has moved then.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process writes to it.
    #[error(
        "the ledger {path} is in use by another process; stop that one, or give this one its own with --ledger"
    )]
    InUse {
        /// The ledger.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "the ledger {path} has schema {found}, this version knows {known}; run the newer version, or move the file aside to rebuild from the sources"
    )]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// An older version wrote it, and a reader must not change it.
    #[error(
        "the ledger {path} has schema {found}, this version reads {known}; start `serve` of this version once, which brings it up to date, or read the gateway's files with --state-dir"
    )]
    Older {
        /// The ledger.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is a file of something else.
    #[error("{path} is no ledger of openclaw-usage and was not touched; give another path with --ledger")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another gateway.
    #[error(
        "the ledger {path} belongs to the gateway {found:?}, not {given:?}; give this gateway its own with --ledger, or leave out --gateway"
    )]
    OtherGateway {
        /// The ledger.
        path: PathBuf,
        /// The gateway in it.
        found: String,
        /// The gateway asked for.
        given: String,
    },
    /// It is damaged.
    #[error("the ledger {path} is damaged: {detail}; `serve` moves it aside and rebuilds from the sources")]
    Corrupt {
        /// The ledger.
        path: PathBuf,
        /// SQLite's finding.
        detail: String,
    },
    /// There is no ledger to read.
    #[error("there is no ledger at {path}; `serve` makes one")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The directory or file cannot be written.
    #[error(
        "cannot write the ledger {path}: {detail}; make the directory writable for this user, or give another with --ledger"
    )]
    NotWritable {
        /// The ledger.
        path: PathBuf,
        /// The system's word.
        detail: String,
    },
    /// The disk is full.
    #[error(
        "cannot write the ledger {path}: the disk is full; free some space, counting goes on by itself then"
    )]
    DiskFull {
        /// The ledger.
        path: PathBuf,
    },
    /// The batch does not begin where the source was left.
    #[error("the batch of {source_id} does not begin at the stored position; it is read again from there")]
    Position {
        /// The source.
        source_id: String,
    },
    /// Anything else that SQLite says.
    #[error("the ledger {path} failed: {source}; the last batch was not counted and is tried again")]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

impl LedgerError {
    /// Sorts an error of SQLite's into what the operator can do about it.
    fn of(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
            PermissionDenied, ReadOnly,
        };
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::DiskFull { path },
            Some(DatabaseCorrupt | NotADatabase) => Self::Corrupt { path, detail: error.to_string() },
            Some(ReadOnly | CannotOpen | PermissionDenied) => {
                Self::NotWritable { path, detail: error.to_string() }
            }
            Some(DatabaseBusy | DatabaseLocked) => Self::InUse { path },
            _ => Self::Sqlite { path, source: error },
        }
    }
}

/// The one writer of a ledger.
pub struct Ledger {
    path: PathBuf,
    connection: Connection,
    /// Held for as long as the ledger is open; unlocked by the system when the process ends. `None`: it is in memory.
    lock: Option<std::fs::File>,
    /// The file that the connection writes to, to notice its deletion.
    file: crate::model::FileId,
    book: book::Book,
    totals: SharedTotals,
    /// What things cost.
    pricing: Pricing,
    /// By how much spending moved since it was last asked for.
    spent: Vec<Spent>,
    spent_overflowed: bool,
    /// What is committed and not shown yet: see [`Ledger::hold`].
    held: Option<series::Held>,
    /// The job whose segments are built next.
    unpacked: usize,
    /// What events say, and who is told of them.
    outbox: Option<OutboxSettings>,
    /// The services that are told of them.
    relays: Vec<relays::Relay>,
    /// Whether one of them passes on what runs say.
    summaries: Arc<std::sync::atomic::AtomicBool>,
    /// Whether a webhook is our own receiver.
    is_ours: IsOurs,
}

impl Ledger {
    /// Returns the totals, which follow every commit.
    #[must_use]
    pub fn totals(&self) -> SharedTotals {
        Arc::clone(&self.totals)
    }

    /// Returns the gateway's persisted name.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.book.gateway
    }

    /// Returns where the ledger is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns when the newest record was written down by OpenClaw; `None` before the first.
    #[must_use]
    pub fn newest_record(&self) -> Option<UnixMs> {
        self.book.counters.sources.values().filter_map(|source| source.last_record).max()
    }

    /// Returns whether no source was read into it yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.book.positions.is_empty()
    }

    /// Shows so many jobs under their own id from now on. Those that are already keep it.
    pub const fn set_max_jobs(&mut self, max_jobs: usize) {
        self.book.settings.max_jobs = max_jobs;
    }

    /// Makes each commit wait for the disk, or not.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_full_sync(&self, full_sync: bool) -> Result<(), LedgerError> {
        open::set_synchronous(&self.connection, full_sync).map_err(|error| self.failed(error))
    }

    /// Returns how much disk the ledger takes up, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        open::size(&self.path)
    }

    fn failed(&self, error: rusqlite::Error) -> LedgerError {
        LedgerError::of(&self.path, error)
    }

    /// Brings what is held in memory back to what is committed, after a transaction that was rolled back.
    fn reload(&mut self) -> Result<(), LedgerError> {
        if self.book.runs.is_some() {
            // There is nothing but what is held; records that are told again are known.
            self.book.stale = false;
            return Ok(());
        }
        let (book, totals) =
            store::load(&self.connection).map_err(|error| LedgerError::of(&self.path, error))?;
        let before = std::mem::replace(&mut self.book, book);
        self.book.settings = before.settings;
        for job in before.jobs.iter().filter(|job| job.is_witnessed) {
            if let Some(at) = self.book.job_index.get("", &job.facts.job_id) {
                self.book.jobs[at].is_witnessed = true;
            }
        }
        match &mut self.held {
            None => totals::replace(&self.totals, totals),
            // What was loaded includes what is held back, so all of it is.
            Some(held) => *held = series::Held::all(totals),
        }
        Ok(())
    }

    /// Puts the file back if somebody deleted it: everything committed is still at hand until it is closed.
    /// Returns whether that was so.
    ///
    /// # Errors
    /// The copy could not be written.
    pub fn restore_if_deleted(&mut self) -> Result<bool, LedgerError> {
        if open::file_id(&self.path).is_some_and(|id| id == self.file) {
            return Ok(false);
        }
        open::restore(self)?;
        Ok(true)
    }
}

impl Drop for Ledger {
    /// Unlocks by word: closing the file alone leaves the lock to a child process that was just being started.
    fn drop(&mut self) {
        _ = self.lock.as_ref().map(std::fs::File::unlock);
    }
}

fn lock(totals: &Mutex<Totals>) -> std::sync::MutexGuard<'_, Totals> {
    totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The day of a time, counted from 1970-01-01 in UTC: the unit of folding.
const fn utc_day(at: UnixMs) -> i64 {
    at.0.div_euclid(86_400_000)
}

#[cfg(test)]
mod tests;
