//! What dashboards ask, and how Grafana fills in their variables before it asks.
//!
//! Source of the intervals: Grafana's documentation of its Prometheus and Loki data sources, with a scrape interval of
//! 15 s.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is shown: six hours.
pub const RANGE_MS: u64 = 6 * 3_600_000;
/// As many points as a panel is wide, where it does not say how many it wants.
const POINTS: u64 = 1_000;
/// What Grafana rounds intervals to: below the first number of a pair it takes the second, in milliseconds. Source:
/// `roundInterval` of its package `@grafana/data`, up to 6 h.
const INTERVALS: [(u64, u64); 18] = [
    (1_500, 1_000),
    (3_500, 2_000),
    (7_500, 5_000),
    (12_500, 10_000),
    (17_500, 15_000),
    (25_000, 20_000),
    (45_000, 30_000),
    (90_000, 60_000),
    (210_000, 120_000),
    (450_000, 300_000),
    (750_000, 600_000),
    (1_050_000, 900_000),
    (1_500_000, 1_200_000),
    (2_700_000, 1_800_000),
    (5_400_000, 3_600_000),
    (9_000_000, 7_200_000),
    (16_200_000, 10_800_000),
    (32_400_000, 21_600_000),
];
/// The least that `$__rate_interval` is: four scrapes.
const FOUR_SCRAPES_MS: u64 = 60_000;
const SCRAPE_MS: u64 = 15_000;

/// A committed dashboard.
pub struct Dashboard {
    pub uid: String,
    pub json: Value,
}

/// How a query is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Prometheus, for one moment.
    Instant,
    /// Prometheus, over time.
    Range,
    /// Loki, numbers over time.
    Counts,
    /// Loki, lines.
    Lines,
}

/// One query of a panel or an annotation.
#[derive(Clone, Debug)]
pub struct Query {
    /// Dashboard, panel and the query's letter or name.
    pub place: String,
    pub way: Way,
    pub expr: String,
    /// Between two points.
    pub interval_ms: u64,
    /// What is asked about.
    pub range_ms: u64,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// All of them, by uid.
pub fn dashboards() -> Vec<Dashboard> {
    let entries = fs::read_dir(folder()).expect("the dashboards");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<Dashboard> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a dashboard");
            let json: Value = serde_json::from_str(&text).expect("a dashboard in JSON");
            let uid = json["uid"].as_str().expect("a uid").to_owned();
            assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(uid.as_str()));
            Dashboard { uid, json }
        })
        .collect();
    found.sort_by(|a, b| a.uid.cmp(&b.uid));
    assert_eq!(found.len(), 4);
    found
}

impl Dashboard {
    /// Every query of its panels and annotations, over the tests' range, which those with one of their own take as well.
    pub fn queries(&self) -> Vec<Query> {
        self.asked(RANGE_MS, |_| None)
    }

    /// The same over any range, but for panels that have one of their own.
    pub fn asked(&self, range_ms: u64, own: impl Fn(&Value) -> Option<u64>) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in list(&self.json["panels"]) {
            let range_ms = own(panel).unwrap_or(range_ms);
            let least = panel["interval"].as_str().map_or(SCRAPE_MS, milliseconds);
            let interval_ms = interval(range_ms, panel["maxDataPoints"].as_u64()).max(least);
            for target in list(&panel["targets"]) {
                let place = format!("{} / {} / {}", self.uid, word(&panel["title"]), word(&target["refId"]));
                queries.push(query(place, target, &panel["type"], (interval_ms, range_ms)));
            }
        }
        for note in list(&self.json["annotations"]["list"]) {
            let place = format!("{} / annotation {}", self.uid, word(&note["name"]));
            let interval_ms = interval(range_ms, None).max(SCRAPE_MS);
            queries.push(query(place, &note["target"], &Value::Null, (interval_ms, range_ms)));
        }
        queries
    }

    /// The variables that are no data source, in their order.
    pub fn variables(&self) -> Vec<&Value> {
        list(&self.json["templating"]["list"]).filter(|variable| variable["type"] != "datasource").collect()
    }

    /// The one query at that place.
    pub fn query(&self, title: &str, name: &str) -> Query {
        let place = format!("{} / {title} / {name}", self.uid);
        self.queries().into_iter().find(|query| query.place == place).unwrap_or_else(|| panic!("no {place}"))
    }
}

