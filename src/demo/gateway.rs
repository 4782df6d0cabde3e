//! The simulated gateway: schedules jobs, asks the provider, writes records, keeps the bill.

use super::bill::Bill;
use super::catalogue;
use super::jobs::Job;
use super::plan::{Batch, Event, Plan, Running};
use super::provider::{self, Ending, Outcome};
use super::record::{RunRecord, Times, status_of};
use super::store::{Change, JobStore, write_config};
use super::writer::{KEEP_LINES, MAX_BYTES, RunLogWriter};
use super::{Error, Generation, Tokens, uuid};
use crate::model::{RunAt, RunKey, Status, UnixMs};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How long a job waits after its first, second and later failure in a row, in ms. OpenClaw's own waits
/// (30 s to an hour) are shortened so that a short demonstration sees failures.
const BACKOFF_MS: [i64; 3] = [2_000, 4_000, 8_000];
/// Time between changes of the job list, in ms.
const CHURN_MS: i64 = 4_000;
/// Most jobs that may exist beyond the first ones.
const MAX_PASSING: usize = 5;

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
    /// Lines that a prune keeps.
    pub keep_lines: usize,
    /// How many of 100 runs fail that would else succeed.
    pub failure_percent: u8,
    /// Whether jobs come, go and are renamed meanwhile.
    pub churn: bool,
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
            remember_runs: false,
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
}

/// A record that is about to be written.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    pub(super) line: Vec<u8>,
    pub(super) finished: Finished,
    written: WrittenRun,
}

/// A simulated OpenClaw gateway with its state directory.
#[derive(Debug)]
pub struct Gateway {
    pub(super) options: Options,
    state_dir: PathBuf,
    rng: Rng,
    pub(super) jobs: Vec<Job>,
    plan: Plan,
    store: JobStore,
    pub(super) writer: RunLogWriter,
    bill: Bill,
    runs: BTreeMap<RunKey, WrittenRun>,
    added: u32,
}

impl Gateway {
    /// Creates the state directory (`openclaw.json`, `cron/jobs.json`, `cron/runs/`) and its jobs.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn new(dir: &Path, options: Options) -> Result<Self, Error> {
        let mut rng = Rng::with_seed(options.seed);
        let start = options.start.0;
        let runs_dir = dir.join("cron").join("runs");
        fs::create_dir_all(dir.join("cron")).map_err(Error::io("create", dir))?;
        let (max_bytes, keep_lines) = (options.max_bytes, options.keep_lines);
        let writer = RunLogWriter::new(&runs_dir, options.generation, max_bytes, keep_lines, options.seed)?;
        let custom = (max_bytes, keep_lines) != (MAX_BYTES, KEEP_LINES);
        let configurable = custom && options.generation == Generation::V2026_5_28;
        write_config(dir, configurable.then_some((max_bytes, keep_lines)))?;
        let store = JobStore::new(dir, options.generation, Rng::with_seed(options.seed));
        let jobs = catalogue::jobs(&mut rng, options.jobs, start);
        let churn_at = options.churn.then(|| start + rng.i64(CHURN_MS / 2..CHURN_MS * 2));
        let plan = Plan::new(start, churn_at);
        let (bill, runs, state_dir) = (Bill::default(), BTreeMap::new(), dir.to_path_buf());
        let mut gateway = Self { options, state_dir, rng, jobs, plan, store, writer, bill, runs, added: 0 };
        gateway.store.persist(&gateway.jobs, Change::Jobs)?;
        Ok(gateway)
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

    /// Lets everything happen that is due at `now`, in order and each at its own time, and returns the runs
    /// whose records were written.
    ///
    /// # Errors
    /// The file system's, with the path. What was written before is in the bill.
    pub fn step(&mut self, now: UnixMs) -> Result<Vec<Finished>, Error> {
        let mut finished = Vec::new();
        while let Some((at, event)) = self.plan.next(&self.jobs).filter(|(at, _)| *at <= now.0) {
            match event {
                Event::Tick => self.tick(at)?,
                Event::Churn => self.churn(at)?,
                Event::BatchEnds(index) => self.end_batch(index, &mut finished)?,
            }
        }
        Ok(finished)
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
        let running = self.start_run(index, run_at, self.options.failure_percent);
        let ts = run_at + running.outcome.duration_ms;
        let next_run_at = self.jobs[index].state.next_run_at_ms;
        self.compose(index, &running, Times { ts, run_at, next_run_at })
    }

    /// Appends a record and puts it in the bill.
    fn commit(&mut self, mut composed: Composed) -> Result<Finished, Error> {
        composed.finished.pruned = self.writer.append(&composed.finished.job_id, &composed.line)?;
        self.book(&composed);
        Ok(composed.finished)
    }

    /// Puts a record in the bill.
    pub(super) fn book(&mut self, composed: &Composed) {
        let WrittenRun { status, input, output } = composed.written;
        let Finished { job_id, run_at, billed, .. } = &composed.finished;
        self.bill.book(job_id, status, *billed, Tokens { input, output, ..Tokens::default() });
        if self.options.remember_runs {
            let key = RunKey { job_id: job_id.clone(), at: RunAt::Started(*run_at) };
            self.runs.insert(key, composed.written);
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
        Running { job_id: job.id.clone(), run_at, outcome }
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
            Generation::V2026_5_28 => uuid(&mut self.rng),
        };
        let record = RunRecord::new(generation, job, &session, &running.outcome, times);
        let status = status_of(generation, &running.outcome.ending);
        let (input, output) = record.usage.map_or((0, 0), |u| (u.input_tokens, u.output_tokens));
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
        Ok(Composed { line, finished, written: WrittenRun { status, input, output } })
    }

