//! Rules name what there is, and every alert has its three cases.

use std::collections::BTreeSet;

use super::super::promql::{Piece, matchers, pieces};
use super::super::rules::{Alert, Rules, Thresholds};
use super::*;
use crate::telemetry::catalogue::{self, Kind, Metric};
use crate::telemetry::names::{label, series};

/// Labels that are not ours: of the target, of a histogram, and those that replacing a pod changes.
const FOREIGN: [&str; 6] = ["job", "instance", "pod", "container", "node", "le"];

pub(super) fn rules() -> Rules {
    let carried = embedded::files().unwrap();
    Rules::read(&carried, &Thresholds::read(&carried, "").unwrap()).unwrap()
}

pub(super) fn alerts(rules: &Rules) -> impl Iterator<Item = &Alert> {
    rules.groups.iter().flat_map(|group| &group.alert)
}

/// Every expression, with the name of its rule.
fn expressions(rules: &Rules) -> Vec<(String, String)> {
    let records = rules.groups.iter().flat_map(|group| &group.record);
    let records = records.map(|record| (record.name.clone(), record.expr.clone()));
    let raw = alerts(rules).map(|alert| (alert.name.clone(), alert.expr.clone()));
    let grafana =
        alerts(rules).map(|alert| (format!("{} in Grafana", alert.name), rules.without_records(&alert.expr)));
    records.chain(raw).chain(grafana).collect()
}

