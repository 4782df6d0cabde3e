//! `report` as a command, on recorded state directories: its numbers, its formats, its flags, its exit status.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use openclaw_usage::demo::corpus;
use openclaw_usage::ledger::{Ledger, LedgerReader, OpenOptions, Summary};
use openclaw_usage::model::UnixMs;
use openclaw_usage::serve::Collector;
use serde_json::Value;

use crate::common::daemon::{PROGRAM, Sandbox};
use crate::common::fixtures::Fixture;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::Count;

/// After the newest record of every fixture: 2027-01-15T08:00:00Z.
const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// Runs the real binary with nothing in its environment but HOME.
fn report(home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).output().expect("run the binary")
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", home).env("TZ", "UTC").arg("report").args(arguments);
    command
}

fn stdout(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output")
}

/// Counts a fixture as `serve` does; returns the ledger's path and what it says of itself.
fn counted(fixture: &Fixture) -> (String, Summary) {
    let path = fixture.path("ledger/ledger.sqlite");
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&path, &options, NOW).expect("a new ledger").ledger;
    Collector::new(&fixture.state_dir(), None).sweep(&mut ledger, NOW).expect("a sweep");
    drop(ledger);
    let summary = LedgerReader::open(&path).and_then(|reader| reader.summary()).expect("a summary");
    (path.to_str().expect("UTF-8").to_owned(), summary)
}

fn state_dir(fixture: &Fixture) -> String {
    fixture.state_dir().to_str().expect("UTF-8").to_owned()
}

/// A report of a fixture's own day, or of all times, without the place where the fixture lies.
fn shown(fixture: &Fixture, arguments: &[&str]) -> String {
    let dir = state_dir(fixture);
    let window = ["--state-dir", &dir, "--since", "0", "--until", "2027-01-01"];
    let text = stdout(&report(&fixture.path(""), &[&window, arguments].concat()));
    let place = fixture.path("").to_str().expect("UTF-8").trim_end_matches('/').to_owned();
    text.replace(&place, "/t")
}

#[test]
fn ledger_and_state_directory_say_the_same_and_no_more_than_was_counted() {
    for name in
        ["2026.2.17", "2026.5.28", "2026.6.11", "2026.9.6", "stage1-5.28", "stage2-6.11", "stage3-9.6"]
    {
        let fixture = Fixture::unpack(name);
        let (ledger, summary) = counted(&fixture);
        let window = ["--since", "0", "--until", "2027-01-01", "--format", "json"];
        for by in ["job", "model,provider", "gateway,agent,status", "day", "week,job", "month"] {
            let ask = |source: &[&str]| {
                let arguments = [source, &window, &["--by", by]].concat();
                let text = stdout(&report(&fixture.path(""), &arguments));
                serde_json::from_str::<Value>(&text).expect("one JSON document")
            };
            let from_ledger = ask(&["--ledger", &ledger]);
            let from_files = ask(&["--state-dir", &state_dir(&fixture)]);
            assert_eq!(from_ledger, from_files, "{name} by {by}");
            let totals = &from_ledger["totals"];
            assert_eq!(totals["runs"]["total"], summary.runs, "{name} by {by}");
            for (kind, tokens) in ["input", "output", "cache_read", "cache_write"].iter().zip(summary.tokens)
            {
                assert_eq!(totals["tokens"][kind], tokens, "{name} by {by}, {kind}");
            }
            let rows = from_ledger["rows"].as_array().expect("rows");
            for path in
                ["/runs/total", "/runs/error", "/tokens/input", "/tokens/cache_read", "/cost_nano_usd"]
            {
                let sum: i64 = rows.iter().filter_map(|row| row.pointer(path)?.as_i64()).sum();
                assert_eq!(Some(sum), totals.pointer(path).and_then(Value::as_i64), "{name} by {by} {path}");
            }
        }
    }
}

