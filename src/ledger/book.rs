//! What the writer holds in memory: dictionaries, positions and counters, as committed plus the running batch.

use std::collections::HashMap;
use std::sync::Arc;

use super::labels::{JobLabel, Labels};
use super::memory::Runs;
use super::totals::{Counters, JobFacts, SeriesKind, Totals};
use crate::model::{Position, ScheduleKind, SourceId, UnixMs};

/// What the caller of the ledger decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// How many jobs appear under their own id.
    pub max_jobs: usize,
    /// Age in ms up to which what happened is told of; `None`: nobody is told.
    pub event_age_ms: Option<i64>,
    /// Since when notices of jobs that post to our own receiver are awaited; `None`: they are not.
    pub witness_since: Option<UnixMs>,
}

/// A job with what is not shown of it.
#[derive(Clone, Debug, Default)]
pub struct Job {
    pub facts: JobFacts,
    pub schedule: ScheduleKind,
    /// The agent that the scheduler names; the shown one may be the last seen.
    pub defined_agent: Option<String>,
    /// The labels that the last run was counted under: the next one's are most often the same.
    pub last_labels: Option<usize>,
    /// Notices of its runs are posted to our own receiver.
    pub is_witnessed: bool,
    /// No segment covers a later packed time; `None`: there are no segments.
    pub covered: Option<i64>,
}

/// The writer's memory. Ids in the database are indices here plus one.
#[derive(Debug, Default)]
pub struct Book {
    pub gateway: String,
    pub settings: Settings,
    pub jobs: Vec<Job>,
    pub job_index: JobIndex,
    pub labels: Vec<Arc<Labels>>,
    pub label_index: HashMap<Arc<Labels>, usize>,
    pub series_index: HashMap<(usize, SeriesKind), u64>,
    pub positions: HashMap<SourceId, Position>,
    pub counters: Counters,
    /// Runs before this time have been folded away.
    pub folded_before: Option<UnixMs>,
    /// Runs recorded before this time are held but not exported: a lost ledger was rebuilt then.
    pub count_from: Option<UnixMs>,
    /// What was recorded before this time was told of as events before a backup was brought back.
    pub told_from: Option<UnixMs>,
    /// The runs, in a ledger for the occasion, which has jobs and labels here alone too; `None`: all are in the database.
    pub runs: Option<Runs>,
    /// A transaction failed: memory and database may differ until the next load.
    pub stale: bool,
}

/// Jobs by gateway and id.
#[derive(Debug, Default)]
pub struct JobIndex(HashMap<String, HashMap<String, usize>>);

impl JobIndex {
    pub fn get(&self, gateway: &str, job_id: &str) -> Option<usize> {
        self.0.get(gateway)?.get(job_id).copied()
    }

    pub fn insert(&mut self, gateway: &str, job_id: &str, at: usize) {
        if !self.0.contains_key(gateway) {
            self.0.insert(gateway.to_owned(), HashMap::new());
        }
        if let Some(jobs) = self.0.get_mut(gateway) {
            jobs.insert(job_id.to_owned(), at);
        }
    }

    /// Returns whether a gateway is one more than so many that are not the ledger's own.
    pub fn is_beyond(&self, limit: usize, gateway: &str) -> bool {
        let is_new = !gateway.is_empty() && !self.0.contains_key(gateway);
        is_new && self.0.keys().filter(|known| !known.is_empty()).count() >= limit
    }
}

impl Book {
    /// Returns the number of jobs that appear under their own id.
    pub fn own_jobs(&self) -> usize {
        self.jobs.iter().filter(|job| job.facts.label == JobLabel::Own).count()
    }

    /// Returns what is shown: everything but the series, which only change with a commit.
    pub fn publish(&self, totals: &mut Totals, touched_jobs: impl IntoIterator<Item = usize>) {
        for job in touched_jobs {
            if totals.jobs.len() <= job {
                totals.jobs.resize_with(job + 1, JobFacts::default);
            }
            totals.jobs[job].clone_from(&self.jobs[job].facts);
        }
        let known = totals.labels.len();
        totals.labels.extend(self.labels[known..].iter().cloned());
        totals.counters.clone_from(&self.counters);
    }
}
