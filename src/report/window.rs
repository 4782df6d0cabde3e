//! Which time is meant: flags' words to milliseconds, in a time zone.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::ReportError;
use crate::config::parse_duration_ms;
use crate::model::{Period, UnixMs};
use crate::price::BudgetClock;

/// Numbers below this would be milliseconds of the first months of 1970, and are seconds by mistake: 10^11.
const LEAST_MS: i64 = 100_000_000_000;
/// 9999-01-01, the last time that is taken, in milliseconds.
const LAST_MS: i64 = 253_370_764_800_000;

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    days: BudgetClock,
}

impl Zone {
    /// Returns the zone of that name.
    ///
    /// # Errors
    /// The system knows none of that name.
    pub fn new(name: &str) -> Result<Self, ReportError> {
        let days = BudgetClock::new(Period::Day, name).map_err(|_| ReportError::Flag {
            flag: "--tz",
            value: name.to_owned(),
            expected: "an IANA name such as Europe/Berlin or UTC, of which the system's time zone data (tzdata) knows",
        })?;
        Ok(Self { name: name.to_owned(), days })
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn jiff(&self) -> &TimeZone {
        self.days.zone()
    }

    /// Returns the local date and time of a point in time, in this format of `strftime`.
    #[must_use]
    pub fn show(&self, at: UnixMs, format: &str) -> String {
        Timestamp::from_millisecond(at.0).map_or_else(
            |_| at.to_string(),
            |time| time.to_zoned(self.jiff().clone()).strftime(format).to_string(),
        )
    }

    fn date(&self, at: UnixMs) -> Option<Date> {
        Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.jiff().clone()).date())
    }
}

/// Returns the time that a flag's value stands for. Durations go back from `now`; dates are local midnights.
///
/// # Errors
/// The value is none of these.
pub fn instant(flag: &'static str, text: &str, zone: &Zone, now: UnixMs) -> Result<UnixMs, ReportError> {
    let found = parse(text.trim(), zone, now).filter(|at| (0..=LAST_MS).contains(&at.0));
    found.ok_or_else(|| ReportError::Flag {
        flag,
        value: text.to_owned(),
        expected: "a time back from now such as 24h or 7d, `now`, `today`, `yesterday`, a date such as 2026-02-01, \
                   RFC 3339 such as 2026-02-01T08:00:00Z, or milliseconds since 1970",
    })
}

fn parse(text: &str, zone: &Zone, now: UnixMs) -> Option<UnixMs> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|ms| *ms == 0 || *ms >= LEAST_MS).map(UnixMs);
    }
    let midnight = |date: Date| zone.days.first_instant(date);
    match text {
        "now" => return Some(now),
        "today" => return midnight(zone.date(now)?),
        "yesterday" => return midnight(zone.date(now)?.yesterday().ok()?),
        _ => {}
    }
    if let Ok(back) = parse_duration_ms(text) {
        // Further back than there is time is all there is.
        return Some(UnixMs(now.0.saturating_sub(i64::try_from(back).unwrap_or(i64::MAX)).max(0)));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(UnixMs(at.as_millisecond()));
    }
    if !text.contains([':', 'T', 't']) {
        return midnight(text.parse().ok()?);
    }
    // A time of the clock on the wall; of one that comes twice, the first.
    let at = zone.jiff().to_ambiguous_timestamp(text.parse::<DateTime>().ok()?).compatible().ok()?;
    Some(UnixMs(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn times_are_told_in_many_ways() {
        let zone = Zone::new("Europe/Berlin").unwrap();
        let now = at("2026-03-29T10:30:00Z");
        for (text, expected) in [
            ("now", "2026-03-29T10:30:00Z"),
            ("24h", "2026-03-28T10:30:00Z"),
            ("7d", "2026-03-22T10:30:00Z"),
            // The clock went forward that night: the day had 23 hours.
            ("today", "2026-03-28T23:00:00Z"),
            ("yesterday", "2026-03-27T23:00:00Z"),
            ("2026-03-30", "2026-03-29T22:00:00Z"),
            ("2026-02-01", "2026-01-31T23:00:00Z"),
            ("2026-02-01T08:00:00Z", "2026-02-01T08:00:00Z"),
            ("2026-02-01T08:00:00+05:30", "2026-02-01T02:30:00Z"),
            ("2026-02-01T08:00", "2026-02-01T07:00:00Z"),
            ("2026-02-01 08:00:30", "2026-02-01T07:00:30Z"),
            // Comes twice.
            ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),
            ("1769900400000", "2026-01-31T23:00:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("99999w", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(instant("--since", text, &zone, now).unwrap(), at(expected), "{text}");
        }
        for text in ["", "7", "1769900400", "7 days", "soon", "2026-13-01", "-1", "20260201T", "99999-01-01"]
        {
            let error = instant("--since", text, &zone, now).unwrap_err();
            assert!(error.is_usage());
            assert!(error.to_string().starts_with(&format!("--since {text:?}: expected ")), "{error}");
        }
        assert!(Zone::new("Mars/Olympus").unwrap_err().to_string().starts_with("--tz \"Mars/Olympus\": "));
    }
}
