//! Recorded state directories, replayed: what is counted is what their records hold.
//!
//! `replay`: each recording at once and line by line. `prune`: the gateway's own prunes. `stores`: recordings whose
//! records are in a database, at once and row by row. `upgrade`: one state directory through three versions. `records`:
//! how much of what was billed records can show. `billed`: what the provider billed, by the sessions' transcripts;
//! `costs`: the same in dollars; `live`: as it came about. `events`: what is told of each run. `privacy`: what of a record
//! never leaves it.

pub mod billed;
mod costs;
mod events;
mod live;
mod privacy;
mod privacy_of_sessions;
mod prune;
mod records;
mod replay;
mod stores;
mod upgrade;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openclaw_usage::ledger::{
    Describe, Ledger, LedgerReader, OpenOptions, OutboxSettings, SeriesKind, Summary, Totals,
};
use openclaw_usage::model::{SinkProgress, TokenKind, UnixMs};
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::event;
use tempfile::TempDir;

/// After the last recording.
const NOW: UnixMs = UnixMs(1_795_300_000_000);

const RECORDINGS: [&str; 5] = ["2026.2.17", "2026.5.28", "stage1-5.28", "cut-2026.2.17", "cut-2026.5.28"];

/// Those whose records are in a database.
const DATABASES: [&str; 5] = ["2026.6.11", "live-2026.6.11", "2026.9.6", "stage2-6.11", "stage3-9.6"];

/// A collector on a state directory, with a ledger of its own.
pub struct Counting {
    folder: TempDir,
    state_dir: PathBuf,
    collector: Collector,
    ledger: Option<Ledger>,
    now: UnixMs,
}

impl Counting {
    fn of(state_dir: &Path) -> Self {
        Self::at(state_dir, NOW)
    }

    fn at(state_dir: &Path, now: UnixMs) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let mut counting = Self {
            collector: Collector::new(state_dir, None),
            state_dir: state_dir.to_path_buf(),
            folder,
            ledger: None,
            now,
        };
        counting.restart();
        counting
    }

    /// Stops and starts again: nothing but the ledger's file is left.
    fn restart(&mut self) {
        self.ledger = None;
        self.collector = Collector::new(&self.state_dir, None);
        let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
        let mut ledger = Ledger::open(&self.path(), &options, self.now).expect("a ledger").ledger;
        // However old a recording is, all of its runs are told of.
        let describe: Describe = Arc::new(|happening| event::line(happening, "openclaw"));
        let sinks = ["sink".to_owned()].into();
        let settings =
            OutboxSettings { sinks, max_events: u64::MAX >> 1, max_age_ms: i64::MAX >> 1, describe };
        ledger.set_outbox(settings).expect("an outbox");
        self.ledger = Some(ledger);
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }

    fn sweep(&mut self) {
        self.collector.sweep(self.ledger.as_mut().expect("an open ledger"), self.now).expect("a sweep");
    }

    fn look(&mut self, name: &OsStr) {
        self.collector.look(self.ledger.as_mut().expect("an open ledger"), name, self.now).expect("a look");
    }

    fn look_at_database(&mut self) {
        let ledger = self.ledger.as_mut().expect("an open ledger");
        self.collector.look_at_database(ledger, NOW).expect("a look at the database");
    }

    /// Every event so far, after all runs had their time.
    fn events(&mut self) -> Vec<String> {
        let ledger = self.ledger.as_mut().expect("an open ledger");
        ledger.seal_events(self.now.plus(2 * 86_400_000)).expect("events are written");
        let from_the_first = SinkProgress { name: "sink".into(), ..SinkProgress::default() };
        let told = ledger.take_events(&from_the_first, usize::MAX).expect("events");
        told.into_iter().map(|event| event.content).collect()
    }

    fn totals(&self) -> Totals {
        let totals = self.ledger.as_ref().expect("an open ledger").totals();
        let totals = totals.lock().expect("totals");
        totals.clone()
    }

    fn summary(&self) -> Summary {
        LedgerReader::open(&self.path()).and_then(|reader| reader.summary()).expect("a summary")
    }
}

/// Runs, input and output tokens.
type Counted = (u64, u64, u64);

/// Sums what is exported, by the label of the job.
fn exported_by_job(totals: &Totals) -> BTreeMap<String, Counted> {
    let mut jobs: BTreeMap<String, Counted> = BTreeMap::new();
    for series in &totals.series {
        let counted = jobs.entry(totals.labels[series.labels].job_id.clone()).or_default();
        match series.kind {
            SeriesKind::Runs(..) => counted.0 += series.exported_total,
            SeriesKind::Tokens(TokenKind::Input) => counted.1 += series.exported_total,
            SeriesKind::Tokens(TokenKind::Output) => counted.2 += series.exported_total,
            SeriesKind::Tokens(_) => panic!("no record of these versions tells cache tokens"),
            _ => {}
        }
    }
    jobs
}

fn exported(totals: &Totals) -> Counted {
    let jobs = exported_by_job(totals);
    jobs.values().fold((0, 0, 0), |sum, job| (sum.0 + job.0, sum.1 + job.1, sum.2 + job.2))
}
