//! The committed alerts, judged by Prometheus itself: its linter, its rule tests, and a server with real data.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::daemon::{PROGRAM, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::servers::{Prometheus, Version, lokitool, promtool};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn words<'a>(first: &[&'a str], paths: &'a [PathBuf]) -> Vec<&'a str> {
    first.iter().copied().chain(paths.iter().map(|path| path.to_str().expect("a path in UTF-8"))).collect()
}

#[test]
fn promtool_2_has_nothing_against_the_rules() {
    has_nothing_against_the_rules(Version::V2);
}

#[test]
fn promtool_3_has_nothing_against_the_rules() {
    has_nothing_against_the_rules(Version::V3);
}

/// Neither against the committed ones, nor against those with a selector and other thresholds.
fn has_nothing_against_the_rules(version: Version) {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("thresholds.toml"), "anomaly_factor = 3.5\n").expect("write thresholds");
    let out = sandbox.path("bundle");
    let said = bundle(
        &sandbox,
        &["--selector", r#"{cluster="prod", namespace=~"agents-.*"}"#, "--thresholds", "thresholds.toml"],
    );
    assert!(said.lines().count() >= 20 && said.lines().all(|line| line.starts_with("wrote ")), "{said}");
    for folder in [repository().join("alerts/prometheus"), out.join("prometheus")] {
        let paths = files(&folder);
        assert!(paths.len() >= 2, "{paths:?}");
        let arguments = words(&["check", "rules", "--lint=all", "--lint-fatal"], &paths);
        let (status, said) = promtool(version, repository(), &arguments);
        assert!(status.success(), "{said}");
    }
}

#[test]
fn lokitool_has_nothing_against_the_alerts_on_events() {
    let sandbox = Sandbox::new();
    bundle(&sandbox, &["--log-selector", r#"{namespace="prod", container="usage"}"#]);
    let broken = sandbox.path("broken.yaml");
    for folder in [repository().join("alerts"), sandbox.path("bundle")] {
        let path = folder.join("loki/openclaw-usage.yaml");
        for first in [&["rules", "lint", "--dry-run"][..], &["rules", "check"]] {
            let (status, said) = lokitool(repository(), &words(first, std::slice::from_ref(&path)));
            assert!(status.success(), "{first:?}: {said}");
        }
        let text = fs::read_to_string(&path).expect("the alerts");
        assert!(text.contains(r#"namespace="prod""#) == folder.starts_with(sandbox.path("")), "{text}");
        fs::write(&broken, text.replace("| json ", "| jsn ")).expect("write a rule file");
        let arguments = words(&["rules", "lint", "--dry-run"], std::slice::from_ref(&broken));
        assert!(!lokitool(repository(), &arguments).0.success(), "a broken rule would have been told of");
    }
}

#[test]
fn the_linter_would_have_told_of_a_broken_rule() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("broken.yaml");
    let committed =
        fs::read_to_string(repository().join("alerts/prometheus/alerts.yaml")).expect("the alerts");
    let broken = committed.replace("openclaw_usage_source_up == 0", "openclaw_usage_source_up == )");
    assert_ne!(committed, broken);
    fs::write(&path, broken).expect("write a rule file");
    let (status, _) = promtool(Version::V3, repository(), &words(&["check", "rules"], &[path]));
    assert!(!status.success());
}

#[test]
fn alerts_fire_and_are_silent_in_prometheus_2() {
    rule_tests(Version::V2);
}

#[test]
fn alerts_fire_and_are_silent_in_prometheus_3() {
    rule_tests(Version::V3);
}

fn rule_tests(version: Version) {
    let paths = files(&repository().join("alerts/tests"));
    assert!(paths.len() >= 5, "{paths:?}");
    let (status, said) = promtool(version, repository(), &words(&["test", "rules"], &paths));
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("SUCCESS").count(), paths.len(), "{said}");
}

/// Every expression of a rule, and of Grafana's alerts, is answered by a server that the daemon pushes to; and what is
/// recorded is what was counted.
#[test]
fn a_real_prometheus_evaluates_every_rule() {
    let rule_files = repository().join("alerts/prometheus/*.yaml");
    let config = format!("rule_files: ['{}']\n", rule_files.display());
    let prometheus = Prometheus::start_with_config(Version::V3, &config, &[]);
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 91, now().plus(-60_000), false);
    simulation.pass(60_000);
    let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
    let counted = daemon.until_counted(simulation.truth());
    let queries = prometheus.rule_queries();
    let query = |name: &str| &queries.iter().find(|(rule, _)| rule == name).expect("a recorded series").1;
    let window = |name: &str| {
        let sum = prometheus.query(&format!("sum({})", query(name)), None);
        sum.first().map_or(0.0, |(_, value)| *value)
    };
    for (name, family) in [
        ("job:openclaw_tokens:exact1h", "openclaw_tokens_total"),
        ("job:openclaw_tokens:exact1d", "openclaw_tokens_total"),
        ("job:openclaw_cost_usd:exact1h", "openclaw_cost_usd_total"),
        ("job:openclaw_cost_usd:exact1d", "openclaw_cost_usd_total"),
        ("job:openclaw_cron_runs:exact1d", "openclaw_cron_runs_total"),
    ] {
        let truth = counted.sum(family, &[]);
        assert!(truth > 0.0, "{family}");
        until(&format!("{truth} in {name}"), || ((window(name) - truth).abs() < 1e-9 * truth).then_some(()));
    }
    assert!(queries.len() >= 25, "{}", queries.len());
    for (_, query) in &queries {
        prometheus.query(query, None);
    }
    let grafana = expressions(&repository().join("alerts/grafana/openclaw-usage.yaml"));
    assert!(grafana.len() >= 17, "{}", grafana.len());
    for query in &grafana {
        prometheus.query(query, None);
    }
    daemon.terminate();
}

/// What stands behind `expr:` in a file: a string on the same line, or a block that is indented further.
fn expressions(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a file of alerts");
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(value) = line.trim_start().strip_prefix("expr: ") else { continue };
        if !value.starts_with('|') {
            found.push(serde_json::from_str(value).expect("a quoted expression"));
            continue;
        }
        let depth = |line: &str| line.len() - line.trim_start().len();
        let mut block = String::new();
        while let Some(inside) = lines.next_if(|next| depth(next) > depth(line)) {
            block.push_str(inside);
            block.push('\n');
        }
        found.push(block);
    }
    found
}

/// Runs `bundle` into the sandbox and returns what it said.
fn bundle(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = std::process::Command::new(PROGRAM)
        .current_dir(sandbox.path(""))
        .env_clear()
        .args(["bundle", "--out", "bundle"])
        .args(arguments)
        .output()
        .expect("run bundle");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}
