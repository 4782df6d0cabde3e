//! The clock: the one place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::UnixMs;

/// Where the time comes from. Only `serve`, `demo` and the commands hold one; everything else takes times.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's.
    System,
    /// One that is set by hand, for tests: milliseconds since the epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Returns the present time.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        match self {
            Self::System => system_now(),
            Self::Manual(ms) => UnixMs(ms.load(Ordering::SeqCst)),
        }
    }
}

/// Returns the processor time that this process took so far, in nanoseconds.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let [seconds, nanos] = [spent.tv_sec, spent.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn system_now() -> UnixMs {
    let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    };
    UnixMs(ms)
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Returns the microseconds since then.
    #[must_use]
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
