//! What can go wrong while simulating.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the simulated gateway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error(
        "simulated gateway: cannot {action} {path}: {source}; check that the directory is writable and has space"
    )]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// SQLite refused.
    #[error(
        "simulated gateway: cannot {action} the database {path}: {source}; check that nothing else writes there and \
         that there is space"
    )]
    Database {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// The database was written by a newer version.
    #[error(
        "simulated gateway: cannot open the database {path}: it has schema version {found}, newer than {known}; \
         start a newer generation on it or roll back first"
    )]
    NewerDatabase {
        /// Which file.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The newest that this generation knows.
        known: i64,
    },
    /// A change of version that is none, or goes the other way.
    #[error(
        "simulated gateway: cannot {action} from {from} to {to}: choose a version on the other side of {from}"
    )]
    WrongWay {
        /// `upgrade` or `roll back`.
        action: &'static str,
        /// The version that runs.
        from: &'static str,
        /// The version that was asked for.
        to: &'static str,
    },
    /// A fault of run logs was asked of a version that has none.
    #[error(
        "simulated gateway: cannot tear a line of a run log: {version} has none; use 2026.5.28 or earlier"
    )]
    NoRunLogs {
        /// The version that runs.
        version: &'static str,
    },
    /// A value could not be written as JSON.
    #[error("simulated gateway: cannot write {what} as JSON: {source}; this is a defect, please report it")]
    Json {
        /// What was being written.
        what: &'static str,
        /// The serialiser's words.
        source: serde_json::Error,
    },
    /// There is no such job in the job list (any more).
    #[error(
        "simulated gateway: cannot run job {job_id}: it is not in the job list; take an id from `Gateway::jobs`"
    )]
    UnknownJob {
        /// The id that was given.
        job_id: String,
    },
    /// No job is there that the incident could happen to.
    #[error(
        "simulated gateway: cannot let {incident} happen: no recurring job is idle; start it with more jobs (--jobs)"
    )]
    NoJob {
        /// The incident's word.
        incident: &'static str,
    },
    /// A length for lines is too small to hold a record.
    #[error(
        "simulated gateway: cannot write lines of {asked} bytes: a record needs {needed}; ask for longer lines"
    )]
    LineTooShort {
        /// What was asked for.
        asked: usize,
        /// The shortest that is possible.
        needed: usize,
    },
}

impl Error {
    /// Returns a function that wraps an I/O error with what was attempted on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Returns a function that wraps SQLite's error with what was attempted on which database.
    pub(super) fn sqlite(action: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Database { action, path, source }
    }

    /// Returns a function that wraps a serialiser's error.
    pub(super) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }
}
