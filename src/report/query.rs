//! The question, and its answer out of a ledger.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::group::{Grouping, Names, Place};
use super::tally::{Selected, Tally};
use super::{BudgetRow, Cell, Dimension, ReportError, Sums, Zone};
use crate::ledger::{UsageReader, Window};
use crate::model::UnixMs;
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
    /// Gateways.
    pub gateways: Vec<Pattern>,
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

impl Query {
    /// Returns when the first run may have started that is asked for.
    #[must_use]
    pub fn begins(&self) -> UnixMs {
        if self.compare { before(self.window).since } else { self.window.since }
    }
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
    /// How budgets stand when the window ends; none unless somebody puts them in.
    pub budgets: Vec<BudgetRow>,
    /// What else has to be said about the numbers.
    pub notes: Vec<String>,
    /// The numbers come from counters and not from runs.
    pub of_counters: bool,
}

/// Answers a question.
///
/// # Errors
/// The ledger's.
pub fn report(usage: &UsageReader<'_>, query: &Query) -> Result<Report, ReportError> {
    let names = Names::of(usage);
    let selected = Selected::new(&names, usage, &query.selection);
    let mut grouping = Grouping::new(&names, &query.by, &query.zone)?;
    let mut now = Tally::new(query.window);
    now.keep = query.top.filter(|_| grouping.is_by_run());
    now.sort = query.sort.unwrap_or(Sort::Last);
    let previous_window = query.compare.then(|| before(query.window));
    let mut tallies: Vec<Tally> = [now].into_iter().chain(previous_window.map(Tally::new)).collect();
    Tally::read(&mut tallies, usage, &selected, &mut grouping)?;
    let previous = previous_window.and_then(|_| tallies.pop());
    let now = tallies.remove(0);
    let previous_totals = previous.as_ref().map(|tally| tally.totals.clone());
    let mut unpriced: Vec<(String, u64)> = now
        .unpriced
        .iter()
        .enumerate()
        .filter(|(_, runs)| **runs > 0)
        .map(|(labels, runs)| {
            let (provider, model) = names.model_of_labels(labels);
            (if model.is_empty() { provider } else { model }.to_owned(), *runs)
        })
        .collect();
    unpriced = merged(unpriced);
    let totals = now.totals.clone();
    let dropped = now.dropped;
    let mut rows = rows(now, previous, &grouping);
    rows.sort_by(|a, b| order(query, a, b));
    let kept = query.top.unwrap_or(usize::MAX).min(rows.len());
    let left_out = dropped + (rows.len() - kept) as u64;
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
        budgets: Vec::new(),
        notes: Vec::new(),
        of_counters: false,
    })
}

/// Returns the window of the same length that ends where this one begins.
pub(super) fn before(window: Window) -> Window {
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

fn rows(mut now: Tally, previous: Option<Tally>, grouping: &Grouping<'_>) -> Vec<Row> {
    let compared = previous.is_some();
    let mut before: HashMap<Vec<i64>, (Place, Sums)> =
        previous.map(|mut tally| tally.take_groups()).into_iter().flatten().collect();
    let mut rows = Vec::new();
    for (key, (place, sums)) in now.take_groups() {
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
pub(super) fn order(query: &Query, a: &Row, b: &Row) -> Ordering {
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
    rank(sort, &b.sums).cmp(&rank(sort, &a.sums)).then_with(|| by_name(by, a).cmp(&by_name(by, b)))
}

/// What sums are ranked by; more comes first.
pub(super) type Rank = (i64, u64);

/// Returns what sums are ranked by.
pub(super) fn rank(sort: Sort, sums: &Sums) -> Rank {
    match sort {
        Sort::Cost => (sums.cost.0, sums.total_tokens()),
        Sort::Tokens => (0, sums.total_tokens()),
        Sort::Runs => (0, sums.runs.total),
        Sort::Errors => (0, sums.runs.error),
        Sort::Duration => (0, sums.duration_ms(95).map_or(0, |ms| ms + 1)),
        Sort::Last => (sums.last_run.map_or(i64::MIN, |at| at.0), 0),
        Sort::Group => (0, 0),
    }
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
