//! The question, and its answer out of a ledger, in one pass over the runs of the window.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::group::{Grouping, Names, Place};
use super::sums::{TREND, provenance};
use super::{Cell, Dimension, ReportError, Sums, Zone};
use crate::ledger::{LedgerReader, UsageReader, UsedRun, Window};
use crate::model::{CostProvenance, RunAt, UnixMs};
use crate::price::Pattern;

/// Whose runs are asked for; empty: everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names or ids of jobs.
    pub jobs: Vec<Pattern>,
    /// Agents.
    pub agents: Vec<Pattern>,
    /// Models, also as `provider/model`.
    pub models: Vec<Pattern>,
    /// Providers.
    pub providers: Vec<Pattern>,
}

/// What the first rows have the most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Dollars.
    Cost,
    /// Tokens.
    Tokens,
    /// Runs.
    Runs,
    /// Runs that failed.
    Errors,
    /// 95th percentile of durations.
    Duration,
    /// The newest run.
    Last,
    /// None of all that: by the group itself, in the order of names and times.
    Group,
}

impl Sort {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("cost", Self::Cost),
        ("tokens", Self::Tokens),
        ("runs", Self::Runs),
        ("errors", Self::Errors),
        ("duration", Self::Duration),
        ("last", Self::Last),
        ("name", Self::Group),
    ];

    /// Returns the order of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, sort)| *sort)
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// When.
    pub window: Window,
    /// Whether the window before it, as long as itself, is asked for too.
    pub compare: bool,
    /// Whose days.
    pub zone: Zone,
    /// What rows are made by.
    pub by: Vec<Dimension>,
    /// Whose runs.
    pub selection: Selection,
    /// Which rows come first; `None`: in the order of time if rows are made by time, else by cost.
    pub sort: Option<Sort>,
    /// How many rows at most.
    pub top: Option<usize>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is about, in the order of [`Dimension::fields`].
    pub group: Vec<Cell>,
    /// What it comes to.
    pub sums: Sums,
    /// What it came to in the window before.
    pub previous: Option<Sums>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Report {
    /// When.
    pub window: Window,
    /// When it was before.
    pub previous_window: Option<Window>,
    /// Whose days.
    pub zone: Zone,
    /// What rows are made by.
    pub by: Vec<Dimension>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows that were left out because there are more than asked for.
    pub left_out: u64,
    /// All rows together, left out ones too.
    pub totals: Sums,
    /// All of them in the window before.
    pub previous_totals: Option<Sums>,
    /// Models with tokens and without a price, with the number of runs that used them, most first.
    pub unpriced: Vec<(String, u64)>,
}

/// Answers a question.
///
/// # Errors
/// The ledger's.
pub fn report(reader: &LedgerReader, query: &Query) -> Result<Report, ReportError> {
    let usage = reader.usage()?;
    let names = Names::of(&usage);
    let selected = Selected::new(&names, &usage, &query.selection);
    let mut grouping = Grouping::new(&names, &query.by, &query.zone)?;
    let mut now = Tally::new(query.window);
    now.read(&usage, &selected, &mut grouping)?;
    let previous_window = query.compare.then(|| before(query.window));
    let previous = previous_window
        .map(|window| {
            let mut tally = Tally::new(window);
            tally.read(&usage, &selected, &mut grouping).map(|()| tally)
        })
        .transpose()?;
    let previous_totals = previous.as_ref().map(|tally| tally.totals.clone());
    let mut unpriced: Vec<(String, u64)> = now
        .unpriced
        .iter()
        .map(|(labels, runs)| {
            let (provider, model) = names.model_of_labels(*labels);
            (if model.is_empty() { provider } else { model }.to_owned(), *runs)
        })
        .collect();
    unpriced = merged(unpriced);
    let totals = now.totals.clone();
    let mut rows = rows(now, previous, &grouping);
    rows.sort_by(|a, b| order(query, a, b));
    let kept = query.top.unwrap_or(usize::MAX).min(rows.len());
    let left_out = (rows.len() - kept) as u64;
    rows.truncate(kept);
    Ok(Report {
        window: query.window,
        previous_window,
        zone: query.zone.clone(),
        by: query.by.clone(),
        rows,
        left_out,
        totals,
        previous_totals,
        unpriced,
    })
}

/// Returns the window of the same length that ends where this one begins.
fn before(window: Window) -> Window {
    let length = window.until.since(window.since);
    Window { since: window.since.plus(-length), until: window.since }
}

fn merged(counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let mut sums: HashMap<String, u64> = HashMap::new();
    for (name, runs) in counts {
        *sums.entry(name).or_default() += runs;
    }
    let mut merged: Vec<(String, u64)> = sums.into_iter().collect();
    merged.sort_by(|(a, a_runs), (b, b_runs)| (b_runs, a).cmp(&(a_runs, b)));
    merged
}

