//! `export` as a command, on recorded state directories; completions and manual pages as the shell and groff see them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::daemon::{PROGRAM, Sandbox};
use crate::common::fixtures::Fixture;
use crate::common::process::Process;
use crate::common::real_time::until;

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", home).env("TZ", "UTC").args(arguments);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).output().expect("run the binary")
}

fn stdout(output: &Output) -> String {
    // On a busy machine a word to whoever waits.
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> =
        stderr.lines().filter(|line| !line.contains("reading") && !line.contains("exporting")).collect();
    assert_eq!(said, [""; 0]);
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output")
}

fn state_dir(fixture: &Fixture) -> String {
    fixture.state_dir().to_str().expect("UTF-8").to_owned()
}

#[test]
fn rows_of_recorded_gateways_add_up_to_the_report() {
    for name in ["2026.2.17", "2026.5.28", "2026.6.11", "2026.9.6", "stage3-9.6"] {
        let fixture = Fixture::unpack(name);
        let (home, dir) = (fixture.path(""), state_dir(&fixture));
        let window = ["--state-dir", &dir, "--until", "2027-01-01"];
        let told = stdout(&run(&home, &[&["report", "--json", "--since", "0"], &window[..]].concat()));
        let totals = serde_json::from_str::<Value>(&told).expect("one JSON document")["totals"].take();
        let lines = stdout(&run(&home, &[&["export", "--format", "jsonl"], &window[..]].concat()));
        let rows: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a JSON document a line")).collect();
        let sum = |name: &str| rows.iter().filter_map(|row| row[name].as_i64()).sum::<i64>();
        assert!(sum("runs") > 0);
        assert_eq!(totals["runs"]["total"], sum("runs"), "{name}");
        for kind in ["input", "output", "cache_read", "cache_write"] {
            assert_eq!(totals["tokens"][kind], sum(&format!("tokens_{kind}")), "{name} {kind}");
        }
        assert_eq!(totals["cost_nano_usd"], sum("cost_nano_usd"), "{name}");
        let csv = stdout(&run(&home, &[&["export"], &window[..]].concat()));
        assert_eq!(csv.matches("\r\n").count(), rows.len() + 1, "{name}: a line of names and one per row");
        assert!(!lines.contains("Mock report"), "{name}: no text of a run");
    }
}

#[test]
fn a_file_is_whole_or_not_there() {
    let fixture = Fixture::unpack("2026.9.6");
    let (home, dir) = (fixture.path(""), state_dir(&fixture));
    let out = fixture.path("out");
    fs::create_dir(&out).expect("a directory");
    let file = out.join("runs.csv").display().to_string();
    fs::write(&file, "older").expect("an older file");
    let source = ["--state-dir", &dir, "--until", "2027-01-01"];
    let written = run(&home, &[&["export", "--output", &file], &source[..]].concat());
    assert_eq!(stdout(&written), "");
    let text = fs::read_to_string(&file).expect("the export");
    assert_eq!(text, stdout(&run(&home, &[&["export"], &source[..]].concat())));
    let nowhere = fixture.path("nowhere").display().to_string();
    let failed = run(&home, &["export", "--output", &file, "--state-dir", &nowhere]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).expect("the export"), text, "the older one stays");
    assert_eq!(fs::read_dir(&out).expect("a directory").count(), 1, "nothing is left behind");
    let failed = run(&home, &[&["export", "--output", &format!("{nowhere}/x")], &source[..]].concat());
    let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot make the file") && stderr.contains("--output"), "{stderr}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let fixture = Fixture::unpack("2026.5.28");
    let (home, dir) = (fixture.path(""), state_dir(&fixture));
    for format in ["csv", "jsonl", "parquet", "openmetrics"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = command(&home, &["export", "--format", format, "--state-dir", &dir]);
        let output = command.stdout(Stdio::from(writer)).stderr(Stdio::piped()).output().expect("run it");
        stdout(&output);
    }
}

