//! The gateway's database, `state/openclaw.sqlite` from 2026.6.1 on, opened for reading and nothing else.
//!
//! Nothing is written, neither to the database nor beside it: SQLite's index of the log (`-shm`) is opened read-only as
//! well, and where there is no log (`-wal`), so that a reader would make one, nobody has the database open and it is
//! read as a file that does not change. Such a read counts only if the file was the same before and after
//! ([`Database::is_overtaken`]). Where there is a log, it must not go away between that look and SQLite's own, which
//! would make a new one: the lock of a reader is held from before the look. A database is open for a moment at a time: whoever keeps one open keeps the gateway from
//! removing its log when it stops. Source: SQLite's documentation of WAL mode and of `file:` URIs.
//!
//! Deliberately absent: which tables there are and what they hold.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::model::{FileId, RejectReason};

/// What a path may hold verbatim in SQLite's `file:` URIs.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
/// How long a read waits for a lock, which the gateway holds only while it repairs its log after a crash.
const BUSY: std::time::Duration = std::time::Duration::from_millis(200);

/// Why the gateway's database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is none.
    #[error("{0} does not exist")]
    Absent(PathBuf),
    /// It is a directory, FIFO, socket or device.
    #[error("{0} is no regular file, so no run is read from it; put the gateway's database there")]
    NotAFile(PathBuf),
    /// It is a symbolic link out of its directory.
    #[error(
        "{0} is a symbolic link out of its directory and is not followed; give the real state directory with \
         --state-dir"
    )]
    SymlinkOutside(PathBuf),
    /// It is empty, encrypted or damaged.
    #[error(
        "{path} is no readable SQLite database ({detail}); if the gateway cannot read it either, restore it from a \
         backup: what was counted stays counted"
    )]
    NotADatabase {
        /// The database.
        path: PathBuf,
        /// SQLite's word.
        detail: String,
    },
    /// It holds none of the tables that are known to hold runs.
    #[error(
        "{path} (schema version {version}) holds runs in no way that this version of openclaw-usage knows: {detail}; \
         use a newer openclaw-usage, what was counted until then stays counted"
    )]
    UnknownSchema {
        /// The database.
        path: PathBuf,
        /// Its `user_version`.
        version: i64,
        /// What is missing.
        detail: String,
    },
    /// A log without its index, left by a copy or a crash.
    #[error(
        "{0} has a log (-wal) without its index (-shm), and making one would be a write; start the gateway, or copy \
         all three files"
    )]
    Unindexed(PathBuf),
    /// The gateway is repairing its log or writing the file anew; the next look succeeds.
    #[error("{0} is being changed by the gateway; it is read again in a moment")]
    Busy(PathBuf),
    /// The system refused.
    #[error(
        "cannot read {path}: {detail}; run as the gateway's user or give this user read access to its directory"
    )]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// The system's or SQLite's word.
        detail: String,
    },
}

impl DatabaseError {
    /// Returns the reason under which it is counted; `None` if it passes by itself.
    #[must_use]
    pub const fn reason(&self) -> Option<RejectReason> {
        match self {
            Self::Absent(_) | Self::Busy(_) => None,
            Self::NotAFile(_) => Some(RejectReason::NotAFile),
            Self::SymlinkOutside(_) => Some(RejectReason::SymlinkOutside),
            Self::NotADatabase { .. } => Some(RejectReason::NotADatabase),
            Self::UnknownSchema { .. } => Some(RejectReason::UnknownSchema),
            Self::Unindexed(_) | Self::Unreadable { .. } => Some(RejectReason::Unreadable),
        }
    }

    pub(super) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(path),
            // The log is being set up or repaired: SQLITE_READONLY_CANTINIT and _RECOVERY.
            Some(ErrorCode::ReadOnly) => Self::Busy(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::NotADatabase { path, detail },
            _ => Self::Unreadable { path, detail },
        }
    }
}

/// Bytes of a database that are mapped at most.
const MAPPED_BYTES: i64 = 1 << 30;

/// What tells a changed database from an unchanged one without opening it: the file and its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStamp {
    main: FileStamp,
    log: Option<FileStamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct FileStamp {
    file: FileId,
    size: u64,
    modified_ns: i128,
}

impl DatabaseStamp {
    /// Looks at the database at `path`; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let main = path.metadata().ok().as_ref().map(FileStamp::of)?;
        Some(Self { main, log: beside(path, "-wal").metadata().ok().as_ref().map(FileStamp::of) })
    }

    /// Returns which file the database is.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.main.file
    }

    /// Returns when it was last written to, in milliseconds since the epoch.
    #[must_use]
    pub fn modified_ms(&self) -> i64 {
        let newest = self.log.map_or(self.main.modified_ns, |log| log.modified_ns.max(self.main.modified_ns));
        i64::try_from(newest / 1_000_000).unwrap_or(i64::MAX)
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let file = FileId { dev: metadata.dev(), ino: metadata.ino() };
        Self { file, size: metadata.len(), modified_ns }
    }
}

/// A database that is open for reading.
pub struct Database {
    path: PathBuf,
    connection: Connection,
    file: FileId,
    /// Nobody had it open: it was as this stamp says, and is read as if nothing could change it.
    at_rest: Option<DatabaseStamp>,
    /// Keeps the log from going away. Behind the connection: whoever closes a file drops all locks that the process has
    /// on it.
    _log_held: Option<File>,
}

