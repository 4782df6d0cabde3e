//! Budgets: what was spent in the period that runs, what is left, and what it will come to.
//!
//! What was spent is read from the ledger when a period begins, or this process, and follows every commit from then on.
//! Each budget keeps its sums, so that a commit costs a look at every job and, for each job that it touched, at every
//! budget, however many runs and labels there are. Deliberately absent: when a period begins (`price`), and who is told.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::ledger::{JobFacts, Labels, Ledger, LedgerError, Spent};
use crate::model::{BudgetDefinition, NanoUsd, UnixMs};
use crate::price::{BudgetClock, BudgetError, Expected, Matcher, PeriodBounds, Rhythm, project};
use crate::report::run_labels;
use crate::telemetry::BudgetState;

/// All budgets.
#[derive(Default)]
pub struct Budgets {
    list: Vec<Budget>,
    /// Each kind of period in each zone once.
    windows: Vec<Window>,
    jobs: Jobs,
}

struct Budget {
    definition: BudgetDefinition,
    matcher: Matcher,
    window: usize,
    /// Whether it counts what was spent under the labels with this index.
    matches: Vec<bool>,
    /// What it counts, by number of the job.
    shares: HashMap<usize, Share>,
    /// The sum of all shares in nano-USD.
    spent: i128,
    /// The sum of what is known to come in nano-USD.
    to_come: i128,
    /// Shares of which that is not known.
    unforeseen: usize,
}

/// What a budget counts of one job.
struct Share {
    /// In nano-USD.
    spent: i64,
    /// When the first of these runs started.
    first: UnixMs,
    /// Nano-USD that are still to come in the period; `None`: not known.
    to_come: Option<i64>,
}

struct Window {
    clock: BudgetClock,
    bounds: Option<PeriodBounds>,
    /// Its budgets do not know all that was spent: the ledger has to be read.
    stale: bool,
    /// Indices of its budgets.
    budgets: Vec<usize>,
}

impl Budgets {
    /// Prepares the budgets of a configuration.
    ///
    /// # Errors
    /// This machine does not know a time zone.
    pub fn new(definitions: &[BudgetDefinition]) -> Result<Self, BudgetError> {
        let mut budgets = Self::default();
        let mut known = HashMap::new();
        for (at, definition) in definitions.iter().enumerate() {
            let key = (definition.period, definition.timezone.clone());
            let window = match known.get(&key) {
                Some(window) => *window,
                None => {
                    let clock = BudgetClock::new(definition.period, &definition.timezone)?;
                    budgets.windows.push(Window { clock, bounds: None, stale: true, budgets: Vec::new() });
                    known.insert(key, budgets.windows.len() - 1);
                    budgets.windows.len() - 1
                }
            };
            budgets.windows[window].budgets.push(at);
            budgets.list.push(Budget {
                definition: definition.clone(),
                matcher: Matcher::new(&definition.matches),
                window,
                matches: Vec::new(),
                shares: HashMap::new(),
                spent: 0,
                to_come: 0,
                unforeseen: 0,
            });
        }
        Ok(budgets)
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns how each budget stands.
    ///
    /// # Errors
    /// The ledger's, when a period begins; it is read again the next time.
    pub fn refresh(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<Vec<BudgetState>, LedgerError> {
        let (moves, overflowed) = ledger.take_spent();
        let changed = self.learn(ledger, now);
        let incomplete = overflowed || moves.iter().any(|spent| spent.labels >= self.jobs.of_labels.len());
        for window in &mut self.windows {
            window.stale |= incomplete;
            window.turn(now);
        }
        self.follow(&moves, &changed);
        if self.windows.iter().any(|window| window.stale) {
            self.read(ledger)?;
        }
        Ok(self.list.iter().map(|budget| budget.state(&self.windows[budget.window], now)).collect())
    }

    /// Takes in new labels and what the scheduler says. Returns the jobs whose rhythm is another than before.
    fn learn(&mut self, ledger: &Ledger, now: UnixMs) -> Vec<usize> {
        let totals = ledger.totals();
        let totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        self.jobs.learn(&totals.labels);
        for budget in &mut self.list {
            let Budget { matcher, matches, .. } = budget;
            let new = totals.labels.get(matches.len()..).unwrap_or_default();
            matches.extend(new.iter().map(|labels| matcher.matches(&run_labels(labels))));
        }
        self.jobs.follow(&totals.jobs, now)
    }

    /// Counts what moved in the periods that are known.
    fn follow(&mut self, moves: &[Spent], changed: &[usize]) {
        let Self { list, windows, jobs } = self;
        for window in windows.iter_mut().filter(|window| !window.stale) {
            let Some(bounds) = window.bounds else { continue };
            for job in changed {
                for budget in &window.budgets {
                    list[*budget].settle(*job, jobs.rhythms[*job], bounds.end);
                }
            }
            let inside = moves.iter().filter(|spent| bounds.start <= spent.at && spent.at < bounds.end);
            window.count(list, jobs, bounds, inside);
        }
    }

    /// Reads what was spent in the periods that are not known: each part of time once, in however many of them it
    /// lies.
    fn read(&mut self, ledger: &Ledger) -> Result<(), LedgerError> {
        let Self { list, windows, jobs } = self;
        let stale = windows.iter().filter(|window| window.stale).filter_map(|window| window.bounds);
        let stale: Vec<PeriodBounds> = stale.collect();
        let mut edges: Vec<UnixMs> = stale.iter().flat_map(|bounds| [bounds.start, bounds.end]).collect();
        edges.sort_unstable();
        edges.dedup();
        let mut parts = Vec::new();
        for edge in edges.windows(2) {
            let part = PeriodBounds { start: edge[0], end: edge[1] };
            if stale.iter().any(|bounds| holds(*bounds, part)) {
                parts.push((part, ledger.spent_between(part.start, part.end)?));
            }
        }
        for window in windows.iter_mut().filter(|window| window.stale) {
            let Some(bounds) = window.bounds else { continue };
            for budget in &window.budgets {
                list[*budget].forget();
            }
            let inside = parts.iter().filter(|(part, _)| holds(bounds, *part)).flat_map(|(_, spent)| spent);
            window.stale = !window.count(list, jobs, bounds, inside);
        }
        Ok(())
    }
}

fn holds(bounds: PeriodBounds, part: PeriodBounds) -> bool {
    bounds.start <= part.start && part.end <= bounds.end
}

impl Window {
    /// Moves on to the period that a time lies in.
    fn turn(&mut self, now: UnixMs) {
        if self.bounds.is_some_and(|bounds| bounds.start <= now && now < bounds.end) {
            return;
        }
        // A clock outside the calendar keeps the period that it was in.
        let Ok(bounds) = self.clock.period_of(now) else { return };
        if self.bounds != Some(bounds) {
            (self.bounds, self.stale) = (Some(bounds), true);
        }
    }

    /// Adds to its budgets. Returns whether all labels are known.
    fn count<'s>(
        &self,
        list: &mut [Budget],
        jobs: &Jobs,
        bounds: PeriodBounds,
        moves: impl Iterator<Item = &'s Spent>,
    ) -> bool {
        let mut sums: HashMap<usize, Spent> = HashMap::new();
        for spent in moves {
            let sum = sums.entry(spent.labels).or_insert(Spent { nano_usd: 0, ..*spent });
            sum.nano_usd = sum.nano_usd.saturating_add(spent.nano_usd);
            sum.at = sum.at.min(spent.at);
        }
        let mut complete = true;
        for spent in sums.values() {
            let Some(job) = jobs.of_labels.get(spent.labels) else {
                complete = false;
                continue;
            };
            for budget in &self.budgets {
                list[*budget].add(spent, *job, jobs.rhythms[*job], bounds.end);
            }
        }
        complete
    }
}

impl Budget {
    fn forget(&mut self) {
        self.shares.clear();
        (self.spent, self.to_come, self.unforeseen) = (0, 0, 0);
    }

