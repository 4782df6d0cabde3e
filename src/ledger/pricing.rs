//! What is charged, and what that comes to over time: prices are the caller's, sums are the ledger's.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::apply::Applied;
use super::book::Book;
use super::rows::{Calls, index};
use super::series::{Held, changed_series};
use super::store::{db, id, pack_at, save_counters, save_series, unpack_at, usage};
use super::totals::{Series, Totals};
use super::writer::Writer;
use super::{Ledger, LedgerError, lock};
use crate::model::{Charge, Cost, CostProvenance, Priceable, RunAt, UnixMs, Usage, UsageProvenance};

/// Returns what a usage is charged at the prices of the moment.
pub type Pricing = Arc<dyn Fn(Priceable<'_>) -> Charge + Send + Sync>;

/// By how much spending moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When the run started; of a sum, its first.
    pub at: UnixMs,
    /// Index of the labels.
    pub labels: usize,
    /// In nano-USD.
    pub nano_usd: i64,
}

/// Returns the prices of somebody who knows none.
pub(super) fn unpriced() -> Pricing {
    Arc::new(|asked| {
        let known = asked.usage != &Usage::default();
        let provenance = if known { CostProvenance::Unpriced } else { CostProvenance::None };
        Charge { cost: Cost { provenance, ..Cost::default() }, ..Charge::default() }
    })
}

/// Runs that are priced in one transaction.
const BATCH_RUNS: usize = 2_000;

impl Ledger {
    /// Prices from now on like this. What was priced before stays as it was.
    pub fn set_pricing(&mut self, pricing: Pricing) {
        self.pricing = pricing;
    }

    /// Prices what had no price when it was counted. Returns whether anything exported changed.
    ///
    /// # Errors
    /// What SQLite says; what was priced before stays priced.
    pub fn price_unpriced(&mut self, now: UnixMs) -> Result<bool, LedgerError> {
        if self.book.stale {
            self.reload()?;
        }
        let (mut after, mut changed) = (Some((0, i64::MIN)), false);
        while let Some(key) = after {
            self.book.stale = true;
            let held = self.held.as_ref();
            let before = self.book.counters.clone();
            let written = price_some(
                (&mut self.connection, &mut self.book, &self.pricing),
                &self.totals,
                held,
                key,
                now,
            );
            let (next, applied, series, touched) = written.map_err(|error| self.failed(error))?;
            self.book.stale = false;
            let moved = !series.is_empty() || self.book.counters != before;
            changed |= moved;
            self.publish(applied.spent, series, touched, moved);
            after = next;
        }
        Ok(changed)
    }

    /// Returns by how much spending moved since this was last asked, and whether too much happened to keep it all.
    pub fn take_spent(&mut self) -> (Vec<Spent>, bool) {
        (std::mem::take(&mut self.spent), std::mem::take(&mut self.spent_overflowed))
    }

    /// Returns what runs that started in `[from, until)` cost in nano-USD, by index of the labels.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn spent_between(&self, from: UnixMs, until: UnixMs) -> Result<Vec<Spent>, LedgerError> {
        self.sum_spent(from, until).map_err(|error| self.failed(error))
    }

    fn sum_spent(&self, from: UnixMs, until: UnixMs) -> rusqlite::Result<Vec<Spent>> {
        let bounds = (pack_at(RunAt::Started(from)), pack_at(RunAt::Started(until)));
        let transcript = UsageProvenance::Transcript as i64;
        let mut own = self.connection.prepare_cached(
            "SELECT labels, sum(cost), min(at) FROM run WHERE job = ?1 AND at >= ?2 AND at < ?3 AND cost > 0 GROUP BY labels",
        )?;
        let mut others = self.connection.prepare_cached(
            "SELECT run_usage.labels, sum(run_usage.cost), min(at) FROM run_usage JOIN run USING (job, at)
             WHERE job = ?1 AND at >= ?2 AND at < ?3 AND facts >> 8 & 7 = ?4 GROUP BY run_usage.labels",
        )?;
        let mut spent = Vec::new();
        // Job by job, since runs are stored in the order of jobs.
        for job in 1..=id(self.book.jobs.len()) - 1 {
            let mut add = |row: &rusqlite::Row<'_>| {
                let labels = usize::try_from(row.get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
                spent.push(Spent { at: unpack_at(row.get(2)?).time(), labels, nano_usd: row.get(1)? });
                Ok::<_, rusqlite::Error>(())
            };
            let mut rows = own.query(params![job, bounds.0, bounds.1])?;
            while let Some(row) = rows.next()? {
                add(row)?;
            }
            let mut rows = others.query(params![job, bounds.0, bounds.1, transcript])?;
            while let Some(row) = rows.next()? {
                add(row)?;
            }
        }
        Ok(spent)
    }
}