impl Database {
    /// Opens the database at `path`, which must be a regular file in its directory.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let target = regular(path)?;
        let Some(stamp) = DatabaseStamp::of(&target) else {
            return Err(DatabaseError::Absent(path.into()));
        };
        if stamp.main.size == 0 && stamp.log.is_none() {
            return Err(DatabaseError::NotADatabase { path: path.into(), detail: "it is empty".into() });
        }
        // SQLite opens whatever bears these names, and whoever opens a FIFO waits for ever.
        for suffix in ["-wal", "-shm", "-journal"] {
            plain_if_there(beside(&target, suffix))?;
        }
        let index = beside(&target, "-shm").exists();
        let log = stamp.log.is_some_and(|log| log.size > 0 || index);
        if log && !index {
            return Err(DatabaseError::Unindexed(path.into()));
        }
        let log_held = if log { Some(hold_log(path, &target, stamp.main.file)?) } else { None };
        // A journal of the other kind is there while somebody writes, and after a crash.
        let at_rest = !log && !beside(&target, "-journal").exists();
        let failed = |error: rusqlite::Error| DatabaseError::of(path, &error);
        let connection = connect(&target, at_rest).map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            connection,
            file: stamp.main.file,
            at_rest: at_rest.then_some(stamp),
            _log_held: log_held,
        })
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns which file it is.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.file
    }

    /// Reads in one transaction, so that all of it is of one moment.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn read<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Deferred);
        let outcome = transaction.and_then(|transaction| work(&transaction));
        outcome.map_err(|error| DatabaseError::of(&self.path, &error))
    }

    /// Reads pages where the system holds them from now on, for whoever reads all of it once: copying them took a third of
    /// that. They count as memory then. Not of a database that nobody has open: nothing keeps a gateway that starts from
    /// cutting its file short, which SQLite's locks do otherwise, and what is mapped and gone cannot be read.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn map(&mut self) -> Result<(), DatabaseError> {
        if self.at_rest.is_some() {
            return Ok(());
        }
        let mapped = self.connection.pragma_update(None, "mmap_size", MAPPED_BYTES);
        mapped.map_err(|error| DatabaseError::of(&self.path, &error))
    }

    /// Returns whether somebody may have written to it since it was opened as one at rest: then what was read may be
    /// inconsistent, and must be read again.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        let now = || regular(&self.path).ok().as_deref().and_then(DatabaseStamp::of);
        self.at_rest.is_some_and(|then| now() != Some(then))
    }
}

/// Returns the file that `path` stands for. A symbolic link is followed only within its directory.
fn regular(path: &Path) -> Result<PathBuf, DatabaseError> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => DatabaseError::Absent(path.into()),
        _ => DatabaseError::Unreadable { path: path.into(), detail: error.to_string() },
    };
    let metadata = path.symlink_metadata().map_err(refused)?;
    let target = path.canonicalize().map_err(refused)?;
    if metadata.is_symlink() {
        let home = path.parent().map(Path::canonicalize).transpose().map_err(refused)?;
        if target.parent() != home.as_deref() {
            return Err(DatabaseError::SymlinkOutside(path.into()));
        }
    }
    if !target.metadata().map_err(refused)?.is_file() {
        return Err(DatabaseError::NotAFile(path.into()));
    }
    Ok(target)
}

/// Refuses what stands in the place of a file beside the database and is none.
fn plain_if_there(path: PathBuf) -> Result<(), DatabaseError> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => Err(DatabaseError::SymlinkOutside(path)),
        Ok(metadata) if !metadata.is_file() => Err(DatabaseError::NotAFile(path)),
        _ => Ok(()),
    }
}

/// Takes the lock that every reader of a database with a log has, and looks whether the log is still there: whoever
/// closes the database last removes it only if nobody has that lock. SQLite takes it too, and then opens the log, or
/// makes one if there is none, even for a connection that may only read.
fn hold_log(path: &Path, target: &Path, file: FileId) -> Result<File, DatabaseError> {
    let refused =
        |error: io::Error| DatabaseError::Unreadable { path: path.into(), detail: error.to_string() };
    let held = File::open(target).map_err(refused)?;
    let busy = || DatabaseError::Busy(path.into());
    fcntl_lock(&held, FlockOperation::NonBlockingLockShared).map_err(|_| busy())?;
    let is_same = FileStamp::of(&held.metadata().map_err(refused)?).file == file;
    let is_there = ["-wal", "-shm"].iter().all(|suffix| beside(target, suffix).exists());
    if is_same && is_there { Ok(held) } else { Err(busy()) }
}

fn connect(path: &Path, at_rest: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let path = percent_encode(path.as_os_str().as_bytes(), IN_PATH);
    let mode = if at_rest { "immutable=1" } else { "readonly_shm=1" };
    let connection = Connection::open_with_flags(format!("file:{path}?mode=ro&{mode}"), flags)?;
    connection.busy_timeout(BUSY)?;
    // A schema from elsewhere must not run anything of its own.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -512)?;
    Ok(connection)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
