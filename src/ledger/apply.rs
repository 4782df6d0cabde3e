//! Commits a batch: position, runs and counters in one transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, Transaction, params};

use super::book::{Book, Job};
use super::labels::{self, JobLabel, Labels};
use super::merge::{Known, Outcome, merge};
use super::positions::save_position;
use super::series::{Change, Changes, Held, changed_series};
use super::store::{
    count, db, id, pack_at, pack_facts, save_counters, save_job, save_labels, save_series, unpack_facts,
    usage,
};
use super::totals::{Series, SeriesKind, Totals, bucket};
use super::{Ledger, LedgerError, lock};
use crate::model::{Batch, Position, Reject, Run, SourceId, Status, TokenKind, UnixMs, Usage};

/// What a committed batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Records by outcome.
    pub outcomes: HashMap<Outcome, u64>,
    /// Whether anything that is exported changed.
    pub changed: bool,
}

impl Ledger {
    /// Returns how far a source has been read.
    #[must_use]
    pub fn position(&self, source: &SourceId) -> Option<&Position> {
        self.book.positions.get(source)
    }

    /// Commits a batch, or nothing of it.
    ///
    /// # Errors
    /// [`LedgerError::Position`] if the batch does not begin at the stored position; else what SQLite says. The
    /// same batch can be given again.
    pub fn apply(&mut self, batch: &Batch, now: UnixMs) -> Result<Applied, LedgerError> {
        if self.book.stale {
            self.reload()?;
        }
        if self.position(&batch.source) != batch.from.as_ref() {
            return Err(LedgerError::Position { source_id: batch.source.to_string() });
        }
        // Until the commit has succeeded, memory is ahead of the database.
        self.book.stale = true;
        let before = self.book.counters.clone();
        let held = self.held.as_ref();
        let result = write(&mut self.connection, &mut self.book, &self.totals, held, batch, now);
        let (applied, series, touched) = result.map_err(|error| self.failed(error))?;
        self.book.stale = false;
        let changed = !series.is_empty() || self.book.counters != before;
        let mut news = self.held.take();
        let held = news.is_some();
        let pending = news.get_or_insert_default();
        pending.series.extend(series.into_iter().map(|series| (series.seq, series)));
        pending.jobs.extend(touched);
        pending.changed |= changed;
        self.held = news;
        if !held {
            self.release();
        }
        Ok(Applied { changed, ..applied })
    }
}

type Written = (Applied, Vec<Series>, BTreeSet<usize>);

fn write(
    connection: &mut Connection,
    book: &mut Book,
    totals: &std::sync::Mutex<Totals>,
    held: Option<&Held>,
    batch: &Batch,
    now: UnixMs,
) -> rusqlite::Result<Written> {
    let transaction = connection.transaction()?;
    let before = book.counters.clone();
    let (applied, changes, touched) = Writer::new(&transaction, book, now)?.record_all(batch)?;
    for (outcome, n) in &applied.outcomes {
        *book.counters.outcomes.entry(*outcome).or_default() += n;
    }
    let rejects: &[Reject] = if batch.again { &[] } else { &batch.rejects };
    for reject in rejects {
        *book.counters.rejects.entry(reject.reason).or_default() += 1;
        transaction
            .prepare_cached("INSERT INTO reject VALUES (?1, ?2) ON CONFLICT DO UPDATE SET sample = ?2")?
            .execute(params![reject.reason.as_str(), reject.sample])?;
    }
    let series = changed_series(&lock(totals), held, book, changes, now);
    for series in &series {
        save_series(&transaction, series)?;
    }
    for job in &touched {
        save_job(&transaction, *job, &book.jobs[*job])?;
    }
    save_counters(&transaction, &before, &book.counters)?;
    if batch.from.as_ref() != Some(&batch.to) {
        save_position(&transaction, &batch.source, &batch.to)?;
    }
    transaction.commit()?;
    book.positions.insert(batch.source.clone(), batch.to.clone());
    for series in &series {
        book.series_index.insert((series.labels, series.kind), series.seq);
    }
    Ok((applied, series, touched))
}

/// One transaction's work on runs.
struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    book: &'a mut Book,
    now: UnixMs,
    insert: CachedStatement<'a>,
    applied: Applied,
    changes: Changes,
    touched: BTreeSet<usize>,
    /// Jobs whose streak of errors cannot be carried forward.
    unsettled: BTreeSet<usize>,
    newest_record: Option<UnixMs>,
}

/// What of a run is counted.
#[derive(Clone, Copy)]
struct Counted<'a> {
    labels: usize,
    status: Status,
    reason: crate::model::Reason,
    duration_ms: Option<u64>,
    usage: &'a Usage,
    recorded_at: UnixMs,
}