    fn tick(&mut self, at: i64) -> Result<(), Error> {
        self.plan.ticked(at);
        let due: Vec<usize> =
            (0..self.jobs.len()).filter(|i| self.jobs[*i].due_at().is_some_and(|due| due <= at)).collect();
        let mut runs = Vec::with_capacity(due.len());
        for (run_at, index) in (at..).zip(due) {
            let run_at = run_at.max(self.jobs[index].last_run_at.saturating_add(1));
            runs.push(self.start_run(index, run_at, self.options.failure_percent));
            self.jobs[index].state.running_at_ms = Some(run_at);
        }
        let ends_at = runs.iter().map(|r| r.run_at + r.outcome.duration_ms).max().unwrap_or(at) + 3;
        self.plan.batches.push(Batch { ends_at, runs });
        self.store.persist(&self.jobs, Change::State)
    }

    fn end_batch(&mut self, batch: usize, finished: &mut Vec<Finished>) -> Result<(), Error> {
        let Batch { ends_at: ts, runs } = self.plan.batches.remove(batch);
        let mut change = Change::State;
        for running in &runs {
            let index = self.index_of(&running.job_id)?;
            let next_run_at = self.next_run(index, running, ts);
            let times = Times { ts, run_at: running.run_at, next_run_at };
            let composed = self.compose(index, running, times)?;
            let job = &mut self.jobs[index];
            job.updated_at = ts;
            if job.is_one_shot() {
                // A one-shot job is deleted once it succeeded; after an error it stays, switched off.
                change = Change::Jobs;
                job.enabled = false;
                if composed.finished.status == Status::Ok {
                    self.jobs.remove(index);
                }
            }
            finished.push(self.commit(composed)?);
        }
        self.store.persist(&self.jobs, change)
    }

    fn next_run(&self, index: usize, running: &Running, ts: i64) -> Option<i64> {
        let job = &self.jobs[index];
        let generation = self.options.generation;
        let ended_at = running.run_at + running.outcome.duration_ms;
        let next = job.schedule.next(generation, running.run_at, ended_at)?;
        if status_of(generation, &running.outcome.ending) != Status::Error {
            return Some(next);
        }
        let failures = usize::try_from(job.state.consecutive_errors.unwrap_or(0)).unwrap_or(0);
        Some(next.max(ts + BACKOFF_MS[failures.min(BACKOFF_MS.len() - 1)]))
    }

    /// Adds a job, removes one (its log stays) or renames one.
    fn churn(&mut self, at: i64) -> Result<(), Error> {
        self.plan.churn_at = Some(at + self.rng.i64(CHURN_MS / 2..CHURN_MS * 2));
        let idle = |j: &Job| j.passing && !j.is_running() && (!j.is_one_shot() || !j.enabled);
        let removable = self.jobs.iter().position(idle);
        let passing = self.jobs.iter().filter(|j| j.passing).count();
        match (self.rng.u8(0..4), removable) {
            (0, Some(index)) => {
                self.jobs.remove(index);
            }
            (1, _) => {
                let last = self.jobs.iter_mut().rfind(|j| !j.is_one_shot());
                if let Some(job) = last {
                    let base = job.name.split(" (renamed").next().unwrap_or_default().to_owned();
                    job.name = format!("{base} (renamed {})", self.rng.u8(1..100));
                    job.updated_at = at;
                }
            }
            _ if passing < MAX_PASSING => {
                self.added += 1;
                let job = catalogue::passing(&mut self.rng, self.added, at);
                self.jobs.push(job);
            }
            (_, Some(index)) => {
                self.jobs.remove(index);
            }
            _ => {}
        }
        self.store.persist(&self.jobs, Change::Jobs)
    }
}

/// Updates the state that the job list shows after a run.
fn note(job: &mut Job, generation: Generation, record: &RunRecord, outcome: &Outcome) {
    let late = generation == Generation::V2026_5_28;
    let failed = record.status == Status::Error.as_str();
    let state = &mut job.state;
    state.running_at_ms = None;
    state.next_run_at_ms = record.next_run_at_ms;
    state.last_run_at_ms = Some(record.run_at_ms);
    state.last_status = Some(record.status);
    state.last_duration_ms = Some(record.duration_ms);
    state.consecutive_errors = Some(if failed { state.consecutive_errors.unwrap_or(0) + 1 } else { 0 });
    state.last_error = record.error().map(str::to_owned);
    if late {
        let skipped = matches!(outcome.ending, Ending::Skipped(_));
        state.last_run_status = Some(record.status);
        state.last_diagnostics.clone_from(&record.diagnostics);
        state.last_diagnostic_summary = record.diagnostics.as_ref().map(|d| d.summary.clone());
        state.last_delivery_status = Some("not-requested");
        state.last_failure_notification_delivery_status = Some("not-requested");
        state.consecutive_skipped =
            Some(if skipped { state.consecutive_skipped.unwrap_or(0) + 1 } else { 0 });
    }
}
