//! Budgets: what was spent in the period that runs, what is left, and what it will come to.
//!
//! What was spent is read from the ledger when a period begins, or this process, and follows every commit from then on,
//! so that asking costs as much as there are budgets and labels, however many runs there were. Deliberately absent:
//! when a period begins (`price`), and who is told.

use std::collections::HashMap;

use crate::ledger::{JobFacts, Labels, Ledger, LedgerError, Spent, Totals};
use crate::model::{BudgetDefinition, NanoUsd, UnixMs};
use crate::price::{BudgetClock, BudgetError, Expected, Matcher, PeriodBounds, Rhythm, RunLabels, project};
use crate::telemetry::BudgetState;

/// All budgets.
#[derive(Default)]
pub struct Budgets {
    list: Vec<Budget>,
    /// Each kind of period in each zone once.
    windows: Vec<Window>,
}

struct Budget {
    definition: BudgetDefinition,
    matcher: Matcher,
    window: usize,
    /// Whether it counts what was spent under the labels with this index.
    matches: Vec<bool>,
}

struct Window {
    clock: BudgetClock,
    bounds: Option<PeriodBounds>,
    /// Nano-USD by index of the labels, and when the first run of them started.
    spent: HashMap<usize, (i64, UnixMs)>,
}

impl Budgets {
    /// Prepares the budgets of a configuration.
    ///
    /// # Errors
    /// This machine does not know a time zone.
    pub fn new(definitions: &[BudgetDefinition]) -> Result<Self, BudgetError> {
        let mut budgets = Self::default();
        let mut known = HashMap::new();
        for definition in definitions {
            let key = (definition.period, definition.timezone.clone());
            let window = match known.get(&key) {
                Some(window) => *window,
                None => {
                    let clock = BudgetClock::new(definition.period, &definition.timezone)?;
                    budgets.windows.push(Window { clock, bounds: None, spent: HashMap::new() });
                    known.insert(key, budgets.windows.len() - 1);
                    budgets.windows.len() - 1
                }
            };
            budgets.list.push(Budget {
                definition: definition.clone(),
                matcher: Matcher::new(&definition.matches),
                window,
                matches: Vec::new(),
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
    /// The ledger's, when a period begins; what was known before stays as it was.
    pub fn refresh(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<Vec<BudgetState>, LedgerError> {
        let (moves, overflowed) = ledger.take_spent();
        for window in &mut self.windows {
            window.follow(&moves, overflowed, ledger, now)?;
        }
        let totals = ledger.totals();
        let totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let jobs = by_id(&totals);
        Ok(self
            .list
            .iter_mut()
            .map(|budget| budget.state(&self.windows[budget.window], &totals, &jobs, now))
            .collect())
    }
}

impl Window {
    fn follow(
        &mut self,
        moves: &[Spent],
        overflowed: bool,
        ledger: &Ledger,
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        // A clock outside the calendar keeps the period that it was in.
        let bounds = self.clock.period_of(now).ok().or(self.bounds);
        if bounds == self.bounds && !overflowed {
            let inside = |spent: &&Spent| {
                self.bounds.is_some_and(|bounds| (bounds.start..bounds.end).contains(&spent.at))
            };
            for spent in moves.iter().filter(inside) {
                add(&mut self.spent, spent);
            }
            return Ok(());
        }
        let Some(bounds) = bounds else { return Ok(()) };
        let mut sums = HashMap::new();
        for spent in ledger.spent_between(bounds.start, bounds.end)? {
            add(&mut sums, &spent);
        }
        (self.bounds, self.spent) = (Some(bounds), sums);
        Ok(())
    }
}

fn add(sums: &mut HashMap<usize, (i64, UnixMs)>, spent: &Spent) {
    let sum = sums.entry(spent.labels).or_insert((0, spent.at));
    *sum = (sum.0.saturating_add(spent.nano_usd), sum.1.min(spent.at));
}

impl Budget {
    fn state(&mut self, window: &Window, totals: &Totals, jobs: &Jobs<'_>, now: UnixMs) -> BudgetState {
        for labels in &totals.labels[self.matches.len().min(totals.labels.len())..] {
            self.matches.push(self.matcher.matches(&run_labels(labels)));
        }
        let counts = |labels: &usize| self.matches.get(*labels).copied().unwrap_or(false);
        let spent: i64 =
            window.spent.iter().filter(|(labels, _)| counts(labels)).map(|(_, (spent, _))| *spent).sum();
        let spent = NanoUsd(spent.max(0));
        let limit = self.definition.limit;
        let projected = window.bounds.map_or(spent, |bounds| {
            let expected = self.expected(window, bounds, (totals, jobs), now);
            project(spent, bounds, now, expected)
        });
        BudgetState {
            name: self.definition.name.clone(),
            period: self.definition.period.as_str(),
            limit,
            spent,
            projected,
        }
    }

    /// Returns what is still to come, if it is known when each of the jobs runs that spent anything.
    fn expected(
        &self,
        window: &Window,
        bounds: PeriodBounds,
        (totals, jobs): (&Totals, &Jobs<'_>),
        now: UnixMs,
    ) -> Option<Expected> {
        let mut by_job: HashMap<&str, (i64, UnixMs)> = HashMap::new();
        for (labels, (spent, first)) in &window.spent {
            if self.matches.get(*labels).copied().unwrap_or(false) {
                let sum = by_job.entry(totals.labels.get(*labels)?.job_id.as_str()).or_insert((0, *first));
                *sum = (sum.0.saturating_add(*spent), sum.1.min(*first));
            }
        }
        let mut to_come: i128 = 0;
        for (job_id, (spent, first)) in by_job.into_iter().filter(|(_, (spent, _))| *spent > 0) {
            let job = jobs.get(job_id)?;
            let (had, left) = runs(job, first, bounds, now)?;
            to_come += i128::from(spent) * i128::from(left) / i128::from(had);
        }
        let mean = NanoUsd(i64::try_from(to_come).ok()?);
        Some(Expected { runs: 1, mean })
    }
}

/// Jobs by their id: each budget asks for each of its own.
type Jobs<'t> = HashMap<&'t str, &'t JobFacts>;

fn by_id(totals: &Totals) -> Jobs<'_> {
    totals.jobs.iter().map(|job| (job.job_id.as_str(), job)).collect()
}

/// Returns how many runs a job had since the first of this period, by its rhythm, and how many are still to come.
/// `None`: its rhythm is not known.
fn runs(job: &JobFacts, first: UnixMs, bounds: PeriodBounds, now: UnixMs) -> Option<(i64, i64)> {
    let is_scheduled = job.defined && job.enabled;
    Rhythm { is_scheduled, last_run: job.last_run, next_run: job.next_run }.runs(first, bounds, now)
}

fn run_labels(labels: &Labels) -> RunLabels<'_> {
    RunLabels {
        job_id: &labels.job_id,
        job_name: &labels.job_name,
        agent: &labels.agent,
        model: &labels.model,
        provider: &labels.provider,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{OpenOptions, Pricing};
    use crate::model::{
        Batch, BudgetMatch, Charge, Cost, CostProvenance, Delivery, FileId, FilePosition, Period, Position,
        Reason, Run, RunAt, RunKey, SessionRef, SourceId, Status, Usage, UsageProvenance,
    };

    const HOUR: i64 = 3_600_000;
    const DAY: PeriodBounds = PeriodBounds { start: UnixMs(0), end: UnixMs(24 * HOUR) };

    fn job(last: i64, next: Option<i64>) -> JobFacts {
        JobFacts {
            job_id: "j".into(),
            defined: true,
            enabled: true,
            last_run: Some(UnixMs(last)),
            next_run: next.map(UnixMs),
            ..JobFacts::default()
        }
    }

    fn window(spent: i64) -> Window {
        let clock = BudgetClock::new(Period::Day, "UTC").unwrap();
        Window { clock, bounds: Some(DAY), spent: HashMap::from([(0, (spent, UnixMs(0)))]) }
    }

    fn projected(job: JobFacts, spent: i64, now: i64) -> i64 {
        let definition = BudgetDefinition {
            name: "all".into(),
            limit: NanoUsd(1),
            period: Period::Day,
            timezone: "UTC".into(),
            matches: BudgetMatch::default(),
        };
        let matcher = Matcher::new(&definition.matches);
        let mut budget = Budget { definition, matcher, window: 0, matches: Vec::new() };
        let labels = std::sync::Arc::new(Labels { job_id: "j".into(), ..Labels::default() });
        let totals = Totals { jobs: vec![job], labels: vec![labels], ..Totals::default() };
        budget.state(&window(spent), &totals, &by_id(&totals), UnixMs(now)).projected.0
    }

    #[test]
    fn a_rhythm_that_is_known_tells_what_is_to_come() {
        // Hourly since midnight, 6 runs so far: 18 more.
        assert_eq!(projected(job(5 * HOUR, Some(6 * HOUR)), 600, 5 * HOUR + 1), 2_400);
        // Daily: it ran today.
        assert_eq!(projected(job(0, Some(24 * HOUR)), 600, 5 * HOUR), 600);
        // Switched off.
        let off = JobFacts { enabled: false, ..job(5 * HOUR, Some(6 * HOUR)) };
        assert_eq!(projected(off, 600, 12 * HOUR), 600);
        // Without a rhythm by the time that passed.
        assert_eq!(projected(job(5 * HOUR, None), 600, 12 * HOUR), 1_200);
    }

    /// A run of 1,000,000 tokens that started then.
    fn run(at: UnixMs) -> Run {
        Run {
            key: RunKey { job_id: "j".into(), at: RunAt::Started(at) },
            recorded_at: at.plus(1),
            status: Status::Ok,
            reason: Reason::None,
            duration_ms: Some(1),
            job_name: None,
            agent: Some("ops".into()),
            provider: Some("p".into()),
            model: Some("m".into()),
            usage: Usage {
                input: Some(1_000_000),
                output: Some(0),
                cache_read: Some(0),
                cache_write: Some(0),
            },
            provenance: UsageProvenance::Record,
            delivery: Delivery::Unknown,
            session: SessionRef::default(),
            next_run_at: None,
        }
    }

    fn count(ledger: &mut Ledger, starts: &[UnixMs]) {
        let source = SourceId("run-log/a.jsonl".into());
        let from = ledger.position(&source).cloned();
        let offset = from.as_ref().and_then(Position::file).map_or(0, |position| position.offset) + 1;
        let file = FileId { dev: 1, ino: 1 };
        let to = Position::File(FilePosition { file, offset, last: None, skipped: 0 });
        let batch = Batch { runs: starts.iter().copied().map(run).collect(), ..Batch::new(source, from, to) };
        ledger.apply(&batch, starts[0].plus(10)).unwrap();
    }

    fn dollar_a_million() -> Pricing {
        std::sync::Arc::new(|asked| {
            let usd = NanoUsd(i64::try_from(asked.usage.input.unwrap_or(0)).unwrap() * 1_000);
            Charge { cost: Cost { usd, provenance: CostProvenance::Priced }, ..Charge::default() }
        })
    }

    /// Berlin, in which clocks went back on 2026-10-25: that day has 25 hours.
    #[test]
    fn what_was_spent_survives_restarts_rolls_over_at_midnight_and_follows_late_prices() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
            Ledger::open(&folder.path().join("ledger.sqlite"), &options, UnixMs(0)).unwrap().ledger
        };
        // 2026-10-25T00:00 in Berlin is 22:00 UTC of the day before.
        let midnight = UnixMs(1_792_879_200_000);
        let next = midnight.plus(25 * HOUR);
        let definition = |name: &str, period, agent: Option<&str>| BudgetDefinition {
            name: name.into(),
            limit: NanoUsd(5_000_000_000),
            period,
            timezone: "Europe/Berlin".into(),
            matches: BudgetMatch { agent: agent.map(str::to_owned), ..BudgetMatch::default() },
        };
        let definitions = [
            definition("day", Period::Day, None),
            definition("month", Period::Month, Some("o*")),
            definition("others", Period::Day, Some("main")),
        ];
        let dollars = |budgets: &mut Budgets, ledger: &mut Ledger, now| -> Vec<i64> {
            let states = budgets.refresh(ledger, now).unwrap();
            states.iter().map(|state| state.spent.0 / 1_000_000_000).collect()
        };
        let mut ledger = open();
        let mut budgets = Budgets::new(&definitions).unwrap();
        // Without a price nothing is spent yet.
        count(&mut ledger, &[midnight.plus(-1), midnight, midnight.plus(3 * HOUR)]);
        assert_eq!(dollars(&mut budgets, &mut ledger, midnight.plus(4 * HOUR)), [0, 0, 0]);
        ledger.set_pricing(dollar_a_million());
        ledger.price_unpriced(midnight.plus(4 * HOUR)).unwrap();
        assert_eq!(dollars(&mut budgets, &mut ledger, midnight.plus(4 * HOUR)), [2, 3, 0], "a late price");
        count(&mut ledger, &[next.plus(-1)]);
        assert_eq!(dollars(&mut budgets, &mut ledger, next.plus(-1)), [3, 4, 0], "the 25th hour");

        drop(ledger);
        let (mut ledger, mut again) = (open(), Budgets::new(&definitions).unwrap());
        assert_eq!(dollars(&mut again, &mut ledger, next.plus(-1)), [3, 4, 0], "started anew");

        ledger.set_pricing(dollar_a_million());
        assert_eq!(dollars(&mut again, &mut ledger, next), [0, 4, 0], "midnight");
        // One that is recorded after midnight belongs to the day on which it started.
        count(&mut ledger, &[next.plus(-2), next]);
        assert_eq!(dollars(&mut again, &mut ledger, next.plus(1)), [1, 6, 0]);
        let states = again.refresh(&mut ledger, next.plus(1)).unwrap();
        assert_eq!((states[1].limit.0 - states[1].spent.0) / 1_000_000_000, -1, "overspent");
    }
}
