//! The rules as `alerts/source` declares them, with thresholds filled in.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BundleError, BundleFile, promql};

/// Where the rules stand in the repository.
const RULES: &str = "alerts/source/rules.toml";
/// Where the thresholds stand.
const THRESHOLDS: &str = "alerts/source/thresholds.toml";

/// All groups, in their order.
#[derive(Debug)]
pub struct Rules {
    /// What is evaluated together.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together, in their order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Unique.
    pub name: String,
    /// The file that it stands in, without its ending.
    pub file: String,
    /// How often it is evaluated, as Prometheus spells durations.
    pub interval: String,
    /// Recorded series.
    #[serde(default)]
    pub record: Vec<Record>,
    /// Alerts.
    #[serde(default)]
    pub alert: Vec<Alert>,
}

/// A recorded series.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// `level:metric:operation`.
    pub name: String,
    /// PromQL.
    pub expr: String,
}

/// An alert.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// In CamelCase; also the name of its runbook.
    pub name: String,
    /// PromQL that yields what is to be told of, with values of 0 or more.
    pub expr: String,
    /// How long it must hold, as Prometheus spells durations.
    pub r#for: String,
    /// `critical`, `warning` or `info`.
    pub severity: String,
    /// The same whatever it fires for.
    pub summary: String,
    /// With labels and value, as a template of Prometheus.
    pub description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    group: Vec<Group>,
}

/// The thresholds by name, as they are written in an expression.
#[derive(Debug)]
pub struct Thresholds(BTreeMap<String, String>);

impl Thresholds {
    /// Reads them from the files that the program carries, with others that replace the usual ones.
    ///
    /// # Errors
    /// A threshold is unknown or no number.
    pub fn read(carried: &[BundleFile], others: &str) -> Result<Self, BundleError> {
        let usual = toml::from_str(text(carried, THRESHOLDS)?).map_err(damaged)?;
        let others = toml::from_str(others).map_err(|error| BundleError::Thresholds(Box::new(error)))?;
        numbers(usual, others).map(Self)
    }

    /// Returns a text with numbers in place of the names between `@`. An unknown name stays; the tests find it.
    pub fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, number)| text.replace(&format!("@{name}@"), number))
    }
}

pub fn text<'a>(carried: &'a [BundleFile], path: &str) -> Result<&'a str, BundleError> {
    let file = carried.iter().find(|file| file.path == path);
    file.map(|file| file.text.as_str()).ok_or_else(|| BundleError::Damaged(format!("without {path}")))
}

pub fn damaged(error: toml::de::Error) -> BundleError {
    BundleError::Damaged(error.to_string())
}

impl Rules {
    /// Reads them from the files that the program carries, with thresholds filled in.
    ///
    /// # Errors
    /// This program is broken.
    pub fn read(carried: &[BundleFile], thresholds: &Thresholds) -> Result<Self, BundleError> {
        let mut source: Source = toml::from_str(text(carried, RULES)?).map_err(damaged)?;
        for group in &mut source.group {
            for record in &mut group.record {
                record.expr = expression(&record.expr, thresholds);
            }
            for alert in &mut group.alert {
                alert.expr = expression(&alert.expr, thresholds);
                alert.description = thresholds.fill(&alert.description);
            }
        }
        Ok(Self { groups: source.group })
    }

    /// Returns the expression with what is recorded in the place of recorded series.
    pub fn without_records(&self, expr: &str) -> String {
        let records = || self.groups.iter().flat_map(|group| &group.record);
        promql::rewrite(expr, |name, own| match records().find(|record| record.name == name) {
            // What selects among recorded series selects among those that they are made of.
            Some(record) => {
                let further = own.unwrap_or_default();
                let inner = promql::rewrite(&record.expr, |name, own| {
                    if further.is_empty() {
                        promql::selector(name, own)
                    } else {
                        promql::selected(name, own, further)
                    }
                });
                format!("({})", one_line(&inner))
            }
            None => promql::selector(name, own),
        })
    }
}

/// Returns the thresholds as they are written in an expression.
fn numbers(usual: toml::Table, other: toml::Table) -> Result<BTreeMap<String, String>, BundleError> {
    let mut all = usual;
    for (name, value) in other {
        if !all.contains_key(&name) {
            let nearest = all
                .keys()
                .max_by(|a, b| strsim::jaro_winkler(a, &name).total_cmp(&strsim::jaro_winkler(b, &name)))
                .cloned()
                .unwrap_or_default();
            return Err(BundleError::UnknownThreshold { name, nearest });
        }
        all.insert(name, value);
    }
    all.into_iter()
        .map(|(name, value)| match value {
            toml::Value::Integer(number) if number >= 0 => Ok((name, number.to_string())),
            toml::Value::Float(number) if number.is_finite() && number >= 0.0 => {
                Ok((name, number.to_string()))
            }
            _ => Err(BundleError::NotANumber(name)),
        })
        .collect()
}

fn expression(source: &str, thresholds: &Thresholds) -> String {
    exact(&thresholds.fill(source.trim_end()))
}

/// Returns an expression with PromQL in place of `exact(SERIES, W)`.
fn exact(expr: &str) -> String {
    let mut text = String::new();
    let mut rest = expr;
    while let Some((before, call)) = rest.split_once("exact(") {
        let Some((inside, after)) = call.split_once(')') else { break };
        let Some((series, window)) = inside.rsplit_once(", ") else { break };
        text.push_str(before);
        text.push_str(&format!(
            "last_over_time({series}[{window}]) - (last_over_time({series}[1d] offset {window}) or min_over_time({series}[{window}]))"
        ));
        rest = after;
    }
    text.push_str(rest);
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
