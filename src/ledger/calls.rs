//! Calls to runs: each call is counted once, in the run that it belongs to as far as is known.

use rusqlite::{OptionalExtension, params};

use super::labels::Labels;
use super::rows::{Calls, RunRow, index};
use super::store::{count, db, id, pack_at, unpack_at, unpack_facts};
use super::writer::Writer;
use super::{Ledger, LedgerError};
use crate::model::{
    BilledCall, Charge, Cost, CostProvenance, Delivery, FailedCall, NanoUsd, Reason, Run, RunAt, RunKey,
    SessionRef, Status, UnixMs, Usage, UsageProvenance,
};

impl Ledger {
    /// Returns the last `limit` recorded runs of a job that started at `until` or before, with their durations in ms.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn recorded_runs(
        &self,
        job_id: &str,
        until: UnixMs,
        limit: usize,
    ) -> Result<Vec<(RunKey, Option<u64>)>, LedgerError> {
        let Some(job) = self.book.job_index.get("", job_id) else { return Ok(Vec::new()) };
        self.load_runs(job, job_id, until, limit).map_err(|error| self.failed(error))
    }

    fn load_runs(
        &self,
        job: usize,
        job_id: &str,
        until: UnixMs,
        limit: usize,
    ) -> rusqlite::Result<Vec<(RunKey, Option<u64>)>> {
        let key = |at: i64| RunKey { job_id: job_id.to_owned(), at: unpack_at(at) };
        if let Some(runs) = &self.book.runs {
            let before = runs.between(job, i64::MIN, pack_at(RunAt::Logged(until)) + 1).rev();
            let recorded = before.filter(|(_, row)| row.status != Status::Unrecorded).take(limit);
            return Ok(recorded.map(|(at, row)| (key(at), row.duration_ms)).collect());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT at, duration_ms, facts FROM run WHERE job = ?1 AND at <= ?2 ORDER BY at DESC",
        )?;
        let mut rows = statement.query(params![id(job), pack_at(RunAt::Logged(until))])?;
        let mut runs = Vec::new();
        while let Some(row) = rows.next()? {
            if runs.len() == limit {
                break;
            }
            if unpack_facts(row.get(2)?).0 != Status::Unrecorded {
                runs.push((key(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(count)));
            }
        }
        Ok(runs)
    }

    /// Returns whether the scheduler said that a job is running when its list was last read.
    #[must_use]
    pub fn is_running(&self, job_id: &str) -> bool {
        self.book.job_index.get("", job_id).is_some_and(|at| self.book.jobs[at].facts.running)
    }
}

/// How much later than a run's end its own last call may be said to have been asked, in milliseconds.
const END_TOLERANCE_MS: i64 = 5_000;

