//! Numbers for people, each in a few columns.

use super::{Known, Sums, TREND};
use crate::model::NanoUsd;
use crate::model::decimal::div_half_even;
use crate::page::number;

/// Returns a count in at most four columns up to 10^15.
pub fn short(n: u64) -> String {
    if n < 10_000 {
        return n.to_string();
    }
    let (unit, size) = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)]
        .into_iter()
        .find(|(_, size)| n / size < 1_000)
        .unwrap_or(("P", 1_000_000_000_000_000));
    // Cut, not rounded: 999,999 must not become 1000k.
    match n / size {
        whole @ 0..10 => format!("{whole}.{}{unit}", n % size / (size / 10)),
        whole => format!("{whole}{unit}"),
    }
}

/// Returns an amount to the cent; below a dollar to the hundredth of one, from a thousand on to the dollar.
pub fn usd(amount: NanoUsd) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let nanos = i128::from(amount.0.unsigned_abs());
    let rounded = |decimals: u32| div_half_even(nanos, 10_i128.pow(9 - decimals));
    if nanos == 0 {
        return "$0.00".to_owned();
    }
    let hundredths = rounded(4);
    let cents = rounded(2);
    match (hundredths, cents) {
        (0, _) => format!("{sign}<$.0001"),
        (small @ 1..10_000, _) => format!("{sign}$0.{small:04}"),
        (_, cents @ 0..100_000) => format!("{sign}${}.{:02}", cents / 100, cents % 100),
        _ => format!("{sign}${}", number(u64::try_from(rounded(0)).unwrap_or(u64::MAX))),
    }
}

/// Returns what a cost comes to, with `gap` behind the sign of a lower bound.
pub fn cost(sums: &Sums, gap: &str) -> String {
    match sums.known() {
        Known::Exact => usd(sums.cost),
        Known::AtLeast => format!("≥{gap}{}", usd(sums.cost)),
        Known::Unpriced => "unpriced".to_owned(),
        Known::Nothing => "unknown".to_owned(),
    }
}

/// Returns what a run that was not skipped costs.
pub fn per_run(sums: &Sums) -> String {
    match (sums.known(), sums.cost_per_run()) {
        (Known::Exact | Known::AtLeast, Some(amount)) => usd(amount),
        _ => "-".to_owned(),
    }
}

/// Returns a duration in at most four columns up to 999 days.
pub fn duration(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return "-".to_owned() };
    let tenths = |size: u64, unit: &str| {
        let tenths = ms * 10 / size;
        if tenths < 100 {
            format!("{}.{}{unit}", tenths / 10, tenths % 10)
        } else {
            format!("{}{unit}", ms / size)
        }
    };
    match ms {
        0..100 => format!("{ms}ms"),
        100..100_000 => tenths(1_000, "s"),
        100_000..6_000_000 => tenths(60_000, "m"),
        6_000_000..360_000_000 => tenths(3_600_000, "h"),
        _ => format!("{}d", ms / 86_400_000),
    }
}

/// Returns how the cost, or if nothing is known of that, the tokens went over the window.
pub fn trend(sums: &Sums, by_cost: bool) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: [u64; TREND] = if by_cost {
        sums.cost_trend.map(|nanos| u64::try_from(nanos).unwrap_or(0))
    } else {
        sums.token_trend
    };
    let most = u128::from(values.into_iter().max().unwrap_or(0));
    let bar = |value: u64| {
        let level = (u128::from(value) * BARS.len() as u128).div_ceil(most.max(1));
        let level = usize::try_from(level).ok().and_then(|level| level.checked_sub(1));
        level.and_then(|level| BARS.get(level)).copied().unwrap_or('·')
    };
    values.into_iter().map(bar).collect()
}

/// Returns how much more or less something costs, in dollars and percent.
pub fn change(now: &Sums, before: &Sums) -> String {
    let exact = |sums: &Sums| matches!(sums.known(), Known::Exact | Known::AtLeast);
    if !exact(now) || !exact(before) {
        return "-".to_owned();
    }
    let difference = now.cost.0.saturating_sub(before.cost.0);
    if difference == 0 {
        return "=".to_owned();
    }
    let plus = if difference > 0 { "+" } else { "" };
    let amount = format!("{plus}{}", usd(NanoUsd(difference)));
    match before.cost.0 {
        0 => amount,
        base => {
            let percent = div_half_even(i128::from(difference) * 100, i128::from(base));
            format!("{amount} {plus}{percent}%")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (n, text) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10k"),
            (999_999, "999k"),
            (1_290_000, "1.2M"),
            (12_900_000, "12M"),
            (1_000_000_000, "1.0G"),
            (u64::MAX, "18446P"),
        ] {
            assert_eq!(short(n), text);
        }
    }

    #[test]
    fn amounts_are_as_fine_as_they_are_small() {
        for (nanos, text) in [
            (0, "$0.00"),
            (1, "<$.0001"),
            (50_000, "<$.0001"),
            (4_840_800, "$0.0048"),
            (999_949_999, "$0.9999"),
            (999_999_999, "$1.00"),
            (12_345_000_000, "$12.34"),
            (999_994_000_000, "$999.99"),
            (1_000_000_000_000, "$1,000"),
            (-1_500_000_000, "-$1.50"),
        ] {
            assert_eq!(usd(NanoUsd(nanos)), text);
        }
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [
            (None, "-"),
            (Some(0), "0ms"),
            (Some(99), "99ms"),
            (Some(100), "0.1s"),
            (Some(4_290), "4.2s"),
            (Some(99_999), "99s"),
            (Some(100_000), "1.6m"),
            (Some(5_999_999), "99m"),
            (Some(6_000_000), "1.6h"),
            (Some(360_000_000), "4d"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn a_trend_shows_nothing_as_nothing() {
        let mut sums = Sums { token_trend: [0, 1, 2, 3, 4, 5, 6, 8], ..Sums::default() };
        assert_eq!(trend(&sums, false), "·▁▂▃▄▅▆█");
        assert_eq!(trend(&sums, true), "········");
        sums.cost_trend = [0, 0, 0, i64::MAX, 0, 0, 0, 1];
        assert_eq!(trend(&sums, true), "···█···▁");
    }

    #[test]
    fn changes_have_amount_and_percent() {
        let sums = |nanos| Sums { cost: NanoUsd(nanos), priced_runs: 1, ..Sums::default() };
        for (now, before, text) in [
            (3_000_000_000, 2_000_000_000, "+$1.00 +50%"),
            (1_000_000_000, 2_000_000_000, "-$1.00 -50%"),
            (1_000_000_000, 0, "+$1.00"),
            (5, 5, "="),
        ] {
            assert_eq!(change(&sums(now), &sums(before)), text);
        }
        let unpriced = Sums { unpriced_runs: 1, ..Sums::default() };
        assert_eq!(change(&unpriced, &sums(1)), "-");
    }
}
