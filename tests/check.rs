//! `check` as a command: its exit status, its JSON, and what it says of real Prometheus servers.

use std::path::Path;
use std::process::{Command, Output};

use openclaw_usage::ledger::{Ledger, LedgerReader, OpenOptions};
use openclaw_usage::model::UnixMs;
use openclaw_usage::serve::Collector;
use serde_json::Value;

use crate::common::fixtures::Fixture;

/// After the newest record of every fixture: 2027-01-15T08:00:00Z.
const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// Runs the real binary with nothing in its environment but HOME.
fn check(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_openclaw-usage"))
        .env_clear()
        .env("HOME", home)
        .env("OPENCLAW_USAGE_GATEWAY_LOG", "off")
        .arg("check")
        .args(arguments)
        .output()
        .expect("run the binary")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output")
}

/// The text without its line breaks, which depend on the lengths of paths and ports.
fn words(output: &Output) -> String {
    stdout(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Counts a fixture as `serve` does; returns the ledger's path.
fn counted(fixture: &Fixture) -> String {
    let path = fixture.path("ledger/ledger.sqlite");
    let options = OpenOptions { gateway: Some("recorded".into()), max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&path, &options, NOW).expect("a new ledger").ledger;
    Collector::new(&fixture.state_dir(), None).sweep(&mut ledger, NOW).expect("a sweep");
    path.to_str().expect("UTF-8").to_owned()
}

fn state_dir(fixture: &Fixture) -> String {
    fixture.state_dir().to_str().expect("UTF-8").to_owned()
}

#[test]
fn all_well_is_0_and_finds_what_the_records_hold() {
    // Recording, runs in its logs, runs in the table of its database that is read.
    for (name, logs, table) in [
        ("2026.2.17", 45, None),
        ("2026.5.28", 90, None),
        ("2026.6.11", 0, Some(("cron_run_logs", 102))),
        ("2026.9.6", 0, Some(("task_runs", 76))),
        ("stage1-5.28", 44, None),
        ("stage2-6.11", 44, Some(("cron_run_logs", 106))),
        ("stage3-9.6", 44, Some(("task_runs", 164))),
    ] {
        let fixture = Fixture::unpack(name);
        let (state_dir, ledger) = (state_dir(&fixture), counted(&fixture));
        let arguments = ["--state-dir", &state_dir, "--ledger", &ledger];
        let text = check(fixture.path("").as_path(), &arguments);
        assert_eq!(text.status.code(), Some(0), "{name}: {}", stdout(&text));
        assert!(words(&text).contains("every run of the state directory is counted"), "{}", stdout(&text));
        assert_eq!(String::from_utf8_lossy(&text.stderr), "");

        let json = check(fixture.path("").as_path(), &[&arguments[..], &["--json"]].concat());
        assert_eq!(json.status.code(), Some(0));
        let report: Value = serde_json::from_str(&stdout(&json)).expect("one JSON document");
        assert_eq!(report["schema"], "openclaw-usage/check/1");
        assert_eq!(report["ok"], true);
        let sums = fixture.record_sums();
        let state = &report["state_directory"];
        // The records tell less than the transcripts, which the ledger has counted.
        let held = LedgerReader::open(Path::new(&ledger)).and_then(|reader| reader.summary());
        let [input, output, ..] = held.expect("a summary").tokens;
        assert!(input > sums.input && output > sums.output, "{name}");
        for (found, input, output) in
            [(&state["all_runs"], sums.input, sums.output), (&report["ledger"]["content"], input, output)]
        {
            assert_eq!(found["runs"], sums.records, "{name}");
            let tokens = (&found["tokens"]["input"], &found["tokens"]["output"]);
            assert_eq!(tokens, (&input.into(), &output.into()), "{name}");
        }
        assert_eq!(state["all_runs"]["jobs"], sums.logs, "{name}");
        let of_logs = state["run_logs"]["runs"].as_u64().unwrap_or(0);
        let of_tables: Vec<(&str, u64)> = state["database"]["tables"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|table| (table["table"].as_str().unwrap_or_default(), table["runs"].as_u64().unwrap_or(0)))
            .collect();
        assert_eq!((of_logs, of_tables), (logs, table.into_iter().collect()), "{name}");
        assert_eq!(report["ledger"]["content"]["not_counted_yet"], 0, "{name}");
        assert_eq!(report["ledger"]["content"]["no_longer_in_state_directory"], 0, "{name}");
        assert_eq!(report["names"]["instance"], "recorded");
    }
}

#[test]
fn a_problem_is_1() {
    let fixture = Fixture::unpack("2026.5.28");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    drop(socket);
    let endpoint = format!("http://{address}/api/v1/otlp");
    let output = check(
        fixture.path("").as_path(),
        &["--state-dir", &state_dir(&fixture), "--otlp-endpoint", &endpoint],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = words(&output);
    assert!(text.contains("PROBLEM") && text.contains("refused"), "{text}");
    assert!(text.contains("-> check that the server runs"), "{text}");

    let missing = check(fixture.path("").as_path(), &["--state-dir", "/nowhere/at/all", "--json"]);
    assert_eq!(missing.status.code(), Some(1));
    let report: Value = serde_json::from_str(&stdout(&missing)).expect("JSON of a problem");
    assert_eq!(report["ok"], false);
}

#[test]
fn bad_usage_is_64_and_says_nothing_on_standard_output() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let config = home.path().join("config.toml");
    std::fs::write(&config, "lisen = \"127.0.0.1:1\"\n").expect("write a configuration");
    let config = config.to_str().expect("UTF-8");
    for arguments in [&["--no-such-flag"][..], &["--listen", "nowhere", "--json"], &["--config", config]] {
        let output = check(home.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let fixture = Fixture::unpack("2026.5.28");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_openclaw-usage"))
        .env_clear()
        .env("HOME", fixture.path(""))
        .env("OPENCLAW_USAGE_GATEWAY_LOG", "off")
        .args(["check", "--state-dir", &state_dir(&fixture)])
        .stdout(writer)
        .output()
        .expect("run the binary");
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(0), true));
}

#[cfg(feature = "e2e")]
mod real_prometheus {
    use super::*;
    use crate::common::servers::{Prometheus, Version};

    #[test]
    fn one_that_takes_otlp_is_well() {
        for version in [Version::V2, Version::V3] {
            let fixture = Fixture::unpack("2026.5.28");
            let prometheus = Prometheus::start(version, &[]);
            let output = against(&prometheus, &fixture);
            assert_eq!(output.status.code(), Some(0), "{version:?}: {}", stdout(&output));
            assert!(words(&output).contains("takes metrics: HTTP 200"), "{version:?}: {}", stdout(&output));
            assert!(prometheus.series_names().is_empty(), "{version:?}: the request is empty");
        }
    }

    #[test]
    fn one_whose_receiver_is_off_is_a_problem_that_names_its_flag() {
        for (version, flag) in [
            (Version::V2, "--enable-feature=otlp-write-receiver"),
            (Version::V3, "--web.enable-otlp-receiver"),
        ] {
            let fixture = Fixture::unpack("2026.5.28");
            let prometheus = Prometheus::start_without_otlp(version);
            let output = against(&prometheus, &fixture);
            let text = words(&output);
            assert_eq!(output.status.code(), Some(1), "{version:?}: {text}");
            let problem = text.split("ENDPOINTS").nth(1).expect("a section on endpoints");
            assert!(problem.contains("HTTP 404") && problem.contains(flag), "{version:?}: {text}");
        }
    }

    fn against(prometheus: &Prometheus, fixture: &Fixture) -> Output {
        let arguments = ["--state-dir", &state_dir(fixture), "--otlp-endpoint", &prometheus.otlp_endpoint()];
        check(fixture.path("").as_path(), &arguments)
    }
}
