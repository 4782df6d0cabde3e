//! Every metric and label that a dashboard names is one that this program emits, or one of OpenClaw's own plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use openclaw_usage::telemetry::catalogue::{ALL, Kind, key};
use openclaw_usage::telemetry::names;

use super::ask::{Asked, Way, asked, dashboards, word};

/// Families of the gateway's own plugin that dashboards show, and their labels.
const OF_THE_PLUGIN: [(&str, &[&str]); 4] = [
    ("openclaw_message_processed_total", &["openclaw_outcome", "openclaw_channel"]),
    ("openclaw_message_duration_ms_milliseconds_bucket", &["le", "openclaw_outcome", "openclaw_channel"]),
    ("openclaw_queue_depth", &["openclaw_lane"]),
    ("openclaw_session_state_total", &["openclaw_state", "openclaw_reason"]),
];

/// Series with their labels, as Prometheus stores them.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    for metric in ALL {
        let labels: BTreeSet<String> = metric.attributes.iter().map(|key| names::label(key)).collect();
        let series = names::series(metric);
        let parts: &[&str] =
            if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        for part in parts {
            let mut labels = labels.clone();
            labels.extend((*part == "_bucket").then(|| "le".to_owned()));
            known.insert(format!("{series}{part}"), labels);
        }
    }
    for (name, labels) in OF_THE_PLUGIN {
        let labels: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let parts: &[&str] = if name == "openclaw_queue_depth" { &["_sum", "_count"] } else { &[""] };
        known.extend(parts.iter().map(|part| (format!("{name}{part}"), labels.clone())));
    }
    known
}

/// The words of PromQL that begin as our names do, without those in quotes.
fn named(expr: &str) -> BTreeSet<&str> {
    let outside = expr.split('"').step_by(2);
    let words = outside.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with("openclaw_") || word.starts_with("process_")).collect()
}

/// What names in an expression nobody emits.
fn unknown(expr: &str) -> Vec<String> {
    let known = known();
    let words = named(expr);
    let labels: BTreeSet<&str> =
        words.iter().filter_map(|word| known.get(*word)).flatten().map(String::as_str).collect();
    let fits = |word: &&&str| !known.contains_key(**word) && !labels.contains(**word);
    words.iter().filter(fits).map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_metric_and_label_of_a_dashboard_exists() {
    for dashboard in dashboards() {
        let of_prometheus = |way| matches!(way, Way::Instant | Way::Range);
        for query in dashboard.queries().iter().filter(|query| of_prometheus(query.way)) {
            assert_eq!(unknown(&query.expr), Vec::<String>::new(), "{}: {}", query.place, query.expr);
        }
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            let expr = match asked(variable) {
                Asked::LabelValues(series, label) => format!("sum by ({label}) ({series})"),
                Asked::QueryResult(query) => query.to_owned(),
            };
            assert_eq!(unknown(&expr), Vec::<String>::new(), "{}: {expr}", dashboard.uid);
        }
    }
    assert_eq!(unknown("sum by (openclaw_modell) (openclaw_tokens_total)"), ["openclaw_modell"]);
    assert_eq!(unknown("openclaw_token_total"), ["openclaw_token_total"]);
    assert_eq!(unknown("openclaw_tokens_total{openclaw_status=\"ok\"}"), ["openclaw_status"]);
}

/// Labels of Loki are the attributes of events.
#[test]
fn every_attribute_of_an_event_in_a_dashboard_exists() {
    let docs =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md")).expect("docs");
    let attributes: BTreeSet<String> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(names::label)
        .collect();
    assert!(attributes.contains(&names::label(key::event::NAME)), "{attributes:?}");
    let mut seen = 0;
    for dashboard in dashboards() {
        for query in dashboard.queries().iter().filter(|query| matches!(query.way, Way::Counts | Way::Lines))
        {
            let outside: String = query.expr.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            let words = outside.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("openclaw_") || word.starts_with("event_")) {
                assert!(attributes.contains(word), "{}: {word}", query.place);
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "{seen}");
}

/// A list for people: a family that nobody looks at may be one too many, or a panel too few.
#[test]
fn families_that_nothing_uses_are_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<String> = dashboards().iter().map(|dashboard| dashboard.json.to_string()).collect();
    texts.push(fs::read_to_string(root.join("alerts/source/rules.toml")).expect("the rules"));
    for entry in fs::read_dir(root.join("docs")).expect("docs").flatten() {
        // The list of all metrics is no use of any.
        if entry.path().extension().is_some_and(|ending| ending == "md") && entry.file_name() != "metrics.md"
        {
            texts.push(fs::read_to_string(entry.path()).expect("a page"));
        }
    }
    let unused: Vec<String> = ALL
        .iter()
        .map(|metric| names::series(metric))
        .filter(|name| texts.iter().all(|text| !text.contains(name)))
        .collect();
    println!("in no dashboard, rule or page: {}", unused.join(", "));
    assert!(unused.len() < ALL.len() / 2, "{unused:?}");
    assert!(dashboards().iter().all(|dashboard| !word(&dashboard.json["title"]).is_empty()));
}
