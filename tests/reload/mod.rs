//! Another configuration while the daemon runs.

mod sources;
mod storm;
mod tokens;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::samples::Samples;

/// A configuration whose budget bears this name.
fn budget(name: &str) -> String {
    format!("[[budget]]\nname = \"{name}\"\nusd = 5\nperiod = \"day\"\n")
}

/// Whether the budgets are one of this name.
fn has_budget(samples: &Samples, name: &str) -> bool {
    let names: Vec<&String> = samples
        .0
        .keys()
        .filter(|(series, _)| series == "openclaw_usage_budget_limit_usd")
        .filter_map(|(_, labels)| labels.get("openclaw_budget"))
        .collect();
    names == [name]
}

fn until_budget(daemon: &Daemon, name: &str) -> Samples {
    until(&format!("the budget {name}"), || {
        let samples = daemon.scrape();
        has_budget(&samples, name).then_some(samples)
    })
}

/// Writes a file so that it is seen whole or not at all.
fn replace(path: &PathBuf, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("a file beside it");
    fs::rename(&beside, path).expect("in its place");
}

/// How often the daemon said something in its log.
fn said(daemon: &Daemon, what: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains(what)).count()
}

fn until_said(daemon: &Daemon, what: &str, times: usize) {
    until(&format!("{what:?} {times} times in the log"), || (said(daemon, what) >= times).then_some(()));
}

#[test]
fn however_the_file_is_changed_it_is_noticed() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("usage.toml");
    fs::write(&file, budget("first")).unwrap();
    let daemon = sandbox.serve(&["--config", file.to_str().unwrap()]);
    until_budget(&daemon, "first");
    fs::write(&file, budget("written")).unwrap();
    until_budget(&daemon, "written");
    replace(&file, &budget("renamed"));
    until_budget(&daemon, "renamed");
    fs::remove_file(&file).unwrap();
    until_said(&daemon, "configuration not reloaded", 1);
    assert!(has_budget(&daemon.scrape(), "renamed"), "what was in force stays");
    let elsewhere = sandbox.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let real = elsewhere.join("usage.toml");
    fs::write(&real, budget("linked")).unwrap();
    symlink(&real, &file).unwrap();
    until_budget(&daemon, "linked");
    fs::write(&real, budget("behind the link")).unwrap();
    until_budget(&daemon, "behind the link");
}

/// As the kubelet does it: files are links into `..data`, which is a link to a directory that is replaced.
#[test]
fn a_config_map_is_swapped() {
    let sandbox = Sandbox::new();
    let mount = sandbox.path("mount");
    let swap = |version: &str| {
        let version = format!("..{version}");
        fs::create_dir(mount.join(&version)).unwrap();
        fs::write(mount.join(&version).join("usage.toml"), budget(&version)).unwrap();
        let old = fs::read_link(mount.join("..data"));
        symlink(&version, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        if let Ok(old) = old {
            fs::remove_dir_all(mount.join(old)).unwrap();
        }
        version
    };
    fs::create_dir(&mount).unwrap();
    let first = swap("2026_01");
    symlink("..data/usage.toml", mount.join("usage.toml")).unwrap();
    let daemon = sandbox.serve(&["--config", mount.join("usage.toml").to_str().unwrap()]);
    until_budget(&daemon, &first);
    for version in ["2026_02", "2026_03", "2026_04"] {
        let version = swap(version);
        until_budget(&daemon, &version);
    }
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_told() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("usage.toml");
    fs::write(&file, budget("good")).unwrap();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 71, now(), false);
    simulation.run(0);
    let daemon = sandbox.serve(&["--config", file.to_str().unwrap()]);
    daemon.until_counted(simulation.truth());
    let state = |samples: &Samples| {
        let loaded = samples.sum("openclaw_usage_config_last_reload_successful", &[]);
        (loaded, samples.sum("openclaw_usage_config_last_reload_success_timestamp_seconds", &[]))
    };
    let (loaded, at) = state(&until_budget(&daemon, "good"));
    assert!(loaded == 1.0 && at > 0.0);
    for (bad, words) in [
        ("[[budget", "usage.toml:1: not valid TOML"),
        ("[[budgets]]\nname = \"x\"", "usage.toml:1: unknown key `budgets`; did you mean `budget`?"),
        ("max_jobs = 0", "max_jobs = \"0\""),
        ("[[otlp]]\nendpoint = \"http://a\"\nbearer_token_file = \"nowhere\"", "nowhere"),
    ] {
        replace(&file, bad);
        until_said(&daemon, words, 1);
        let samples = until("0 of the gauge", || {
            let samples = daemon.scrape();
            (state(&samples).0 == 0.0).then_some(samples)
        });
        assert_eq!(state(&samples), (0.0, at), "{bad}");
        assert!(has_budget(&samples, "good"), "{bad}");
        simulation.run(1);
        daemon.until_counted(simulation.truth());
    }
    replace(&file, &budget("better"));
    let (loaded, again) = state(&until_budget(&daemon, "better"));
    assert!(loaded == 1.0 && again > at);
    let log = daemon.terminate();
    assert_eq!(log.matches("configuration not reloaded").count(), 4, "once each: {log}");
}

