//! Sums in the making: one pass over the runs of a window.

use std::collections::HashMap;

use super::group::{Grouping, Names, Place};
use super::query::{Rank, rank};
use super::sums::{TREND, provenance};
use super::{ReportError, Selection, Sort, Sums};
use crate::ledger::{UsageReader, UsedPart, UsedRun, Window};
use crate::model::{CostProvenance, RunAt, Status, UnixMs};
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
        let job = |(at, (id, name)): (usize, &(String, String))| {
            fits(&selection.gateways, &[names.gateway_of_job(at)]) && fits(&selection.jobs, &[id, name])
        };
        Self {
            jobs: names.jobs.iter().enumerate().map(job).collect(),
            labels: (0..usage.labels.len()).map(label).collect(),
        }
    }

    pub fn job(&self, job: usize) -> bool {
        self.jobs.get(job).copied().unwrap_or_default()
    }

    pub fn label(&self, labels: usize) -> bool {
        self.labels.get(labels).copied().unwrap_or_default()
    }
}

/// [`TREND`] as a factor of times.
const SLOTS: i64 = 8;
const _: () = assert!(TREND == 8);
/// Places whose groups are at hand.
const SPOTS: usize = 64;

/// A group, with what is known of the places in it.
struct Group {
    key: Vec<i64>,
    first: Place,
    sums: Sums,
}

/// Places that belong to one group.
#[derive(Clone, Copy)]
struct Spot {
    deciding: (usize, usize, Status),
    from: i64,
    until: i64,
    group: usize,
}

/// Sums in the making.
pub(super) struct Tally {
    window: Window,
    index: HashMap<Vec<i64>, usize>,
    groups: Vec<Group>,
    pub totals: Sums,
    /// Runs by the index of the labels under which they have tokens and no price.
    pub unpriced: Vec<u64>,
    key: Vec<i64>,
    spots: [Spot; SPOTS],
    /// The part of the window that was asked for last: its first time, and the first after it.
    slot: (i64, i64, usize),
    /// Where each run is a group: how many are kept, those that come first in this order, and how many were not.
    pub keep: Option<usize>,
    pub sort: Sort,
    pub dropped: u64,
    /// The last of those that are kept, once there are as many: by what it is ranked, and when it started.
    last_kept: Option<(Rank, Option<UnixMs>)>,
    /// The groups that the run at hand touches, and how its cost is known there.
    touched: Vec<(usize, CostProvenance)>,
}

impl Tally {
    pub fn new(window: Window) -> Self {
        let nowhere = Spot { deciding: (0, 0, Status::Unknown), from: 0, until: 0, group: 0 };
        Self {
            window,
            index: HashMap::new(),
            groups: Vec::new(),
            totals: Sums::default(),
            unpriced: Vec::new(),
            key: Vec::new(),
            spots: [nowhere; SPOTS],
            slot: (0, 0, 0),
            keep: None,
            sort: Sort::Last,
            dropped: 0,
            last_kept: None,
            touched: Vec::new(),
        }
    }

    /// Reads what happened in the windows of all of these, each of which begins where the next one ends, in one pass.
    pub fn read(
        tallies: &mut [Self],
        usage: &UsageReader<'_>,
        selected: &Selected,
        grouping: &mut Grouping<'_>,
    ) -> Result<(), ReportError> {
        let windows: Vec<Window> = tallies.iter().map(|tally| tally.window).collect();
        let since = windows.iter().map(|window| window.since).min().unwrap_or_default();
        let until = windows.iter().map(|window| window.until).max().unwrap_or_default();
        let mut others: Vec<Self> = windows.into_iter().map(Self::new).collect();
        let mut grouping_of_others = grouping.clone();
        for tally in tallies.iter_mut().chain(&mut others) {
            tally.unpriced.resize(usage.labels.len(), 0);
        }
        let by_run = grouping.is_by_run();
        let add = |tallies: &mut [Self], grouping: &mut Grouping<'_>, run: &UsedRun<'_>| {
            let at = run.at.time();
            let Some(tally) = tallies.iter_mut().find(|tally| tally.window.contains(at)) else { return };
            if by_run {
                tally.add_single(run, selected, grouping);
            } else {
                tally.add(run, selected, grouping);
            }
        };
        // Where runs are groups, all of them are held against each other.
        let here = (!by_run).then_some(|run: &UsedRun<'_>| add(&mut others, &mut grouping_of_others, run));
        usage.for_each_run_beside(
            Window { since, until },
            |job| selected.job(job),
            |run| add(tallies, grouping, run),
            here,
        )?;
        tallies.iter_mut().zip(others).for_each(|(tally, other)| tally.merge(other));
        tallies.iter_mut().try_for_each(|tally| tally.finish(usage, selected, grouping))
    }

    /// Adds what another has added up, of other runs in the same window, before either is finished.
    pub fn merge(&mut self, other: Self) {
        for Group { key, first, sums } in other.groups {
            match self.index.get(&key) {
                Some(known) => {
                    let known = &mut self.groups[*known].sums;
                    known.absorb(&sums);
                    known.absorb_knowledge(&sums);
                }
                None => {
                    self.index.insert(key.clone(), self.groups.len());
                    self.groups.push(Group { key, first, sums });
                }
            }
        }
        self.totals.absorb_knowledge(&other.totals);
        self.unpriced.iter_mut().zip(other.unpriced).for_each(|(runs, more)| *runs += more);
    }

    /// Adds what is not told run by run.
    pub fn finish(
        &mut self,
        usage: &UsageReader<'_>,
        selected: &Selected,
        grouping: &mut Grouping<'_>,
    ) -> Result<(), ReportError> {
        if !grouping.is_by_run() {
            self.groups.iter().for_each(|group| self.totals.absorb(&group.sums));
        }
        usage.for_each_folded(self.window, |folded| {
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
                self.groups[group].sums.add_folded(folded, slot);
            }
        })?;
        Ok(())
    }