    fn add(&mut self, spent: &Spent, job: usize, rhythm: Rhythm, end: UnixMs) {
        if !self.matches.get(spent.labels).copied().unwrap_or(false) {
            return;
        }
        self.spent += i128::from(spent.nano_usd);
        let share = self.shares.entry(job).or_insert(Share { spent: 0, first: spent.at, to_come: Some(0) });
        share.spent = share.spent.saturating_add(spent.nano_usd);
        share.first = share.first.min(spent.at);
        self.settle(job, rhythm, end);
    }

    /// Says anew what is still to come of a job.
    fn settle(&mut self, job: usize, rhythm: Rhythm, end: UnixMs) {
        let Some(share) = self.shares.get_mut(&job) else { return };
        let to_come = if share.spent > 0 { rhythm.to_come(share.spent, share.first, end) } else { Some(0) };
        self.to_come += i128::from(to_come.unwrap_or(0)) - i128::from(share.to_come.unwrap_or(0));
        self.unforeseen += usize::from(to_come.is_none());
        self.unforeseen -= usize::from(share.to_come.is_none());
        share.to_come = to_come;
    }

    fn state(&self, window: &Window, now: UnixMs) -> BudgetState {
        let spent = NanoUsd(i64::try_from(self.spent.max(0)).unwrap_or(i64::MAX));
        let projected = window.bounds.map_or(spent, |bounds| project(spent, bounds, now, self.expected()));
        BudgetState {
            name: self.definition.name.clone(),
            period: self.definition.period.as_str(),
            limit: self.definition.limit,
            spent,
            projected,
        }
    }

    /// Returns what is still to come, if it is known when each of the jobs runs that spent anything.
    fn expected(&self) -> Option<Expected> {
        let mean = NanoUsd(i64::try_from(self.to_come).ok()?);
        (self.unforeseen == 0).then_some(Expected { runs: 1, mean })
    }
}

/// The jobs that ran, numbered as their labels turn up.
#[derive(Default)]
struct Jobs {
    numbers: HashMap<String, usize>,
    /// By index of the labels: the number of the job.
    of_labels: Vec<usize>,
    rhythms: Vec<Rhythm>,
}

impl Jobs {
    fn learn(&mut self, labels: &[Arc<Labels>]) {
        for labels in labels.get(self.of_labels.len()..).unwrap_or_default() {
            let next = self.rhythms.len();
            let number = *self.numbers.entry(labels.job_id.clone()).or_insert(next);
            if number == next {
                self.rhythms.push(Rhythm::Unknown);
            }
            self.of_labels.push(number);
        }
    }

    /// Takes over what is known of the jobs. Returns those whose rhythm is another than before.
    fn follow(&mut self, facts: &[JobFacts], now: UnixMs) -> Vec<usize> {
        let mut changed = Vec::new();
        for job in facts {
            let Some(number) = self.numbers.get(&job.job_id) else { continue };
            let rhythm = Rhythm::of(job.defined && job.enabled, job.last_run, job.next_run, now);
            if std::mem::replace(&mut self.rhythms[*number], rhythm) != rhythm {
                changed.push(*number);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests;