#[test]
fn a_window_read_from_the_end_says_the_same_as_a_full_scan() {
    for name in ["2026.2.17", "2026.5.28", "2026.6.11", "2026.9.6", "stage3-9.6"] {
        let fixture = Fixture::unpack(name);
        let dir = state_dir(&fixture);
        let told = |flags: &[&str]| {
            let arguments = [&["--state-dir", &dir, "--until", "2027-01-01", "--json"], flags].concat();
            serde_json::from_str::<Value>(&stdout(&report(&fixture.path(""), &arguments)))
                .expect("one document")
        };
        let all = told(&["--since", "0", "--runs"]);
        let mut starts: Vec<i64> = all["rows"].as_array().expect("rows").iter().map(started).collect();
        starts.sort_unstable();
        // Windows that begin with a run, just behind it, and when nothing is left.
        let edges = starts.iter().step_by(starts.len() / 3 + 1).flat_map(|at| [*at, at + 1]);
        for since in edges.chain(starts.last().map(|at| at + 5 * 3_600_000)) {
            let since = since.to_string();
            let window = ["--since", &since, "--by", "job,agent,model,status"];
            assert_eq!(
                told(&window),
                told(&[&window[..], &["--full-scan"]].concat()),
                "{name} since {since}"
            );
        }
    }
}

fn started(row: &Value) -> i64 {
    row.pointer("/group/run_at_ms").and_then(Value::as_i64).expect("a run's start")
}

#[test]
fn the_bill_of_a_recorded_gateway_is_told_to_the_nano_dollar() {
    // Every billed call of its jobs is in a transcript; later versions changed nothing of it.
    let fixture = Fixture::unpack("2026.9.6");
    let truth: Value = serde_json::from_slice(&std::fs::read(fixture.path("truth.json")).expect("a truth"))
        .expect("one JSON document");
    let billed = &truth["totals"]["isolatedCronRuns"];
    let told: Value = serde_json::from_str(&shown(&fixture, &["--json"])).expect("one JSON document");
    let totals = &told["totals"];
    for (kind, name) in
        [("input", "input"), ("output", "output"), ("cache_read", "cacheRead"), ("cache_write", "cacheWrite")]
    {
        assert_eq!(totals["tokens"][kind], billed[name], "{kind}");
    }
    assert_eq!(totals["cost_usd"], billed["costUsd"]);
}

#[test]
fn every_format_of_a_recorded_gateway() {
    let fixture = Fixture::unpack("2026.9.6");
    insta::assert_snapshot!("table", shown(&fixture, &[]));
    insta::assert_snapshot!("json", shown(&fixture, &["--by", "model", "--top", "2", "--json"]));
    insta::assert_snapshot!(
        "csv",
        shown(&fixture, &["--by", "agent,model", "--format", "csv"]).replace("\r\n", "\n")
    );
    insta::assert_snapshot!("markdown", shown(&fixture, &["--by", "model,status", "--format", "markdown"]));
    insta::assert_snapshot!("runs", shown(&fixture, &["--runs", "--job", "*-ok", "--top", "5"]));
    let upgraded = Fixture::unpack("stage3-9.6");
    insta::assert_snapshot!("days", shown(&upgraded, &["--by", "day,provider", "--tz", "Asia/Tokyo"]));
}

#[test]
fn json_has_the_shape_of_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../docs/report.schema.json")).expect("a schema");
    let fixture = Fixture::unpack("2026.5.28");
    for arguments in [
        &["--json"][..],
        &["--json", "--by", "job,model,provider,agent,gateway,status,day,week,month"],
        &["--json", "--compare"],
        &["--json", "--runs"],
        &["--json", "--job", "no such job"],
    ] {
        let dir = state_dir(&fixture);
        let window = ["--state-dir", &dir, "--since", "2026-01-01", "--until", "2027-01-01"];
        let output = report(&fixture.path(""), &[&window, arguments].concat());
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!(faults(&schema, &schema, &document, "$"), Vec::<String>::new(), "{arguments:?}");
    }
    let wrong = serde_json::json!({"schema": "openclaw-usage/report/1", "rows": [{"group": 3}], "extra": 1});
    assert!(faults(&schema, &schema, &wrong, "$").len() > 4, "and the test can fail");
}