#[test]
fn another_gateway_is_refused_and_what_needs_a_restart_waits_for_it() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("usage.toml");
    fs::write(&file, "gateway = \"office\"\n").unwrap();
    let daemon = sandbox.serve(&["--config", file.to_str().unwrap()]);
    replace(&file, "gateway = \"another\"\n");
    until_said(&daemon, "belongs to the gateway \"office\", not \"another\"", 1);
    drop(daemon);

    // Flags are stronger than the file, so it says everything here.
    let (state, ledger) = (sandbox.state_dir(), sandbox.ledger());
    let text = |listen: &str, ledger: &str, more: &str| {
        let state = state.display();
        format!("state_dir = \"{state}\"\nlisten = \"{listen}\"\n[ledger]\npath = \"{ledger}\"\n{more}")
    };
    let ledger = ledger.to_str().unwrap();
    fs::write(&file, text("127.0.0.1:0", ledger, "")).unwrap();
    let mut command = std::process::Command::new(crate::common::daemon::PROGRAM);
    command.args(["serve", "--config"]).arg(&file).env("OPENCLAW_USAGE_GATEWAY_LOG", "off");
    let daemon = sandbox.serve_command(&mut command);
    let other = sandbox.path("other.sqlite");
    replace(&file, &text("127.0.0.1:1", other.to_str().unwrap(), &budget("taken up")));
    let samples = until_budget(&daemon, "taken up");
    assert_eq!(samples.sum("openclaw_usage_config_last_reload_successful", &[]), 1.0);
    until_said(&daemon, "listen, ledger.path: changed, but taken up only by a restart", 1);
    assert!(!other.exists());
}

#[test]
fn levels_of_the_log_and_the_state_directory_change_at_once() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("usage.toml");
    let dirs = [sandbox.path("one"), sandbox.path("two")];
    let text = |dir: &PathBuf, more: &str| {
        let (dir, ledger) = (dir.display(), sandbox.ledger().display().to_string());
        format!("state_dir = \"{dir}\"\nlisten = \"127.0.0.1:0\"\n{more}\n[ledger]\npath = \"{ledger}\"\n")
    };
    let mut simulations =
        [(0, 72), (1, 73)].map(|(at, seed): (usize, u64)| Simulation::new(&dirs[at], seed, now(), false));
    simulations.iter_mut().for_each(|simulation| simulation.run(0));
    fs::write(&file, text(&dirs[0], "")).unwrap();
    let mut command = std::process::Command::new(crate::common::daemon::PROGRAM);
    command.args(["serve", "--config"]).arg(&file).env("OPENCLAW_USAGE_GATEWAY_LOG", "off");
    let daemon = sandbox.serve_command(&mut command);
    let before = daemon.until_counted(simulations[0].truth());
    replace(&file, &text(&dirs[1], "watch = \"poll\"\npoll_interval = \"50ms\""));
    let both = daemon.until_counted(simulations[0].truth() + simulations[1].truth());
    both.assert_continues(&before);
    simulations[1].run(1);
    daemon.until_counted(simulations[0].truth() + simulations[1].truth());

    replace(&file, &format!("{}[log]\nlevel = \"off\"\n", text(&dirs[1], "")));
    let loaded = || daemon.scrape().sum("openclaw_usage_config_last_reload_success_timestamp_seconds", &[]);
    let quiet = until("a reload that says nothing", || {
        let (length, before) = (daemon.log().len(), loaded());
        daemon.hang_up();
        until("a reload", || (loaded() > before).then_some(()));
        (daemon.log().len() == length).then_some(length)
    });
    fs::write(&file, format!("{}[log]\nformat = \"json\"\n", text(&dirs[1], ""))).unwrap();
    until("a line of JSON", || {
        let log = daemon.log();
        let new = &log[quiet..];
        new.lines().any(|line| line.starts_with('{') && line.contains("configuration reloaded")).then_some(())
    });
}
