//! How budgets stand at the end of a report's window: in the period that its last millisecond lies in, whatever the
//! window's beginning and selection are.
//!
//! Deliberately absent: where the periods begin and how spending goes on (`price`).

use std::collections::HashMap;

use super::sums::provenance;
use super::{ReportError, Sums};
use crate::ledger::{Labels, UsageReader, UsedRun, Window};
use crate::model::{BudgetDefinition, CostProvenance, NanoUsd, UnixMs};
use crate::price::{BudgetClock, Expected, Matcher, PeriodBounds, Rhythm, RunLabels, project};

/// How a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// The budget.
    pub definition: BudgetDefinition,
    /// The period.
    pub period: PeriodBounds,
    /// What was used in it so far.
    pub sums: Sums,
    /// What that will have cost at the period's end, as far as it is known.
    pub projected: NanoUsd,
}

/// A budget's sums in the making.
struct Running {
    row: BudgetRow,
    /// Whether it counts what was spent under the labels with this index.
    matches: Vec<bool>,
    /// Nano-USD by index of the job, and when its first run in the period started; `None`: a job that is not known.
    jobs: HashMap<Option<usize>, (i64, UnixMs)>,
}

/// Returns how each budget stands when a window ends.
///
/// # Errors
/// The ledger's, and a time zone that this machine does not know.
pub fn budgets(
    usage: &UsageReader<'_>,
    definitions: &[BudgetDefinition],
    until: UnixMs,
) -> Result<Vec<BudgetRow>, ReportError> {
    if definitions.is_empty() {
        return Ok(Vec::new());
    }
    let now = until.plus(-1);
    let mut all = Vec::new();
    for definition in definitions {
        // Outside the calendar there are no periods.
        if let Ok(period) = clock(definition)?.period_of(now) {
            let matcher = Matcher::new(&definition.matches);
            let matches = usage.labels.iter().map(|labels| matcher.matches(&run_labels(labels))).collect();
            let row = BudgetRow {
                definition: definition.clone(),
                period,
                sums: Sums::default(),
                projected: NanoUsd::ZERO,
            };
            all.push(Running { row, matches, jobs: HashMap::new() });
        }
    }
    let mut periods: Vec<PeriodBounds> = Vec::new();
    for budget in &all {
        if !periods.contains(&budget.row.period) {
            periods.push(budget.row.period);
        }
    }
    for period in periods {
        let mut of_period: Vec<&mut Running> =
            all.iter_mut().filter(|budget| budget.row.period == period).collect();
        read(usage, Window { since: period.start, until }, &mut of_period)?;
    }
    Ok(all.into_iter().map(|budget| budget.finish(usage, now)).collect())
}

/// Returns when the earliest period began of those that a window ends in; `None` without budgets.
///
/// # Errors
/// A time zone that this machine does not know.
pub fn first_period(definitions: &[BudgetDefinition], until: UnixMs) -> Result<Option<UnixMs>, ReportError> {
    let mut first = None;
    for definition in definitions {
        let start = clock(definition)?.period_of(until.plus(-1)).ok().map(|period| period.start);
        first = first.into_iter().chain(start).min();
    }
    Ok(first)
}

fn clock(definition: &BudgetDefinition) -> Result<BudgetClock, ReportError> {
    BudgetClock::new(definition.period, &definition.timezone).map_err(|_| ReportError::Flag {
        flag: "budget.timezone",
        value: definition.timezone.clone(),
        expected: "the IANA name of a time zone",
    })
}

/// Returns what a budget may ask of the labels that a run was counted under.
#[must_use]
pub fn run_labels(labels: &Labels) -> RunLabels<'_> {
    RunLabels {
        job_id: &labels.job_id,
        job_name: &labels.job_name,
        agent: &labels.agent,
        model: &labels.model,
        provider: &labels.provider,
    }
}

fn read(usage: &UsageReader<'_>, window: Window, budgets: &mut [&mut Running]) -> Result<(), ReportError> {
    let ids: HashMap<&str, usize> =
        usage.jobs.iter().enumerate().map(|(at, job)| (job.job_id.as_str(), at)).collect();
    usage.for_each_run(window, |_| true, |run| budgets.iter_mut().for_each(|budget| budget.add(run)))?;
    usage.for_each_folded(window, |folded| {
        let job = usage.labels.get(folded.labels).and_then(|labels| ids.get(labels.job_id.as_str()).copied());
        for budget in budgets.iter_mut().filter(|budget| budget.counts(folded.labels)) {
            budget.row.sums.add_folded(folded, 0);
            budget.spend(job, folded.cost, folded.noon);
        }
    })?;
    Ok(())
}

impl Running {
    fn counts(&self, labels: usize) -> bool {
        self.matches.get(labels).copied().unwrap_or_default()
    }

    fn add(&mut self, run: &UsedRun<'_>) {
        let (mut whole, mut spent): (Option<CostProvenance>, i64) = (None, 0);
        for (nth, part) in run.parts.iter().enumerate() {
            if !self.counts(part.labels) {
                continue;
            }
            self.row.sums.add_part(part, run.status, 0);
            if nth == 0 {
                self.row.sums.add_runs(run.status, 1);
            }
            spent = spent.saturating_add(part.cost.map_or(0, |cost| cost.usd.0));
            let known = provenance(part);
            whole = Some(whole.map_or(known, |sum| sum.with(known)));
        }
        if let Some(known) = whole {
            self.row.sums.add_knowledge(known, run.status, 1);
            self.spend(Some(run.job), NanoUsd(spent), run.at.time());
        }
    }

    fn spend(&mut self, job: Option<usize>, spent: NanoUsd, at: UnixMs) {
        let sum = self.jobs.entry(job).or_insert((0, at));
        *sum = (sum.0.saturating_add(spent.0), sum.1.min(at));
    }

    fn finish(mut self, usage: &UsageReader<'_>, now: UnixMs) -> BudgetRow {
        let expected = self.expected(usage, now);
        self.row.projected = project(self.row.sums.cost, self.row.period, now, expected);
        self.row
    }

    /// Returns what is still to come, if it is known when each of the jobs runs that spent anything.
    fn expected(&self, usage: &UsageReader<'_>, now: UnixMs) -> Option<Expected> {
        let mut to_come: i128 = 0;
        for (job, (spent, first)) in self.jobs.iter().filter(|(_, (spent, _))| *spent > 0) {
            let job = usage.jobs.get((*job)?)?;
            // How it runs now says nothing of what came after a window of the past.
            if job.last_run.is_some_and(|last| last > now) {
                return None;
            }
            let rhythm = Rhythm::of(job.is_scheduled, job.last_run, job.next_run, now);
            to_come += i128::from(rhythm.to_come(*spent, *first, self.row.period.end)?);
        }
        Some(Expected { runs: 1, mean: NanoUsd(i64::try_from(to_come).ok()?) })
    }
}
