//! The record of a run, in the key order and with the habits of each version.
//!
//! Keys that OpenClaw leaves undefined are absent, not null, but for `to` of a delivery trace. Serialised as it
//! is, a record is a line of a run log and an `entry_json`; `detail.rs` makes the same a `detail_json`.

use super::bill::Tokens;
use super::delivery::{DeliveryTrace, Diagnostics, Text};
use super::jobs::{EVENT_TEXT, Job};
use super::provider::{Ending, Outcome, Profile};
use super::{CacheShown, Generation, Store};
use crate::model::{Status, UnixMs};
use serde::{Deserialize, Serialize};

/// What a run is recorded as that was under way when the gateway stopped.
const INTERRUPTED: &str = "cron: job interrupted by gateway restart";
/// What a run is recorded as whose time limit passed.
const TIMED_OUT: &str = "cron: job execution timed out";

/// The usage object of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordUsage {
    /// Summed over the run's calls, without cached tokens.
    pub input_tokens: u64,
    /// Summed over the run's calls.
    pub output_tokens: u64,
    /// Up to 2026.5.28 the prompt of the last call alone, cached tokens included, output not: never to be
    /// summed. Later everything that the run was billed.
    pub total_tokens: u64,
    /// Read from a cache; written by 2026.9.6 alone and absent when 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    /// Written to a cache; written by 2026.9.6 alone and absent when 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
}

impl RecordUsage {
    /// Returns what a record says of these calls; `None` when nothing was billed.
    pub(super) fn of(generation: Generation, calls: &[Tokens]) -> Option<Self> {
        let last = calls.last()?;
        let sum = Tokens::sum(calls);
        let kinds = generation.cache_shown() == CacheShown::Kinds;
        let kind = |tokens: u64| (kinds && tokens > 0).then_some(tokens);
        Some(Self {
            input_tokens: sum.input,
            output_tokens: sum.output,
            total_tokens: match generation.cache_shown() {
                CacheShown::Nothing => last.prompt(),
                CacheShown::Sum | CacheShown::Kinds => sum.prompt() + sum.output,
            },
            cache_read_tokens: kind(sum.cache_read),
            cache_write_tokens: kind(sum.cache_write),
        })
    }
}

/// A run record. Serialising it gives the line without its newline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// When the record was made, UTC milliseconds: the end of the whole batch.
    pub ts: i64,
    /// The job.
    pub job_id: String,
    action: Text,
    /// `ok`, `error` or `skipped`.
    pub status: Text,
    /// 2026.9.6: whether everything that belongs to the run succeeded, its delivery included. No key of a line.
    #[serde(skip)]
    pub(super) completion_status: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_reason: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diagnostics: Option<Diagnostics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery_status: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery_error: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryTrace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_key: Option<String>,
    /// When the run started, UTC milliseconds.
    pub run_at_ms: i64,
    /// How long it took.
    pub duration_ms: i64,
    /// When the job runs next; absent for one-shot jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<Text>,
    /// What it used; absent when nothing was billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<RecordUsage>,
}

/// The times of one run, UTC milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) ts: i64,
    pub(super) run_at: i64,
    pub(super) next_run_at: Option<i64>,
}

/// Returns the status that the record will carry: 2026.2.17 takes a provider's refusal for an answer.
pub(super) const fn status_of(generation: Generation, ending: &Ending) -> Status {
    match (generation, ending) {
        (Generation::V2026_2_17, Ending::Refused(_)) => Status::Ok,
        (_, Ending::Refused(_) | Ending::TimedOut | Ending::Interrupted) => Status::Error,
        (_, Ending::Skipped(_)) => Status::Skipped,
        (_, Ending::Reply(_) | Ending::Silent | Ending::Event) => Status::Ok,
    }
}

