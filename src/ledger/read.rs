//! Reads a ledger without disturbing its writer, and without leaving a file behind.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::open::{beside, check, refuse_other_files};
use super::store::{count, meta, unpack_at};
use super::totals::SeriesKind;
use super::{LedgerError, schema};
use crate::model::{RunAt, TokenKind, UnixMs, UsageProvenance};

/// What a path may hold verbatim in SQLite's `file:` URIs.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// A read-only view of a ledger.
pub struct LedgerReader {
    path: PathBuf,
    connection: Connection,
    /// Nobody had it open; then SQLite need make no files beside it to read it.
    at_rest: bool,
}

/// What a ledger holds, in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The gateway that it belongs to.
    pub gateway: String,
    /// Its schema version.
    pub schema: i64,
    /// Jobs seen so far.
    pub jobs: u64,
    /// Runs, folded ones included.
    pub runs: u64,
    /// Of those, runs that retention has folded into daily totals.
    pub folded_runs: u64,
    /// Tokens by kind, in the order of [`TokenKind::ALL`].
    pub tokens: [u64; 4],
    /// Sources with a position.
    pub positions: u64,
    /// Rejects: reason, count, a sample of where.
    pub rejects: Vec<(String, u64, String)>,
    /// Kinds of stores that runs came from, with the time of the newest record of each.
    pub sources: Vec<(String, UnixMs)>,
    /// The newest run's start.
    pub last_run: Option<UnixMs>,
    /// What it takes up on disk in bytes.
    pub size_bytes: u64,
}

/// A model that tokens were counted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedModel {
    /// The provider.
    pub provider: String,
    /// The model, without its provider.
    pub model: String,
    /// Tokens that have no price.
    pub unpriced_tokens: u64,
}

