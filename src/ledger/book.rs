//! What the writer holds in memory: dictionaries, positions and counters, as committed plus the running batch.

use std::collections::HashMap;
use std::sync::Arc;

use super::labels::{JobLabel, Labels};
use super::memory::Runs;
use super::totals::{Counters, JobFacts, SeriesKind, Totals};
use crate::model::{Position, ScheduleKind, SourceId, UnixMs};

/// What the caller of the ledger decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many jobs appear under their own id.
    pub max_jobs: usize,
    /// Age in ms up to which what happened is told of; `None`: nobody is told.
    pub event_age_ms: Option<i64>,
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
    /// No segment covers a later packed time; `None`: there are no segments.
    pub covered: Option<i64>,
}

/// The writer's memory. Ids in the database are indices here plus one.
#[derive(Debug)]
pub struct Book {
    pub gateway: String,
    pub settings: Settings,
    pub jobs: Vec<Job>,
    pub job_index: HashMap<String, usize>,
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
    /// The runs, in a ledger for the occasion; `None`: they are in the database.
    pub runs: Option<Runs>,
    /// A transaction failed: memory and database may differ until the next load.
    pub stale: bool,
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
