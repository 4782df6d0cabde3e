//! What a gateway's log says: each line once, wherever and how often it is read.
//!
//! A line is known by its hash for as long as lines of its age are looked at; a position tells where to go on, and
//! need not be right for nothing to be counted twice.

use rusqlite::{Connection, params};

use super::labels::{JobLabel, Labels, by_schedule};
use super::store::id;
use super::totals::SeriesKind;
use super::writer::Writer;
use super::{Ledger, LedgerError};
use crate::model::{GatewayEvent, UnixMs, WebhookOutcome};

impl Ledger {
    /// Forgets lines that were said, and notices that came, before a time; no line as old may be given again. A notice as
    /// old that comes again is known by its run. Returns the number of lines.
    ///
    /// # Errors
    /// What SQLite says; nothing was forgotten then.
    pub fn forget_events(&mut self, before: UnixMs) -> Result<usize, LedgerError> {
        self.connection
            .execute("DELETE FROM notice WHERE received_ms < ?1", [before.0])
            .map_err(|error| self.failed(error))?;
        self.connection
            .execute("DELETE FROM gateway_event WHERE said_ms < ?1", [before.0])
            .map_err(|error| self.failed(error))
    }
}

/// Returns those that were not known yet, which they are from now on.
pub(super) fn fresh<'e>(
    connection: &Connection,
    events: &'e [GatewayEvent],
) -> rusqlite::Result<Vec<&'e GatewayEvent>> {
    let mut fresh = Vec::new();
    for event in events {
        let noted = connection
            .prepare_cached(
                "INSERT INTO gateway_event (mark, said_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![event.mark.cast_signed(), event.at.0])?;
        if noted > 0 {
            fresh.push(event);
        }
    }
    Ok(fresh)
}

impl Writer<'_> {
    /// Takes in what a log says and was not known yet.
    pub fn note_events(&mut self, fresh: &[&GatewayEvent]) -> rusqlite::Result<()> {
        fresh.iter().try_for_each(|event| self.note_event(event))
    }

    fn note_event(&mut self, event: &GatewayEvent) -> rusqlite::Result<()> {
        if let (Some(_), Some(job_id)) = (event.delivery, &event.job_id) {
            let job = self.job(job_id);
            self.connection
                .prepare_cached("UPDATE gateway_event SET job = ?2 WHERE mark = ?1")?
                .execute(params![event.mark.cast_signed(), id(job)])?;
        }
        match event.delivery {
            Some(outcome) if self.is_counted(event.at) => self.count_delivery(event, outcome),
            _ => Ok(()),
        }
    }

    fn count_delivery(&mut self, event: &GatewayEvent, outcome: WebhookOutcome) -> rusqlite::Result<()> {
        let labels = match &event.job_id {
            Some(job_id) => self.job_labels(job_id, event.job_name.as_deref())?,
            None => self.label_set(Labels::default())?,
        };
        self.move_series(labels, SeriesKind::Deliveries(outcome), 1, event.at);
        Ok(())
    }

    /// Returns the index of a job's own labels, of no run.
    fn job_labels(&mut self, job_id: &str, name: Option<&str>) -> rusqlite::Result<usize> {
        let job = self.job(job_id);
        let (own_jobs, max_jobs) = (self.book.own_jobs(), self.book.settings.max_jobs);
        let entry = &mut self.book.jobs[job];
        if entry.facts.label == JobLabel::Undecided {
            entry.facts.label = by_schedule(entry.schedule, own_jobs, max_jobs);
            self.touched.insert(job);
        }
        if let Some(name) = name.filter(|_| entry.facts.name.is_empty()) {
            super::labels::bounded(name).clone_into(&mut entry.facts.name);
            self.touched.insert(job);
        }
        let facts = &self.book.jobs[job].facts;
        let labels = Labels::of_job(facts);
        self.label_set(labels)
    }

    /// Returns the index of the same labels without provider and model.
    pub fn without_model(&mut self, labels: usize) -> rusqlite::Result<usize> {
        let known = &self.book.labels[labels];
        let labels = Labels { provider: String::new(), model: String::new(), ..Labels::clone(known) };
        self.label_set(labels)
    }
}
