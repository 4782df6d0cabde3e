//! What happened as lines and as records: whole, safe, and the same every time.

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Value, json};

use super::*;
use crate::model::{Cost, DeliveryProblem, NanoUsd, StoredEvent, UsageProvenance};
use crate::telemetry::Resource;

const AT: UnixMs = UnixMs(1_771_300_800_123);

fn run() -> FinishedRun<'static> {
    FinishedRun {
        gateway: "",
        job_id: "5b8f",
        job_name: "daily digest",
        agent: "main",
        provider: "anthropic",
        model: "claude-opus-4-6",
        at: RunAt::Started(AT.plus(-5_000)),
        recorded_at: AT,
        status: Status::Ok,
        reason: Reason::None,
        delivery: Delivery::Delivered,
        duration_ms: Some(4_200),
        usage: Usage { input: Some(904), output: Some(60), cache_read: Some(4_096), cache_write: Some(0) },
        provenance: UsageProvenance::Transcript,
        cost: Cost { usd: NanoUsd(4_840_800), provenance: CostProvenance::Priced },
    }
}

fn gateway_event(kind: GatewayEventKind, message: &str) -> GatewayEvent {
    GatewayEvent {
        at: AT,
        kind,
        severity: Severity::Warn,
        job_id: Some("5b8f".into()),
        job_name: None,
        problem: None,
        http_status: None,
        attempt: None,
        delivery: None,
        message: message.into(),
        mark: 0xfeed,
    }
}

fn parsed(happening: Happening<'_>) -> Value {
    serde_json::from_str(&line(happening, "office")).expect("JSON")
}

fn record_of(content: String) -> LogRecord {
    let resource = Resource {
        service_name: "openclaw-usage".into(),
        service_namespace: None,
        service_instance_id: "office".into(),
    };
    let event = StoredEvent { seq: 1, stored: AT.plus(9_000), content };
    let mut request = logs_request([&event], &resource);
    request.resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0)
}