fn rows(now: Tally, previous: Option<Tally>, grouping: &Grouping<'_>) -> Vec<Row> {
    let compared = previous.is_some();
    let mut before: HashMap<Vec<i64>, (Place, Sums)> =
        previous.map(Tally::into_groups).into_iter().flatten().collect();
    let mut rows = Vec::with_capacity(now.sums.len());
    for (key, (place, sums)) in now.into_groups() {
        let previous = before.remove(&key).map(|(_, sums)| sums);
        let previous = previous.or_else(|| compared.then(Sums::default));
        rows.push(Row { group: grouping.cells(&key, &place), sums, previous });
    }
    for (key, (place, sums)) in before {
        let group = grouping.cells(&key, &place);
        rows.push(Row { group, sums: Sums::default(), previous: Some(sums) });
    }
    rows
}

/// Returns which of two rows comes first.
fn order(query: &Query, a: &Row, b: &Row) -> Ordering {
    let sort = match (query.sort, query.by.as_slice()) {
        (Some(sort), _) => sort,
        (None, [Dimension::Run]) => Sort::Last,
        (None, [first, ..]) if first.is_period() => {
            // In the order of time; within a day by cost.
            let periods = query.by.iter().take_while(|dimension| dimension.is_period()).count();
            let times = |row: &Row| row.group.iter().take(periods).cloned().collect::<Vec<_>>();
            return times(a).cmp(&times(b)).then_with(|| most(Sort::Cost, &query.by, a, b));
        }
        (None, by) if by.iter().any(|dimension| dimension.is_period()) => Sort::Group,
        (None, _) => Sort::Cost,
    };
    most(sort, &query.by, a, b)
}

fn most(sort: Sort, by: &[Dimension], a: &Row, b: &Row) -> Ordering {
    let (x, y) = (&a.sums, &b.sums);
    let most = match sort {
        Sort::Cost => (y.cost, y.total_tokens()).cmp(&(x.cost, x.total_tokens())),
        Sort::Tokens => y.total_tokens().cmp(&x.total_tokens()),
        Sort::Runs => y.runs.total.cmp(&x.runs.total),
        Sort::Errors => y.runs.error.cmp(&x.runs.error),
        Sort::Duration => y.duration_ms(95).cmp(&x.duration_ms(95)),
        Sort::Last => y.last_run.cmp(&x.last_run),
        Sort::Group => Ordering::Equal,
    };
    most.then_with(|| by_name(by, a).cmp(&by_name(by, b)))
}

/// Returns a group's cells with names of jobs before their ids.
fn by_name<'a>(by: &[Dimension], row: &'a Row) -> Vec<&'a Cell> {
    let mut cells: Vec<&Cell> = row.group.iter().collect();
    let mut at = 0;
    for dimension in by {
        if *dimension == Dimension::Job && at + 1 < cells.len() {
            cells.swap(at, at + 1);
        }
        at += dimension.fields().len();
    }
    cells
}

/// A selection as it applies to the texts of a ledger.
struct Selected {
    jobs: Vec<bool>,
    labels: Vec<bool>,
}

impl Selected {
    fn new(names: &Names, usage: &UsageReader<'_>, selection: &Selection) -> Self {
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
        Self {
            jobs: names.jobs.iter().map(|(id, name)| fits(&selection.jobs, &[id, name])).collect(),
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

/// Sums in the making.
struct Tally {
    window: Window,
    index: HashMap<Vec<i64>, usize>,
    /// Of each group a place in it and its sums.
    sums: Vec<(Place, Sums)>,
    totals: Sums,
    /// Runs by the labels under which they have tokens and no price.
    unpriced: HashMap<usize, u64>,
    key: Vec<i64>,
    /// The groups that the run at hand touches, and how its cost is known there.
    touched: Vec<(usize, CostProvenance)>,
}

impl Tally {
    fn new(window: Window) -> Self {
        Self {
            window,
            index: HashMap::new(),
            sums: Vec::new(),
            totals: Sums::default(),
            unpriced: HashMap::new(),
            key: Vec::new(),
            touched: Vec::new(),
        }
    }

    fn read(
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
    }

    fn group(&mut self, place: Place, grouping: &mut Grouping<'_>) -> usize {
        grouping.key(&place, &mut self.key);
        if let Some(known) = self.index.get(self.key.as_slice()) {
            return *known;
        }
        self.index.insert(self.key.clone(), self.sums.len());
        self.sums.push((place, Sums::default()));
        self.sums.len() - 1
    }

    /// Returns the part of the window that a time lies in.
    fn slot(&self, at: UnixMs) -> usize {
        let length = i128::from(self.window.until.since(self.window.since)).max(1);
        let passed = i128::from(at.since(self.window.since));
        usize::try_from(passed * TREND as i128 / length).unwrap_or(0).min(TREND - 1)
    }

    fn into_groups(self) -> impl Iterator<Item = (Vec<i64>, (Place, Sums))> {
        let mut sums: Vec<Option<(Place, Sums)>> = self.sums.into_iter().map(Some).collect();
        self.index.into_iter().filter_map(move |(key, at)| Some((key, sums.get_mut(at)?.take()?)))
    }
}
