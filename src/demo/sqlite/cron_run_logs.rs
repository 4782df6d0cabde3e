//! The table `cron_run_logs` of 2026.6.1 to 2026.7: a row per finished run, the record beside its columns.

use super::super::record::RunRecord;
use super::super::writer::KEEP_LINES;
use super::super::{Error, Generation};
use super::StateDatabase;
use crate::model::UnixMs;
use rusqlite::{named_params, params};
use std::path::Path;

/// How much later than its record OpenClaw writes a row, in ms.
const LATER_MS: i64 = 17;

/// Writes rows of `cron_run_logs` into one state directory, one record each.
#[derive(Debug)]
pub struct CronRunLogsWriter {
    database: StateDatabase,
    keep_lines: usize,
}

impl CronRunLogsWriter {
    /// Opens `state/openclaw.sqlite` as 2026.6.11 and creates what is missing.
    ///
    /// # Errors
    /// The file system's and SQLite's, with the path; [`Error::NewerDatabase`].
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let database = StateDatabase::open(state_dir, Generation::V2026_6_11)?;
        Ok(Self { database, keep_lines: KEEP_LINES })
    }

    /// Sets how many rows of a job each append keeps (`cron.runLog.keepLines`, 2,000 by default).
    pub const fn keep(&mut self, keep_lines: usize) {
        self.keep_lines = keep_lines;
    }

    /// Inserts a record under the next number of its job and deletes the job's oldest rows beyond the limit.
    /// Returns whether there were any.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn append(&mut self, record: &RunRecord) -> Result<bool, Error> {
        append(&self.database, record, Some(self.keep_lines))
    }

    /// Deletes the rows of records made before `time`, whosever they are. Returns their number.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn delete_before(&mut self, time: UnixMs) -> Result<usize, Error> {
        self.database.atomically("delete runs from", |database| {
            database.connection.execute("DELETE FROM cron_run_logs WHERE ts < ?1", [time.0])
        })
    }

    /// Opens a transaction: what is written until [`Self::commit`] is not seen by others.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn begin(&mut self) -> Result<(), Error> {
        self.database.begin()
    }

    /// Ends the open transaction and keeps what was written.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.database.commit()
    }

    /// Ends the open transaction as if nothing had been written.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn roll_back(&mut self) -> Result<(), Error> {
        self.database.roll_back()
    }
}

/// Inserts a record and, with a limit, deletes the job's oldest rows beyond it. Returns whether there were any.
pub(super) fn append(
    database: &StateDatabase,
    record: &RunRecord,
    keep: Option<usize>,
) -> Result<bool, Error> {
    let entry = String::from_utf8_lossy(&record.to_line()?).into_owned();
    database.atomically("append a run to", |database| {
        insert(database, record, &entry, record.ts + LATER_MS)?;
        let Some(keep) = keep else { return Ok(false) };
        let mut delete = database.connection.prepare_cached(
            "DELETE FROM cron_run_logs WHERE store_key = ?1 AND job_id = ?2 AND seq <= (
                 SELECT seq FROM cron_run_logs WHERE store_key = ?1 AND job_id = ?2
                 ORDER BY seq DESC LIMIT 1 OFFSET ?3)",
        )?;
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        Ok(delete.execute(params![database.store_key, record.job_id, keep])? > 0)
    })
}

/// Inserts a row with this `entry_json`.
pub(super) fn insert(
    database: &StateDatabase,
    record: &RunRecord,
    entry: &str,
    created_at: i64,
) -> rusqlite::Result<()> {
    let mut insert = database.connection.prepare_cached(
        "INSERT INTO cron_run_logs (store_key, job_id, seq, ts, status, error, summary, diagnostics_summary,
             delivery_status, delivery_error, delivered, session_id, session_key, run_at_ms, duration_ms,
             next_run_at_ms, model, provider, total_tokens, entry_json, created_at)
         SELECT :store, :job, coalesce(max(seq), 0) + 1, :ts, :status, :error, :summary, :diagnostics,
             :delivery_status, :delivery_error, :delivered, :session, :session_key, :run_at, :duration, :next_run_at,
             :model, :provider, :total_tokens, :entry, :created_at
         FROM cron_run_logs WHERE store_key = :store AND job_id = :job",
    )?;
    insert.execute(named_params! {
        ":store": database.store_key,
        ":job": record.job_id,
        ":ts": record.ts,
        ":status": record.status,
        ":error": record.error,
        ":summary": record.summary,
        ":diagnostics": record.diagnostics.as_ref().map(|diagnostics| &diagnostics.summary),
        ":delivery_status": record.delivery_status,
        ":delivery_error": record.delivery_error,
        ":delivered": record.delivered,
        ":session": record.session_id,
        ":session_key": record.session_key,
        ":run_at": record.run_at_ms,
        ":duration": record.duration_ms,
        ":next_run_at": record.next_run_at_ms,
        ":model": record.model,
        ":provider": record.provider,
        ":total_tokens": record.usage.map(|usage| usage.total_tokens.cast_signed()),
        ":entry": entry,
        ":created_at": created_at,
    })?;
    Ok(())
}
