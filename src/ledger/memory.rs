//! The runs of a ledger for the occasion: in memory, in place of the table `run`.
//!
//! Whoever asks once what a state directory holds needs what a run used, and neither a file nor what series are made
//! of. Invariant: what is put in comes out again, but for a run's context, which only series tell of. About
//! 60 B a run.

use super::rows::{Calls, RunRow};
use super::store::{count, db, id, pack_at, pack_facts, unpack_facts};
use crate::model::{CostProvenance, RunAt, Usage};

/// Stands for a number that is not known.
const NOT_KNOWN: i64 = -1;
/// The same among numbers of 32 bits.
const NARROW_NOT_KNOWN: u32 = u32::MAX;

/// Tokens by kind, ms from the start to the record, and ms that it took.
type Numbers<T> = [T; 6];
const RECORDED: usize = 4;

/// Runs by job, each job's by their packed time.
#[derive(Debug, Default)]
pub(super) struct Runs {
    jobs: Vec<Pages>,
    /// Numbers of the few runs of which one has more than 32 bits.
    wide: Vec<Numbers<i64>>,
}

/// The runs of a job in their order, in pages: mostly a run is put behind the last one, and anywhere else it moves no more
/// than a page.
#[derive(Debug, Default)]
struct Pages(Vec<Vec<(i64, Packed)>>);

/// Runs of a page at most.
const PAGE: usize = 512;

impl Pages {
    /// Returns where a time is or belongs: the page, the place in it, and whether it is there.
    fn find(&self, at: i64) -> (usize, usize, bool) {
        let page = self.0.partition_point(|page| page.last().is_some_and(|(last, _)| *last < at));
        let found = self.0.get(page).map_or(Err(0), |page| page.binary_search_by_key(&at, |(of, _)| *of));
        (page, found.unwrap_or_else(|place| place), found.is_ok())
    }

    /// Puts a run in. Returns whether it was not there.
    fn insert(&mut self, at: i64, run: impl FnOnce() -> Packed) -> bool {
        match self.0.last_mut() {
            Some(page) if page.last().is_some_and(|(last, _)| *last < at) => {
                if page.len() < PAGE {
                    page.push((at, run()));
                } else {
                    let mut page = Vec::with_capacity(PAGE);
                    page.push((at, run()));
                    self.0.push(page);
                }
                return true;
            }
            Some(_) => {}
            None => {
                self.0.push(vec![(at, run())]);
                return true;
            }
        }
        let (page, place, is_there) = self.find(at);
        if is_there {
            return false;
        }
        self.0[page].insert(place, (at, run()));
        if self.0[page].len() > PAGE {
            let behind = self.0[page].split_off(PAGE / 2);
            self.0.insert(page + 1, behind);
        }
        true
    }

    fn get(&self, at: i64) -> Option<&Packed> {
        let (page, place, is_there) = self.find(at);
        is_there.then(|| &self.0[page][place].1)
    }

    fn get_mut(&mut self, at: i64) -> Option<&mut Packed> {
        let (page, place, is_there) = self.find(at);
        is_there.then(|| &mut self.0[page][place].1)
    }

    fn remove(&mut self, at: i64) {
        let (page, place, is_there) = self.find(at);
        if is_there {
            self.0[page].remove(place);
            if self.0[page].is_empty() {
                self.0.remove(page);
            }
        }
    }

    /// Returns those from the first time to before the second.
    fn between(&self, since: i64, until: i64) -> impl DoubleEndedIterator<Item = &(i64, Packed)> {
        let place = |at| {
            let (page, place, _) = self.find(at);
            (page, place)
        };
        let ((first, from), (last, to)) = (place(since), place(until));
        let pages = self.0.get(first..self.0.len().min(last + 1)).unwrap_or_default();
        pages.iter().enumerate().flat_map(move |(nth, page)| {
            let nth = nth + first;
            let range = (if nth == first { from } else { 0 })..(if nth == last { to } else { page.len() });
            page.get(range).unwrap_or_default()
        })
    }
}

/// A [`RunRow`] in a third of the space.
#[derive(Clone, Copy, Debug)]
struct Packed {
    cost: i64,
    /// If they are wide, the first is their place among those.
    numbers: Numbers<u32>,
    calls: u32,
    labels: u32,
    facts: u16,
    charged: u8,
    is_wide: bool,
}

