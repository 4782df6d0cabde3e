//! Which events a relay passes on.

use serde_json::{Map, Value};

use super::RelayError;
use crate::config::RelayConfig;
use crate::model::{NanoUsd, Status};
use crate::price::Pattern;
use crate::telemetry::catalogue::key::{self, event};
use crate::telemetry::event::{ALL, RUN};

/// What is left out in front of the names of events.
const PREFIX: &str = "openclaw.cron.";

/// Decides what a relay passes on.
#[derive(Clone, Debug)]
pub struct Matcher {
    events: Vec<Pattern>,
    any_of: Vec<RunMatch>,
}

#[derive(Clone, Debug)]
struct RunMatch {
    jobs: Vec<Pattern>,
    status: Vec<Status>,
    cost_above: Option<NanoUsd>,
    duration_above_ms: Option<u64>,
}

impl Matcher {
    /// Compiles what a relay asks for.
    ///
    /// # Errors
    /// [`RelayError::Events`]
    pub fn new(config: &RelayConfig) -> Result<Self, RelayError> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
        let events = patterns(&config.events);
        let fits = |pattern: &Pattern| ALL.iter().any(|kind| pattern.matches(short(kind.name)));
        if let Some(pattern) = events.iter().find(|pattern| !fits(pattern)) {
            let (relay, pattern) = (config.name.clone(), pattern.as_str().to_owned());
            return Err(RelayError::Events { relay, pattern });
        }
        let any_of = config.matches.iter().map(|asked| RunMatch {
            jobs: patterns(&asked.jobs),
            status: asked.status.clone(),
            cost_above: asked.cost_above,
            duration_above_ms: asked.duration_above_ms,
        });
        Ok(Self { events, any_of: any_of.collect() })
    }

    /// Returns whether the relay passes on the event of this line.
    #[must_use]
    pub fn wants(&self, content: &str) -> bool {
        let Ok(event) = serde_json::from_str::<Map<String, Value>>(content) else { return false };
        let name = event.get(event::NAME).and_then(Value::as_str).unwrap_or_default();
        if !self.events.iter().any(|pattern| pattern.matches(short(name))) {
            return false;
        }
        name != RUN.name || self.any_of.is_empty() || self.any_of.iter().any(|asked| asked.fits(&event))
    }
}

impl RunMatch {
    /// Returns whether the run is like that. What is not known of it is above nothing.
    fn fits(&self, event: &Map<String, Value>) -> bool {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_job =
            |pattern: &Pattern| [key::JOB_NAME, key::JOB_ID].iter().any(|key| pattern.matches(text(key)));
        let cost = NanoUsd::parse(text(event::COST)).ok();
        let duration = event.get(event::DURATION).and_then(Value::as_u64);
        (self.jobs.is_empty() || self.jobs.iter().any(is_job))
            && (self.status.is_empty()
                || self.status.iter().any(|status| status.as_str() == text(key::STATUS)))
            && self.cost_above.is_none_or(|above| cost.is_some_and(|cost| cost > above))
            && self.duration_above_ms.is_none_or(|above| duration.is_some_and(|ms| ms > above))
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}
