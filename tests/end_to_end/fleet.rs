//! `report --prometheus`: what a real server tells of real daemons is what their ledgers tell.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions as File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use openclaw_usage::export::plan::{Moment, Scope, plan};
use openclaw_usage::ledger::{Ledger, OpenOptions};
use openclaw_usage::model::{EndpointState, UnixMs};
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::{ProcessState, Resource, SnapshotBuilder, otlp};
use prost::Message;
use serde_json::Value;

use crate::common::daemon::{PROGRAM, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::servers::{Prometheus, Version};

use super::until_stored;

/// Runs `report` with nothing in its environment.
pub(super) fn report(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", home).env("TZ", "UTC").arg("report").args(arguments);
    command.output().expect("run the binary")
}

/// The rows and totals of a report, without what counters cannot tell or can only estimate.
fn told(home: &Path, arguments: &[&str]) -> (BTreeMap<String, Value>, Value) {
    let output = report(home, &[arguments, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let common = |figures: &mut Value| {
        for name in ["unpriced_runs", "lower_bound_runs", "duration_ms", "last_run_ms"] {
            figures.as_object_mut().expect("figures").remove(name);
        }
        figures.take()
    };
    let rows = document["rows"].as_array_mut().expect("rows").iter_mut();
    let rows = rows.map(|row| (row["group"].to_string(), common(row))).collect();
    (rows, common(&mut document["totals"]))
}

#[test]
fn two_gateways_in_prometheus_2_are_their_ledgers() {
    two_gateways(Version::V2);
}

#[test]
fn two_gateways_in_prometheus_3_are_their_ledgers() {
    two_gateways(Version::V3);
}

fn two_gateways(version: Version) {
    let prometheus = Prometheus::start(version, &[]);
    let mut gateways: Vec<_> = [("home", 51), ("office", 52)]
        .into_iter()
        .map(|(name, seed)| {
            let sandbox = Sandbox::new();
            let mut simulation = Simulation::new(&sandbox.state_dir(), seed, now().plus(-60_000), false);
            simulation.pass(40_000);
            let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint(), "--gateway", name]);
            daemon.until_counted(simulation.truth());
            (name, sandbox, simulation, daemon)
        })
        .collect();
    for (_, _, simulation, daemon) in &mut gateways {
        simulation.pass(10_000);
        daemon.until_counted(simulation.truth());
    }
    let truth = gateways.iter().map(|(_, _, simulation, _)| simulation.truth()).reduce(|a, b| a + b);
    until_stored(&prometheus, truth.expect("two gateways"));
    let mut ended = Vec::new();
    for (name, sandbox, _, daemon) in gateways {
        // The last push carries all gauges too.
        daemon.terminate();
        ended.push((name, sandbox));
    }

    let url = format!("http://{}/", prometheus.address());
    let home = ended[0].1.path("");
    for by in ["gateway", "gateway,model,provider", "gateway,agent", "gateway,status", "gateway,day"] {
        let (fleet, totals) = told(&home, &["--prometheus", &url, "--since", "1h", "--by", by]);
        let mut expected = BTreeMap::new();
        for (name, sandbox) in &ended {
            let ledger = sandbox.ledger().display().to_string();
            let (rows, _) = told(&home, &["--ledger", &ledger, "--since", "1h", "--by", by]);
            assert!(rows.keys().all(|group| group.contains(name)), "{rows:?}");
            expected.extend(rows);
        }
        assert_eq!(fleet, expected, "by {by}");
        let sum = |path: &str| fleet.values().filter_map(|row| row.pointer(path)?.as_i64()).sum::<i64>();
        for path in ["/runs/total", "/runs/error", "/tokens/input", "/tokens/cache_read", "/cost_nano_usd"] {
            assert_eq!(Some(sum(path)), totals.pointer(path).and_then(Value::as_i64), "{path} by {by}");
        }
        assert!(sum("/runs/total") > 20 && sum("/cost_nano_usd") > 0, "{totals}");
    }
    // A state directory, its ledger, and the server.
    for (name, sandbox) in &ended {
        let dir = sandbox.state_dir().display().to_string();
        let ledger = sandbox.ledger().display().to_string();
        let ask = |from: &[&str]| told(&home, &[from, &["--since", "1h", "--by", "model,provider"]].concat());
        let fleet = ask(&["--prometheus", &url, "--gateway", name]);
        assert_eq!(fleet, ask(&["--ledger", &ledger]), "{name}");
        assert_eq!(fleet, ask(&["--state-dir", &dir]), "{name}");
    }
    every_format(&home, &url);
    what_cannot_be_told(&home, &url);
}

fn every_format(home: &Path, url: &str) {
    for (format, said) in [
        ("table", "total"),
        ("csv", "gateway,runs_total,"),
        ("markdown", "| gateway | runs |"),
        ("json", "\"schema\": \"openclaw-usage/report/1\""),
    ] {
        let arguments =
            ["--prometheus", url, "--by", "gateway", "--format", format, "--compare", "--sort", "last"];
        let output = report(home, &arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(said) && text.contains("office"), "{text}");
        assert_eq!(text.contains("interpolated between the bounds"), matches!(format, "table" | "markdown"));
    }
    let (one, _) = told(home, &["--prometheus", url, "--by", "gateway", "--top", "1", "--sort", "runs"]);
    assert_eq!(one.len(), 1);
    let output = report(home, &["--prometheus", url, "--by", "gateway,job", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let rows = document["rows"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["last_run_ms"].is_i64()), "{document}");
    assert!(rows.iter().any(|row| row["duration_ms"]["p95"].is_u64()), "{document}");
    assert!(rows.iter().all(|row| row["unpriced_runs"].is_null()), "{document}");
}

fn what_cannot_be_told(home: &Path, url: &str) {
    let nowhere = format!("{url}wrong");
    for (arguments, status, said) in [
        (&["--prometheus", url, "--runs"][..], 64, "a Prometheus knows no single runs; leave out --runs"),
        (&["--prometheus", url, "--ledger", "x"], 64, "leave out either"),
        (&["--prometheus", url, "--by", "model", "--sort", "last"], 64, "leave out --sort last"),
        (&["--prometheus", url, "--compat"], 64, "--compat"),
        (&["--prometheus", "localhost:9090"], 64, "--prometheus"),
        (&["--prometheus", "http://me:pw@h"], 64, "must not hold user and password"),
        (&["--prometheus", url, "--header-file", "/no/such/file"], 64, "cannot read /no/such/file"),
        (&["--prometheus", &nowhere], 1, "no query API at that path (HTTP 404)"),
        (&["--prometheus", "http://127.0.0.1:1"], 1, "connection to 127.0.0.1:1 refused; check that it runs"),
        (
            &["--prometheus", url, "--service-name", "other"],
            1,
            "no series openclaw_tokens_total of job=\"other\" in the window; is the daemon pushing there? There are \
             series of \"openclaw-usage\": name one with --service-name",
        ),
        (
            &["--prometheus", url, "--since", "2026-01-01", "--until", "2026-01-02"],
            1,
            "in the window; is the daemon pushing there?",
        ),
    ] {
        let output = report(home, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("me:pw"), "{stderr}");
    }
}

/// Milliseconds of half an hour, at which every time zone's midnight lies.
const STEP_MS: i64 = 1_800_000;

#[test]
fn days_in_prometheus_2_are_those_of_the_ledger() {
    days(Version::V2);
}

#[test]
fn days_in_prometheus_3_are_those_of_the_ledger() {
    days(Version::V3);
}

/// Three days of a gateway and its pushes, told to an empty server in their order.
fn days(version: Version) {
    let prometheus = Prometheus::start(version, &[]);
    let sandbox = Sandbox::new();
    let runs = sandbox.state_dir().join("cron/runs");
    fs::create_dir_all(&runs).expect("a directory of run logs");
    let end = UnixMs(now().0 / STEP_MS * STEP_MS);
    let begin = end.plus(-150 * STEP_MS);
    let options = OpenOptions { gateway: Some("office".to_owned()), max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&sandbox.ledger(), &options, begin).expect("a new ledger").ledger;
    let (mut collector, mut builder) =
        (Collector::new(&sandbox.state_dir(), None), SnapshotBuilder::default());
    let resource = Resource {
        service_name: "openclaw-usage".to_owned(),
        service_namespace: None,
        service_instance_id: "office".to_owned(),
    };
    let mut state = EndpointState {
        name: "test".to_owned(),
        registered_seq: 0,
        introduced_seq: 0,
        pending_zero: None,
        last_stamp: UnixMs(0),
    };
    for step in 0..=150 {
        let at = begin.plus(step * STEP_MS);
        if step % 5 == 1 {
            finished(&runs.join("daily.jsonl"), at.plus(-60_000), step, "m1");
        }
        if step % 7 == 3 {
            finished(&runs.join("hourly.jsonl"), at.plus(-90_000), step, "m2");
        }
        collector.sweep(&mut ledger, at).expect("a sweep");
        let totals = ledger.totals();
        let snapshot = builder.build(&totals.lock().expect("totals"), &ProcessState::default(), at);
        let moment = Moment { now: at, stamp: at, interval_ms: 15_000 };
        let push = plan(&snapshot, &state, moment, Scope::Full);
        if let Some(new) = &push.introduction {
            let zeros =
                otlp::zero_request(new.zeros.iter().copied(), &resource, |point| new.zero_stamp(point));
            stored(&prometheus, &zeros.encode_to_vec());
            state = new.after.clone();
        }
        let values = otlp::request(push.values.iter().copied(), &resource, at, at);
        stored(&prometheus, &values.encode_to_vec());
    }
    drop(ledger);

    let (url, ledger) = (format!("http://{}", prometheus.address()), sandbox.ledger().display().to_string());
    let home = sandbox.path("");
    let [since, until] = [begin.plus(-STEP_MS), end].map(|at| at.0.to_string());
    for (by, zone) in [
        ("day", "UTC"),
        ("day,model", "Asia/Kolkata"),
        ("day,job", "America/New_York"),
        ("week,status", "Europe/Berlin"),
        ("month", "Pacific/Chatham"),
    ] {
        let window = ["--since", &since, "--until", &until, "--tz", zone, "--by", by];
        let (fleet, totals) = told(&home, &[&["--prometheus", &url], &window[..]].concat());
        let expected = told(&home, &[&["--ledger", &ledger], &window[..]].concat());
        assert_eq!((&fleet, &totals), (&expected.0, &expected.1), "by {by}");
        assert!(fleet.len() > 3 || by != "day", "{fleet:?}");
        assert_eq!(totals["runs"]["total"], 52, "{totals}");
    }
}

fn stored(prometheus: &Prometheus, body: &[u8]) {
    let response = prometheus.post_otlp(body);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Appends the record of a run of ten seconds.
fn finished(log: &Path, started: UnixMs, n: i64, model: &str) {
    let job = log.file_stem().and_then(|stem| stem.to_str()).expect("a job");
    let (started, ended) = (started.0, started.0 + 10_000);
    let line = format!(
        r#"{{"ts":{ended},"jobId":"{job}","action":"finished","status":"ok","runAtMs":{started},"durationMs":10000,"nextRunAtMs":{},"model":"{model}","provider":"p","usage":{{"input_tokens":{},"output_tokens":{n},"total_tokens":{}}}}}"#,
        ended + 3_600_000,
        100 + n,
        100 + 2 * n,
    );
    let mut file = File::new().create(true).append(true).open(log).expect("a run log");
    writeln!(file, "{line}").expect("a line");
}
