//! What a record says beside the run itself: where its result went, and what was diagnosed.

use super::jobs::Job;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A text that is the simulation's own or was read from what an older version wrote.
pub(super) type Text = Cow<'static, str>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Diagnostics {
    pub(super) summary: String,
    entries: Vec<DiagnosticEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DiagnosticEntry {
    ts: i64,
    source: Text,
    severity: Text,
    message: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryTrace {
    intended: Intended,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<Resolved>,
    fallback_used: bool,
    pub(super) delivered: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Intended {
    channel: Text,
    to: Option<String>,
    source: Text,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Resolved {
    ok: bool,
    to: Option<String>,
    source: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Text>,
}

impl Diagnostics {
    /// Returns the diagnosis of one error at `ts`, UTC milliseconds.
    pub(super) fn error(message: &str, source: &'static str, ts: i64) -> Self {
        let message = message.to_owned();
        let entry =
            DiagnosticEntry { ts, source: source.into(), severity: "error".into(), message: message.clone() };
        Self { summary: message, entries: vec![entry] }
    }
}

impl DeliveryTrace {
    /// Returns the trace of the versions that know of chats alone, whatever became of the webhook.
    pub(super) fn none(job: &Job) -> Self {
        let unresolved = || Resolved {
            ok: false,
            to: None,
            source: "last".into(),
            error: Some("webhook delivery has no chat target".into()),
        };
        Self { resolved: job.webhook.as_ref().map(|_| unresolved()), ..Self::to(job) }
    }

    /// Returns the trace of 2026.9.6, which posts and looks at the answer.
    pub(super) fn posted(job: &Job) -> Self {
        let works = job.webhook.is_some() && job.webhook_works;
        let resolved = job.webhook.clone().map(|to| Resolved {
            ok: works,
            to: Some(to),
            source: "explicit".into(),
            error: (!works).then(|| "fetch failed | bad port".into()),
        });
        Self { resolved, delivered: works, ..Self::to(job) }
    }

    fn to(job: &Job) -> Self {
        let intended = Intended { channel: "last".into(), to: job.webhook.clone(), source: "last".into() };
        Self { intended, resolved: None, fallback_used: false, delivered: false }
    }
    /// Returns what became of the delivery, in a word.
    pub(super) fn status(&self) -> &'static str {
        match (&self.resolved, self.delivered) {
            (None, _) => "not-requested",
            (_, true) => "delivered",
            (_, false) => "not-delivered",
        }
    }

    /// Returns why it failed.
    pub(super) fn error(&self) -> Option<Text> {
        self.resolved.as_ref()?.error.clone()
    }
}
