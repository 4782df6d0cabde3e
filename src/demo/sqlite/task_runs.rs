//! The table `task_runs`: from 2026.8.1 on the records themselves, in 2026.6.11 a ledger of tasks beside them.
//!
//! A row is inserted when its run starts and updated when it ends. Only rows whose `detail_json` is of the kind
//! `cron-run` are records.

use super::super::record::RunRecord;
use super::super::{Error, Generation, detail, uuid};
use super::StateDatabase;
use crate::model::UnixMs;
use fastrand::Rng;
use rusqlite::{OptionalExtension, named_params, params};
use std::path::Path;

/// How long a finished task is kept, in ms.
const KEEP_MS: i64 = 7 * 86_400_000;
/// How many finished tasks of one job are kept.
const KEEP_ROWS: usize = 2_000;

/// The id of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub String);

/// What is known of a run when it starts.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Started<'a> {
    pub(in super::super) job_id: &'a str,
    pub(in super::super) name: &'a str,
    pub(in super::super) agent: &'a str,
    pub(in super::super) run_at: i64,
}

/// Writes rows of `task_runs` into one state directory, one record each.
#[derive(Debug)]
pub struct TaskRunsWriter {
    database: StateDatabase,
    ledger: TaskLedger,
}

impl TaskRunsWriter {
    /// Opens `state/openclaw.sqlite` as 2026.9.6 and creates what is missing; a database of 2026.6.11 is upgraded,
    /// its `cron_run_logs` imported and dropped. Equal seeds give equal ids of tasks.
    ///
    /// # Errors
    /// The file system's and SQLite's, with the path; [`Error::NewerDatabase`].
    pub fn open(state_dir: &Path, seed: u64) -> Result<Self, Error> {
        let database = StateDatabase::open(state_dir, Generation::V2026_9_6)?;
        Ok(Self { database, ledger: TaskLedger::new(seed) })
    }

    /// Sets how many finished rows of a job are kept (2,000 by default).
    pub const fn keep(&mut self, rows: usize) {
        self.ledger.keep_rows = rows;
    }

