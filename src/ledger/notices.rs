//! Notices that gateways post to a webhook: each of them a run record, which may come before, behind or instead of the one
//! in the gateway's store.
//!
//! Invariants: what was answered for is on the disk, whatever happens to the machine, since nobody tells it again; a
//! notice that comes twice counts once. Deliberately absent: how a notice arrives and what is answered.

use rusqlite::{OptionalExtension, params};
use xxhash_rust::xxh3::xxh3_64;

use super::labels::{JobLabel, bounded};
use super::store::{id, pack_at};
use super::writer::Writer;
use super::{Ledger, LedgerError, relays};
use crate::model::{Notice, Receipt, ScheduleKind, UnixMs};

/// The name under which notices stand beside the stores that records come from.
const SOURCE: &str = "webhook";
/// Gateways that may post beside the one that the ledger belongs to: each has series of its own.
const MAX_GATEWAYS: usize = 64;
/// SQLite's `synchronous = FULL`.
const FULL: i64 = 2;

impl Ledger {
    /// Commits notices together, or none of them. Returns what became of each. On return they are on the disk, whatever
    /// the ledger's setting is: a record of a store can be read again, a notice cannot.
    ///
    /// # Errors
    /// What SQLite says; nothing has moved then, and the same can be given again.
    pub fn take_notices(&mut self, notices: &[Notice], now: UnixMs) -> Result<Vec<Receipt>, LedgerError> {
        let set = |ledger: &Self, value: i64| {
            let set = ledger.connection.pragma_update(None, "synchronous", value);
            set.map_err(|error| ledger.failed(error))
        };
        let synchronous: i64 = self
            .connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .map_err(|error| self.failed(error))?;
        if synchronous < FULL {
            set(self, FULL)?;
        }
        let taken =
            self.commit(now, |writer| notices.iter().map(|notice| writer.take_notice(notice)).collect());
        if synchronous < FULL {
            set(self, synchronous)?;
        }
        taken.map(|(receipts, _)| receipts)
    }

    /// Says that nobody tells which jobs there are, so that none is taken for gone.
    pub fn set_unlisted(&mut self) {
        super::lock(&self.totals).unlisted = true;
    }
}

impl Writer<'_> {
    fn take_notice(&mut self, notice: &Notice) -> rusqlite::Result<Receipt> {
        if self.book.job_index.is_beyond(MAX_GATEWAYS, &notice.gateway) {
            return Ok(Receipt::TooManyGateways);
        }
        self.gateway.clone_from(&notice.gateway);
        let run = &notice.run;
        let job = self.job(&run.key.job_id);
        if self.is_noticed(job, notice)? {
            return Ok(Receipt::Repeated);
        }
        self.describe_job(job, notice);
        self.connection.prepare_cached("INSERT INTO notice VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            id(job),
            pack_at(run.key.at),
            mark(notice),
            self.now.0
        ])?;
        let outcome = self.record(&run.borrowed())?;
        if let Some(text) = &notice.summary {
            relays::keep_summary(self.connection, (job, run.key.at), text)?;
        }
        self.count_outcome(outcome);
        self.connection
            .prepare_cached("DELETE FROM awaited WHERE job = ?1 AND at = ?2")?
            .execute(params![id(job), pack_at(run.key.at)])?;
        self.note_record(SOURCE, run.recorded_at);
        Ok(Receipt::New)
    }

    fn is_noticed(&self, job: usize, notice: &Notice) -> rusqlite::Result<bool> {
        let found: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM notice WHERE job = ?1 AND at = ?2
                 UNION ALL SELECT 1 FROM notice WHERE mark = ?3 AND job = ?1 LIMIT 1",
            )?
            .query_row(params![id(job), pack_at(notice.run.key.at), mark(notice)], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    }

    /// Takes over what a notice says of its job, unless a list of jobs tells.
    fn describe_job(&mut self, job: usize, notice: &Notice) {
        let entry = &mut self.book.jobs[job];
        let Some(told) = notice.job.as_ref().filter(|_| !entry.facts.defined) else { return };
        if !told.name.is_empty() {
            bounded(&told.name).clone_into(&mut entry.facts.name);
        }
        if told.schedule != ScheduleKind::Unknown {
            entry.schedule = told.schedule;
        }
        if told.system && entry.facts.label == JobLabel::Undecided {
            entry.facts.label = JobLabel::System;
        }
        self.touched.insert(job);
    }
}

fn mark(notice: &Notice) -> Option<i64> {
    notice.run_id.as_ref().map(|run_id| xxh3_64(run_id.as_bytes()).cast_signed())
}
