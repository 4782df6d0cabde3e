//! Files with secrets are read again when they change.

use std::fs;

use super::{replace, until_said};
use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::receiver::{Answer, Receiver};

/// The server's token is replaced first, as it is in life: what it refuses meanwhile is told later, and nobody else
/// notices.
#[test]
fn a_token_is_rotated() {
    let sandbox = Sandbox::new();
    let accepted = std::sync::Arc::new(std::sync::Mutex::new("Bearer first".to_owned()));
    let judge = std::sync::Arc::clone(&accepted);
    let guarded = Receiver::start(move |authorization| {
        let is_good = authorization == *judge.lock().unwrap();
        Answer::Status(if is_good { 200 } else { 401 })
    });
    let open = Receiver::willing();
    let (file, token) = (sandbox.path("usage.toml"), sandbox.path("token"));
    fs::write(&token, "first\n").unwrap();
    let text = format!(
        "[[otlp]]\nname = \"guarded\"\nendpoint = \"{}\"\nbearer_token_file = \"token\"\n\
         [[otlp]]\nname = \"open\"\nendpoint = \"{}\"\n",
        guarded.url(),
        open.url()
    );
    fs::write(&file, text).unwrap();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 91, now(), false);
    simulation.run(0);
    let daemon = sandbox.serve(&["--config", file.to_str().unwrap()]);
    let until_has = |receiver: &Receiver, simulation: &Simulation, what: &str| {
        until(what, || (receiver.seen().count() == simulation.truth()).then_some(()));
    };
    until_has(&guarded, &simulation, "the first totals");

    *accepted.lock().unwrap() = "Bearer second".to_owned();
    simulation.run(1);
    until_has(&open, &simulation, "the totals elsewhere");
    until_said(&daemon, "endpoint does not take metrics", 1);
    assert_ne!(guarded.seen().count(), simulation.truth());
    replace(&token, "second\n");
    until_has(&guarded, &simulation, "the totals under the new token");
    until_said(&daemon, "endpoint takes metrics again", 1);
    until_said(&daemon, "changed=\"otlp\"", 1);
    assert!(guarded.seen().restarted().is_empty(), "{:?}", guarded.seen().restarted());
    assert_eq!(open.seen().connections, 1, "who did not change is not disturbed");

    // One that is empty for a moment changes nothing.
    fs::write(&token, "").unwrap();
    until_said(&daemon, "configuration not reloaded", 1);
    simulation.run(2);
    until_has(&guarded, &simulation, "the totals under the token in force");
    let log = daemon.terminate();
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}