impl Packed {
    fn of(row: &RunRow, wide: &mut Vec<Numbers<i64>>) -> Self {
        let known = |number: Option<u64>| number.map_or(NOT_KNOWN, db);
        let Usage { input, output, cache_read, cache_write } = row.usage;
        let all = [
            known(input),
            known(output),
            known(cache_read),
            known(cache_write),
            row.recorded,
            known(row.duration_ms),
        ];
        let (mut numbers, mut is_wide) = ([NARROW_NOT_KNOWN; 6], false);
        // A loop, here and below: this is done for each run, and the crate is compiled for size.
        for (nth, (narrow, number)) in numbers.iter_mut().zip(all).enumerate() {
            match u32::try_from(number) {
                Ok(number) if number != NARROW_NOT_KNOWN => *narrow = number,
                // The time to the record is always known: there -1 is a number.
                _ => is_wide |= number != NOT_KNOWN || nth == RECORDED,
            }
        }
        if is_wide {
            wide.push(all);
            numbers[0] = u32::try_from(wide.len() - 1).unwrap_or(u32::MAX);
        }
        // What is known of no cost is not kept, as in the table.
        let charged = (row.calls.provenance != CostProvenance::None).then_some(row.calls);
        Self {
            numbers,
            is_wide,
            cost: charged.map_or(0, |calls| calls.cost),
            calls: u32::try_from(row.calls.count).unwrap_or(u32::MAX),
            labels: u32::try_from(row.labels).unwrap_or(u32::MAX),
            // 12 and 5 bits.
            facts: u16::try_from(pack_facts(row.status, row.reason, row.delivery, row.provenance))
                .unwrap_or(0),
            charged: charged.and_then(|calls| u8::try_from(calls.packed()).ok()).unwrap_or(0),
        }
    }

    fn numbers(&self, wide: &[Numbers<i64>]) -> Numbers<i64> {
        let mut all = [NOT_KNOWN; 6];
        if self.is_wide {
            return wide.get(self.numbers[0] as usize).copied().unwrap_or(all);
        }
        for (number, narrow) in all.iter_mut().zip(self.numbers) {
            if narrow != NARROW_NOT_KNOWN {
                *number = i64::from(narrow);
            }
        }
        all
    }

    fn row(&self, wide: &[Numbers<i64>]) -> RunRow {
        let known = |number: i64| (number != NOT_KNOWN).then(|| count(number));
        let (status, reason, delivery, provenance) = unpack_facts(i64::from(self.facts));
        let [input, output, cache_read, cache_write, recorded, duration_ms] = self.numbers(wide);
        RunRow {
            recorded,
            duration_ms: known(duration_ms),
            labels: self.labels as usize,
            status,
            reason,
            delivery,
            provenance,
            usage: Usage {
                input: known(input),
                output: known(output),
                cache_read: known(cache_read),
                cache_write: known(cache_write),
            },
            calls: Calls::unpacked(i64::from(self.calls), self.cost, i64::from(self.charged)),
            context: None,
            context_limit: None,
        }
    }
}

impl Runs {
    /// Puts a run in. Returns whether it was not there.
    pub fn insert(&mut self, job: usize, at: RunAt, row: &RunRow) -> bool {
        if self.jobs.len() <= job {
            self.jobs.resize_with(job + 1, Pages::default);
        }
        self.jobs[job].insert(pack_at(at), || Packed::of(row, &mut self.wide))
    }

    pub fn get(&self, job: usize, at: RunAt) -> Option<RunRow> {
        self.jobs.get(job)?.get(pack_at(at)).map(|run| run.row(&self.wide))
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.jobs.iter().flat_map(|runs| &runs.0).map(Vec::len).sum()
    }

    /// Changes a run that is there.
    pub fn set(&mut self, job: usize, at: RunAt, row: &RunRow) {
        if let Some(known) = self.jobs.get_mut(job).and_then(|runs| runs.get_mut(pack_at(at))) {
            *known = Packed::of(row, &mut self.wide);
        }
    }

    pub fn remove(&mut self, job: usize, at: RunAt) {
        if let Some(runs) = self.jobs.get_mut(job) {
            runs.remove(pack_at(at));
        }
    }

    /// Returns the runs of a job with packed times in `[since, until)`, in the order of time.
    pub fn between(
        &self,
        job: usize,
        since: i64,
        until: i64,
    ) -> impl DoubleEndedIterator<Item = (i64, RunRow)> {
        let runs = self.jobs.get(job).into_iter();
        // An empty window may end before it begins.
        let runs = runs.flat_map(move |runs| runs.between(since, until.max(since)));
        runs.map(|(at, run)| (*at, run.row(&self.wide)))
    }