#[test]
fn budgets_are_told_from_ledger_and_state_directory_alike() {
    let schema: Value = serde_json::from_str(include_str!("../docs/report.schema.json")).expect("a schema");
    let fixture = Fixture::unpack("2026.6.11");
    let (ledger, _) = counted(&fixture);
    let config = fixture.path("config.toml");
    let budgets = "[[budget]]\nname = \"all\"\nusd = 5\nperiod = \"month\"\ntimezone = \"UTC\"\n\n\
                   [[budget]]\nname = \"one\"\nusd = 1\nperiod = \"day\"\ntimezone = \"Asia/Tokyo\"\n\
                   match = { job = \"*ok*\" }\n";
    std::fs::write(&config, budgets).expect("a configuration");
    let config = config.to_str().expect("UTF-8");
    let month = ["--config", config, "--since", "2026-01-01", "--until", "2027-01-01"];
    let ask = |source: &[&str], format: &str| {
        stdout(&report(&fixture.path(""), &[source, &month, &["--format", format]].concat()))
    };
    let document = |source: &[&str]| serde_json::from_str::<Value>(&ask(source, "json")).expect("JSON");
    let from_ledger = document(&["--ledger", &ledger]);
    assert_eq!(from_ledger, document(&["--state-dir", &state_dir(&fixture)]));
    assert_eq!(faults(&schema, &schema, &from_ledger, "$"), Vec::<String>::new());
    let names: Vec<&Value> =
        from_ledger["budgets"].as_array().expect("budgets").iter().map(|b| &b["name"]).collect();
    assert_eq!(names, ["all", "one"]);
    // 2026-12, the month of the window's last millisecond.
    assert_eq!(from_ledger["budgets"][0]["window"]["since_ms"], 1_796_083_200_000_i64);
    assert!(ask(&["--ledger", &ledger], "table").contains("\nBudget all: $"));
}

/// `serve` builds segments when it has nothing else to do, and a report says the same with them.
#[test]
fn a_daemon_at_rest_makes_its_ledger_fast_to_read() {
    let sandbox = Sandbox::new();
    let first_run_at = UnixMs(i64::try_from(now_ms()).expect("milliseconds")).plus(-30 * 86_400_000);
    let spec = corpus::Spec {
        files: 3,
        lines_per_file: 100,
        line_bytes: 600,
        seed: 7,
        first_run_at,
        interval_ms: 3_600_000,
    };
    let sums = corpus::write(&sandbox.state_dir(), spec).expect("run logs");
    let daemon = sandbox.serve(&[]);
    daemon.until_counted(Count { runs: sums.runs, input: sums.input, output: sums.output });
    let ledger = sandbox.ledger();
    until("a segment of each job", || {
        let ledger = rusqlite::Connection::open(&ledger).expect("the ledger");
        let jobs: i64 =
            ledger.query_row("SELECT count(DISTINCT job) FROM segment", [], |row| row.get(0)).ok()?;
        (jobs == 3).then_some(())
    });
    let ask = |source: [&str; 2]| {
        let window = ["--since", "60d", "--until", "2100-01-01", "--by", "job,day", "--format", "csv"];
        stdout(&report(&sandbox.path(""), &[&source[..], &window].concat()))
    };
    let text = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
    let (ledger, state_dir) = (text(ledger), text(sandbox.state_dir()));
    assert_eq!(ask(["--ledger", &ledger]), ask(["--state-dir", &state_dir]));
    daemon.terminate();
}

/// What of a document does not fit a schema; the part of JSON Schema that ours uses.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let found =
            root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} in the schema"));
        return faults(root, found, value, at);
    }
    let mut found = Vec::new();
    let fits = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the schema has a type {other}"),
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| fits(kind)) {
        found.push(format!("{at}: {value} is no {kinds:?}"));
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        found.push(format!("{at}: {value}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        found.push(format!("{at}: {value}"));
    }
    if schema["minimum"].as_i64().zip(value.as_i64()).is_some_and(|(least, value)| value < least) {
        found.push(format!("{at}: {value}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{at}: no {name}"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(faults(root, schema, inner, &format!("{at}.{name}"))),
            None if schema["additionalProperties"] == false => {
                found.push(format!("{at}: {name} is not in it"))
            }
            None => {}
        }
    }
    for (nth, inner) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(root, &schema["items"], inner, &format!("{at}[{nth}]")));
    }
    found
}

