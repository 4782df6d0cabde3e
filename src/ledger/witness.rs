//! Notices that should come and do not.
//!
//! A run of a job that posts to our own receiver is awaited from when its record is read until its notice comes. One that
//! has not come when it is due is counted and told once, also over a restart, since what is awaited is as durable as the
//! run. What the gateway says that it did not deliver is not missing. A notice that comes later counts like any other, and
//! the missing one stays counted: it was late.

use std::sync::Arc;

use rusqlite::params;

use super::outbox::Telling;
use super::rows::index;
use super::store::{id, meta, pack_at, set_meta, unpack_at};
use super::totals::SeriesKind;
use super::writer::Writer;
use super::{Ledger, LedgerError};
use crate::model::{MissingNotice, Run, RunAt, UnixMs, WebhookOutcome, WebhookUrl};

/// Tells whether a webhook is our own receiver.
pub type IsOurs = Arc<dyn Fn(&WebhookUrl) -> bool + Send + Sync>;

/// How long after its record a run's notice may come, in milliseconds: 2 min. Both are written when the scheduler is done
/// with the run, or with the batch of runs that it was in.
const PATIENCE_MS: i64 = 120_000;
/// Missing notices that are settled in one transaction.
const BATCH: i64 = 500;
/// Where it is kept since when notices are awaited.
const SINCE: &str = "witness_since_ms";

impl Ledger {
    /// Awaits notices from now on, and of runs recorded from when that was first asked for; `None`: no more.
    ///
    /// # Errors
    /// What SQLite says; nothing has changed then.
    pub fn set_witness(&mut self, is_ours: Option<IsOurs>, now: UnixMs) -> Result<(), LedgerError> {
        let since = self.begin_witness(is_ours.is_some(), now).map_err(|error| self.failed(error))?;
        self.book.settings.witness_since = since;
        self.is_ours = is_ours.unwrap_or_else(|| Arc::new(|_| false));
        Ok(())
    }

    fn begin_witness(&mut self, wanted: bool, now: UnixMs) -> rusqlite::Result<Option<UnixMs>> {
        let transaction = self.connection.transaction()?;
        if !wanted {
            transaction.execute("DELETE FROM meta WHERE name = ?1", [SINCE])?;
            transaction.execute("DELETE FROM awaited", [])?;
            transaction.commit()?;
            return Ok(None);
        }
        let since = match meta(&transaction, SINCE)? {
            Some(since) => since,
            None => {
                set_meta(&transaction, SINCE, now.0)?;
                now.0
            }
        };
        transaction.commit()?;
        Ok(Some(UnixMs(since)))
    }

    /// Returns when the next notice will be missing.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn next_missing(&self) -> Result<Option<UnixMs>, LedgerError> {
        if self.book.settings.witness_since.is_none() {
            return Ok(None);
        }
        self.connection
            .prepare_cached("SELECT min(due_ms) FROM awaited")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .map(|due| due.map(UnixMs))
            .map_err(|error| self.failed(error))
    }

    /// Counts and tells of notices that did not come in time. Returns whether anything exported changed.
    ///
    /// # Errors
    /// What SQLite says; what was not settled stays due.
    pub fn settle_missing(&mut self, now: UnixMs) -> Result<bool, LedgerError> {
        let mut changed = false;
        while self.next_missing()?.is_some_and(|due| due <= now) {
            let (settings, relays) = (self.outbox.clone(), self.relays.clone());
            let telling = settings.as_ref().map(|settings| Telling { settings, relays: &relays });
            let (_, more) = self.commit(now, |writer| writer.settle_missing(telling))?;
            changed |= more;
        }
        Ok(changed)
    }
}

impl Writer<'_> {
    /// Awaits the notice of a run whose record has just been read, unless it has come, or none will.
    pub fn await_notice<T>(&self, job: usize, run: &Run<T>) -> rusqlite::Result<()> {
        let Some(since) = self.book.settings.witness_since else { return Ok(()) };
        // What the gateway says itself of a webhook that it could not deliver is counted as that.
        let is_told = !matches!(run.delivery.webhook(), None | Some(WebhookOutcome::Delivered));
        let is_ours = self.book.jobs[job].is_witnessed && run.is_announced;
        if !is_ours || is_told || run.recorded_at < since || !self.is_counted(run.recorded_at) {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO awaited SELECT ?1, ?2, ?3
                 WHERE NOT EXISTS (SELECT 1 FROM notice WHERE job = ?1 AND at = ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![id(job), pack_at(run.key.at), run.recorded_at.plus(PATIENCE_MS).0])
            .map(|_| ())
    }

    fn settle_missing(&mut self, telling: Option<Telling<'_>>) -> rusqlite::Result<()> {
        let due: Vec<(i64, i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT job, at, due_ms FROM awaited WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2",
            )?
            .query_map(params![self.now.0, BATCH], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (job, at, due) in due {
            self.connection
                .prepare_cached("DELETE FROM awaited WHERE job = ?1 AND at = ?2")?
                .execute(params![job, at])?;
            if !self.is_explained(job, unpack_at(at), due)? {
                self.note_missing((index(job), unpack_at(at)), UnixMs(due), telling)?;
            }
        }
        Ok(())
    }

    /// Returns whether the gateway's log said that a webhook of the job was not delivered; each such line explains one run.
    fn is_explained(&self, job: i64, at: RunAt, due: i64) -> rusqlite::Result<bool> {
        let taken = self
            .connection
            .prepare_cached(
                "UPDATE gateway_event SET job = NULL WHERE mark = (SELECT mark FROM gateway_event
                 WHERE job = ?1 AND said_ms BETWEEN ?2 AND ?3 ORDER BY said_ms LIMIT 1)",
            )?
            .execute(params![job, at.time().0, due])?;
        Ok(taken > 0)
    }

    fn note_missing(
        &mut self,
        (job, at): (usize, RunAt),
        due: UnixMs,
        telling: Option<Telling<'_>>,
    ) -> rusqlite::Result<()> {
        let Some(row) = self.load_run(job, at)? else { return Ok(()) };
        let labels = self.without_model(row.labels)?;
        self.move_series(labels, SeriesKind::Deliveries(WebhookOutcome::Missing), 1, due);
        let facts = &self.book.jobs[job].facts;
        let missing = MissingNotice { job_id: &facts.job_id, job_name: &facts.name, run_at: at.time(), due };
        telling.map_or(Ok(()), |telling| telling.tell_missing(self.connection, self.book, &missing, self.now))
    }
}
