//! One transaction's work on runs: what becomes of each record, and of each call that a run was billed for.

use std::collections::BTreeSet;

use rusqlite::{CachedStatement, Connection, params};

use super::apply::Applied;
use super::book::Book;
use super::labels::Labels;
use super::merge::{Known, Outcome, merge};
use super::pricing::{Pricing, Spent};
use super::rows::{Calls, Part, RunRow};
use super::segments;
use super::series::{Change, Changes};
use super::store::{db, id, pack_at, pack_facts, unpack_facts};
use super::totals::{ContextKind, SeriesKind, bucket};
use crate::model::{
    Batch, Charge, CostProvenance, GatewayEvent, Priceable, Run, RunAt, Status, TokenKind, UnixMs, Usage,
    UsageProvenance,
};

/// One transaction's work on runs.
pub(super) struct Writer<'a> {
    /// In a transaction, unless the ledger is in memory.
    pub connection: &'a Connection,
    pub book: &'a mut Book,
    pub now: UnixMs,
    /// The gateway whose jobs are meant; empty: the one that the ledger belongs to.
    pub gateway: String,
    insert: CachedStatement<'a>,
    applied: Applied,
    /// Records by outcome, in the order of [`Outcome::ALL`].
    outcomes: [u64; Outcome::ALL.len()],
    changes: Changes,
    pub touched: BTreeSet<usize>,
    /// Jobs whose streak of errors cannot be carried forward.
    pub unsettled: BTreeSet<usize>,
    newest_record: Option<UnixMs>,
    /// The job that was asked for last.
    pub(super) last_job: usize,
    pricing: &'a Pricing,
    /// By how much spending moved, and when it was spent.
    spent: Vec<Spent>,
}

