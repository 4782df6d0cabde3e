//! What goes wrong while it runs, or before: a damaged, deleted or unwritable ledger, directories that are not there,
//! are swapped or are somebody else's. It says what is the matter, counts what it can, and heals by itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::common::daemon::{PROGRAM, Sandbox, beside, now};
use crate::common::foreign::{as_nobody, foreign_sandbox, mode};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::samples::{Count, Samples};

/// Runs that servers already have must not be counted for them again: counters begin at zero, with what ends from now on.
#[test]
fn a_damaged_ledger_is_moved_aside_and_rebuilt() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 31, now(), false);
    let history = simulation.gateway.jobs()[0].id.clone();
    simulation.gateway.prefill(&history, 30).unwrap();
    let daemon = sandbox.serve(&[]);
    let before = daemon.until_counted(simulation.truth());
    daemon.terminate();
    let mut bytes = fs::read(sandbox.ledger()).unwrap();
    let damaged = bytes.len() / 4;
    bytes[damaged..].fill(0xa5);
    fs::write(sandbox.ledger(), &bytes).unwrap();

    let daemon = sandbox.serve(&[]);
    assert!(daemon.log().contains("is damaged") && daemon.log().contains("is lost"), "{}", daemon.log());
    let aside = beside(&sandbox.ledger(), |name| name.contains(".corrupt-")).expect("the damaged ledger");
    assert_eq!(fs::read(aside).unwrap(), bytes, "nothing of it is thrown away");
    let rows = |samples: &Samples| samples.sum("openclaw_usage_runs", &[]);
    until("the rows of all runs", || (rows(&daemon.scrape()) == rows(&before)).then_some(()));
    assert_eq!(
        Count::on(&daemon.scrape()),
        Count::default(),
        "what was exported before is not exported again"
    );

    let past = simulation.truth();
    simulation.now = now();
    simulation.run(3);
    daemon.until_counted(simulation.truth() - past);
    daemon.terminate();
    sandbox.serve(&[]).until_counted(simulation.truth() - past);
}

#[test]
fn a_ledger_deleted_while_in_use_is_restored() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 32, now(), false);
    simulation.run(0);
    let daemon = sandbox.serve(&[]);
    let mut seen = daemon.until_counted(simulation.truth());
    for folder_too in [false, true] {
        let folder = sandbox.ledger().parent().unwrap().to_owned();
        if folder_too {
            fs::remove_dir_all(&folder).unwrap();
        } else {
            for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
                fs::remove_file(folder.join(name)).unwrap();
            }
        }
        simulation.run(1);
        let settled = daemon.until_counted(simulation.truth());
        settled.assert_continues(&seen);
        until("the ledger is there again", || sandbox.ledger().exists().then_some(()));
        seen = settled;
    }
    assert!(daemon.log().contains("was deleted while in use"), "{}", daemon.log());
    daemon.kill();
    let daemon = sandbox.serve(&[]);
    daemon.until_counted(simulation.truth()).assert_continues(&seen);
    assert!(daemon.log().contains("ledger opened"), "{}", daemon.log());
}

/// The limit on the size of a file stands in for the disk: commits fail, and succeed once it is lifted.
#[test]
fn a_ledger_that_cannot_grow() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 33, now().plus(-60_000), false);
    simulation.pass(20_000);
    // Without the signal, the process sees the error itself, as it does with a full disk.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#, PROGRAM]);
    sandbox.arguments(&mut command, &[]);
    let daemon = sandbox.serve_command(&mut command);
    let mut seen = daemon.until_counted(simulation.truth());
    for round in 0..2 {
        let counted = simulation.truth();
        limit_files(daemon.pid(), Some(8 << 10));
        simulation.pass(5_000);
        daemon.until_readiness(503, "the last batch was not counted and is tried again");
        let stuck = daemon.scrape();
        assert_eq!(Count::on(&stuck), counted, "what is not committed is not shown: round {round}");
        assert_eq!(stuck.sum("openclaw_usage_ledger_writable", &[]), 0.0);
        simulation.pass(3_000);

        limit_files(daemon.pid(), None);
        let healed = daemon.until_counted(simulation.truth());
        healed.assert_continues(&seen);
        daemon.until_readiness(200, "ready");
        assert_eq!(daemon.scrape().sum("openclaw_usage_ledger_writable", &[]), 1.0);
        seen = healed;
    }
    let log = daemon.terminate();
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        (said("was not counted"), said("can be written again")),
        (2, 2),
        "a line a time, not a try: {log}"
    );
    sandbox.serve(&[]).until_counted(simulation.truth()).assert_continues(&seen);
}

/// A soft limit on the size of files that the process writes; none again with `None`.
fn limit_files(process: Pid, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Some(process), Resource::Fsize, limit).expect("a limit for a child of ours");
}

