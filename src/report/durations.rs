//! Quantiles of durations in bounded memory.
//!
//! Up to [`EXACT`] values are kept and the quantile is one of them. Beyond that they are counted in buckets whose
//! bounds lie less than 1/128 apart, so that a quantile is at most .8 % above the true one. Of the buckets of a metric,
//! which lie far apart, it is interpolated, as PromQL's `histogram_quantile` does it.

use std::collections::BTreeMap;

/// Most values that are kept one by one.
const EXACT: usize = 4096;
/// Values below 2^8 have buckets of their own; above, each doubling has 2^7.
const BITS: u32 = 7;

/// Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Durations {
    Exact(Vec<u32>),
    /// Counts by [`bucket`].
    Counted(Vec<u32>),
    /// By upper bound, how many did not exceed it; `u64::MAX`: all.
    Cumulated(BTreeMap<u64, u64>),
}

impl Default for Durations {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Durations {
    /// Adds one. What took longer than 49 days took 49 days.
    pub fn add(&mut self, ms: u64) {
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        match self {
            Self::Exact(values) if values.len() < EXACT => values.push(ms),
            Self::Counted(counts) => count(counts, ms),
            _ => self.add_all(&[ms]),
        }
    }

    fn add_all(&mut self, more: &[u32]) {
        match self {
            Self::Exact(values) if values.len() + more.len() <= EXACT => values.extend_from_slice(more),
            Self::Exact(values) => {
                let mut counts = Vec::new();
                values.iter().chain(more).for_each(|ms| count(&mut counts, *ms));
                *self = Self::Counted(counts);
            }
            Self::Counted(counts) => more.iter().for_each(|ms| count(counts, *ms)),
            // Nobody adds single runs to those of a metric.
            Self::Cumulated(_) => {}
        }
    }

    /// Adds so many that did not exceed a bound, of which those below lower bounds are a part.
    pub fn add_cumulated(&mut self, bound: u64, n: u64) {
        if !matches!(self, Self::Cumulated(_)) {
            *self = Self::Cumulated(BTreeMap::new());
        }
        if let Self::Cumulated(counts) = self {
            *counts.entry(bound).or_default() += n;
        }
    }

    /// Adds all of another.
    pub fn absorb(&mut self, other: &Self) {
        match other {
            Self::Exact(values) => self.add_all(values),
            Self::Counted(more) => {
                if let Self::Exact(values) = self {
                    let mut counts = Vec::new();
                    values.iter().for_each(|ms| count(&mut counts, *ms));
                    *self = Self::Counted(counts);
                }
                let Self::Counted(counts) = self else { return };
                counts.resize(counts.len().max(more.len()), 0);
                for (count, more) in counts.iter_mut().zip(more) {
                    *count = count.saturating_add(*more);
                }
            }
            Self::Cumulated(counts) => counts.iter().for_each(|(bound, n)| self.add_cumulated(*bound, *n)),
        }
    }

