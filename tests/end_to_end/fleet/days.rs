//! Days, and windows that begin and end amid them, in a server that is told of three days in their order.

use std::fs::{self, OpenOptions as File};
use std::io::Write;
use std::path::Path;

use openclaw_usage::export::plan::{Moment, Scope, plan};
use openclaw_usage::ledger::{Ledger, OpenOptions};
use openclaw_usage::model::{EndpointState, UnixMs};
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::{ProcessState, Resource, SnapshotBuilder, otlp};
use prost::Message;

use super::told;
use crate::common::daemon::{Sandbox, now};
use crate::common::servers::{Fleet, Version};

/// Milliseconds of half an hour, at which every time zone's midnight lies.
const STEP_MS: i64 = 1_800_000;

#[test]
fn days_in_prometheus_2_are_those_of_the_ledger() {
    days(&Fleet::prometheus(Version::V2));
}

#[test]
fn days_in_prometheus_3_are_those_of_the_ledger() {
    days(&Fleet::prometheus(Version::V3));
}

/// Three days of a gateway and its pushes, told to an empty server in their order.
pub(super) fn days(server: &Fleet) {
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
            stored(server, &zeros.encode_to_vec());
            state = new.after.clone();
        }
        let values = otlp::request(push.values.iter().copied(), &resource, at, at);
        stored(server, &values.encode_to_vec());
    }
    drop(ledger);
    server.settle();

    let (flags, ledger) = (server.flags(), sandbox.ledger().display().to_string());
    let asked: Vec<&str> = flags.iter().map(String::as_str).collect();
    let home = sandbox.path("");
    let compared = |since: UnixMs, until: UnixMs, zone: &str, by: &str| {
        let [since, until] = [since, until].map(|at| at.0.to_string());
        let window = ["--since", &since, "--until", &until, "--tz", zone, "--by", by];
        let told_there = told(&home, &[&asked, &window[..]].concat());
        let expected = told(&home, &[&["--ledger", &ledger], &window[..]].concat());
        assert_eq!(told_there, expected, "by {by} from {since} to {until}");
        told_there
    };
    let before = begin.plus(-STEP_MS);
    for (by, zone) in [
        ("day", "UTC"),
        ("day,model", "Asia/Kolkata"),
        ("day,job", "America/New_York"),
        ("week,status", "Europe/Berlin"),
        ("month", "Pacific/Chatham"),
    ] {
        let (rows, totals) = compared(before, end, zone, by);
        assert!(rows.len() > 3 || by != "day", "{rows:?}");
        assert_eq!(totals["runs"]["total"], 52, "{totals}");
    }
    // Amid two pushes, and at the very second of one.
    let [early, late] = [40, 110].map(|step| begin.plus(step * STEP_MS));
    for (since, until) in [
        (before, late),
        (early, late),
        (early, end),
        (early.plus(-STEP_MS / 2), late.plus(STEP_MS / 2)),
        (late.plus(STEP_MS / 2), now().plus(60_000)),
        (end.plus(-2 * STEP_MS), end),
    ] {
        for by in ["job,model", "gateway,day"] {
            compared(since, until, "UTC", by);
        }
    }
}

fn stored(server: &Fleet, body: &[u8]) {
    let response = server.post_otlp(body);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Appends the record of a run of ten seconds.
pub(super) fn finished(log: &Path, started: UnixMs, n: i64, model: &str) {
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
