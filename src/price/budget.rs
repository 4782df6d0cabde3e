//! Budgets: when a period begins and ends, whose dollars count, where the spending leads.
//!
//! Periods divide time without gap or overlap: each begins with the first instant of its local day, also where a
//! clock change skips or repeats midnight.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, ToSpan};

use super::Pattern;
use super::zone::time_zone;
use crate::model::decimal::div_half_even;
use crate::model::{BudgetMatch, NanoUsd, Period, UnixMs};

/// Why a budget's periods cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The zone's name means nothing to this machine.
    #[error(
        "the time zone {0:?} is not known; give an IANA name such as Europe/Berlin, and install the system's time \
         zone data (tzdata) if there is none"
    )]
    UnknownZone(String),
    /// The time lies outside the years -9999 to 9999.
    #[error("{0} lies outside the calendar; check the clock")]
    OutOfRange(UnixMs),
}

/// One period, in UTC milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodBounds {
    /// Its first millisecond.
    pub start: UnixMs,
    /// The first millisecond of the next one.
    pub end: UnixMs,
}

/// Tells the periods of a budget.
#[derive(Clone, Debug)]
pub struct BudgetClock {
    zone: TimeZone,
    period: Period,
}

impl BudgetClock {
    /// Returns the clock of a period in an IANA time zone.
    ///
    /// # Errors
    /// The zone is not known.
    pub fn new(period: Period, zone: &str) -> Result<Self, BudgetError> {
        let zone = time_zone(zone).ok_or_else(|| BudgetError::UnknownZone(zone.to_owned()))?;
        Ok(Self { zone, period })
    }

    /// Returns the period that a time lies in.
    ///
    /// # Errors
    /// The time is not one of the calendar.
    pub fn period_of(&self, now: UnixMs) -> Result<PeriodBounds, BudgetError> {
        self.find(now).ok_or(BudgetError::OutOfRange(now))
    }

    fn find(&self, now: UnixMs) -> Option<PeriodBounds> {
        let here = Timestamp::from_millisecond(now.0).ok()?.to_zoned(self.zone.clone()).date();
        let (mut day, length) = match self.period {
            Period::Day => (here, 1.day()),
            Period::Week => {
                let since_monday = here.weekday().to_monday_zero_offset();
                (here.checked_sub(i64::from(since_monday).days()).ok()?, 1.week())
            }
            Period::Month => (here.first_of_month(), 1.month()),
        };
        let mut bounds = self.bounds(day, length)?;
        // Where a clock is set back over midnight, the local date goes back too, but a period does not come twice.
        while now >= bounds.end {
            day = day.checked_add(length).ok()?;
            bounds = self.bounds(day, length)?;
        }
        while now < bounds.start {
            day = day.checked_sub(length).ok()?;
            bounds = self.bounds(day, length)?;
        }
        Some(bounds)
    }

    fn bounds(&self, day: Date, length: Span) -> Option<PeriodBounds> {
        let start = self.first_instant(day)?;
        let end = self.first_instant(day.checked_add(length).ok()?)?;
        Some(PeriodBounds { start, end })
    }

    /// Returns the time zone.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the first millisecond of a local day; `None` outside the calendar.
    #[must_use]
    pub fn first_instant(&self, day: Date) -> Option<UnixMs> {
        let midnight = self.zone.to_ambiguous_timestamp(day.to_datetime(jiff::civil::Time::midnight()));
        let gap = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        let at = midnight.compatible().ok()?;
        if !gap {
            return Some(round_up(at));
        }
        // Midnight does not exist: the day begins when the clock is set.
        let just_after = at.checked_add(1.nanosecond()).ok()?;
        let change = self.zone.preceding(just_after).next().map(|transition| transition.timestamp());
        Some(round_up(change.unwrap_or(at)))
    }
}

/// Offsets before 1900 have fractions that fall between milliseconds.
fn round_up(at: Timestamp) -> UnixMs {
    let ms = at.as_millisecond();
    let later = i64::from(at.as_nanosecond() > i128::from(ms) * 1_000_000);
    UnixMs(ms.saturating_add(later))
}

/// What is still to come in a period, if the schedule tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Runs that are due until the period's end.
    pub runs: u64,
    /// What one costs on average.
    pub mean: NanoUsd,
}

