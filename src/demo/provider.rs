//! The simulated model provider: what each call costs and how a run ends.
//!
//! The numbers follow the recorded gateways' provider: every call of a job bills some tokens more than the
//! one before, so that a run counted twice or left out shows in the sums.

use super::bill::Tokens;
use fastrand::Rng;

/// What a job asks of the provider, and so how its runs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// One call.
    Plain,
    /// One call, most of the prompt from a cache.
    Cache,
    /// Two calls with a tool between them; `total_tokens` shows the second only.
    Tools,
    /// One call that reads and writes a cache.
    Claude,
    /// One call that answers `NO_REPLY`: no summary.
    Silent,
    /// One call with a summary of so many bytes.
    Long(usize),
    /// Twenty calls with a long prompt each: an agent that does not find its end.
    Runaway,
    /// Six to thirty calls on a long prompt that is mostly cached: as much as there is to find out that day.
    Research,
    /// HTTP 500.
    Fail,
    /// HTTP 401.
    BadKey,
    /// Never answers.
    Slow,
    /// No model call: an event for the main session.
    Event,
    /// No model call: the look of 2026.9.6 at an agent's own list, always skipped.
    Heartbeat,
}

/// USD per million tokens: input, output, cache read, cache write. Only ever written into `openclaw.json`.
pub(super) type Rates = [f64; 4];

/// Every model that a profile can name: provider, model, rates.
pub(super) const MODELS: [(&str, &str, Rates); 9] = [
    ("sim", "sim-ok", [3.0, 15.0, 0.3, 3.75]),
    ("sim", "sim-cache", [3.0, 15.0, 0.3, 3.75]),
    ("sim", "sim-tools", [3.0, 15.0, 0.3, 3.75]),
    ("sim", "sim-long", [3.0, 15.0, 0.3, 3.75]),
    ("sim", "sim-silent", [0.25, 1.25, 0.03, 0.3]),
    ("sim", "sim-fail", [3.0, 15.0, 0.3, 3.75]),
    ("sim", "sim-slow", [3.0, 15.0, 0.3, 3.75]),
    ("simbad", "sim-badkey", [3.0, 15.0, 0.3, 3.75]),
    ("simant", "sim-claude", [5.0, 25.0, 0.5, 6.25]),
];

impl Profile {
    /// Returns provider and model.
    pub(super) const fn model(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain | Self::Runaway | Self::Event | Self::Heartbeat => ("sim", "sim-ok"),
            Self::Cache => ("sim", "sim-cache"),
            Self::Tools => ("sim", "sim-tools"),
            Self::Claude | Self::Research => ("simant", "sim-claude"),
            Self::Silent => ("sim", "sim-silent"),
            Self::Long(_) => ("sim", "sim-long"),
            Self::Fail => ("sim", "sim-fail"),
            Self::BadKey => ("simbad", "sim-badkey"),
            Self::Slow => ("sim", "sim-slow"),
        }
    }
}

/// A run's time limit in simulated seconds, for the jobs that have one.
pub(super) const TIMEOUT_SECONDS: i64 = 2;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The model answered; the text becomes the summary.
    Reply(String),
    /// The model answered `NO_REPLY`.
    Silent,
    /// The provider refused the first call, unbilled.
    Refused(&'static str),
    /// The time limit passed during the first call, unbilled.
    TimedOut,
    /// The event was handed to the main session.
    Event,
    /// The main session did not take the event, with the reason.
    Skipped(&'static str),
    /// The gateway stopped before the provider answered, unbilled.
    Interrupted,
}

/// One run as the provider saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The billed calls in order.
    pub calls: Vec<Tokens>,
    /// Simulated milliseconds.
    pub duration_ms: i64,
}

impl Outcome {
    /// Returns what was billed.
    pub(super) fn billed(&self) -> Tokens {
        Tokens::sum(&self.calls)
    }
}

