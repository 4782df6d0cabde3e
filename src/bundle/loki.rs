//! Alerts on events, as rule files of Loki's ruler.
//!
//! Invariant: what an alert looks for is an attribute of an event, never a part of its text. Deliberately absent: recording
//! rules (the metrics have what they would record) and any judgement of LogQL (`lokitool` judges, in the tests).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::prometheus::annotated;
use super::rules::{Thresholds, damaged, text};
use super::yaml::Node;
use super::{BundleError, BundleFile, LOGS, Selector};

/// Where they stand in the repository.
const SOURCE: &str = "alerts/source/loki.toml";
/// The stream in which Loki keeps what came by OTLP: named after our `service.name`.
const OTLP: &str = "{service_name=\"openclaw-usage\"}";

/// Alerts that are evaluated together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// The group's name.
    pub name: String,
    /// How often it is evaluated, as Prometheus spells durations.
    pub interval: String,
    /// The alerts.
    pub alert: Vec<EventAlert>,
}

/// An alert on events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventAlert {
    /// In CamelCase; also the name of its runbook.
    pub name: String,
    /// Filters of LogQL on labels.
    pub events: String,
    /// The labels that it is told for.
    pub by: Vec<String>,
    /// How many events it takes.
    pub at_least: String,
    /// Within what time, as Prometheus spells durations.
    pub window: String,
    /// How long it must hold.
    pub r#for: String,
    /// `critical`, `warning` or `info`.
    pub severity: String,
    /// The same whatever it fires for.
    pub summary: String,
    /// With labels and value, as a template of Prometheus.
    pub description: String,
}

impl Events {
    /// Reads them from the files that the program carries, with thresholds filled in.
    ///
    /// # Errors
    /// This program is broken.
    pub fn read(carried: &[BundleFile], thresholds: &Thresholds) -> Result<Self, BundleError> {
        let source = text(carried, SOURCE)?;
        let mut events: Self = toml::from_str(source).map_err(damaged)?;
        for alert in &mut events.alert {
            alert.at_least = thresholds.fill(&alert.at_least);
            alert.description = thresholds.fill(&alert.description);
        }
        Ok(events)
    }

    /// Returns the rule file, for lines of standard output in the streams of that selector.
    #[must_use]
    pub fn rules(&self, logs: &Selector, runbook: &dyn Fn(&str) -> String) -> Node {
        let rules = self.alert.iter().map(|alert| {
            let EventAlert { name, severity, summary, description, .. } = alert;
            Node::Map(vec![
                ("alert", Node::plain(name)),
                ("expr", Node::text(alert.expr(logs))),
                ("for", Node::plain(&alert.r#for)),
                ("labels", Node::Map(vec![("severity", Node::plain(severity))])),
                ("annotations", annotated(summary, description, runbook(name))),
            ])
        });
        let group = Node::Map(vec![
            ("name", Node::plain(&self.name)),
            ("interval", Node::plain(&self.interval)),
            ("rules", Node::List(rules.collect())),
        ]);
        Node::Map(vec![("groups", Node::List(vec![group]))])
    }
}

impl EventAlert {
    /// Returns the labels that it compares or is told for, each once.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let compared = self.events.split(" | ").flat_map(|part| part.split(" or "));
        let compared = compared.filter_map(|part| part.split_once('=')).map(|(label, _)| label.trim());
        let all: BTreeSet<&str> = compared.chain(self.by.iter().map(String::as_str)).collect();
        all.into_iter()
    }

    /// Returns the LogQL. The sum stands directly around the count: only then does Loki leave all labels aside that are not
    /// summed by, such as the event's id, of which there is one for each event.
    #[must_use]
    pub fn expr(&self, logs: &Selector) -> String {
        let Self { events, at_least, window, .. } = self;
        let by = self.by.join(", ");
        let count = |stream: &str| {
            format!("  sum by ({by}) (\n    count_over_time({stream} | {events} [{window}])\n  )\n")
        };
        let lines = match logs.matchers() {
            "" => format!("{{{LOGS}}}"),
            given => format!("{{{given}}}"),
        };
        // By whole keys, since Loki would make the same label of an `event` with a `name` in it that somebody else logged. What
        // is no JSON, such as the gateway's own words in the same namespace, is none of ours.
        let keys: Vec<String> =
            self.labels().map(|label| format!("{label}=\"[\\\"{}\\\"]\"", key(label))).collect();
        let lines = format!("{lines} | json {} | __error__=\"\"", keys.join(", "));
        format!("(\n{}or\n{}) >= {at_least}", count(OTLP), count(&lines))
    }
}

/// Returns the key of JSON that a label is made from: no key of ours has an underscore in it.
pub fn key(label: &str) -> String {
    label.replace('_', ".")
}