/// Returns what will have been spent when the period ends: what is spent so far and what is expected, or if that is
/// not known, as much per hour as so far. Saturates; rounds half to even.
///
/// At the period's first instant nothing can be said by the hour: the spending itself is returned.
#[must_use]
pub fn project(spent: NanoUsd, period: PeriodBounds, now: UnixMs, expected: Option<Expected>) -> NanoUsd {
    let spent = i128::from(spent.0);
    let projected = match expected {
        Some(Expected { runs, mean }) => spent + i128::from(runs) * i128::from(mean.0),
        None => {
            let whole = i128::from(period.end.since(period.start));
            let passed = i128::from(now.since(period.start)).min(whole);
            if passed > 0 { div_half_even(spent * whole, passed) } else { spent }
        }
    };
    let clamped = projected.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    NanoUsd(i64::try_from(clamped).unwrap_or(i64::MAX))
}

/// The least period that a job is taken to have: 1 min in milliseconds.
const MIN_PERIOD_MS: i64 = 60_000;

/// When a job runs, as far as its scheduler tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// Nothing tells.
    Unknown,
    /// It does not run any more.
    Over,
    /// Each so many milliseconds.
    Every {
        /// Milliseconds between two runs, at least one minute.
        period: i64,
        /// When it last ran.
        last: UnixMs,
        /// When it runs next; not long ago.
        next: UnixMs,
    },
}

impl Rhythm {
    /// Returns the rhythm of a job that ran and will run at these times. `is_scheduled`: the scheduler has it and
    /// considers it.
    #[must_use]
    pub fn of(is_scheduled: bool, last: Option<UnixMs>, next: Option<UnixMs>, now: UnixMs) -> Self {
        if !is_scheduled {
            return Self::Over;
        }
        let (Some(next), Some(last)) = (next, last) else { return Self::Unknown };
        let period = next.since(last).max(MIN_PERIOD_MS);
        // What is overdue is still to come, once: not what was left out before it.
        let overdue = now.since(next).max(0) / period;
        Self::Every { period, last, next: next.plus(overdue.saturating_mul(period)) }
    }

    /// Returns the nano-USD that are still to come before `end`: the runs that are due, at what one cost since the first
    /// of this period. `None`: not known.
    #[must_use]
    pub fn to_come(self, spent: i64, first: UnixMs, end: UnixMs) -> Option<i64> {
        let Self::Every { period, last, next } = self else {
            return (self == Self::Over).then_some(0);
        };
        let had = last.since(first).max(0) / period + 1;
        let left = if next < end { (end.since(next) - 1) / period + 1 } else { 0 };
        let to_come = i128::from(spent) * i128::from(left) / i128::from(had);
        Some(i64::try_from(to_come).unwrap_or(i64::MAX))
    }
}

/// What a budget may ask of a run's usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLabels<'a> {
    /// The job's id.
    pub job_id: &'a str,
    /// The job's name, if known.
    pub job_name: &'a str,
    /// The agent.
    pub agent: &'a str,
    /// The model without its provider.
    pub model: &'a str,
    /// The provider.
    pub provider: &'a str,
}

/// Decides what counts for a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    job: Option<Pattern>,
    agent: Option<Pattern>,
    model: Option<Pattern>,
    provider: Option<Pattern>,
}

impl Matcher {
    /// Compiles what a budget asks for.
    #[must_use]
    pub fn new(asked: &BudgetMatch) -> Self {
        let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
        Self {
            job: pattern(&asked.job),
            agent: pattern(&asked.agent),
            model: pattern(&asked.model),
            provider: asked.provider.as_deref().map(|text| Pattern::new(&text.to_ascii_lowercase())),
        }
    }

