//! Commits a batch: position, runs and counters in one transaction.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::book::Book;
use super::merge::Outcome;
use super::outbox::Telling;
use super::positions::save_position;
use super::pricing::{Pricing, Spent};
use super::relays;
use super::series::{Held, changed_series};
use super::store::{save_counters, save_job, save_series};
use super::totals::{Series, Totals};
use super::writer::Writer;
use super::{Ledger, LedgerError, lock};
use crate::model::{Batch, Position, Reject, SourceId, UnixMs};

/// What a committed batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Records by outcome.
    pub outcomes: HashMap<Outcome, u64>,
    /// By how much spending moved.
    pub spent: Vec<Spent>,
    /// Whether anything that is exported changed.
    pub changed: bool,
}

/// Movements of spending that are kept for whoever asks for them.
const MAX_SPENT: usize = 50_000;

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
        let pricing = &self.pricing;
        let telling = self.outbox.as_ref().filter(|_| self.book.settings.event_age_ms.is_some());
        let telling = telling.map(|settings| Telling { settings, relays: &self.relays });
        let rules = (pricing, telling);
        let result = write((&self.connection, &mut self.book, rules), &self.totals, held, batch, now);
        let (applied, series, touched) = result.map_err(|error| self.failed(error))?;
        self.book.stale = false;
        let changed = !series.is_empty() || self.book.counters != before;
        let (spent, applied) = (applied.spent, Applied { spent: Vec::new(), ..applied });
        self.publish(spent, series, touched, changed);
        Ok(Applied { changed, ..applied })
    }

    /// Shows what was committed, or keeps it back with the rest.
    pub(super) fn publish(
        &mut self,
        spent: Vec<Spent>,
        series: Vec<Series>,
        touched: BTreeSet<usize>,
        changed: bool,
    ) {
        self.spent.extend(spent);
        if self.spent.len() > MAX_SPENT {
            (self.spent, self.spent_overflowed) = (Vec::new(), true);
        }
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
    }
}

type Written = (Applied, Vec<Series>, BTreeSet<usize>);

fn write(
    (connection, book, (pricing, telling)): (&Connection, &mut Book, (&Pricing, Option<Telling<'_>>)),
    totals: &std::sync::Mutex<Totals>,
    held: Option<&Held>,
    batch: &Batch,
    now: UnixMs,
) -> rusqlite::Result<Written> {
    // In memory nothing outlasts a failure that would have to be undone: records that are told again are known.
    let transaction = book.runs.is_none().then(|| connection.unchecked_transaction()).transpose()?;
    let before = book.counters.clone();
    let fresh = super::events::fresh(connection, &batch.events)?;
    let writer = Writer::new(connection, book, pricing, now)?;
    let (applied, changes, touched) = writer.record_all(batch, &fresh)?;
    for (outcome, n) in &applied.outcomes {
        *book.counters.outcomes.entry(*outcome).or_default() += n;
    }
    let rejects: &[Reject] = if batch.again { &[] } else { &batch.rejects };
    for reject in rejects {
        if is_known(connection, reject)? {
            continue;
        }
        *book.counters.rejects.entry(reject.reason).or_default() += 1;
        connection
            .prepare_cached("INSERT INTO reject VALUES (?1, ?2) ON CONFLICT DO UPDATE SET sample = ?2")?
            .execute(params![reject.reason.as_str(), reject.sample])?;
    }
    if let Some(telling) = telling {
        telling.tell(connection, book, &fresh, now)?;
        relays::keep_summaries(connection, book, &batch.summaries)?;
    }
    let series = changed_series(&lock(totals), held, book, changes, now);
    for series in &series {
        save_series(connection, series)?;
    }
    // A ledger in memory has all of that in its book.
    if book.runs.is_none() {
        for job in &touched {
            save_job(connection, *job, &book.jobs[*job])?;
        }
        save_counters(connection, &before, &book.counters)?;
        if batch.from.as_ref() != Some(&batch.to) {
            save_position(connection, &batch.source, &batch.to)?;
        }
    }
    if let Some(transaction) = transaction {
        transaction.commit()?;
    }
    book.positions.insert(batch.source.clone(), batch.to.clone());
    for series in &series {
        book.series_index.insert((series.labels, series.kind), series.seq);
    }
    Ok((applied, series, touched))
}

/// Returns whether a reject was counted before; notes it if not.
fn is_known(connection: &Connection, reject: &Reject) -> rusqlite::Result<bool> {
    let Some(mark) = reject.mark else { return Ok(false) };
    let noted = connection
        .prepare_cached("INSERT INTO rejected VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([mark.cast_signed()])?;
    Ok(noted == 0)
}
