//! What the scheduler's messages mean, and which of their words may be told on.
//!
//! Source: the messages in OpenClaw 2026.2.17, 2026.5.28, 2026.7.1, 2026.8.1 and 2026.9.6. Invariant: only words that
//! stand in this file are ever told on.

use crate::model::{DeliveryProblem, GatewayEventKind as Kind, Severity};

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub kind: Kind,
    /// Its fixed words.
    pub words: String,
}

/// Messages that mean something. Behind a colon that follows one, the gateway fills in an error's text.
const KNOWN: [(&str, Kind); 31] = [
    ("cron: webhook delivery failed", Kind::WebhookDeliveryFailed),
    ("cron: webhook delivery blocked by SSRF guard", Kind::WebhookDeliveryBlocked),
    ("cron: skipped webhook delivery, delivery.to must be a valid http(s) URL", Kind::WebhookDeliverySkipped),
    (
        "cron: skipped completion webhook delivery, delivery.completionDestination.to must be a valid http(s) URL",
        Kind::WebhookDeliverySkipped,
    ),
    ("cron: job failed", Kind::JobFailed),
    ("cron: job run returned error status", Kind::JobFailed),
    ("cron: queued manual run background execution failed", Kind::JobFailed),
    ("cron: cleaned up timed-out agent run", Kind::RunTimedOut),
    (
        "cron: isolated agent setup timed out before runner start; backing off job without gateway restart",
        Kind::RunTimedOut,
    ),
    ("cron: job core rejected after timeout abort", Kind::RunTimedOut),
    ("cron: marking interrupted running job failed on startup", Kind::RunInterrupted),
    ("cron: clearing stale running marker on startup", Kind::RunInterrupted),
    ("cron: auto-disabled job after repeated schedule errors", Kind::JobAutoDisabled),
    ("cron: auto-disabled job after consecutive run failures", Kind::JobAutoDisabled),
    ("cron: auto-disabled interrupted job after consecutive run failures", Kind::JobAutoDisabled),
    ("cron: disabling one-shot job after error", Kind::OneShotDisabled),
    ("cron: disabling one-shot job after disabled heartbeat retries", Kind::OneShotDisabled),
    ("cron: failed to compute next run for job (skipping)", Kind::ScheduleError),
    ("cron: next run unresolved; clearing schedule to avoid a refire loop", Kind::ScheduleError),
    ("cron: applying error backoff", Kind::ErrorBackoff),
    ("cron: timer tick failed", Kind::TimerFailed),
    ("cron: run log append failed", Kind::RecordNotWritten),
    ("cron: task ledger record was not persisted", Kind::RecordNotWritten),
    ("cron: task ledger record was not finalized", Kind::RecordNotWritten),
    ("cron: failed to create task ledger record", Kind::RecordNotWritten),
    ("cron: failed to update task ledger record", Kind::RecordNotWritten),
    ("cron: failure alert delivery failed", Kind::FailureAlertFailed),
    ("cron: failure alert webhook failed", Kind::FailureAlertFailed),
    ("cron: failure destination webhook failed", Kind::FailureAlertFailed),
    ("cron: failure destination webhook blocked by SSRF guard", Kind::FailureAlertFailed),
    ("cron: failure destination announce failed", Kind::FailureAlertFailed),
];

/// Further words that the scheduler's warnings and errors are made of. None of them names anything of a user's.
const WORDS: &str = "a abort activation active admission after agent alert an append applying aborted auto-disabled \
    automatically background be before binding blocked by cancellation catch-up cleaned cleanup clearing command \
    completion compute consecutive continuing core create deferring delivery destination detached did disabled \
    disabling discovery drain due duplicate emitting entry error errors exact execution expired failed failure \
    failure-alert failures finalize finalized foreign for from gateway handler has heartbeat identity ignoring \
    immediate in interrupted invalid is isolated its job jobs ledger legacy list lock log loop maintenance malformed \
    manual marking marker missed missing next normalized not notification of on once outcome owner page pending \
    persist persisted persisting post-commit post-finalization post-persist preparation quarantine quarantined queue \
    queued reaper receipt reconcile reconciliation record recovery refire rejected rejection release remove removed \
    repeated reservation reservations resolve restart result retain retained retire retries retry retrying returned \
    run runner running runs runtime sanitize sanitized schedule scheduled scheduler scheduling scratch session \
    session-store setup shutdown skipped skipping slot slow stale start started starting startup status store stuck \
    sweep system target task terminal tick timed timed-out timeout timer to tracking undelivered unavailable \
    unresolved up update updated waiting was webhook will with without write";

