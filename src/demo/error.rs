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

    /// Returns a function that wraps a serialiser's error.
    pub(super) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }
}
