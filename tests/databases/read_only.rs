//! Nothing is ever made or changed in the state directory, whether the gateway works or has stopped, and whether or not
//! the daemon could write there.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::common::foreign::{as_nobody, foreign_sandbox, mode};
use crate::common::real_time::Pace;

/// All that a write would change: inode, mode, owner, size and time of everything below. The time of metadata is left
/// out, since SQLite, run by root, gives `-shm` the owner that it has.
type Listing = Vec<(PathBuf, [i64; 7])>;

/// Files are looked at and never opened: closing one would take the locks from a connection in this process.
fn listing(folder: &Path) -> Listing {
    let mut all = vec![(folder.to_owned(), facts(folder))];
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            all.extend(listing(&path));
        } else {
            all.push((path.clone(), facts(&path)));
        }
    }
    all
}

fn facts(path: &Path) -> [i64; 7] {
    let metadata = path.metadata().expect("a file that stays");
    let number = |value: u64| i64::try_from(value).expect("a number of an inode");
    [
        number(metadata.ino()),
        i64::from(metadata.mode()),
        number(metadata.size()),
        metadata.mtime(),
        metadata.mtime_nsec(),
        i64::from(metadata.uid()),
        i64::from(metadata.gid()),
    ]
}

fn modes(state_dir: &Path, folders: u32, files: u32) {
    for (path, _) in listing(state_dir) {
        mode(&path, if path.is_dir() { folders } else { files });
    }
}

/// A directory with a database in which three runs are finished and one is not.
fn prepare(sandbox: &Sandbox) -> Store {
    let store = Store::create(&database(sandbox));
    store.sql(
        "INSERT INTO cron_jobs VALUES ('k', 'job', 'a job', 1, 'main', '{\"schedule\":{\"kind\":\"every\"}}', '{}', 1, 1)",
    );
    store.start("job", 0);
    (1..4).for_each(|number| store.run("job", number));
    store
}

/// Counts with a gateway that works, then with one that stopped; `daemon` starts the program.
fn counts_without_a_trace(sandbox: &Sandbox, closed: bool, daemon: impl Fn() -> Daemon) {
    let state = sandbox.state_dir();
    let close = || {
        if closed {
            modes(&state, 0o555, 0o444);
        }
    };
    let store = prepare(sandbox);
    close();
    let before = listing(&state);
    assert_eq!(before.len(), 5, "two directories and three files: {before:?}");
    let running = daemon();
    running.until_counted(runs(3));
    running.until_readiness(200, "ready");
    assert_eq!(listing(&state), before, "a gateway that works");

    // What it writes meanwhile is counted, and after a restart of ours too.
    store.end(0);
    running.until_counted(runs(4));
    running.terminate();
    store.run("job", 4);
    let before = listing(&state);
    let running = daemon();
    running.until_counted(runs(5));
    assert_eq!(listing(&state), before, "a gateway that works, after a restart");

    if closed {
        modes(&state, 0o755, 0o644);
    }
    stop(&database(sandbox), store);
    close();
    let before = listing(&state);
    let content = fs::read(database(sandbox)).expect("the database");
    running.until_readiness(200, "ready");
    running.terminate();
    let running = daemon();
    running.until_counted(runs(5));
    running.until_readiness(200, "ready");
    running.terminate();
    assert_eq!(listing(&state), before, "a gateway that stopped");
    assert_eq!(fs::read(database(sandbox)).expect("the database"), content);

    // Nothing known at all, and the gateway starts again under the daemon's eyes.
    let fresh = sandbox.path("own/fresh.sqlite").display().to_string();
    let mut command = if closed {
        as_nobody(sandbox, &["--ledger", &fresh])
    } else {
        sandbox.command(&["--ledger", &fresh])
    };
    let running = sandbox.serve_command(&mut command);
    running.until_counted(runs(5));
    assert_eq!(listing(&state), before, "a gateway that stopped, read for the first time");
    if closed {
        modes(&state, 0o755, 0o644);
    }
    let store = Store::open(&database(sandbox));
    store.run("job", 5);
    close();
    running.until_counted(runs(6));
    let log = running.terminate();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    if closed {
        modes(&state, 0o755, 0o644);
    }
}

/// The gateway stops. If we read at that very moment, it leaves its log, with its index, for the next time.
fn stop(database: &Path, store: Store) {
    let mut store = Some(store);
    until("a gateway that takes its log with it", || {
        drop(store.take().unwrap_or_else(|| Store::open(database)));
        let left = fs::read_dir(database.parent().expect("a directory")).expect("the directory").count();
        assert!(left == 1 || left == 3, "the database alone, or all three files: {left}");
        (left == 1).then_some(())
    });
}

/// A gateway that stops and starts over and over. The daemon rests then, so that what the gateway does as it stops makes
/// it look at that very moment: it must not make the log anew.
#[test]
fn a_gateway_that_stops_while_it_is_read() {
    let sandbox = Sandbox::new();
    let database = database(&sandbox);
    stop(&database, prepare(&sandbox));
    let daemon = sandbox.serve(&[]);
    daemon.until_counted(runs(3));
    for number in 4..10 {
        let store = Store::open(&database);
        store.run("job", number);
        daemon.until_counted(runs(number.unsigned_abs()));
        rest();
        stop(&database, store);
        rest();
        let left = fs::read_dir(database.parent().expect("a directory")).expect("the directory").count();
        assert_eq!(left, 1, "nobody of the gateway's made a log after run {number}");
    }
    let log = daemon.terminate();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

/// Longer than the daemon puts off a look after the one before.
fn rest() {
    Pace::new(4).next();
}

#[test]
fn a_directory_that_the_daemon_could_write_to() {
    let sandbox = Sandbox::new();
    counts_without_a_trace(&sandbox, false, || sandbox.serve(&[]));
}

#[test]
fn a_directory_that_the_daemon_may_only_read() {
    let Some(sandbox) = foreign_sandbox() else { return };
    counts_without_a_trace(&sandbox, true, || sandbox.serve_command(&mut as_nobody(&sandbox, &[])));
}