/// Begins every message of the scheduler.
const PREFIX: &str = "cron: ";
/// Stands for what follows the words that may be told on.
const CUT: &str = " …";

/// What 2026.8.1 and later say between two attempts, behind the job's id in brackets and before the attempt.
const RETRY: &str = "transient webhook delivery failure, retrying";

/// Returns what a message of the scheduler's own logger means; `None`: nothing that anybody need know.
pub(super) fn meaning(message: &str, severity: Severity) -> Option<Meaning> {
    let known = KNOWN.iter().find(|(text, _)| {
        message.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
    });
    if let Some((text, kind)) = known {
        let timed_out = *kind == Kind::JobFailed && message.contains("job execution timed out");
        return Some(Meaning {
            kind: if timed_out { Kind::RunTimedOut } else { *kind },
            words: (*text).to_owned(),
        });
    }
    (severity >= Severity::Warn).then(|| Meaning { kind: Kind::Other, words: fixed_words(message) })
}

/// Returns the words at the beginning of a message of which each is one that the scheduler uses; whatever else it
/// says, and all that follows, could be a name, a text or a secret.
fn fixed_words(message: &str) -> String {
    let mut told = PREFIX.trim_end().to_owned();
    let rest = message.strip_prefix(PREFIX).unwrap_or(message);
    for word in rest.split(' ') {
        let plain = word.trim_end_matches([',', ';', '.']);
        if plain.is_empty() || !WORDS.split_ascii_whitespace().any(|known| known == plain) {
            told.push_str(CUT);
            break;
        }
        told.push(' ');
        told.push_str(word);
    }
    told
}

/// A repeated attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retry<'a> {
    pub job_id: &'a str,
    pub attempt: (u32, u32),
    pub problem: DeliveryProblem,
    pub http_status: Option<u16>,
}

impl Retry<'_> {
    pub const WORDS: &'static str = RETRY;
}

/// Reads `[cron:<job>] transient webhook delivery failure, retrying 2/4 in 5s: fetch failed`.
pub(super) fn retry(message: &str) -> Option<Retry<'_>> {
    let (job_id, rest) = message.strip_prefix("[cron:")?.split_once("] ")?;
    let (attempt, rest) = rest.strip_prefix(RETRY)?.trim_start().split_once(" in ")?;
    let (next, of) = attempt.split_once('/')?;
    let obstacle = Obstacle::of(rest);
    Some(Retry {
        job_id,
        attempt: (next.parse().ok()?, of.parse().ok()?),
        problem: obstacle.problem(),
        http_status: obstacle.http_status(),
    })
}

/// What stood in the way of a webhook, by OpenClaw's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No connection, no answer in time, or one that broke off.
    Network,
    /// An answer that is no success.
    HttpStatus(u16),
    /// The address is a private one.
    PrivateAddress,
    /// The address is none.
    InvalidUrl,
    /// Anything else.
    Other,
}

/// What Node says when it gets no answer.
const NETWORK: [&str; 13] = [
    "fetch failed",
    "aborted",
    "timed out",
    "timeout",
    "deadline exceeded",
    "econn",
    "enotfound",
    "eai_again",
    "ehostunreach",
    "enetunreach",
    "socket",
    "other side closed",
    "terminated",
];

impl Obstacle {
    /// Sorts the text of an error.
    pub fn of(error: &str) -> Self {
        if let Some((_, status)) = error.split_once("Webhook request failed with HTTP ") {
            let digits = status.get(..3).and_then(|digits| digits.parse().ok());
            return digits.map_or(Self::Other, Self::HttpStatus);
        }
        if error.contains("private/internal/special-use") || error.contains("Blocked hostname") {
            return Self::PrivateAddress;
        }
        if error.contains("must be a valid http(s) URL") {
            return Self::InvalidUrl;
        }
        let lower = error.to_ascii_lowercase();
        if NETWORK.iter().any(|word| lower.contains(word)) { Self::Network } else { Self::Other }
    }

    /// Returns the word for it that is told on.
    pub const fn problem(self) -> DeliveryProblem {
        match self {
            Self::Network => DeliveryProblem::Network,
            Self::HttpStatus(_) => DeliveryProblem::HttpStatus,
            Self::PrivateAddress => DeliveryProblem::PrivateAddress,
            Self::InvalidUrl => DeliveryProblem::InvalidUrl,
            Self::Other => DeliveryProblem::Other,
        }
    }

    /// Returns what the receiver answered.
    pub const fn http_status(self) -> Option<u16> {
        match self {
            Self::HttpStatus(status) => Some(status),
            _ => None,
        }
    }
}
