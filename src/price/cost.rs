//! The cost of a usage at known rates.

use crate::model::decimal::div_half_even;
use crate::model::{Cost, CostProvenance, NanoUsd, Rates, Tier, TokenKind, Usage};

/// What a usage covers, which decides whether the tier of its price is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One model call: its prompt has a size.
    Call,
    /// Several calls, or an unknown number of them: each prompt has at most the size of the sum.
    Sum,
}

/// A cost beyond what 64 bits of nano-USD hold: nine billion dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cost is above 9 billion dollars")]
pub struct CostTooLarge;

/// Returns what a usage cost; `rates` is `None` if the model has no price.
///
/// Cache writes count at one rate. Where a provider bills longer-lived ones higher, only the gateway's own cost of each
/// call knows.
///
/// Tokens × rate is exact (128 bits of 10^-15 USD) and rounded once, half to even; a lower bound is rounded down, so
/// that it stays one. Where the tier is not known, each kind counts at the lowest rate that it can have had; if that
/// is the only one, nothing is lost.
///
/// # Errors
/// The cost does not fit.
pub fn cost(usage: &Usage, rates: Option<&Rates>, extent: Extent) -> Result<Cost, CostTooLarge> {
    let counts = TokenKind::ALL.map(|kind| usage.get(kind));
    if counts.iter().all(Option::is_none) {
        return Ok(Cost { usd: NanoUsd::ZERO, provenance: CostProvenance::None });
    }
    if counts.iter().all(|count| *count == Some(0)) {
        return Ok(Cost { usd: NanoUsd::ZERO, provenance: CostProvenance::Priced });
    }
    let unpriced = Cost { usd: NanoUsd::ZERO, provenance: CostProvenance::Unpriced };
    let Some(rates) = rates else { return Ok(unpriced) };
    let possible = possible_tiers(usage, rates, extent);
    let mut femto_usd: i128 = 0;
    let mut complete = true;
    let mut used = 0_u32;
    let mut rated = 0_u32;
    for kind in TokenKind::ALL {
        let (lowest, certain) = lowest_rate(possible, kind);
        let Some(tokens) = usage.get(kind) else {
            // However many there were, they were free.
            complete &= certain && lowest == 0;
            continue;
        };
        if tokens == 0 {
            continue;
        }
        used += 1;
        complete &= certain;
        rated += u32::from(possible.iter().any(|tier| tier.rates.get(kind).is_some()));
        femto_usd += i128::from(tokens) * i128::from(lowest);
    }
    if used > 0 && rated == 0 {
        return Ok(unpriced);
    }
    let (nanos, provenance) = if complete {
        (div_half_even(femto_usd, 1_000_000), CostProvenance::Priced)
    } else {
        (femto_usd / 1_000_000, CostProvenance::LowerBound)
    };
    let usd = i64::try_from(nanos).map(NanoUsd).map_err(|_| CostTooLarge)?;
    Ok(Cost { usd, provenance })
}

/// Returns the tiers that a call of this usage can have been in: never none.
fn possible_tiers<'r>(usage: &Usage, rates: &'r Rates, extent: Extent) -> &'r [Tier] {
    let prompt = [usage.input, usage.cache_read, usage.cache_write];
    let known: u64 = prompt.into_iter().flatten().fold(0, u64::saturating_add);
    let most = if prompt.iter().all(Option::is_some) { known } else { u64::MAX };
    let least = match extent {
        Extent::Call => known,
        Extent::Sum => 0,
    };
    let tiers = rates.tiers();
    let begins = tiers.partition_point(|tier| tier.from_prompt <= least).saturating_sub(1);
    let ends = tiers.partition_point(|tier| tier.from_prompt <= most);
    tiers.get(begins..ends).unwrap_or_default()
}

