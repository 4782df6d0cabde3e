//! The recorded logs, and lines that nobody recorded.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::model::{DeliveryProblem, GatewayEventKind as Kind, Severity, WebhookOutcome};

/// 2026-11-21T12:00:00Z.
const NOW: UnixMs = UnixMs(1_795_262_400_000);

const RECORDINGS: [&str; 8] = [
    "2026.2.17",
    "2026.5.28",
    "2026.6.11",
    "2026.9.6",
    "stage3-9.6",
    "cut-2026.2.17",
    "cut-2026.5.28",
    "cut-2026.9.6",
];

fn recordings() -> tempfile::TempDir {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs/recorded.tar.zst");
    let folder = tempfile::tempdir().unwrap();
    let plain = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(plain).unpack(folder.path()).unwrap();
    folder
}

fn read(dir: &Path) -> Poll {
    let long_ago = UnixMs(0);
    poll(&mut Reader::default(), (dir, OsStr::new("openclaw.log")), None, long_ago, NOW).unwrap()
}

#[test]
fn recorded_logs_yield_these_events() {
    let folder = recordings();
    let mut table = String::new();
    for name in RECORDINGS {
        let found = read(&folder.path().join(name));
        assert!(found.rejects.is_empty() && !found.more && !found.gap, "{name}: {found:?}");
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for event in &found.events {
            let GatewayEvent { kind, severity, problem, http_status, delivery, attempt, message, .. } = event;
            let more = format!("{problem:?} {http_status:?} {attempt:?} {delivery:?}").replace("None ", "");
            *counts.entry(format!("{} {kind:?} {more} | {message}", severity.as_str())).or_default() += 1;
            assert!(event.job_id.is_some(), "{name}: {event:?}");
        }
        table.push_str(&format!("{name}\n"));
        counts.iter().for_each(|(what, n)| table.push_str(&format!("  {n:>2} {what}\n")));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn nothing_secret_and_no_text_of_an_error_leaves_a_recorded_log() {
    let folder = recordings();
    for name in RECORDINGS {
        let told = format!("{:?}", read(&folder.path().join(name)).events);
        for secret in [
            "sk-mock",
            "test-token",
            "hook-secret-token",
            "s3cr3t",
            "://",
            "127.0.0.1",
            "/hook",
            "upstream exploded",
            "API key",
            "fetch failed",
            "/home/node",
        ] {
            assert!(!told.contains(secret), "{name}: {secret}");
        }
    }
}

fn line(level: &str, logger: &str, fields: &str, message: &str) -> String {
    let logger = serde_json::to_string(logger).unwrap();
    let message = serde_json::to_string(message).unwrap();
    format!(
        r#"{{"0":{logger},"1":{fields},"2":{message},"_meta":{{"date":"2026-11-21T04:54:44.171Z","logLevelName":"{level}"}},"time":"2026-11-21T06:54:44.171+02:00"}}"#
    )
}

const CRON: &str = r#"{"module":"cron"}"#;

fn event(level: &str, fields: &str, message: &str) -> GatewayEvent {
    parse_line(line(level, CRON, fields, message).as_bytes(), NOW).unwrap().unwrap()
}

#[test]
fn of_an_unknown_message_only_the_scheduler_s_own_words_are_told() {
    for (message, told) in [
        ("cron: session reaper sweep failed", "cron: session reaper sweep failed"),
        ("cron: job daily-ok failed to start", "cron: job …"),
        ("cron: failed to start job \"hunter2\"", "cron: failed to start job …"),
        ("cron: failed to release reservation: Bearer abc", "cron: failed to release …"),
        ("cron: slow list page 17", "cron: slow list page …"),
        ("cron: store has failed https://x/?token=s3cr3t", "cron: store has failed …"),
        (
            "cron: scheduler disabled; jobs will not run automatically",
            "cron: scheduler disabled; jobs will not run automatically",
        ),
        ("hook-secret-token", "cron: …"),
        ("", "cron: …"),
        ("cron: job core rejected after abort: Gateway shutting down.", "cron: job core rejected after …"),
    ] {
        // An empty message is none.
        if message.is_empty() {
            assert_eq!(parse_line(line("WARN", CRON, "{}", message).as_bytes(), NOW), Ok(None));
            continue;
        }
        let event = event("WARN", r#"{"jobId":"j"}"#, message);
        assert_eq!((event.kind, event.message.as_str()), (Kind::Other, told), "{message}");
    }
}

#[test]
fn what_stood_in_the_way_of_a_webhook() {
    use DeliveryProblem as P;
    use WebhookOutcome as W;
    const FAILED: &str = "cron: webhook delivery failed";
    for (fields, message, kind, problem, status, counted) in [
        (
            r#"{"err":"TypeError: fetch failed","webhookUrl":"http://h/"}"#,
            FAILED,
            Kind::WebhookDeliveryFailed,
            P::Network,
            None,
            Some(W::Failed),
        ),
        (
            r#"{"err":"AbortError: This operation was aborted","webhookUrl":"http://h/"}"#,
            FAILED,
            Kind::WebhookDeliveryFailed,
            P::Network,
            None,
            Some(W::Failed),
        ),
        (
            r#"{"err":"Webhook request failed with HTTP 503"}"#,
            FAILED,
            Kind::WebhookDeliveryFailed,
            P::HttpStatus,
            Some(503),
            None,
        ),
        (
            r#"{"err":"Blocked hostname or private/internal/special-use IP address"}"#,
            FAILED,
            Kind::WebhookDeliveryBlocked,
            P::PrivateAddress,
            None,
            None,
        ),
        (
            r#"{"err":"cron webhook delivery.to must be a valid http(s) URL"}"#,
            FAILED,
            Kind::WebhookDeliverySkipped,
            P::InvalidUrl,
            None,
            None,
        ),
        (
            r#"{"err":"Webhook request failed with HTTP 500","source":"completionDestination","webhookUrl":"http://h/"}"#,
            FAILED,
            Kind::WebhookDeliveryFailed,
            P::HttpStatus,
            Some(500),
            Some(W::Failed),
        ),
        (
            r#"{"reason":"Blocked hostname","webhookUrl":"http://h/"}"#,
            "cron: webhook delivery blocked by SSRF guard",
            Kind::WebhookDeliveryBlocked,
            P::PrivateAddress,
            None,
            Some(W::Blocked),
        ),
        (
            r"{}",
            "cron: skipped webhook delivery, delivery.to must be a valid http(s) URL",
            Kind::WebhookDeliverySkipped,
            P::InvalidUrl,
            None,
            Some(W::Skipped),
        ),
        (r#"{"err":"something"}"#, FAILED, Kind::WebhookDeliveryFailed, P::Other, None, None),
    ] {
        let event = event("WARN", fields, message);
        assert_eq!((event.kind, event.problem), (kind, Some(problem)), "{fields}");
        assert_eq!((event.http_status, event.delivery), (status, counted), "{fields}");
        assert_eq!(event.message, message);
    }
}

#[test]
fn hostile_lines_are_counted_or_nothing() {
    let good = line("WARN", CRON, r#"{"jobId":"j"}"#, "cron: timer tick failed");
    let parse = |line: &[u8]| parse_line(line, NOW);
    let mut broken = good.clone().into_bytes();
    broken.truncate(good.len() - 9);
    assert_eq!(parse(&broken), Err(RejectReason::InvalidJson));
    assert_eq!(parse(b"plain text about cron"), Err(RejectReason::InvalidJson));
    assert_eq!(parse(b"[\"cron\"]"), Err(RejectReason::InvalidJson));
    assert_eq!(parse(b"{}"), Ok(None));
    assert_eq!(parse(b"\x00\xff{{{"), Ok(None), "nothing of the scheduler");
    // As a file system leaves it where a crash cut a write short.
    let padded = [b"\x00\x00".as_slice(), good.as_bytes()].concat();
    assert_eq!(parse(&padded).unwrap().unwrap().kind, Kind::TimerFailed);
    let invalid = line("WARN", CRON, r#"{"jobName":"n@"}"#, "cron: timer tick failed").replace('@', "@@");
    let invalid: Vec<u8> = invalid.bytes().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    assert_eq!(parse(&invalid).unwrap().unwrap().job_name.as_deref(), Some("n\u{fffd}\u{fffd}"));
    for (from, to) in [("2026-11-21T04:54:44.171Z", "soon"), ("2026-11-21T04", "1999-11-21T04")] {
        let late = good.replace(from, to).replace("\"time\"", "\"t\"");
        assert_eq!(parse(late.as_bytes()), Err(RejectReason::ImpossibleTime), "{to}");
    }
    for level in ["DEBUG", "TRACE", "LOUD"] {
        assert_eq!(parse(good.replace("WARN", level).as_bytes()), Ok(None), "{level}");
    }
    let others = good.replace("module", "subsystem");
    assert_eq!(parse(others.as_bytes()), Ok(None));
    let long = event(
        "WARN",
        &format!(r#"{{"jobId":"{}","jobName":"{}"}}"#, "i".repeat(999), "n".repeat(999)),
        "cron: timer tick failed",
    );
    assert_eq!((long.job_id, long.job_name.map(|name| name.len())), (None, Some(200)));
    assert_eq!(event("ERROR", r#"{"jobId":"http://h/"}"#, "cron: timer tick failed").job_id, None);
    assert_eq!(event("FATAL", "[1]", "cron: timer tick failed").severity, Severity::Error);
}

#[test]
fn what_is_told_of_a_repeated_attempt() {
    let message = "[cron:1c45ad17] transient webhook delivery failure, retrying 2/4 in 5s: Webhook request failed with HTTP 502";
    let text = line("WARN", message, "null", "");
    let event = parse_line(text.as_bytes(), NOW).unwrap().unwrap();
    assert_eq!((event.kind, event.attempt), (Kind::WebhookDeliveryRetried, Some((2, 4))));
    assert_eq!((event.problem, event.http_status), (Some(DeliveryProblem::HttpStatus), Some(502)));
    assert_eq!((event.job_id.as_deref(), event.delivery), (Some("1c45ad17"), None));
    assert_eq!(event.message, "transient webhook delivery failure, retrying");
    for other in [
        "[cron:1c45ad17] something",
        "[cron:x",
        "[cron:x] transient webhook delivery failure, retrying a/b in 5s: x",
    ] {
        assert_eq!(parse_line(line("WARN", other, "null", "").as_bytes(), NOW), Ok(None), "{other}");
    }
}

#[test]
fn a_line_of_many_megabytes_is_stepped_over_without_being_held() {
    let folder = tempfile::tempdir().unwrap();
    let good = line("WARN", CRON, r#"{"jobId":"j"}"#, "cron: timer tick failed");
    let huge = format!("{{\"cron\":\"{}\"}}", "x".repeat(24 << 20));
    std::fs::write(folder.path().join("openclaw.log"), format!("{huge}\n{good}\n{good}")).unwrap();
    let (mut reader, mut from, mut rejects, mut events) = (Reader::default(), None, 0, 0);
    loop {
        let found =
            poll(&mut reader, (folder.path(), OsStr::new("openclaw.log")), from, UnixMs(0), NOW).unwrap();
        rejects += found.rejects.len();
        events += found.events.len();
        from = Some(found.to);
        if !found.more {
            break;
        }
    }
    assert_eq!((rejects, events), (1, 1), "the last line is not finished");
}
