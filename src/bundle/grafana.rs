//! The same alerts as Grafana manages them itself, for those whose Prometheus evaluates no rules; and dashboards.
//!
//! Source: Grafana's file provisioning, <https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/>.
//! It puts environment variables in the place of `$…` everywhere but in annotations, so no query has a `$`.

use serde_json::Value;

use super::prometheus::{annotations, labels};
use super::rules::{Alert, Group, Rules};
use super::yaml::Node;
use super::{BundleError, BundleFile, Settings, kubernetes};

/// Returns the file of alerts.
pub fn alerts(rules: &Rules, settings: &Settings, runbook: &dyn Fn(&str) -> String) -> Node {
    let groups = rules.groups.iter().filter(|group| !group.alert.is_empty());
    let groups = groups.map(|group| node(group, rules, settings, runbook)).collect();
    Node::Map(vec![("apiVersion", Node::plain(1)), ("groups", Node::List(groups))])
}

fn node(group: &Group, rules: &Rules, settings: &Settings, runbook: &dyn Fn(&str) -> String) -> Node {
    Node::Map(vec![
        ("orgId", Node::plain(1)),
        ("name", Node::plain(&group.name)),
        ("folder", Node::plain("OpenClaw")),
        ("interval", Node::plain(&group.interval)),
        (
            "rules",
            Node::List(group.alert.iter().map(|alert| rule(alert, rules, settings, runbook)).collect()),
        ),
    ])
}

fn rule(alert: &Alert, rules: &Rules, settings: &Settings, runbook: &dyn Fn(&str) -> String) -> Node {
    let expr = settings.selector.add_to(&rules.without_records(&alert.expr));
    // In Prometheus the value of the expression, in Grafana all values by the letter of their query.
    let description = alert.description.replace("$value", "$values.A.Value");
    Node::Map(vec![
        ("uid", Node::plain(uid(&alert.name))),
        ("title", Node::plain(&alert.name)),
        ("condition", Node::plain("B")),
        ("data", Node::List(vec![query(&settings.datasource, expr), threshold()])),
        ("for", Node::plain(&alert.r#for)),
        ("labels", labels(alert)),
        ("annotations", annotations(alert, &description, runbook)),
        // No series is the usual answer: there is nothing to tell of. A query that fails is not.
        ("noDataState", Node::plain("OK")),
        ("execErrState", Node::plain("Error")),
        ("isPaused", Node::plain("false")),
    ])
}

/// A name that stays, so that Grafana knows the rule again; at most 40 letters, digits and dashes.
fn uid(name: &str) -> String {
    let mut uid = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !uid.is_empty() {
            uid.push('-');
        }
        uid.push(c.to_ascii_lowercase());
    }
    uid.replace("open-claw", "openclaw")
}

fn query(datasource: &str, expr: String) -> Node {
    let model = vec![
        ("refId", Node::plain("A")),
        ("datasource", Node::Map(vec![("type", Node::plain("prometheus")), ("uid", Node::text(datasource))])),
        ("expr", Node::text(expr)),
        ("instant", Node::plain("true")),
        ("range", Node::plain("false")),
    ];
    data("A", Node::text(datasource), model)
}

/// The query yields only what is to be told of, whose value may be 0 and never is less: every value fires.
fn threshold() -> Node {
    let evaluator = vec![("type", Node::plain("gt")), ("params", Node::List(vec![Node::plain(-1)]))];
    let model = vec![
        ("refId", Node::plain("B")),
        ("type", Node::plain("threshold")),
        ("expression", Node::plain("A")),
        ("conditions", Node::List(vec![Node::Map(vec![("evaluator", Node::Map(evaluator))])])),
    ];
    data("B", Node::plain("__expr__"), model)
}

fn data(letter: &str, datasource: Node, model: Vec<(&'static str, Node)>) -> Node {
    let range = vec![("from", Node::plain(600)), ("to", Node::plain(0))];
    Node::Map(vec![
        ("refId", Node::plain(letter)),
        ("relativeTimeRange", Node::Map(range)),
        ("datasourceUid", datasource),
        ("model", Node::Map(model)),
    ])
}

/// Returns a dashboard with the selector in its queries.
pub fn dashboard(name: &str, text: &str, settings: &Settings) -> Result<BundleFile, BundleError> {
    let mut text = text.to_owned();
    if settings.selector != super::Selector::default() {
        let mut json =
            serde_json::from_str(&text).map_err(|error| BundleError::Damaged(error.to_string()))?;
        select(&mut json, settings);
        text = format!("{json:#}\n");
    }
    Ok(if settings.kubernetes {
        let stem = name.trim_end_matches(".json");
        kubernetes::config_map(stem, "grafana_dashboard", name, &text)
    } else {
        BundleFile { path: format!("dashboards/{name}"), text }
    })
}

/// Puts the selector into every query of Prometheus below: those of panels and annotations, and of variables.
fn select(json: &mut Value, settings: &Settings) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(|item| select(item, settings)),
        Value::Object(entries) => {
            let is_loki = entries.get("datasource").is_some_and(|source| source["type"] == "loki");
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("expr", Value::String(expr)) if !is_loki => *expr = settings.selector.add_to(expr),
                    ("query" | "definition", Value::String(query)) if query.starts_with("label_values(") => {
                        // Behind the last comma stands a label, which could pass for a metric.
                        if let Some((metric, label)) = query.rsplit_once(',') {
                            *query = format!("{},{label}", settings.selector.add_to(metric));
                        }
                    }
                    (_, value) => select(value, settings),
                }
            }
        }
        _ => {}
    }
}
