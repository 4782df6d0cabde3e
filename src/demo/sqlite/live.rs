//! The database of a running gateway: records, tasks and jobs through one connection.

use super::super::jobs::Job;
use super::super::record::RunRecord;
use super::super::store::Change;
use super::super::{Error, Generation};
use super::migration::{self, OldLine};
use super::task_runs::{Started, TaskId, TaskLedger};
use super::{JobTable, StateDatabase, cron_run_logs};
use std::collections::BTreeMap;
use std::path::Path;

/// How often 2026.9.6 looks for tasks to delete, in ms.
const SWEEP_MS: i64 = 60_000;

/// The database of a running gateway.
#[derive(Debug)]
pub(in super::super) struct LiveDatabase {
    database: StateDatabase,
    ledger: TaskLedger,
    jobs: JobTable,
    keep_lines: usize,
    swept_at: i64,
}

impl LiveDatabase {
    pub(in super::super) fn open(
        state_dir: &Path,
        generation: Generation,
        keep_lines: usize,
        seed: u64,
        now: i64,
    ) -> Result<Self, Error> {
        let database = StateDatabase::open(state_dir, generation)?;
        let mut ledger = TaskLedger::new(seed);
        ledger.keep_rows = keep_lines;
        Ok(Self { database, ledger, jobs: JobTable::default(), keep_lines, swept_at: now })
    }

    pub(in super::super) fn persist(&mut self, jobs: &[Job], change: Change) -> Result<(), Error> {
        self.jobs.persist(&self.database, jobs, change)
    }

    /// Notes that a run has started.
    pub(in super::super) fn start(&mut self, job: &Job, run_at: i64) -> Result<TaskId, Error> {
        let agent = job.agent.unwrap_or("main");
        let started = Started { job_id: &job.id, name: &job.name, agent, run_at };
        self.ledger.start(&self.database, started)
    }

    /// Writes the record of a run, and deletes what is then beyond the limits. Returns whether there was any.
    pub(in super::super) fn finish(&mut self, task: &TaskId, record: &RunRecord) -> Result<bool, Error> {
        self.ledger.finish(&self.database, task, record)?;
        let mut pruned = self.append(record, Some(self.keep_lines))?;
        if record.ts - self.swept_at >= SWEEP_MS {
            self.swept_at = record.ts;
            let swept = self.ledger.sweep(&self.database, record.ts)?;
            pruned |= swept > 0 && self.database.generation == Generation::V2026_9_6;
        }
        Ok(pruned)
    }

    /// Writes records of the past at once and deletes nothing.
    pub(in super::super) fn write_past(&mut self, job: &Job, records: &[&RunRecord]) -> Result<(), Error> {
        self.database.begin()?;
        for record in records {
            let task = self.start(job, record.run_at_ms)?;
            self.ledger.finish(&self.database, &task, record)?;
            self.append(record, None)?;
        }
        self.database.commit()
    }

    /// Returns the task of a run that was under way when the gateway stopped.
    pub(in super::super) fn running(&self, job_id: &str, run_at: i64) -> Result<Option<TaskId>, Error> {
        TaskLedger::running(&self.database, job_id, run_at)
    }

    /// Declares lost what is still running although the gateway has only just started.
    pub(in super::super) fn give_up(&self, now: i64) -> Result<(), Error> {
        TaskLedger::give_up(&self.database, now)
    }

    /// Writes the record of a run that an older version had begun: its row in the ledger of tasks stays `running`.
    pub(in super::super) fn append_interrupted(&self, record: &RunRecord) -> Result<bool, Error> {
        self.append(record, Some(self.keep_lines))
    }

    /// Imports run logs; `with_ledger` if their version kept a ledger of tasks.
    pub(in super::super) fn import(
        &mut self,
        history: &[OldLine],
        names: &BTreeMap<&str, &str>,
        with_ledger: bool,
        now: i64,
    ) -> Result<(), Error> {
        let ledger = with_ledger.then_some(&mut self.ledger);
        migration::import_run_logs(&self.database, history, names, ledger, now)
    }

    pub(in super::super) fn back_up(&self, to: &Path) -> Result<(), Error> {
        self.database.back_up(to)
    }

    fn append(&self, record: &RunRecord, keep: Option<usize>) -> Result<bool, Error> {
        match self.database.generation {
            Generation::V2026_9_6 => Ok(false),
            _ => cron_run_logs::append(&self.database, record, keep),
        }
    }
}
