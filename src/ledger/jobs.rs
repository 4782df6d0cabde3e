//! Keeps what the scheduler says of its jobs, also after it has forgotten them.

use std::collections::{BTreeSet, HashSet};

use super::book::Job;
use super::labels::{JobLabel, bounded, by_schedule};
use super::store::save_job;
use super::{Ledger, LedgerError};
use crate::model::{JobDefinition, ScheduleKind};

impl Ledger {
    /// Takes over the scheduler's list of jobs. Jobs that are no longer on it keep their name. Returns whether
    /// anything changed.
    ///
    /// # Errors
    /// What SQLite says; nothing changed then.
    pub fn set_jobs(&mut self, definitions: &[JobDefinition]) -> Result<bool, LedgerError> {
        if self.book.stale {
            self.reload()?;
        }
        self.book.stale = true;
        let touched = self.merge_jobs(definitions);
        self.save_jobs(&touched).map_err(|error| self.failed(error))?;
        self.book.stale = false;
        if touched.is_empty() {
            return Ok(false);
        }
        // Shown at once, or with what is held back: a job's facts include its newest run.
        let held = self.held.is_some();
        self.hold();
        if let Some(pending) = &mut self.held {
            pending.jobs.extend(touched);
            pending.changed = true;
        }
        if !held {
            self.release();
        }
        Ok(true)
    }

    fn save_jobs(&mut self, touched: &BTreeSet<usize>) -> rusqlite::Result<()> {
        if touched.is_empty() || self.book.runs.is_some() {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        for job in touched {
            save_job(&transaction, *job, &self.book.jobs[*job])?;
        }
        transaction.commit()
    }

    fn merge_jobs(&mut self, definitions: &[JobDefinition]) -> BTreeSet<usize> {
        let mut touched = BTreeSet::new();
        let mut seen = HashSet::new();
        let (mut own_jobs, max_jobs) = (self.book.own_jobs(), self.book.settings.max_jobs);
        for definition in definitions {
            let at = self.book.job_index.get("", &definition.job_id).unwrap_or_else(|| {
                self.book.jobs.push(Job::default());
                let at = self.book.jobs.len() - 1;
                self.book.job_index.insert("", &definition.job_id, at);
                at
            });
            seen.insert(at);
            let job = &mut self.book.jobs[at];
            let before = (job.facts.clone(), job.schedule, job.defined_agent.clone());
            job.facts.job_id.clone_from(&definition.job_id);
            bounded(&definition.name).clone_into(&mut job.facts.name);
            job.facts.defined = true;
            job.facts.enabled = definition.enabled;
            job.facts.next_run = definition.next_run_at;
            job.facts.running = definition.running;
            if definition.system && job.facts.label == JobLabel::Undecided {
                job.facts.label = JobLabel::System;
            }
            if definition.schedule != ScheduleKind::Unknown {
                job.schedule = definition.schedule;
                if job.facts.label == JobLabel::Undecided {
                    job.facts.label = by_schedule(job.schedule, own_jobs, max_jobs);
                    own_jobs += usize::from(job.facts.label == JobLabel::Own);
                }
            }
            job.defined_agent.clone_from(&definition.agent);
            if definition.agent.is_some() {
                job.facts.agent.clone_from(&definition.agent);
            }
            job.is_witnessed = definition.webhook.as_ref().is_some_and(|url| (self.is_ours)(url));
            if before != (job.facts.clone(), job.schedule, job.defined_agent.clone()) {
                touched.insert(at);
            }
        }
        for (at, job) in self.book.jobs.iter_mut().enumerate() {
            if job.facts.defined && !seen.contains(&at) && job.facts.gateway.is_empty() {
                job.is_witnessed = false;
                job.facts.defined = false;
                job.facts.running = false;
                job.facts.next_run = None;
                touched.insert(at);
            }
        }
        touched
    }
}
