//! Sums in the making: one pass over the runs of a window.

use std::collections::HashMap;

use super::group::{Grouping, Names, Place};
use super::query::more;
use super::sums::{TREND, provenance};
use super::{ReportError, Selection, Sort, Sums};
use crate::ledger::{UsageReader, UsedRun, Window};
use crate::model::{CostProvenance, RunAt, UnixMs};
use crate::price::Pattern;

/// A selection as it applies to the texts of a ledger.
pub(super) struct Selected {
    jobs: Vec<bool>,
    labels: Vec<bool>,
}

impl Selected {
    pub fn new(names: &Names, usage: &UsageReader<'_>, selection: &Selection) -> Self {
        let fits = |patterns: &[Pattern], names: &[&str]| {
            patterns.is_empty()
                || patterns.iter().any(|pattern| names.iter().any(|name| pattern.matches(name)))
        };
        let label = |labels: usize| {
            let (provider, model) = names.model_of_labels(labels);
            fits(&selection.agents, &[names.agent_of_labels(labels)])
                && fits(&selection.providers, &[provider])
                && fits(&selection.models, &[model, &format!("{provider}/{model}")])
        };
        // A ledger has one gateway: all of it is asked for, or nothing.
        let here = fits(&selection.gateways, &[&names.gateway]);
        Self {
            jobs: names.jobs.iter().map(|(id, name)| here && fits(&selection.jobs, &[id, name])).collect(),
            labels: (0..usage.labels.len()).map(label).collect(),
        }
    }

    fn job(&self, job: usize) -> bool {
        self.jobs.get(job).copied().unwrap_or_default()
    }

    fn label(&self, labels: usize) -> bool {
        self.labels.get(labels).copied().unwrap_or_default()
    }
}

/// [`TREND`] as a factor of times.
const SLOTS: i64 = 8;
const _: () = assert!(TREND == 8);

/// Sums in the making.
pub(super) struct Tally {
    window: Window,
    index: HashMap<Vec<i64>, usize>,
    /// Of each group a place in it and its sums.
    sums: Vec<(Place, Sums)>,
    pub totals: Sums,
    /// Runs by the labels under which they have tokens and no price.
    pub unpriced: HashMap<usize, u64>,
    key: Vec<i64>,
    /// The group that was asked for last: runs come job by job.
    last: Option<usize>,
    last_key: Vec<i64>,
    /// Where each run is a group: how many are kept, those that come first in this order, and how many were not.
    pub keep: Option<usize>,
    pub sort: Sort,
    pub dropped: u64,
    /// The groups that the run at hand touches, and how its cost is known there.
    touched: Vec<(usize, CostProvenance)>,
}

impl Tally {
    pub fn new(window: Window) -> Self {
        Self {
            window,
            index: HashMap::new(),
            sums: Vec::new(),
            totals: Sums::default(),
            unpriced: HashMap::new(),
            key: Vec::new(),
            last: None,
            last_key: Vec::new(),
            keep: None,
            sort: Sort::Last,
            dropped: 0,
            touched: Vec::new(),
        }
    }

    pub fn read(
        &mut self,
        usage: &UsageReader<'_>,
        selected: &Selected,
        grouping: &mut Grouping<'_>,
    ) -> Result<(), ReportError> {
        let window = self.window;
        usage.for_each_run(window, |job| selected.job(job), |run| self.add(run, selected, grouping))?;
        usage.for_each_folded(window, |folded| {
            let job = grouping.job_of_labels(folded.labels);
            if !selected.job(job) || !selected.label(folded.labels) {
                return;
            }
            let slot = self.slot(folded.noon);
            self.totals.add_folded(folded, slot);
            let (labels, status, at) = (folded.labels, folded.status, folded.noon);
            // Single runs cannot be told any more.
            if !grouping.is_by_run() {
                let group = self.group(Place { job, labels, status, at, run: 0 }, grouping);
                self.sums[group].1.add_folded(folded, slot);
            }
        })?;
        Ok(())
    }

