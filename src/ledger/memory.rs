//! The runs of a ledger for the occasion: in memory, in place of the table `run`.
//!
//! Whoever asks once what a state directory holds needs what a run used, and neither a file nor what series are made
//! of. Invariant: what is put in comes out again, but for a run's context, which only series tell of. About
//! 130 B a run.

use std::collections::BTreeMap;

use super::rows::{Calls, RunRow};
use super::store::{count, db, id, pack_at, pack_facts, unpack_facts};
use crate::model::{CostProvenance, RunAt, Usage};

/// Stands for a number that is not known.
const NOT_KNOWN: i64 = -1;

/// Runs by job, each job's by their packed time.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<BTreeMap<i64, Packed>>);

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
            self.0.resize_with(job + 1, BTreeMap::new);
        }
        let mut is_new = false;
        self.0[job].entry(pack_at(at)).or_insert_with(|| {
            is_new = true;
            Packed::of(row)
        });
        is_new
    }

    pub fn get(&self, job: usize, at: RunAt) -> Option<RunRow> {
        self.0.get(job)?.get(&pack_at(at)).map(Packed::row)
    }

    /// Changes a run that is there.
    pub fn set(&mut self, job: usize, at: RunAt, row: &RunRow) {
        if let Some(known) = self.0.get_mut(job).and_then(|runs| runs.get_mut(&pack_at(at))) {
            *known = Packed::of(row);
        }
    }

    pub fn remove(&mut self, job: usize, at: RunAt) {
        self.0.get_mut(job).and_then(|runs| runs.remove(&pack_at(at)));
    }

    /// Returns the runs of a job with packed times in `[since, until)`, in the order of time.
    pub fn between(
        &self,
        job: usize,
        since: i64,
        until: i64,
    ) -> impl DoubleEndedIterator<Item = (i64, RunRow)> {
        // An empty window may end before it begins.
        let range = since..until.max(since);
        self.0
            .get(job)
            .into_iter()
            .flat_map(move |runs| runs.range(range.clone()))
            .map(|(at, run)| (*at, run.row()))
    }

    /// Returns numbers of jobs and packed times behind `after` of runs whose usage has no price.
    pub fn unpriced(&self, after: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
        let runs =
            self.0.iter().enumerate().flat_map(|(job, runs)| runs.iter().map(move |run| (id(job), run)));
        runs.filter(|(_, (_, run))| i64::from(run.charged) & 7 == CostProvenance::Unpriced as i64)
            .map(|(job, (at, _))| (job, *at))
            .filter(move |key| *key > after)
    }
}
