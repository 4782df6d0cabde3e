//! Opens, checks, sets aside and restores the ledger's file.

use std::fs::{DirBuilder, File, OpenOptions as FileOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, TransactionBehavior};

use super::book::{Book, Settings};
use super::memory::Runs;
use super::totals::Totals;
use super::{Ledger, LedgerError, schema, store};
use crate::model::{FileId, UnixMs};

/// The gateway's name when nobody gives one.
pub const DEFAULT_GATEWAY: &str = "openclaw";

/// How long a commit waits for somebody else's lock.
const BUSY: std::time::Duration = std::time::Duration::from_secs(2);

/// What the operator decides about the ledger.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The gateway's name; `None`: the one in the ledger, else `openclaw`.
    pub gateway: Option<String>,
    /// How many jobs appear under their own id.
    pub max_jobs: usize,
    /// Whether each commit waits for the disk (`synchronous = FULL`).
    pub full_sync: bool,
}

/// Where an opened ledger comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Existing,
    /// The first one in this place.
    New,
    /// There was one in this place and it is gone: rows are rebuilt from the sources, and what is exported counts
    /// from now on, since servers already have what was before.
    Rebuilt,
}

/// An opened ledger.
pub struct Opened {
    /// The writer.
    pub ledger: Ledger,
    /// Where it comes from.
    pub origin: Origin,
}

impl Ledger {
    /// Opens or makes the ledger at `path`, as its only writer.
    ///
    /// # Errors
    /// See [`LedgerError`]; on [`LedgerError::Corrupt`] the file can be [`set_aside`] and opened anew.
    pub fn open(path: &Path, options: &OpenOptions, now: UnixMs) -> Result<Opened, LedgerError> {
        make_directory(path)?;
        let exists = path.metadata().is_ok_and(|metadata| metadata.len() > 0);
        if exists && !beside(path, ".lock").exists() {
            refuse_other_files(path)?;
        }
        let (mut lock, used_before) = lock_file(path)?;
        let (connection, origin) = prepare(path, options, used_before, now)?;
        if !used_before {
            // From here on an absent ledger is a lost one.
            lock.write_all(b"openclaw-usage\n").map_err(|error| not_writable(path, &error))?;
        }
        let (mut book, totals) = store::load(&connection).map_err(|error| LedgerError::of(path, error))?;
        book.settings = Settings { max_jobs: options.max_jobs, ..Settings::default() };
        let file = file_id(path).unwrap_or_default();
        let totals = Arc::new(Mutex::new(totals));
        let pricing = super::pricing::unpriced();
        let ledger = Self {
            path: path.into(),
            connection,
            lock: Some(lock),
            file,
            book,
            totals,
            pricing,
            spent: Vec::new(),
            spent_overflowed: false,
            held: None,
            unpacked: 0,
            outbox: None,
            relays: Vec::new(),
            summaries: Arc::default(),
            is_ours: Arc::new(|_| false),
        };
        Ok(Opened { ledger, origin })
    }

    /// Makes a ledger for the occasion: it answers what runs used ([`Ledger::usage`]) and is gone with this value.
    /// No series is made of what it counts, and every job appears under its own id.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn in_memory(options: &OpenOptions, now: UnixMs) -> Result<Self, LedgerError> {
        let path = Path::new("in memory");
        let connection = in_memory(now).map_err(|error| LedgerError::of(path, error))?;
        settle_gateway(&connection, path, options)?;
        // As made, so that there is nothing to load.
        let book = Book {
            gateway: options.gateway.clone().unwrap_or_else(|| DEFAULT_GATEWAY.to_owned()),
            settings: Settings { max_jobs: options.max_jobs, ..Settings::default() },
            // Nothing is exported.
            count_from: Some(UnixMs(i64::MAX)),
            runs: Some(Runs::default()),
            ..Book::default()
        };
        let totals = Totals { revision: 1, created: now, ..Totals::default() };
        Ok(Self {
            path: path.into(),
            connection,
            lock: None,
            file: FileId::default(),
            book,
            totals: Arc::new(Mutex::new(totals)),
            pricing: super::pricing::unpriced(),
            spent: Vec::new(),
            spent_overflowed: false,
            held: None,
            unpacked: 0,
            outbox: None,
            relays: Vec::new(),
            summaries: Arc::default(),
            is_ours: Arc::new(|_| false),
        })
    }
}

fn in_memory(now: UnixMs) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(64);
    // Nothing is ever taken back, so that nothing need be kept for that.
    connection.pragma_update(None, "journal_mode", "off")?;
    let transaction = connection.transaction()?;
    schema::migrate(&transaction)?;
    store::set_meta(&transaction, "created_ms", now.0)?;
    transaction.commit()?;
    Ok(connection)
}

fn prepare(
    path: &Path,
    options: &OpenOptions,
    used_before: bool,
    now: UnixMs,
) -> Result<(Connection, Origin), LedgerError> {
    let failed = |error| LedgerError::of(path, error);
    let mut connection = database(path).map_err(failed)?;
    // Before anything is set: the journal mode is written into the file.
    check(&connection, path)?;
    // A database without tables is none yet: what made it was stopped before the commit below.
    let origin = match (schema::is_empty(&connection).map_err(failed)?, used_before) {
        (false, _) => Origin::Existing,
        (true, true) => Origin::Rebuilt,
        (true, false) => Origin::New,
    };
    configure(&connection, options.full_sync).map_err(failed)?;
    // All or nothing: a rebuilt ledger that had forgotten since when it counts would export its history anew.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
    schema::migrate(&transaction).map_err(failed)?;
    settle_gateway(&transaction, path, options)?;
    if origin != Origin::Existing {
        store::set_meta(&transaction, "created_ms", now.0).map_err(failed)?;
    }
    if origin == Origin::Rebuilt {
        store::set_meta(&transaction, "count_from_ms", now.0).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok((connection, origin))
}

/// Opens the database file. Made by us, it is for this user's eyes only, and SQLite gives its log the same mode.
fn database(path: &Path) -> rusqlite::Result<Connection> {
    // If this fails, so does what follows, with SQLite's word on why.
    _ = FileOptions::new().create(true).append(true).mode(0o600).open(path);
    Connection::open(path)
}

fn configure(connection: &Connection, full_sync: bool) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Everything can be replayed from the sources while they last, so a commit need not wait for the disk.
    set_synchronous(connection, full_sync)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -2_000)
}