/// Returns the lowest rate of a kind in nano-USD per million, and whether it is the one that applied.
fn lowest_rate(tiers: &[Tier], kind: TokenKind) -> (i64, bool) {
    let mut rates = tiers.iter().map(|tier| tier.rates.get(kind).map(|rate| rate.usd().0));
    let Some(Some(first)) = rates.next() else { return (0, false) };
    rates.fold((first, true), |(lowest, certain), rate| {
        (lowest.min(rate.unwrap_or(0)), certain && rate == Some(first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PerMillion, RateSet};

    fn set(rates: [&str; 4]) -> RateSet {
        let mut set = RateSet::default();
        for (kind, text) in TokenKind::ALL.into_iter().zip(rates) {
            set.set(kind, PerMillion::parse(text).ok());
        }
        set
    }

    fn usage(counts: [i64; 4]) -> Usage {
        let [input, output, cache_read, cache_write] = counts.map(|count| u64::try_from(count).ok());
        Usage { input, output, cache_read, cache_write }
    }

    fn shown(cost: Cost) -> String {
        format!("{} {}", cost.usd, cost.provenance.as_str())
    }

    /// -1 stands for "not known", an empty rate for none.
    #[test]
    fn what_is_known_decides_how_the_cost_is_known() {
        let flat = ["3", "15", "0.3", "3.75"];
        for (rates, counts, expected) in [
            (flat, [904, 60, 4096, 0], "0.0048408 priced"),
            (flat, [0, 0, 0, 0], "0.00 priced"),
            (flat, [-1, -1, -1, -1], "0.00 none"),
            (flat, [904, 60, -1, -1], "0.003612 lower_bound"),
            (flat, [0, 0, -1, -1], "0.00 lower_bound"),
            (["3", "15", "", ""], [904, 60, 0, 0], "0.003612 priced"),
            (["3", "15", "", ""], [904, 60, 4096, 0], "0.003612 lower_bound"),
            (["", "", "0.3", ""], [904, 60, 0, 0], "0.00 unpriced"),
            (["0", "0", "0", "0"], [904, 60, 4096, 9], "0.00 priced"),
            (["0", "0", "", ""], [904, 60, 4096, 9], "0.00 lower_bound"),
            // Whatever is not known was free.
            (["0", "0", "0", "0"], [904, 60, -1, -1], "0.00 priced"),
            (["3", "15", "0", "0"], [904, 60, -1, -1], "0.003612 priced"),
            (["3", "15", "0", ""], [904, 60, -1, -1], "0.003612 lower_bound"),
            // 1 token at 0.0005 dollars per million is half a nano-USD, 3 are one and a half.
            (["0.0005", "", "", ""], [1, 0, 0, 0], "0.00 priced"),
            (["0.0005", "", "", ""], [3, 0, 0, 0], "0.000000002 priced"),
            // A lower bound is not rounded up: 1.6 nano-USD.
            (["0.0016", "", "", ""], [1, 5, 0, 0], "0.000000001 lower_bound"),
        ] {
            let rates = Rates::new(set(rates), []).unwrap();
            for extent in [Extent::Call, Extent::Sum] {
                let cost = cost(&usage(counts), Some(&rates), extent).unwrap();
                assert_eq!(shown(cost), expected, "{rates} {counts:?}");
            }
        }
        assert_eq!(shown(cost(&usage([1, 0, 0, 0]), None, Extent::Call).unwrap()), "0.00 unpriced");
        assert_eq!(shown(cost(&usage([0, 0, 0, 0]), None, Extent::Call).unwrap()), "0.00 priced");
        assert_eq!(shown(cost(&usage([0, 0, -1, -1]), None, Extent::Call).unwrap()), "0.00 unpriced");
    }

    #[test]
    fn a_tier_is_chosen_by_the_prompt_of_a_call() {
        let tier = Tier { from_prompt: 1000, rates: set(["6", "15", "0.6", ""]) };
        let rates = Rates::new(set(["3", "15", "0.3", "3.75"]), [tier]).unwrap();
        use Extent::{Call, Sum};
        for (extent, counts, expected) in [
            (Call, [999, 10, 0, 0], "0.003147 priced"),
            (Call, [1000, 10, 0, 0], "0.00615 priced"),
            // The cached part of the prompt counts for its size.
            (Call, [500, 10, 500, 0], "0.00345 priced"),
            (Call, [500, 10, 0, 500], "0.00315 lower_bound"),
            // Unknown cache: from the known part on, everything is possible.
            (Call, [500, 10, -1, 0], "0.00165 lower_bound"),
            (Call, [1000, 10, -1, 0], "0.00615 lower_bound"),
            // A sum says no more than how large a prompt can have been at most.
            (Sum, [999, 10, 0, 0], "0.003147 priced"),
            (Sum, [1000, 10, 0, 0], "0.00315 lower_bound"),
            (Sum, [0, 10, 0, 0], "0.00015 priced"),
            // Output costs the same in both tiers, but the input's tier is not known.
            (Sum, [2000, 1000, -1, -1], "0.021 lower_bound"),
        ] {
            let cost = cost(&usage(counts), Some(&rates), extent).unwrap();
            assert_eq!(shown(cost), expected, "{extent:?} {counts:?}");
        }
        let same = Tier { from_prompt: 1000, rates: set(["3", "20", "", ""]) };
        let rates = Rates::new(set(["3", "15", "", ""]), [same]).unwrap();
        let only_input = cost(&usage([5000, 0, 0, 0]), Some(&rates), Sum).unwrap();
        assert_eq!(shown(only_input), "0.015 priced", "one rate in all tiers is certain");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let rates = Rates::new(set(["10000", "10000", "10000", "10000"]), []).unwrap();
        let most = u64::MAX;
        let usage =
            Usage { input: Some(most), output: Some(most), cache_read: Some(most), cache_write: Some(most) };
        assert_eq!(cost(&usage, Some(&rates), Extent::Call), Err(CostTooLarge));
        let fits = Usage { input: Some(922_337_203_685), ..usage };
        let fits = Usage { output: Some(0), cache_read: Some(0), cache_write: Some(0), ..fits };
        assert!(cost(&fits, Some(&rates), Extent::Call).is_ok());
    }
}