/// Runs of the long history.
const RUNS: i64 = 20_000;

/// A state directory with a history that takes a while to read and to write out.
fn long_history(sandbox: &Sandbox) -> String {
    let runs = sandbox.state_dir().join("cron/runs");
    fs::create_dir_all(&runs).expect("a directory");
    let mut lines = String::new();
    for at in 0..RUNS {
        let started = 1_770_000_000_000 + at * 1_000;
        let ended = started + 500;
        writeln!(
            lines,
            r#"{{"ts":{ended},"jobId":"long","action":"finished","status":"ok","runAtMs":{started},"durationMs":500,"nextRunAtMs":{ended},"model":"m","provider":"p","usage":{{"input_tokens":2,"output_tokens":1,"total_tokens":3}}}}"#
        )
        .expect("a line");
    }
    fs::write(runs.join("long.jsonl"), lines).expect("a run log");
    sandbox.state_dir().display().to_string()
}

/// `export` of a state directory, with its temporary files in `tmp`.
fn exporting(sandbox: &Sandbox, dir: &str, arguments: &[&str]) -> Command {
    fs::create_dir_all(sandbox.path("tmp")).expect("a directory");
    let source = ["export", "--state-dir", dir, "--until", "2027-01-01"];
    let mut command = command(&sandbox.path(""), &[&source, arguments].concat());
    command.env("TMPDIR", sandbox.path("tmp"));
    command
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Waits for the end of what was interrupted, and holds what it says and what it leaves.
fn assert_interrupted(sandbox: &Sandbox, mut process: Process) {
    let status = until("the end after Ctrl-C", || process.ended());
    let log = process.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.trim_end().ends_with("interrupted; nothing was changed"), "{log}");
    assert_eq!(names_in(&sandbox.path("tmp")), [""; 0], "nothing is left of the ledger for the occasion");
}

#[test]
fn ctrl_c_ends_it_where_nobody_reads_any_more() {
    let sandbox = Sandbox::new();
    let dir = long_history(&sandbox);
    // Written until the pipe is full.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = exporting(&sandbox, &dir, &["--format", "jsonl"]);
    let mut process = Process::spawn_to("export", &mut command, sandbox.path("log"), Some(writer.into()));
    let waits = |log: &str| log.contains("exporting for").then_some(());
    process.wait_for_log("a word for whoever waits", waits).expect("it waits for its reader");
    process.interrupt();
    assert_interrupted(&sandbox, process);
    drop(reader);
    // Not even opened, for want of a reader.
    let pipe = sandbox.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("run mkfifo");
    assert!(made.success());
    let mut command = exporting(&sandbox, &dir, &["--output", &pipe.display().to_string()]);
    let mut process = Process::spawn("export", &mut command, sandbox.path("log"));
    process.wait_for_log("a word for whoever waits", waits).expect("it waits for a reader");
    process.interrupt();
    assert_interrupted(&sandbox, process);
}

/// It is stopped where a file of the kind that is looked for is there and grows, so Ctrl-C comes amid the work.
#[test]
fn ctrl_c_leaves_no_half_of_a_file() {
    let sandbox = Sandbox::new();
    let dir = long_history(&sandbox);
    let out = sandbox.path("out");
    fs::create_dir(&out).expect("a directory");
    let file = out.join("runs.csv");
    let whole = exporting(&sandbox, &dir, &[]).output().expect("run the binary").stdout;
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 1 + usize::try_from(RUNS).expect("few"));
    for (folder, prefix) in
        [(out.as_path(), ".openclaw-usage-export-"), (&sandbox.path("tmp"), "openclaw-usage-report-")]
    {
        let interrupted = (0..20).any(|_| {
            fs::write(&file, "older").expect("an older file");
            let mut command = exporting(&sandbox, &dir, &["--output", &file.display().to_string()]);
            let mut process = Process::spawn("export", &mut command, sandbox.path("log"));
            until("a file in the making, or the end", || {
                let grows = names_in(folder)
                    .iter()
                    .any(|name| name.starts_with(prefix) && size(&folder.join(name)) > 0);
                (grows || process.ended().is_some()).then_some(())
            });
            if process.ended().is_none() {
                process.stop();
                process.interrupt();
                process.go_on();
            }
            let status = until("the end after Ctrl-C", || process.ended());
            assert_eq!(names_in(&out), ["runs.csv"], "no half of a file");
            let text = fs::read(&file).expect("a file");
            if status.success() {
                // It was done before the signal came.
                assert!(text == whole, "{}", process.log());
                return false;
            }
            assert_eq!(text, b"older", "the older one stays");
            assert_interrupted(&sandbox, process);
            true
        });
        assert!(interrupted, "the history is long enough for {prefix}");
    }
}

