//! The simulated gateway's directory, the real collector and the real ledger on disk, held against the model.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use openclaw_usage::demo::{Gateway, Generation, Options, Torn};
use openclaw_usage::ledger::{Ledger, LedgerReader, OpenOptions, Opened, Origin, Outcome};
use openclaw_usage::model::{TokenKind, UnixMs};
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::{ProcessState, SnapshotBuilder};
use tempfile::TempDir;

use super::look::Seen;
use super::op::{Database, Op};
use super::stores::Stores;
use super::truth::{Truth, exported_sums, label_of};

pub const JOBS: usize = 3;
const DAY_MS: i64 = 86_400_000;
/// Fewer jobs than there are get labels of their own.
const LEDGER: OpenOptions = OpenOptions { gateway: None, max_jobs: 2, full_sync: false };

/// Start times and exported totals of all series, in their order.
type Exported = Vec<(UnixMs, u64)>;

/// What a power loss goes back to.
struct Saved {
    ledger: PathBuf,
    truth: Truth,
    exported: Exported,
    failing: bool,
    seen: Option<Seen>,
}

pub struct World {
    pub(super) folder: TempDir,
    pub(super) ledger_folder: TempDir,
    pub(super) gateway: Gateway,
    pub(super) jobs: Vec<String>,
    pub(super) job_list: Vec<u8>,
    pub(super) collector: Collector,
    pub(super) ledger: Option<Ledger>,
    pub(super) ledgers: u32,
    pub(super) now: UnixMs,
    pub(super) stamps: u64,
    /// What is counted.
    pub(super) truth: Truth,
    /// What of it is shown: after a sweep that failed, nothing new before one goes through.
    pub(super) shown: Truth,
    pub(super) caught_up: bool,
    pub(super) exported: Exported,
    /// Lives as long as the process: it remembers labels.
    pub(super) snapshots: SnapshotBuilder,
    /// Unfinished records, each with the unfinished line that its writing left.
    pub(super) torn: Vec<(Torn, Vec<u8>)>,
    pub(super) backups: HashMap<usize, Vec<u8>>,
    saved: Option<Saved>,
    pub(super) failing: bool,
    pub(super) away: bool,
    pub(super) stores: Stores,
    /// The database as it was when it was last read.
    pub(super) seen: Option<Seen>,
}

impl World {
    pub fn new(seed: u64, databases: bool) -> Self {
        // Mostly in memory, where a rename waits for no disk; a disk's file system reuses inodes at once.
        let folder =
            if seed.is_multiple_of(8) { TempDir::new().expect("a temporary directory") } else { in_memory() };
        let state = folder.path().join("state");
        let generation = if seed.is_multiple_of(3) { Generation::V2026_2_17 } else { Generation::V2026_5_28 };
        let options = Options {
            seed,
            jobs: JOBS,
            generation,
            max_bytes: 3_000,
            keep_lines: if databases && seed.is_multiple_of(5) { 3 } else { 12 },
            failure_percent: 30,
            churn: false,
            ..Options::default()
        };
        let now = options.start;
        let gateway = Gateway::new(&state, options).expect("a gateway");
        let ledger_folder = in_memory();
        let ledger = open(&ledger_path(ledger_folder.path(), 0), now);
        assert_eq!(ledger.origin, Origin::New);
        Self {
            jobs: gateway.jobs().iter().map(|job| job.id.clone()).collect(),
            job_list: fs::read(state.join("cron/jobs.json")).expect("jobs.json"),
            collector: Collector::new(&state, None),
            ledger: Some(ledger.ledger),
            folder,
            ledger_folder,
            gateway,
            ledgers: 0,
            now,
            stamps: 0,
            truth: Truth::default(),
            shown: Truth::default(),
            caught_up: true,
            exported: Exported::new(),
            snapshots: SnapshotBuilder::default(),
            torn: Vec::new(),
            backups: HashMap::new(),
            saved: None,
            failing: false,
            away: false,
            stores: Stores::new(),
            seen: None,
        }
    }

