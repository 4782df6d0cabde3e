//! What alerts on events must hold to.

use std::collections::BTreeSet;

use super::super::loki::{EventAlert, Events, key};
use super::super::rules::Thresholds;
use super::rules::{alerts, rules};
use super::*;
use crate::model::{Reason, Status};
use crate::telemetry::event;
use crate::telemetry::names::label;

pub(super) fn events() -> Events {
    let carried = embedded::files().unwrap();
    Events::read(&carried, &Thresholds::read(&carried, "").unwrap()).unwrap()
}

fn committed(settings: &Settings) -> String {
    let files = files(settings).unwrap();
    files.into_iter().find(|file| file.path == "loki/openclaw-usage.yaml").unwrap().text
}

/// The labels that a filter compares, and what with.
pub(super) fn compared(filter: &str) -> Vec<(&str, &str)> {
    let parts = filter.split(" | ").flat_map(|part| part.split(" or "));
    parts
        .map(|part| {
            let (label, value) =
                part.split_once("=\"").unwrap_or_else(|| panic!("{part} is no plain comparison"));
            (label, value.strip_suffix('"').unwrap_or_else(|| panic!("{part}")))
        })
        .collect()
}

/// Nothing is looked for in a text: no line filter, no pattern, no expression.
#[test]
fn only_attributes_are_compared() {
    for EventAlert { name, events, .. } in events().alert {
        for (label, value) in compared(&events) {
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}: {label}");
            let closed = ["event_name", "openclaw_status", "openclaw_reason"];
            assert!(
                closed.contains(&label),
                "{name} compares {label}, which somebody could name as he likes"
            );
            assert!(!value.is_empty() && !value.contains(['"', '`', '\\']), "{name}: {value}");
        }
    }
    let text = committed(&Settings::default());
    for word in ["|=", "|~", "!~", "line_format", "regexp", "pattern"] {
        assert!(!text.contains(word), "a rule has {word}");
    }
}

/// The types of events that a filter lets through.
fn types_of(filter: &str) -> Vec<&'static event::EventType> {
    let named: Vec<&str> =
        compared(filter).into_iter().filter(|(key, _)| *key == "event_name").map(|(_, name)| name).collect();
    let types: Vec<_> = event::ALL.iter().copied().filter(|kind| named.contains(&kind.name)).collect();
    assert_eq!(types.len(), named.len(), "{named:?} are not all types of events");
    types
}

#[test]
fn what_is_compared_and_told_exists() {
    for alert in events().alert {
        let keys: BTreeSet<String> = alert.labels().map(key).collect();
        let EventAlert { name, events, by, .. } = alert;
        let types = types_of(&events);
        assert!(!types.is_empty(), "{name}");
        let known: BTreeSet<&str> =
            event::ALL.iter().flat_map(|kind| kind.attributes).chain(&event::COMMON).copied().collect();
        assert!(
            keys.len() >= by.len() && keys.iter().all(|key| known.contains(key.as_str())),
            "{name}: {keys:?}"
        );
        let has = |wanted: &str| {
            let all = types.iter().flat_map(|kind| kind.attributes).chain(&event::COMMON);
            all.into_iter().any(|attribute| label(attribute) == wanted)
        };
        for (compared, value) in compared(&events) {
            let known = match compared {
                "openclaw_status" => Status::ALL.iter().any(|status| status.as_str() == value),
                "openclaw_reason" => Reason::ALL.iter().any(|reason| reason.as_str() == value),
                _ => true,
            };
            assert!(known, "{name}: no event has {compared} {value}");
        }
        for told in by {
            assert!(has(&told), "{name}: none of its events has {told}");
        }
    }
}

#[test]
#[should_panic(expected = "are not all types of events")]
fn a_type_that_does_not_exist_is_found() {
    types_of("event_name=\"openclaw.cron.webhook_failed\"");
}

#[test]
fn alerts_on_events_are_told_as_those_on_metrics() {
    let on_metrics = rules();
    let mut names: BTreeSet<String> = alerts(&on_metrics).map(|alert| alert.name.clone()).collect();
    let events = events();
    assert!(events.alert.len() >= 6);
    for alert in events.alert {
        let EventAlert { name, severity, summary, description, by, at_least, .. } = alert;
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(name.starts_with("OpenClaw") && name.len() <= 40 && name.chars().all(char::is_alphanumeric));
        assert!(["critical", "warning", "info"].contains(&severity.as_str()), "{name}: {severity}");
        assert!(!alert.r#for.is_empty() && alert.r#for != "0s", "{name}");
        assert!(at_least.parse::<u32>().is_ok_and(|n| n > 0), "{name}: {at_least}");
        assert!(summary.ends_with('.') && !summary.contains("{{"), "{name}: {summary}");
        assert!(description.contains("$value") && !description.contains('@'), "{name}: {description}");
        for rest in description.split("$labels.").skip(1) {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap();
            assert!(by.iter().any(|label| *label == rest[..end]), "{name}: {}", &rest[..end]);
        }
    }
}

#[test]
fn both_ways_to_loki_are_looked_at() {
    let text = committed(&Settings::default());
    let alerts = events().alert.len();
    let lines = |namespace: &str| {
        let stream = format!("count_over_time({{namespace=\"{namespace}\"}} | json ");
        text.matches(&stream).count()
    };
    assert_eq!(text.matches("count_over_time({service_name=\"openclaw-usage\"} | ").count(), alerts);
    assert_eq!((lines("openclaw"), lines("prod")), (alerts, 0));
    let logs = Selector::parse("{namespace=\"prod\", container=\"x\"}").unwrap();
    let other =
        committed(&Settings { logs, thresholds: "failing_runs_an_hour = 7".into(), ..Settings::default() });
    assert_eq!(other.matches("count_over_time({namespace=\"prod\", container=\"x\"} | json").count(), alerts);
    assert_eq!(other.matches(") >= 7").count(), 1);
}

/// What `demo --help` promises.
#[test]
fn incidents_are_told_by_alerts_that_there_are() {
    let rules = rules();
    for incident in crate::demo::Incident::ALL {
        assert!(alerts(&rules).any(|alert| alert.name == incident.alert()), "{}", incident.alert());
    }
}