/// The labels that a series of that name may have; `None` if there is no such series.
fn labels_of(name: &str, rules: &Rules) -> Option<BTreeSet<String>> {
    let of = |metric: &Metric| {
        let stored = series(metric);
        metric.kind != Kind::Histogram && name == stored
            || metric.kind == Kind::Histogram
                && ["_bucket", "_sum", "_count"].iter().any(|part| name == format!("{stored}{part}"))
    };
    let attributes =
        |metric: &Metric| metric.attributes.iter().map(|key| label(key)).collect::<BTreeSet<_>>();
    if let Some(metric) = catalogue::ALL.iter().find(|metric| of(metric)) {
        return Some(attributes(metric));
    }
    let record = rules.groups.iter().flat_map(|group| &group.record).find(|record| record.name == name)?;
    // What it is made of, less what it is summed over.
    let (mut labels, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for piece in pieces(&record.expr) {
        match piece {
            Piece::Metric(inner, _) => labels.extend(labels_of(inner, rules)?),
            Piece::Grouping(list) => gone.extend(list.split(',').map(|name| name.trim().to_owned())),
            Piece::Other(_) => {}
        }
    }
    Some(&labels - &gone)
}

/// Panics unless an expression names only metrics and labels that there are. Returns how many metrics it names.
pub(super) fn assert_named(of: &str, expression: &str, rules: &Rules) -> usize {
    let all: BTreeSet<String> =
        catalogue::ALL.iter().flat_map(|metric| metric.attributes).map(|key| label(key)).collect();
    let mut named = 0;
    for piece in pieces(expression) {
        match piece {
            Piece::Metric(name, own) => {
                named += 1;
                let labels =
                    labels_of(name, rules).unwrap_or_else(|| panic!("{of} names {name}, which there is not"));
                for matcher in matchers(own.unwrap_or_default()).unwrap() {
                    let key = matcher.split(['=', '!']).next().unwrap().trim();
                    assert!(
                        labels.contains(key) || FOREIGN.contains(&key),
                        "{of}: {name} has no label {key}"
                    );
                }
            }
            Piece::Grouping(list) => {
                for key in list.split(',').map(str::trim).filter(|key| !key.is_empty()) {
                    assert!(all.contains(key) || FOREIGN.contains(&key), "{of}: nothing has a label {key}");
                }
            }
            Piece::Other(_) => {}
        }
    }
    named
}

#[test]
fn rules_name_only_metrics_and_labels_that_exist() {
    let rules = rules();
    for (name, expression) in expressions(&rules) {
        assert!(assert_named(&name, &expression, &rules) > 0, "{name} names no metric of ours");
        assert!(!expression.contains('@'), "{name} has a threshold that is not declared: {expression}");
        assert!(!expression.contains("exact("), "{name}: {expression}");
        assert!(
            !expression.contains('$'),
            "{name}: Grafana would take a $ for a variable of the environment"
        );
    }
    for alert in alerts(&rules) {
        for rest in alert.description.split("$labels.").skip(1) {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap();
            let key = &rest[..end];
            let known =
                catalogue::ALL.iter().flat_map(|metric| metric.attributes).any(|name| label(name) == key);
            assert!(known || ["job", "instance"].contains(&key), "{}: {key}", alert.name);
        }
    }
}

#[test]
#[should_panic(expected = "which there is not")]
fn a_metric_that_does_not_exist_is_found() {
    assert_named("it", "sum(openclaw_token_total)", &rules());
}

#[test]
#[should_panic(expected = "has no label openclaw_status")]
fn a_label_that_a_metric_does_not_have_is_found() {
    assert_named("it", r#"openclaw_tokens_total{openclaw_status="ok"}"#, &rules());
}

#[test]
fn every_threshold_is_used() {
    let carried = embedded::files().unwrap();
    let text = |path: &str| &carried.iter().find(|file| file.path == path).unwrap().text;
    let thresholds: toml::Table = text("alerts/source/thresholds.toml").parse().unwrap();
    for name in thresholds.keys() {
        let used = ["alerts/source/rules.toml", "alerts/source/loki.toml"]
            .iter()
            .any(|path| text(path).contains(&format!("@{name}@")));
        assert!(used, "{name} is used nowhere");
    }
}

#[test]
fn alerts_are_told_as_people_expect() {
    let rules = rules();
    let mut names = BTreeSet::new();
    for alert in alerts(&rules) {
        let Alert { name, severity, summary, description, .. } = alert;
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(
            name.starts_with("OpenClaw") && name.len() <= 40 && name.chars().all(char::is_alphanumeric),
            "{name}"
        );
        assert!(["critical", "warning", "info"].contains(&severity.as_str()), "{name}: {severity}");
        assert!(!alert.r#for.is_empty() && alert.r#for != "0s", "{name}");
        assert!(summary.ends_with('.') && !summary.contains("{{"), "{name}: {summary}");
        assert!(description.contains("$value") && description.contains("$labels."), "{name}: {description}");
    }
    assert!(names.len() >= 19, "{}", names.len());
    for group in &rules.groups {
        assert!(group.name.len() <= 40 && group.alert.len() + group.record.len() <= 20, "{}", group.name);
    }
}

#[test]
fn every_alert_has_a_silent_a_firing_and_an_absent_case() {
    let mut text = String::new();
    for entry in std::fs::read_dir(repository().join("alerts/tests")).unwrap() {
        text.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let cases = |alert: &str, what: &str| text.matches(&format!("- name: \"{alert}: {what}")).count();
    let absent = text.split_once("- name: \"no data at all\"").unwrap().1;
    let absent = absent.split_once("- name: ").map_or(absent, |(group, _)| group);
    for alert in alerts(&rules()) {
        assert!(cases(&alert.name, "fires") > 0, "no case in which {} fires", alert.name);
        assert!(cases(&alert.name, "silent") > 0, "no case in which {} is silent", alert.name);
        assert!(
            absent.contains(&format!("alertname: {}\n", alert.name)),
            "no case without data for {}",
            alert.name
        );
    }
}

#[test]
fn a_selector_is_in_every_selector_and_survives_every_sum() {
    let rules = rules();
    let selector = Selector::parse(r#"cluster="prod""#).unwrap();
    for (name, expression) in expressions(&rules) {
        let mut selectors = 0;
        for piece in pieces(&selector.add_to(&expression)) {
            if let Piece::Metric(metric, own) = piece {
                selectors += 1;
                assert!(own.is_some_and(|own| own.contains(r#"cluster="prod""#)), "{metric} in {name}");
            }
        }
        assert!(selectors > 0);
        assert!(
            !expression.contains(" by (") && !expression.contains(" on ("),
            "{name} would drop the label"
        );
    }
}

#[test]
fn grafana_s_alerts_need_no_recorded_series() {
    let text = files(&Settings { datasource: "abc".into(), ..Settings::default() })
        .unwrap()
        .into_iter()
        .find(|file| file.path.starts_with("grafana/"))
        .unwrap()
        .text;
    assert!(!text.contains("job:openclaw"), "a recorded series is left");
    assert!(!text.contains("$value "), "a template of Prometheus is left");
    let rules = rules();
    let count = alerts(&rules).count();
    for (what, expected) in [
        ("noDataState: OK", count),
        ("execErrState: Error", count),
        ("datasourceUid: \"abc\"", count),
        ("datasourceUid: __expr__", count),
        ("condition: B", count),
    ] {
        assert_eq!(text.matches(what).count(), expected, "{what}");
    }
    let uids: BTreeSet<&str> =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("- uid: ")).collect();
    assert_eq!(uids.len(), count, "{uids:?}");
    assert!(uids.contains("openclaw-job-failing") && uids.iter().all(|uid| uid.len() <= 40), "{uids:?}");
}
