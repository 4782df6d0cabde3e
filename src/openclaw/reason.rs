//! Why a run failed, from what OpenClaw wrote about it.
//!
//! Source: `errorReason` of 2026.9.6, and the error texts of recorded gateways of 2026.2.17 to 2026.9.6. The
//! text itself is looked at here and goes no further.

use crate::model::{Reason, Status};

/// Returns the reason of a run with this status, from OpenClaw's own word where it wrote one, else from the
/// error text.
pub fn reason(status: Status, error_reason: Option<&str>, error: Option<&str>) -> Reason {
    if status == Status::Ok {
        return Reason::None;
    }
    match (error_reason.and_then(known), error) {
        (Some(reason), _) => reason,
        (None, Some(text)) => from_text(text),
        (None, None) if status == Status::Error || error_reason.is_some() => Reason::Other,
        (None, None) => Reason::None,
    }
}

fn known(word: &str) -> Option<Reason> {
    Some(match word {
        "auth" | "auth_permanent" => Reason::Auth,
        "rate_limit" => Reason::RateLimit,
        "billing" => Reason::Billing,
        "timeout" => Reason::Timeout,
        "server_error" | "overloaded" => Reason::ServerError,
        "model_not_found" => Reason::ModelNotFound,
        _ => return None,
    })
}

/// First match wins: what OpenClaw's scheduler says itself comes before what it quotes from a provider.
const TEXTS: [(&str, Reason); 17] = [
    ("job execution timed out", Reason::Timeout),
    ("interrupted by gateway restart", Reason::Interrupted),
    ("gateway is draining", Reason::Interrupted),
    ("webhook", Reason::DeliveryFailed),
    ("delivery failed", Reason::DeliveryFailed),
    ("invalid schedule", Reason::ScheduleError),
    ("schedule error", Reason::ScheduleError),
    ("model not found", Reason::ModelNotFound),
    ("unknown model", Reason::ModelNotFound),
    ("rate limit", Reason::RateLimit),
    ("insufficient credit", Reason::Billing),
    ("insufficient balance", Reason::Billing),
    ("billing", Reason::Billing),
    ("api key", Reason::Auth),
    ("unauthorized", Reason::Auth),
    ("overloaded", Reason::ServerError),
    ("timed out", Reason::Timeout),
];

fn from_text(text: &str) -> Reason {
    // Error texts can quote whole answers; what matters stands at their beginning.
    let head: String = text.chars().take(300).collect::<String>().to_ascii_lowercase();
    if let Some((_, reason)) = TEXTS.iter().find(|(needle, _)| head.contains(needle)) {
        return *reason;
    }
    http_status(&head).map_or(Reason::Other, |status| match status {
        401 | 403 => Reason::Auth,
        402 => Reason::Billing,
        404 => Reason::ModelNotFound,
        408 | 504 => Reason::Timeout,
        429 => Reason::RateLimit,
        500..=599 => Reason::ServerError,
        _ => Reason::Other,
    })
}

/// Returns the HTTP status that opens the text, as in `500 upstream exploded` or `FailoverError: 500 …`.
fn http_status(text: &str) -> Option<u16> {
    text.split([' ', ':']).filter(|word| !word.is_empty()).take(3).find_map(|word| {
        let status: u16 = word.parse().ok()?;
        (400..600).contains(&status).then_some(status)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_error_texts_have_their_reason() {
        for (error, expected) in [
            ("FailoverError: 500 mock upstream exploded", Reason::ServerError),
            ("500 mock upstream exploded", Reason::ServerError),
            ("FailoverError: 401 Incorrect API key provided", Reason::Auth),
            ("Error: cron: job execution timed out", Reason::Timeout),
            ("cron: job execution timed out (last phase: model-call-started)", Reason::Timeout),
            ("cron: job interrupted by gateway restart", Reason::Interrupted),
            ("Gateway is draining; new tasks are not accepted", Reason::Interrupted),
            ("429 slow down", Reason::RateLimit),
            ("402 pay first", Reason::Billing),
            ("something else", Reason::Other),
        ] {
            assert_eq!(reason(Status::Error, None, Some(error)), expected, "{error}");
        }
    }

    #[test]
    fn openclaw_s_own_word_comes_first_and_success_has_no_reason() {
        assert_eq!(reason(Status::Error, Some("billing"), Some("500 x")), Reason::Billing);
        assert_eq!(reason(Status::Error, Some("new_word"), None), Reason::Other);
        assert_eq!(reason(Status::Error, None, None), Reason::Other);
        assert_eq!(reason(Status::Skipped, None, None), Reason::None);
        assert_eq!(reason(Status::Ok, Some("auth"), Some("500 x")), Reason::None);
    }
}