impl<'a> Writer<'a> {
    fn new(transaction: &'a Transaction<'a>, book: &'a mut Book, now: UnixMs) -> rusqlite::Result<Self> {
        let insert = transaction.prepare_cached(
            "INSERT INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        )?;
        Ok(Self {
            transaction,
            book,
            now,
            insert,
            applied: Applied::default(),
            changes: Changes::new(),
            touched: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            newest_record: None,
        })
    }

    fn record_all(mut self, batch: &Batch) -> rusqlite::Result<(Applied, Changes, BTreeSet<usize>)> {
        for run in &batch.runs {
            let outcome = self.record(run)?;
            if batch.again && matches!(outcome, Outcome::Duplicate | Outcome::Conflict | Outcome::Expired) {
                continue;
            }
            *self.applied.outcomes.entry(outcome).or_default() += 1;
        }
        self.note_source(batch);
        self.settle_streaks()?;
        Ok((self.applied, self.changes, self.touched))
    }

    /// Puts one record in: the outcomes table.
    fn record(&mut self, run: &Run) -> rusqlite::Result<Outcome> {
        let job = self.job(run);
        let started = run.key.at.time();
        self.newest_record = self.newest_record.max(Some(run.recorded_at));
        if self.book.folded_before.is_some_and(|before| started < before) {
            return Ok(Outcome::Expired);
        }
        let labels = self.labels(job, run)?;
        let facts = pack_facts(run.status, run.reason, run.delivery, run.provenance);
        let inserted = self.insert.execute(params![
            id(job),
            pack_at(run.key.at),
            run.recorded_at.since(started),
            run.duration_ms.map(db),
            id(labels),
            facts,
            run.usage.input.map(db),
            run.usage.output.map(db),
            run.usage.cache_read.map(db),
            run.usage.cache_write.map(db),
        ])?;
        if inserted == 0 {
            return self.update(job, run);
        }
        *self.book.counters.provenance.entry(run.provenance).or_default() += 1;
        self.count(
            1,
            Counted {
                labels,
                status: run.status,
                reason: run.reason,
                duration_ms: run.duration_ms,
                usage: &run.usage,
                recorded_at: run.recorded_at,
            },
        );
        self.note_run(job, run);
        Ok(Outcome::Inserted)
    }

    /// Merges a record into the run that is known under its key.
    fn update(&mut self, job: usize, run: &Run) -> rusqlite::Result<Outcome> {
        let key = params![id(job), pack_at(run.key.at)];
        let (recorded, mut known, labels) = self
            .transaction
            .prepare_cached(
                "SELECT recorded, duration_ms, labels, facts, input, output, cache_read, cache_write
                 FROM run WHERE job = ?1 AND at = ?2",
            )?
            .query_row(key, |row| {
                let (status, reason, delivery, provenance) = unpack_facts(row.get(3)?);
                let labels = usize::try_from(row.get::<_, i64>(2)? - 1).unwrap_or(usize::MAX);
                let known = Known {
                    status,
                    reason,
                    duration_ms: row.get::<_, Option<i64>>(1)?.map(count),
                    labels: Labels::clone(&self.book.labels[labels]),
                    usage: usage(row, 4)?,
                    provenance,
                    delivery,
                };
                Ok((row.get::<_, i64>(0)?, known, labels))
            })?;
        let before = known.clone();
        let outcome = merge(&mut known, run);
        if outcome != Outcome::Updated {
            return Ok(outcome);
        }
        let recorded_at = run.key.at.time().plus(recorded);
        let counted = |known: &Known, labels: usize| (known.status, known.reason, known.duration_ms, labels);
        let new_labels = self.label_set(known.labels.clone())?;
        for (sign, known, labels) in [(-1, &before, labels), (1, &known, new_labels)] {
            let (status, reason, duration_ms, labels) = counted(known, labels);
            self.count(
                sign,
                Counted { labels, status, reason, duration_ms, usage: &known.usage, recorded_at },
            );
        }
        let provenance = &mut self.book.counters.provenance;
        provenance.entry(before.provenance).and_modify(|n| *n = n.saturating_sub(1));
        *provenance.entry(known.provenance).or_default() += 1;
        self.transaction
            .prepare_cached(
                "UPDATE run SET duration_ms = ?3, labels = ?4, facts = ?5, input = ?6, output = ?7,
                 cache_read = ?8, cache_write = ?9 WHERE job = ?1 AND at = ?2",
            )?
            .execute(params![
                id(job),
                pack_at(run.key.at),
                known.duration_ms.map(db),
                id(new_labels),
                pack_facts(known.status, known.reason, known.delivery, known.provenance),
                known.usage.input.map(db),
                known.usage.output.map(db),
                known.usage.cache_read.map(db),
                known.usage.cache_write.map(db),
            ])?;
        self.unsettled.insert(job);
        self.touched.insert(job);
        Ok(outcome)
    }

    /// Moves the series of a run up or down by what it counts.
    fn count(&mut self, sign: i64, run: Counted<'_>) {
        if self.book.count_from.is_some_and(|from| run.recorded_at < from) {
            return;
        }
        let mut add = |kind, amount: u64| {
            let change = self.changes.entry((run.labels, kind)).or_insert(Change {
                total: 0,
                buckets: None,
                first: run.recorded_at,
            });
            change.total += sign * db(amount);
            change.first = change.first.min(run.recorded_at);
            if kind == SeriesKind::Duration {
                change.buckets.get_or_insert_with(Box::default)[bucket(amount)] += sign;
            }
        };
        for kind in TokenKind::ALL {
            if let Some(tokens) = run.usage.get(kind).filter(|tokens| *tokens > 0) {
                add(SeriesKind::Tokens(kind), tokens);
            }
        }
        if let Some(duration_ms) = run.duration_ms {
            add(SeriesKind::Duration, duration_ms);
        }
        add(SeriesKind::Runs(run.status, run.reason), 1);
    }

    /// Returns the index of the run's job, which may be new.
    fn job(&mut self, run: &Run) -> usize {
        if let Some(at) = self.book.job_index.get(&run.key.job_id) {
            return *at;
        }
        let at = self.book.jobs.len();
        let mut job = Job::default();
        job.facts.job_id.clone_from(&run.key.job_id);
        job.facts.enabled = true;
        self.book.jobs.push(job);
        self.book.job_index.insert(run.key.job_id.clone(), at);
        self.touched.insert(at);
        at
    }

    /// Returns the index of the labels that the run is counted under.
    fn labels(&mut self, job: usize, run: &Run) -> rusqlite::Result<usize> {
        if self.book.jobs[job].facts.label == JobLabel::Undecided {
            let (own_jobs, max_jobs) = (self.book.own_jobs(), self.book.settings.max_jobs);
            let entry = &mut self.book.jobs[job];
            entry.facts.label = labels::decide(entry.schedule, entry.facts.defined, run, own_jobs, max_jobs);
            self.touched.insert(job);
        }
        let entry = &mut self.book.jobs[job];
        if let Some(name) = run.job_name.as_deref().filter(|_| entry.facts.name.is_empty()) {
            labels::bounded(name).clone_into(&mut entry.facts.name);
            self.touched.insert(job);
        }
        if entry.defined_agent.is_none() && run.agent.is_some() && run.agent != entry.facts.agent {
            entry.facts.agent.clone_from(&run.agent);
            self.touched.insert(job);
        }
        let (label, name) = (entry.facts.label, entry.facts.name.as_str());
        let agent = entry.facts.agent.as_deref();
        if let Some(last) = entry.last_labels
            && self.book.labels[last].are_of(run, label, name, agent)
        {
            return Ok(last);
        }
        let wanted = Labels::of(run, label, name, agent);
        let at = self.label_set(wanted)?;
        self.book.jobs[job].last_labels = Some(at);
        Ok(at)
    }

    fn label_set(&mut self, labels: Labels) -> rusqlite::Result<usize> {
        if let Some(at) = self.book.label_index.get(&labels) {
            return Ok(*at);
        }
        let at = self.book.labels.len();
        save_labels(self.transaction, at, &labels)?;
        let labels = Arc::new(labels);
        self.book.labels.push(Arc::clone(&labels));
        self.book.label_index.insert(labels, at);
        Ok(at)
    }

    /// Carries the job's newest run, newest success and streak of errors forward.
    fn note_run(&mut self, job: usize, run: &Run) {
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
            (true, Status::Skipped | Status::Unknown) => {}
            (false, _) => _ = self.unsettled.insert(job),
        }
        if newest && run.next_run_at.is_some() {
            facts.next_run = run.next_run_at;
        }
        self.touched.insert(job);
    }

    /// Counts the streak anew for jobs whose runs came out of order or changed.
    fn settle_streaks(&mut self) -> rusqlite::Result<()> {
        for job in std::mem::take(&mut self.unsettled) {
            let mut statement = self
                .transaction
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
                    Status::Skipped | Status::Unknown => {}
                }
            }
        }
        Ok(())
    }

    fn note_source(&mut self, batch: &Batch) {
        let kind = batch.source.0.split('/').next().unwrap_or_default();
        let facts = self.book.counters.sources.entry(kind.to_owned()).or_default();
        facts.gaps += u64::from(batch.gap);
        if self.newest_record > facts.last_record {
            facts.last_record = self.newest_record;
            facts.lag_ms = self.newest_record.map(|at| self.now.since(at));
        }
    }
}