    /// Returns whether a usage counts: everything that is asked for fits. A job fits by its name or by its id.
    #[must_use]
    pub fn matches(&self, run: &RunLabels<'_>) -> bool {
        let fits = |pattern: &Option<Pattern>, name: &str| pattern.as_ref().is_none_or(|p| p.matches(name));
        let provider = || run.provider.to_ascii_lowercase();
        (fits(&self.job, run.job_name) || fits(&self.job, run.job_id))
            && fits(&self.agent, run.agent)
            && fits(&self.model, run.model)
            && (self.provider.is_none() || fits(&self.provider, &provider()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().expect(text).as_millisecond())
    }

    const HOUR: i64 = 3_600_000;

    /// Zone, period, a moment in it, its first instant, its length in minutes.
    #[test]
    fn periods_begin_and_end_at_local_midnight() {
        use Period::{Day, Month, Week};
        for (zone, period, now, start, minutes) in [
            ("UTC", Day, "2026-02-28T23:59:59.999Z", "2026-02-28T00:00:00Z", 1440),
            ("UTC", Day, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", 1440),
            ("UTC", Month, "2026-02-28T23:59:59.999Z", "2026-02-01T00:00:00Z", 28 * 1440),
            ("UTC", Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", 29 * 1440),
            ("UTC", Month, "2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", 31 * 1440),
            // Weeks begin on Monday, also over the turn of a year.
            ("UTC", Week, "2026-02-01T12:00:00Z", "2026-01-26T00:00:00Z", 7 * 1440),
            ("UTC", Week, "2026-02-02T00:00:00Z", "2026-02-02T00:00:00Z", 7 * 1440),
            ("UTC", Week, "2027-01-01T00:00:00Z", "2026-12-28T00:00:00Z", 7 * 1440),
            // 23 and 25 hours.
            ("Europe/Berlin", Day, "2026-03-29T00:59:59Z", "2026-03-28T23:00:00Z", 23 * 60),
            ("Europe/Berlin", Day, "2026-03-29T21:59:59.999Z", "2026-03-28T23:00:00Z", 23 * 60),
            ("Europe/Berlin", Day, "2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", 1440),
            ("Europe/Berlin", Day, "2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z", 25 * 60),
            ("Europe/Berlin", Week, "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", 7 * 1440 - 60),
            ("Europe/Berlin", Month, "2026-10-01T00:00:00Z", "2026-09-30T22:00:00Z", 31 * 1440 + 60),
            ("America/New_York", Day, "2026-03-08T07:00:00Z", "2026-03-08T05:00:00Z", 23 * 60),
            ("America/New_York", Day, "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", 25 * 60),
            ("America/New_York", Month, "2026-11-30T23:00:00Z", "2026-11-01T04:00:00Z", 30 * 1440 + 60),
            // Half an hour of summer time.
            ("Australia/Lord_Howe", Day, "2026-04-05T00:00:00Z", "2026-04-04T13:00:00Z", 24 * 60 + 30),
            ("Australia/Lord_Howe", Day, "2026-10-04T00:00:00Z", "2026-10-03T13:30:00Z", 23 * 60 + 30),
            // Midnight is skipped: the day begins at one.
            ("America/Sao_Paulo", Day, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", 23 * 60),
            ("America/Sao_Paulo", Day, "2018-11-04T02:59:59.999Z", "2018-11-03T03:00:00Z", 1440),
            ("Africa/Cairo", Day, "2026-04-23T22:00:00Z", "2026-04-23T22:00:00Z", 23 * 60),
            // Its last hour is repeated.
            ("America/Sao_Paulo", Day, "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", 25 * 60),
            // Midnight itself comes twice: the first one counts.
            ("America/Havana", Day, "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", 25 * 60),
            // At 00:01 the clock goes back into the day before, which does not begin again.
            ("America/St_Johns", Day, "2006-10-29T02:30:00Z", "2006-10-29T02:30:00Z", 25 * 60),
            ("America/St_Johns", Day, "2006-10-29T02:45:00Z", "2006-10-29T02:30:00Z", 25 * 60),
            ("America/St_Johns", Day, "2006-10-29T02:29:59.999Z", "2006-10-28T02:30:00Z", 1440),
            // The clock jumps from 23:30 to 00:30.
            ("America/Toronto", Day, "1919-03-31T04:30:00Z", "1919-03-31T04:30:00Z", 23 * 60 + 30),
            // A whole day was left out: it is empty, and the one before it ends where the one after it begins.
            ("Pacific/Apia", Day, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", 1440),
            ("Pacific/Apia", Day, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 1440),
        ] {
            let found = BudgetClock::new(period, zone).unwrap().period_of(at(now)).unwrap();
            let shown = |ms: UnixMs| Timestamp::from_millisecond(ms.0).unwrap().to_string();
            assert_eq!(shown(found.start), shown(at(start)), "start of {period:?} {zone} {now}");
            assert_eq!(found.end.since(found.start) / 60_000, minutes, "length of {period:?} {zone} {now}");
        }
    }

    /// Every instant lies in one period, and the next begins where one ends.
    #[test]
    fn periods_divide_time() {
        let zones = [
            "America/St_Johns",
            "Africa/Cairo",
            "America/Sao_Paulo",
            "Pacific/Apia",
            "Asia/Gaza",
            "America/Havana",
        ];
        for (zone, period) in
            zones.into_iter().flat_map(|zone| [Period::Day, Period::Week, Period::Month].map(|p| (zone, p)))
        {
            let clock = BudgetClock::new(period, zone).unwrap();
            let mut now = at("2005-12-28T11:17:00Z");
            let mut last = clock.period_of(now).unwrap();
            while now < at("2012-03-01T00:00:00Z") {
                now = now.plus(5 * HOUR);
                let next = clock.period_of(now).unwrap();
                assert!(next.start <= now && now < next.end, "{zone} {period:?} {now}");
                assert!(next == last || next.start == last.end, "{zone} {period:?} {now}: {last:?} {next:?}");
                assert_eq!(clock.period_of(next.start).unwrap(), next, "{zone} {period:?}");
                assert_eq!(clock.period_of(next.end.plus(-1)).unwrap(), next, "{zone} {period:?}");
                last = next;
            }
        }
    }

    #[test]
    fn impossible_zones_and_times_are_errors() {
        for zone in ["", "Nowhere/Town", "../../etc/passwd"] {
            let error = BudgetClock::new(Period::Day, zone).unwrap_err();
            assert!(error.to_string().contains("give an IANA name"), "{error}");
        }
        let clock = BudgetClock::new(Period::Month, "UTC").unwrap();
        for now in [i64::MIN, i64::MAX, Timestamp::MAX.as_millisecond()] {
            assert!(matches!(clock.period_of(UnixMs(now)), Err(BudgetError::OutOfRange(_))), "{now}");
        }
    }

    #[test]
    fn projections() {
        let period = PeriodBounds { start: UnixMs(0), end: UnixMs(24 * HOUR) };
        let expect = |runs, mean| Some(Expected { runs, mean: NanoUsd(mean) });
        for (spent, hours, expected, projected) in [
            (6_000, 6, None, 24_000),
            (6_000, 24, None, 6_000),
            (6_000, 30, None, 6_000),
            (6_000, 0, None, 6_000),
            (6_000, -1, None, 6_000),
            (0, 12, None, 0),
            (1, 16, None, 2),
            (6_000, 23, expect(3, 500), 7_500),
            (6_000, 0, expect(0, 500), 6_000),
            (i64::MAX, 1, None, i64::MAX),
            (1, 1, expect(u64::MAX, i64::MAX), i64::MAX),
        ] {
            let found = project(NanoUsd(spent), period, UnixMs(hours * HOUR), expected);
            assert_eq!(found.0, projected, "{spent} {hours} {expected:?}");
        }
    }

    #[test]
    fn a_budget_counts_what_fits_all_it_asks_for() {
        let run = RunLabels {
            job_id: "5f1c",
            job_name: "daily digest",
            agent: "ops",
            model: "claude-opus-4-6",
            provider: "Anthropic",
        };
        let some = |text: &str| Some(text.to_owned());
        for (job, agent, model, provider, fits) in [
            (None, None, None, None, true),
            (some("daily*"), None, None, None, true),
            (some("5f1c"), None, None, None, true),
            (some("weekly*"), None, None, None, false),
            (some("daily*"), some("ops"), some("claude-*"), some("ANTHROPIC"), true),
            (some("daily*"), some("main"), some("claude-*"), some("anthropic"), false),
            (None, None, some("gpt-*"), None, false),
            (None, None, None, some("openai"), false),
        ] {
            let asked = BudgetMatch { job, agent, model, provider };
            assert_eq!(Matcher::new(&asked).matches(&run), fits, "{asked:?}");
        }
    }
}