impl Writer<'_> {
    /// Counts a call, or moves it to the run that is now known to be its own.
    pub fn bill(&mut self, call: &BilledCall) -> rusqlite::Result<()> {
        let job = self.job(&call.run.job_id);
        if self.is_folded(call.run.at) {
            return Ok(());
        }
        let key = call.key.cast_signed();
        let known: Option<((i64, i64), i64, Calls)> = self
            .connection
            .prepare_cached("SELECT job, at, labels, cost, cost_provenance FROM call WHERE key = ?1")?
            .query_row([key], |row| {
                let calls = Calls::unpacked(1, row.get(3)?, row.get(4)?);
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?, calls))
            })
            .optional()?;
        let here = (id(job), pack_at(call.run.at));
        if known.is_some_and(|(place, ..)| place == here) {
            return Ok(());
        }
        let run = unrecorded(call);
        let labels = self.call_labels(job, &run)?;
        let priced = self.charge(&self.book.labels[labels], call.at, &usage_of(call), true);
        // One that turns out to be another run's was charged when it was first seen.
        let charged = known.map(|(_, _, charged)| charged);
        let calls = charged.unwrap_or_else(|| Calls::charged(1, settled(priced, call.recorded)));
        self.connection
            .prepare_cached(
                "INSERT INTO call VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET job = ?2, at = ?3, labels = ?4",
            )?
            .execute(params![key, here.0, here.1, id(labels), calls.cost, calls.packed()])?;
        if let Some((place, labels, charged)) = known {
            self.take_away(place, call, (index(labels), charged))?;
        }
        if calls.provenance == CostProvenance::Unpriced {
            let [input, output, read, write] = call.tokens.map(db);
            self.connection
                .prepare_cached("INSERT INTO unpriced_call VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![here.0, here.1, key, call.at.0, input, output, read, write])?;
        }
        let row = RunRow::of(&run, labels, Charge::default());
        if self.insert_run(job, run.key.at, &row)? {
            self.count(1, run.key.at, &row, &[])?;
            self.note_run(job, &run);
        }
        self.change(job, run.key.at, |writer, row| {
            row.add(writer.connection, (job, run.key.at), labels, 1, (call.tokens, calls))?;
            let asked = call.at.since(run.key.at.time());
            if !call.sub_agent && row.context.is_none_or(|(newest, _)| asked >= newest) {
                row.context = Some((asked, call.tokens[0] + call.tokens[2] + call.tokens[3]));
                row.context_limit = priced.context_limit;
            }
            Ok(())
        })
    }

    /// Takes a call out of a run that turned out not to be its own. A run that nothing but such calls told of goes.
    fn take_away(
        &mut self,
        place: (i64, i64),
        call: &BilledCall,
        (labels, charged): (usize, Calls),
    ) -> rusqlite::Result<()> {
        let (job, at) = (index(place.0), unpack_at(place.1));
        self.connection
            .prepare_cached("DELETE FROM unpriced_call WHERE job = ?1 AND at = ?2 AND key = ?3")?
            .execute(params![place.0, place.1, call.key.cast_signed()])?;
        self.change(job, at, |writer, row| {
            row.add(writer.connection, (job, at), labels, -1, (call.tokens, charged))?;
            row.recharge(writer.connection, (job, at), labels)
        })?;
        let key = params![place.0, place.1];
        let is_left =
            self.connection.prepare_cached("SELECT 1 FROM call WHERE job = ?1 AND at = ?2")?.exists(key)?;
        let row = self.load_run(job, at)?;
        if let Some(row) = row.filter(|row| row.status == Status::Unrecorded && !is_left) {
            self.uncount(job, at, &row)?;
            self.delete_run(job, at)?;
        }
        Ok(())
    }

    /// Makes an error of a run whose record says `ok` though its last call failed: 2026.2.17 to 2.22 wrote such.
    pub fn correct(&mut self, failed: &FailedCall) -> rusqlite::Result<()> {
        let job = self.job(&failed.run.job_id);
        let at = failed.run.at;
        let after = failed.at.since(at.time());
        let is_wrong = |row: RunRow| {
            let end = row.duration_ms.map_or(i64::MAX, |ms| db(ms).saturating_add(END_TOLERANCE_MS));
            row.status == Status::Ok && after <= end
        };
        if !self.load_run(job, at)?.is_some_and(is_wrong) {
            return Ok(());
        }
        self.unsettled.insert(job);
        self.touched.insert(job);
        self.change(job, at, |_, row| {
            (row.status, row.reason) = (Status::Error, failed.reason);
            Ok(())
        })
    }

    /// Changes a run, and what is counted with it.
    pub(super) fn change(
        &mut self,
        job: usize,
        at: RunAt,
        change: impl FnOnce(&Self, &mut RunRow) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let Some(mut row) = self.load_run(job, at)? else { return Ok(()) };
        self.uncount(job, at, &row)?;
        change(self, &mut row)?;
        self.save_run(job, at, &row)?;
        self.settle_event(job, at, &row, false)?;
        self.recount(job, at, &row)
    }

    /// Returns the labels of a call: its own model, under the job as it is shown.
    fn call_labels(&mut self, job: usize, run: &Run<&str>) -> rusqlite::Result<usize> {
        let facts = &self.book.jobs[job].facts;
        if facts.label == super::labels::JobLabel::Undecided {
            return self.labels(job, run);
        }
        let labels = Labels::of(&facts.gateway, run, facts.label, &facts.name, facts.agent.as_deref());
        self.label_set(labels)
    }
}

/// Returns the run that a call alone tells of.
fn unrecorded(call: &BilledCall) -> Run<&str> {
    Run {
        key: RunKey { job_id: &call.run.job_id, at: call.run.at },
        recorded_at: call.at,
        status: Status::Unrecorded,
        reason: Reason::None,
        duration_ms: None,
        job_name: None,
        agent: call.agent.as_deref(),
        provider: call.provider.as_deref(),
        model: call.model.as_deref(),
        usage: Usage::default(),
        provenance: UsageProvenance::None,
        delivery: Delivery::Unknown,
        session: SessionRef::default(),
        next_run_at: None,
        is_announced: false,
    }
}

fn usage_of(call: &BilledCall) -> Usage {
    let [input, output, cache_read, cache_write] = call.tokens.map(Some);
    Usage { input, output, cache_read, cache_write }
}

/// Returns what a call is charged: what the gateway reckoned itself, unless it knew no price for some of its tokens.
fn settled(priced: Charge, recorded: Option<NanoUsd>) -> Charge {
    let Some(recorded) = recorded.filter(|usd| *usd > NanoUsd::ZERO) else { return priced };
    let cost = match priced.cost.provenance {
        CostProvenance::LowerBound => Cost { usd: recorded.max(priced.cost.usd), ..priced.cost },
        _ => Cost { usd: recorded, provenance: CostProvenance::Recorded },
    };
    Charge { cost, ..priced }
}