/// The interval of a range and so many points.
fn interval(range_ms: u64, points: Option<u64>) -> u64 {
    let exact = range_ms / points.unwrap_or(POINTS);
    let rounded = INTERVALS.iter().find(|(below, _)| exact < *below).map(|(_, interval)| *interval);
    rounded.unwrap_or(if exact < 86_400_000 { 43_200_000 } else { 86_400_000 })
}

fn query(place: String, target: &Value, panel: &Value, (interval_ms, range_ms): (u64, u64)) -> Query {
    let way = match (target["datasource"]["type"].as_str(), target["instant"].as_bool()) {
        (Some("prometheus"), Some(true)) => Way::Instant,
        (Some("prometheus"), _) => Way::Range,
        (Some("loki"), _) if panel == "logs" => Way::Lines,
        (Some("loki"), _) => Way::Counts,
        other => panic!("{place} asks {other:?}"),
    };
    Query { place, way, expr: word(&target["expr"]).to_owned(), interval_ms, range_ms }
}

/// What a variable asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The values of a label of these series.
    LabelValues(&'a str, &'a str),
    /// The values of the label `openclaw_job_id` in the answer to a query.
    QueryResult(&'a str),
}

pub fn asked(variable: &Value) -> Asked<'_> {
    let text = word(&variable["query"]["query"]);
    let inside = |kind: &str| text.strip_prefix(kind).and_then(|rest| rest.strip_suffix(')'));
    let labels = inside("label_values(").and_then(|inside| inside.rsplit_once(", "));
    match (labels, inside("query_result(")) {
        (Some((series, label)), _) => Asked::LabelValues(series, label),
        (None, Some(query)) => {
            assert!(word(&variable["regex"]).starts_with("/openclaw_job_id=\"(?<value>"), "{variable}");
            Asked::QueryResult(query)
        }
        (None, None) => panic!("a variable asks {text}"),
    }
}

/// Name and value of each variable, as they are put into a query.
#[derive(Clone, Debug, Default)]
pub struct Filling(Vec<(String, String)>);

impl Filling {
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.into()));
        // Of `$job` and `$job_name` the longer one first.
        self.0.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// The text with everything filled in. What is left over is a mistake of the dashboard.
    pub fn fill(&self, expr: &str, interval_ms: u64) -> String {
        self.fill_over(expr, interval_ms, RANGE_MS)
    }

    /// The same for a range.
    pub fn fill_over(&self, expr: &str, interval_ms: u64, range_ms: u64) -> String {
        let rate = (interval_ms + SCRAPE_MS).max(FOUR_SCRAPES_MS);
        let mut filled = expr.to_owned();
        for (name, value) in [
            ("__range_ms", range_ms.to_string()),
            ("__range_s", (range_ms / 1000).to_string()),
            ("__range", format!("{}s", range_ms / 1000)),
            ("__rate_interval", format!("{}s", rate / 1000)),
            ("__interval", format!("{}s", interval_ms / 1000)),
            ("__auto", format!("{}s", interval_ms / 1000)),
        ] {
            filled = filled.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value);
        }
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        }
        // What `label_replace` found.
        let own = filled.replace("\"$1\"", "");
        assert!(!own.contains('$'), "something is left over in {filled}");
        filled
    }
}

/// What stands for a choice of values: of `All` without a value of its own, every one of them.
pub fn chosen(variable: &Value, values: &[String]) -> String {
    let current = variable["current"]["value"].as_str().unwrap_or_default();
    let all = variable["allValue"].as_str().unwrap_or_default();
    if current == "$__all" && variable["includeAll"] == true {
        return if all.is_empty() { format!("({})", values.join("|")) } else { all.to_owned() };
    }
    let first = values.first().unwrap_or_else(|| panic!("no value for {variable}"));
    values.iter().find(|value| *value == current).unwrap_or(first).clone()
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn milliseconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => panic!("an interval of {text}"),
    };
    number.parse::<u64>().expect("a number") * unit
}
