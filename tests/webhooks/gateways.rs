//! Several gateways that post to one receiver: apart in series, in reports and in what other programs get.

use std::process::Command;

use serde_json::Value;

use super::{Receiving, TOKEN};
use crate::common::daemon::{PROGRAM, now};
use crate::common::samples::Count;

/// A notice of the same job and start, whichever gateway posts it.
pub fn notice(input: u64) -> String {
    let at = now().0 - 60_000;
    format!(
        r#"{{"jobId":"same","action":"finished","status":"ok","summary":"s","runAtMs":{at},"durationMs":240,"nextRunAtMs":{},"model":"m","provider":"p","usage":{{"input_tokens":{input},"output_tokens":1}}}}"#,
        at + 120_000
    )
}

fn report(receiving: &Receiving, arguments: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", receiving.sandbox.path(".")).args(arguments);
    let output = command.arg("--ledger").arg(receiving.sandbox.ledger()).output().expect("a command");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn gateways_are_apart_in_series_reports_and_exports() {
    let receiving = Receiving::alone(&["--gateway", "home"]);
    for (path, input) in [
        ("/webhook/cron", 1),
        ("/webhook/cron/home", 10),
        ("/webhook/cron/north", 100),
        ("/webhook/cron/south-2", 1_000),
        ("/webhook/cron/south-2/", 1_000),
    ] {
        let body = notice(input);
        let [first, second] = [(), ()].map(|()| receiving.post(path, TOKEN, &body));
        assert_eq!((first, second), (202, 200), "{path}");
    }
    let samples = receiving.daemon().until_counted(Count { runs: 5, input: 2_111, output: 5 });
    let input = |instance: &[(&str, &str)]| {
        let labels = [&[("openclaw_token", "input"), ("openclaw_job_id", "same")], instance].concat();
        samples.sum("openclaw_tokens_total", &labels)
    };
    assert_eq!([input(&[("instance", "north")]), input(&[("instance", "south-2")])], [100.0, 2_000.0]);
    assert_eq!(input(&[]), 2_111.0);
    assert_eq!(input(&[("instance", "home")]), 0.0, "the ledger's own is named by whoever scrapes");
    assert_eq!(samples.sum("openclaw_cron_job_consecutive_errors", &[("instance", "north")]), 0.0);

    let json: Value =
        serde_json::from_str(&report(&receiving, &["report", "--by", "gateway", "--format", "json"]))
            .expect("JSON");
    let rows: Vec<(&str, u64, u64)> = json["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            let input = row["tokens"]["input"].as_u64().expect("tokens");
            let runs = row["runs"]["total"].as_u64().expect("runs");
            (row["group"]["gateway"].as_str().expect("a name"), runs, input)
        })
        .collect();
    assert_eq!(rows, [("south-2", 2, 2_000), ("north", 1, 100), ("home", 2, 11)]);
    let one = report(&receiving, &["report", "--by", "job", "--gateway", "nor*", "--format", "json"]);
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!(one["totals"]["tokens"]["input"], 100);
    let csv = report(&receiving, &["export", "--format", "csv", "--since", "1h"]);
    let count = |gateway: &str| csv.lines().filter(|line| line.contains(gateway)).count();
    assert_eq!([count("home"), count("north"), count("south-2")], [2, 1, 2], "{csv}");
}
