//! Bodies of the operator's own making, with minijinja.
//!
//! Invariant: what is put into a template is JSON of its own, so that no value can break out of its place: in
//! `{"job": {{ job }}}` the quotes come with the value.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, Value, context};

use super::card::Card;
use super::render::text;
use crate::telemetry::catalogue::key::{self, event};

/// The name of the only template.
const NAME: &str = "body";
/// Longest body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// Most steps of a template: an endless loop ends.
const FUEL: u64 = 100_000;

/// A template, compiled.
pub struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it, with its line, for people.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Json);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| said(&error))?;
        Ok(Self { environment })
    }

    /// Returns the body of a message.
    ///
    /// # Errors
    /// What is wrong with the template, for people.
    pub fn render(&self, card: &Card) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| said(&error))?;
        let body = template.render(values(card)).map_err(|error| said(&error))?;
        if body.len() > MAX_BODY { Err("the body is longer than 1 MiB".to_owned()) } else { Ok(body) }
    }
}

/// Returns what went wrong and where, without what was put in.
fn said(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    // The detail of an error that comes while rendering may hold values.
    match (error.kind(), error.detail()) {
        (minijinja::ErrorKind::SyntaxError, Some(detail)) => format!("{detail}{line}"),
        (kind, _) => format!("{kind}{line}"),
    }
}

fn values(card: &Card) -> Value {
    let event = &card.event;
    let text_of =
        |key: &str| event.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let number = |key: &str| event.get(key).and_then(serde_json::Value::as_u64);
    let names = ["input", "output", "cache_read", "cache_write"];
    let mut tokens: BTreeMap<&str, u64> =
        names.into_iter().zip(event::TOKENS).map(|(name, key)| (name, number(key).unwrap_or(0))).collect();
    tokens.insert("total", tokens.values().fold(0, |sum, n| sum.saturating_add(*n)));
    let kind = text_of(event::NAME);
    context! {
        id => card.id,
        kind => kind.rsplit('.').next(),
        title => card.title,
        text => text(card),
        job => text_of(key::JOB_NAME),
        job_id => text_of(key::JOB_ID),
        agent => text_of(key::AGENT),
        provider => text_of(key::PROVIDER),
        model => text_of(key::MODEL),
        status => text_of(key::STATUS),
        reason => text_of(key::REASON),
        duration_ms => number(event::DURATION),
        tokens => tokens,
        cost_usd => text_of(event::COST),
        gateway => text_of(event::GATEWAY),
        timestamp => text_of("timestamp"),
        severity => text_of("severity"),
        summary => card.summary,
        markdown => card.table.as_ref().map(|(_, markdown)| markdown),
        event => Value::from_serialize(event),
    }
}
