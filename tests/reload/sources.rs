//! `openclaw.json`, which a config manager replaces in one step, is followed.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;

#[test]
fn the_gateway_s_configuration_is_swapped_by_rename_and_by_symlink() {
    let sandbox = Sandbox::new();
    let state = sandbox.state_dir();
    fs::create_dir(&state).unwrap();
    let mut simulations: Vec<Simulation> = ["one", "two", "three"]
        .iter()
        .zip(81..)
        .map(|(name, seed)| Simulation::new(&sandbox.path(name), seed, now(), false))
        .collect();
    simulations.iter_mut().for_each(|simulation| simulation.run(0));
    let store = |name: &str| {
        let jobs = sandbox.path(name).join("cron/jobs.json");
        format!("{{ cron: {{ store: \"{}\" }} }}", jobs.display())
    };
    let file = state.join("openclaw.json");
    fs::write(&file, store("one")).unwrap();
    let daemon = sandbox.serve(&[]);
    let mut truth = simulations[0].truth();
    let mut seen = daemon.until_counted(truth);

    let beside = state.join("openclaw.json.tmp");
    fs::write(&beside, store("two")).unwrap();
    fs::rename(&beside, &file).unwrap();
    truth = truth + simulations[1].truth();
    let renamed = daemon.until_counted(truth);
    renamed.assert_continues(&seen);
    seen = renamed;

    let elsewhere = sandbox.path("managed.json");
    fs::write(&elsewhere, store("three")).unwrap();
    symlink(&elsewhere, &beside).unwrap();
    fs::rename(&beside, &file).unwrap();
    truth = truth + simulations[2].truth();
    let linked = daemon.until_counted(truth);
    linked.assert_continues(&seen);
    // The gateway is where its configuration says.
    let before = simulations[2].truth();
    simulations[2].run(1);
    daemon.until_counted(truth + (simulations[2].truth() - before));
}
