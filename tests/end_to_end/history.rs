//! History from before the daemon's first start, in a real Prometheus: what `promtool` makes of an export, held
//! against the ledger day by day, and what comes when the daemon goes on from there.

use std::fs;
use std::io::Write;
use std::process::Command;

use openclaw_usage::ledger::{Ledger, OpenOptions};
use openclaw_usage::model::UnixMs;
use openclaw_usage::serve::Collector;
use serde_json::Value;

use crate::common::daemon::{PROGRAM, Sandbox, now};
use crate::common::real_time::{now_ms, until};
use crate::common::samples::whole;
use crate::common::servers::{Prometheus, Version, promtool_create_blocks};

use super::PUSHED;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Half a nano-dollar.
const EXACT: f64 = 5e-10;
const ALL: &str = r#"{__name__=~"openclaw_(tokens|cost_usd|cron_runs)_total"}"#;

/// A state directory whose jobs ran on most of the thirty days before a midnight: many times a day, rarely, with weeks
/// between, right at midnights of several zones, and never with success.
fn write_history(sandbox: &Sandbox, midnight: i64) {
    let runs = sandbox.state_dir().join("cron/runs");
    fs::create_dir_all(&runs).expect("a state directory");
    let price = r#"{"models":{"providers":{"mock":{"models":[{"id":"m","cost":{"input":3,"output":15,"cacheRead":0.3,"cacheWrite":3.75}}]}}}}"#;
    fs::write(sandbox.state_dir().join("openclaw.json"), price).expect("prices");
    let mut chance = fastrand::Rng::with_seed(7);
    for (job, least, most) in
        [("busy", 1, 4 * HOUR_MS), ("rare", 30 * HOUR_MS, 90 * HOUR_MS), ("gaps", 9 * DAY_MS, 13 * DAY_MS)]
    {
        let mut at = midnight - 30 * DAY_MS + chance.i64(0..DAY_MS);
        let mut log = String::new();
        while at < midnight - MINUTE_MS {
            log.push_str(&record(job, at, chance.u64(1..5_000), chance.u64(0..900)));
            at += chance.i64(least..most);
        }
        if job == "busy" {
            // The midnights of UTC, of India and of Nepal, and the millisecond before each.
            for start in [0, 330 * MINUTE_MS, 345 * MINUTE_MS].map(|ms| midnight - 4 * DAY_MS - ms) {
                log.push_str(&record(job, start - 1, 11, 1));
                log.push_str(&record(job, start, 13, 2));
            }
        }
        fs::write(runs.join(format!("{job}.jsonl")), log).expect("a run log");
    }
    let failed = format!(
        "{{\"ts\":{},\"jobId\":\"never\",\"action\":\"finished\",\"status\":\"error\",\"error\":\"timed out\",\"runAtMs\":{},\"durationMs\":5}}\n",
        midnight - 2 * DAY_MS + 5,
        midnight - 2 * DAY_MS
    );
    fs::write(runs.join("never.jsonl"), failed).expect("a run log");
}

fn record(job: &str, at: i64, input: u64, output: u64) -> String {
    format!(
        "{{\"ts\":{},\"jobId\":\"{job}\",\"action\":\"finished\",\"status\":\"ok\",\"runAtMs\":{at},\"durationMs\":9,\
         \"model\":\"m\",\"provider\":\"mock\",\"usage\":{{\"input_tokens\":{input},\"output_tokens\":{output}}}}}\n",
        at + 9
    )
}

/// Counts it as `serve` does at its first start, and says so in a ledger.
fn count(sandbox: &Sandbox, now: UnixMs) {
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&sandbox.ledger(), &options, now).expect("a new ledger").ledger;
    Collector::new(&sandbox.state_dir(), None).sweep(&mut ledger, now).expect("a sweep");
}

