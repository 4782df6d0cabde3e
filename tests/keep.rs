//! The ledger backed up beside its daemon, verified, and brought back; a daemon asked whether it is well.

use std::fs;
use std::process::{Command, Output};

use crate::common::daemon::{PROGRAM, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::receiver::Receiver;

fn run(sandbox: &Sandbox, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", sandbox.path("")).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("the program");
    let said = [stdout, stderr].map(|part| String::from_utf8(part).expect("UTF-8")).concat();
    (status.code(), said)
}

#[test]
fn a_backup_of_a_busy_ledger_is_sound_and_comes_back_without_counting_twice() {
    let sandbox = Sandbox::new();
    let receiver = Receiver::willing();
    let url = receiver.url();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 41, now().plus(-600_000), false);
    simulation.pass(20_000);
    let daemon = sandbox.serve(&["--otlp-endpoint", &url]);
    daemon.until_counted(simulation.truth());
    let ledger = sandbox.ledger();
    let [ledger, copy] = [ledger, sandbox.path("copy.sqlite")].map(|path| path.to_str().unwrap().to_owned());
    let of = ["--ledger", &ledger];
    for round in 0..5 {
        // The daemon may be amid these.
        simulation.pass(3_000);
        let (status, said) = run(&sandbox, &[&["ledger", "backup", &copy, "--force"][..], &of].concat());
        assert_eq!(status, Some(0), "{round}: {said}");
        let (status, said) = run(&sandbox, &["ledger", "verify", &copy]);
        assert!(status == Some(0) && said.ends_with("sound\n"), "{round}: {said}");
    }
    let (status, said) = run(&sandbox, &[&["ledger", "backup", &copy][..], &of].concat());
    assert!(status == Some(1) && said.contains("--force"), "{said}");
    let (status, said) = run(&sandbox, &[&["ledger", "restore", &copy][..], &of].concat());
    assert!(status == Some(1) && said.contains("is in use by another process"), "{said}");
    let (status, said) = run(&sandbox, &[&["ledger", "verify", "--json"][..], &of].concat());
    assert!(status == Some(0) && said.contains("\"ok\": true"), "{said}");

    simulation.pass(20_000);
    let before = daemon.until_counted(simulation.truth());
    daemon.terminate();
    assert_eq!(receiver.seen().count(), simulation.truth());
    let (status, said) = run(&sandbox, &[&["ledger", "restore", &copy][..], &of].concat());
    assert!(
        status == Some(0) && said.contains("go on where they stood in the ledger that was there"),
        "{said}"
    );
    let daemon = sandbox.serve(&["--otlp-endpoint", &url]);
    simulation.pass(5_000);
    daemon.until_counted(simulation.truth()).assert_continues(&before);
    until("the totals at the receiver", || (receiver.seen().count() == simulation.truth()).then_some(()));
    let seen = receiver.seen();
    // Those of the process begin with it.
    let restarted: Vec<_> =
        seen.restarted().into_iter().filter(|(name, ..)| !name.starts_with("openclaw.usage.")).collect();
    assert!(restarted.is_empty(), "{restarted:?}");
    drop(seen);
    daemon.terminate();

    // The disk is lost with all but the backup: servers have the old totals, and add what ends from now on.
    fs::remove_dir_all(sandbox.ledger().parent().unwrap()).unwrap();
    let (status, said) = run(&sandbox, &[&["ledger", "restore", &copy][..], &of].concat());
    assert!(status == Some(0) && said.contains("begin anew at zero"), "{said}");
    let past = simulation.truth();
    simulation.now = now();
    let daemon = sandbox.serve(&[]);
    daemon.until_readiness(200, "ready");
    simulation.run(0);
    daemon.until_counted(simulation.truth() - past);
    let (status, said) = run(&sandbox, &[&["ledger", "verify"][..], &of].concat());
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn a_damaged_ledger_is_told_from_a_sound_one() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("ledger.sqlite");
    let path = file.to_str().unwrap();
    let (status, said) = run(&sandbox, &["ledger", "verify", path]);
    assert!(status == Some(1) && said.contains("there is no ledger"), "{said}");
    fs::write(&file, "not a database, whatever its name may say, and longer than the head of one would be")
        .unwrap();
    let (status, said) = run(&sandbox, &["ledger", "verify", path, "--json"]);
    assert!(status == Some(1) && said.contains("\"ok\": false") && said.contains("is no ledger"), "{said}");
}

/// With the configuration of the daemon, even if that is bad by now.
#[test]
fn a_daemon_says_whether_it_is_well() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.serve(&[]);
    let address = daemon.address().to_string();
    let file = sandbox.path("usage.toml");
    fs::write(&file, format!("listen = \"{address}\"\nmax_jobs = \"none\"\n")).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let (status, said) = run(&sandbox, &[&["health"][..], &config].concat());
    assert_eq!((status, said.as_str()), (Some(0), "alive\n"));
    let (status, said) = run(&sandbox, &["health", "--ready", "--listen", &address]);
    assert!(status == Some(1) && said.contains("does not exist yet"), "{said}");
    Simulation::new(&sandbox.state_dir(), 42, now(), false).run(0);
    daemon.until_readiness(200, "ready");
    let (status, said) = run(&sandbox, &[&["health", "--ready"][..], &config].concat());
    assert!(status == Some(0) && said.starts_with("ready"), "{said}");
    let everywhere = format!("0.0.0.0:{}", daemon.address().port());
    assert_eq!(run(&sandbox, &["health", "--listen", &everywhere]).0, Some(0));
    daemon.terminate();
    let (status, said) = run(&sandbox, &[&["health"][..], &config].concat());
    assert!(status == Some(1) && said.contains("does not answer on 127.0.0.1"), "{said}");
    fs::write(&file, "listen = \"nowhere\"").unwrap();
    assert_eq!(run(&sandbox, &[&["health"][..], &config].concat()).0, Some(64));
}
