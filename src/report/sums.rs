//! What runs come to: counts, tokens, money and how it is known.

use super::durations::Durations;
use crate::ledger::{FoldedRuns, UsedPart};
use crate::model::{Billing, CostProvenance, NanoUsd, Status, UnixMs, Usage, UsageProvenance};

/// Parts of the window that a trend shows.
pub const TREND: usize = 8;

/// Runs by how they ended. `total` counts those too whose end is not known or of which no record tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// All of them.
    pub total: u64,
    /// That succeeded.
    pub ok: u64,
    /// That failed.
    pub error: u64,
    /// That the scheduler left out.
    pub skipped: u64,
}

/// How much a cost says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// All of it is known.
    Exact,
    /// It is at least this.
    AtLeast,
    /// There are tokens and no price.
    Unpriced,
    /// Nothing is known.
    Nothing,
}

/// What a number of runs come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many, each under its own model.
    pub runs: RunCounts,
    /// Tokens by kind, in the order of [`TokenKind::ALL`](crate::model::TokenKind::ALL).
    pub tokens: [u64; 4],
    /// What is known of their cost.
    pub cost: NanoUsd,
    /// Of that, the cost of runs that failed or were cut off.
    pub wasted: NanoUsd,
    /// Of all, what a subscription covers or an own machine does: nobody bills it by the token.
    pub not_billed: NanoUsd,
    /// Tokens without a price.
    pub unpriced_tokens: u64,
    /// Of the cost, what is a lower bound. Counters tell it by gateway only.
    pub lower_bound: NanoUsd,
    /// It comes from counters: how many runs are unpriced, partly priced or not known is not told.
    pub of_counters: bool,
    /// Runs whose cost is known.
    pub priced_runs: u64,
    /// Runs with tokens and without a price.
    pub unpriced_runs: u64,
    /// Runs of whose cost or tokens only a part is known.
    pub partial_runs: u64,
    /// Runs of whose tokens nothing is known, though the scheduler did run them.
    pub unknown_runs: u64,
    /// Runs whose tokens no source tells, skipped ones included.
    pub silent_runs: u64,
    /// Of all runs, those that are known by their day only.
    pub folded_runs: u64,
    /// When the newest one started.
    pub last_run: Option<UnixMs>,
    /// Cost over the window, in nano-USD.
    pub cost_trend: [i64; TREND],
    /// Tokens over the window.
    pub token_trend: [u64; TREND],
    pub(super) durations: Durations,
}

impl Sums {
    /// Returns nothing, to which the growth of counters is added.
    pub(super) fn of_counters() -> Self {
        Self { of_counters: true, ..Self::default() }
    }

    /// Adds runs that took no longer than `bound` milliseconds, as a metric counts them.
    pub(super) fn add_bucket(&mut self, bound: u64, runs: u64) {
        self.durations.add_cumulated(bound, runs);
    }

    /// Adds what a run used under one set of labels. `slot` is the part of the window.
    #[inline]
    pub(super) fn add_part(&mut self, part: &UsedPart, status: Status, slot: usize) {
        let Usage { input, output, cache_read, cache_write } = part.usage;
        // By hand, here and below: this is done for each run.
        let tokens =
            [input.unwrap_or(0), output.unwrap_or(0), cache_read.unwrap_or(0), cache_write.unwrap_or(0)];
        let cost = part.cost.map_or(NanoUsd::ZERO, |cost| cost.usd);
        self.add_usage(tokens, cost, status, slot);
        match provenance(part) {
            CostProvenance::Unpriced => self.unpriced_tokens += part.usage.total(),
            CostProvenance::LowerBound => self.lower_bound = add(self.lower_bound, cost),
            _ => {}
        }
        if part.billing != Billing::Metered {
            self.not_billed = add(self.not_billed, cost);
        }
    }

    #[inline]
    fn add_usage(&mut self, tokens: [u64; 4], cost: NanoUsd, status: Status, slot: usize) {
        let ([a, b, c, d], [input, output, read, write]) = (self.tokens, tokens);
        self.tokens = [
            a.saturating_add(input),
            b.saturating_add(output),
            c.saturating_add(read),
            d.saturating_add(write),
        ];
        let whole = input.saturating_add(output).saturating_add(read).saturating_add(write);
        self.cost = add(self.cost, cost);
        if matches!(status, Status::Error | Status::Unrecorded) {
            self.wasted = add(self.wasted, cost);
        }
        if let (Some(costs), Some(sums)) = (self.cost_trend.get_mut(slot), self.token_trend.get_mut(slot)) {
            *costs = costs.saturating_add(cost.0);
            *sums = sums.saturating_add(whole);
        }
    }

