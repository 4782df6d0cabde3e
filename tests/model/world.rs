//! The simulated gateway's directory, the real collector and the real ledger on disk, held against the model.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use openclaw_usage::demo::{Gateway, Generation, Options, Torn};
use openclaw_usage::ledger::{Ledger, LedgerReader, OpenOptions, Opened, Origin, Outcome};
use openclaw_usage::model::UnixMs;
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::{ProcessState, SnapshotBuilder};
use tempfile::TempDir;

use super::op::{JobList, Op};
use super::truth::{Sums, Truth};

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
}

pub struct World {
    folder: TempDir,
    ledger_folder: TempDir,
    gateway: Gateway,
    jobs: Vec<String>,
    job_list: Vec<u8>,
    collector: Collector,
    ledger: Option<Ledger>,
    ledgers: u32,
    now: UnixMs,
    stamps: u64,
    /// What is counted.
    truth: Truth,
    /// What of it is shown: after a sweep that failed, nothing new before one goes through.
    shown: Truth,
    caught_up: bool,
    exported: Exported,
    /// Lives as long as the process: it remembers labels.
    snapshots: SnapshotBuilder,
    /// Unfinished records, each with the unfinished line that its writing left.
    torn: Vec<(Torn, Vec<u8>)>,
    backups: HashMap<usize, Vec<u8>>,
    saved: Option<Saved>,
    failing: bool,
    away: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
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
            keep_lines: 12,
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
                self.saved = Some(Saved { ledger, truth, exported, failing });
                Ok(())
            }
            Op::PowerLoss => {
                let Some(saved) = self.saved.take() else { return Ok(()) };
                (self.truth, self.exported, self.failing) = (saved.truth, saved.exported, saved.failing);
                self.go_on_with(&saved.ledger)
            }
            Op::DiskFails { table } => {
                if !self.failing {
                    self.execute(&format!(
                        "CREATE TRIGGER disk BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk'); END"
                    ));
                    self.failing = true;
                }
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
        self.sweep()?;
        let summary = LedgerReader::open(self.ledger().path()).and_then(|reader| reader.summary());
        let summary = summary.map_err(|error| error.to_string())?;
        let expected = self.truth.sums();
        let token = |kind| expected.tokens.get(kind).copied().unwrap_or(0);
        let (held, wanted) = (
            (summary.runs, summary.tokens),
            (expected.runs.values().sum(), [token("input"), token("output"), 0, 0]),
        );
        equal("runs and tokens that a reader finds", &held, &wanted)
    }

    /// Does something to the files that the gateway writes.
    fn write(&mut self, op: &Op) {
        let now = self.now;
        let job = match *op {
            Op::Runs { job, count } => {
                for _ in 0..count {
                    self.gateway.run_now(&self.jobs[job], now).expect("a run");
                }
                job
            }
            Op::Torn { job, cut } => {
                let torn = self.gateway.append_torn(&self.jobs[job], cut, now).expect("a torn record");
                let line = self.last_line(job);
                self.torn.push((torn, line));
                job
            }
            Op::NoNewline { job } => {
                let torn = self.gateway.append_without_newline(&self.jobs[job], now);
                let line = self.last_line(job);
                self.torn.push((torn.expect("a record without its newline"), line));
                job
            }
            Op::Complete { which } => {
                if self.torn.is_empty() {
                    return;
                }
                let (torn, line) = self.torn.remove(which % self.torn.len());
                let job = self.jobs.iter().position(|id| *id == torn.run().job_id).expect("a job of ours");
                let last = self.last_line(job);
                // The beginning of one record and the end of another would make a third that nobody wrote.
                if !last.is_empty() && last != line {
                    return;
                }
                self.gateway.complete_torn(torn).expect("the rest of a record");
                job
            }
            Op::Garbage { job, ref bytes } => self.append(job, bytes),
            Op::Oversized { job, ended } => {
                let mut line = vec![b'x'; (1 << 20) + 1];
                line.extend(ended.then_some(b'\n'));
                self.append(job, &line)
            }
            Op::Recreate { job } => {
                let content = self.backups.get(&job).cloned().unwrap_or_default();
                self.gateway.writer().recreate(&self.jobs[job], &content).expect("a new file");
                job
            }
            Op::SwapDirectory => {
                self.gateway.writer().swap_runs_dir().expect("a swapped directory");
                (0..JOBS).for_each(|job| self.stamp(job));
                return;
            }
            Op::DirectoryGoes => {
                fs::rename(self.runs_dir(), self.away_dir()).expect("the directory goes");
                self.away = true;
                return;
            }
            Op::Prune { job }
            | Op::Truncate { job }
            | Op::Delete { job }
            | Op::Backup { job }
            | Op::Overwrite { job }
            | Op::Migrate { job } => {
                if !self.path(job).exists() {
                    return;
                }
                self.change(op, job);
                job
            }
            ref other => unreachable!("{other:?} writes no run log"),
        };
        self.stamp(job);
    }

    /// Does something to a log that is there.
    fn change(&mut self, op: &Op, job: usize) {
        let path = self.path(job);
        let (writer, id) = (self.gateway.writer(), &self.jobs[job]);
        match op {
            Op::Prune { .. } => writer.prune(id).expect("a prune"),
            Op::Truncate { .. } => writer.truncate(id).expect("an emptied log"),
            Op::Delete { .. } => writer.delete(id).expect("a deleted log"),
            Op::Migrate { .. } => writer.rename_migrated(id).expect("a renamed log"),
            Op::Overwrite { .. } => {
                fs::write(&path, self.backups.get(&job).cloned().unwrap_or_default())
                    .expect("an overwritten log");
            }
            _ => _ = self.backups.insert(job, fs::read(&path).expect("a log")),
        }
    }

    /// Returns what stands in a log behind its last newline.
    fn last_line(&mut self, job: usize) -> Vec<u8> {
        let content = fs::read(self.path(job)).unwrap_or_default();
        content.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
    }

    fn append(&mut self, job: usize, bytes: &[u8]) -> usize {
        self.gateway.writer().append_raw(&self.jobs[job], bytes).expect("an append");
        job
    }

    /// Gives a log a time of change of the simulated clock that no log had before: two changes within one tick
    /// of a real clock could not be told apart.
    fn stamp(&mut self, job: usize) {
        self.stamps += 1;
        let ms = u64::try_from(self.now.0).expect("a time after 1970");
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms) + Duration::from_nanos(self.stamps);
        if let Ok(file) = File::options().append(true).open(self.path(job)) {
            file.set_modified(at).expect("a time of change");
        }
    }

    fn write_jobs(&self, list: JobList) {
        let path = self.folder.path().join("state/cron/jobs.json");
        match list {
            JobList::Whole => fs::write(path, &self.job_list).expect("jobs.json"),
            JobList::HalfWritten => {
                fs::write(path, &self.job_list[..self.job_list.len() / 2]).expect("half of jobs.json");
            }
            JobList::Missing => _ = fs::remove_file(path),
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
            Err(_) => {}
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
                self.shown = self.truth.clone();
                self.caught_up = true;
            }
            Err(error) if !self.failing => return Err(format!("a sweep failed: {error}")),
            Err(_) => self.caught_up = false,
        }
        self.compare()
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
    fn compare(&mut self) -> Result<(), String> {
        let totals = self.ledger().totals();
        let totals = totals.lock().expect("totals");
        let expected = self.shown.sums();
        equal("what is exported", &Sums::of(&totals), &expected)?;
        let inserted = totals.counters.outcomes.get(&Outcome::Inserted).copied().unwrap_or(0);
        equal("records said to be inserted", &inserted, &expected.runs.values().sum())?;
        let jobs = totals.jobs.iter().filter(|job| job.last_run.is_some()).count();
        equal("jobs said to have run", &jobs, &self.shown.jobs())?;
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

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("an open ledger")
    }

    fn restart(&mut self) -> Result<(), String> {
        let path = self.ledger().path().to_path_buf();
        self.go_on_with(&path)
    }

    fn go_on_with(&mut self, path: &Path) -> Result<(), String> {
        self.ledger = None;
        let opened = open(path, self.now);
        equal("origin of the ledger", &opened.origin, &Origin::Existing)?;
        self.ledger = Some(opened.ledger);
        self.snapshots = SnapshotBuilder::default();
        self.shown = self.truth.clone();
        self.caught_up = true;
        self.collector = Collector::new(&self.folder.path().join("state"), None);
        self.compare()
    }

    /// Copies the ledger as it lies on disk at this moment, while it is open.
    fn copy_ledger(&mut self) -> PathBuf {
        self.ledgers += 1;
        let copy = ledger_path(self.ledger_folder.path(), self.ledgers);
        fs::create_dir_all(copy.parent().expect("a parent")).expect("a directory");
        for suffix in ["", "-wal", ".lock"] {
            let from = beside(self.ledger().path(), suffix);
            if from.exists() {
                fs::copy(&from, beside(&copy, suffix)).expect("a copy of the ledger");
            }
        }
        copy
    }

    fn delete_ledger(&mut self, log_too: bool) -> Result<(), String> {
        let path = self.ledger().path().to_path_buf();
        fs::remove_file(&path).expect("a deleted ledger");
        if log_too {
            // It is not there before the first commit of a connection.
            _ = fs::remove_file(beside(&path, "-wal"));
        }
        let restored = self.ledger.as_mut().expect("an open ledger").restore_if_deleted();
        equal("restored", &restored.map_err(|error| error.to_string()), &Ok(true))?;
        self.compare()
    }

    fn heal(&mut self) {
        if self.failing {
            self.execute("DROP TRIGGER disk");
            self.failing = false;
        }
    }

    fn execute(&self, sql: &str) {
        let other = rusqlite::Connection::open(self.ledger().path()).expect("a second connection");
        other.execute_batch(sql).expect("a change of the schema");
    }

    fn path(&mut self, job: usize) -> PathBuf {
        self.gateway.writer().path(&self.jobs[job])
    }

    fn runs_dir(&self) -> PathBuf {
        self.folder.path().join("state/cron/runs")
    }

    fn away_dir(&self) -> PathBuf {
        self.folder.path().join("state/cron/elsewhere")
    }
}

/// A temporary directory in memory, where the system has one.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    folder.expect("a temporary directory")
}

fn open(path: &Path, now: UnixMs) -> Opened {
    Ledger::open(path, &LEDGER, now).unwrap_or_else(|error| panic!("{error}"))
}

fn ledger_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("ledger-{number}")).join("ledger.sqlite")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: is {is:?}, expected {expected:?}")) }
}