    /// Adds a run to its groups, and to the totals what those do not tell.
    pub fn add(&mut self, run: &UsedRun<'_>, selected: &Selected, grouping: &mut Grouping<'_>) {
        let at = run.at.time();
        let slot = self.slot(at);
        // Most runs have one part and touch one group.
        if let [part] = run.parts {
            if selected.label(part.labels) {
                let place = Place { job: run.job, labels: part.labels, status: run.status, at, run: 0 };
                let group = self.group(place, grouping);
                let known = self.known(part);
                let sums = &mut self.groups[group].sums;
                add_part(sums, run, 0, slot);
                sums.add_knowledge(known, run.status, 1);
                self.totals.add_knowledge(known, run.status, 1);
            }
            return;
        }
        self.touched.clear();
        let mut whole: Option<CostProvenance> = None;
        for (nth, part) in run.parts.iter().enumerate() {
            if !selected.label(part.labels) {
                continue;
            }
            let place = Place { job: run.job, labels: part.labels, status: run.status, at, run: 0 };
            let group = self.group(place, grouping);
            let known = self.known(part);
            let sums = &mut self.groups[group].sums;
            add_part(sums, run, nth, slot);
            match self.touched.iter_mut().find(|(touched, _)| *touched == group) {
                Some((_, sum)) => *sum = sum.with(known),
                None => self.touched.push((group, known)),
            }
            whole = Some(whole.map_or(known, |sum| sum.with(known)));
        }
        for (group, known) in &self.touched {
            self.groups[*group].sums.add_knowledge(*known, run.status, 1);
        }
        if let Some(known) = whole {
            self.totals.add_knowledge(known, run.status, 1);
        }
    }

    /// Adds a run that is a group of its own, if it may be shown, and to the totals.
    fn add_single(&mut self, run: &UsedRun<'_>, selected: &Selected, grouping: &mut Grouping<'_>) {
        let at = run.at.time();
        let slot = self.slot(at);
        let mut whole: Option<(usize, CostProvenance)> = None;
        for (nth, part) in run.parts.iter().enumerate().filter(|(_, part)| selected.label(part.labels)) {
            let known = self.known(part);
            add_part(&mut self.totals, run, nth, slot);
            whole = Some(whole.map_or((part.labels, known), |(first, sum)| (first, sum.with(known))));
        }
        let Some((labels, known)) = whole else { return };
        self.totals.add_knowledge(known, run.status, 1);
        if let Some((least, last)) = self.last_kept {
            let (rank, started) = rank_of(self.sort, run, selected);
            if rank < least || rank == least && started >= last {
                self.dropped += 1;
                return;
            }
        }
        let mut sums = Sums::default();
        for (nth, _) in run.parts.iter().enumerate().filter(|(_, part)| selected.label(part.labels)) {
            add_part(&mut sums, run, nth, slot);
        }
        sums.add_knowledge(known, run.status, 1);
        // Under the packed time, so that two runs of a job in a millisecond stay two.
        let number = at.0.saturating_mul(2) | i64::from(matches!(run.at, RunAt::Logged(_)));
        let first = Place { job: run.job, labels, status: run.status, at, run: number };
        grouping.key(&first, &mut self.key);
        self.groups.push(Group { key: self.key.clone(), first, sums });
        self.prune();
    }

    /// Returns how the cost of a part of a run is known; counts those without a price.
    fn known(&mut self, part: &UsedPart) -> CostProvenance {
        let known = provenance(part);
        if known == CostProvenance::Unpriced
            && let Some(runs) = self.unpriced.get_mut(part.labels)
        {
            *runs += 1;
        }
        known
    }

    /// Returns the group of a place. Inlined, as a few here that are asked for each run: the crate is compiled for size.
    #[inline(always)]
    fn group(&mut self, place: Place, grouping: &mut Grouping<'_>) -> usize {
        let deciding = grouping.deciding(&place);
        let (_, labels, status) = deciding;
        // Runs come job by job, so jobs need no spots of their own.
        let at = (labels.wrapping_mul(Status::ALL.len()).wrapping_add(status as usize)) % SPOTS;
        let spot = self.spots[at];
        if spot.deciding == deciding && spot.from <= place.at.0 && place.at.0 < spot.until {
            return spot.group;
        }
        self.group_at(at, place, deciding, grouping)
    }