/// Runs the program on the ledger.
fn ask(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", sandbox.path("")).args(arguments).arg("--ledger").arg(sandbox.ledger());
    let output = command.output().expect("run the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What a series, or the sum of several, grew by in the window of that length that ends at a time.
fn growth(prometheus: &Prometheus, series: &str, (from, to): (i64, i64)) -> f64 {
    let window = to - from;
    let promql = format!(
        "sum(last_over_time({series}[{window}ms]) - (last_over_time({series}[1d] offset {window}ms) or \
         min_over_time({series}[{window}ms])))"
    );
    prometheus.query(&promql, u64::try_from(to).ok()).first().map_or(0.0, |(_, value)| *value)
}

/// Holds every day of a zone that is this much ahead of UTC against the ledger's report.
fn compare_days(sandbox: &Sandbox, prometheus: &Prometheus, midnight: i64, (zone, ahead): (&str, i64)) {
    let mut told = 0.0;
    for day in 0..32 {
        let to = midnight - day * DAY_MS - ahead;
        let days = (to - DAY_MS, to);
        let [since, until] = [days.0, days.1].map(|ms| ms.to_string());
        let window = ["--since", &since, "--until", &until, "--tz", zone];
        let report = ask(sandbox, &[&["report", "--json"], &window[..]].concat());
        let totals = serde_json::from_str::<Value>(&report).expect("one JSON document")["totals"].take();
        for kind in ["input", "output", "cache_read", "cache_write"] {
            let series = format!("openclaw_tokens_total{{{PUSHED},openclaw_token=\"{kind}\"}}");
            let tokens = whole(growth(prometheus, &series, days));
            assert_eq!(totals["tokens"][kind], tokens, "{kind} of {zone}'s day {day}");
        }
        for (status, selector) in
            [("total", ""), ("ok", ",openclaw_status=\"ok\""), ("error", ",openclaw_status=\"error\"")]
        {
            let series = format!("openclaw_cron_runs_total{{{PUSHED}{selector}}}");
            assert_eq!(
                totals["runs"][status],
                whole(growth(prometheus, &series, days)),
                "{zone}'s day {day}"
            );
        }
        let dollars = growth(prometheus, &format!("openclaw_cost_usd_total{{{PUSHED}}}"), days);
        let cost = totals["cost_usd"].as_f64().expect("dollars");
        assert!((dollars - cost).abs() < EXACT, "{dollars} is not {cost} on {zone}'s day {day}");
        told += dollars;
    }
    assert!(told > 0.1, "{told} dollars in all");
}

#[test]
fn days_before_the_first_start_equal_the_ledger_s_and_the_daemon_goes_on() {
    let sandbox = Sandbox::new();
    let now = now();
    let midnight = now.0.div_euclid(DAY_MS) * DAY_MS;
    write_history(&sandbox, midnight);
    count(&sandbox, now);
    let file = sandbox.path("history.om");
    let name = file.to_str().expect("UTF-8");
    assert_eq!(ask(&sandbox, &["export", "--format", "openmetrics", "--output", name]), "");

    let flags = ["--storage.tsdb.retention.time=10y"];
    let prometheus = Prometheus::start_with_blocks(Version::V3, &flags, |data| {
        promtool_create_blocks(&file, data, 2 * HOUR_MS);
    });
    for zone in [("UTC", 0), ("Asia/Kolkata", 330 * MINUTE_MS), ("Asia/Kathmandu", 345 * MINUTE_MS)] {
        compare_days(&sandbox, &prometheus, midnight, zone);
    }

    // The same series: a daemon on the same ledger makes none that is new, and nothing counts twice at the seam.
    let series = |at: u64| prometheus.query(&format!("count(last_over_time({ALL}[60d]))"), Some(at))[0].1;
    let (before, total) = (series(now_ms()), growth(&prometheus, ALL, (now.0 - 60 * DAY_MS, now.0)));
    let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
    let more = record("busy", now_ms().try_into().expect("a time"), 1_000, 0);
    let log = sandbox.state_dir().join("cron/runs/busy.jsonl");
    let mut log = fs::OpenOptions::new().append(true).open(log).expect("the run log");
    log.write_all(more.as_bytes()).expect("append to the run log");
    // A run, its tokens, and what they cost: $3 for a million.
    let expected = total + 1.0 + 1_000.0 + 0.003;
    until("the new run in Prometheus, and nothing else", || {
        let at = i64::try_from(now_ms()).expect("a time");
        ((growth(&prometheus, ALL, (at - 60 * DAY_MS, at)) - expected).abs() < 1e-6).then_some(())
    });
    assert_eq!(series(now_ms()), before);
    let resets = prometheus.query(&format!("sum(resets({ALL}[60d]))"), Some(now_ms()));
    assert_eq!(resets[0].1, 0.0, "no counter fell");
    daemon.terminate();
}
