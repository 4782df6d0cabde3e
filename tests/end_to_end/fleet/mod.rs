//! `report --prometheus`: what a real server tells of real daemons is what their ledgers tell.

mod days;
mod guarded;
#[cfg(feature = "fleet")]
mod others;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::daemon::{Daemon, PROGRAM, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::servers::{Fleet, Prometheus, Version};

use super::until_told;

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
    two_gateways(&Fleet::prometheus(Version::V2));
}

#[test]
fn two_gateways_in_prometheus_3_are_their_ledgers() {
    two_gateways(&Fleet::prometheus(Version::V3));
}

/// `serve` with that name, pushing there.
pub(super) fn pushing(sandbox: &Sandbox, fleet: &Fleet, name: &str) -> Daemon {
    sandbox.serve_command(sandbox.command(&["--gateway", name]).envs(fleet.environment()))
}

fn two_gateways(server: &Fleet) {
    let mut gateways: Vec<_> = [("home", 51), ("office", 52)]
        .into_iter()
        .map(|(name, seed)| {
            let sandbox = Sandbox::new();
            let mut simulation = Simulation::new(&sandbox.state_dir(), seed, now().plus(-60_000), false);
            simulation.pass(40_000);
            let daemon = pushing(&sandbox, server, name);
            daemon.until_counted(simulation.truth());
            (name, sandbox, simulation, daemon)
        })
        .collect();
    for (_, _, simulation, daemon) in &mut gateways {
        simulation.pass(10_000);
        daemon.until_counted(simulation.truth());
    }
    let truth = gateways.iter().map(|(_, _, simulation, _)| simulation.truth()).reduce(|a, b| a + b);
    until_told(server, truth.expect("two gateways"));
    let mut ended = Vec::new();
    for (name, sandbox, _, daemon) in gateways {
        // The last push carries all gauges too.
        daemon.terminate();
        ended.push((name, sandbox));
    }
    server.settle();

    let flags = server.flags();
    let asked: Vec<&str> = flags.iter().map(String::as_str).collect();
    let home = ended[0].1.path("");
    for by in
        ["gateway", "gateway,job", "gateway,model,provider", "gateway,agent", "gateway,status", "gateway,day"]
    {
        let (fleet, totals) = told(&home, &[&asked[..], &["--since", "1h", "--by", by]].concat());
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
        let fleet = ask(&[&asked[..], &["--gateway", name]].concat());
        assert_eq!(fleet, ask(&["--ledger", &ledger]), "{name}");
        assert_eq!(fleet, ask(&["--state-dir", &dir]), "{name}");
    }
    every_format(&home, &asked);
    what_cannot_be_told(&home, &asked);
}

fn every_format(home: &Path, server: &[&str]) {
    for (format, said) in [
        ("table", "total"),
        ("csv", "gateway,runs_total,"),
        ("markdown", "| gateway | runs |"),
        ("json", "\"schema\": \"openclaw-usage/report/1\""),
    ] {
        let arguments = ["--by", "gateway", "--format", format, "--compare", "--sort", "last"];
        let output = report(home, &[server, &arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(said) && text.contains("office"), "{text}");
        assert_eq!(text.contains("interpolated between the bounds"), matches!(format, "table" | "markdown"));
    }
    let (one, _) = told(home, &[server, &["--by", "gateway", "--top", "1", "--sort", "runs"]].concat());
    assert_eq!(one.len(), 1);
    let output = report(home, &[server, &["--by", "gateway,job", "--json"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let rows = document["rows"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["last_run_ms"].is_i64()), "{document}");
    assert!(rows.iter().any(|row| row["duration_ms"]["p95"].is_u64()), "{document}");
    assert!(rows.iter().all(|row| row["unpriced_runs"].is_null()), "{document}");
}

fn what_cannot_be_told(home: &Path, server: &[&str]) {
    let ["--prometheus", url, rest @ ..] = server else { panic!("{server:?}") };
    let (nowhere, nobody) = (format!("{url}/wrong"), ["--prometheus", "http://127.0.0.1:1"]);
    let nowhere = [&["--prometheus", &nowhere][..], rest].concat();
    for (server, arguments, status, said) in [
        (server, &["--runs"][..], 64, "a Prometheus knows no single runs; leave out --runs"),
        (server, &["--ledger", "x"], 64, "leave out either"),
        (server, &["--by", "model", "--sort", "last"], 64, "leave out --sort last"),
        (server, &["--compat"], 64, "--compat"),
        (&["--prometheus", "localhost:9090"], &[], 64, "--prometheus"),
        (&["--prometheus", "http://me:pw@h"], &[], 64, "must not hold user and password"),
        (&nobody, &["--header-file", "/no/such/file"], 64, "cannot read /no/such/file"),
        (&nowhere, &[], 1, "there is no query API at that path (HTTP 40"),
        (&nobody, &[], 1, "connection to 127.0.0.1:1 refused; check that it runs"),
        (
            server,
            &["--service-name", "other"],
            1,
            "no series openclaw_tokens_total of job=\"other\" in the window; is the daemon pushing there? There are \
             series of \"openclaw-usage\": name one with --service-name",
        ),
        (
            server,
            &["--since", "2026-01-01", "--until", "2026-01-02"],
            1,
            "in the window; is the daemon pushing there?",
        ),
    ] {
        let output = report(home, &[server, arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("me:pw"), "{stderr}");
    }
}

/// Where labels are made of the scope they are the same ones after an upgrade; and names without suffixes are told of.
#[test]
fn prometheus_3_that_translates_otherwise_is_told_of() {
    let config =
        "otlp: {translation_strategy: UnderscoreEscapingWithoutSuffixes, promote_scope_metadata: true}\n";
    let prometheus = Prometheus::start_with_config(Version::V3, config, &[]);
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 54, now().plus(-60_000), false);
    simulation.pass(10_000);
    let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
    daemon.until_counted(simulation.truth());
    daemon.terminate();
    let scopes = "count by (otel_scope_name, otel_scope_version) (last_over_time(openclaw_tokens[1h]))";
    let scopes: Vec<_> = prometheus.query(scopes, None).into_iter().map(|(labels, _)| labels).collect();
    let expected = BTreeMap::from([("otel_scope_name".to_owned(), "openclaw-usage".to_owned())]);
    assert_eq!(scopes, [expected]);
    let output = report(&sandbox.path(""), &["--prometheus", &format!("http://{}", prometheus.address())]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("It has them under names without units and types: set otel_metric_suffixes_enabled"),
        "{stderr}"
    );
}
