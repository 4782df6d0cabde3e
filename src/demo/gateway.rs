//! The simulated gateway: asks the provider, writes records, keeps the bill.

use super::bill::{Bill, Shown};
use super::catalogue;
use super::jobs::Job;
use super::plan::{Plan, Running};
use super::provider;
use super::record::{RunRecord, Times, status_of};
use super::schedule::note;
use super::sqlite::{LiveDatabase, TaskId};
use super::store::{Change, JobStore, write_config};
use super::writer::{KEEP_LINES, MAX_BYTES, RunLogWriter};
use super::{Error, Generation, Store, Tokens, uuid};
use crate::model::{RunAt, RunKey, Status, UnixMs};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Time between changes of the job list, in ms.
pub(super) const CHURN_MS: i64 = 4_000;
/// Which jobs a gateway has at the start, and how often they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Several runs a second, some names hostile, some jobs that always fail.
    Busy,
    /// Nothing is wrong with the jobs, which run every 2 to 30 min.
    Healthy,
    /// Jobs of an office, every 15 min to once a day: the pace of weeks.
    Office,
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Equal seeds give equal gateways.
    pub seed: u64,
    /// Number of jobs at the start; the default set has twenty.
    pub jobs: usize,
    /// Which OpenClaw.
    pub generation: Generation,
    /// The simulated time of the start.
    pub start: UnixMs,
    /// Size above which a log is pruned, in bytes.
    pub max_bytes: u64,
    /// Lines, or rows of a job, that a prune keeps.
    pub keep_lines: usize,
    /// How many of 100 runs fail that would else succeed.
    pub failure_percent: u8,
    /// Whether jobs come, go and are renamed meanwhile.
    pub churn: bool,
    /// Which jobs there are at the start.
    pub scene: Scene,
    /// Whether to remember the key of every record ever written; costs memory for as long as it runs.
    pub remember_runs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            jobs: 20,
            generation: Generation::default(),
            start: UnixMs(1_771_300_800_000),
            max_bytes: MAX_BYTES,
            keep_lines: KEEP_LINES,
            failure_percent: 4,
            churn: true,
            scene: Scene::Busy,
            remember_runs: false,
        }
    }
}

impl Options {
    /// Returns those of a gateway at which nothing is wrong but one run of 100 that fails.
    #[must_use]
    pub fn healthy() -> Self {
        Self { scene: Scene::Healthy, failure_percent: 1, ..Self::default() }
    }

    /// Returns those of a gateway that works for an office: sixteen jobs, some of them with a lasting trouble.
    #[must_use]
    pub fn office() -> Self {
        Self { scene: Scene::Office, jobs: catalogue::OFFICE_JOBS, churn: false, ..Self::default() }
    }

    /// Returns how many times longer than usual it is between two runs and two changes.
    pub(super) const fn pace(&self) -> i64 {
        match self.scene {
            Scene::Busy => 1,
            Scene::Healthy | Scene::Office => catalogue::HEALTHY_PACE,
        }
    }
}

/// A run whose record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The job.
    pub job_id: String,
    /// When it started.
    pub run_at: UnixMs,
    /// When it was written down, in simulated time.
    pub ts: UnixMs,
    /// What the record says.
    pub status: Status,
    /// What the provider billed.
    pub billed: Tokens,
    /// Whether the log was pruned (renamed over) after the append.
    pub pruned: bool,
}

/// What the record of a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenRun {
    /// The status.
    pub status: Status,
    /// Input tokens; 0 when it has no usage.
    pub input: u64,
    /// Output tokens; 0 when it has no usage.
    pub output: u64,
    /// Cached tokens of both kinds, as far as they follow from the record; 0 when it has no usage.
    pub derivable_cache: u64,
}

/// A record that is about to be written.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    pub(super) line: Vec<u8>,
    pub(super) record: RunRecord,
    task: Option<TaskId>,
    pub(super) finished: Finished,
    shown: Shown,
}