    /// Lets something happen. `Err`: what was counted is not what the model says.
    pub fn go(&mut self, op: &Op) -> Result<(), String> {
        self.now = self.now.plus(137);
        match op {
            Op::Look { job, migrated } => self.look(*job, *migrated),
            Op::Sweep => self.sweep(),
            Op::Restart => self.restart(),
            Op::Crash => {
                let copy = self.copy_ledger();
                self.go_on_with(&copy)
            }
            Op::Checkpoint => {
                let ledger = self.copy_ledger();
                let (truth, exported, failing) = (self.truth.clone(), self.exported.clone(), self.failing);
                self.saved = Some(Saved { ledger, truth, exported, failing, seen: self.seen });
                Ok(())
            }
            Op::PowerLoss => {
                let Some(saved) = self.saved.take() else { return Ok(()) };
                (self.truth, self.exported, self.failing) = (saved.truth, saved.exported, saved.failing);
                self.seen = saved.seen;
                self.go_on_with(&saved.ledger)
            }
            Op::DiskFails { table } => {
                self.break_disk(table);
                Ok(())
            }
            Op::DiskHeals => {
                self.heal();
                Ok(())
            }
            Op::LedgerDeleted { log_too } => self.delete_ledger(*log_too),
            Op::Clock { step_ms } => {
                self.now = self.now.plus(*step_ms);
                Ok(())
            }
            Op::Jobs { list } => {
                self.write_jobs(*list);
                Ok(())
            }
            Op::DirectoryReturns => {
                if self.away {
                    fs::rename(self.away_dir(), self.runs_dir()).expect("the directory returns");
                    self.away = false;
                }
                Ok(())
            }
            Op::Database(Database::Look) => self.look_at_database(),
            Op::Database(op) => {
                self.change_database(op);
                Ok(())
            }
            Op::Runs { .. } if self.stores.is_busy() => Ok(()),
            _ if self.away => Ok(()),
            _ => {
                self.write(op);
                Ok(())
            }
        }
    }

    /// Heals the disk, looks at everything and compares all there is, also from a reader's side.
    pub fn finish(&mut self) -> Result<(), String> {
        self.heal();
        self.go(&Op::DirectoryReturns)?;
        self.change_database(&Database::Start);
        self.sweep()?;
        let reader = LedgerReader::open(self.ledger().path()).map_err(|error| error.to_string())?;
        let summary = reader.summary().map_err(|error| error.to_string())?;
        let checks = reader.audit().map_err(|error| error.to_string())?;
        let wrong: Vec<_> = checks.into_iter().filter(|check| check.problem.is_some()).collect();
        equal("what is wrong with the ledger", &wrong, &Vec::new())?;
        let expected = self.truth.sums(|_| String::new());
        let sum = |what: &str| expected.get(&(String::new(), what.to_owned())).copied().unwrap_or(0);
        let tokens = TokenKind::ALL.map(|kind| sum(&format!("tokens {}", kind.as_str())));
        let (held, wanted) = ((summary.runs, summary.tokens), (self.truth.runs(), tokens));
        equal("runs and tokens that a reader finds", &held, &wanted)
    }

