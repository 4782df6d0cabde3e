//! Quiet hours: local times between which nothing is sent.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::config::QuietHours;
use crate::model::UnixMs;

/// Returns how long it is quiet from `now` on, in milliseconds; 0: it is not. A clock change makes the hours as long as
/// they are on the wall; a time that is skipped is taken for the one an hour later.
#[must_use]
pub fn quiet_ms(quiet: QuietHours, zone: &TimeZone, now: UnixMs) -> u64 {
    let Ok(at) = Timestamp::from_millisecond(now.0) else { return 0 };
    let here = at.to_zoned(zone.clone());
    let minute = u16::from(here.hour().unsigned_abs()) * 60 + u16::from(here.minute().unsigned_abs());
    let QuietHours { from, until } = quiet;
    let is_quiet =
        if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until };
    if !is_quiet {
        return 0;
    }
    let date = if minute < until { Some(here.date()) } else { here.date().tomorrow().ok() };
    let end = date.and_then(|date| {
        let time = Time::new(hour(until / 60), hour(until % 60), 0, 0).ok()?;
        zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()
    });
    // Past already where the clock is set back over the end: then it is quiet until the hour has come again.
    let wait = end.map_or(0, |end| UnixMs(end.as_millisecond()).since(now));
    u64::try_from(wait).ok().filter(|wait| *wait > 0).unwrap_or(60_000)
}

fn hour(number: u16) -> i8 {
    i8::try_from(number).unwrap_or(0)
}