#[test]
fn scripts_for_openclaws_own_report_go_on() {
    let fixture = Fixture::unpack("2026.5.28");
    let runs_dir = format!("{}/cron/runs", state_dir(&fixture));
    let store = format!("{}/cron/jobs.json", state_dir(&fixture));
    let window = ["--from", "2026-01-01T00:00:00.000Z", "--to", "2027-01-01T00:00:00.000Z"];
    let ask = |source: [&str; 2], more: &[&str]| {
        let arguments = [&["--compat"], &source[..], &window, more].concat();
        stdout(&report(&fixture.path(""), &arguments))
    };
    let text = ask(["--runsDir", &runs_dir], &["--json"]);
    assert_eq!(text, ask(["--store", &store], &["--json"]));
    let document: Value = serde_json::from_str(&text).expect("one JSON document");
    assert_eq!(document["from"], "2026-01-01T00:00:00.000Z");
    assert_eq!(document["to"], "2027-01-01T00:00:00.000Z");
    assert_eq!(document["runsDir"], runs_dir.as_str());
    let jobs = document["jobs"].as_array().expect("jobs");
    let sums = fixture.record_sums();
    assert_eq!(jobs.len() as u64, sums.logs);
    let sum = |name: &str| jobs.iter().filter_map(|job| job[name].as_u64()).sum::<u64>();
    assert_eq!(sum("runs"), sums.records);
    assert!(sum("input_tokens") >= sums.input && sum("output_tokens") >= sums.output);
    for job in jobs {
        let models = job["models"].as_array().expect("models");
        for name in ["runs", "input_tokens", "total_tokens", "missingUsageRuns"] {
            let of_models: u64 = models.iter().filter_map(|model| model[name].as_u64()).sum();
            assert_eq!(job[name], of_models, "{name}");
        }
        assert!(job["cost_usd"].is_number() && models.iter().all(|model| model["model"].is_string()));
    }
    let first = jobs[0]["jobId"].as_str().expect("an id");
    let model = jobs[0]["models"][0]["model"].as_str().expect("a model");
    let one: Value =
        serde_json::from_str(&ask(["--runsDir", &runs_dir], &["--json", "--jobId", first, "--model", model]))
            .expect("one JSON document");
    assert_eq!(one["jobs"].as_array().map(Vec::len), Some(1));
    assert!(ask(["--runsDir", &runs_dir], &[]).contains(&format!("\njobId: {first}\n  runs: ")));
}

