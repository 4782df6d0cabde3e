//! What stands in the database's place and is none: counted once with its reason, said, and nothing else suffers.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// A database whose rows fill many pages, all of it in its file.
fn filled(path: &Path) -> Vec<u8> {
    let store = Store::open(path);
    store.sql("PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM");
    store.sql(SCHEMA);
    store.sql("BEGIN");
    for number in 0..200 {
        store.run("lost", 1_000 + number);
    }
    store.sql("COMMIT");
    drop(store);
    fs::read(path).expect("a database")
}

fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path, FileType::Fifo, mode, 0).expect("a FIFO");
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("openclaw.sqlite{suffix}"))
}

#[test]
fn what_is_no_database() {
    let mut bench = Bench::new();
    let good = filled(&bench.workshop());
    let noise: Vec<u8> = {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..)).take(40_000).collect()
    };
    let damaged = |from: usize, to: usize| {
        let mut bytes = good.clone();
        let pages = good.len() / 512;
        bytes[pages * from / 100 * 512..pages * to / 100 * 512].fill(0xa5);
        bytes
    };
    let is_none = "is no readable SQLite database";
    let cases: [(&str, Vec<u8>, &[&str]); 8] = [
        ("nothing", Vec::new(), &[is_none, "it is empty"]),
        ("random bytes", noise.clone(), &[is_none]),
        // With a key, the header is noise too, but for lengths that look right.
        (
            "an encrypted one",
            [&noise[..16], &good[16..24], &noise[24..good.len().min(39_936)]].concat(),
            &[is_none],
        ),
        ("a header", good[..100].to_vec(), &[is_none]),
        ("the first half", good[..good.len() / 2].to_vec(), &[is_none]),
        ("a text", b"{\"version\":1,\"jobs\":[]}\n".repeat(100), &[is_none]),
        ("one with a damaged middle", damaged(20, 90), &[is_none]),
        ("one with a damaged schema", damaged(0, 10), &[is_none]),
    ];
    for (what, bytes, says) in cases {
        let made = bench.workshop();
        fs::write(&made, &bytes).expect("a file");
        bench.place(&made);
        bench.until_refused("not_a_database", says, what);
    }
    bench.mend();
    // Whole again, as another file: its rows are counted.
    let made = bench.workshop();
    fs::write(&made, &good).expect("a file");
    bench.place(&made);
    bench.counted = bench.counted + runs(200);
    bench.daemon.until_counted(bench.counted);
    bench.daemon.terminate();
}

#[test]
fn what_is_no_file() {
    let mut bench = Bench::new();
    let elsewhere = bench.sandbox.path("elsewhere.sqlite");
    Store::create(&elsewhere).run("elsewhere", 1);

    let made = bench.workshop();
    fs::create_dir(&made).expect("a directory");
    bench.place(&made);
    bench.until_refused("not_a_file", &["is no regular file"], "a directory");

    let made = bench.workshop();
    fifo(&made);
    bench.place(&made);
    bench.until_refused("not_a_file", &["is no regular file"], "a FIFO");

    let made = bench.workshop();
    symlink(&elsewhere, &made).expect("a symbolic link");
    bench.place(&made);
    bench.until_refused("symlink_outside", &["is a symbolic link out of its directory"], "a link");
    bench.mend();

    // A log without its index, as a careless copy leaves it.
    let made = bench.workshop();
    let store = Store::create(&made);
    store.run("copied", 1);
    let copy = bench.workshop();
    for suffix in ["", "-wal"] {
        fs::copy(beside(&made, suffix), beside(&copy, suffix)).expect("a copy");
    }
    bench.place(&copy);
    bench.until_refused("unreadable", &["has a log (-wal) without its index (-shm)"], "a log alone");
    // All three are what it takes.
    let copy = bench.workshop();
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&made, suffix), beside(&copy, suffix)).expect("a copy");
    }
    bench.place(&copy);
    bench.counted = bench.counted + RUN;
    bench.daemon.until_counted(bench.counted);
    drop(store);

    // Whoever opens a FIFO waits for ever.
    for suffix in ["-wal", "-shm", "-journal"] {
        let made = bench.workshop();
        let kept = Store::create(&made);
        kept.run("never", 2);
        let copy = bench.workshop();
        for name in ["", "-wal", "-shm"].into_iter().filter(|name| *name != suffix) {
            fs::copy(beside(&made, name), beside(&copy, name)).expect("a copy");
        }
        fifo(&beside(&copy, suffix));
        bench.place(&copy);
        bench.until_refused("not_a_file", &[&format!("openclaw.sqlite{suffix} is no regular file")], suffix);
    }
    let made = bench.workshop();
    drop(Store::create(&made));
    let secret = bench.sandbox.path("secret");
    File::create(&secret).expect("a file");
    symlink(&secret, beside(&made, "-wal")).expect("a symbolic link");
    bench.place(&made);
    bench.until_refused("symlink_outside", &["openclaw.sqlite-wal is a symbolic link"], "a linked log");
    bench.mend();
    bench.daemon.terminate();
}