impl LedgerReader {
    /// Returns the models that tokens were counted of, by provider and name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn models(&self) -> Result<Vec<UsedModel>, LedgerError> {
        self.used_models().map_err(|error| LedgerError::of(&self.path, error))
    }

    fn used_models(&self) -> rusqlite::Result<Vec<UsedModel>> {
        // The kinds of tokens are the first four.
        let mut statement = self.connection.prepare(
            "SELECT provider, model, coalesce(sum(true_total) FILTER (WHERE kind = ?1), 0)
             FROM series JOIN labels ON labels.id = series.labels
             WHERE kind < 4 OR kind = ?1 GROUP BY provider, model ORDER BY provider, model",
        )?;
        let rows = statement.query_map([SeriesKind::Unpriced.code()], |row| {
            Ok(UsedModel { provider: row.get(0)?, model: row.get(1)?, unpriced_tokens: count(row.get(2)?) })
        })?;
        rows.collect()
    }

    /// Opens the ledger at `path` for reading.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        // SQLite makes the file before anything is in it.
        if !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
            return Err(LedgerError::Missing { path: path.into() });
        }
        if !beside(path, ".lock").metadata().is_ok_and(|mark| mark.len() > 0) {
            refuse_other_files(path)?;
        }
        let failed = |error| LedgerError::of(path, error);
        let at_rest = is_at_rest(path);
        let connection = connect(path, at_rest).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(failed)?;
        let (found, known) = (schema::version(&connection).map_err(failed)?, schema::known_version());
        if schema::application_id(&connection).map_err(failed)? != schema::APPLICATION_ID {
            return Err(LedgerError::Foreign { path: path.into() });
        }
        if found > known {
            return Err(LedgerError::Newer { path: path.into(), found, known });
        }
        Ok(Self { path: path.into(), connection, at_rest })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns whether a writer has opened the ledger since this view of it as one at rest: then what was read
    /// may be inconsistent, and it must be opened and read again.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        self.at_rest && !is_at_rest(&self.path)
    }

    /// Returns whether nobody had it open when it was opened here.
    #[must_use]
    pub const fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    /// Looks for damage, as the writer does when it opens the ledger.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] and what else SQLite says.
    pub fn verify(&self) -> Result<(), LedgerError> {
        check(&self.connection, &self.path)
    }

    /// Hands out job id and time of every single run of the ledger's own gateway, and returns the time before which runs were folded into
    /// daily totals.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_run(&self, on_run: impl FnMut(&str, RunAt)) -> Result<Option<UnixMs>, LedgerError> {
        self.each_run(on_run).map_err(|error| LedgerError::of(&self.path, error))
    }

    fn each_run(&self, mut on_run: impl FnMut(&str, RunAt)) -> rusqlite::Result<Option<UnixMs>> {
        let sql = "SELECT job_id, at FROM job JOIN run ON run.job = job.id WHERE gateway = ''";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            on_run(row.get_ref(0)?.as_str()?, unpack_at(row.get(1)?));
        }
        Ok(meta(&self.connection, "folded_before_ms")?.map(UnixMs))
    }

    /// Returns what the ledger holds. Reads every run once.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn summary(&self) -> Result<Summary, LedgerError> {
        self.summarise().map_err(|error| LedgerError::of(&self.path, error))
    }

    fn summarise(&self) -> rusqlite::Result<Summary> {
        let connection = &self.connection;
        let mut summary = Summary {
            gateway: meta(connection, "gateway")?.unwrap_or_default(),
            schema: schema::version(connection)?,
            size_bytes: super::open::size(&self.path),
            ..Summary::default()
        };
        let sums = "coalesce(sum(input), 0), coalesce(sum(output), 0), coalesce(sum(cache_read), 0),
                    coalesce(sum(cache_write), 0)";
        let further = format!(
            "(SELECT run_usage.* FROM run_usage JOIN run USING (job, at) WHERE facts >> 8 & 7 = {})",
            UsageProvenance::Transcript as i64
        );
        let tables = [("run", "count(*)"), (further.as_str(), "0"), ("daily", "coalesce(sum(runs), 0)")];
        for (table, runs) in tables {
            connection.query_row(&format!("SELECT {runs}, {sums} FROM {table}"), [], |row| {
                let runs = count(row.get(0)?);
                summary.runs += runs;
                summary.folded_runs += if table == "daily" { runs } else { 0 };
                for (at, _) in TokenKind::ALL.iter().enumerate() {
                    summary.tokens[at] += count(row.get(at + 1)?);
                }
                Ok(())
            })?;
        }
        let number = |sql: &str| connection.query_row(sql, [], |row| Ok(count(row.get(0)?)));
        summary.jobs = number("SELECT count(*) FROM job")?;
        summary.positions = number("SELECT count(*) FROM position")?;
        summary.last_run = connection
            .query_row("SELECT max(last_run_ms) FROM job", [], |row| row.get::<_, Option<i64>>(0))?
            .map(UnixMs);
        let mut statement = connection.prepare(
            "SELECT reason, coalesce(value, 0), sample FROM reject
             LEFT JOIN counter ON name = 'reject.' || reason ORDER BY 2 DESC, 1",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, count(row.get(1)?), row.get(2)?)))?;
        summary.rejects = rows.collect::<Result<_, _>>()?;
        let mut statement = connection.prepare(
            "SELECT substr(name, length('last_record_ms.') + 1), value FROM counter
             WHERE name GLOB 'last_record_ms.*' ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, UnixMs(row.get(1)?))))?;
        summary.sources = rows.collect::<Result<_, _>>()?;
        Ok(summary)
    }
}

/// Every writer has a `-wal` from when it opens the ledger until it closes it.
fn is_at_rest(path: &Path) -> bool {
    !beside(path, "-wal").exists()
}

/// Opens for reading. A reader of a database in WAL mode makes `-wal` and `-shm` where there are none, and cannot
/// remove them; in a directory that it may not write it fails. `immutable` avoids both, and is right as long as
/// nobody writes.
fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if !immutable {
        return Connection::open_with_flags(path, flags);
    }
    let path = percent_encode(path.as_os_str().as_bytes(), IN_PATH);
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)
}
