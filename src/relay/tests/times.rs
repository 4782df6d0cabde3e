//! Quiet hours and digests on days that are shorter or longer than others.

use jiff::Timestamp;

use super::super::digest::{Calendar, Due, Step};
use super::super::quiet::quiet_ms;
use crate::config::{DigestConfig, QuietHours};
use crate::ledger::{Ledger, OpenOptions};
use crate::model::{Period, UnixMs};
use crate::price::BudgetClock;

fn at(text: &str) -> UnixMs {
    UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond())
}

#[test]
fn it_is_quiet_between_local_times() {
    let zone = BudgetClock::new(Period::Day, "Europe/Berlin").unwrap();
    let night = QuietHours { from: 22 * 60, until: 7 * 60 };
    let noon = QuietHours { from: 12 * 60, until: 13 * 60 };
    const H: u64 = 3_600_000;
    for (quiet, now, wait) in [
        (night, "2026-11-21T20:59:59.999Z", 0),
        (night, "2026-11-21T21:00:00Z", 9 * H),
        (night, "2026-11-22T05:30:00Z", H / 2),
        (night, "2026-11-22T06:00:00Z", 0),
        (noon, "2026-11-21T11:15:00Z", 3 * H / 4),
        (noon, "2026-11-21T12:00:00Z", 0),
        // The night of 29 March has an hour less, that of 25 October one more.
        (night, "2026-03-28T21:00:00Z", 8 * H),
        (night, "2026-10-24T20:00:00Z", 10 * H),
    ] {
        assert_eq!(quiet_ms(quiet, zone.zone(), at(now)), wait, "{now}");
    }
    // The end is skipped, or comes twice: asked again and again, it ends.
    let early = QuietHours { from: 60, until: 2 * 60 + 30 };
    assert_eq!(quiet_ms(early, zone.zone(), at("2026-03-29T00:30:00Z")), H, "02:30 is taken for 03:30");
    let mut now = at("2026-10-25T00:10:00Z");
    for _ in 0..200 {
        now = now.plus(i64::try_from(quiet_ms(early, zone.zone(), now)).unwrap());
    }
    assert_eq!(quiet_ms(early, zone.zone(), now), 0);
}

fn calendar(every: Period, at: u16, zone: &str) -> Calendar {
    let config = DigestConfig { name: "d".into(), relay: "r".into(), every, at, timezone: zone.to_owned() };
    Calendar::new(&config).unwrap()
}