type Priced = (Option<(i64, i64)>, Applied, Vec<Series>, BTreeSet<usize>);

/// Prices some runs behind a key; returns the key of the last, if there may be more.
fn price_some(
    (connection, book, pricing): (&mut Connection, &mut Book, &Pricing),
    totals: &std::sync::Mutex<Totals>,
    held: Option<&Held>,
    after: (i64, i64),
    now: UnixMs,
) -> rusqlite::Result<Priced> {
    let transaction = connection.transaction()?;
    let before = book.counters.clone();
    let mut keys: BTreeSet<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT job, at FROM run WHERE cost_provenance & 7 = 1 AND (job, at) > (?1, ?2)
             UNION SELECT job, at FROM unpriced_call WHERE (job, at) > (?1, ?2)
             ORDER BY job, at LIMIT ?3",
        )?
        .query_map(params![after.0, after.1, db(BATCH_RUNS as u64)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if let Some(runs) = &book.runs {
        keys.extend(runs.unpriced(after).take(BATCH_RUNS));
    }
    let keys: Vec<(i64, i64)> = keys.into_iter().take(BATCH_RUNS).collect();
    let mut writer = Writer::new(&transaction, book, pricing, now)?;
    for (job, at) in &keys {
        writer.price(index(*job), unpack_at(*at))?;
    }
    let (applied, changes, touched) = writer.finish()?;
    let series = changed_series(&lock(totals), held, book, changes, now);
    for series in &series {
        save_series(&transaction, series)?;
    }
    save_counters(&transaction, &before, &book.counters)?;
    transaction.commit()?;
    for series in &series {
        book.series_index.insert((series.labels, series.kind), series.seq);
    }
    Ok((keys.last().copied().filter(|_| keys.len() == BATCH_RUNS), applied, series, touched))
}

impl Writer<'_> {
    /// Prices what of a run had no price, if it has one now: each call by itself, as if the price had been there.
    fn price(&mut self, job: usize, at: RunAt) -> rusqlite::Result<()> {
        let Some(row) = self.load_run(job, at)? else { return Ok(()) };
        let is_told =
            row.provenance != UsageProvenance::Transcript && row.calls.provenance == CostProvenance::Unpriced;
        let told = is_told.then(|| self.charge(&self.book.labels[row.labels], at.time(), &row.usage, false));
        let told = told.filter(|charge| charge.cost.provenance > CostProvenance::Unpriced);
        let priced = self.price_calls(job, at)?;
        if told.is_none() && priced.is_empty() {
            return Ok(());
        }
        self.change(job, at, |writer, row| {
            row.calls = told.map_or(row.calls, |charge| Calls::charged(0, charge));
            priced.iter().try_for_each(|labels| row.recharge(writer.connection, (job, at), *labels))
        })
    }

    /// Returns the labels of the calls that got a price.
    fn price_calls(&self, job: usize, at: RunAt) -> rusqlite::Result<BTreeSet<usize>> {
        let calls: Vec<(i64, usize, UnixMs, Usage)> = self
            .connection
            .prepare_cached(
                "SELECT key, labels, asked, input, output, cache_read, cache_write
                 FROM unpriced_call JOIN call USING (key) WHERE unpriced_call.job = ?1 AND unpriced_call.at = ?2",
            )?
            .query_map(params![id(job), pack_at(at)], |row| {
                Ok((row.get(0)?, index(row.get(1)?), UnixMs(row.get(2)?), usage(row, 3)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut priced = BTreeSet::new();
        for (key, labels, asked, usage) in calls {
            let charge = self.charge(&self.book.labels[labels], asked, &usage, true);
            if charge.cost.provenance <= CostProvenance::Unpriced {
                continue;
            }
            let charged = Calls::charged(1, charge);
            self.connection
                .prepare_cached("UPDATE call SET cost = ?2, cost_provenance = ?3 WHERE key = ?1")?
                .execute(params![key, charged.cost, charged.packed()])?;
            self.connection
                .prepare_cached("DELETE FROM unpriced_call WHERE job = ?1 AND at = ?2 AND key = ?3")?
                .execute(params![id(job), pack_at(at), key])?;
            priced.insert(labels);
        }
        Ok(priced)
    }
}
