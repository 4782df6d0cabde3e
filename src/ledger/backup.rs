//! Copies of a ledger: made while it is written to, whole or not at all.
//!
//! Invariant: a copy is that of one moment, and the place where it is to be holds either what was there or all of it.
//! Deliberately absent: when copies are made, and how many are kept.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::open::beside;
use super::{LedgerError, LedgerReader, Summary};

/// Copies begun of a ledger at rest that somebody opened meanwhile.
const TRIES: usize = 3;

/// Why a ledger could not be backed up or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The ledger, or the backup that is one.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is a file already.
    #[error("{path} exists and was left alone; give another name, or --force to replace it")]
    Exists {
        /// Where the backup was to be.
        path: PathBuf,
    },
    /// The backup would take the place of a database in use.
    #[error("{path} is a ledger in use and was left alone; give the backup a name of its own")]
    InUse {
        /// Where the backup was to be.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}; see to the directory and the space on its disk")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// What was to be brought back contradicts itself.
    #[error("the backup {path} is not sound: {problem}; nothing was changed, bring back another one")]
    Unsound {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Copies the ledger at `from`, which may be written to meanwhile, to the file `to`. Returns what the copy holds.
///
/// # Errors
/// See [`BackupError`]; what was at `to` is as it was then.
pub fn back_up(from: &Path, to: &Path, force: bool) -> Result<Summary, BackupError> {
    let path = to.to_path_buf();
    if !force && to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path });
    }
    let same = from.canonicalize().ok().zip(to.canonicalize().ok()).is_some_and(|(from, to)| from == to);
    if same || beside(to, "-wal").exists() || beside(to, ".lock").exists() {
        return Err(BackupError::InUse { path });
    }
    let folder = folder(to);
    let copy = copy(from, folder)?;
    let summary = {
        let reader = LedgerReader::open(copy.path())?;
        reader.verify()?;
        reader.summary()?
    };
    let write = |source| BackupError::Write { path: path.clone(), source };
    copy.as_file().sync_all().map_err(write)?;
    let kept = if force { copy.persist(to) } else { copy.persist_noclobber(to) };
    kept.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists { path: path.clone() },
        _ => write(error.error),
    })?;
    sync(folder).map_err(write)?;
    Ok(summary)
}

/// Copies a ledger, as it is at one moment, into a file of its own in `folder`.
pub(super) fn copy(from: &Path, folder: &Path) -> Result<NamedTempFile, BackupError> {
    for _ in 0..TRIES {
        let reader = LedgerReader::open(from)?;
        let file = tempfile::Builder::new()
            .prefix(".openclaw-usage-")
            .suffix(".tmp")
            .tempfile_in(folder)
            .map_err(|source| BackupError::Write { path: folder.to_path_buf(), source })?;
        // An empty file may be written into; made by us, it is for this user's eyes only.
        let copied = reader.connection().execute("VACUUM INTO ?1", [file.path().to_string_lossy()]);
        if !reader.is_overtaken() {
            copied.map_err(|error| LedgerError::of(from, error))?;
            return Ok(file);
        }
    }
    Err(LedgerError::InUse { path: from.to_path_buf() }.into())
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes what was renamed in a directory last.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