    /// Inserts a row for a run that is under way.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn start(&mut self, job_id: &str, name: &str, agent: &str, run_at: UnixMs) -> Result<TaskId, Error> {
        self.ledger.start(&self.database, Started { job_id, name, agent, run_at: run_at.0 })
    }

    /// Updates a row with the record of its run, whose `ts` becomes `ended_at`. Deletes nothing.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn finish(&mut self, task: &TaskId, record: &RunRecord) -> Result<(), Error> {
        self.ledger.finish(&self.database, task, record)
    }

    /// Inserts a record of an older version as the upgrade does, with its own, old times.
    ///
    /// # Errors
    /// SQLite's, with the path; also when this record was imported before.
    pub fn import(&mut self, record: &RunRecord) -> Result<TaskId, Error> {
        let detail = detail::finished(record, &self.database.store_key)?;
        self.database.atomically("import a run into", |database| import(database, record, &detail, 1))
    }

    /// Deletes what is beyond the limits at `now`: finished rows past their `cleanup_after`, and the oldest of each
    /// job with too many. Returns the number of rows.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn sweep(&mut self, now: UnixMs) -> Result<usize, Error> {
        self.ledger.sweep(&self.database, now.0)
    }

    /// Deletes the rows of runs that ended before `time`. Returns their number.
    ///
    /// # Errors
    /// SQLite's, with the path.
    pub fn delete_before(&mut self, time: UnixMs) -> Result<usize, Error> {
        self.database.atomically("delete runs from", |database| {
            database
                .connection
                .execute("DELETE FROM task_runs WHERE runtime = 'cron' AND ended_at < ?1", [time.0])
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

/// The tasks of either version; which one is the database's to say.
#[derive(Debug)]
pub(in super::super) struct TaskLedger {
    rng: Rng,
    pub(in super::super) keep_rows: usize,
}

impl TaskLedger {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), keep_rows: KEEP_ROWS }
    }

    /// Returns what ids are drawn from.
    pub(super) const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Inserts a row for a run that is under way.
    pub(in super::super) fn start(
        &mut self,
        database: &StateDatabase,
        started: Started<'_>,
    ) -> Result<TaskId, Error> {
        let records = database.generation == Generation::V2026_9_6;
        let task = TaskId(uuid(&mut self.rng));
        let Started { job_id, name, agent, run_at } = started;
        let mut run_id = format!("cron:{job_id}:{run_at}");
        if records {
            run_id = format!("{run_id}:{}", uuid(&mut self.rng));
        }
        let child = (!records).then(|| format!("agent:{agent}:cron:{job_id}"));
        let kind = records.then_some("automation_run");
        let progress = if records { "Running automation." } else { "Running cron job." };
        database.atomically("start a task in", |database| {
            let mut insert = database.connection.prepare_cached(
                "INSERT INTO task_runs (task_id, runtime, task_kind, source_id, requester_session_key, owner_key,
                     scope_kind, child_session_key, agent_id, run_id, label, task, status, delivery_status,
                     notify_policy, created_at, started_at, last_event_at, progress_summary)
                 VALUES (:task, 'cron', :kind, :job, '', '', 'system', :child, :agent, :run_id, :name, :name,
                     'running', 'not_applicable', 'silent', :run_at, :run_at, :run_at, :progress)",
            )?;
            insert.execute(named_params! {
                ":task": task.0, ":kind": kind, ":job": job_id, ":child": child, ":agent": agent, ":run_id": run_id,
                ":name": name, ":run_at": run_at, ":progress": progress,
            })?;
            if records {
                set_detail(database, &task, &detail::running(&database.store_key))?;
            }
            Ok(())
        })?;
        Ok(task)
    }

    /// Updates a row at the end of its run.
    pub(in super::super) fn finish(
        &self,
        database: &StateDatabase,
        task: &TaskId,
        record: &RunRecord,
    ) -> Result<(), Error> {
        let records = database.generation == Generation::V2026_9_6;
        let detail = records.then(|| detail::finished(record, &database.store_key)).transpose()?;
        let status = if records { status(record) } else { ledger_status(record) };
        let ended_at = if records { record.ts } else { record.ended_at() };
        database.atomically("finish a task in", |database| {
            let mut update = database.connection.prepare_cached(
                "UPDATE task_runs SET status = ?2, child_session_key = coalesce(?3, child_session_key),
                     ended_at = ?4, last_event_at = ?4, cleanup_after = ?5, error = ?6, terminal_summary = ?7
                 WHERE task_id = ?1",
            )?;
            let session = record.session_key.as_deref().filter(|_| records);
            let cleanup_after = ended_at + KEEP_MS;
            update.execute(params![
                task.0,
                status,
                session,
                ended_at,
                cleanup_after,
                record.error,
                record.summary
            ])?;
            detail.iter().try_for_each(|detail| set_detail(database, task, detail))
        })
    }

    /// Returns the row of a run that was under way when the gateway stopped.
    pub(in super::super) fn running(
        database: &StateDatabase,
        job_id: &str,
        run_at: i64,
    ) -> Result<Option<TaskId>, Error> {
        database.atomically("look for a task in", |database| {
            let sql = "SELECT task_id FROM task_runs
                       WHERE runtime = 'cron' AND status = 'running' AND source_id = ?1 AND started_at = ?2";
            let mut select = database.connection.prepare_cached(sql)?;
            select.query_row(params![job_id, run_at], |row| row.get(0).map(TaskId)).optional()
        })
    }

    /// Declares lost what is still running although the gateway has only just started.
    pub(in super::super) fn give_up(database: &StateDatabase, now: i64) -> Result<(), Error> {
        database.atomically("give up tasks in", |database| {
            let sql =
                "UPDATE task_runs SET status = 'lost', error = 'backing session missing', ended_at = ?1,
                           last_event_at = ?1, cleanup_after = ?1 + 86400000
                       WHERE runtime = 'cron' AND status = 'running'";
            database.connection.execute(sql, [now]).map(drop)
        })
    }

    /// Deletes what is beyond the limits. Rows with a record and rows without are counted apart.
    pub(in super::super) fn sweep(&self, database: &StateDatabase, now: i64) -> Result<usize, Error> {
        let keep = i64::try_from(self.keep_rows).unwrap_or(i64::MAX);
        let is_record = match database.generation {
            Generation::V2026_9_6 => "detail_json IS NOT NULL",
            _ => "0",
        };
        database.atomically("prune", |database| {
            let sql = "DELETE FROM task_runs WHERE cleanup_after <= ?1 AND status <> 'running'";
            let expired = database.connection.prepare_cached(sql)?.execute([now])?;
            let sql = format!(
                "DELETE FROM task_runs WHERE task_id IN (SELECT task_id FROM (
                     SELECT task_id, row_number() OVER (PARTITION BY source_id, {is_record}
                         ORDER BY ended_at DESC, created_at DESC, task_id DESC) AS place
                     FROM task_runs WHERE runtime = 'cron' AND status NOT IN ('running', 'lost')
                         AND source_id IN (SELECT source_id FROM task_runs WHERE runtime = 'cron'
                             GROUP BY source_id HAVING count(*) > ?1)) WHERE place > ?1)"
            );
            Ok(expired + database.connection.prepare_cached(&sql)?.execute([keep])?)
        })
    }
}

