//! Events: what happened, as one line of JSON that is kept and sent, and as records of OTLP's logs.
//!
//! Invariants: what happened makes the same line always and everywhere; a line holds no line break and nothing that
//! steers a terminal, whatever a name holds; two things that happened never make the same message, since some servers
//! take two records of one time and one message for the same. No text of a user, a model or a provider is in a line
//! but the names and ids of jobs, agents and models. Deliberately absent: who is told, and when.

#[cfg(test)]
mod docs;
mod logs;
#[cfg(test)]
mod tests;
mod types;

use std::fmt::Write as _;

use serde::ser::{Serialize, SerializeMap, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{
    CostProvenance, Delivery, FinishedRun, GatewayEvent, GatewayEventKind, Happening, MissingNotice, Reason,
    RunAt, Severity, Status, TokenKind, UnixMs, Usage,
};
use crate::telemetry::catalogue::key::{self, event as event_key};

pub use logs::request as logs_request;
pub use types::{ALL, COMMON, EventType, RUN};

/// Longest name or id in an event, in characters.
const MAX_CHARS: usize = 200;
/// The words that OpenClaw's operators are told to alert on.
const WEBHOOK_WORDS: &str = "webhook delivery failed";

/// The field with the time of what happened.
const TIMESTAMP: &str = "timestamp";
/// The field with the severity.
const SEVERITY: &str = "severity";
/// The field with the message.
const MESSAGE: &str = "message";

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attribute {
    Text(String),
    Count(u64),
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    kind: &'static EventType,
    severity: Severity,
    at: UnixMs,
    message: String,
    attributes: Vec<(&'static str, Attribute)>,
}

/// Returns what happened at a gateway of that name, as one line of JSON without its line break.
#[must_use]
pub fn line(happening: Happening<'_>, gateway: &str) -> String {
    let event = match happening {
        Happening::Run(run) => of_run(run, gateway),
        Happening::Gateway(event) => of_gateway(event, gateway),
        Happening::Missing(missing) => of_missing(missing, gateway),
    };
    // A map of texts and numbers always becomes JSON.
    defused(&serde_json::to_string(&event).unwrap_or_default())
}

impl Event {
    fn new(kind: &'static EventType, severity: Severity, at: UnixMs, id: u64, gateway: &str) -> Self {
        let attributes = vec![
            (event_key::NAME, Attribute::Text(kind.name.to_owned())),
            (event_key::ID, Attribute::Text(format!("{id:016x}"))),
            (event_key::GATEWAY, Attribute::Text(gateway.to_owned())),
        ];
        Self { kind, severity, at, message: String::new(), attributes }
    }

    /// Adds a text, cut to what an event may hold; nothing if it is empty.
    fn text(&mut self, key: &'static str, text: &str) {
        debug_assert!(self.kind.attributes.contains(&key), "{key} of {} is not declared", self.kind.name);
        if !text.is_empty() {
            self.attributes.push((key, Attribute::Text(text.chars().take(MAX_CHARS).collect())));
        }
    }

    fn count(&mut self, key: &'static str, count: Option<u64>) {
        debug_assert!(self.kind.attributes.contains(&key), "{key} of {} is not declared", self.kind.name);
        self.attributes.extend(count.map(|count| (key, Attribute::Count(count))));
    }
}

fn of_run(run: &FinishedRun<'_>, gateway: &str) -> Event {
    let started = run.at.time();
    let kind = if matches!(run.at, RunAt::Started(_)) { "run" } else { "ts" };
    // Of the ledger's own gateway as it always was.
    let (of, gateway) = if run.gateway.is_empty() {
        (String::new(), gateway)
    } else {
        (format!("\0{}", run.gateway), run.gateway)
    };
    let id = xxh3_64(format!("{kind}\0{}\0{}{of}", started.0, run.job_id).as_bytes());
    let mut event = Event::new(&RUN, severity(run), run.recorded_at, id, gateway);
    event.text(key::JOB_ID, run.job_id);
    event.text(key::JOB_NAME, run.job_name);
    event.text(key::AGENT, run.agent);
    event.text(key::PROVIDER, run.provider);
    event.text(key::MODEL, run.model);
    event.count(event_key::RUN_AT, u64::try_from(started.0).ok());
    event.text(key::STATUS, run.status.as_str());
    event.text(key::REASON, run.reason.as_str());
    event.text(event_key::DELIVERY, delivery(run.delivery));
    event.count(event_key::DURATION, run.duration_ms);
    for (key, kind) in event_key::TOKENS.into_iter().zip(TokenKind::ALL) {
        event.count(key, run.usage.get(kind));
    }
    event.text(key::PROVENANCE, run.provenance.as_str());
    if run.cost.provenance >= CostProvenance::LowerBound {
        event.text(event_key::COST, &run.cost.usd.to_string());
    }
    event.text(event_key::COST_PROVENANCE, run.cost.provenance.as_str());
    event.message = message(run, id);
    event
}

/// Returns what people read: no name, since a name may hold the words that an alert looks for.
fn message(run: &FinishedRun<'_>, id: u64) -> String {
    let mut message = format!("scheduled run {}", run.status.as_str());
    // Writing to a String cannot fail.
    if run.reason != Reason::None {
        _ = write!(message, " ({})", run.reason.as_str());
    }
    if let Some(ms) = run.duration_ms {
        _ = write!(message, ", {ms} ms");
    }
    if run.usage != Usage::default() {
        _ = write!(message, ", {} tokens", run.usage.total());
    }
    if run.cost.provenance >= CostProvenance::LowerBound {
        _ = write!(message, ", {} USD", run.cost.usd);
    }
    _ = write!(message, " [{id:016x}]");
    message
}

const fn severity(run: &FinishedRun<'_>) -> Severity {
    match (run.status, run.reason) {
        (Status::Error, _) => Severity::Error,
        (Status::Ok | Status::Skipped, Reason::None) => Severity::Info,
        (Status::Ok | Status::Skipped | Status::Unrecorded | Status::Unknown, _) => Severity::Warn,
    }
}

const fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Unknown => "",
        Delivery::Delivered | Delivery::WebhookDelivered => "delivered",
        Delivery::NotDelivered | Delivery::WebhookFailed => "not_delivered",
        Delivery::WebhookBlocked => "blocked",
        Delivery::WebhookSkipped => "skipped",
        Delivery::NotRequested => "not_requested",
    }
}