    /// Counts runs.
    pub(super) fn add_runs(&mut self, status: Status, runs: u64) {
        self.runs.total += runs;
        match status {
            Status::Ok => self.runs.ok += runs,
            Status::Error => self.runs.error += runs,
            Status::Skipped => self.runs.skipped += runs,
            Status::Unknown | Status::Unrecorded => {}
        }
    }

    /// Notes how the tokens of runs are known.
    pub(super) fn add_source(&mut self, provenance: UsageProvenance, runs: u64) {
        if provenance == UsageProvenance::None {
            self.silent_runs += runs;
        }
    }

    /// Notes when a run started and how long it took.
    pub(super) fn add_time(&mut self, started: UnixMs, duration_ms: Option<u64>) {
        self.last_run = self.last_run.max(Some(started));
        if let Some(ms) = duration_ms {
            self.durations.add(ms);
        }
    }

    /// Notes how the cost of runs is known.
    pub(super) fn add_knowledge(&mut self, known: CostProvenance, status: Status, runs: u64) {
        match known {
            // What was not run cost nothing.
            CostProvenance::None if status == Status::Skipped => self.priced_runs += runs,
            CostProvenance::None => self.unknown_runs += runs,
            CostProvenance::Unpriced => self.unpriced_runs += runs,
            CostProvenance::LowerBound => self.partial_runs += runs,
            CostProvenance::Priced | CostProvenance::Recorded => self.priced_runs += runs,
        }
    }

    /// Adds all of a group but how the cost of its runs is known: a run may belong to several groups.
    pub(super) fn absorb(&mut self, group: &Self) {
        // Every field by name, so that none is forgotten.
        #[rustfmt::skip]
        let Self {
            runs, tokens, cost, wasted, not_billed, unpriced_tokens, lower_bound, of_counters,
            priced_runs: _, unpriced_runs: _, partial_runs: _, unknown_runs: _,
            silent_runs, folded_runs, last_run, cost_trend, token_trend, durations,
        } = group;
        self.runs.total += runs.total;
        self.runs.ok += runs.ok;
        self.runs.error += runs.error;
        self.runs.skipped += runs.skipped;
        for (sum, more) in self.tokens.iter_mut().zip(tokens) {
            *sum = sum.saturating_add(*more);
        }
        self.cost = add(self.cost, *cost);
        self.wasted = add(self.wasted, *wasted);
        self.not_billed = add(self.not_billed, *not_billed);
        self.unpriced_tokens = self.unpriced_tokens.saturating_add(*unpriced_tokens);
        self.lower_bound = add(self.lower_bound, *lower_bound);
        self.of_counters |= of_counters;
        self.silent_runs += silent_runs;
        self.folded_runs += folded_runs;
        self.last_run = self.last_run.max(*last_run);
        for (sum, more) in self.cost_trend.iter_mut().zip(cost_trend) {
            *sum = sum.saturating_add(*more);
        }
        for (sum, more) in self.token_trend.iter_mut().zip(token_trend) {
            *sum = sum.saturating_add(*more);
        }
        self.durations.absorb(durations);
    }

    /// Adds how the cost of a group's runs is known, where none of them is in another group.
    pub(super) fn absorb_knowledge(&mut self, group: &Self) {
        self.priced_runs += group.priced_runs;
        self.unpriced_runs += group.unpriced_runs;
        self.partial_runs += group.partial_runs;
        self.unknown_runs += group.unknown_runs;
    }

    /// Adds runs of a folded day.
    pub(super) fn add_folded(&mut self, folded: &FoldedRuns, slot: usize) {
        self.add_runs(folded.status, folded.runs);
        self.add_usage(folded.tokens, folded.cost, folded.status, slot);
        let known = folded_provenance(folded);
        if known == CostProvenance::Unpriced {
            self.unpriced_tokens += folded.tokens.iter().sum::<u64>();
        }
        self.add_knowledge(known, folded.status, folded.runs);
        self.add_source(folded.provenance, folded.runs);
        self.folded_runs += folded.runs;
    }

    /// Returns how much the cost says.
    #[must_use]
    pub fn known(&self) -> Known {
        if self.of_counters {
            let ran = self.runs.total > self.runs.skipped;
            return match (self.unpriced_tokens > 0 || self.lower_bound.0 > 0, self.cost.0 != 0) {
                (false, false) if ran && self.total_tokens() == 0 => Known::Nothing,
                (false, _) => Known::Exact,
                (true, true) => Known::AtLeast,
                (true, false) => Known::Unpriced,
            };
        }
        let gaps = self.unpriced_runs + self.partial_runs + self.unknown_runs;
        if gaps == 0 {
            return Known::Exact;
        }
        if self.cost.0 != 0 || self.partial_runs > 0 || self.priced_runs > self.runs.skipped {
            return Known::AtLeast;
        }
        if self.unpriced_runs > 0 { Known::Unpriced } else { Known::Nothing }
    }

