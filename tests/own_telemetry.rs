//! The daemon's own spans and logs at a real Collector: when they are asked for, and not otherwise.

use std::fs;

use crate::common::daemon::Sandbox;
use crate::common::fixtures::Fixture;
use crate::common::real_time::until;
use crate::common::servers::Collector;

/// Every name of a span and every body of a log record in what the Collector got.
fn texts(received: &[serde_json::Value], what: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<&serde_json::Value> = received.iter().collect();
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(text) =
                    map.get(what).and_then(|text| text.as_str().or(text["stringValue"].as_str()))
                {
                    found.push(text.to_owned());
                }
                open.extend(map.values());
            }
            serde_json::Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    found
}

#[test]
fn spans_and_logs_go_where_the_environment_says_and_carry_no_content() {
    let collector = Collector::start();
    let sandbox = Sandbox::new();
    let fixture = Fixture::unpack("2026.5.28");
    fs::rename(fixture.state_dir(), sandbox.state_dir()).expect("a state directory");
    let mut command = sandbox.command(&[]);
    for signal in ["traces", "logs"] {
        let variable = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.to_uppercase());
        command.env(variable, format!("{}/v1/{signal}", collector.http_endpoint()));
    }
    sandbox.serve_command(&mut command).terminate();
    until("a span and a log record", || {
        let received = collector.received();
        let spans = texts(&received, "name").iter().any(|name| name == "sweep");
        let logs = texts(&received, "body").iter().any(|body| body == "serving /metrics");
        (spans && logs).then_some(())
    });
    let everything = serde_json::Value::from(collector.received()).to_string();
    for secret in ["s3cr3t", "Mock report", "mock upstream exploded"] {
        assert!(!everything.contains(secret), "{secret} was sent");
    }
}

#[test]
fn nothing_of_the_kind_is_sent_unless_asked_for() {
    let collector = Collector::start();
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&[]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http_endpoint());
    // Metrics do go there; when they have arrived, spans and logs would have as well.
    let daemon = sandbox.serve_command(&mut command);
    until("metrics", || (!collector.received().is_empty()).then_some(()));
    daemon.terminate();
    let received = serde_json::Value::from(collector.received()).to_string();
    assert!(received.contains("resourceMetrics"), "{received}");
    assert!(!received.contains("resourceSpans") && !received.contains("resourceLogs"));
}
