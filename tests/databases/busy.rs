//! A gateway that writes all the time, and checkpoints often: neither side ever meets the other's lock.
//!
//! `OPENCLAW_USAGE_BUSY_SECONDS` makes it longer; from 30 s on the times of commits are held against those without us.

use super::*;
use crate::common::real_time::Pace;

/// Commits per second.
const RATE: u32 = 200;
/// From here on a p99 is more than noise.
const LONG_S: u32 = 30;

/// The long form goes back and forth between the two this often, in seconds, so that what else the machine does meets
/// both alike.
const SLICE_S: u32 = 5;

/// A gateway whose every commit starts a run and ends the one before.
struct Writer {
    store: Store,
    number: i64,
    /// Times of all commits in microseconds.
    took: Vec<u64>,
}

impl Writer {
    fn new(path: &Path) -> Self {
        let store = Store::create(path);
        store.sql("PRAGMA wal_autocheckpoint = 20");
        // Whatever holds a lock is seen, not waited for.
        store.connection.busy_timeout(Duration::ZERO).expect("no patience");
        store.start("job", 0);
        Self { store, number: 0, took: Vec::new() }
    }

    fn write(&mut self, seconds: u32) {
        let mut pace = Pace::new(RATE);
        for _ in 0..seconds * RATE {
            pace.next();
            self.number += 1;
            let (store, number) = (&self.store, self.number);
            self.took.push(pace.micros(|| {
                store.sql("BEGIN IMMEDIATE");
                store.end(number - 1);
                store.start("job", number);
                store.sql("COMMIT");
            }));
        }
    }

    /// The median and the p99.
    fn percentiles(&mut self) -> [u64; 2] {
        self.took.sort_unstable();
        [50, 99].map(|percent| self.took[(self.took.len() - 1) * percent / 100])
    }
}

#[test]
fn a_gateway_that_never_rests() {
    let seconds: u32 = std::env::var("OPENCLAW_USAGE_BUSY_SECONDS")
        .map_or(4, |text| text.parse().expect("OPENCLAW_USAGE_BUSY_SECONDS is a number of seconds"));
    let (sandbox, unread) = (Sandbox::new(), Sandbox::new());
    let (mut read, mut alone) = (Writer::new(&database(&sandbox)), Writer::new(&database(&unread)));
    let daemon = sandbox.serve(&[]);
    if seconds >= LONG_S {
        for _ in 0..seconds / SLICE_S {
            alone.write(SLICE_S);
            read.write(SLICE_S);
        }
    } else {
        read.write(seconds);
    }
    let samples = daemon.until_counted(runs(u64::try_from(read.number).expect("a number of runs")));
    assert_eq!(samples.sum("openclaw_usage_rejects_total", &[]), 0.0);
    assert_eq!(samples.sum("openclaw_usage_source_gaps_total", &[]), 0.0);
    for outcome in ["duplicate", "updated", "conflict"] {
        let labels = [("openclaw_outcome", outcome)];
        assert_eq!(samples.sum("openclaw_usage_records_total", &labels), 0.0, "{outcome}");
    }
    let log = daemon.terminate();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    let [p50, p99] = read.percentiles();
    println!("{} commits: p50 {p50} µs, p99 {p99} µs", read.number);
    if seconds >= LONG_S {
        let [without_p50, without_p99] = alone.percentiles();
        println!("without a reader: p50 {without_p50} µs, p99 {without_p99} µs");
        assert!(
            p99 * 10 <= without_p99 * 12,
            "the p99 of commits is {p99} µs with us, {without_p99} µs without"
        );
    }
}
