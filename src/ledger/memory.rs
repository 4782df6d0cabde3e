//! The runs of a ledger for the occasion: in memory, in place of the table `run`.
//!
//! Whoever asks once what a state directory holds needs what a run used, and neither a file nor what series are made
//! of. Invariant: what is put in comes out again, but for a run's context, which only series tell of. About
//! 100 B a run.

use super::rows::{Calls, RunRow};
use super::store::{count, db, id, pack_at, pack_facts, unpack_facts};
use crate::model::{CostProvenance, RunAt, Usage};

/// Stands for a number that is not known.
const NOT_KNOWN: i64 = -1;

/// Runs by job, each job's by their packed time.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Pages>);

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

/// A [`RunRow`] in half the space.
#[derive(Clone, Copy, Debug)]
struct Packed {
    tokens: [i64; 4],
    recorded: i64,
    duration_ms: i64,
    cost: i64,
    calls: u32,
    labels: u32,
    facts: u16,
    charged: u8,
}

impl Packed {
    fn of(row: &RunRow) -> Self {
        let known = |number: Option<u64>| number.map_or(NOT_KNOWN, db);
        let usage = &row.usage;
        // What is known of no cost is not kept, as in the table.
        let charged = (row.calls.provenance != CostProvenance::None).then_some(row.calls);
        Self {
            tokens: [usage.input, usage.output, usage.cache_read, usage.cache_write].map(known),
            recorded: row.recorded,
            duration_ms: known(row.duration_ms),
            cost: charged.map_or(0, |calls| calls.cost),
            calls: u32::try_from(row.calls.count).unwrap_or(u32::MAX),
            labels: u32::try_from(row.labels).unwrap_or(u32::MAX),
            // 12 and 5 bits.
            facts: u16::try_from(pack_facts(row.status, row.reason, row.delivery, row.provenance))
                .unwrap_or(0),
            charged: charged.and_then(|calls| u8::try_from(calls.packed()).ok()).unwrap_or(0),
        }
    }

    fn row(&self) -> RunRow {
        let known = |number: i64| (number != NOT_KNOWN).then(|| count(number));
        let (status, reason, delivery, provenance) = unpack_facts(i64::from(self.facts));
        let [input, output, cache_read, cache_write] = self.tokens.map(known);
        RunRow {
            recorded: self.recorded,
            duration_ms: known(self.duration_ms),
            labels: self.labels as usize,
            status,
            reason,
            delivery,
            provenance,
            usage: Usage { input, output, cache_read, cache_write },
            calls: Calls::unpacked(i64::from(self.calls), self.cost, i64::from(self.charged)),
            context: None,
            context_limit: None,
        }
    }
}

impl Runs {
    /// Puts a run in. Returns whether it was not there.
    pub fn insert(&mut self, job: usize, at: RunAt, row: &RunRow) -> bool {
        if self.0.len() <= job {
            self.0.resize_with(job + 1, Pages::default);
        }
        self.0[job].insert(pack_at(at), || Packed::of(row))
    }

    pub fn get(&self, job: usize, at: RunAt) -> Option<RunRow> {
        self.0.get(job)?.get(pack_at(at)).map(Packed::row)
    }

    /// Changes a run that is there.
    pub fn set(&mut self, job: usize, at: RunAt, row: &RunRow) {
        if let Some(known) = self.0.get_mut(job).and_then(|runs| runs.get_mut(pack_at(at))) {
            *known = Packed::of(row);
        }
    }

    pub fn remove(&mut self, job: usize, at: RunAt) {
        if let Some(runs) = self.0.get_mut(job) {
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
        let runs = self.0.get(job).into_iter();
        // An empty window may end before it begins.
        runs.flat_map(move |runs| runs.between(since, until.max(since))).map(|(at, run)| (*at, run.row()))
    }

    /// Returns numbers of jobs and packed times behind `after` of runs whose usage has no price.
    pub fn unpriced(&self, after: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
        let runs = self
            .0
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
                let run = Packed { tokens: [step; 4], ..Packed::of(&row()) };
                if random.u8(..8) == 0 {
                    let at = random.i64(0..span);
                    pages.remove(at);
                    known.remove(&at);
                } else {
                    assert_eq!(pages.insert(at, || run), !known.contains_key(&at));
                    known.entry(at).or_insert(step);
                }
                if let (Some(run), Some(known)) = (pages.get_mut(at), known.get_mut(&at)) {
                    (run.tokens, *known) = ([step; 4], step);
                }
                assert_eq!(pages.get(at).map(|run| run.tokens[0]), known.get(&at).copied());
            }
            let shown = |since, until| -> Vec<(i64, i64)> {
                pages.between(since, until).map(|(at, run)| (*at, run.tokens[0])).collect()
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
