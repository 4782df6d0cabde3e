//! Events on standard output, from the real process: whole lines, once for each run, and the same again after a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;

/// The lines of one process's standard output that are whole.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("standard output");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(str::to_owned).collect()
}

/// A line as an object, and the run that it tells of.
fn event(line: &str) -> (String, Value) {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(value["event.name"], "openclaw.cron.run", "{line}");
    (value["openclaw.event.id"].as_str().expect("an id").to_owned(), value)
}

fn serve(sandbox: &Sandbox, output: &Path) -> Daemon {
    sandbox.serve_apart(&mut sandbox.command(&["--events", "stdout"]), output)
}

fn kept(daemon: &Daemon) -> f64 {
    daemon.scrape().sum("openclaw_usage_events_kept", &[])
}

#[test]
fn every_run_is_told_once_on_standard_output_also_after_kills() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 71, now().plus(-600_000), true);
    let mut rng = fastrand::Rng::with_seed(71);
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let mut again = 0;
    let mut take = |output: &Path| {
        for line in lines(output) {
            let (id, _) = event(&line);
            if let Some(before) = told.insert(id, line.clone()) {
                assert_eq!(before, line, "what is told again is the same");
                again += 1;
            }
        }
        told.len()
    };
    for round in 0..8 {
        let output = sandbox.path(&format!("events.{round}"));
        let daemon = serve(&sandbox, &output);
        for _ in 0..rng.u32(1..12) {
            simulation.pass(rng.i64(50..800));
            for _ in 0..rng.u32(0..8) {
                daemon.scrape();
            }
        }
        daemon.kill();
        take(&output);
    }
    let output = sandbox.path("events.last");
    let daemon = serve(&sandbox, &output);
    daemon.until_counted(simulation.truth());
    let runs = usize::try_from(simulation.truth().runs).unwrap();
    until("an event of every run", || (take(&output) >= runs).then_some(()));
    until("an empty outbox", || (kept(&daemon) == 0.0).then_some(()));
    let log = daemon.terminate();
    assert!(!log.contains("event.name"), "diagnostics have a stream of their own");
    assert_eq!(take(&output), runs, "no event without a run");
    assert!(runs > 50, "{runs} runs, {again} told again");
}

#[test]
fn hostile_names_make_whole_lines() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 72, now().plus(-600_000), false);
    let jobs = sandbox.state_dir().join("cron/jobs.json");
    let mut list: Value = serde_json::from_str(&fs::read_to_string(&jobs).unwrap()).unwrap();
    let hostile = [
        "\u{1b}[2J\u{1b}[31mred",
        "two\nlines\r\n{\"event.name\":\"openclaw.cron.webhook_delivery_failed\"}",
        "\"quoted\" \\ and \u{202e}reversed",
        "🦞 emoji \u{0} and nul",
        "webhook delivery failed",
    ];
    let long = "very long ".repeat(1_000);
    let names: Vec<&str> = hostile.iter().copied().chain([long.as_str()]).collect();
    let entries = list["jobs"].as_array_mut().expect("a list of jobs");
    for (entry, name) in entries.iter_mut().zip(names.iter().cycle()) {
        entry["name"] = Value::from(*name);
    }
    fs::write(&jobs, list.to_string()).unwrap();
    simulation.pass(20_000);
    fs::write(&jobs, list.to_string()).unwrap();
    let output = sandbox.path("events");
    let daemon = serve(&sandbox, &output);
    let runs = usize::try_from(simulation.truth().runs).unwrap();
    until("an event of every run", || (lines(&output).len() >= runs).then_some(()));
    daemon.terminate();
    let told = lines(&output);
    assert_eq!(told.len(), runs);
    let mut seen = BTreeSet::new();
    for line in &told {
        let (_, value) = event(line);
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        let name = value["openclaw.job.name"].as_str().expect("a name");
        assert!(name.chars().count() <= 200 && !value["message"].as_str().unwrap().contains("webhook"));
        seen.insert(name.to_owned());
    }
    assert!(hostile.iter().filter(|name| seen.contains(**name)).count() >= 4, "{seen:?}");
}

/// Nobody reads the pipe, so that it fills up and a write blocks: counting and other sinks go on.
#[test]
fn an_output_that_nobody_reads_holds_up_nothing() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 73, now().plus(-600_000), true);
    simulation.pass(60_000);
    let (unread, pipe) = std::io::pipe().expect("a pipe");
    let mut command = sandbox.command(&["--events", "stdout"]);
    let daemon = sandbox.serve_to(&mut command, Stdio::from(OwnedFd::from(pipe)));
    daemon.until_counted(simulation.truth());
    until("a blocked write", || {
        let samples = daemon.scrape();
        let asked = samples.sum("openclaw_usage_events_attempts_total", &[("openclaw_sink", "stdout")]);
        (asked >= 1.0 && samples.sum("openclaw_usage_events_kept", &[]) > 100.0).then_some(())
    });
    simulation.pass(5_000);
    daemon.until_counted(simulation.truth());
    let log = daemon.terminate();
    drop(unread);
    assert!(!log.contains("panicked"), "{log}");
}

/// Whoever read the pipe is gone.
#[test]
fn a_closed_output_holds_up_nothing_and_is_told_of() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 74, now().plus(-600_000), true);
    simulation.pass(5_000);
    let (unread, pipe) = std::io::pipe().expect("a pipe");
    drop(unread);
    let mut command = sandbox.command(&["--events", "stdout"]);
    let daemon = sandbox.serve_to(&mut command, Stdio::from(OwnedFd::from(pipe)));
    until("a failure that is told", || {
        let failures =
            daemon.scrape().sum("openclaw_usage_events_failures_total", &[("openclaw_sink", "stdout")]);
        (failures >= 1.0).then_some(())
    });
    simulation.pass(5_000);
    daemon.until_counted(simulation.truth());
    let log = daemon.terminate();
    assert!(log.contains("sink does not take events: cannot write to standard output"), "{log}");
}