/// A simulated OpenClaw gateway with its state directory.
#[derive(Debug)]
pub struct Gateway {
    pub(super) options: Options,
    pub(super) state_dir: PathBuf,
    pub(super) rng: Rng,
    pub(super) jobs: Vec<Job>,
    pub(super) plan: Plan,
    pub(super) store: JobStore,
    pub(super) writer: RunLogWriter,
    /// Only in the versions that have one.
    pub(super) database: Option<LiveDatabase>,
    /// The job list that each version left behind when it was upgraded.
    pub(super) shelf: Vec<(Generation, Vec<Job>)>,
    bill: Bill,
    runs: BTreeMap<RunKey, WrittenRun>,
    pub(super) added: u32,
}

impl Gateway {
    /// Creates the state directory (`openclaw.json`, then `cron/jobs.json` and `cron/runs/` or
    /// `state/openclaw.sqlite`) and its jobs.
    ///
    /// # Errors
    /// The file system's and SQLite's, with the path.
    pub fn new(dir: &Path, options: Options) -> Result<Self, Error> {
        let mut rng = Rng::with_seed(options.seed);
        let start = options.start.0;
        let generation = options.generation;
        let runs_dir = dir.join("cron").join("runs");
        let own = if generation.store() == Store::RunLogs { dir.join("cron") } else { dir.to_path_buf() };
        fs::create_dir_all(own).map_err(Error::io("create", dir))?;
        let (max_bytes, keep_lines) = (options.max_bytes, options.keep_lines);
        let writer = RunLogWriter::new(&runs_dir, generation, max_bytes, keep_lines, options.seed)?;
        let custom = (max_bytes, keep_lines) != (MAX_BYTES, KEEP_LINES);
        let configurable = custom && generation.is_late() && generation.store() != Store::TaskRuns;
        write_config(dir, configurable.then_some((max_bytes, keep_lines)))?;
        let store = JobStore::new(dir, generation, Rng::with_seed(options.seed));
        let mut jobs = catalogue::first(&mut rng, &options);
        if generation.store() == Store::TaskRuns {
            jobs.extend(catalogue::system(&mut rng, options.scene, start));
        }
        let churn_at = options.churn.then(|| start + rng.i64(CHURN_MS / 2..CHURN_MS * 2) * options.pace());
        let plan = Plan::new(start, churn_at);
        let (bill, runs, state_dir) = (Bill::default(), BTreeMap::new(), dir.to_path_buf());
        let (database, shelf, added) = (None, Vec::new(), 0);
        let mut gateway =
            Self { options, state_dir, rng, jobs, plan, store, writer, database, shelf, bill, runs, added };
        gateway.open_database(start)?;
        gateway.persist(Change::Jobs)?;
        Ok(gateway)
    }

