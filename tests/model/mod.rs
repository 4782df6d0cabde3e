//! Random sequences of all that can happen to run logs, databases and ledger, against a model of a few lines.
//!
//! `OPENCLAW_USAGE_MODEL_SEQUENCES=10000` runs the long form, `OPENCLAW_USAGE_MODEL_SEED=7` begins at that seed.
//! A sequence that fails is shrunk and printed with its seed; the seed then belongs in [`ONCE_FAILED`].

mod daemon;
mod database;
mod logs;
mod look;
mod op;
mod stores;
mod truth;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use op::{Op, sequence};
use world::{JOBS, World};

/// Sequences of an ordinary `cargo test`.
const SEQUENCES: u64 = 200;

/// Seeds that found a defect once, of sequences without databases and of those with them.
const ONCE_FAILED: [(u64, bool); 10] = [
    (5, false),
    (12, false),
    (19, false),
    (42, false),
    (88, false),
    (216, false),
    (296, false),
    (57, true),
    (549, true),
    (1310, true),
];

#[test]
fn every_run_that_was_readable_counts_exactly_once() {
    let number = |name, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let first = number("OPENCLAW_USAGE_MODEL_SEED", 1);
    let end = first + number("OPENCLAW_USAGE_MODEL_SEQUENCES", SEQUENCES);
    let next = AtomicU64::new(first);
    let worker = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || failed.len() >= 3 {
                return failed;
            }
            failed.extend(check(seed, true).err());
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_failed_once_stays_mended() {
    for (seed, databases) in ONCE_FAILED {
        check(seed, databases).unwrap_or_else(|failed| panic!("{failed}"));
    }
}

/// Runs one sequence; `Err` tells the shortest form of it that still fails.
fn check(seed: u64, databases: bool) -> Result<(), String> {
    let mut ops = sequence(seed, JOBS, databases);
    let Err(mut why) = run((seed, databases), &ops) else { return Ok(()) };
    // Twice, since an operation may only become superfluous with another.
    for at in (0..ops.len()).rev().chain((0..ops.len()).rev()) {
        let mut shorter = ops.clone();
        if at >= shorter.len() {
            continue;
        }
        shorter.remove(at);
        if let Err(other) = run((seed, databases), &shorter) {
            (ops, why) = (shorter, other);
        }
    }
    let ops: Vec<String> = ops.iter().map(|op| format!("    {op:?}")).collect();
    Err(format!("seed {seed}: {why}\n{}", ops.join("\n")))
}

fn run((seed, databases): (u64, bool), ops: &[Op]) -> Result<(), String> {
    let all = || {
        let mut world = World::new(seed, databases);
        ops.iter().try_for_each(|op| world.go(op))?;
        world.finish()
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}
