//! What the scheduler does by itself: start what is due, end batches, change the job list.

use super::catalogue;
use super::gateway::CHURN_MS;
use super::jobs::Job;
use super::plan::{Batch, Event, Running};
use super::provider::{Ending, Outcome};
use super::record::{RunRecord, Times, status_of};
use super::store::Change;
use super::{Error, Finished, Gateway, Generation, Store};
use crate::model::{Status, UnixMs};

/// How long a job waits after its first, second and later failure in a row, in ms. OpenClaw's own waits
/// (30 s to an hour) are shortened so that a short demonstration sees failures.
const BACKOFF_MS: [i64; 3] = [2_000, 4_000, 8_000];
/// Most jobs that may exist beyond the first ones.
const MAX_PASSING: usize = 5;

impl Gateway {
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

    fn tick(&mut self, at: i64) -> Result<(), Error> {
        self.plan.ticked(at);
        let due: Vec<usize> =
            (0..self.jobs.len()).filter(|i| self.jobs[*i].due_at().is_some_and(|due| due <= at)).collect();
        let mut runs = Vec::with_capacity(due.len());
        for (run_at, index) in (at..).zip(due) {
            let run_at = run_at.max(self.jobs[index].last_run_at.saturating_add(1));
            let mut running = self.start_run(index, run_at, self.options.failure_percent);
            self.begin_task(index, &mut running)?;
            runs.push(running);
            self.jobs[index].state.running_at_ms = Some(run_at);
            self.jobs[index].dirty = true;
        }
        if self.options.generation.store() == Store::TaskRuns {
            // Every run is recorded at its own end.
            let alone = |run: Running| Batch { ends_at: run.ends_at(), runs: vec![run] };
            self.plan.batches.extend(runs.into_iter().map(alone));
        } else {
            let ends_at = runs.iter().map(Running::ends_at).max().unwrap_or(at) + 3;
            self.plan.batches.push(Batch { ends_at, runs });
        }
        self.persist(Change::State)
    }

    fn end_batch(&mut self, batch: usize, finished: &mut Vec<Finished>) -> Result<(), Error> {
        let Batch { ends_at: ts, runs } = self.plan.batches.remove(batch);
        let mut change = Change::State;
        for running in &runs {
            let index = self.index_of(&running.job_id)?;
            let next_run_at = self.next_run(index, running, ts);
            let times = Times { ts, run_at: running.run_at, next_run_at };
            let composed = self.compose(index, running, times)?;
            if self.retire(index, composed.finished.status, ts) {
                change = Change::Jobs;
            }
            finished.push(self.commit(composed)?);
        }
        self.persist(change)
    }

    /// Marks a job as changed by a run. A one-shot job is deleted once it succeeded; after an error it stays,
    /// switched off. Returns whether it was one.
    pub(super) fn retire(&mut self, index: usize, status: Status, ts: i64) -> bool {
        let job = &mut self.jobs[index];
        job.updated_at = ts;
        job.dirty = true;
        if !job.is_one_shot() {
            return false;
        }
        job.enabled = false;
        if status == Status::Ok {
            self.jobs.remove(index);
        }
        true
    }

    pub(super) fn next_run(&self, index: usize, running: &Running, ts: i64) -> Option<i64> {
        let job = &self.jobs[index];
        let generation = self.options.generation;
        let ended_at = running.ends_at();
        let next = job.schedule.next(generation, running.run_at, ended_at)?;
        if status_of(generation, &running.outcome.ending) != Status::Error {
            return Some(next);
        }
        let failures = usize::try_from(job.state.consecutive_errors.unwrap_or(0)).unwrap_or(0);
        Some(next.max(ts + BACKOFF_MS[failures.min(BACKOFF_MS.len() - 1)]))
    }

    /// Adds a job, removes one (its log stays) or renames one.
    fn churn(&mut self, at: i64) -> Result<(), Error> {
        let pace = self.options.pace();
        self.plan.churn_at = Some(at + self.rng.i64(CHURN_MS / 2..CHURN_MS * 2) * pace);
        let idle = |j: &Job| j.passing && !j.is_running() && (!j.is_one_shot() || !j.enabled);
        let removable = self.jobs.iter().position(idle);
        let passing = self.jobs.iter().filter(|j| j.passing).count();
        match (self.rng.u8(0..4), removable) {
            (0, Some(index)) => {
                self.jobs.remove(index);
            }
            (1, _) => {
                let last = self.jobs.iter_mut().rfind(|j| !j.is_one_shot() && j.declaration.is_none());
                if let Some(job) = last {
                    let base = job.name.split(" (renamed").next().unwrap_or_default().to_owned();
                    job.name = format!("{base} (renamed {})", self.rng.u8(1..100));
                    job.updated_at = at;
                }
            }
            _ if passing < MAX_PASSING => {
                self.added += 1;
                let job = catalogue::passing(&mut self.rng, self.added, at, pace);
                self.jobs.push(job);
            }
            (_, Some(index)) => {
                self.jobs.remove(index);
            }
            _ => {}
        }
        self.persist(Change::Jobs)
    }
}

/// Updates the state that the job list shows after a run.
pub(super) fn note(job: &mut Job, generation: Generation, record: &RunRecord, outcome: &Outcome) {
    let late = generation.is_late();
    let failed = record.status == Status::Error.as_str();
    job.dirty = true;
    let state = &mut job.state;
    state.running_at_ms = None;
    state.next_run_at_ms = record.next_run_at_ms;
    state.last_run_at_ms = Some(record.run_at_ms);
    state.last_status = Some(record.status.clone());
    state.last_duration_ms = Some(record.duration_ms);
    state.consecutive_errors = Some(if failed { state.consecutive_errors.unwrap_or(0) + 1 } else { 0 });
    state.last_error = record.error().map(str::to_owned);
    if late {
        let skipped = matches!(outcome.ending, Ending::Skipped(_));
        state.last_run_status = Some(record.status.clone());
        state.last_diagnostics.clone_from(&record.diagnostics);
        state.last_diagnostic_summary = record.diagnostics.as_ref().map(|d| d.summary.clone());
        state.last_error_reason.clone_from(&record.error_reason);
        state.last_delivered = record.delivered;
        state.last_delivery_status.clone_from(&record.delivery_status);
        state.last_delivery_error.clone_from(&record.delivery_error);
        state.last_failure_notification_delivery_status = Some("not-requested");
        state.consecutive_skipped =
            Some(if skipped { state.consecutive_skipped.unwrap_or(0) + 1 } else { 0 });
    }
}
