//! What cannot work ends at once: one line that names the value, where it came from and what to do, and a status that
//! tells a wrong word (64) from a problem (1).

use std::fs;
use std::net::TcpListener;

use rusqlite::Connection;

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;

/// The program's last line, which must hold all of these.
fn assert_refused(refused: &(Option<i32>, String), status: i32, says: &[&str]) {
    let (code, log) = refused;
    assert_eq!(*code, Some(status), "{log}");
    let last = log.lines().last().unwrap_or_default();
    for word in says {
        assert!(last.contains(word), "{word:?} is not in the last line of:\n{log}");
    }
    assert!(last.starts_with("openclaw-usage: "), "{log}");
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sandbox = Sandbox::new();
    let refused = sandbox.refused(&["--listen", &address]);
    assert_refused(&refused, 64, &[&address, "in use", "flag --listen", "free the port"]);
    assert_eq!(refused.1.lines().count(), 1, "{}", refused.1);
    assert!(!sandbox.ledger().exists(), "nothing was made before");
}

#[test]
fn a_flag_with_a_bad_value() {
    let sandbox = Sandbox::new();
    for (arguments, says) in [
        (["--listen", "nowhere"], ["nowhere", "flag --listen", "listen"]),
        (["--otlp-endpoint", "ftp://h/x"], ["ftp://h/x", "flag --otlp-endpoint", "http"]),
        (["--gateway", ""], ["gateway", "flag --gateway", "\"\""]),
    ] {
        let refused = sandbox.refused(&arguments);
        assert_refused(&refused, 64, &says);
        assert_eq!(refused.1.lines().count(), 1, "{}", refused.1);
    }
    // What the command line's parser refuses: values come with those that are possible, names with the nearest.
    for (arguments, says) in [
        (["--watch", "often"], ["'often'", "--watch", "auto, events, poll"]),
        (["--lisen", "127.0.0.1:0"], ["'--lisen'", "'--listen'", "--help"]),
    ] {
        let refused = sandbox.refused(&arguments);
        assert_refused(&refused, 64, &says);
        assert_eq!(refused.1.lines().count(), 1, "{}", refused.1);
    }
}

#[test]
fn a_configuration_with_a_mistake() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("config.toml");
    let name = file.display().to_string();
    let line = |n: u32| format!("{name}:{n}");
    for (text, origin, says) in [
        ("listen = \"127.0.0.1:0\"\nlisten_on = 7\n", line(2), "listen"),
        ("\n[ledger]\nkeep = \"soon\"\n", line(3), "soon"),
        ("watch = [\n", line(1), "TOML"),
        ("max_jobs = 0\n", line(1), "max_jobs"),
    ] {
        fs::write(&file, text).unwrap();
        let refused = sandbox.refused(&["--config", &name]);
        assert_refused(&refused, 64, &[&origin, says]);
        assert_eq!(refused.1.lines().count(), 1, "{}", refused.1);
    }
    fs::remove_file(&file).unwrap();
    assert_refused(&sandbox.refused(&["--config", &name]), 64, &[&name, "flag --config", "check the path"]);
}

#[test]
fn a_ledger_that_another_one_writes() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 21, now(), false);
    let first = sandbox.serve(&[]);
    let path = sandbox.ledger().display().to_string();
    assert_refused(&sandbox.refused(&[]), 1, &[&path, "in use by another process", "--ledger"]);
    simulation.run(0);
    first.until_counted(simulation.truth());
    first.terminate();
    sandbox.serve(&[]).until_counted(simulation.truth());
}

#[test]
fn a_ledger_of_a_newer_version_another_program_or_another_gateway() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 22, now(), false);
    simulation.run(0);
    sandbox.serve(&["--gateway", "office"]).terminate();
    let path = sandbox.ledger().display().to_string();
    assert_refused(&sandbox.refused(&["--gateway", "lab"]), 64, &[&path, "office", "lab", "--ledger"]);

    let ledger = Connection::open(sandbox.ledger()).unwrap();
    let known: i64 = ledger.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    ledger.pragma_update(None, "user_version", known + 998).unwrap();
    ledger.close().unwrap();
    let says = [path.as_str(), "schema", &(known + 998).to_string(), "run the newer version"];
    assert_refused(&sandbox.refused(&[]), 1, &says);

    let ledger = Connection::open(sandbox.ledger()).unwrap();
    ledger.pragma_update(None, "user_version", known).unwrap();
    ledger.close().unwrap();
    let daemon = sandbox.serve(&[]);
    daemon.until_counted(simulation.truth());
    assert!(daemon.log().contains("office"), "untouched: {}", daemon.log());

    let other = sandbox.path("other.sqlite");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (c); PRAGMA user_version = 3;").unwrap();
    let before = fs::read(&other).unwrap();
    let name = other.display().to_string();
    assert_refused(&sandbox.refused(&["--ledger", &name]), 64, &[&name, "no ledger of openclaw-usage"]);
    assert!(fs::read(&other).unwrap() == before, "not a byte of it was changed");
}
