//! The stamp of the next push.
//!
//! Invariant: stamps grow strictly while the clock is at most [`PATIENCE_MS`] behind the last one, because
//! servers refuse samples that are not newer than the last. Beyond that the clock is followed: a stamp far
//! in the future would be refused for its own reasons. Deliberately absent: the clock.

use crate::model::UnixMs;

/// How far behind the last stamp the clock may be before it is followed backwards: 10 minutes.
pub const PATIENCE_MS: i64 = 10 * 60 * 1000;

/// When a push says it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The stamp.
    pub at: UnixMs,
    /// How far the clock was followed backwards, in milliseconds; 0 if it was not.
    pub stepped_back_ms: i64,
}

/// Returns the stamp of a push at `now` after one stamped `last`.
#[must_use]
pub const fn next(now: UnixMs, last: UnixMs) -> Stamp {
    let behind = last.since(now);
    if behind > PATIENCE_MS {
        return Stamp { at: now, stepped_back_ms: behind };
    }
    let at = if behind >= 0 { last.plus(1) } else { now };
    Stamp { at, stepped_back_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_until_the_clock_is_far_behind() {
        let last = 1_700_000_000_000;
        for (now, at, stepped_back_ms, case) in [
            (last + 15_000, last + 15_000, 0, "time passes"),
            (last + 1, last + 1, 0, "the smallest step"),
            (last, last + 1, 0, "the same millisecond"),
            (last - 1, last + 1, 0, "one back"),
            (last - PATIENCE_MS, last + 1, 0, "as far back as is waited for"),
            (last - PATIENCE_MS - 1, last - PATIENCE_MS - 1, PATIENCE_MS + 1, "one further"),
            (last - 3_600_000, last - 3_600_000, 3_600_000, "an hour back"),
            (last + 31_536_000_000, last + 31_536_000_000, 0, "a year forward"),
        ] {
            let expected = Stamp { at: UnixMs(at), stepped_back_ms };
            assert_eq!(next(UnixMs(now), UnixMs(last)), expected, "{case}");
        }
    }

    #[test]
    fn the_first_stamp_is_the_clock() {
        let now = UnixMs(1_700_000_000_000);
        assert_eq!(next(now, UnixMs::default()), Stamp { at: now, stepped_back_ms: 0 });
    }
}