#[test]
fn flags_say_what_they_take() {
    let fixture = Fixture::unpack("2026.2.17");
    let dir = state_dir(&fixture);
    for (arguments, said) in [
        (
            &["--by", "jobs"][..],
            "'--by <WHAT>' [possible values: job, model, provider, agent, gateway, status, day, week, month]",
        ),
        (&["--format", "xml"], "'--format <FORMAT>' [possible values: table, json, csv, markdown]"),
        (&["--sort", "age"], "'--sort <WHAT>' [possible values: cost, tokens,"),
        (&["--top", "0"], "'--top <N>'"),
        (&["--since", "soon"], "--since \"soon\": expected a time back from now such as 24h or 7d,"),
        (&["--until", "2026-02-30"], "--until \"2026-02-30\": expected a time"),
        (&["--since", "1769900400"], "milliseconds since 1970"),
        (
            &["--since", "now", "--until", "2026-01-01"],
            "--since \"now\": expected a time that is not after --until",
        ),
        (&["--tz", "Mars"], "--tz \"Mars\": expected an IANA name such as Europe/Berlin"),
        (&["--fail-over=-1"], "--fail-over \"-1\": expected an amount"),
        (&["--fail-over=five"], "--fail-over \"five\": expected an amount of US dollars"),
        (&["--compare", "--by", "job,day"], "leave out day, week and month of --by, or --compare"),
        (&["--watch", "--format", "csv"], "--watch draws a table"),
        (&["--compat", "--hours", "x"], "--hours \"x\": expected a number of hours"),
    ] {
        let output = report(&fixture.path(""), &[&["--state-dir", &dir], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        assert_eq!((stderr.lines().count(), output.stdout.len()), (1, 0), "{stderr}");
    }
    let output = report(&fixture.path(""), &["--compat", "--runsDir", &dir]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("ends in cron/runs"), "{stderr}");
}

#[test]
fn what_cannot_be_read_is_1_and_too_much_is_3() {
    let fixture = Fixture::unpack("2026.9.6");
    let dir = state_dir(&fixture);
    let nowhere = fixture.path("nowhere").display().to_string();
    for (source, said) in [
        (["--state-dir", nowhere.as_str()], "cannot read the state directory"),
        (["--ledger", nowhere.as_str()], "there is no ledger at"),
    ] {
        let output = report(&fixture.path(""), &source);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let (ledger, _) = counted(&fixture);
    let older = rusqlite::Connection::open(&ledger).expect("the ledger");
    older.pragma_update(None, "user_version", 1).expect("an older schema");
    drop(older);
    let output = report(&fixture.path(""), &["--ledger", &ledger]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("has schema 1,") && stderr.contains("start `serve`"), "{stderr}");
    for (limit, status) in [("0.01", 3), ("1000", 0)] {
        let arguments = ["--state-dir", &dir, "--since", "0", "--until", "2027-01-01", "--fail-over", limit];
        let output = report(&fixture.path(""), &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert_eq!(stderr.contains(&format!("more than --fail-over ${limit}")), status == 3, "{stderr}");
        assert!(output.stdout.starts_with(b"1970-01-01"), "the report is printed all the same");
    }
}

#[test]
fn a_ledger_in_use_is_read_without_disturbing_its_writer() {
    let fixture = Fixture::unpack("2026.6.11");
    let path = fixture.path("ledger/ledger.sqlite");
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&path, &options, NOW).expect("a new ledger").ledger;
    let mut collector = Collector::new(&fixture.state_dir(), None);
    collector.sweep(&mut ledger, NOW).expect("a sweep");
    let arguments =
        ["--ledger", path.to_str().expect("UTF-8"), "--since", "0", "--until", "2027-01-01", "--json"];
    let told: Value =
        serde_json::from_str(&stdout(&report(&fixture.path(""), &arguments))).expect("one JSON document");
    assert_eq!(told["totals"]["runs"]["total"], fixture.record_sums().records);
    // The writer goes on, and so does the next reader.
    let runs = fixture.state_dir().join("cron/runs");
    std::fs::create_dir_all(&runs).expect("a directory");
    let line = r#"{"ts":1795000000000,"jobId":"new","action":"finished","status":"ok","runAtMs":1794999990000,"durationMs":10}"#;
    std::fs::write(runs.join("new.jsonl"), format!("{line}\n")).expect("a run log");
    collector.sweep(&mut ledger, NOW).expect("a sweep");
    let again: Value =
        serde_json::from_str(&stdout(&report(&fixture.path(""), &arguments))).expect("one JSON document");
    assert_eq!(again["totals"]["runs"]["total"], fixture.record_sums().records + 1);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let fixture = Fixture::unpack("2026.2.17");
    let dir = state_dir(&fixture);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command(&fixture.path(""), &["--state-dir", &dir, "--since", "0"]);
    let output = command.stdout(Stdio::from(writer)).stderr(Stdio::piped()).output().expect("run the binary");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_state_directory_and_the_ledger_stay_as_they_are() {
    let fixture = Fixture::unpack("2026.9.6");
    let (ledger, _) = counted(&fixture);
    let files = || {
        let mut found = Vec::new();
        let mut open = vec![fixture.path("")];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
                let (path, metadata) = (entry.path(), entry.metadata().expect("metadata"));
                if metadata.is_dir() {
                    open.push(path);
                } else {
                    found.push((path, metadata.len(), metadata.modified().expect("a time")));
                }
            }
        }
        found.sort();
        found
    };
    let before = files();
    stdout(&report(&fixture.path(""), &["--ledger", &ledger]));
    stdout(&report(&fixture.path(""), &["--state-dir", &state_dir(&fixture)]));
    assert_eq!(files(), before);
}
