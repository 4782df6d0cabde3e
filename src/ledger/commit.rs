//! A transaction of runs that no position moves with.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rusqlite::Connection;

use super::apply::Applied;
use super::book::Book;
use super::pricing::Pricing;
use super::series::{Held, changed_series};
use super::store::{save_counters, save_job, save_series};
use super::totals::{Series, Totals};
use super::writer::Writer;
use super::{Ledger, LedgerError, lock};
use crate::model::UnixMs;

impl Ledger {
    /// Commits what `work` does, or nothing of it. Returns what that returned, and whether anything exported changed.
    pub(super) fn commit<T>(
        &mut self,
        now: UnixMs,
        work: impl FnOnce(&mut Writer<'_>) -> rusqlite::Result<T>,
    ) -> Result<(T, bool), LedgerError> {
        if self.book.stale {
            self.reload()?;
        }
        // Until the commit has succeeded, memory is ahead of the database.
        self.book.stale = true;
        let before = self.book.counters.clone();
        let parts = (&mut self.connection, &mut self.book, &self.pricing);
        let written = write(parts, (&self.totals, self.held.as_ref()), now, work);
        let (made, applied, series, touched) = written.map_err(|error| self.failed(error))?;
        self.book.stale = false;
        let changed = !series.is_empty() || !touched.is_empty() || self.book.counters != before;
        self.publish(applied.spent, series, touched, changed);
        Ok((made, changed))
    }
}

type Written<T> = (T, Applied, Vec<Series>, BTreeSet<usize>);

fn write<T>(
    (connection, book, pricing): (&mut Connection, &mut Book, &Pricing),
    (totals, held): (&Mutex<Totals>, Option<&Held>),
    now: UnixMs,
    work: impl FnOnce(&mut Writer<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Written<T>> {
    let transaction = connection.transaction()?;
    let before = book.counters.clone();
    let mut writer = Writer::new(&transaction, book, pricing, now)?;
    let made = work(&mut writer)?;
    let (applied, changes, touched) = writer.finish()?;
    for (outcome, n) in &applied.outcomes {
        *book.counters.outcomes.entry(*outcome).or_default() += n;
    }
    let series = changed_series(&lock(totals), held, book, changes, now);
    for series in &series {
        save_series(&transaction, series)?;
    }
    for job in &touched {
        save_job(&transaction, *job, &book.jobs[*job])?;
    }
    save_counters(&transaction, &before, &book.counters)?;
    transaction.commit()?;
    for series in &series {
        book.series_index.insert((series.labels, series.kind), series.seq);
    }
    Ok((made, applied, series, touched))
}