/// Answers the `k`th run of a job. `failure_percent` of the runs that would answer fail instead.
pub(super) fn run(rng: &mut Rng, profile: Profile, k: u64, failure_percent: u8) -> Outcome {
    let trouble = rng.u8(0..100) < failure_percent;
    let duration_ms = rng.i64(40..900);
    let unbilled = |ending, duration_ms| Outcome { ending, calls: Vec::new(), duration_ms };
    match profile {
        Profile::Event if rng.u8(0..5) == 0 => unbilled(Ending::Skipped("quiet-hours"), 1),
        Profile::Heartbeat => unbilled(Ending::Skipped("quiet-hours"), rng.i64(1..30)),
        Profile::Event => unbilled(Ending::Event, rng.i64(1..30)),
        Profile::Fail => unbilled(Ending::Refused("500 upstream exploded"), duration_ms),
        Profile::BadKey => unbilled(Ending::Refused("401 Incorrect API key provided"), duration_ms),
        Profile::Slow => unbilled(Ending::TimedOut, TIMEOUT_SECONDS * 1000 + rng.i64(0..20)),
        _ if trouble && rng.bool() => unbilled(Ending::TimedOut, TIMEOUT_SECONDS * 1000 + rng.i64(0..20)),
        _ if trouble => unbilled(Ending::Refused("500 upstream exploded"), duration_ms),
        _ => {
            let (text, calls) = answer(rng, profile, k);
            let ending = if profile == Profile::Silent { Ending::Silent } else { Ending::Reply(text) };
            // As long as two calls, however many there are; research takes its time for each.
            let times = if profile == Profile::Research { calls.len() } else { calls.len().min(2) };
            Outcome { ending, duration_ms: duration_ms * i64::try_from(times).unwrap_or(1), calls }
        }
    }
}

fn answer(rng: &mut Rng, profile: Profile, k: u64) -> (String, Vec<Tokens>) {
    let call = |input, output, cache_read, cache_write| Tokens { input, output, cache_read, cache_write };
    match profile {
        Profile::Cache => (format!("Cached report call-{k}."), vec![call(904 + k, 60, 4096, 0)]),
        Profile::Tools => (
            format!("Tool report call-{k}: done after 1 tool call(s)."),
            vec![call(1500 + k, 25, 300, 0), call(500 + k, 40, 1500, 0)],
        ),
        Profile::Runaway => {
            let calls = (0..20).map(|_| call(100_000 + k, 900, 0, 0)).collect();
            (format!("Research call-{k}: looked again and again."), calls)
        }
        Profile::Research => {
            let calls = (0..rng.u64(6..=30)).map(|n| call(2_500 + k, 350, 6_000 + 900 * n, 900)).collect();
            (format!("Findings call-{k}: three markets moved."), calls)
        }
        Profile::Claude => (format!("Draft call-{k} is ready."), vec![call(700 + k, 50, 3000, 2000)]),
        Profile::Silent => (String::new(), vec![call(900 + k, 3, 0, 0)]),
        Profile::Long(bytes) => {
            (prose(rng, &format!("Digest call-{k}:"), bytes), vec![call(2400 + k, 610 + k % 7, 0, 0)])
        }
        _ => (format!("Report call-{k}: all quiet, 3 items checked."), vec![call(1200 + k, 34, 0, 0)]),
    }
}

const WORDS: [&str; 12] = [
    "queue",
    "latency",
    "invoice",
    "reviewed",
    "nothing",
    "urgent",
    "three",
    "threads",
    "deployed",
    "cache",
    "since",
    "yesterday",
];

/// Returns `head` followed by words, of exactly `bytes` bytes (or `head` if that is longer).
pub(super) fn prose(rng: &mut Rng, head: &str, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    text.push_str(head);
    while text.len() < bytes {
        text.push(' ');
        text.push_str(rng.choice(WORDS).unwrap_or("more"));
    }
    text.truncate(bytes.max(head.len()));
    text
}
