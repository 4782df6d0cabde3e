//! Rule files of Prometheus.

use super::Selector;
use super::rules::{Alert, Group, Rules};
use super::yaml::Node;

/// Returns what stands in each file, by the file's name without its ending, in the order of the names.
pub fn files(rules: &Rules, selector: &Selector, runbook: &dyn Fn(&str) -> String) -> Vec<(String, Node)> {
    let mut names: Vec<&str> = rules.groups.iter().map(|group| group.file.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| {
        let groups = rules.groups.iter().filter(|group| group.file == name);
        Node::List(groups.map(|group| node(group, selector, runbook)).collect())
    };
    names.into_iter().map(|name| (name.to_owned(), Node::Map(vec![("groups", of(name))]))).collect()
}

fn node(group: &Group, selector: &Selector, runbook: &dyn Fn(&str) -> String) -> Node {
    let records = group.record.iter().map(|record| {
        Node::Map(vec![
            ("record", Node::plain(&record.name)),
            ("expr", Node::text(selector.add_to(&record.expr))),
        ])
    });
    let alerts = group.alert.iter().map(|alert| {
        Node::Map(vec![
            ("alert", Node::plain(&alert.name)),
            ("expr", Node::text(selector.add_to(&alert.expr))),
            ("for", Node::plain(&alert.r#for)),
            ("labels", labels(alert)),
            ("annotations", annotations(alert, &alert.description, runbook)),
        ])
    });
    Node::Map(vec![
        ("name", Node::plain(&group.name)),
        ("interval", Node::plain(&group.interval)),
        ("rules", Node::List(records.chain(alerts).collect())),
    ])
}

/// Returns the labels of an alert.
pub fn labels(alert: &Alert) -> Node {
    Node::Map(vec![("severity", Node::plain(&alert.severity))])
}

/// Returns the annotations of an alert.
pub fn annotations(alert: &Alert, description: &str, runbook: &dyn Fn(&str) -> String) -> Node {
    annotated(&alert.summary, description, runbook(&alert.name))
}

/// Returns annotations as every alert has them.
pub fn annotated(summary: &str, description: &str, runbook: String) -> Node {
    Node::Map(vec![
        ("summary", Node::text(summary)),
        ("description", Node::text(description)),
        ("runbook_url", Node::text(runbook)),
    ])
}