    /// Returns the runs whose cost is at least what is said: a part of it or nothing at all is known.
    #[must_use]
    pub const fn lower_bound_runs(&self) -> u64 {
        self.partial_runs + self.unknown_runs
    }

    /// Returns the cost of a run that was not skipped; `None` if there is none.
    #[must_use]
    pub fn cost_per_run(&self) -> Option<NanoUsd> {
        let ran = i64::try_from(self.runs.total.saturating_sub(self.runs.skipped)).ok()?;
        self.cost.0.checked_div(ran).map(NanoUsd)
    }

    /// Returns the duration that this share of the runs did not exceed, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self, percent: u64) -> Option<u64> {
        let [ms] = self.durations_ms([percent]);
        ms
    }

    /// The same of several shares at once, the smallest first.
    #[must_use]
    pub fn durations_ms<const N: usize>(&self, percents: [u64; N]) -> [Option<u64>; N] {
        self.durations.quantiles(percents)
    }

    /// Returns all tokens.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.tokens.into_iter().fold(0, u64::saturating_add)
    }
}

fn add(sum: NanoUsd, cost: NanoUsd) -> NanoUsd {
    NanoUsd(sum.0.saturating_add(cost.0))
}

/// Returns how the cost of a part of a run is known.
pub(super) fn provenance(part: &UsedPart) -> CostProvenance {
    match part.cost {
        Some(cost) => cost.provenance,
        None if part.usage.total() > 0 => CostProvenance::Unpriced,
        // Nothing was used, and that costs nothing at any price.
        None if part.usage.input.is_some() && part.usage.output.is_some() => CostProvenance::Priced,
        None => CostProvenance::None,
    }
}

/// A folded day has a cost and does not say how it is known: at least that much.
pub(super) fn folded_provenance(folded: &FoldedRuns) -> CostProvenance {
    if folded.cost != NanoUsd::ZERO {
        CostProvenance::LowerBound
    } else if folded.tokens != [0; 4] {
        CostProvenance::Unpriced
    } else if folded.provenance == UsageProvenance::None {
        CostProvenance::None
    } else {
        CostProvenance::Priced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cost;

    #[test]
    fn what_is_not_known_is_never_a_plain_sum() {
        use CostProvenance::{LowerBound, None, Priced, Recorded, Unpriced};
        for (runs, usd, expected) in [
            (vec![], 0, Known::Exact),
            (vec![(Priced, Status::Ok), (Recorded, Status::Error)], 5, Known::Exact),
            (vec![(Priced, Status::Ok), (None, Status::Skipped)], 5, Known::Exact),
            (vec![(Priced, Status::Ok), (None, Status::Error)], 5, Known::AtLeast),
            (vec![(Priced, Status::Ok), (None, Status::Error)], 0, Known::AtLeast),
            (vec![(LowerBound, Status::Ok)], 5, Known::AtLeast),
            (vec![(Unpriced, Status::Ok)], 0, Known::Unpriced),
            (vec![(Unpriced, Status::Ok), (None, Status::Error)], 0, Known::Unpriced),
            (vec![(None, Status::Error), (None, Status::Skipped)], 0, Known::Nothing),
        ] {
            let mut sums = Sums { cost: NanoUsd(usd), ..Sums::default() };
            for (known, status) in &runs {
                sums.add_runs(*status, 1);
                sums.add_knowledge(*known, *status, 1);
            }
            assert_eq!(sums.known(), expected, "{runs:?}");
        }
    }

    #[test]
    fn a_cost_that_was_not_worked_out_yet_is_unpriced() {
        let usage = |input| Usage { input, output: input, ..Usage::default() };
        let cost = Cost { usd: NanoUsd(1), provenance: CostProvenance::LowerBound };
        for (tokens, cost, expected) in [
            (Some(7), None, CostProvenance::Unpriced),
            (Some(0), None, CostProvenance::Priced),
            (None, None, CostProvenance::None),
            (Some(7), Some(cost), CostProvenance::LowerBound),
        ] {
            let part = UsedPart { labels: 0, usage: usage(tokens), cost, billing: Billing::Metered };
            assert_eq!(provenance(&part), expected);
        }
    }
}
