//! `state/openclaw.sqlite`, written through one connection as the gateway does.
//!
//! Invariants: the database is in WAL mode with OpenClaw's checkpoint threshold, its files are 0600 in a
//! directory 0700, its `user_version` is that of the version that writes. A database of a newer version is refused,
//! as OpenClaw refuses it. Deliberately absent: every table that no scheduled run touches.

mod cron_run_logs;
mod job_table;
mod live;
mod migration;
mod schema;
mod task_runs;

pub use cron_run_logs::CronRunLogsWriter;
pub use task_runs::{TaskId, TaskRunsWriter};

use super::store::set_mode;
use super::{Error, Generation};
use rusqlite::Connection;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use live::LiveDatabase;
pub(super) use migration::OldLine;

use job_table::JobTable;

/// How long OpenClaw waits for a lock.
const BUSY: Duration = Duration::from_secs(5);
/// Pages in the WAL after which SQLite checkpoints.
const CHECKPOINT_PAGES: u32 = 1_000;

/// An open database of one version.
#[derive(Debug)]
pub(super) struct StateDatabase {
    connection: Connection,
    path: PathBuf,
    store_key: String,
    generation: Generation,
}

/// Returns where a state directory has its database.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("state").join("openclaw.sqlite")
}

impl StateDatabase {
    /// Opens the database and creates what is missing. One of an older version is upgraded first.
    pub(super) fn open(state_dir: &Path, generation: Generation) -> Result<Self, Error> {
        let path = path(state_dir);
        let folder = state_dir.join("state");
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).map_err(Error::io("create", &folder))?;
        set_mode(&folder, 0o700)?;
        let connection = Connection::open(&path).map_err(Error::sqlite("open", &path))?;
        let store_key = state_dir.join("cron").join("jobs.json").to_string_lossy().into_owned();
        let mut database = Self { connection, path, store_key, generation };
        database.prepare().map_err(Error::sqlite("prepare", &database.path))?;
        database.create()?;
        database.restrict()?;
        Ok(database)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY)?;
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        self.connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
    }

    fn create(&mut self) -> Result<(), Error> {
        let version =
            |connection: &Connection| connection.pragma_query_value(None, "user_version", |r| r.get(0));
        let found: i64 = version(&self.connection).map_err(Error::sqlite("read", &self.path))?;
        let known = self.generation.schema_version();
        if found > known {
            return Err(Error::NewerDatabase { path: self.path.clone(), found, known });
        }
        self.atomically("create the tables of", |database| {
            if found == Generation::V2026_6_11.schema_version() && found < known {
                migration::from_cron_run_logs(database)?;
            }
            database.execute_batch(&schema::create(database.generation))?;
            database.connection.pragma_update(None, "user_version", known)
        })
    }

    /// Gives the files OpenClaw's modes, as far as they exist.
    fn restrict(&self) -> Result<(), Error> {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            let file = PathBuf::from(name);
            if file.exists() {
                set_mode(&file, 0o600)?;
            }
        }
        Ok(())
    }

    /// Does something in one transaction, or as a part of the one that is open.
    fn atomically<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Self) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let attempt = || {
            self.connection.execute_batch("SAVEPOINT demo")?;
            let done = work(self);
            let end = if done.is_ok() { "RELEASE demo" } else { "ROLLBACK TO demo; RELEASE demo" };
            self.connection.execute_batch(end)?;
            done
        };
        attempt().map_err(Error::sqlite(action, &self.path))
    }

    fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.execute_batch(sql)
    }

    fn control(&self, action: &'static str, sql: &str) -> Result<(), Error> {
        self.connection.execute_batch(sql).map_err(Error::sqlite(action, &self.path))
    }

    /// Opens a transaction that stays open: whoever reads meanwhile sees nothing of what is written.
    pub(super) fn begin(&self) -> Result<(), Error> {
        self.control("begin a transaction in", "BEGIN IMMEDIATE")
    }

    pub(super) fn commit(&self) -> Result<(), Error> {
        self.control("commit to", "COMMIT")
    }

    pub(super) fn roll_back(&self) -> Result<(), Error> {
        self.control("roll back in", "ROLLBACK")
    }

    /// Writes a copy of the database, as OpenClaw does before it changes a schema.
    pub(super) fn back_up(&self, to: &Path) -> Result<(), Error> {
        let copied = self.connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]);
        copied.map(drop).map_err(Error::sqlite("copy", &self.path))?;
        set_mode(to, 0o600)
    }
}