impl RunRecord {
    /// Returns the record of a plain run without a text, session or delivery, for tests that write records one
    /// by one. It was made when the run ended.
    #[must_use]
    pub fn plain(
        generation: Generation,
        job_id: &str,
        (run_at, ended_at): (UnixMs, UnixMs),
        status: Status,
        usage: Option<Tokens>,
    ) -> Self {
        let mut record = Self::blank(job_id, status);
        (record.ts, record.run_at_ms, record.duration_ms) = (ended_at.0, run_at.0, ended_at.since(run_at));
        record.usage = usage.and_then(|tokens| RecordUsage::of(generation, &[tokens]));
        let (provider, model) = Profile::Plain.model();
        record.model = record.usage.map(|_| model.into());
        record.provider = record.usage.map(|_| provider.into());
        record.error = (status != Status::Ok).then(|| "500 upstream exploded".to_owned());
        if generation.is_late() {
            record.delivery_status = Some("not-requested".into());
        }
        record.complete(generation);
        record
    }

    /// Returns the record with a webhook that failed after the run had gone well, as 2026.9.6 writes it.
    #[must_use]
    pub fn undelivered(mut self) -> Self {
        self.delivered = Some(false);
        self.delivery_status = Some("not-delivered".into());
        self.delivery_error = Some("Webhook request failed with HTTP 500".into());
        self.completion_status = Some("failed".into());
        self
    }

    fn blank(job_id: &str, status: Status) -> Self {
        Self {
            ts: 0,
            job_id: job_id.to_owned(),
            action: "finished".into(),
            status: status.as_str().into(),
            completion_status: None,
            error: None,
            error_reason: None,
            summary: None,
            diagnostics: None,
            delivered: None,
            delivery_status: None,
            delivery_error: None,
            delivery: None,
            session_id: None,
            session_key: None,
            run_at_ms: 0,
            duration_ms: 0,
            next_run_at_ms: None,
            model: None,
            provider: None,
            usage: None,
        }
    }

    /// Returns the record of a finished run.
    pub(super) fn new(
        generation: Generation,
        job: &Job,
        session_id: &str,
        outcome: &Outcome,
        times: Times,
    ) -> Self {
        let mut record = Self::blank(&job.id, status_of(generation, &outcome.ending));
        (record.ts, record.run_at_ms) = (times.ts, times.run_at);
        record.duration_ms = outcome.duration_ms;
        record.next_run_at_ms = times.next_run_at;
        record.usage = RecordUsage::of(generation, &outcome.calls);
        if generation.is_late() {
            record.delivery_status = Some("not-requested".into());
        }
        match &outcome.ending {
            Ending::Reply(_) | Ending::Silent => record.answer(generation, job, session_id, &outcome.ending),
            Ending::Refused(text) => record.refuse(generation, job, session_id, text),
            Ending::TimedOut => record.time_out(generation, job, session_id),
            Ending::Interrupted => record.interrupt(),
            Ending::Skipped(reason) if job.profile == Profile::Heartbeat => {
                record.error = Some(format!("heartbeat skipped: {reason}"));
            }
            Ending::Event | Ending::Skipped(_) => {
                if let Ending::Skipped(reason) = outcome.ending {
                    record.error = Some(reason.to_owned());
                }
                record.summary = Some(EVENT_TEXT.to_owned());
                let own_session = generation.is_late() && generation < Generation::V2026_9_6;
                record.session_key =
                    own_session.then(|| format!("agent:main:cron:{}:run:{}", job.id, times.run_at));
            }
        }
        record.complete(generation);
        record
    }

    /// Returns the line without its newline.
    pub(super) fn to_line(&self) -> Result<Vec<u8>, super::Error> {
        serde_json::to_vec(self).map_err(super::Error::json("a run record"))
    }

    /// Returns the error text that the job's state repeats.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Replaces the summary, for lines of a wanted length.
    pub(super) fn set_summary(&mut self, summary: String) {
        self.summary = Some(summary);
    }

    /// Returns the end of the run itself; [`Self::ts`] can be later.
    pub(super) const fn ended_at(&self) -> i64 {
        self.run_at_ms + self.duration_ms
    }