#[test]
fn a_run_is_told_whole() {
    let told = line(Happening::Run(&run()), "office");
    assert!(
        told.starts_with(r#"{"timestamp":"2026-02-17T04:00:00.123Z","severity":"INFO","message":"scheduled run ok, 4200 ms, 5060 tokens, 0.0048408 USD ["#),
        "{told}"
    );
    let mut value: Value = serde_json::from_str(&told).unwrap();
    let id = value["openclaw.event.id"].as_str().unwrap().to_owned();
    assert!(id.len() == 16 && value["message"].as_str().unwrap().ends_with(&format!("[{id}]")));
    for key in ["timestamp", "severity", "message", "openclaw.event.id"] {
        value.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(
        value,
        json!({
            "event.name": "openclaw.cron.run",
            "openclaw.gateway": "office",
            "openclaw.job.id": "5b8f",
            "openclaw.job.name": "daily digest",
            "openclaw.agent": "main",
            "openclaw.provider": "anthropic",
            "openclaw.model": "claude-opus-4-6",
            "openclaw.run.at_ms": 1_771_300_795_123_u64,
            "openclaw.status": "ok",
            "openclaw.reason": "none",
            "openclaw.delivery": "delivered",
            "openclaw.run.duration_ms": 4200,
            "openclaw.tokens.input": 904,
            "openclaw.tokens.output": 60,
            "openclaw.tokens.cache_read": 4096,
            "openclaw.tokens.cache_write": 0,
            "openclaw.provenance": "transcript",
            "openclaw.cost.usd": "0.0048408",
            "openclaw.cost.provenance": "priced",
        })
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let bare = FinishedRun {
        job_name: "",
        agent: "",
        provider: "",
        model: "",
        delivery: Delivery::Unknown,
        duration_ms: None,
        usage: Usage::default(),
        provenance: UsageProvenance::None,
        cost: Cost::default(),
        status: Status::Error,
        reason: Reason::Timeout,
        ..run()
    };
    let value = parsed(Happening::Run(&bare));
    assert_eq!((&value["severity"], &value["openclaw.reason"]), (&json!("ERROR"), &json!("timeout")));
    assert!(value["message"].as_str().unwrap().starts_with("scheduled run error (timeout) ["));
    let missing =
        ["job.name", "agent", "provider", "model", "delivery", "run.duration_ms", "tokens.input", "cost.usd"];
    for key in missing {
        assert_eq!(value.get(format!("openclaw.{key}")), None, "{key}");
    }
}

#[test]
fn severities_of_runs() {
    for (status, reason, severity) in [
        (Status::Ok, Reason::None, "INFO"),
        (Status::Skipped, Reason::None, "INFO"),
        (Status::Ok, Reason::DeliveryFailed, "WARN"),
        (Status::Unrecorded, Reason::None, "WARN"),
        (Status::Unknown, Reason::None, "WARN"),
        (Status::Error, Reason::None, "ERROR"),
    ] {
        let value = parsed(Happening::Run(&FinishedRun { status, reason, ..run() }));
        assert_eq!(value["severity"], severity, "{status:?} {reason:?}");
    }
}

#[test]
fn no_two_runs_of_one_moment_have_the_same_message() {
    let message = |run: FinishedRun<'_>| parsed(Happening::Run(&run))["message"].to_string();
    let first = message(run());
    assert_eq!(first, message(run()), "the same run");
    let other_name = FinishedRun { job_name: "another", ..run() };
    assert_eq!(first, message(other_name), "a name is no part of it");
    for other in [
        FinishedRun { job_id: "5b8e", ..run() },
        FinishedRun { at: RunAt::Started(AT.plus(-5_001)), ..run() },
        FinishedRun { at: RunAt::Logged(AT.plus(-5_000)), ..run() },
    ] {
        assert_ne!(first, message(other));
    }
}

#[test]
fn hostile_names_make_one_safe_line() {
    let long = "x".repeat(10_000);
    let hostile = [
        "line\nbreak\r\n\u{85}\u{2028}\u{2029}",
        "\u{1b}[31mred\u{1b}[0m \u{9b}31m \u{7}",
        r#"quote " and \ and {"severity":"ERROR"}"#,
        "right-to-left \u{202e}gpj.exe\u{feff}",
        "emoji 🦞 漢字",
        "\0",
        "webhook delivery failed",
        long.as_str(),
    ];
    for name in hostile {
        let hostile = FinishedRun { job_name: name, job_id: name, agent: name, model: name, ..run() };
        let told = line(Happening::Run(&hostile), "office");
        let value: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_eq!(value["severity"], "INFO");
        let cut: String = name.chars().take(200).collect();
        assert_eq!(value["openclaw.job.name"], cut, "what was there can be read back");
        assert!(!value["message"].as_str().unwrap().contains("webhook"), "no name is in the message");
        let unsafe_char =
            told.chars().find(|c| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{feff}'));
        assert_eq!(unsafe_char, None, "{told}");
        assert!(told.len() < 4_096 * 2, "{} bytes", told.len());
        let record = record_of(told);
        let name = record.attributes.iter().find(|pair| pair.key == "openclaw.job.name").unwrap();
        let sent = name.value.as_ref().unwrap().value.clone();
        assert_eq!(sent, Some(any_value::Value::StringValue(cut)));
    }
}

#[test]
fn what_the_gateway_says_keeps_its_words() {
    let failed = GatewayEvent {
        problem: Some(DeliveryProblem::HttpStatus),
        http_status: Some(500),
        attempt: Some((2, 4)),
        delivery: None,
        ..gateway_event(GatewayEventKind::WebhookDeliveryFailed, "cron: webhook delivery failed")
    };
    let value = parsed(Happening::Gateway(&failed));
    assert_eq!(value["message"], "cron: webhook delivery failed [000000000000feed]");
    assert_eq!(value["event.name"], "openclaw.cron.webhook_delivery_failed");
    assert_eq!(value["severity"], "WARN");
    assert_eq!(value["openclaw.reason"], "http_status");
    assert_eq!(value["http.response.status_code"], 500);
    assert_eq!((&value["openclaw.attempt"], &value["openclaw.attempts"]), (&json!(2), &json!(4)));
    // The query that operators have must find it whatever a version says.
    let reworded = gateway_event(GatewayEventKind::WebhookDeliveryFailed, "cron: webhook is gone");
    let value = parsed(Happening::Gateway(&reworded));
    assert!(value["message"].as_str().unwrap().contains("webhook delivery failed"));
    let other = gateway_event(GatewayEventKind::Other, "cron: something else");
    assert_eq!(parsed(Happening::Gateway(&other))["message"], "cron: something else [000000000000feed]");
}

#[test]
fn a_record_says_what_the_line_says() {
    let record = record_of(line(Happening::Run(&run()), "office"));
    assert_eq!(record.time_unix_nano, AT.as_unix_nano());
    assert_eq!(record.observed_time_unix_nano, AT.plus(9_000).as_unix_nano());
    assert_eq!((record.severity_number, record.severity_text.as_str()), (9, "INFO"));
    assert_eq!(record.event_name, "openclaw.cron.run");
    let get = |key: &str| {
        let found = record.attributes.iter().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.as_ref()).and_then(|value| value.value.clone())
    };
    assert_eq!(get("event.name"), Some(any_value::Value::StringValue("openclaw.cron.run".into())));
    assert_eq!(get("openclaw.tokens.input"), Some(any_value::Value::IntValue(904)));
    assert_eq!(get("message"), None, "it is the body");
    let Some(any_value::Value::StringValue(body)) = record.body.unwrap().value else { panic!("a text") };
    assert!(body.starts_with("scheduled run ok"));
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = ALL.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), ALL.len());
    assert!(names.iter().all(|name| name.starts_with("openclaw.cron.")));
}
