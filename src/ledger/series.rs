//! How series move with a batch, and when that is shown.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::totals::{BUCKETS, Histogram, Series, SeriesKind, Totals};
use super::{Ledger, ZERO_LEAD_MS, lock};
use crate::model::{FRESH_MS, UnixMs};

/// What a batch does to series, by labels and kind: a few, in the order in which new series are numbered.
pub(super) type Changes = BTreeMap<(usize, SeriesKind), Change>;
/// By how much a series moves.
#[derive(Debug)]
pub(super) struct Change {
    pub total: i64,
    pub buckets: Option<Box<[i64; BUCKETS]>>,
    /// When its first run in this batch was recorded.
    pub first: UnixMs,
}

/// What is committed and not shown yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Changed series by number.
    pub series: BTreeMap<u64, Series>,
    pub jobs: BTreeSet<usize>,
    pub changed: bool,
}

impl Held {
    /// Holds back all there is.
    pub fn all(totals: Totals) -> Self {
        let jobs = (0..totals.jobs.len()).collect();
        Self { series: totals.series.into_iter().map(|one| (one.seq, one)).collect(), jobs, changed: true }
    }

    /// Returns the series as it was last committed.
    fn series<'a>(held: Option<&'a Self>, totals: &'a Totals, seq: u64) -> Option<&'a Series> {
        let shown = || totals.series.get(usize::try_from(seq).ok()?.checked_sub(1)?);
        held.and_then(|held| held.series.get(&seq)).or_else(shown)
    }

    /// Returns the number of the newest series, shown or not.
    fn newest_seq(held: Option<&Self>, totals: &Totals) -> u64 {
        let newest = held.and_then(|held| held.series.keys().next_back().copied());
        newest.unwrap_or(0).max(totals.newest_seq())
    }
}

impl Ledger {
    /// Shows nothing of what is committed from now on until [`release`](Self::release).
    ///
    /// A series that is only half caught up with its history must not be seen: its rest would look like usage
    /// of this moment.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Shows everything that is committed, and nothing else.
    pub fn release(&mut self) {
        let Some(Held { series, jobs, changed }) = self.held.take() else { return };
        if self.book.stale {
            // A transaction failed meanwhile, so memory holds what was never committed. If that cannot be read back
            // now, all of it is shown by the reload before the next transaction.
            if let Err(error) = self.reload() {
                tracing::debug!("what is committed is shown later: {error}");
            }
            return;
        }
        let mut totals = lock(&self.totals);
        self.book.publish(&mut totals, jobs);
        if changed {
            publish_series(&mut totals, series.into_values());
        }
    }
}

/// Returns the series that change, as they will be.
pub(super) fn changed_series(
    totals: &Totals,
    held: Option<&Held>,
    book: &Book,
    changes: Changes,
    now: UnixMs,
) -> Vec<Series> {
    let mut next_seq = Held::newest_seq(held, totals);
    let mut changed = Vec::with_capacity(changes.len());
    for ((labels, kind), change) in changes {
        if change.total == 0 && change.buckets.as_ref().is_none_or(|by| by.iter().all(|by| *by == 0)) {
            continue;
        }
        let known = book.series_index.get(&(labels, kind)).and_then(|seq| Held::series(held, totals, *seq));
        // A run of 0 ms adds to a bucket and nothing to the sum.
        let grows = change.total > 0 || change.buckets.as_ref().is_some_and(|by| by.iter().any(|by| *by > 0));
        if known.is_none() && !grows {
            continue;
        }
        let mut series = known.cloned().unwrap_or_else(|| {
            next_seq += 1;
            Series {
                seq: next_seq,
                labels,
                kind,
                start: now.plus(-ZERO_LEAD_MS),
                live: now.since(change.first) <= FRESH_MS,
                changed: now,
                revision: 0,
                true_total: 0,
                exported_total: 0,
                histogram: kind.bounds().map(|_| Box::default()),
            }
        });
        series.changed = now;
        series.true_total = series.true_total.saturating_add_signed(change.total);
        // What was not shown yet may still be taken back.
        let shown = held.and_then(|_| usize::try_from(series.seq - 1).ok()).map(|at| totals.series.get(at));
        if let Some(shown) = shown {
            series.exported_total = shown.map_or(0, |shown| shown.exported_total);
        }
        series.exported_total = series.exported_total.max(series.true_total);
        if let (Some(histogram), Some(buckets)) = (&mut series.histogram, &change.buckets) {
            if let Some(shown) = shown {
                histogram.exported = shown
                    .and_then(|shown| shown.histogram.as_ref())
                    .map_or([0; BUCKETS], |shown| shown.exported);
            }
            move_buckets(histogram, buckets);
        }
        changed.push(series);
    }
    changed
}

fn move_buckets(histogram: &mut Histogram, by: &[i64; BUCKETS]) {
    for (at, by) in by.iter().enumerate() {
        histogram.truth[at] = histogram.truth[at].saturating_add_signed(*by);
        histogram.exported[at] = histogram.exported[at].max(histogram.truth[at]);
    }
}

fn publish_series(totals: &mut Totals, series: impl Iterator<Item = Series>) {
    totals.revision += 1;
    let revision = totals.revision;
    for mut changed in series {
        changed.revision = revision;
        match usize::try_from(changed.seq - 1).ok().and_then(|at| totals.series.get_mut(at)) {
            Some(known) => *known = changed,
            None => totals.series.push(changed),
        }
    }
}
