//! Messages as tables: forms, limits, answers, times; and the task against a real queue, with time at its own pace.

mod answers;
mod forms;
mod tasks;
mod times;

use serde_json::{Value, json};

use super::card::Card;
use super::render::{Body, Place, render};
use super::template::Template;
use crate::config::{RelayConfig, RelayKind, RelayMatch, Secret};

/// The line of a run's event, with these attributes instead of its own.
fn run_line(changes: &Value) -> String {
    let mut event = json!({
        "timestamp": "2026-11-21T08:00:01.500Z", "severity": "INFO", "message": "scheduled run ok [00000000000000aa]",
        "event.name": "openclaw.cron.run", "openclaw.event.id": "00000000000000aa", "openclaw.gateway": "office",
        "openclaw.job.id": "j-1", "openclaw.job.name": "daily digest", "openclaw.provider": "anthropic",
        "openclaw.model": "claude-opus-4-6", "openclaw.status": "ok", "openclaw.reason": "none",
        "openclaw.run.duration_ms": 92_000, "openclaw.tokens.input": 12_000, "openclaw.tokens.output": 345,
        "openclaw.cost.usd": "0.42", "openclaw.cost.provenance": "priced",
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    event.to_string()
}

fn config(kind: RelayKind) -> RelayConfig {
    RelayConfig {
        name: "r".to_owned(),
        kind,
        url: Secret::from("http://127.0.0.1/hook"),
        token: None,
        hmac_key: None,
        ca_file: None,
        chat: None,
        template: None,
        include_summary: false,
        timeout_ms: 1_000,
        quiet: None,
        timezone: "UTC".to_owned(),
        give_up_ms: 86_400_000,
        events: vec!["run".to_owned()],
        matches: Vec::<RelayMatch>::new(),
    }
}

fn body(kind: RelayKind, card: &Card) -> Value {
    let place = Place { chat: "-1", topic: "t" };
    let Body { bytes, content_type } = render(kind, card, place, None).unwrap();
    assert_eq!(content_type, "application/json");
    serde_json::from_slice(&bytes).unwrap()
}

fn from_template(text: &str, card: &Card) -> Result<String, String> {
    let template = Template::new(text)?;
    let body = render(RelayKind::Http, card, Place::default(), Some(&template))?;
    Ok(String::from_utf8(body.bytes).unwrap())
}
