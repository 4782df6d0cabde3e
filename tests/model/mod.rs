//! Random sequences of all that can happen to run logs and ledger, against a model of ten lines.
//!
//! `OPENCLAW_USAGE_MODEL_SEQUENCES=10000` runs the long form, `OPENCLAW_USAGE_MODEL_SEED=7` begins at that seed.
//! A sequence that fails is shrunk and printed with its seed; the seed then belongs in [`ONCE_FAILED`].

mod op;
mod truth;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use op::{Op, sequence};
use world::{JOBS, World};

/// Sequences of an ordinary `cargo test`.
const SEQUENCES: u64 = 300;

/// Seeds that found a defect once.
const ONCE_FAILED: [u64; 5] = [19, 42, 88, 216, 296];

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
            failed.extend(check(seed).err());
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
    for seed in ONCE_FAILED {
        check(seed).unwrap_or_else(|failed| panic!("{failed}"));
    }
}

/// Runs one sequence; `Err` tells the shortest form of it that still fails.
fn check(seed: u64) -> Result<(), String> {
    let mut ops = sequence(seed, JOBS);
    let Err(mut why) = run(seed, &ops) else { return Ok(()) };
    // Twice, since an operation may only become superfluous with another.
    for at in (0..ops.len()).rev().chain((0..ops.len()).rev()) {
        let mut shorter = ops.clone();
        if at >= shorter.len() {
            continue;
        }
        shorter.remove(at);
        if let Err(other) = run(seed, &shorter) {
            (ops, why) = (shorter, other);
        }
    }
    let ops: Vec<String> = ops.iter().map(|op| format!("    {op:?}")).collect();
    Err(format!("seed {seed}: {why}\n{}", ops.join("\n")))
}

fn run(seed: u64, ops: &[Op]) -> Result<(), String> {
    let all = || {
        let mut world = World::new(seed);
        ops.iter().try_for_each(|op| world.go(op))?;
        world.finish()
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}