#[test]
fn a_digest_tells_of_the_whole_day_or_week_before() {
    for (every, minute, zone, now, due, since, until) in [
        (
            Period::Day,
            480,
            "UTC",
            "2026-11-21T08:00:00Z",
            "2026-11-21T08:00:00Z",
            "2026-11-20T00:00:00Z",
            "2026-11-21T00:00:00Z",
        ),
        (
            Period::Day,
            480,
            "UTC",
            "2026-11-21T07:59:59.999Z",
            "2026-11-20T08:00:00Z",
            "2026-11-19T00:00:00Z",
            "2026-11-20T00:00:00Z",
        ),
        // 23 and 25 hours.
        (
            Period::Day,
            480,
            "Europe/Berlin",
            "2026-03-30T10:00:00Z",
            "2026-03-30T06:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (
            Period::Day,
            480,
            "Europe/Berlin",
            "2026-10-26T10:00:00Z",
            "2026-10-26T07:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        // 02:30 is skipped, and comes twice.
        (
            Period::Day,
            150,
            "Europe/Berlin",
            "2026-03-29T10:00:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-27T23:00:00Z",
            "2026-03-28T23:00:00Z",
        ),
        (
            Period::Day,
            150,
            "Europe/Berlin",
            "2026-10-25T10:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-23T22:00:00Z",
            "2026-10-24T22:00:00Z",
        ),
        // Midnight is skipped: the day begins at 01:00.
        (
            Period::Day,
            0,
            "America/Santiago",
            "2026-09-06T10:00:00Z",
            "2026-09-06T04:00:00Z",
            "2026-09-05T04:00:00Z",
            "2026-09-06T04:00:00Z",
        ),
        // Mondays.
        (
            Period::Week,
            480,
            "UTC",
            "2026-11-21T12:00:00Z",
            "2026-11-16T08:00:00Z",
            "2026-11-09T00:00:00Z",
            "2026-11-16T00:00:00Z",
        ),
        (
            Period::Week,
            480,
            "UTC",
            "2026-11-23T07:00:00Z",
            "2026-11-16T08:00:00Z",
            "2026-11-09T00:00:00Z",
            "2026-11-16T00:00:00Z",
        ),
    ] {
        let found = calendar(every, minute, zone).newest(at(now)).unwrap();
        assert_eq!((found.at, found.since, found.until), (at(due), at(since), at(until)), "{now} {zone}");
    }
}

/// Walks through two years minute by minute where it matters: every day has its digest, once and in order, and nothing
/// of a day is left out or told twice.
#[test]
fn each_day_has_one_digest_in_every_zone() {
    for zone in
        ["UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia", "Asia/Kolkata", "Australia/Lord_Howe"]
    {
        for minute in [0, 150, 480, 1_439] {
            let calendar = calendar(Period::Day, minute, zone);
            let mut now = at("2026-01-01T12:00:00Z");
            let end = at("2028-01-01T12:00:00Z");
            let mut last = calendar.newest(now).unwrap();
            let mut digests = 0;
            while now < end {
                let next = calendar.next(now).unwrap();
                assert!(
                    next > now && calendar.newest(next.plus(-1)).unwrap() == last,
                    "{zone} {minute}: {next:?}"
                );
                let due = calendar.newest(next).unwrap();
                assert_eq!((due.day, due.since), (last.day + 1, last.until), "{zone} {minute}");
                assert!(
                    due.at == next && due.at >= due.until,
                    "{zone} {minute}: never before its day is over"
                );
                (now, last) = (next, due);
                digests += 1;
            }
            assert!((730..=731).contains(&digests), "{zone} {minute}: {digests}");
        }
    }
}

#[test]
fn what_was_missed_is_posted_for_half_its_period() {
    let calendar = calendar(Period::Day, 480, "UTC");
    let due = calendar.newest(at("2026-11-21T08:00:00Z")).unwrap();
    let step = |known, now| calendar.step(known, at(now));
    assert_eq!(step(None, "2026-11-21T09:00:00Z"), Step::Begin(due));
    assert_eq!(step(Some(due.day - 1), "2026-11-21T08:00:00Z"), Step::Post(due));
    assert_eq!(step(Some(due.day - 9), "2026-11-21T20:00:00Z"), Step::Post(due), "the newest of several");
    assert_eq!(step(Some(due.day - 1), "2026-11-21T20:00:00.001Z"), Step::LeaveOut(due));
    assert_eq!(step(Some(due.day), "2026-11-21T20:00:00Z"), Step::Nothing);
    assert_eq!(step(Some(due.day + 3), "2026-11-21T20:00:00Z"), Step::Nothing, "the clock was set back");
}

/// A year of a daemon that is stopped, killed and started at any time, and whose clock is set back now and then, in a
/// zone with clock changes: no period is posted twice or before its time, and none is missing that somebody was there for.
#[test]
fn each_period_is_posted_once_over_restarts_and_clock_changes() {
    for (seed, every) in [(1, Period::Day), (2, Period::Day), (3, Period::Week)] {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions { gateway: None, max_jobs: 10, full_sync: false };
        let mut rng = fastrand::Rng::with_seed(seed);
        let calendar = calendar(every, 150, "Europe/Berlin");
        let mut now = at("2026-01-01T12:00:00Z");
        let mut posted: Vec<Due> = Vec::new();
        let open = |now| Ledger::open(&folder.path().join("l.sqlite"), &options, now).unwrap().ledger;
        let mut ledger = open(now);
        while now < at("2027-01-01T12:00:00Z") {
            match calendar.step(ledger.digest_day("d").unwrap(), now) {
                Step::Nothing => {}
                Step::Post(due) => {
                    assert!(ledger.post_digest("d", due.day, Some(("r", "told")), now).unwrap());
                    assert!(
                        due.at <= now && posted.last().is_none_or(|last| last.day < due.day),
                        "seed {seed}: {due:?}"
                    );
                    posted.push(due);
                }
                Step::LeaveOut(due) | Step::Begin(due) => {
                    assert!(ledger.post_digest("d", due.day, None, now).unwrap());
                }
            }
            match rng.u32(0..20) {
                0 => now = now.plus(rng.i64(1..10) * 6 * 3_600_000),
                1 => now = now.plus(-rng.i64(1..90) * 60_000),
                _ => now = now.plus(rng.i64(1..120) * 60_000),
            }
            if rng.u32(0..10) == 0 {
                drop(ledger);
                ledger = open(now);
            }
        }
        let number = posted.len();
        let expected = if every == Period::Day { 200..=366 } else { 45..=53 };
        assert!(expected.contains(&number), "seed {seed}: {number}");
    }
}