    fn add(&mut self, run: &UsedRun<'_>, selected: &Selected, grouping: &mut Grouping<'_>) {
        let at = run.at.time();
        let slot = self.slot(at);
        // Under the packed time, so that two runs of a job in a millisecond stay two.
        let number = at.0.saturating_mul(2) | i64::from(matches!(run.at, RunAt::Logged(_)));
        self.touched.clear();
        let mut whole: Option<CostProvenance> = None;
        for (nth, part) in run.parts.iter().enumerate() {
            if !selected.label(part.labels) {
                continue;
            }
            let place = Place { job: run.job, labels: part.labels, status: run.status, at, run: number };
            let group = self.group(place, grouping);
            let known = provenance(part);
            if known == CostProvenance::Unpriced {
                *self.unpriced.entry(part.labels).or_default() += 1;
            }
            let sums = &mut self.sums[group].1;
            sums.add_part(part, run.status, slot);
            self.totals.add_part(part, run.status, slot);
            if nth == 0 {
                for sums in [sums, &mut self.totals] {
                    sums.add_runs(run.status, 1);
                    sums.add_time(at, run.duration_ms);
                    sums.add_source(run.provenance, 1);
                }
            }
            match self.touched.iter_mut().find(|(touched, _)| *touched == group) {
                Some((_, sum)) => *sum = sum.with(known),
                None => self.touched.push((group, known)),
            }
            whole = Some(whole.map_or(known, |sum| sum.with(known)));
        }
        for (group, known) in &self.touched {
            self.sums[*group].1.add_knowledge(*known, run.status, 1);
        }
        if let Some(known) = whole {
            self.totals.add_knowledge(known, run.status, 1);
        }
        self.prune();
    }

    fn group(&mut self, place: Place, grouping: &mut Grouping<'_>) -> usize {
        grouping.key(&place, &mut self.key);
        if let Some(last) = self.last.filter(|_| self.key == self.last_key) {
            return last;
        }
        let group = match self.index.get(self.key.as_slice()) {
            Some(known) => *known,
            None => {
                self.index.insert(self.key.clone(), self.sums.len());
                self.sums.push((place, Sums::default()));
                self.sums.len() - 1
            }
        };
        self.last_key.clone_from(&self.key);
        self.last = Some(group);
        group
    }

    /// Forgets runs that will not be shown, so that memory is bounded by those that will.
    fn prune(&mut self) {
        let Some(keep) = self.keep.filter(|keep| self.sums.len() >= keep.saturating_mul(2).max(1_024)) else {
            return;
        };
        let mut groups: Vec<(Vec<i64>, (Place, Sums))> = self.take_groups();
        let order = |(_, (_, sums)): &(Vec<i64>, (Place, Sums))| sums.last_run;
        let sort = self.sort;
        groups.sort_by(|a, b| more(sort, &a.1.1, &b.1.1).then_with(|| order(a).cmp(&order(b))));
        self.dropped += groups.len().saturating_sub(keep) as u64;
        groups.truncate(keep);
        for (key, group) in groups {
            self.index.insert(key, self.sums.len());
            self.sums.push(group);
        }
    }

    /// Returns the part of the window that a time lies in.
    fn slot(&self, at: UnixMs) -> usize {
        // Times lie within eight thousand years, so that this does not overflow.
        let length = self.window.until.since(self.window.since).max(1);
        let passed = at.since(self.window.since).max(0).saturating_mul(SLOTS);
        usize::try_from(passed / length).unwrap_or(0).min(TREND - 1)
    }

    pub fn take_groups(&mut self) -> Vec<(Vec<i64>, (Place, Sums))> {
        self.last = None;
        let mut sums: Vec<Option<(Place, Sums)>> =
            std::mem::take(&mut self.sums).into_iter().map(Some).collect();
        let index = std::mem::take(&mut self.index);
        let mut keyed: Vec<(Vec<i64>, usize)> = index.into_iter().collect();
        // In the order of jobs and times, whatever the order of the map.
        keyed.sort_unstable_by_key(|(_, at)| *at);
        keyed.into_iter().filter_map(|(key, at)| Some((key, sums.get_mut(at)?.take()?))).collect()
    }
}
