//! Events of runs: noted with the run, written when it is known what the run used.

use rusqlite::{Connection, params};

use super::super::book::Book;
use super::super::relays::{self, Written};
use super::super::rows::{RunRow, index};
use super::super::store::{id, pack_at, unpack_at};
use super::super::writer::Writer;
use super::super::{Ledger, LedgerError};
use super::{OutboxSettings, Telling};
use crate::model::{
    Cost, CostProvenance, FinishedRun, Happening, NanoUsd, RunAt, Status, TokenKind, UnixMs, Usage,
    UsageProvenance,
};

/// How long a run's event waits for its session to be read, in milliseconds. Sessions are looked at 100 ms after they
/// change, and the gateway writes the last of a session before the record or some seconds behind it.
pub const SETTLE_MS: i64 = 10_000;
/// How long it waits after a call that made the usage known, since more calls may follow, such as those of sub-agents.
const QUIET_MS: i64 = 1_000;
/// How long a run that only its session tells of may still run, in milliseconds: a day.
const UNRECORDED_MS: i64 = 86_400_000;
/// Events that are written in one transaction.
const BATCH: i64 = 1_000;

impl Ledger {
    /// Writes the events of runs that are due, and lets go of what is beyond the bounds.
    ///
    /// # Errors
    /// What SQLite says; what was not written stays due.
    pub fn seal_events(&mut self, now: UnixMs) -> Result<(), LedgerError> {
        let Some(settings) = self.outbox.clone().filter(|_| self.tells()) else { return Ok(()) };
        if self.book.stale {
            self.reload()?;
        }
        while self.seal_some(&settings, now).map_err(|error| self.failed(error))? {}
        self.trim(&settings, now).map_err(|error| self.failed(error))?;
        self.trim_relays(now).map_err(|error| self.failed(error))
    }

    /// Returns when the next event of a run is due.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn next_seal(&self) -> Result<Option<UnixMs>, LedgerError> {
        if !self.tells() {
            return Ok(None);
        }
        self.connection
            .prepare_cached("SELECT min(due_ms) FROM outbox_run")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .map(|due| due.map(UnixMs))
            .map_err(|error| self.failed(error))
    }

    /// Writes some events that are due; returns whether there may be more.
    fn seal_some(&mut self, settings: &OutboxSettings, now: UnixMs) -> rusqlite::Result<bool> {
        // Known since a time to come: the clock stepped back.
        let due: Vec<(i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT job, at FROM outbox_run WHERE due_ms <= ?1 OR since_ms > ?1 ORDER BY at, job LIMIT ?2",
            )?
            .query_map(params![now.0, BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if due.is_empty() {
            return Ok(false);
        }
        let telling = Telling { settings, relays: &self.relays };
        let transaction = self.connection.transaction()?;
        for (job, at) in &due {
            let run = (index(*job), unpack_at(*at));
            // A run may be gone: its calls turned out to be another's, or retention folded it away.
            if let Some(row) = RunRow::load(&transaction, run.0, run.1)? {
                let content = &describe(&transaction, &self.book, settings, run, &row)?;
                let at = run.1.time().plus(row.recorded);
                telling.append(&transaction, now, &Written { content, at, run: Some(run) })?;
            }
            transaction
                .prepare_cached("DELETE FROM outbox_run WHERE job = ?1 AND at = ?2")?
                .execute(params![job, at])?;
            relays::forget_summary(&transaction, (*job, *at))?;
        }
        transaction.commit()?;
        Ok(i64::try_from(due.len()).unwrap_or(0) == BATCH)
    }
}

fn describe(
    connection: &Connection,
    book: &Book,
    settings: &OutboxSettings,
    (job, at): (usize, RunAt),
    row: &RunRow,
) -> rusqlite::Result<String> {
    let (facts, labels) = (&book.jobs[job].facts, &book.labels[row.labels]);
    let mut usage = Usage::default();
    let mut cost: Option<Cost> = None;
    for part in row.load_parts(connection, job, at)? {
        for kind in TokenKind::ALL {
            let both = usage.get(kind).zip(part.usage.get(kind)).map(|(a, b)| a.saturating_add(b));
            usage.set(kind, both.or(usage.get(kind)).or(part.usage.get(kind)));
        }
        // A model that the run did not use says nothing of its cost.
        if part.calls.provenance != CostProvenance::None || part.usage.total() > 0 {
            let more = Cost { usd: NanoUsd(part.calls.cost), provenance: part.calls.provenance };
            cost = Some(cost.map_or(more, |cost| cost.checked_add(more).unwrap_or(cost)));
        }
    }
    let agent =
        if labels.agent.is_empty() { facts.agent.as_deref().unwrap_or_default() } else { &labels.agent };
    Ok((settings.describe)(Happening::Run(&FinishedRun {
        gateway: &facts.gateway,
        job_id: &facts.job_id,
        job_name: &facts.name,
        agent,
        provider: &labels.provider,
        model: &labels.model,
        at,
        recorded_at: at.time().plus(row.recorded),
        status: row.status,
        reason: row.reason,
        delivery: row.delivery,
        duration_ms: row.duration_ms,
        usage,
        provenance: row.provenance,
        cost: cost.unwrap_or_default(),
    })))
}

impl Book {
    /// Returns whether what happened then is told of: not what is older than events are kept, nor what a ledger that
    /// was lost or replaced has told of already.
    pub(in super::super) fn is_told(&self, at: UnixMs, now: UnixMs) -> bool {
        self.settings.event_age_ms.is_some_and(|age| now.since(at) <= age)
            && self.count_from.max(self.told_from).is_none_or(|from| at >= from)
    }
}

impl Writer<'_> {
    /// Notes that a run that was just inserted will be told of.
    pub fn expect_event(&self, job: usize, at: RunAt, row: &RunRow) -> rusqlite::Result<()> {
        if !self.book.is_told(at.time().plus(row.recorded), self.now) {
            return Ok(());
        }
        let is_unrecorded = row.status == Status::Unrecorded;
        let due = self.now.plus(if is_unrecorded { UNRECORDED_MS } else { SETTLE_MS });
        self.connection
            .prepare_cached("INSERT INTO outbox_run VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
            .execute(params![id(job), pack_at(at), self.now.0, due.0])
            .map(|_| ())
    }

    /// Lets the event of a run that has changed come soon if its usage is known now. `recorded`: its record has just
    /// come, which is when the waiting begins.
    pub fn settle_event(&self, job: usize, at: RunAt, row: &RunRow, recorded: bool) -> rusqlite::Result<()> {
        if self.book.settings.event_age_ms.is_none() || row.status == Status::Unrecorded {
            return Ok(());
        }
        if recorded {
            self.connection
                .prepare_cached(
                    "UPDATE outbox_run SET since_ms = ?3, due_ms = ?4 WHERE job = ?1 AND at = ?2",
                )?
                .execute(params![id(job), pack_at(at), self.now.0, self.now.plus(SETTLE_MS).0])?;
        }
        if row.provenance == UsageProvenance::Transcript {
            self.connection
                .prepare_cached(
                    "UPDATE outbox_run SET due_ms = min(since_ms + ?4, ?3) WHERE job = ?1 AND at = ?2",
                )?
                .execute(params![id(job), pack_at(at), self.now.plus(QUIET_MS).0, SETTLE_MS])?;
        }
        Ok(())
    }
}
