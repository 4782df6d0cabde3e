//! Another configuration while relays have messages to send.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, mpsc};

use super::*;

/// A relay that moves to another place takes its queue with it; one that is new is told of what happens from then on.
#[test]
fn a_relay_moves_with_its_queue_and_another_joins() {
    let (told, tried) = mpsc::channel();
    let told = Mutex::new(told);
    let down = Service::start(service::anything, move |_, _| {
        told.lock().unwrap().send(()).unwrap();
        reply(503, "")
    });
    let (up, other) = (Service::willing(service::anything), Service::willing(service::anything));
    let mut setup = Setup::new().relay("team", "http", &url(&down, "/a"), "");
    let mut simulation = setup.gateway(82);
    let daemon = setup.serve();
    simulation.run(0);
    simulation.run(1);
    daemon.until_counted(simulation.truth());
    tried.recv().expect("a try");

    setup = setup.relay("other", "http", &url(&other, "/c"), "");
    fs::write(setup.sandbox.path("team.url"), url(&up, "/b")).unwrap();
    setup.path();
    until("both messages", || (up.taken().len() == 2).then_some(()));
    until("the new relay", || daemon.log().contains("changed=\"relay, digest\"").then_some(()));
    let before = other.taken().len();
    // Later by the clock of the runs, too.
    simulation.pass(120_000);
    simulation.run(2);
    until("the third there", || (up.taken().len() >= 3).then_some(()));
    until("the third at the new one", || (other.taken().len() > before).then_some(()));
    assert_eq!(before, 0, "what was before it is not for it");
    // The simulated schedule may have had more runs by then.
    let taken = up.taken();
    let ids: BTreeSet<String> = taken.iter().map(id).collect();
    assert_eq!(ids.len(), taken.len(), "each once");
    let log = daemon.terminate();
    assert!(!log.contains(&down.address.to_string()) && !log.contains(&up.address.to_string()), "{log}");
}