/// Bytes of a file, or of all files of a folder.
fn size(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => {
            entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|entry| entry.len()).sum()
        }
        Err(_) => path.metadata().map_or(0, |metadata| metadata.len()),
    }
}

#[test]
fn what_means_nothing_is_refused_before_anything_is_read() {
    let fixture = Fixture::unpack("2026.2.17");
    let (home, dir) = (fixture.path(""), state_dir(&fixture));
    for (arguments, said) in [
        (&["--format", "xml"][..], "'--format <FORMAT>'"),
        (&["--since", "soon"], "--since \"soon\": expected a time"),
        (&["--since", "now", "--until", "2026-01-01"], "a time that is not after --until"),
        (&["--tz", "Mars"], "--tz \"Mars\""),
    ] {
        let output = run(&home, &[&["export", "--state-dir", &dir], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let script = home.path().join("completion.bash");
    fs::write(&script, stdout(&run(home.path(), &["completions", "bash"]))).expect("a script");
    for (line, expected) in [
        ("openclaw-usage exp", &["export"][..]),
        ("openclaw-usage export --format ", &["csv", "jsonl", "parquet", "openmetrics"]),
        ("openclaw-usage report --fail", &["--fail-over"]),
    ] {
        // What bash does when a word is to be completed: the words so far, and which of them.
        let words: Vec<&str> = line.split(' ').collect();
        let ask = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            function=$(complete -p openclaw-usage); function=${function##*-F }
            ${function%% *} "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut bash = Command::new("bash");
        bash.args(["--norc", "--noprofile", "-euc", ask, "bash"]).arg(&script).args(&words);
        let output = bash.output().expect("run bash");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{line}");
        let offered = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(offered.lines().collect::<Vec<_>>(), expected, "{line}");
    }
}

#[test]
fn manual_pages_are_what_groff_reads() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let folder = home.path().join("man/man1");
    let output = run(home.path(), &["man", "--out", folder.to_str().expect("UTF-8")]);
    assert_eq!(stdout(&output), "");
    let first = fs::read(folder.join("openclaw-usage.1")).expect("the program's page");
    assert_eq!(stdout(&run(home.path(), &["man"])).into_bytes(), first);
    let has_groff = Command::new("groff").arg("--version").output().is_ok();
    for entry in fs::read_dir(&folder).expect("pages").flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().expect("UTF-8"));
        let page = fs::read_to_string(&path).expect("a page");
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(page.lines().any(|line| line.starts_with(part)), "{name} has no {part}");
        }
        let known = [".TH", ".SH", ".SS", ".TP", ".RS", ".RE", ".ie", ".el", ".br", ".PP", ".IP"];
        for line in page.lines().filter(|line| line.starts_with('.')) {
            let request = line.split(' ').next().unwrap_or_default();
            assert!(known.contains(&request), "{name}: {line}");
        }
        if has_groff {
            let output = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z"])
                .arg(&path)
                .output()
                .expect("run groff");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{name}");
        }
    }
}
