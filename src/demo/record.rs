//! One line of a run log, in the key order and with the habits of each version.
//!
//! Keys that OpenClaw leaves undefined are absent, not null, but for `to` of a delivery trace.

use super::Generation;
use super::bill::Tokens;
use super::jobs::{EVENT_TEXT, Job};
use super::provider::{Ending, Outcome};
use crate::model::Status;
use serde::Serialize;

/// The usage object of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecordUsage {
    /// Summed over the run's calls, without cached tokens.
    pub input_tokens: u64,
    /// Summed over the run's calls.
    pub output_tokens: u64,
    /// The prompt of the last call alone, cached tokens included, output not: never to be summed.
    pub total_tokens: u64,
}

impl RecordUsage {
    /// Returns what a record says of these calls; `None` when nothing was billed.
    pub(super) fn of(calls: &[Tokens]) -> Option<Self> {
        let last = calls.last()?;
        Some(Self {
            input_tokens: calls.iter().map(|c| c.input).sum(),
            output_tokens: calls.iter().map(|c| c.output).sum(),
            total_tokens: last.prompt(),
        })
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Diagnostics {
    pub(super) summary: String,
    entries: [DiagnosticEntry; 1],
}

#[derive(Clone, Debug, Serialize)]
struct DiagnosticEntry {
    ts: i64,
    source: &'static str,
    severity: &'static str,
    message: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryTrace {
    intended: Intended,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<Resolved>,
    fallback_used: bool,
    delivered: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Intended {
    channel: &'static str,
    to: Option<String>,
    source: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Resolved {
    ok: bool,
    to: Option<String>,
    source: &'static str,
    error: &'static str,
}

/// A run record. Serialising it gives the line without its newline.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// When the record was made, UTC milliseconds: the end of the whole batch.
    pub ts: i64,
    /// The job.
    pub job_id: String,
    action: &'static str,
    /// `ok`, `error` or `skipped`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diagnostics: Option<Diagnostics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryTrace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    /// When the run started, UTC milliseconds.
    pub run_at_ms: i64,
    /// How long it took.
    pub duration_ms: i64,
    /// When the job runs next; absent for one-shot jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
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
        (_, Ending::Refused(_) | Ending::TimedOut) => Status::Error,
        (_, Ending::Skipped(_)) => Status::Skipped,
        (_, Ending::Reply(_) | Ending::Silent | Ending::Event) => Status::Ok,
    }
}

impl RunRecord {
    /// Returns the record of a finished run.
    pub(super) fn new(
        generation: Generation,
        job: &Job,
        session_id: &str,
        outcome: &Outcome,
        times: Times,
    ) -> Self {
        let late = generation == Generation::V2026_5_28;
        let (provider, model) = job.profile.model();
        let mut record = Self {
            ts: times.ts,
            job_id: job.id.clone(),
            action: "finished",
            status: status_of(generation, &outcome.ending).as_str(),
            error: None,
            summary: None,
            diagnostics: None,
            delivery_status: late.then_some("not-requested"),
            delivery: None,
            session_id: None,
            session_key: None,
            run_at_ms: times.run_at,
            duration_ms: outcome.duration_ms,
            next_run_at_ms: times.next_run_at,
            model: None,
            provider: None,
            usage: RecordUsage::of(&outcome.calls),
        };
        let agent = job.agent.unwrap_or("main");
        let ended_at = times.run_at + outcome.duration_ms;
        match &outcome.ending {
            Ending::Reply(_) | Ending::Silent => {
                if let Ending::Reply(text) = &outcome.ending {
                    record.summary = Some(text.clone());
                }
                record.delivery = late.then(|| DeliveryTrace::of(job));
                record.model = Some(model);
                record.provider = Some(provider);
                record.in_session(agent, session_id);
            }
            Ending::Refused(text) if late => {
                record.fail(format!("FailoverError: {text}"), text, "agent-run", ended_at);
                record.in_session(agent, session_id);
            }
            Ending::Refused(text) => {
                record.summary = Some((*text).to_owned());
                record.model = Some(model);
                record.provider = Some(provider);
                record.in_session(agent, session_id);
            }
            Ending::TimedOut if late => {
                let text = "cron: job execution timed out (last phase: model-call-started)";
                record.fail(text.to_owned(), text, "cron-setup", ended_at);
            }
            Ending::TimedOut => record.error = Some("Error: cron: job execution timed out".to_owned()),
            Ending::Event | Ending::Skipped(_) => {
                if let Ending::Skipped(reason) = outcome.ending {
                    record.error = Some(reason.to_owned());
                }
                record.summary = Some(EVENT_TEXT.to_owned());
                record.session_key = late.then(|| format!("agent:main:cron:{}:run:{}", job.id, times.run_at));
            }
        }
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

    fn in_session(&mut self, agent: &str, session_id: &str) {
        self.session_key = Some(format!("agent:{agent}:cron:{}:run:{session_id}", self.job_id));
        self.session_id = Some(session_id.to_owned());
    }

    fn fail(&mut self, error: String, message: &str, source: &'static str, ts: i64) {
        self.error = Some(error);
        self.diagnostics = Some(Diagnostics {
            summary: message.to_owned(),
            entries: [DiagnosticEntry { ts, source, severity: "error", message: message.to_owned() }],
        });
    }
}

impl DeliveryTrace {
    fn of(job: &Job) -> Self {
        Self {
            intended: Intended { channel: "last", to: job.webhook.clone(), source: "last" },
            resolved: job.webhook.as_ref().map(|_| Resolved {
                ok: false,
                to: None,
                source: "last",
                error: "webhook delivery has no chat target",
            }),
            fallback_used: false,
            delivered: false,
        }
    }
}
