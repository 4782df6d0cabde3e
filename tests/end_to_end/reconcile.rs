//! `report --reconcile`: equal after a push, and the reason that was provoked where it is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::servers::{Fleet, Version};

use super::fleet::{pushing, report};
use super::until_told;

#[test]
fn differences_have_reasons_with_prometheus_2() {
    differences_have_reasons(|| Fleet::prometheus(Version::V2));
}

#[test]
fn differences_have_reasons_with_prometheus_3() {
    differences_have_reasons(|| Fleet::prometheus(Version::V3));
}

pub(super) fn differences_have_reasons(start: fn() -> Fleet) {
    let server = start();
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 57, now().plus(-60_000), false);
    simulation.pass(40_000);
    let daemon = pushing(&sandbox, &server, "office");
    daemon.until_counted(simulation.truth());
    until_told(&server, simulation.truth());
    daemon.terminate();
    server.settle();
    let asked = Asked { sandbox: &sandbox, flags: server.flags(), since: "1h" };

    let (status, document) = asked.of(&sandbox.ledger());
    assert_eq!((status, &document["equal"]), (Some(0), &Value::Bool(true)), "{document:#}");
    for side in [0, 1] {
        let equal = &document["comparisons"][side]["equal"];
        assert!(equal["jobs"].as_u64() > Some(0) && equal["cost_nano_usd"].as_u64() > Some(0), "{equal}");
        assert_eq!(equal["runs"], simulation.truth().runs);
        assert_eq!(equal["tokens"]["input"], simulation.truth().input);
    }

    // The same gateway in a ledger of another name.
    let other = sandbox.path("other/ledger.sqlite");
    let daemon = sandbox.serve(&["--gateway", "home", "--ledger", &other.display().to_string()]);
    daemon.until_counted(simulation.truth());
    daemon.terminate();
    assert_eq!(asked.reasons(&other), reasons(&[], &["other_instance"]));
    // The gateway goes on, and nobody counts.
    simulation.pass(5_000);
    assert_eq!(asked.reasons(&sandbox.ledger()), reasons(&["not_yet_counted"], &[]));
    // It is counted, and nobody pushes.
    let daemon = sandbox.serve(&["--gateway", "office"]);
    daemon.until_counted(simulation.truth());
    daemon.terminate();
    assert_eq!(asked.reasons(&sandbox.ledger()), reasons(&[], &["not_yet_pushed"]));
    // What is pushed again is equal again, and what the gateway forgets stays in the ledger.
    let daemon = pushing(&sandbox, &server, "office");
    until_told(&server, simulation.truth());
    daemon.terminate();
    server.settle();
    assert_eq!(asked.reasons(&sandbox.ledger()), reasons(&[], &[]));
    let logs = fs::read_dir(sandbox.state_dir().join("cron/runs")).expect("run logs").flatten();
    let log = logs.max_by_key(|log| log.metadata().map_or(0, |log| log.len())).expect("a run log");
    fs::remove_file(log.path()).expect("a run log that can be removed");
    assert_eq!(asked.reasons(&sandbox.ledger()), reasons(&["pruned_upstream"], &[]));
    what_the_server_saw_late(&start());
}

/// History from before the daemon's first start.
fn what_the_server_saw_late(server: &Fleet) {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 58, now().plus(-7_200_000), false);
    simulation.pass(20_000);
    let daemon = pushing(&sandbox, server, "office");
    daemon.until_counted(simulation.truth());
    until_told(server, simulation.truth());
    daemon.terminate();
    server.settle();
    let asked = Asked { sandbox: &sandbox, flags: server.flags(), since: "3h" };
    assert_eq!(asked.reasons(&sandbox.ledger()), reasons(&[], &["seen_late"]));
}

type Reasons = [BTreeSet<String>; 2];

fn reasons(sources: &[&str], prometheus: &[&str]) -> Reasons {
    [sources, prometheus].map(|names| names.iter().map(|name| (*name).to_owned()).collect())
}

struct Asked<'a> {
    sandbox: &'a Sandbox,
    flags: Vec<String>,
    since: &'static str,
}

impl Asked<'_> {
    fn of(&self, ledger: &Path) -> (Option<i32>, Value) {
        let (ledger, dir) = (ledger.display().to_string(), self.sandbox.state_dir().display().to_string());
        let server: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let sides = ["--ledger", &ledger, "--state-dir", &dir];
        let asked = ["--reconcile", "--since", self.since, "--json"];
        let output = report(&self.sandbox.path(""), &[&sides[..], &server, &asked].concat());
        let document = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), document)
    }

    /// All reasons, by side; the exit status goes with them.
    fn reasons(&self, ledger: &Path) -> Reasons {
        let (status, document) = self.of(ledger);
        let found = ["/comparisons/0/differences", "/comparisons/1/differences"].map(|side| {
            let differences = document.pointer(side).and_then(Value::as_array).expect("differences");
            let of = differences.iter().flat_map(|one| one["reasons"].as_array().expect("reasons"));
            of.map(|reason| reason["reason"].as_str().expect("a name").to_owned()).collect()
        });
        let equal = found.iter().all(BTreeSet::is_empty);
        assert_eq!(status, Some(i32::from(!equal)), "{document:#}");
        found
    }
}