    /// Returns which OpenClaw is simulated now.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.options.generation
    }

    /// Opens the database if the version has one, and closes it if not.
    pub(super) fn open_database(&mut self, now: i64) -> Result<(), Error> {
        // The one that is open is closed first, with a checkpoint.
        self.database = None;
        if self.options.generation.store() != Store::RunLogs {
            let Options { generation, keep_lines, seed, .. } = self.options;
            // Ids must not return after an upgrade.
            let seed = seed ^ now.cast_unsigned();
            self.database = Some(LiveDatabase::open(&self.state_dir, generation, keep_lines, seed, now)?);
        }
        Ok(())
    }

    /// Writes the job list where the version keeps it.
    pub(super) fn persist(&mut self, change: Change) -> Result<(), Error> {
        match &mut self.database {
            Some(database) => database.persist(&self.jobs, change)?,
            None => self.store.persist(&self.jobs, change)?,
        }
        self.jobs.iter_mut().for_each(|job| job.dirty = false);
        Ok(())
    }

    /// Returns the state directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Returns the writer, for its paths and for faults that need no record.
    pub const fn writer(&mut self) -> &mut RunLogWriter {
        &mut self.writer
    }

    /// Returns the jobs that the list holds now; those of the start come first, in a fixed order.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Returns what was billed for the runs whose records were written.
    #[must_use]
    pub const fn bill(&self) -> &Bill {
        &self.bill
    }

    /// Returns every run ever written, if [`Options::remember_runs`] was set.
    #[must_use]
    pub const fn runs(&self) -> &BTreeMap<RunKey, WrittenRun> {
        &self.runs
    }

    /// Returns when [`Self::step`] has something to do next; the end of time if never.
    #[must_use]
    pub fn next_due(&self) -> UnixMs {
        self.plan.next(&self.jobs).map_or(UnixMs(i64::MAX), |(at, _)| UnixMs(at))
    }

    /// Runs a job at once, outside its schedule, and writes its record.
    ///
    /// # Errors
    /// The file system's, with the path; [`Error::UnknownJob`].
    pub fn run_now(&mut self, job_id: &str, now: UnixMs) -> Result<Finished, Error> {
        let composed = self.compose_now(job_id, now)?;
        self.commit(composed)
    }

    /// Runs a job at once and returns its record without writing it.
    pub(super) fn compose_now(&mut self, job_id: &str, now: UnixMs) -> Result<Composed, Error> {
        let index = self.index_of(job_id)?;
        let run_at = now.0.max(self.jobs[index].last_run_at.saturating_add(1));
        let mut running = self.start_run(index, run_at, self.options.failure_percent);
        self.begin_task(index, &mut running)?;
        let ts = run_at + running.outcome.duration_ms;
        let next_run_at = self.jobs[index].state.next_run_at_ms;
        self.compose(index, &running, Times { ts, run_at, next_run_at })
    }

    /// Writes a record and puts it in the bill.
    pub(super) fn commit(&mut self, mut composed: Composed) -> Result<Finished, Error> {
        composed.finished.pruned = match (&mut self.database, &composed.task) {
            (Some(database), Some(task)) => database.finish(task, &composed.record)?,
            (Some(database), None) => database.append_interrupted(&composed.record)?,
            (None, _) => self.writer.append(&composed.finished.job_id, &composed.line)?,
        };
        self.book(&composed);
        self.log_run(&composed.finished)?;
        Ok(composed.finished)
    }

    /// Puts a record in the bill.
    pub(super) fn book(&mut self, composed: &Composed) {
        let Finished { job_id, run_at, billed, status, .. } = &composed.finished;
        let Shown { recorded, derivable_cache } = composed.shown;
        self.bill.book(job_id, *status, *billed, composed.shown);
        if self.options.remember_runs {
            let key = RunKey { job_id: job_id.clone(), at: RunAt::Started(*run_at) };
            let Tokens { input, output, .. } = recorded;
            self.runs.insert(key, WrittenRun { status: *status, input, output, derivable_cache });
        }
    }

    pub(super) fn index_of(&self, job_id: &str) -> Result<usize, Error> {
        let found = self.jobs.iter().position(|job| job.id == job_id);
        found.ok_or_else(|| Error::UnknownJob { job_id: job_id.to_owned() })
    }

    pub(super) fn start_run(&mut self, index: usize, run_at: i64, failure_percent: u8) -> Running {
        let job = &mut self.jobs[index];
        let outcome = provider::run(&mut self.rng, job.profile, job.calls, failure_percent);
        job.calls += 1;
        job.last_run_at = job.last_run_at.max(run_at);
        Running { job_id: job.id.clone(), run_at, outcome, task: None }
    }

    /// Notes in the ledger of tasks, if the version has one, that a run has started.
    pub(super) fn begin_task(&mut self, index: usize, running: &mut Running) -> Result<(), Error> {
        if let Some(database) = &mut self.database {
            running.task = Some(database.start(&self.jobs[index], running.run_at)?);
        }
        Ok(())
    }

    pub(super) fn compose(
        &mut self,
        index: usize,
        running: &Running,
        times: Times,
    ) -> Result<Composed, Error> {
        let job = &self.jobs[index];
        let generation = self.options.generation;
        let session = match generation {
            Generation::V2026_2_17 => job.session_id.clone(),
            _ => uuid(&mut self.rng),
        };
        let record = RunRecord::new(generation, job, &session, &running.outcome, times);
        let status = status_of(generation, &running.outcome.ending);
        let shown = Shown::of(generation, record.usage);
        let finished = Finished {
            job_id: job.id.clone(),
            run_at: UnixMs(times.run_at),
            ts: UnixMs(times.ts),
            status,
            billed: running.outcome.billed(),
            pruned: false,
        };
        let line = record.to_line()?;
        note(&mut self.jobs[index], generation, &record, &running.outcome);
        Ok(Composed { line, record, task: running.task.clone(), finished, shown })
    }
}