    /// Returns of each percentage the least value that so many of all do not exceed; `None` if there are none.
    pub fn quantiles<const N: usize>(&self, percents: [u64; N]) -> [Option<u64>; N] {
        let rank = |n: u64, percent: u64| (n * percent).div_ceil(100).max(1);
        match self {
            Self::Exact(values) => {
                let (mut values, all) = (values.clone(), values.len() as u64);
                // Those before it do not exceed any of those from here on.
                let mut from = 0;
                percents.map(|percent| {
                    let at = usize::try_from(rank(all, percent)).ok()? - 1;
                    from = if at < from { 0 } else { from };
                    let rest = values.get_mut(from..).filter(|rest| at - from < rest.len())?;
                    let found = u64::from(*rest.select_nth_unstable(at - from).1);
                    from = at;
                    Some(found)
                })
            }
            Self::Counted(counts) => {
                let all = counts.iter().map(|n| u64::from(*n)).sum();
                percents.map(|percent| {
                    let mut seen = 0;
                    let at = counts.iter().position(|n| {
                        seen += u64::from(*n);
                        seen >= rank(all, percent)
                    })?;
                    Some(upper_bound(at))
                })
            }
            Self::Cumulated(counts) => percents.map(|percent| interpolated(counts, percent)),
        }
    }
}

/// Returns the value at that share of the bucket that holds it; above the last bound that is the bound.
fn interpolated(counts: &BTreeMap<u64, u64>, percent: u64) -> Option<u64> {
    let all = counts.values().copied().max().filter(|all| *all > 0)?;
    let (mut lower, mut below) = (0, 0);
    for (bound, n) in counts {
        // In hundredths of a run.
        let (rank, n) = (u128::from(all) * u128::from(percent), u128::from(*n) * 100);
        if n >= rank {
            let within = (rank - below, n - below);
            let width = if *bound == u64::MAX { 0 } else { bound - lower };
            let part = u128::from(width) * within.0 / within.1.max(1);
            return Some(lower + u64::try_from(part).unwrap_or(0));
        }
        (lower, below) = (*bound, n.max(below));
    }
    None
}

fn count(counts: &mut Vec<u32>, ms: u32) {
    let at = bucket(ms);
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    counts[at] = counts[at].saturating_add(1);
}

/// Returns the bucket of a value; buckets are in the order of values.
fn bucket(ms: u32) -> usize {
    // 0 for values below 2^8, whose buckets hold one value each.
    let shift = (u32::BITS - ms.leading_zeros()).saturating_sub(BITS + 1);
    ((shift << BITS) + (ms >> shift)) as usize
}

/// Returns the largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> BITS).saturating_sub(1);
    let lowest = bucket - (shift << BITS);
    ((lowest + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Durations {
        let mut durations = Durations::default();
        values.into_iter().for_each(|ms| durations.add(ms));
        durations
    }

    #[test]
    fn few_values_have_exact_quantiles() {
        for (values, p50, p95) in [
            (vec![], None, None),
            (vec![7], Some(7), Some(7)),
            (vec![9, 1], Some(1), Some(9)),
            (vec![5, 3, 4, 1, 2], Some(3), Some(5)),
            ((1..=100).rev().collect(), Some(50), Some(95)),
            (vec![1 << 40], Some(u64::from(u32::MAX)), Some(u64::from(u32::MAX))),
        ] {
            let durations = of(values);
            assert_eq!(durations.quantiles([50, 95]), [p50, p95]);
        }
    }

    #[test]
    fn several_quantiles_are_those_of_each_alone() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [1, 2, 3, 20, 500, 4_096, 5_000] {
            let durations = of((0..count).map(|_| random.u64(..300)));
            for _ in 0..20 {
                let percents: [u64; 4] = std::array::from_fn(|_| random.u64(..=100));
                let alone = percents.map(|percent| durations.quantiles([percent])[0]);
                assert_eq!(durations.quantiles(percents), alone, "{percents:?} of {count}");
            }
        }
    }

    #[test]
    fn many_values_have_quantiles_less_than_a_percent_above() {
        for scale in [1, 37, 1_000, 40_000] {
            let durations = of((1..=100_000).map(|n| n * scale));
            assert!(matches!(durations, Durations::Counted(_)));
            for (percent, truth) in [(1, 1_000 * scale), (50, 50_000 * scale), (95, 95_000 * scale)] {
                let found = durations.quantiles([percent])[0].unwrap();
                assert!(found >= truth && found - truth <= truth / 127, "{found} for {truth}");
            }
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let values = |count: u64| (0..count).map(|n| n * 7_919 % 100_003);
        for (first, second) in
            [(0, 0), (0, 9), (9, 0), (9, 5_000), (5_000, 9), (5_000, 6_000), (4_000, 96), (4_000, 97)]
        {
            let mut sum = of(values(first));
            sum.absorb(&of(values(second)));
            assert_eq!(sum, of(values(first).chain(values(second))), "{first} {second}");
        }
    }

    #[test]
    fn buckets_of_a_metric_are_interpolated() {
        for (buckets, p50, p95) in [
            (vec![], None, None),
            (vec![(100, 0), (u64::MAX, 0)], None, None),
            // Ten runs between 100 and 200.
            (vec![(100, 0), (200, 10), (u64::MAX, 10)], Some(150), Some(195)),
            (vec![(100, 5), (200, 10), (u64::MAX, 10)], Some(100), Some(190)),
            (vec![(100, 1), (u64::MAX, 10)], Some(100), Some(100)),
            (vec![(u64::MAX, 10)], Some(0), Some(0)),
        ] {
            let mut durations = Durations::default();
            buckets.iter().for_each(|(bound, n)| durations.add_cumulated(*bound, *n));
            assert_eq!(durations.quantiles([50, 95]), [p50, p95], "{buckets:?}");
        }
    }

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut last = 0;
        for ms in (0..10_000).chain((1..1 << 12).map(|n| (n << 20) - 1)) {
            let at = bucket(ms);
            assert!(at >= last, "{ms}");
            let bound = upper_bound(at);
            assert!(bound >= u64::from(ms) && bound - u64::from(ms) <= u64::from(ms) / 128, "{ms} {bound}");
            assert_eq!(bucket(u32::try_from(bound).unwrap()), at, "{ms}");
            last = at;
        }
    }
}