    /// Returns whether the run ended at its time limit.
    pub(super) fn is_timeout(&self) -> bool {
        self.error().is_some_and(|error| error.contains(TIMED_OUT))
    }

    /// Returns whether the run and its delivery succeeded, as 2026.9.6 judges it.
    pub(super) fn completion(&self) -> Text {
        if let Some(known) = &self.completion_status {
            return known.clone();
        }
        let delivered = matches!(self.delivery_status.as_deref(), Some("delivered" | "not-requested"));
        match self.status.as_ref() {
            "ok" if self.delivered == Some(true) || delivered => "succeeded".into(),
            "ok" => "unknown".into(),
            _ => "failed".into(),
        }
    }

    fn complete(&mut self, generation: Generation) {
        if generation.store() == Store::TaskRuns {
            let undelivered = self.delivery_status.as_deref() == Some("not-delivered");
            let status = if undelivered { "failed".into() } else { self.completion() };
            self.completion_status = Some(status);
        }
    }

    fn answer(&mut self, generation: Generation, job: &Job, session_id: &str, ending: &Ending) {
        let database = generation.store() != Store::RunLogs;
        self.summary = match ending {
            Ending::Reply(text) => Some(text.clone()),
            _ => database.then(|| "NO_REPLY".to_owned()),
        };
        self.name_model(job);
        self.in_session(job, session_id);
        match generation {
            Generation::V2026_2_17 => {}
            Generation::V2026_5_28 | Generation::V2026_6_11 => self.delivery = Some(DeliveryTrace::none(job)),
            Generation::V2026_9_6 => {
                let trace = DeliveryTrace::posted(job);
                self.delivered = Some(trace.delivered);
                self.delivery_error = trace.error();
                self.delivery_status = Some(trace.status().into());
                self.delivery = Some(trace);
            }
        }
    }

    fn refuse(&mut self, generation: Generation, job: &Job, session_id: &str, text: &str) {
        self.in_session(job, session_id);
        match generation {
            Generation::V2026_2_17 => {
                self.summary = Some(text.to_owned());
                self.name_model(job);
            }
            Generation::V2026_5_28 | Generation::V2026_6_11 => {
                self.fail(format!("FailoverError: {text}"), text, "agent-run");
            }
            Generation::V2026_9_6 => {
                let (provider, model) = job.profile.model();
                let code = text.split(' ').next().unwrap_or_default();
                let message = format!("{provider}/{model} request failed (HTTP {code})");
                self.fail(message.clone(), &message, "agent-run");
                self.error_reason = Some(if code == "401" { "auth".into() } else { "server_error".into() });
                self.name_model(job);
            }
        }
    }

    fn time_out(&mut self, generation: Generation, job: &Job, session_id: &str) {
        if !generation.is_late() {
            self.error = Some(format!("Error: {TIMED_OUT}"));
            return;
        }
        let text = format!("{TIMED_OUT} (last phase: model-call-started)");
        self.fail(text.clone(), &text, "cron-setup");
        if generation == Generation::V2026_9_6 {
            self.error_reason = Some("timeout".into());
            self.name_model(job);
            self.in_session(job, session_id);
        }
    }

    fn interrupt(&mut self) {
        self.error = Some(INTERRUPTED.to_owned());
        self.delivered = Some(false);
        self.delivery_status = Some("unknown".into());
        self.delivery_error = Some(INTERRUPTED.into());
    }

    fn name_model(&mut self, job: &Job) {
        let (provider, model) = job.profile.model();
        self.model = Some(model.into());
        self.provider = Some(provider.into());
    }

    fn in_session(&mut self, job: &Job, session_id: &str) {
        let agent = job.agent.unwrap_or("main");
        self.session_key = Some(format!("agent:{agent}:cron:{}:run:{session_id}", self.job_id));
        self.session_id = Some(session_id.to_owned());
    }

    fn fail(&mut self, error: String, message: &str, source: &'static str) {
        self.error = Some(error);
        self.diagnostics = Some(Diagnostics::error(message, source, self.ended_at()));
    }
}