fn set_detail(database: &StateDatabase, task: &TaskId, detail: &str) -> rusqlite::Result<()> {
    let mut update =
        database.connection.prepare_cached("UPDATE task_runs SET detail_json = ?2 WHERE task_id = ?1")?;
    update.execute([&task.0, detail]).map(drop)
}

/// Returns the status of a row that is a record: `failed` includes a run that went well and its delivery not.
fn status(record: &RunRecord) -> &'static str {
    match (record.status.as_ref(), record.completion().as_ref()) {
        ("ok", "succeeded") => "succeeded",
        ("error", _) if record.is_timeout() => "timed_out",
        _ => "failed",
    }
}

/// Returns the status of a row beside a record of 2026.6.11.
fn ledger_status(record: &RunRecord) -> &'static str {
    if record.status == "ok" { "succeeded" } else { "failed" }
}

/// Inserts a record of an older version: the `ordinal`th of its job with this `ts`.
pub(super) fn import(
    database: &StateDatabase,
    record: &RunRecord,
    detail: &str,
    ordinal: u32,
) -> rusqlite::Result<TaskId> {
    let task = TaskId(format!("cron-runlog-import:{}:{}:{ordinal}", record.job_id, record.ts));
    let status = status(record);
    let mut insert = database.connection.prepare_cached(
        "INSERT INTO task_runs (task_id, runtime, source_id, requester_session_key, owner_key, scope_kind,
             child_session_key, run_id, task, status, delivery_status, notify_policy, created_at, started_at, ended_at,
             last_event_at, cleanup_after, error, terminal_summary, terminal_outcome, detail_json)
         VALUES (:task, 'cron', :job, '', '', 'system', :session, :task, :job, :status, 'not_applicable', 'silent',
             :run_at, :run_at, :ts, :ts, :cleanup_after, :error, :summary, :outcome, :detail)",
    )?;
    insert.execute(named_params! {
        ":task": task.0,
        ":job": record.job_id,
        ":session": record.session_key,
        ":status": status,
        ":run_at": record.run_at_ms,
        ":ts": record.ts,
        ":cleanup_after": record.ts + KEEP_MS,
        ":error": record.error,
        ":summary": record.summary,
        ":outcome": (status == "succeeded").then_some(status),
        ":detail": detail,
    })?;
    Ok(task)
}

/// Inserts the row that the task ledger of 2026.5.28 (a file of its own) holds beside a record.
pub(super) fn import_ledger_row(
    database: &StateDatabase,
    task: &TaskId,
    record: &RunRecord,
    name: &str,
) -> rusqlite::Result<()> {
    let mut insert = database.connection.prepare_cached(
        "INSERT OR IGNORE INTO task_runs (task_id, runtime, source_id, requester_session_key, owner_key, scope_kind,
             child_session_key, agent_id, run_id, label, task, status, delivery_status, notify_policy, created_at,
             started_at, ended_at, last_event_at, cleanup_after, error, progress_summary, terminal_summary)
         VALUES (:task, 'cron', :job, '', 'system:cron:' || :job, 'system', 'agent:' || :agent || ':cron:' || :job,
             :agent, 'cron:' || :job || ':' || :run_at, :name, :name, :status, 'not_applicable', 'silent', :run_at,
             :run_at, :ended_at, :ended_at, :ended_at + :keep, :error, 'Running cron job.', :summary)",
    )?;
    let agent = record.session_key.as_deref().and_then(|key| key.split(':').nth(1)).unwrap_or("main");
    let inserted = insert.execute(named_params! {
        ":task": task.0,
        ":job": record.job_id,
        ":agent": agent,
        ":run_at": record.run_at_ms,
        ":name": name,
        ":status": ledger_status(record),
        ":ended_at": record.ended_at(),
        ":keep": KEEP_MS,
        ":error": record.error,
        ":summary": record.summary,
    });
    inserted.map(drop)
}