    /// Returns numbers of jobs and packed times behind `after` of runs whose usage has no price.
    pub fn unpriced(&self, after: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
        let runs = self
            .jobs
            .iter()
            .enumerate()
            .flat_map(|(job, runs)| runs.0.iter().flatten().map(move |run| (id(job), run)));
        runs.filter(|(_, (_, run))| i64::from(run.charged) & 7 == CostProvenance::Unpriced as i64)
            .map(|(job, (at, _))| (job, *at))
            .filter(move |key| *key > after)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;

    use super::*;
    use crate::model::UnixMs;

    /// Whatever is done in whatever order, it is a sorted map.
    #[test]
    fn runs_are_kept_in_order() {
        for seed in 0..20 {
            let mut random = Rng::with_seed(seed);
            let (mut pages, mut known) = (Pages::default(), BTreeMap::new());
            let span = 40_i64 << (seed % 8);
            for step in 0..3_000 {
                // Times that rise, that fall, and any.
                let at = match seed % 3 {
                    0 => step + random.i64(0..3),
                    1 => 3_000 - step,
                    _ => random.i64(0..span),
                };
                let cost = step;
                let run = Packed { cost, ..Packed::of(&row(), &mut Vec::new()) };
                if random.u8(..8) == 0 {
                    let at = random.i64(0..span);
                    pages.remove(at);
                    known.remove(&at);
                } else {
                    assert_eq!(pages.insert(at, || run), !known.contains_key(&at));
                    known.entry(at).or_insert(step);
                }
                if let (Some(run), Some(known)) = (pages.get_mut(at), known.get_mut(&at)) {
                    (run.cost, *known) = (step, step);
                }
                assert_eq!(pages.get(at).map(|run| run.cost), known.get(&at).copied());
            }
            let shown = |since, until| -> Vec<(i64, i64)> {
                pages.between(since, until).map(|(at, run)| (*at, run.cost)).collect()
            };
            for _ in 0..50 {
                let since = random.i64(-9..3_010);
                let until = since + random.i64(0..500);
                let expected: Vec<(i64, i64)> = known.range(since..until).map(|(at, n)| (*at, *n)).collect();
                assert_eq!(shown(since, until), expected, "{since}..{until}, seed {seed}");
            }
            assert!(pages.0.iter().all(|page| (1..=PAGE).contains(&page.len())), "seed {seed}");
            assert!(shown(i64::MIN, i64::MAX).len() == known.len() && !known.is_empty());
        }
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let mut runs = Runs::default();
        let narrow = i64::from(NARROW_NOT_KNOWN);
        let edges = [0, 1, narrow - 1, narrow, narrow + 1, i64::MAX];
        let known = |n: i64| u64::try_from(n).ok();
        let mut rows = Vec::new();
        for (nth, edge) in edges.into_iter().chain([-1, -2]).enumerate() {
            let usage = Usage { input: known(edge), cache_write: Some(7), ..Usage::default() };
            rows.push(RunRow { usage, duration_ms: Some(3), recorded: 5, labels: nth, ..row() });
            rows.push(RunRow { duration_ms: known(edge), ..row() });
            rows.push(RunRow { recorded: edge, duration_ms: Some(1), ..row() });
        }
        let at = |nth: usize| RunAt::Started(UnixMs(i64::try_from(nth).unwrap()));
        for (nth, row) in rows.iter().enumerate() {
            assert!(runs.insert(0, at(nth), row) && runs.get(0, at(nth)).as_ref() == Some(row), "{row:?}");
        }
        assert_eq!(runs.between(0, 0, i64::MAX).map(|(_, row)| row).collect::<Vec<_>>(), rows);
        for (nth, row) in rows.iter().rev().enumerate() {
            runs.set(0, at(nth), row);
            assert_eq!(runs.get(0, at(nth)).as_ref(), Some(row));
        }
        assert!(!runs.wide.is_empty() && size_of::<(i64, Packed)>() == 56);
    }

    fn row() -> RunRow {
        let facts = unpack_facts(0);
        RunRow {
            recorded: 0,
            duration_ms: None,
            labels: 0,
            status: facts.0,
            reason: facts.1,
            delivery: facts.2,
            provenance: facts.3,
            usage: Usage::default(),
            calls: Calls::default(),
            context: None,
            context_limit: None,
        }
    }
}
