//! A gateway that writes all the time, and checkpoints often: neither side ever meets the other's lock.
//!
//! `OPENCLAW_USAGE_BUSY_SECONDS` makes it longer; from 30 s on the times of commits are held against those without us.

use super::*;
use crate::common::real_time::Pace;

/// Commits per second.
const RATE: u32 = 200;
/// From here on a p99 is more than noise.
const LONG_S: u32 = 30;

/// Times of all commits in microseconds, sorted.
struct Commits(Vec<u64>);

impl Commits {
    fn percentile(&self, percent: usize) -> u64 {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

/// Writes for so many seconds: each commit starts a run and ends the one before.
fn write(path: &Path, seconds: u32) -> (Store, Commits) {
    let store = Store::create(path);
    store.sql("PRAGMA wal_autocheckpoint = 20");
    // Whatever holds a lock is seen, not waited for.
    store.connection.busy_timeout(Duration::ZERO).expect("no patience");
    store.start("job", 0);
    let mut pace = Pace::new(RATE);
    let mut took = Vec::new();
    for number in 1..=i64::from(seconds * RATE) {
        pace.next();
        took.push(pace.micros(|| {
            store.sql("BEGIN IMMEDIATE");
            store.end(number - 1);
            store.start("job", number);
            store.sql("COMMIT");
        }));
    }
    took.sort_unstable();
    (store, Commits(took))
}

#[test]
fn a_gateway_that_never_rests() {
    let seconds: u32 = std::env::var("OPENCLAW_USAGE_BUSY_SECONDS")
        .map_or(4, |text| text.parse().expect("OPENCLAW_USAGE_BUSY_SECONDS is a number of seconds"));
    let alone = (seconds >= LONG_S).then(|| {
        let sandbox = Sandbox::new();
        write(&database(&sandbox), seconds).1
    });
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.state_dir()).expect("the state directory");
    let daemon = sandbox.serve(&[]);
    let (store, read) = write(&database(&sandbox), seconds);
    let samples = daemon.until_counted(runs(u64::from(seconds * RATE)));
    assert_eq!(samples.sum("openclaw_usage_rejects_total", &[]), 0.0);
    assert_eq!(samples.sum("openclaw_usage_source_gaps_total", &[]), 0.0);
    for outcome in ["duplicate", "updated", "conflict"] {
        assert_eq!(
            samples.sum("openclaw_usage_records_total", &[("openclaw_outcome", outcome)]),
            0.0,
            "{outcome}"
        );
    }
    let log = daemon.terminate();
    assert!(!log.contains("ERROR") && !log.contains("sqlite is"), "{log}");
    drop(store);
    println!("{} commits: p50 {} µs, p99 {} µs", read.0.len(), read.percentile(50), read.percentile(99));
    if let Some(alone) = alone {
        println!("without a reader: p50 {} µs, p99 {} µs", alone.percentile(50), alone.percentile(99));
        assert!(
            read.percentile(99) * 10 <= alone.percentile(99) * 12,
            "the p99 of commits is {} µs with us and {} µs without",
            read.percentile(99),
            alone.percentile(99)
        );
    }
}
