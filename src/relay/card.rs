//! What a message says, before any service's form: read off the line of its event.

use serde_json::{Map, Value};

use super::text::{one_line, readable};
use crate::model::UnixMs;
use crate::telemetry::catalogue::key::{self, event};

/// The type of the event that is a digest.
pub const DIGEST_EVENT: &str = "openclaw.usage.digest";
/// The type of the event of a run.
const RUN_EVENT: &str = "openclaw.cron.run";
/// Longest name in a title, in characters.
const NAME_MAX: usize = 100;

/// How good it is what a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Somebody should look.
    Doubtful,
    /// Something failed.
    Bad,
    /// Neither.
    Plain,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it is known by, the same however often it is sent.
    pub id: String,
    /// How good that is.
    pub tone: Tone,
    /// One line.
    pub title: String,
    /// Short facts, each with its name.
    pub facts: Vec<(&'static str, String)>,
    /// What the run said.
    pub summary: Option<String>,
    /// A table for people, whose columns stand one below the other; and the same in Markdown.
    pub table: Option<(String, String)>,
    /// Where and when, one line.
    pub footer: String,
    /// When it happened.
    pub at: Option<UnixMs>,
    /// The event itself.
    pub event: Map<String, Value>,
}

impl Card {
    /// Reads the line of an event.
    #[must_use]
    pub fn new(content: &str, summary: Option<&str>) -> Self {
        // What was kept is what was made by `telemetry::event`, or a digest.
        let event: Map<String, Value> = serde_json::from_str(content).unwrap_or_default();
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        let line = |key: &str| cut(&one_line(text(key)));
        let kind = text(event::NAME);
        let at = text("timestamp");
        let mut card = Self {
            id: text(event::ID).to_owned(),
            tone: tone(&event),
            title: String::new(),
            facts: Vec::new(),
            summary: summary.map(readable).filter(|text| !text.is_empty()),
            table: None,
            footer: [line(event::GATEWAY), at.get(..16).unwrap_or(at).replace('T', " ")].join(" · "),
            at: at.parse::<jiff::Timestamp>().ok().map(|at| UnixMs(at.as_millisecond())),
            event: Map::new(),
        };
        if at.ends_with('Z') {
            card.footer.push_str(" UTC");
        }
        match kind {
            RUN_EVENT => {
                card.title = run_title(&event, card.tone);
                card.facts = run_facts(&event);
            }
            DIGEST_EVENT => {
                card.title = line("message");
                let part = |key: &str| text(key).to_owned();
                card.table = Some((part("table"), part("markdown")));
            }
            _ => {
                let words = line("message");
                // The number in brackets tells events apart for servers, not for people.
                let words = words.rsplit_once(" [").map_or(words.as_str(), |(words, _)| words);
                card.title = format!("{} {words}", mark(card.tone));
                let job = job(&event);
                card.facts.extend((!job.is_empty()).then_some(("Job", job)));
                let reason = line(key::REASON);
                card.facts.extend((!reason.is_empty()).then_some(("Reason", reason)));
            }
        }
        card.event = event;
        card
    }

    /// Returns all facts in one line.
    #[must_use]
    pub fn facts_line(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("{name}: {value}"));
        facts.collect::<Vec<_>>().join(" · ")
    }
}

fn tone(event: &Map<String, Value>) -> Tone {
    let severity = event.get("severity").and_then(Value::as_str);
    let is_run = event.get(event::NAME).and_then(Value::as_str) == Some(RUN_EVENT);
    match severity {
        Some("ERROR") => Tone::Bad,
        Some("WARN") => Tone::Doubtful,
        Some("INFO") if is_run => Tone::Good,
        _ => Tone::Plain,
    }
}

const fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✅",
        Tone::Doubtful => "⚠️",
        Tone::Bad => "❌",
        Tone::Plain => "ℹ️",
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= NAME_MAX {
        return text.to_owned();
    }
    text.chars().take(NAME_MAX - 1).chain(['…']).collect()
}

/// Returns the job's name, else its id.
fn job(event: &Map<String, Value>) -> String {
    let text = |key: &str| one_line(event.get(key).and_then(Value::as_str).unwrap_or_default());
    let (name, id) = (text(key::JOB_NAME), text(key::JOB_ID));
    cut(if name.is_empty() { &id } else { &name })
}

fn run_title(event: &Map<String, Value>, tone: Tone) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let (status, reason) = (text(key::STATUS), text(key::REASON));
    let how = match status {
        "error" => "failed",
        "skipped" => "was skipped",
        "unrecorded" => "left no record",
        "unknown" => "ended somehow",
        other => other,
    };
    let why = if matches!(reason, "" | "none") { String::new() } else { format!(" ({reason})") };
    format!("{} {}: {how}{why}", mark(tone), job(event))
}

fn run_facts(event: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let text = |key: &str| cut(&one_line(event.get(key).and_then(Value::as_str).unwrap_or_default()));
    let number = |key: &str| event.get(key).and_then(Value::as_u64);
    let mut facts = vec![("Status", text(key::STATUS))];
    facts.extend(number(event::DURATION).map(|ms| ("Duration", duration(ms))));
    let tokens: Vec<(u64, &str)> = event::TOKENS
        .into_iter()
        .zip(["in", "out", "cache read", "cache write"])
        .filter_map(|(key, kind)| Some((number(key).filter(|tokens| *tokens > 0)?, kind)))
        .collect();
    if !tokens.is_empty() {
        let sum = tokens.iter().fold(0u64, |sum, (tokens, _)| sum.saturating_add(*tokens));
        let parts: Vec<String> =
            tokens.iter().map(|(tokens, kind)| format!("{} {kind}", grouped(*tokens))).collect();
        facts.push(("Tokens", format!("{} ({})", grouped(sum), parts.join(", "))));
    }
    let cost = text(event::COST);
    if !cost.is_empty() {
        let least = if text(event::COST_PROVENANCE) == "lower_bound" { "at least " } else { "" };
        facts.push(("Cost", format!("{least}${cost}")));
    }
    let (provider, model) = (text(key::PROVIDER), text(key::MODEL));
    let model = [provider, model].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    facts.extend((!model.is_empty()).then_some(("Model", model)));
    facts
}

/// Returns a duration for people: `420 ms`, `4.2 s`, `1 min 32 s`, `2 h 5 min`.
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// Returns a number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
