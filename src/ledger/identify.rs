//! The job and the labels that a record is counted under: known ones, or new ones.
//!
//! Invariant: an index, once given, stays what it is.

use std::sync::Arc;

use super::book::Job;
use super::labels::{self, JobLabel, Labels, same};
use super::store::save_labels;
use super::writer::Writer;
use crate::model::Run;

impl Writer<'_> {
    /// Returns the index of a job, which may be new.
    pub fn job(&mut self, job_id: &str) -> usize {
        // Runs of a job mostly follow each other.
        let is_last =
            self.book.jobs.get(self.last_job).is_some_and(|Job { facts, .. }| {
                facts.job_id == job_id && same(&facts.gateway, &self.gateway)
            });
        if !is_last {
            let known = self.book.job_index.get(&self.gateway, job_id);
            self.last_job = known.unwrap_or_else(|| self.add_job(job_id));
        }
        self.last_job
    }

    fn add_job(&mut self, job_id: &str) -> usize {
        let at = self.book.jobs.len();
        let mut job = Job::default();
        job_id.clone_into(&mut job.facts.job_id);
        job.facts.gateway.clone_from(&self.gateway);
        job.facts.enabled = true;
        self.book.jobs.push(job);
        self.book.job_index.insert(&self.gateway, job_id, at);
        self.touched.insert(at);
        at
    }

    /// Returns the index of the labels that the run is counted under.
    pub fn labels(&mut self, job: usize, run: &Run<&str>) -> rusqlite::Result<usize> {
        if self.book.jobs[job].facts.label == JobLabel::Undecided {
            let (own_jobs, max_jobs) = (self.book.own_jobs(), self.book.settings.max_jobs);
            let entry = &mut self.book.jobs[job];
            entry.facts.label = labels::decide(entry.schedule, entry.facts.defined, run, own_jobs, max_jobs);
            self.touched.insert(job);
        }
        let entry = &mut self.book.jobs[job];
        if let Some(name) = run.job_name.filter(|_| entry.facts.name.is_empty()) {
            labels::bounded(name).clone_into(&mut entry.facts.name);
            self.touched.insert(job);
        }
        if entry.defined_agent.is_none() && run.agent.is_some() && run.agent != entry.facts.agent.as_deref() {
            entry.facts.agent = run.agent.map(ToOwned::to_owned);
            self.touched.insert(job);
        }
        let (label, name) = (entry.facts.label, entry.facts.name.as_str());
        let agent = entry.facts.agent.as_deref();
        if let Some(last) = entry.last_labels
            && self.book.labels[last].are_of(run, label, name, agent)
        {
            return Ok(last);
        }
        let wanted = Labels::of(&entry.facts.gateway, run, label, name, agent);
        let at = self.label_set(wanted)?;
        self.book.jobs[job].last_labels = Some(at);
        Ok(at)
    }

    /// Returns the index of a set of labels, which may be new.
    pub fn label_set(&mut self, labels: Labels) -> rusqlite::Result<usize> {
        if let Some(at) = self.book.label_index.get(&labels) {
            return Ok(*at);
        }
        let at = self.book.labels.len();
        if self.book.runs.is_none() {
            save_labels(self.connection, at, &labels)?;
        }
        let labels = Arc::new(labels);
        self.book.labels.push(Arc::clone(&labels));
        self.book.label_index.insert(labels, at);
        Ok(at)
    }
}
