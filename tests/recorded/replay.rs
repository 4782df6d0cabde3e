//! The records of each recording at once, and as they came about.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use openclaw_usage::ledger::Outcome;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::common::fixtures::Fixture;

/// What the records of a recording say, under the labels that their jobs have.
fn recorded_by_job(fixture: &Fixture) -> BTreeMap<String, Counted> {
    let list = fs::read_to_string(fixture.state_dir().join("cron/jobs.json")).expect("jobs.json");
    let list: Value = serde_json::from_str(&list).expect("jobs.json is JSON");
    let kind = |id: &str| {
        let jobs = list["jobs"].as_array().expect("jobs");
        jobs.iter().find(|job| job["id"] == id).map(|job| job["schedule"]["kind"].clone())
    };
    let mut jobs: BTreeMap<String, Counted> = BTreeMap::new();
    for (_, line) in lines(&fixture.state_dir()) {
        let record: Value = serde_json::from_str(&line).expect("a record is JSON");
        let id = record["jobId"].as_str().expect("jobId");
        // A job that is gone ran once if no run of it is to come.
        let over = record["nextRunAtMs"].as_u64() < record["runAtMs"].as_u64();
        let once = kind(id).map_or(over, |kind| kind == "at");
        let counted = jobs.entry(if once { "one-shot" } else { id }.to_owned()).or_default();
        let tokens = |key: &str| record["usage"][key].as_u64().unwrap_or(0);
        *counted = (counted.0 + 1, counted.1 + tokens("input_tokens"), counted.2 + tokens("output_tokens"));
    }
    jobs
}

/// Every line of every log with the log's name, in the order of the logs.
fn lines(state_dir: &Path) -> Vec<(std::ffi::OsString, String)> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(state_dir.join("cron/runs")).expect("cron/runs") {
        let entry = entry.expect("an entry");
        let text = fs::read_to_string(entry.path()).expect("a run log");
        lines.extend(text.lines().map(|line| (entry.file_name(), line.to_owned())));
    }
    lines
}

fn equals_the_records(name: &str, fixture: &Fixture, counting: &Counting) {
    let sums = fixture.record_sums();
    let expected = (sums.records, sums.input, sums.output);
    let totals = counting.totals();
    assert_eq!(exported(&totals), expected, "{name}: exported");
    assert_eq!(exported_by_job(&totals), recorded_by_job(fixture), "{name}: exported by job");
    assert_eq!(totals.counters.outcomes, [(Outcome::Inserted, sums.records)].into(), "{name}");
    assert_eq!((totals.excess(), totals.counters.rejects.len()), (0, 0), "{name}");
    assert_eq!(totals.counters.sources["run-log"].gaps, 0, "{name}");
    let summary = counting.summary();
    assert_eq!(
        (summary.runs, summary.tokens),
        (sums.records, [sums.input, sums.output, 0, 0]),
        "{name}: held"
    );
    assert_eq!(summary.positions, sums.logs, "{name}");
}

#[test]
fn a_recording_counts_at_once_what_its_records_hold() {
    for name in RECORDINGS {
        let fixture = Fixture::unpack(name).without_sessions();
        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        equals_the_records(name, &fixture, &counting);
        counting.sweep();
        counting.restart();
        counting.sweep();
        equals_the_records(name, &fixture, &counting);
    }
}

#[test]
fn a_recording_counts_line_by_line_what_its_records_hold() {
    for name in RECORDINGS {
        let fixture = Fixture::unpack(name).without_sessions();
        let live = TempDir::new().expect("a temporary directory");
        let runs_dir = live.path().join("cron/runs");
        let mut counting = Counting::of(live.path());
        // The gateway makes its directories while the collector waits for them.
        counting.sweep();
        fs::create_dir_all(&runs_dir).expect("cron/runs");
        fs::copy(fixture.state_dir().join("cron/jobs.json"), live.path().join("cron/jobs.json"))
            .expect("jobs.json");
        let mut lines = lines(&fixture.state_dir());
        lines.sort_by_key(|(_, line)| {
            serde_json::from_str::<Value>(line).expect("a record is JSON")["ts"].as_u64().expect("ts")
        });
        let middle = lines.len() / 2;
        for (at, (log, line)) in lines.iter().enumerate() {
            let mut file = File::options().append(true).create(true).open(runs_dir.join(log)).expect("a log");
            file.write_all(format!("{line}\n").as_bytes()).expect("an append");
            if at == middle {
                counting.restart();
            }
            counting.look(log);
            assert_eq!(exported(&counting.totals()).0, at as u64 + 1, "{name}: after {line}");
        }
        counting.sweep();
        equals_the_records(name, &fixture, &counting);
    }
}

/// Where the recording knows what the provider billed, the runs and their statuses are those that it names.
#[test]
fn a_whole_recording_counts_the_runs_that_its_truth_names() {
    for name in RECORDINGS.iter().chain(&DATABASES).filter(|name| !name.starts_with("cut-")) {
        let fixture = Fixture::unpack(name).without_sessions();
        let truth = fixture.truth();
        let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
        for job in truth["jobs"].as_array().expect("jobs") {
            let once = job["schedule"]["kind"] == "at";
            let id = if once { "one-shot" } else { job["jobId"].as_str().expect("jobId") };
            for (status, runs) in job["expectedRunsByStatus"].as_object().expect("runs by status") {
                *expected.entry((id.to_owned(), status.clone())).or_default() += runs.as_u64().expect("runs");
            }
        }
        expected.retain(|_, runs| *runs > 0);
        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        let totals = counting.totals();
        let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
        for series in &totals.series {
            if let SeriesKind::Runs(status, _) = series.kind {
                let key = (totals.labels[series.labels].job_id.clone(), status.as_str().to_owned());
                *counted.entry(key).or_default() += series.exported_total;
            }
        }
        assert_eq!(counted, expected, "{name}");
    }
}

/// The record that a gateway writes at its next start for a run that a SIGKILL cut off.
#[test]
fn an_interrupted_run_counts_as_one() {
    let fixture = Fixture::unpack("cut-2026.5.28");
    let live = TempDir::new().expect("a temporary directory");
    let runs_dir = live.path().join("cron/runs");
    fs::create_dir_all(&runs_dir).expect("cron/runs");
    fs::copy(fixture.path("restart/interrupted-run.jsonl"), runs_dir.join("job.jsonl")).expect("a log");
    let mut counting = Counting::of(live.path());
    counting.sweep();
    let totals = counting.totals();
    let kinds: Vec<_> = totals.series.iter().map(|series| series.kind).collect();
    let interrupted =
        SeriesKind::Runs(openclaw_usage::model::Status::Error, openclaw_usage::model::Reason::Interrupted);
    assert_eq!(kinds, [SeriesKind::Duration, interrupted]);
    assert_eq!(exported(&totals), (1, 0, 0));
}