    /// Gives a log a time of change of the simulated clock that no log had before: two changes within one tick
    /// of a real clock could not be told apart.
    pub(super) fn stamp(&mut self, job: usize) {
        self.stamps += 1;
        let ms = u64::try_from(self.now.0).expect("a time after 1970");
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms) + Duration::from_nanos(self.stamps);
        if let Ok(file) = File::options().append(true).open(self.path(job)) {
            file.set_modified(at).expect("a time of change");
        }
    }

    fn look(&mut self, job: usize, migrated: bool) -> Result<(), String> {
        let name = format!("{}.jsonl{}", self.jobs[job], if migrated { ".migrated" } else { "" });
        let name = OsString::from(name);
        let Self { collector, ledger, now, .. } = self;
        match collector.look(ledger.as_mut().expect("an open ledger"), &name, *now) {
            Ok(_) => {
                self.see(&self.runs_dir().join(&name));
                if self.caught_up {
                    self.shown = self.truth.clone();
                }
            }
            Err(error) if !self.failing => return Err(format!("a look failed: {error}")),
            Err(_) => self.fail(),
        }
        self.compare()
    }

    fn sweep(&mut self) -> Result<(), String> {
        let Self { collector, ledger, now, .. } = self;
        match collector.sweep(ledger.as_mut().expect("an open ledger"), *now) {
            Ok(_) => {
                for entry in fs::read_dir(self.runs_dir()).into_iter().flatten() {
                    self.see(&entry.expect("an entry").path());
                }
                self.see_database();
                self.shown = self.truth.clone();
                self.caught_up = true;
            }
            Err(error) if !self.failing => return Err(format!("a sweep failed: {error}")),
            Err(_) => self.fail(),
        }
        self.compare()?;
        self.healthy()
    }

    /// The model looks at a file.
    fn see(&mut self, path: &Path) {
        let Ok(content) = fs::read(path) else { return };
        let modified = path.metadata().and_then(|metadata| metadata.modified()).expect("a time of change");
        let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let modified = UnixMs(i64::try_from(seconds).expect("seconds") * 1000);
        self.truth.see(&content, self.now.since(modified) >= DAY_MS);
    }

    /// The totals are the model's, no counter has fallen and no start time has changed.
    /// A look failed, on a disk that fails.
    pub(super) fn fail(&mut self) {
        self.caught_up = false;
        self.truth.doubt_rejects();
    }

    pub(super) fn compare(&mut self) -> Result<(), String> {
        let totals = self.ledger().totals();
        let totals = totals.lock().expect("totals");
        let label = |id: &str| label_of(&totals, id);
        equal("what is exported", &exported_sums(&totals), &self.shown.sums(label))?;
        let outcome = |outcome| totals.counters.outcomes.get(&outcome).copied().unwrap_or(0);
        equal("records said to be inserted", &outcome(Outcome::Inserted), &self.shown.runs())?;
        equal("records said to contradict", &outcome(Outcome::Conflict), &0)?;
        self.shown.compare_counters(&totals.counters)?;
        let jobs = totals.jobs.iter().filter(|job| job.last_run.is_some()).count();
        equal("jobs said to have run", &jobs, &self.shown.jobs())?;
        let kinds: BTreeSet<_> = totals.series.iter().map(|one| (one.labels, one.kind)).collect();
        equal("series of different labels or kinds", &kinds.len(), &totals.series.len())?;
        let snapshot = self.snapshots.build(&totals, &ProcessState::default(), self.now);
        for point in &snapshot.points {
            let Some(facts) = point.series.filter(|facts| facts.seq > 0) else { continue };
            let series = &totals.series[usize::try_from(facts.seq).expect("a number") - 1];
            let job = &point.shared.iter().find(|(key, _)| *key == "openclaw.job.id").expect("a job").1;
            equal("label of a series", job, &totals.labels[series.labels].job_id)?;
        }
        equal("excess of counters", &totals.excess(), &0)?;
        let exported: Exported = totals.series.iter().map(|s| (s.start, s.exported_total)).collect();
        for (at, (start, total)) in self.exported.iter().enumerate() {
            let Some((start_now, total_now)) = exported.get(at) else {
                return Err(format!("series {} is gone", at + 1));
            };
            equal("start time of a series", start_now, start)?;
            if total_now < total {
                return Err(format!("series {} fell from {total} to {total_now}", at + 1));
            }
        }
        drop(totals);
        self.exported = exported;
        Ok(())
    }

    pub(super) fn path(&mut self, job: usize) -> PathBuf {
        self.gateway.writer().path(&self.jobs[job])
    }

    pub(super) fn runs_dir(&self) -> PathBuf {
        self.folder.path().join("state/cron/runs")
    }

    pub(super) fn away_dir(&self) -> PathBuf {
        self.folder.path().join("state/cron/elsewhere")
    }
}

/// A temporary directory in memory, where the system has one.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    folder.expect("a temporary directory")
}

pub(super) fn open(path: &Path, now: UnixMs) -> Opened {
    Ledger::open(path, &LEDGER, now).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn ledger_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("ledger-{number}")).join("ledger.sqlite")
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: is {is:?}, expected {expected:?}")) }
}
