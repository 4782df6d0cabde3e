//! Windows in whole seconds, which is how PromQL writes durations in every dialect.

use super::super::group::Periods;
use super::super::{Dimension, ReportError, Zone};
use crate::ledger::Window;
use crate::model::UnixMs;

/// Most pieces that a window is divided into: more than a year of days.
const MOST_PIECES: usize = 400;

/// A window in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its end, in seconds since 1970; samples of this very second are within.
    pub until_s: i64,
    /// Its length in seconds, above 0.
    pub seconds: i64,
}

impl Span {
    /// Returns the window with both ends moved on to the next whole second; `None` if nothing lies between them.
    #[must_use]
    pub fn of(window: Window) -> Option<Self> {
        let [since, until] = [window.since, window.until].map(|at| whole(at).0 / 1_000);
        (since < until).then_some(Self { until_s: until, seconds: until - since })
    }
}

/// Returns the next whole second.
pub(super) fn whole(at: UnixMs) -> UnixMs {
    UnixMs(at.0.saturating_add(999).div_euclid(1_000).saturating_mul(1_000))
}

/// Divides a window where a day, week or month of `by` begins. Each piece comes with the labels of its periods, in the
/// order of `by`.
///
/// # Errors
/// The time zone is not known; there are more pieces than a server should be asked for.
pub fn pieces(
    by: &[Dimension],
    zone: &Zone,
    window: Window,
) -> Result<Vec<(Window, Vec<String>)>, ReportError> {
    let kinds = by.iter().filter_map(|dimension| dimension.period());
    let mut periods = kinds.map(|period| Periods::new(period, zone)).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    let mut since = window.since;
    while since < window.until {
        let (mut until, mut labels) = (window.until, Vec::new());
        for periods in &mut periods {
            let (start, end) = periods.bounds(since);
            labels.push(periods.label(UnixMs(start)));
            // Beyond the calendar a period has no length.
            if end > since.0 {
                until = until.min(UnixMs(end));
            }
        }
        found.push((Window { since, until }, labels));
        since = until;
        if found.len() > MOST_PIECES {
            return Err(ReportError::Flags(
                "a server is asked about at most 400 days, weeks or months at once; begin later with --since, or \
                 take longer periods",
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn windows_have_whole_seconds() {
        for (since, until, expected) in [
            (0, 1_000, Some((1, 1))),
            (1, 1_001, Some((2, 1))),
            (1_500, 86_401_500, Some((86_402, 86_400))),
            (1_000, 1_000, None),
            (1_001, 1_999, None),
            (999, 1_001, Some((2, 1))),
        ] {
            let span = Span::of(Window { since: UnixMs(since), until: UnixMs(until) });
            assert_eq!(span.map(|span| (span.until_s, span.seconds)), expected, "{since} to {until}");
        }
    }

    #[test]
    fn days_are_cut_at_local_midnight_also_where_they_have_23_hours() {
        let zone = Zone::new("Europe/Berlin").unwrap();
        let window = Window { since: at("2026-03-28T12:00:00Z"), until: at("2026-03-30T06:00:00Z") };
        let days = pieces(&[Dimension::Job, Dimension::Day], &zone, window).unwrap();
        let shown: Vec<(&str, i64)> = days
            .iter()
            .map(|(piece, labels)| (labels[0].as_str(), piece.until.since(piece.since) / 3_600_000))
            .collect();
        assert_eq!(shown, [("2026-03-28", 11), ("2026-03-29", 23), ("2026-03-30", 8)]);
        let whole = pieces(&[Dimension::Job], &zone, window).unwrap();
        assert_eq!(whole, [(window, Vec::new())]);
        let both = pieces(
            &[Dimension::Week, Dimension::Month],
            &zone,
            Window { since: at("2026-03-28T12:00:00Z"), until: at("2026-04-03T06:00:00Z") },
        );
        let labels: Vec<Vec<String>> = both.unwrap().into_iter().map(|(_, labels)| labels).collect();
        assert_eq!(labels, [["2026-W13", "2026-03"], ["2026-W14", "2026-03"], ["2026-W14", "2026-04"]]);
        let endless = Window { since: UnixMs(0), until: window.until };
        assert!(pieces(&[Dimension::Day], &zone, endless).unwrap_err().is_usage());
    }
}
