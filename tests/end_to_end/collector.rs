//! Metrics over gRPC and events over both protocols, into the real Collector.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::samples::Count;
use crate::common::servers::Collector;

#[test]
fn metrics_arrive_by_grpc() {
    let collector = Collector::start();
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 91, now().plus(-600_000), true);
    simulation.pass(5_000);
    let file = sandbox.path("config.toml").display().to_string();
    let endpoint = collector.grpc_endpoint();
    let config = format!("[[otlp]]\nendpoint = \"{endpoint}\"\nname = \"collector\"\nprotocol = \"grpc\"\n");
    fs::write(&file, config).unwrap();
    let daemon = sandbox.serve(&["--config", &file, "--gateway", "office"]);
    for _ in 0..3 {
        until("all runs at the Collector", || (received(&collector) == simulation.truth()).then_some(()));
        simulation.pass(5_000);
    }
    daemon.terminate();
    until("the last push at the Collector", || (received(&collector) == simulation.truth()).then_some(()));

    let requests = collector.received();
    let resources = requests.iter().map(|request| &request["resourceMetrics"][0]["resource"]);
    for resource in resources {
        let expected = [("service.name", "openclaw-usage"), ("service.instance.id", "office")];
        assert_eq!(attributes(resource), expected.map(|(k, v)| (k.into(), v.into())).into());
    }
    let metrics: Vec<&Value> = requests.iter().flat_map(metrics).collect();
    let named = |name: &str| metrics.iter().copied().find(|metric| metric["name"] == name).expect("a metric");
    let tokens = named("openclaw.tokens");
    assert_eq!((&tokens["unit"], &tokens["sum"]["isMonotonic"]), (&"1".into(), &true.into()));
    assert_eq!(tokens["sum"]["aggregationTemporality"], 2, "cumulative");
    assert_eq!(named("openclaw.run.duration_ms")["unit"], "ms");
}

#[test]
fn events_arrive_by_http_and_grpc() {
    let collector = Collector::start();
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 92, now().plus(-600_000), true);
    simulation.pass(5_000);
    let file = sandbox.path("config.toml").display().to_string();
    let (grpc, http) = (collector.grpc_endpoint(), collector.http_endpoint());
    let config = format!(
        "[[events.otlp]]\nendpoint = \"{grpc}\"\nname = \"by-grpc\"\nprotocol = \"grpc\"\n\
         [[events.otlp]]\nendpoint = \"{http}\"\nname = \"by-http\"\n\
         [[events.otlp]]\nendpoint = \"http://127.0.0.1:9\"\nname = \"nobody\"\n"
    );
    fs::write(&file, config).unwrap();
    let daemon = sandbox.serve(&["--config", &file, "--gateway", "office"]);
    daemon.until_counted(simulation.truth());
    let runs = simulation.truth().runs;
    until("each event twice at the Collector", || {
        (events(&collector).len() as u64 >= 2 * runs).then_some(())
    });
    let kept = until("what both have is kept for the third alone", || {
        let samples = daemon.scrape();
        let delivered =
            |sink| samples.sum("openclaw_usage_events_delivered_total", &[("openclaw_sink", sink)]);
        let both = ["by-grpc", "by-http"].map(delivered) == [runs as f64; 2];
        both.then(|| samples.sum("openclaw_usage_events_kept", &[]))
    });
    assert_eq!(kept, runs as f64);
    daemon.terminate();
    let records = events(&collector);
    assert_eq!(records.len() as u64, 2 * runs);
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for record in records {
        let attributes: BTreeMap<&str, &Value> = record["attributes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pair| (pair["key"].as_str().expect("a key"), &pair["value"]))
            .collect();
        assert_eq!(record["eventName"], "openclaw.cron.run");
        assert_eq!(attributes["event.name"]["stringValue"], "openclaw.cron.run");
        assert_eq!(attributes["openclaw.gateway"]["stringValue"], "office");
        let id = attributes["openclaw.event.id"]["stringValue"].as_str().expect("an id").to_owned();
        if let Some(other) = known.insert(id, record.clone()) {
            assert_eq!(other, record, "the same by either way");
        }
    }
    assert_eq!(known.len() as u64, runs);
    let resource = &collector.received()[0]["resourceLogs"][0]["resource"];
    let expected = [("service.name", "openclaw-usage"), ("service.instance.id", "office")];
    assert_eq!(attributes(resource), expected.map(|(k, v)| (k.into(), v.into())).into());
}

/// All log records that it has.
fn events(collector: &Collector) -> Vec<Value> {
    let requests = collector.received();
    let records = requests.iter().flat_map(|request| {
        request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().into_iter().flatten()
    });
    records.cloned().collect()
}

/// The newest value of every series, summed.
fn received(collector: &Collector) -> Count {
    let mut newest: BTreeMap<(String, BTreeMap<String, String>), u64> = BTreeMap::new();
    for request in collector.received() {
        for metric in metrics(&request) {
            let name = metric["name"].as_str().unwrap();
            for point in metric["sum"]["dataPoints"].as_array().into_iter().flatten() {
                // Only money and seconds have a fraction.
                let Some(value) = point["asInt"].as_str().and_then(|value| value.parse().ok()) else {
                    let has_fraction = name.ends_with(".usd") || name == "process.cpu.time";
                    assert!(has_fraction, "{name} is no whole number: {point}");
                    continue;
                };
                let known = newest.insert((name.to_owned(), attributes(point)), value).unwrap_or(0);
                assert!(known <= value, "{name} fell from {known} to {value}");
            }
        }
    }
    let sum = |name: &str, token: Option<&str>| {
        let fits = |(known, attributes): &(String, BTreeMap<String, String>)| {
            known == name && token.is_none_or(|token| attributes["openclaw.token"] == token)
        };
        newest.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    };
    Count {
        runs: sum("openclaw.cron.runs", None),
        input: sum("openclaw.tokens", Some("input")),
        output: sum("openclaw.tokens", Some("output")),
    }
}

fn metrics(request: &Value) -> impl Iterator<Item = &Value> {
    request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().into_iter().flatten()
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let pairs = of["attributes"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    pairs.map(|pair| (text(&pair["key"]), text(&pair["value"]["stringValue"]))).collect()
}
