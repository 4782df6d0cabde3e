//! What docs/operations.md has an operator do by hand: no total changes by it, and no counter falls or begins anew.

use std::fs;
use std::path::Path;

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;

/// What `cp -a` does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("the directory of the ledger") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

fn gateway(sandbox: &Sandbox, seed: u64) -> Simulation {
    let mut simulation = Simulation::new(&sandbox.state_dir(), seed, now().plus(-60_000), false);
    simulation.pass(30_000);
    simulation
}

#[test]
fn a_ledger_that_was_moved_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    let mut simulation = gateway(&sandbox, 81);
    let daemon = sandbox.serve(&[]);
    let before = daemon.until_counted(simulation.truth());
    daemon.terminate();
    simulation.pass(5_000);

    let (old, new) = (sandbox.path("own"), sandbox.path("new"));
    copy(&old, &new);
    fs::remove_dir_all(&old).expect("the old directory goes");
    let ledger = new.join("ledger.sqlite");
    let daemon = sandbox.serve(&["--ledger", ledger.to_str().expect("a path in UTF-8")]);
    daemon.until_counted(simulation.truth()).assert_continues(&before);
    assert!(!old.exists());
    daemon.terminate();
}

/// What is shown after the rollback is compared from the first page on: nothing may fall even for a moment.
#[test]
fn an_older_copy_of_the_ledger_catches_up_before_anything_is_shown() {
    let sandbox = Sandbox::new();
    let mut simulation = gateway(&sandbox, 82);
    let daemon = sandbox.serve(&[]);
    let at_backup = daemon.until_counted(simulation.truth());
    daemon.terminate();
    let (own, backup) = (sandbox.path("own"), sandbox.path("backup"));
    copy(&own, &backup);

    let daemon = sandbox.serve(&[]);
    simulation.pass(5_000);
    let before = daemon.until_counted(simulation.truth());
    assert!(before.sum("openclaw_tokens_total", &[]) > at_backup.sum("openclaw_tokens_total", &[]));
    daemon.terminate();

    fs::remove_dir_all(&own).expect("the newer ledger goes");
    copy(&backup, &own);
    let daemon = sandbox.serve(&[]);
    daemon.until_readiness(200, "");
    let after = daemon.scrape();
    for family in ["openclaw_tokens_total", "openclaw_cron_runs_total", "openclaw_cost_usd_total"] {
        assert!(after.sum(family, &[]) >= before.sum(family, &[]), "{family} fell");
    }
    daemon.until_counted(simulation.truth()).assert_continues(&at_backup);
    daemon.terminate();
}
