//! What a service's answer means for the message.
//!
//! Pure. Sources: Discord's "Rate Limits", Slack's "Rate limits" and errors of incoming webhooks, Telegram's
//! `ResponseParameters`, Microsoft's connectors, which say "HTTP error 429" with a 200.

use serde_json::Value;

use crate::config::RelayKind;
use crate::export::Posted;
use crate::export::outcome::{ASKED_MAX_MS, asked_wait_ms};
use crate::model::UnixMs;
use crate::telemetry::ExportFailure;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service took it. The next one is to wait so long, in milliseconds.
    Taken(u64),
    /// Not now.
    Later {
        /// When to try again, in milliseconds; `None`: as the usual backoff says.
        after_ms: Option<u64>,
        /// Why.
        failure: ExportFailure,
        /// The service failed at this message; if it does so again and again, the message is at fault.
        counts: bool,
        /// For people.
        text: String,
    },
    /// Never.
    Refused {
        /// What the service answered.
        status: Option<u16>,
        /// Why.
        failure: ExportFailure,
        /// For people.
        text: String,
    },
}

/// Returns what an answer means that came at `now`.
#[must_use]
pub fn verdict(kind: RelayKind, answer: &Posted, now: UnixMs) -> Verdict {
    let status = answer.status;
    let text = || match word(kind, answer) {
        Some(word) => format!("HTTP {status} ({word})"),
        None => format!("HTTP {status}"),
    };
    let later = |after_ms, failure, counts| Verdict::Later { after_ms, failure, counts, text: text() };
    let refused = |failure| Verdict::Refused { status: Some(status), failure, text: text() };
    match status {
        200..=299 if kind == RelayKind::Teams && says(answer, "HTTP error 429") => {
            later(None, ExportFailure::Throttled, false)
        }
        200..=299 if kind == RelayKind::Teams && says(answer, "delivery failed") => {
            later(None, ExportFailure::Unavailable, true)
        }
        200..=299 => Verdict::Taken(pause_ms(kind, answer)),
        401 | 403 => refused(ExportFailure::Unauthorized),
        404 | 405 | 410 => refused(ExportFailure::NotFound),
        408 | 425 => later(None, ExportFailure::Timeout, false),
        429 => later(asked_ms(answer, now), ExportFailure::Throttled, false),
        400..=499 => refused(ExportFailure::Refused),
        502..=504 => later(asked_ms(answer, now), ExportFailure::Unavailable, false),
        500..=599 => later(asked_ms(answer, now), ExportFailure::Unavailable, true),
        // A redirect may lead anywhere, also into the operator's own network: none is followed.
        _ => refused(ExportFailure::BadAnswer),
    }
}

/// Returns how long the service wants to be left alone: a field of the body, which is exact, else the header.
fn asked_ms(answer: &Posted, now: UnixMs) -> Option<u64> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let seconds = body.get("retry_after").or_else(|| body.pointer("/parameters/retry_after"));
    let in_body = seconds.and_then(Value::as_f64).map(milliseconds);
    let reset =
        || answer.header("x-ratelimit-reset-after").and_then(|text| text.parse().ok()).map(milliseconds);
    let header = || answer.header("retry-after").and_then(|text| asked_wait_ms(text, now));
    in_body.or_else(header).or_else(reset)
}

/// Returns how long the next message is to wait: until Discord takes more again, or as long as others ask for always.
fn pause_ms(kind: RelayKind, answer: &Posted) -> u64 {
    match kind {
        RelayKind::Discord if answer.header("x-ratelimit-remaining") == Some("0") => {
            let after = answer.header("x-ratelimit-reset-after").and_then(|text| text.parse().ok());
            after.map_or(0, milliseconds)
        }
        // One message a second, in a chat or to a webhook.
        RelayKind::Slack | RelayKind::Telegram => 1_000,
        _ => 0,
    }
}

/// Rounds up, so that nothing is sent too early; what is no time is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 15 minutes")]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).ceil().clamp(0.0, ASKED_MAX_MS as f64) as u64
}

/// Returns what some services call an error: a word or a number of a closed list, and nothing else of the body, which
/// may repeat the URL or the message.
fn word(kind: RelayKind, answer: &Posted) -> Option<String> {
    match kind {
        RelayKind::Slack => {
            let text = std::str::from_utf8(&answer.body).ok()?.trim();
            let plain =
                text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            (plain && text.contains('_')).then(|| text.to_owned())
        }
        RelayKind::Discord => {
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            body.get("code").and_then(Value::as_u64).map(|code| format!("code {code}"))
        }
        _ => None,
    }
}

fn says(answer: &Posted, words: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(words)
}