#[test]
fn a_state_directory_that_comes_later_goes_and_returns() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.serve(&[]);
    let absent = format!("the state directory {} does not exist yet", sandbox.state_dir().display());
    daemon.until_readiness(503, &absent);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.scrape().sum("openclaw_usage_source_up", &[]), 0.0);

    let mut simulation = Simulation::new(&sandbox.state_dir(), 34, now(), false);
    simulation.run(0);
    daemon.until_readiness(200, "ready");
    let mut seen = daemon.until_counted(simulation.truth());

    // An unmounted volume, and the same one again.
    let elsewhere = sandbox.path("elsewhere");
    fs::rename(sandbox.state_dir(), &elsewhere).unwrap();
    daemon.until_readiness(503, &absent);
    assert_eq!(Count::on(&daemon.scrape()), simulation.truth(), "what was counted stays");
    fs::rename(&elsewhere, sandbox.state_dir()).unwrap();
    daemon.until_readiness(200, "ready");
    simulation.run(0);
    seen = {
        let settled = daemon.until_counted(simulation.truth());
        settled.assert_continues(&seen);
        settled
    };

    // A restored backup: the same logs as other files.
    for _ in 0..3 {
        simulation.gateway.writer().swap_runs_dir().unwrap();
        simulation.run(1);
        let settled = daemon.until_counted(simulation.truth());
        settled.assert_continues(&seen);
        assert_eq!(settled.sum("openclaw_usage_source_gaps_total", &[]), 0.0);
        seen = settled;
    }
}

/// An empty state directory, and one of a newer OpenClaw: each is told from the other.
#[test]
fn a_state_directory_without_run_logs() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.state_dir()).unwrap();
    let daemon = sandbox.serve(&["--watch", "poll"]);
    daemon.until_readiness(503, "OpenClaw makes one at the first run");
    fs::create_dir(sandbox.state_dir().join("state")).unwrap();
    fs::write(sandbox.state_dir().join("state/openclaw.sqlite"), "").unwrap();
    daemon.until_readiness(503, "is no readable SQLite database (it is empty)");
    let empty = [("openclaw_reason", "not_a_database")];
    assert_eq!(daemon.scrape().sum("openclaw_usage_rejects_total", &empty), 1.0);
}

#[test]
fn directories_that_another_user_owns() {
    let Some(sandbox) = foreign_sandbox() else { return };
    let mut simulation = Simulation::new(&sandbox.state_dir(), 35, now(), false);
    simulation.run(0);
    let job = simulation.gateway.jobs()[0].id.clone();
    let log = simulation.gateway.writer().path(&job);
    let runs = simulation.gateway.writer().runs_dir().to_owned();
    mode(&log, 0);
    mode(&runs, 0);
    let daemon = sandbox.serve_command(&mut as_nobody(&sandbox, &["--watch", "poll"]));
    let says = format!("cannot list {}: Permission denied", runs.display());
    daemon.until_readiness(503, &says);
    assert!(daemon.get("/readyz").text().contains("give this user read and search access"));

    mode(&runs, 0o755);
    daemon.until_readiness(200, "ready");
    let unreadable = [("openclaw_reason", "unreadable")];
    until("the log that cannot be read is a reject", || {
        (daemon.scrape().sum("openclaw_usage_rejects_total", &unreadable) == 1.0).then_some(())
    });
    let said = format!("cannot open {} for reading: Permission denied", log.display());
    assert_eq!(daemon.log().matches(&said).count(), 1, "{}", daemon.log());
    assert!(daemon.log().contains("give this user read access"), "{}", daemon.log());

    // Nothing but its mode changes: a sweep finds that it can be read.
    mode(&log, 0o644);
    let settled = daemon.until_counted(simulation.truth());
    assert_eq!(settled.sum("openclaw_usage_rejects_total", &unreadable), 1.0, "counted once");
    assert_eq!(daemon.log().matches(&said).count(), 1, "said once: {}", daemon.log());
}

#[test]
fn a_state_directory_that_nobody_may_write() {
    let Some(sandbox) = foreign_sandbox() else { return };
    let mut simulation = Simulation::new(&sandbox.state_dir(), 36, now(), false);
    simulation.run(0);
    simulation.run(1);
    let state = sandbox.state_dir();
    let before = listing(&state);
    for (path, _) in &before {
        mode(path, if path.is_dir() { 0o555 } else { 0o444 });
    }
    let daemon = sandbox.serve_command(&mut as_nobody(&sandbox, &[]));
    daemon.until_counted(simulation.truth());
    daemon.until_readiness(200, "ready");
    daemon.terminate();
    assert_eq!(listing(&state), before, "read-only towards the gateway");
    for (path, _) in before.iter().filter(|(path, _)| path.is_dir()) {
        mode(path, 0o755);
    }
}

#[test]
fn a_ledger_where_this_user_may_not_write() {
    let Some(sandbox) = foreign_sandbox() else { return };
    let closed = sandbox.path("closed");
    fs::create_dir(&closed).unwrap();
    mode(&closed, 0o555);
    let ledger = closed.join("deeper/ledger.sqlite").display().to_string();
    let (status, log) = sandbox.refused_command(&mut as_nobody(&sandbox, &["--ledger", &ledger]));
    assert_eq!(status, Some(1), "{log}");
    for word in
        [ledger.as_str(), "cannot write the ledger", "Permission denied", "make the directory writable"]
    {
        assert!(log.contains(word), "{word:?}: {log}");
    }
}

/// Every path below with its content, in order; directories after what is in them.
fn listing(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut all = Vec::new();
    for path in entries {
        if path.is_dir() {
            all.extend(listing(&path));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all.push((folder.to_owned(), Vec::new()));
    all
}
