//! Flags of `bundle`.

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Examples:
  openclaw-usage bundle --out monitoring
      Prometheus: rule_files: [monitoring/prometheus/*.yaml]
      Loki's ruler: monitoring/loki/*.yaml among its rules
      Grafana without such rules: monitoring/grafana/*.yaml in provisioning/alerting
  openclaw-usage bundle --out monitoring --selector 'cluster=\"prod\"' --runbook-base https://wiki.example.com/runbooks
  openclaw-usage bundle --out manifests --kubernetes && kubectl apply -n monitoring -f manifests/kubernetes

It writes over what an earlier bundle wrote there and over nothing else, and removes what is no longer part of it. \
docs/alerts.md tells of each alert and its thresholds.

Exit status: 0 written, 1 a file is somebody else's or cannot be written, 64 bad usage.";

/// Flags of `bundle`.
#[derive(Clone, Debug, Args)]
pub struct BundleArgs {
    /// The directory to write to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Label matchers for every selector of our metrics, as in 'cluster=\"prod\"'
    #[arg(long, value_name = "MATCHERS")]
    pub selector: Option<String>,
    /// Label matchers of the streams in which Loki keeps this program's standard output
    #[arg(long, value_name = "MATCHERS", default_value = "namespace=\"openclaw\"")]
    pub log_selector: String,
    /// What stands before the runbooks' names in the alerts' links
    #[arg(long, value_name = "URL", default_value = "docs/runbooks")]
    pub runbook_base: String,
    /// The uid of Grafana's Prometheus data source
    #[arg(long, value_name = "UID", default_value = "prometheus")]
    pub datasource: String,
    /// Thresholds that replace those of alerts/source/thresholds.toml [default: none]
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<PathBuf>,
    /// As PrometheusRule and ConfigMaps
    #[arg(long)]
    pub kubernetes: bool,
    /// Write over files that are somebody else's
    #[arg(long)]
    pub force: bool,
}
