//! Reads a ledger without disturbing its writer.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::store::{count, meta};
use super::{LedgerError, schema};
use crate::model::{TokenKind, UnixMs};

/// A read-only view of a ledger.
pub struct LedgerReader {
    path: PathBuf,
    connection: Connection,
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
    /// The newest run's start.
    pub last_run: Option<UnixMs>,
    /// What it takes up on disk in bytes.
    pub size_bytes: u64,
}

impl LedgerReader {
    /// Opens the ledger at `path` for reading.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing { path: path.into() });
        }
        let failed = |error| LedgerError::of(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(failed)?;
        let (found, known) = (schema::version(&connection).map_err(failed)?, schema::known_version());
        if schema::application_id(&connection).map_err(failed)? != schema::APPLICATION_ID {
            return Err(LedgerError::Foreign { path: path.into() });
        }
        if found > known {
            return Err(LedgerError::Newer { path: path.into(), found, known });
        }
        Ok(Self { path: path.into(), connection })
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
        for (table, runs) in [("run", "count(*)"), ("daily", "coalesce(sum(runs), 0)")] {
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
        Ok(summary)
    }
}
