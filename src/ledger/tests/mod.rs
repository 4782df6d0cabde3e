//! The ledger against its contract, on disk.
//!
//! `apply`: what becomes of records, counters and series. `backup`: copies, and bringing them back. `calls`: what runs were billed. `model`: any sequence of
//! both. `in_memory`: runs that are. `jobs`: labels, streaks, gauges. `rollback`: a transaction that fails. `open`: what may lie where a ledger
//! should be. `pricing`: charges. `notices`: what is posted, `witness`: and what is not. `relays`: messages and what
//! becomes of them. `retention`: folding, readers, endpoints, size. `segments`: copies of runs.

mod apply;
mod backup;
mod calls;
mod in_memory;
mod jobs;
mod model;
mod notices;
mod open;
mod outbox;
mod pricing;
mod relays;
mod retention;
mod rollback;
mod segments;
mod witness;

use std::path::{Path, PathBuf};

use super::*;
use crate::model::{
    Batch, Charge, Cost, CostProvenance, Delivery, FileId, FilePosition, LineMark, Position, Reason, Run,
    RunAt, RunKey, SessionRef, SourceId, Status, Usage, UsageProvenance,
};

/// 2026-02-17T04:00:00Z.
const T0: UnixMs = UnixMs(1_771_300_800_000);
const MINUTE_MS: i64 = 60_000;

/// A ledger in a directory of its own, and a source of batches.
struct Bench {
    folder: tempfile::TempDir,
    ledger: Option<Ledger>,
    max_jobs: usize,
    now: UnixMs,
}

impl Bench {
    fn new() -> Self {
        Self::with_max_jobs(500)
    }

    fn with_max_jobs(max_jobs: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self { folder, ledger: None, max_jobs, now: T0.plus(1_000) };
        assert_eq!(bench.reopen(), Origin::New);
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }

    fn options(&self) -> OpenOptions {
        OpenOptions { gateway: None, max_jobs: self.max_jobs, full_sync: false }
    }

    /// Closes the ledger and opens it again.
    fn reopen(&mut self) -> Origin {
        self.ledger = None;
        let Opened { mut ledger, origin } = open(&self.path(), &self.options(), self.now).unwrap();
        ledger.set_pricing(free());
        self.ledger = Some(ledger);
        origin
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().unwrap()
    }

    /// Returns a batch that begins where the source stands.
    fn batch(&mut self, runs: Vec<Run>) -> Batch {
        let source = SourceId("run-log/a.jsonl".to_owned());
        let from = self.ledger().position(&source).cloned();
        let offset = from.as_ref().and_then(Position::file).map_or(0, |position| position.offset)
            + 100 * runs.len() as u64
            + 1;
        let to = FilePosition {
            file: FileId { dev: u64::MAX, ino: 1 << 63 },
            offset,
            last: Some(LineMark { hash: u64::MAX - offset, previous: offset, len: 100 }),
            skipped: 3,
        };
        Batch { runs: runs.into(), ..Batch::new(source, from, Position::File(to)) }
    }

    fn apply(&mut self, runs: Vec<Run>) -> Applied {
        let batch = self.batch(runs);
        let now = self.now;
        self.ledger().apply(&batch, now).unwrap()
    }

    /// Applies one record and returns what became of it.
    fn outcome(&mut self, run: Run) -> Outcome {
        let applied = self.apply(vec![run]);
        assert_eq!(applied.outcomes.values().sum::<u64>(), 1);
        *applied.outcomes.keys().next().unwrap()
    }

    fn totals(&self) -> Totals {
        lock(&self.ledger.as_ref().unwrap().totals).clone()
    }

    fn summary(&self) -> Summary {
        LedgerReader::open(&self.path()).unwrap().summary().unwrap()
    }

    /// Returns true and exported total of all series of a kind.
    fn sum(&self, kind: SeriesKind) -> (u64, u64) {
        let totals = self.totals();
        let of_kind = totals.series.iter().filter(|series| series.kind == kind);
        of_kind.fold((0, 0), |sum, s| (sum.0 + s.true_total, sum.1 + s.exported_total))
    }

    /// Runs SQL on a connection of somebody else's.
    fn sql(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

/// Everything is free, so that only tokens are counted.
fn free() -> Pricing {
    Arc::new(|_| {
        let cost = Cost { provenance: CostProvenance::Priced, ..Cost::default() };
        Charge { cost, ..Charge::default() }
    })
}

fn open(path: &Path, options: &OpenOptions, now: UnixMs) -> Result<Opened, LedgerError> {
    Ledger::open(path, options, now)
}

/// A successful run of 420 ms with 1,000 + 20 tokens, `minute` minutes after the start.
fn run(job: &str, minute: i64) -> Run {
    let at = T0.plus(minute * MINUTE_MS);
    Run {
        key: RunKey { job_id: job.to_owned(), at: RunAt::Started(at) },
        recorded_at: at.plus(430),
        status: Status::Ok,
        reason: Reason::None,
        duration_ms: Some(420),
        job_name: None,
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some("mock-1".to_owned()),
        usage: Usage { input: Some(1_000), output: Some(20), ..Usage::default() },
        provenance: UsageProvenance::Partial,
        delivery: Delivery::Unknown,
        session: SessionRef::default(),
        next_run_at: Some(at.plus(MINUTE_MS)),
        is_announced: false,
    }
}

fn failed(job: &str, minute: i64) -> Run {
    Run {
        status: Status::Error,
        reason: Reason::Timeout,
        usage: Usage::default(),
        provenance: UsageProvenance::None,
        ..run(job, minute)
    }
}

/// Totals without what only tells how they came about in this process.
fn lasting(mut totals: Totals) -> Totals {
    totals.revision = 0;
    totals.series.iter_mut().for_each(|series| series.revision = 0);
    totals.counters.sources.values_mut().for_each(|facts| facts.lag_ms = None);
    totals
}
