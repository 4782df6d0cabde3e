//! Time, and what is made of many measurements.

use std::time::{Duration, Instant};

use crate::Failure;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the monotonic time.
#[expect(clippy::disallowed_methods, reason = "a bench measures elapsed time")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Returns the wall clock's time in milliseconds since 1970.
pub fn now_ms() -> i64 {
    openclaw_usage::clock::Clock::System.now().0
}

/// Runs `work` and returns its result and how long it took, in microseconds.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = monotonic();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e6)
}

/// Asks every `pause` until there is an answer.
pub fn until<T>(
    what: &str,
    pause: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let start = monotonic();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("waited {} s in vain for {what}", PATIENCE.as_secs()).into());
        }
        std::thread::sleep(pause);
    }
}

/// Measurements of one thing.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Returns the value that the share `q` of all do not exceed.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into some thousand samples"
    )]
    pub fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// Returns the median.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// Returns a count as a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^53")]
pub const fn float(n: u64) -> f64 {
    n as f64
}