    /// The same where the spot at hand is another's, which then is this group's.
    #[cold]
    fn group_at(
        &mut self,
        at: usize,
        place: Place,
        deciding: (usize, usize, Status),
        grouping: &mut Grouping<'_>,
    ) -> usize {
        grouping.key(&place, &mut self.key);
        let group = match self.index.get(self.key.as_slice()) {
            Some(known) => *known,
            None => {
                self.index.insert(self.key.clone(), self.groups.len());
                self.groups.push(Group { key: self.key.clone(), first: place, sums: Sums::default() });
                self.groups.len() - 1
            }
        };
        let (from, until) = grouping.span();
        self.spots[at] = Spot { deciding, from, until, group };
        group
    }

    /// Forgets runs that will not be shown, so that memory is bounded by those that will.
    fn prune(&mut self) {
        let Some(keep) = self.keep.filter(|keep| self.groups.len() >= keep.saturating_mul(2).max(1_024))
        else {
            return;
        };
        let rank = |group: &Group| (rank(self.sort, &group.sums), group.sums.last_run);
        self.groups.sort_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            b.0.cmp(&a.0).then(a.1.cmp(&b.1))
        });
        self.dropped += self.groups.len().saturating_sub(keep) as u64;
        self.groups.truncate(keep);
        self.last_kept = self.groups.last().map(rank);
    }

    /// Returns the part of the window that a time lies in.
    fn slot(&mut self, at: UnixMs) -> usize {
        if self.slot.0 <= at.0 && at.0 < self.slot.1 {
            return self.slot.2;
        }
        // Times lie within eight thousand years, so that this does not overflow.
        let length = self.window.until.since(self.window.since).max(1);
        let passed = at.since(self.window.since).max(0).saturating_mul(SLOTS);
        let slot = usize::try_from(passed / length).unwrap_or(0).min(TREND - 1);
        // The first time whose part is at least the n-th.
        let begin = |nth: usize| {
            let passed = i128::from(length) * nth as i128;
            self.window.since.plus(i64::try_from((passed + 7) / i128::from(SLOTS)).unwrap_or(i64::MAX)).0
        };
        let from = if slot == 0 { i64::MIN } else { begin(slot) };
        self.slot = (from, if slot == TREND - 1 { i64::MAX } else { begin(slot + 1) }, slot);
        slot
    }

    /// Returns the groups, each with its key and a place in it, in the order of jobs and times.
    pub fn take_groups(&mut self) -> impl Iterator<Item = (Vec<i64>, (Place, Sums))> + use<> {
        self.index.clear();
        std::mem::take(&mut self.groups).into_iter().map(|group| (group.key, (group.first, group.sums)))
    }
}

/// Adds the `nth` part of a run; the first stands for the run itself.
#[inline(always)]
fn add_part(sums: &mut Sums, run: &UsedRun<'_>, nth: usize, slot: usize) {
    let Some(part) = run.parts.get(nth) else { return };
    sums.add_part(part, run.status, slot);
    if nth == 0 {
        sums.add_runs(run.status, 1);
        sums.add_time(run.at.time(), run.duration_ms);
        sums.add_source(run.provenance, 1);
    }
}

/// Returns what the sums of a run alone would be ranked by, and when it started, without making them.
fn rank_of(sort: Sort, run: &UsedRun<'_>, selected: &Selected) -> (Rank, Option<UnixMs>) {
    let parts = || run.parts.iter().filter(|part| selected.label(part.labels));
    let tokens = || parts().fold(0_u64, |sum, part| sum.saturating_add(part.usage.total()));
    let cost = |part: &UsedPart| part.cost.map_or(0, |cost| cost.usd.0);
    let own = run.parts.first().filter(|part| selected.label(part.labels));
    let started = own.map(|_| run.at.time());
    let rank = match sort {
        Sort::Cost => (parts().fold(0_i64, |sum, part| sum.saturating_add(cost(part))), tokens()),
        Sort::Tokens => (0, tokens()),
        Sort::Runs => (0, u64::from(own.is_some())),
        Sort::Errors => (0, u64::from(own.is_some() && run.status == Status::Error)),
        Sort::Duration => {
            let ms = own.and(run.duration_ms);
            (0, ms.map_or(0, |ms| 1 + ms.min(u64::from(u32::MAX))))
        }
        Sort::Last => (started.map_or(i64::MIN, |at| at.0), 0),
        Sort::Group => (0, 0),
    };
    (rank, started)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of the window is worked out once for many times; here for each.
    #[test]
    fn parts_of_a_window_are_those_of_each_time_alone() {
        for length in [1, 7, 8, 9, 1_000, 86_400_000] {
            let since = UnixMs(1_000_003);
            let mut tally = Tally::new(Window { since, until: since.plus(length) });
            let times = (0..200).map(|n| n * length / 100 - length / 2);
            for passed in times.clone().chain(times.rev()) {
                let expected = (passed.max(0) * SLOTS / length).min(SLOTS - 1);
                let slot = tally.slot(since.plus(passed));
                assert_eq!(slot, usize::try_from(expected).unwrap(), "{passed} of {length}");
            }
        }
    }
}