fn of_gateway(told: &GatewayEvent, gateway: &str) -> Event {
    let kind = types::of_gateway(told.kind);
    let mut event = Event::new(kind, told.severity, told.at, told.mark, gateway);
    event.text(key::JOB_ID, told.job_id.as_deref().unwrap_or_default());
    event.text(key::JOB_NAME, told.job_name.as_deref().unwrap_or_default());
    // Only of webhooks.
    if let Some(problem) = told.problem {
        event.text(key::REASON, types::of_problem(problem));
    }
    if told.http_status.is_some() {
        event.count(event_key::HTTP_STATUS, told.http_status.map(u64::from));
    }
    if let Some((next, of)) = told.attempt {
        event.count(event_key::ATTEMPT, Some(next.into()));
        event.count(event_key::ATTEMPTS, Some(of.into()));
    }
    let words: String = told.message.chars().take(MAX_CHARS).collect();
    let is_failure = told.kind == GatewayEventKind::WebhookDeliveryFailed;
    let missing = is_failure && !words.contains(WEBHOOK_WORDS);
    let prefix = if missing { format!("{WEBHOOK_WORDS}: ") } else { String::new() };
    event.message = format!("{prefix}{words} [{:016x}]", told.mark);
    event
}

fn of_missing(missing: &MissingNotice<'_>, gateway: &str) -> Event {
    let id = xxh3_64(format!("missing\0{}\0{}", missing.run_at.0, missing.job_id).as_bytes());
    let kind = &types::WEBHOOK_DELIVERY_MISSING;
    let mut event = Event::new(kind, Severity::Warn, missing.due, id, gateway);
    event.text(key::JOB_ID, missing.job_id);
    event.text(key::JOB_NAME, missing.job_name);
    event.count(event_key::RUN_AT, u64::try_from(missing.run_at.0).ok());
    event.message =
        format!("webhook delivery missing: no notice of the run came within 2 minutes [{id:016x}]");
    event
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(TIMESTAMP, &rfc3339(self.at))?;
        map.serialize_entry(SEVERITY, self.severity.as_str())?;
        map.serialize_entry(MESSAGE, &self.message)?;
        for (key, value) in &self.attributes {
            match value {
                Attribute::Text(text) => map.serialize_entry(key, text)?,
                Attribute::Count(count) => map.serialize_entry(key, count)?,
            }
        }
        map.end()
    }
}

fn rfc3339(at: UnixMs) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Returns the same JSON with all characters escaped that are invisible or steer a terminal; JSON's own writer escapes
/// only the first 32. Outside of texts JSON has none of them.
fn defused(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}');
        if hidden {
            _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}