impl<'a> Writer<'a> {
    pub fn new(
        connection: &'a Connection,
        book: &'a mut Book,
        pricing: &'a Pricing,
        now: UnixMs,
    ) -> rusqlite::Result<Self> {
        let insert = connection.prepare_cached(
            "INSERT INTO run (job, at, recorded, duration_ms, labels, facts, input, output, cache_read, cache_write,
                cost, cost_provenance)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
        )?;
        Ok(Self {
            connection,
            book,
            now,
            gateway: String::new(),
            insert,
            applied: Applied::default(),
            outcomes: [0; Outcome::ALL.len()],
            changes: Changes::new(),
            touched: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            newest_record: None,
            last_job: 0,
            pricing,
            spent: Vec::new(),
        })
    }

    /// Puts in what a batch holds. Returns what it did, what it moves, and the jobs that it changed.
    /// `fresh` are those of its events that were not known.
    pub fn record_all(
        mut self,
        batch: &Batch,
        fresh: &[&GatewayEvent],
    ) -> rusqlite::Result<(Applied, Changes, BTreeSet<usize>)> {
        let mut last = None;
        for (run, is_kin) in batch.runs.iter_with_kin() {
            self.newest_record = self.newest_record.max(Some(run.without_texts().recorded_at));
            let outcome;
            (outcome, last) = match last.filter(|_| is_kin) {
                Some(place) => (self.record_under(place, run.without_texts(), || run.get())?, Some(place)),
                None => self.record_in(&run.get())?,
            };
            if batch.again && matches!(outcome, Outcome::Duplicate | Outcome::Conflict | Outcome::Expired) {
                continue;
            }
            self.count_outcome(outcome);
        }
        for call in &batch.calls {
            self.bill(call)?;
        }
        for failed in &batch.failed {
            self.correct(failed)?;
        }
        self.note_events(fresh)?;
        self.note_source(batch);
        self.finish()
    }

    /// Brings what was done to an end and returns it.
    pub fn finish(mut self) -> rusqlite::Result<(Applied, Changes, BTreeSet<usize>)> {
        self.settle_streaks()?;
        self.spent.retain(|spent| spent.nano_usd != 0);
        let counted = Outcome::ALL.into_iter().zip(self.outcomes).filter(|(_, n)| *n > 0);
        self.applied.outcomes = counted.collect();
        self.applied.spent = self.spent;
        Ok((self.applied, self.changes, self.touched))
    }

    /// Counts what became of a record.
    pub fn count_outcome(&mut self, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
    }

    /// Puts one record in: the outcomes table.
    pub fn record(&mut self, run: &Run<&str>) -> rusqlite::Result<Outcome> {
        Ok(self.record_in(run)?.0)
    }

    /// The same. Returns the job and the labels too, both as indexes, for a next record that is counted under them.
    fn record_in(&mut self, run: &Run<&str>) -> rusqlite::Result<(Outcome, Option<(usize, usize)>)> {
        let job = self.job(run.key.job_id);
        if self.is_folded(run.key.at) {
            return Ok((Outcome::Expired, None));
        }
        let place = (job, self.labels(job, run)?);
        Ok((self.record_under(place, run, || run.clone())?, Some(place)))
    }

    /// The same where job and labels are known. `whole` is the run with its texts.
    fn record_under<'r, T>(
        &mut self,
        (job, labels): (usize, usize),
        run: &Run<T>,
        whole: impl FnOnce() -> Run<&'r str>,
    ) -> rusqlite::Result<Outcome> {
        if self.is_folded(run.key.at) {
            return Ok(Outcome::Expired);
        }
        let charge = self.charge(&self.book.labels[labels], run.key.at.time(), &run.usage, false);
        let row = RunRow::of(run, labels, charge);
        if !self.insert_run(job, run.key.at, &row)? {
            return self.update(job, &whole());
        }
        self.count(1, run.key.at, &row, &[row.own()])?;
        self.note_run(job, run);
        self.await_notice(job, run)?;
        Ok(Outcome::Inserted)
    }

    /// Returns whether retention has folded away what started then.
    pub fn is_folded(&self, at: RunAt) -> bool {
        self.book.folded_before.is_some_and(|before| at.time() < before)
    }

    /// Inserts a run; returns whether it was not there.
    pub fn insert_run(&mut self, job: usize, at: RunAt, row: &RunRow) -> rusqlite::Result<bool> {
        let is_new = match &mut self.book.runs {
            Some(runs) => runs.insert(job, at, row),
            None => self.insert_row(job, at, row)?,
        };
        if is_new {
            *self.book.counters.provenance.entry(row.provenance).or_default() += 1;
        }
        Ok(is_new)
    }

    fn insert_row(&mut self, job: usize, at: RunAt, row: &RunRow) -> rusqlite::Result<bool> {
        let charged = (row.calls.provenance != CostProvenance::None).then_some(row.calls);
        let inserted = self.insert.execute(params![
            id(job),
            pack_at(at),
            row.recorded,
            row.duration_ms.map(db),
            id(row.labels),
            pack_facts(row.status, row.reason, row.delivery, row.provenance),
            row.usage.input.map(db),
            row.usage.output.map(db),
            row.usage.cache_read.map(db),
            row.usage.cache_write.map(db),
            charged.map(|calls| calls.cost),
            charged.map(Calls::packed),
        ])?;
        if inserted > 0 {
            segments::uncover(self.connection, self.book, job, at)?;
            self.expect_event(job, at, row)?;
        }
        Ok(inserted > 0)
    }

    /// Returns a run; `None` if there is none.
    pub fn load_run(&self, job: usize, at: RunAt) -> rusqlite::Result<Option<RunRow>> {
        match &self.book.runs {
            Some(runs) => Ok(runs.get(job, at)),
            None => RunRow::load(self.connection, job, at),
        }
    }

    /// Writes a run that is there.
    pub fn save_run(&mut self, job: usize, at: RunAt, row: &RunRow) -> rusqlite::Result<()> {
        match &mut self.book.runs {
            Some(runs) => runs.set(job, at, row),
            None => row.save(self.connection, job, at)?,
        }
        Ok(())
    }

    /// Removes a run.
    pub fn delete_run(&mut self, job: usize, at: RunAt) -> rusqlite::Result<()> {
        match &mut self.book.runs {
            Some(runs) => runs.remove(job, at),
            None => {
                _ = self
                    .connection
                    .prepare_cached("DELETE FROM run WHERE job = ?1 AND at = ?2")?
                    .execute(params![id(job), pack_at(at)])?
            }
        }
        Ok(())
    }

    /// Returns what a usage under these labels is charged.
    pub fn charge(&self, labels: &Labels, at: UnixMs, usage: &Usage, one_call: bool) -> Charge {
        let (provider, model) = (labels.provider.as_str(), labels.model.as_str());
        (self.pricing)(Priceable { provider, model, at, usage, one_call })
    }

    /// Merges a record into the run that is known under its key.
    fn update(&mut self, job: usize, run: &Run<&str>) -> rusqlite::Result<Outcome> {
        let at = run.key.at;
        let Some(mut row) = self.load_run(job, at)? else { return Ok(Outcome::Duplicate) };
        let mut known = Known {
            status: row.status,
            reason: row.reason,
            duration_ms: row.duration_ms,
            labels: Labels::clone(&self.book.labels[row.labels]),
            usage: row.usage,
            provenance: row.provenance,
            delivery: row.delivery,
        };
        let was_unrecorded = row.status == Status::Unrecorded;
        let outcome = merge(&mut known, run);
        if outcome != Outcome::Updated {
            return Ok(outcome);
        }
        self.uncount(job, at, &row)?;
        let labels = self.label_set(known.labels)?;
        let (relabelled, before) = (labels != row.labels, (row.usage, row.provenance));
        if was_unrecorded {
            row.take_record(self.connection, job, at, run)?;
            row.relabel(self.connection, job, at, labels)?;
            self.note_run(job, run);
            self.await_notice(job, run)?;
        } else {
            row.relabel(self.connection, job, at, labels)?;
            // What the calls told is where `relabel` has put it.
            if row.provenance != UsageProvenance::Transcript {
                (row.usage, row.provenance) = (known.usage, known.provenance);
            }
        }
        (row.status, row.reason, row.delivery) = (known.status, known.reason, known.delivery);
        row.duration_ms = known.duration_ms;
        let is_record_s = row.provenance != UsageProvenance::Transcript;
        if is_record_s && (relabelled || before != (row.usage, row.provenance)) {
            let charge = self.charge(&self.book.labels[labels], at.time(), &row.usage, false);
            row.calls = Calls::charged(0, charge);
        }
        self.save_run(job, at, &row)?;
        self.settle_event(job, at, &row, was_unrecorded)?;
        self.recount(job, at, &row)?;
        self.unsettled.insert(job);
        self.touched.insert(job);
        Ok(outcome)
    }

    /// Takes a run out of all that is counted, and the segment that it lies in away, before it changes.
    pub fn uncount(&mut self, job: usize, at: RunAt, row: &RunRow) -> rusqlite::Result<()> {
        segments::uncover(self.connection, self.book, job, at)?;
        let parts = row.load_parts(self.connection, job, at)?;
        self.count(-1, at, row, &parts)?;
        let provenance = self.book.counters.provenance.entry(row.provenance).or_default();
        *provenance = provenance.saturating_sub(1);
        Ok(())
    }

    /// Counts a run that has changed.
    pub fn recount(&mut self, job: usize, at: RunAt, row: &RunRow) -> rusqlite::Result<()> {
        let parts = row.load_parts(self.connection, job, at)?;
        self.count(1, at, row, &parts)?;
        *self.book.counters.provenance.entry(row.provenance).or_default() += 1;
        Ok(())
    }

    /// Moves the series of a run up or down by what it counts.
    pub fn count(&mut self, sign: i64, at: RunAt, row: &RunRow, parts: &[Part]) -> rusqlite::Result<()> {
        let recorded_at = at.time().plus(row.recorded);
        if !self.is_counted(recorded_at) {
            return Ok(());
        }
        if let Some(outcome) = row.delivery.webhook() {
            let labels = self.without_model(row.labels)?;
            self.move_series(labels, SeriesKind::Deliveries(outcome), sign, recorded_at);
        }
        let mut add = |labels, kind: SeriesKind, amount: u64| {
            let first = recorded_at;
            let change =
                self.changes.entry((labels, kind)).or_insert(Change { total: 0, buckets: None, first });
            change.total += sign * db(amount);
            change.first = change.first.min(first);
            if let Some(bounds) = kind.bounds() {
                change.buckets.get_or_insert_with(Box::default)[bucket(bounds, amount)] += sign;
            }
        };
        let mut whole: Option<u64> = None;
        let is_wasted = matches!(row.status, Status::Error | Status::Unrecorded);
        for part in parts {
            let cost = part.calls.cost.max(0).cast_unsigned();
            if cost > 0 {
                add(part.labels, SeriesKind::Cost(part.calls.billing), cost);
                if is_wasted {
                    add(part.labels, SeriesKind::WastedCost(row.status), cost);
                }
            }
            if part.calls.provenance == CostProvenance::Unpriced && part.usage.total() > 0 {
                add(part.labels, SeriesKind::Unpriced, part.usage.total());
            }
            let known = self.book.counters.cost.entry(part.calls.provenance).or_default();
            *known = known.saturating_add_signed(sign * db(cost));
            self.spent.push(Spent { at: at.time(), labels: part.labels, nano_usd: sign * db(cost) });
            for kind in TokenKind::ALL {
                let Some(tokens) = part.usage.get(kind) else { continue };
                whole = Some(whole.unwrap_or(0).saturating_add(tokens));
                if tokens > 0 {
                    add(part.labels, SeriesKind::Tokens(kind), tokens);
                    if is_wasted {
                        add(part.labels, SeriesKind::Wasted(row.status, kind), tokens);
                    }
                }
            }
        }
        if let Some(tokens) = whole {
            add(row.labels, SeriesKind::RunTokens, tokens);
        }
        if let Some(duration_ms) = row.duration_ms {
            add(row.labels, SeriesKind::Duration, duration_ms);
        }
        if let Some((_, used)) = row.context {
            add(row.labels, SeriesKind::Context(ContextKind::Used), used);
        }
        if let Some(limit) = row.context_limit {
            add(row.labels, SeriesKind::Context(ContextKind::Limit), limit);
        }
        add(row.labels, SeriesKind::Runs(row.status, row.reason), 1);
        Ok(())
    }

    /// Returns whether what was written down then is exported: not what was before a lost ledger was rebuilt.
    pub fn is_counted(&self, written: UnixMs) -> bool {
        self.book.count_from.is_none_or(|from| written >= from)
    }

    /// Moves a series that is no histogram.
    pub fn move_series(&mut self, labels: usize, kind: SeriesKind, by: i64, at: UnixMs) {
        let change =
            self.changes.entry((labels, kind)).or_insert(Change { total: 0, buckets: None, first: at });
        change.total += by;
        change.first = change.first.min(at);
    }

    /// Carries the job's newest run, newest success and streak of errors forward.
    pub fn note_run<T>(&mut self, job: usize, run: &Run<T>) {
        let started = run.key.at.time();
        let facts = &mut self.book.jobs[job].facts;
        let newest = facts.last_run.is_none_or(|last| started >= last);
        facts.last_run = facts.last_run.max(Some(started));
        if run.status == Status::Ok {
            facts.last_success = facts.last_success.max(Some(started));
        }
        match (newest, run.status) {
            (true, Status::Ok) => facts.consecutive_errors = 0,
            (true, Status::Error) => facts.consecutive_errors += 1,
            (true, Status::Skipped | Status::Unknown | Status::Unrecorded) => {}
            (false, _) => _ = self.unsettled.insert(job),
        }
        if newest && run.next_run_at.is_some() {
            facts.next_run = run.next_run_at;
        }
        self.touched.insert(job);
    }

    /// Counts the streak anew for jobs whose runs came out of order or changed.
    fn settle_streaks(&mut self) -> rusqlite::Result<()> {
        if self.book.runs.is_some() {
            // Nobody is told of it.
            return Ok(());
        }
        for job in std::mem::take(&mut self.unsettled) {
            let mut statement = self
                .connection
                .prepare_cached("SELECT at, facts FROM run WHERE job = ?1 ORDER BY at DESC")?;
            let mut rows = statement.query([id(job)])?;
            let facts = &mut self.book.jobs[job].facts;
            facts.consecutive_errors = 0;
            while let Some(row) = rows.next()? {
                match unpack_facts(row.get(1)?).0 {
                    Status::Ok => {
                        let at = super::store::unpack_at(row.get(0)?).time();
                        facts.last_success = facts.last_success.max(Some(at));
                        break;
                    }
                    Status::Error => facts.consecutive_errors += 1,
                    Status::Skipped | Status::Unknown | Status::Unrecorded => {}
                }
            }
        }
        Ok(())
    }

    fn note_source(&mut self, batch: &Batch) {
        let kind = batch.source.0.split('/').next().unwrap_or_default();
        let facts = self.book.counters.sources.entry(kind.to_owned()).or_default();
        facts.gaps += u64::from(batch.gap);
        if let Some(newest) = self.newest_record {
            self.note_record(kind, newest);
        }
    }

    /// Notes when a record of a source was written down.
    pub fn note_record(&mut self, source: &str, at: UnixMs) {
        let facts = self.book.counters.sources.entry(source.to_owned()).or_default();
        if facts.last_record.is_none_or(|last| last < at) {
            facts.last_record = Some(at);
            facts.lag_ms = Some(self.now.since(at));
        }
    }
}
