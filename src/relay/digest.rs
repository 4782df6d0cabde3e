//! When a digest is due, and of which period.
//!
//! Each local day (or Monday) has one instant at which its digest is due, which tells of the days before it. A time that
//! a clock change skips is taken for the one as much later, one that comes twice for the first.

use jiff::civil::{Date, Time};
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::RelayError;
use super::card::DIGEST_EVENT;
use crate::config::DigestConfig;
use crate::model::{Period, UnixMs};
use crate::price::BudgetClock;
use crate::telemetry::catalogue::key::event;

/// A digest that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The number of the local day that its period ends with, counted from 1970-01-01.
    pub day: i64,
    /// When it is due.
    pub at: UnixMs,
    /// The first millisecond that it tells of.
    pub since: UnixMs,
    /// The first one that it does not.
    pub until: UnixMs,
}

/// What is to be done about a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// To post it.
    Post(Due),
    /// To note that it was due, but too long ago.
    LeaveOut(Due),
    /// To note that it is new, and begins with the period after this one.
    Begin(Due),
}

/// Tells when a digest is due.
#[derive(Clone, Debug)]
pub struct Calendar {
    days: BudgetClock,
    every: Period,
    at: Time,
}

impl Calendar {
    /// Returns the calendar of a digest.
    ///
    /// # Errors
    /// Its time zone is not known.
    pub fn new(config: &DigestConfig) -> Result<Self, RelayError> {
        let owner = || format!("digest {}", config.name);
        let days = BudgetClock::new(Period::Day, &config.timezone)
            .map_err(|source| RelayError::Zone { owner: owner(), source })?;
        let part = |number: u16| i8::try_from(number).unwrap_or(0);
        let at = Time::new(part(config.at / 60), part(config.at % 60), 0, 0).unwrap_or(Time::midnight());
        Ok(Self { days, every: config.every, at })
    }

    /// Returns the newest digest that is due at `now`; `None` outside the calendar.
    #[must_use]
    pub fn newest(&self, now: UnixMs) -> Option<Due> {
        let here = Timestamp::from_millisecond(now.0).ok()?.to_zoned(self.days.zone().clone()).date();
        // A local date may come twice where a zone changes sides of the date line.
        let mut day = self.first_day(here.checked_add(2.days()).ok()?)?;
        for _ in 0..5 {
            if let Some(due) = self.of_day(day).filter(|due| due.at <= now) {
                return Some(due);
            }
            day = day.checked_sub(self.length()).ok()?;
        }
        None
    }

    /// Returns when the next digest is due after `now`; `None` outside the calendar.
    #[must_use]
    pub fn next(&self, now: UnixMs) -> Option<UnixMs> {
        let mut day = self.day(self.newest(now)?.day)?;
        for _ in 0..5 {
            day = day.checked_add(self.length()).ok()?;
            if let Some(due) = self.of_day(day).filter(|due| due.at > now) {
                return Some(due.at);
            }
        }
        None
    }

    /// Returns what is to be done at `now` if the last period that was done with ended with that day. A digest that is
    /// new begins with the next period; one that is late by more than half its period is left out.
    #[must_use]
    pub fn step(&self, known: Option<i64>, now: UnixMs) -> Step {
        let Some(due) = self.newest(now) else { return Step::Nothing };
        match known {
            Some(day) if day >= due.day => Step::Nothing,
            Some(_) if now.since(due.at) <= due.until.since(due.since) / 2 => Step::Post(due),
            Some(_) => Step::LeaveOut(due),
            None => Step::Begin(due),
        }
    }

    fn length(&self) -> jiff::Span {
        if self.every == Period::Week { 1.week() } else { 1.day() }
    }

    /// Returns the day itself, or the Monday that is not after it.
    fn first_day(&self, day: Date) -> Option<Date> {
        let back = if self.every == Period::Week { day.weekday().to_monday_zero_offset() } else { 0 };
        day.checked_sub(i64::from(back).days()).ok()
    }

    fn of_day(&self, day: Date) -> Option<Due> {
        let at = self.days.zone().to_ambiguous_timestamp(day.to_datetime(self.at)).compatible().ok()?;
        let before = day.checked_sub(self.length()).ok()?;
        let (since, until) = (self.days.first_instant(before)?, self.days.first_instant(day)?);
        // Midnight itself may be skipped: never before the period's end.
        let at = UnixMs(at.as_millisecond()).max(until);
        Some(Due { day: number(day)?, at, since, until })
    }

    fn day(&self, number: i64) -> Option<Date> {
        Date::new(1970, 1, 1).ok()?.checked_add(number.days()).ok()
    }
}

fn number(day: Date) -> Option<i64> {
    let since = Date::new(1970, 1, 1).ok()?.until(day).ok()?;
    Some(i64::from(since.get_days()))
}

/// What a digest says.
pub struct DigestContent<'a> {
    /// Its name.
    pub name: &'a str,
    /// The gateway's name.
    pub gateway: &'a str,
    /// One line.
    pub title: &'a str,
    /// The report as a table for people.
    pub table: &'a str,
    /// The report in Markdown.
    pub markdown: &'a str,
}

impl DigestContent<'_> {
    /// Returns the event that is queued, as one line of JSON.
    #[must_use]
    pub fn line(&self, due: &Due) -> String {
        let at = Timestamp::from_millisecond(due.at.0).unwrap_or_default();
        json!({
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "severity": "INFO",
            "message": self.title,
            event::NAME: DIGEST_EVENT,
            event::ID: format!("{:016x}", xxh3_64(format!("digest\0{}\0{}", self.name, due.day).as_bytes())),
            event::GATEWAY: self.gateway,
            "table": self.table,
            "markdown": self.markdown,
        })
        .to_string()
    }
}
