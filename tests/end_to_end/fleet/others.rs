//! The same of servers that take minutes to build, or are not built here: `make fleet-check`.

use std::fs;

use serde_json::Value;

use super::super::reconcile::differences_have_reasons;
use super::super::until_told;
use super::days::{days, finished};
use super::{pushing, report, told, two_gateways};
use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::samples::Count;
use crate::common::servers::Fleet;

fn tells_what_ledgers_tell(start: fn() -> Fleet) {
    two_gateways(&start());
    days(&start());
    differences_have_reasons(start);
}

#[test]
fn thanos_with_a_sidecar() {
    tells_what_ledgers_tell(Fleet::thanos_sidecar);
}

#[test]
fn thanos_with_a_receiver() {
    tells_what_ledgers_tell(Fleet::thanos_receive);
}

#[test]
fn mimir() {
    tells_what_ledgers_tell(Fleet::mimir);
}

#[test]
fn thanos_that_lacks_a_store_says_so() {
    let server = Fleet::thanos_without_a_store();
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 55, now().plus(-60_000), false);
    simulation.pass(10_000);
    let daemon = pushing(&sandbox, &server, "office");
    until_told(&server, simulation.truth());
    daemon.terminate();
    let flags = server.flags();
    let asked: Vec<&str> = flags.iter().map(String::as_str).collect();
    let told = report(&sandbox.path(""), &[&asked[..], &["--since", "1h"]].concat());
    let stdout = String::from_utf8_lossy(&told.stdout);
    assert!(stdout.contains("The server warns: "), "{stdout}{}", String::from_utf8_lossy(&told.stderr));
    let (ledger, dir) = (sandbox.ledger().display().to_string(), sandbox.state_dir().display().to_string());
    let sides = ["--reconcile", "--since", "1h", "--ledger", &ledger, "--state-dir", &dir];
    let compared = report(&sandbox.path(""), &[&sides[..], &asked].concat());
    let stderr = String::from_utf8_lossy(&compared.stderr);
    assert!(stderr.contains("note: the server warns: "), "{stderr}");
    assert_eq!(compared.status.code(), Some(0), "{stderr}");
}

#[test]
fn victoria_metrics_with_labels_of_prometheus() {
    tells_what_ledgers_tell(|| Fleet::victoria_metrics("job"));
    rounds_large_sums(&Fleet::victoria_metrics("job"));
}

#[test]
fn victoria_metrics_with_labels_of_the_resource() {
    tells_what_ledgers_tell(|| Fleet::victoria_metrics("service_name"));
}

/// Thousands of dollars with nano-dollars behind them, of which it keeps some 12 digits.
fn rounds_large_sums(server: &Fleet) {
    let sandbox = Sandbox::new();
    let runs = sandbox.state_dir().join("cron/runs");
    fs::create_dir_all(&runs).expect("a directory of run logs");
    let config = sandbox.path("own.toml");
    let price = "[[price]]\nprovider = 'p'\nmodel = 'm1'\ninput = 12.345678\noutput = 98.765432\n";
    fs::write(&config, price).expect("a configuration");
    let mut command = sandbox.command(&["--gateway", "office", "--config", &config.display().to_string()]);
    let daemon = sandbox.serve_command(command.envs(server.environment()));
    let tokens = [123_456_789, 98_765_432, 111_111_111];
    for (nth, tokens) in tokens.into_iter().enumerate() {
        let started = now().plus(-40_000 + 11_000 * i64::try_from(nth).expect("few"));
        finished(&runs.join("dear.jsonl"), started, tokens, "m1");
    }
    let output = tokens.map(i64::unsigned_abs).iter().sum();
    let truth = Count { runs: 3, input: output + 300, output };
    daemon.until_counted(truth);
    until_told(server, truth);
    daemon.terminate();
    server.settle();
    let flags = server.flags();
    let asked: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (home, ledger) = (sandbox.path(""), sandbox.ledger().display().to_string());
    let window = ["--since", "1h", "--by", "job"];
    let cost = |(_, totals): (_, Value)| totals["cost_nano_usd"].as_i64().expect("a cost");
    let theirs = cost(told(&home, &[&asked[..], &window].concat()));
    let ours = cost(told(&home, &[&["--ledger", &ledger], &window[..]].concat()));
    assert!(ours > 30_000_000_000_000 && ours.abs_diff(theirs) <= 100, "{ours} {theirs}");
    let dir = sandbox.state_dir().display().to_string();
    let sides = ["--reconcile", "--since", "1h", "--ledger", &ledger, "--state-dir", &dir, "--config"];
    let config = config.display().to_string();
    let compared = report(&home, &[&sides[..], &[&config], &asked].concat());
    let stdout = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(
        compared.status.code(),
        Some(0),
        "{ours} {theirs} {stdout}{}",
        String::from_utf8_lossy(&compared.stderr)
    );
}
