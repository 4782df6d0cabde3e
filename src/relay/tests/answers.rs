//! What answers mean: documented ones of each service.

use super::super::answer::{Verdict, verdict};
use super::*;
use crate::export::Posted;
use crate::model::UnixMs;
use crate::telemetry::ExportFailure;

const NOW: UnixMs = UnixMs(1_784_000_000_000);

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Posted {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Posted { status, headers: map, body: body.as_bytes().to_vec() }
}

/// How long to wait before the message is sent again, and whether the try counts; nothing if it was taken or refused.
fn again(kind: RelayKind, answer: &Posted) -> Option<(Option<u64>, ExportFailure, bool)> {
    match verdict(kind, answer, NOW) {
        Verdict::Later { after_ms, failure, counts, .. } => Some((after_ms, failure, counts)),
        _ => None,
    }
}

#[test]
fn rate_limits_are_obeyed() {
    use RelayKind::{Discord, Http, Slack, Teams, Telegram};
    let throttled = |ms| Some((ms, ExportFailure::Throttled, false));
    let limited = r#"{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}"#;
    let flood =
        r#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":35}}"#;
    for (kind, answer, expected) in [
        (Discord, answer(429, &[("retry-after", "65")], limited), throttled(Some(64_570))),
        (Discord, answer(429, &[("x-ratelimit-reset-after", "1.25")], ""), throttled(Some(1_250))),
        (Discord, answer(429, &[], r#"{"retry_after": -3}"#), throttled(Some(0))),
        (Discord, answer(429, &[], r#"{"retry_after": 1e300}"#), throttled(Some(900_000))),
        (Slack, answer(429, &[("retry-after", "30")], ""), throttled(Some(30_000))),
        (Slack, answer(429, &[("retry-after", "Mon, 13 Jul 2026 18:53:20 GMT")], ""), throttled(Some(0))),
        (Slack, answer(429, &[], ""), throttled(None)),
        (Telegram, answer(429, &[], flood), throttled(Some(35_000))),
        (
            Teams,
            answer(
                200,
                &[],
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429",
            ),
            throttled(None),
        ),
        (
            Http,
            answer(503, &[("retry-after", "7")], ""),
            Some((Some(7_000), ExportFailure::Unavailable, false)),
        ),
        (Http, answer(502, &[], ""), Some((None, ExportFailure::Unavailable, false))),
        (Http, answer(500, &[], ""), Some((None, ExportFailure::Unavailable, true))),
        (Http, answer(408, &[], ""), Some((None, ExportFailure::Timeout, false))),
        (
            Teams,
            answer(200, &[], "Webhook message delivery failed with error: x"),
            Some((None, ExportFailure::Unavailable, true)),
        ),
    ] {
        assert_eq!(again(kind, &answer), expected, "{kind:?} {answer:?}");
    }
}

#[test]
fn what_was_taken_may_ask_for_a_pause() {
    let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "0.3")];
    for (kind, answer, pause) in [
        (RelayKind::Discord, answer(204, &spent, ""), 300),
        (
            RelayKind::Discord,
            answer(204, &[("x-ratelimit-remaining", "4"), ("x-ratelimit-reset-after", "2")], ""),
            0,
        ),
        (RelayKind::Slack, answer(200, &[], "ok"), 1_000),
        (RelayKind::Telegram, answer(200, &[], r#"{"ok":true}"#), 1_000),
        (RelayKind::Teams, answer(202, &[], ""), 0),
        (RelayKind::Http, answer(201, &[], "made"), 0),
    ] {
        assert_eq!(verdict(kind, &answer, NOW), Verdict::Taken(pause), "{kind:?}");
    }
}

#[test]
fn what_is_refused_is_told_without_the_answer_s_words() {
    for (kind, answer, text) in [
        (RelayKind::Slack, answer(404, &[], "no_service"), "HTTP 404 (no_service)"),
        (RelayKind::Slack, answer(403, &[], "action_prohibited"), "HTTP 403 (action_prohibited)"),
        (RelayKind::Slack, answer(400, &[], "you sent https://hooks.slack.com/services/T0/B0/x"), "HTTP 400"),
        (
            RelayKind::Discord,
            answer(404, &[], r#"{"message": "Unknown Webhook", "code": 10015}"#),
            "HTTP 404 (code 10015)",
        ),
        (
            RelayKind::Telegram,
            answer(401, &[], r#"{"ok":false,"description":"Unauthorized bot 123:ABC"}"#),
            "HTTP 401",
        ),
        (RelayKind::Http, answer(404, &[], "Cannot POST /hooks/secret"), "HTTP 404"),
        (RelayKind::Http, answer(302, &[("location", "http://169.254.169.254/")], ""), "HTTP 302"),
        (RelayKind::Http, answer(413, &[], ""), "HTTP 413"),
    ] {
        match verdict(kind, &answer, NOW) {
            Verdict::Refused { status, text: said, .. } => {
                assert_eq!((status, said.as_str()), (Some(answer.status), text));
            }
            other => panic!("{answer:?}: {other:?}"),
        }
    }
}
