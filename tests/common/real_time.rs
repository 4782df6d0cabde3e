//! The machine's own clock, which real servers live by: their stamps are held against it, and their readiness
//! is waited for in it, and a simulated writer keeps its rhythm by it. Deliberately absent: a wait for a length of time
//! where there is a condition to wait for.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long a condition may take before the test fails: far more than a busy machine of two cores needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition that nothing announces.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is something to see, and returns it.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = instant();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {what}");
        thread::sleep(PAUSE);
    }
}

/// Milliseconds since 1970, UTC.
#[expect(clippy::disallowed_methods, reason = "a real server holds our stamps against the real time")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_millis()).expect("a clock before the year 584,556,019")
}

#[expect(clippy::disallowed_methods, reason = "the patience with a real server is real time")]
fn instant() -> Instant {
    Instant::now()
}

/// A writer's own rhythm, and how long its steps take.
pub struct Pace {
    step: Duration,
    due: Instant,
}

impl Pace {
    pub fn new(per_second: u32) -> Self {
        Self { step: Duration::from_secs(1) / per_second, due: instant() }
    }

    /// Waits for the next beat. What took too long is not caught up with.
    pub fn next(&mut self) {
        self.due = (self.due + self.step).max(instant());
        thread::sleep(self.due.saturating_duration_since(instant()));
    }

    /// How long the step takes, in microseconds.
    pub fn micros(&self, step: impl FnOnce()) -> u64 {
        let begin = instant();
        step();
        u64::try_from(begin.elapsed().as_micros()).expect("a time in microseconds")
    }
}