/// Says whether each commit waits for the disk.
pub(super) fn set_synchronous(connection: &Connection, full_sync: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", if full_sync { "FULL" } else { "NORMAL" })
}

/// Refuses what is no ledger, is newer, or is damaged.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::of(path, error);
    let found = schema::version(connection).map_err(failed)?;
    let application = schema::application_id(connection).map_err(failed)?;
    // A ledger whose first opening was cut short is empty and unmarked.
    let ours = application == schema::APPLICATION_ID
        || (application == 0 && found == 0 && schema::is_empty(connection).map_err(failed)?);
    if !ours {
        return Err(LedgerError::Foreign { path: path.into() });
    }
    if found > schema::known_version() {
        return Err(LedgerError::Newer { path: path.into(), found, known: schema::known_version() });
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict == "ok" { Ok(()) } else { Err(LedgerError::Corrupt { path: path.into(), detail: verdict }) }
}

fn settle_gateway(connection: &Connection, path: &Path, options: &OpenOptions) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::of(path, error);
    let found: Option<String> = store::meta(connection, "gateway").map_err(failed)?;
    match (found, &options.gateway) {
        (Some(found), Some(given)) if found != *given => {
            Err(LedgerError::OtherGateway { path: path.into(), found, given: given.clone() })
        }
        (Some(_), _) => Ok(()),
        (None, given) => {
            let name = given.as_deref().unwrap_or(DEFAULT_GATEWAY);
            store::set_meta(connection, "gateway", name).map_err(failed)
        }
    }
}

pub(super) fn make_directory(path: &Path) -> Result<(), LedgerError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| not_writable(path, &error))
}

/// Takes the lock. Returns it with whether a ledger was in use here before.
pub(super) fn lock_file(path: &Path) -> Result<(File, bool), LedgerError> {
    let mut file = FileOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(beside(path, ".lock"))
        .map_err(|error| not_writable(path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse { path: path.into() }),
        Err(TryLockError::Error(error)) => return Err(not_writable(path, &error)),
    }
    let mut mark = String::new();
    // Anything unreadable in it is a mark as well.
    let used_before = !matches!(file.read_to_string(&mut mark), Ok(0));
    Ok((file, used_before))
}

/// Refuses a file beside which there never was a lock of ours, unless it is a ledger that was moved here: it is
/// somebody else's, and not even a lock may be put beside it.
pub(super) fn refuse_other_files(path: &Path) -> Result<(), LedgerError> {
    // Source: the database header in SQLite's file format; the application id stands at offset 68.
    let mut head = [0; 72];
    match File::open(path).and_then(|mut file| file.read_exact(&mut head)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(not_writable(path, &error)),
        Ok(())
            if head.starts_with(b"SQLite format 3\0")
                && head.ends_with(&schema::APPLICATION_ID.to_be_bytes()[4..]) =>
        {
            Ok(())
        }
        _ => Err(LedgerError::Foreign { path: path.into() }),
    }
}

fn not_writable(path: &Path, error: &std::io::Error) -> LedgerError {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return LedgerError::DiskFull { path: path.into() };
    }
    LedgerError::NotWritable { path: path.into(), detail: error.to_string() }
}

/// Moves a damaged ledger out of the way. Returns where it is now.
///
/// # Errors
/// It could not be renamed.
pub fn set_aside(path: &Path, now: UnixMs) -> std::io::Result<PathBuf> {
    let aside = beside(path, &format!(".corrupt-{}", now.0));
    std::fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// Writes a deleted ledger out again from the connection that still holds it, and goes on with the new file.
pub(super) fn restore(ledger: &mut Ledger) -> Result<(), LedgerError> {
    let path = ledger.path.clone();
    let failed = |error| LedgerError::of(&path, error);
    if path.exists() {
        return Err(LedgerError::Foreign { path });
    }
    // The old log and index belong to the deleted file; a new database must not find them.
    for suffix in ["-wal", "-shm"] {
        _ = std::fs::remove_file(beside(&path, suffix));
    }
    make_directory(&path)?;
    let synchronous: i64 =
        ledger.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(failed)?;
    ledger.connection.execute("VACUUM INTO ?1", [path.to_string_lossy()]).map_err(failed)?;
    let connection = database(&path).map_err(failed)?;
    configure(&connection, synchronous >= 2).map_err(failed)?;
    ledger.connection = connection;
    ledger.file = file_id(&path).unwrap_or_default();
    Ok(())
}

/// Returns the size of the ledger in bytes: the database and its log.
pub(super) fn size(path: &Path) -> u64 {
    let bytes = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    bytes(path) + bytes(&beside(path, "-wal"))
}

/// Returns the identity of the file at `path`.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    path.metadata().ok().map(|metadata| FileId { dev: metadata.dev(), ino: metadata.ino() })
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
