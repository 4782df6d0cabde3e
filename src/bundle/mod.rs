//! Rules, alerts, runbooks and dashboards that fit this version, as files for somebody's monitoring.
//!
//! Everything is rendered from `alerts/source`, which the program carries (`build.rs`), so that the files of the
//! repository and those that a cluster is given never differ. Invariants: what is rendered is a pure function of
//! [`Settings`]; nothing is written over a file that somebody else wrote. Deliberately absent: sending rules to a server,
//! and any judgement of PromQL beyond where a selector stands (`promtool` judges, in the tests).

mod command;
mod embedded;
mod grafana;
mod kubernetes;
mod loki;
mod manifest;
mod prometheus;
mod promql;
mod rules;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

use std::path::PathBuf;

pub use command::run;
pub use promql::{Selector, SelectorError};

use loki::Events;
use rules::{Rules, Thresholds};

/// Where runbooks are found unless somebody says otherwise: their place in the repository.
pub const RUNBOOK_BASE: &str = "docs/runbooks";
/// The uid of the data source that Grafana's alerts ask, unless somebody says otherwise.
pub const DATASOURCE: &str = "prometheus";

/// The streams of Loki that hold our lines from standard output, unless somebody says otherwise.
pub const LOGS: &str = "namespace=\"openclaw\"";

/// What a bundle is made for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Goes into every selector of our metrics.
    pub selector: Selector,
    /// The streams of Loki that hold our lines from standard output; [`LOGS`] if it has no matcher.
    pub logs: Selector,
    /// What stands before `/<alert>.md` in the link to a runbook.
    pub runbook_base: String,
    /// The uid of Grafana's Prometheus data source.
    pub datasource: String,
    /// The text of a file with thresholds that replace the usual ones, in TOML; empty for none.
    pub thresholds: String,
    /// Rules as `PrometheusRule`, what Grafana takes as `ConfigMap`.
    pub kubernetes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            selector: Selector::default(),
            logs: Selector::default(),
            runbook_base: RUNBOOK_BASE.into(),
            datasource: DATASOURCE.into(),
            thresholds: String::new(),
            kubernetes: false,
        }
    }
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Below the bundle's directory, with slashes.
    pub path: String,
    /// The whole of it.
    pub text: String,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A selector is none.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// A file of thresholds cannot be read.
    #[error("cannot read the thresholds in {path}: {source}; check the path of --thresholds")]
    ThresholdsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of thresholds is not one.
    #[error("cannot use the thresholds: {0}; each is a line `name = number`")]
    Thresholds(Box<toml::de::Error>),
    /// A threshold that no rule knows.
    #[error("there is no threshold {name:?}; did you mean {nearest:?}?")]
    UnknownThreshold {
        /// As it was spelt.
        name: String,
        /// The nearest that there is.
        nearest: String,
    },
    /// A threshold that is no number.
    #[error("the threshold {0:?} is not a number that is 0 or more; give one without quotes")]
    NotANumber(String),
    /// Files that somebody else wrote or changed.
    #[error("nothing was written: {}; move away what you want to keep, or give --force to write over it", list(.0))]
    Foreign(Vec<PathBuf>),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}; check that the directory can be written and has room")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}; check where it leads")]
    Output(std::io::Error),
    /// This program is broken.
    #[error("this program carries damaged rules ({0}); install it anew")]
    Damaged(String),
}

impl BundleError {
    /// Returns whether it was asked for something that cannot be.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Selector(_)
                | Self::ThresholdsFile { .. }
                | Self::Thresholds(_)
                | Self::UnknownThreshold { .. }
                | Self::NotANumber(_)
        )
    }
}

fn list(paths: &[PathBuf]) -> String {
    let are = if paths.len() == 1 { "is not from" } else { "are not from" };
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{} {are} an earlier bundle or was changed since", names.join(", "))
}

/// Returns all files of a bundle, in the order of their paths.
///
/// # Errors
/// A threshold is unknown or no number.
pub fn files(settings: &Settings) -> Result<Vec<BundleFile>, BundleError> {
    let carried = embedded::files()?;
    let thresholds = Thresholds::read(&carried, &settings.thresholds)?;
    let rules = Rules::read(&carried, &thresholds)?;
    let events = Events::read(&carried, &thresholds)?;
    let mut files = Vec::new();
    let runbook = |alert: &str| format!("{}/{alert}.md", settings.runbook_base.trim_end_matches('/'));
    for (name, groups) in prometheus::files(&rules, &settings.selector, &runbook) {
        files.push(if settings.kubernetes {
            kubernetes::prometheus_rule(&name, groups)
        } else {
            BundleFile { path: format!("prometheus/{name}.yaml"), text: yaml::document(&groups) }
        });
    }
    let on_events = yaml::document(&events.rules(&settings.logs, &runbook));
    files.push(if settings.kubernetes {
        kubernetes::config_map("loki", "loki_rule", "openclaw-usage.yaml", &on_events)
    } else {
        BundleFile { path: "loki/openclaw-usage.yaml".into(), text: on_events }
    });
    let alerts = grafana::alerts(&rules, settings, &runbook);
    files.push(if settings.kubernetes {
        kubernetes::config_map("alerts", "grafana_alert", "openclaw-usage.yaml", &yaml::document(&alerts))
    } else {
        BundleFile { path: "grafana/openclaw-usage.yaml".into(), text: yaml::document(&alerts) }
    });
    let mut dashboards = Vec::new();
    for file in carried {
        if let Some(name) = file.path.strip_prefix("docs/runbooks/") {
            files.push(BundleFile { path: format!("runbooks/{name}"), text: file.text });
        } else if let Some(name) = file.path.strip_prefix("dashboards/") {
            files.push(grafana::dashboard(name, &file.text, settings)?);
            dashboards.push(name.trim_end_matches(".json").to_owned());
        }
    }
    if settings.kubernetes {
        let objects =
            dashboards.iter().map(|name| kubernetes::grafana_dashboard(name, &format!("{name}.json")));
        files.extend(objects);
        files.push(kubernetes::kube_prometheus_patch(&dashboards));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
