//! Servers that hold what every panel needs: usage, failures, a restart, and what OpenClaw's own plugin sends.

use std::fs;
use std::io::Write;
use std::path::Path;

use openclaw_usage::demo::{Gateway, Generation, Options, Said};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::Value;

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::whole;
use crate::common::servers::{Loki, Prometheus, Version};

/// A server that scrapes then knows when a counter began, at 0, and so what it held before the first scrape.
const FROM_ZERO: &str = "--enable-feature=created-timestamp-zero-ingestion";

/// A gateway, its exporter, and who was told.
pub struct World {
    pub sandbox: Sandbox,
    pub simulation: Simulation,
    /// Prometheus 3 and 2.47, pushed to; and one that scrapes.
    pub servers: [(&'static str, Prometheus); 3],
    pub loki: Loki,
    daemon: Option<Daemon>,
    started_ms: u64,
    plugin: u32,
}

impl World {
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        let mut simulation = newest(&sandbox.state_dir());
        simulation.pass(60_000);
        let scrape = format!(
            "scrape_configs: [{{job_name: agents, scrape_interval: 1s, file_sd_configs: [{{files: ['{}'], refresh_interval: 1s}}]}}]",
            sandbox.path("targets.json").display()
        );
        let servers = [
            ("pushed to 3", Prometheus::start(Version::V3, &[])),
            ("pushed to 2.47", Prometheus::start(Version::V2, &[])),
            ("scraped by 3", Prometheus::start_with_config(Version::V3, &scrape, &[FROM_ZERO])),
        ];
        let mut world = Self {
            sandbox,
            simulation,
            servers,
            loki: Loki::start(),
            daemon: None,
            started_ms: now_ms() - 1_000,
            plugin: 0,
        };
        world.set_prices(1);
        let budget = "[[budget]]\nname = \"all of a day\"\nusd = 20\nperiod = \"day\"\ntimezone = \"UTC\"\n";
        fs::write(world.sandbox.path("own.toml"), budget).expect("a configuration");
        world.start();
        world.settle();
        world
    }

    /// The daemon, with an endpoint and a sink that nobody answers at beside those that are there.
    fn start(&mut self) {
        let endpoints = [self.servers[0].1.otlp_endpoint(), self.servers[1].1.otlp_endpoint()];
        let events = self.loki.otlp_endpoint();
        let log = self.simulation.gateway.log_file();
        fs::create_dir_all(log.parent().expect("a folder")).expect("a folder of logs");
        let mut command = self.sandbox.command(&[
            "--config",
            "own.toml",
            "--gateway",
            "home",
            "--events",
            &events,
            "--events",
            "http://127.0.0.1:1",
            "--otlp-endpoint",
            &endpoints[0],
            "--otlp-endpoint",
            &endpoints[1],
            "--otlp-endpoint",
            "http://127.0.0.1:1",
        ]);
        let daemon = self.sandbox.serve_command(command.env("OPENCLAW_USAGE_GATEWAY_LOG", log));
        // Its port changes, its name does not.
        let targets =
            format!(r#"[{{"targets": ["{}"], "labels": {{"instance": "home"}}}}]"#, daemon.address());
        let new = self.sandbox.path("targets.new");
        fs::write(&new, targets).expect("a target");
        fs::rename(new, self.sandbox.path("targets.json")).expect("a target in place");
        self.daemon = Some(daemon);
    }

    /// Another process on the same ledger.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
        self.settle();
    }

    /// The last push carries everything.
    pub fn stop(&mut self) {
        self.daemon.take().expect("a daemon").terminate();
    }

    /// Waits until every server has as many runs and dollars as the daemon shows.
    pub fn settle(&self) {
        let daemon = self.daemon.as_ref().expect("a daemon");
        until("all runs of the gateway", || {
            let runs = daemon.scrape().sum("openclaw_cron_runs_total", &[]);
            (whole(runs) >= self.simulation.truth().runs).then_some(())
        });
        for (name, server) in &self.servers {
            for family in ["openclaw_cron_runs_total", "openclaw_cost_usd_total"] {
                until(&format!("all of {family} in the Prometheus that is {name}"), || {
                    let stored = server.query(&format!("sum({family})"), Some(now_ms()));
                    let shown = daemon.scrape().sum(family, &[]);
                    stored.first().is_some_and(|(_, sum)| (*sum - shown).abs() < 5e-10).then_some(())
                });
            }
        }
    }

    /// Some more of everything.
    pub fn go_on(&mut self) {
        self.simulation.pass(1_500);
        let job = self.simulation.gateway.jobs()[0].id.clone();
        self.simulation.gateway.log(Said::WebhookFailed, &job, now()).expect("a line of the log");
        self.write_session();
        self.plugin += 1;
        let request = plugin(self.plugin, self.started_ms).encode_to_vec();
        for (name, server) in &self.servers {
            let response = server.post_otlp(&request);
            assert_eq!(response.status, 200, "{name}: {}", response.text());
        }
    }

    /// One model has no price, and all others one that many times as high.
    pub fn set_prices(&self, times: u64) {
        let file = self.sandbox.state_dir().join("openclaw.json");
        let mut config: Value =
            serde_json::from_slice(&fs::read(&file).expect("a configuration")).expect("JSON");
        let models = config["models"]["providers"]["sim"]["models"].as_array_mut().expect("models");
        for model in models {
            if model["id"] == "sim-ok" {
                model.as_object_mut().expect("a model").remove("cost");
            } else if times > 1 && model["cost"]["input"].is_number() {
                model["cost"]["input"] = times.into();
            }
        }
        fs::write(&file, config.to_string()).expect("write prices");
    }

    /// A run whose session tells how much of its model's context it filled.
    fn write_session(&self) {
        let (at, session) = (now().0, format!("told-{}", self.plugin));
        // Every second one buys nothing.
        let status = if self.plugin.is_multiple_of(2) { "ok" } else { "error" };
        let sessions = self.sandbox.state_dir().join("agents/main/sessions");
        fs::create_dir_all(&sessions).expect("a folder of sessions");
        let lines = [
            format!(r#"{{"type":"session","id":"{session}"}}"#),
            format!(
                r#"{{"type":"message","message":{{"role":"user","timestamp":{},"content":"[cron:told told] x"}}}}"#,
                at + 1
            ),
            format!(
                r#"{{"type":"message","message":{{"role":"assistant","timestamp":{},"content":"x","provider":"sim","model":"sim-tools","usage":{{"input":900,"output":9}}}}}}"#,
                at + 2
            ),
        ];
        fs::write(sessions.join(format!("{session}.jsonl")), lines.join("\n") + "\n").expect("a session");
        let record = format!(
            r#"{{"ts":{},"jobId":"told","action":"finished","status":"{status}","runAtMs":{at},"durationMs":9,"sessionId":"{session}","sessionKey":"agent:main:cron:told:run:{session}","provider":"sim","model":"sim-tools"}}"#,
            at + 9
        );
        self.append("told.jsonl", &(record + "\n"));
    }

    fn append(&self, name: &str, text: &str) {
        let runs = self.sandbox.state_dir().join("cron/runs");
        fs::create_dir_all(&runs).expect("a folder of run logs");
        let mut log = fs::OpenOptions::new();
        let mut log = log.create(true).append(true).open(runs.join(name)).expect("a run log");
        log.write_all(text.as_bytes()).expect("a line");
    }

    /// A line that is none, and a file that holds other lines than were read before.
    pub fn break_a_run_log(&self, content: &str) {
        let runs = self.sandbox.state_dir().join("cron/runs");
        fs::create_dir_all(&runs).expect("a folder of run logs");
        fs::write(runs.join("gap.jsonl"), content).expect("a run log");
        self.append("reject.jsonl", "{\"action\":\"finished\",\"ts\":nonsense}\n");
    }
}

/// A gateway of the newest version, whose records tell most: cache tokens, contexts, webhooks.
fn newest(dir: &Path) -> Simulation {
    let start = now().plus(-60_000);
    let options = Options { seed: 91, start, generation: Generation::V2026_9_6, ..Options::default() };
    Simulation { gateway: Gateway::new(dir, options).expect("a simulated gateway"), now: start }
}

/// A line of a run log.
pub fn record(at: i64, input: u64) -> String {
    format!(
        "{{\"ts\":{},\"jobId\":\"gap\",\"action\":\"finished\",\"status\":\"ok\",\"runAtMs\":{at},\"durationMs\":9,\
         \"model\":\"m\",\"provider\":\"mock\",\"usage\":{{\"input_tokens\":{input},\"output_tokens\":1}}}}\n",
        at + 9
    )
}

/// What OpenClaw's plugin `diagnostics-otel` sends, as far as dashboards show it; its tokens are those of the same runs, so
/// whoever added both up would count twice.
fn plugin(times: u32, started_ms: u64) -> ExportMetricsServiceRequest {
    let grown = f64::from(times);
    let sums = [
        ("openclaw.tokens", ("openclaw.token", "input"), 1e6),
        ("openclaw.message.processed", ("openclaw.outcome", "completed"), 2.0),
        ("openclaw.session.state", ("openclaw.state", "processing"), 3.0),
    ];
    let histograms = [("openclaw.message.duration_ms", "ms"), ("openclaw.queue.depth", "")];
    let (start_time_unix_nano, time_unix_nano) = (started_ms * 1_000_000, now_ms() * 1_000_000);
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let sums = sums.map(|(name, (key, value), step)| {
        let point = NumberDataPoint {
            attributes: vec![text(key, value)],
            start_time_unix_nano,
            time_unix_nano,
            value: Some(number_data_point::Value::AsDouble(step * grown)),
            ..NumberDataPoint::default()
        };
        let sum = Sum { data_points: vec![point], aggregation_temporality, is_monotonic: true };
        Metric {
            name: name.into(),
            unit: "1".into(),
            data: Some(metric::Data::Sum(sum)),
            ..Metric::default()
        }
    });
    let histograms = histograms.map(|(name, unit)| {
        let count = u64::from(times);
        let point = HistogramDataPoint {
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum: Some(40.0 * grown),
            explicit_bounds: vec![10.0, 100.0],
            bucket_counts: vec![0, count, 0],
            ..HistogramDataPoint::default()
        };
        let data = Histogram { data_points: vec![point], aggregation_temporality };
        Metric {
            name: name.into(),
            unit: unit.into(),
            data: Some(metric::Data::Histogram(data)),
            ..Metric::default()
        }
    });
    let metrics = sums.into_iter().chain(histograms).collect();
    let resource = Resource { attributes: vec![text("service.name", "openclaw")], ..Resource::default() };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}
