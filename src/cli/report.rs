//! Flags of `report`.

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args};

use crate::config::Overrides;

/// What rows can be made by.
pub const BY: [&str; 9] = ["job", "model", "provider", "agent", "gateway", "status", "day", "week", "month"];
/// What rows can be sorted by.
pub const SORT: [&str; 7] = ["cost", "tokens", "runs", "errors", "duration", "last", "name"];
/// How a report can be written.
pub const FORMAT: [&str; 4] = ["table", "json", "csv", "markdown"];

/// Over the flags of a server that is asked.
const SERVER: &str = "All gateways, out of a Prometheus";

pub(super) const EXAMPLES: &str = "\
Examples:
  openclaw-usage report
      the last 24 hours, by job
  openclaw-usage report --by model,day --since 2026-02-01 --until 2026-03-01 --tz Europe/Berlin
  openclaw-usage report --job 'daily*' --since 7d --compare
  openclaw-usage report --since yesterday --runs --format csv
  openclaw-usage report --since today --fail-over 5
  openclaw-usage report --prometheus http://127.0.0.1:9090 --by gateway,job --since 7d
  openclaw-usage report --reconcile --since 7d --prometheus http://127.0.0.1:9090

Times are `now`, `today`, `yesterday`, 7d (back from now), 2026-02-01, 2026-02-01T08:00 (both local), RFC 3339, \
or milliseconds since 1970; a window ends before --until. Without a ledger, or with --state-dir alone, the state \
directory itself is read. A cost of which a part is not known has a ≥ in front; ok/er/sk counts runs that \
succeeded, failed and were skipped, and the trend is of dollars, or of tokens where no price is known.

Exit status: 0 all well, 1 nothing could be read or --reconcile found a difference, 3 more than --fail-over, 64 bad usage or configuration.";

/// Flags of `report`.
#[derive(Clone, Debug, Default, Args)]
pub struct ReportArgs {
    /// What rows are made by; several, separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "job", value_parser = PossibleValuesParser::new(BY))]
    pub by: Vec<String>,
    /// When the window begins [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// When it ends [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Time zone of days, weeks and dates, such as Europe/Berlin [default: the system's]
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Only jobs of this name or id; * and ? are wildcards; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub job: Vec<String>,
    /// Only these agents
    #[arg(long, value_name = "PATTERN")]
    pub agent: Vec<String>,
    /// Only these models, also as provider/model
    #[arg(long, value_name = "PATTERN")]
    pub model: Vec<String>,
    /// Only these providers
    #[arg(long, value_name = "PATTERN")]
    pub provider: Vec<String>,
    /// Only these gateways
    #[arg(long, value_name = "PATTERN")]
    pub gateway: Vec<String>,
    /// Hold it against the window before, of the same length
    #[arg(long)]
    pub compare: bool,
    /// What the first rows have the most of [default: cost; the order of time for days, weeks and months]
    #[arg(long, value_name = "WHAT", value_parser = PossibleValuesParser::new(SORT))]
    pub sort: Option<String>,
    /// Most rows that are shown; the totals are of all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,
    /// A row for each run, the newest first; 1000 of them unless --top says otherwise
    #[arg(long, conflicts_with_all = ["by", "compare"])]
    pub runs: bool,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = PossibleValuesParser::new(FORMAT))]
    pub format: String,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Draw the table anew every two seconds, until Ctrl-C
    #[arg(long, conflicts_with_all = ["json", "compat", "fail_over"])]
    pub watch: bool,
    /// Hold the ledger against the state directory and, with --prometheus, a server; exit with 1 if they differ
    #[arg(long, conflicts_with_all = ["by", "job", "agent", "model", "provider", "gateway", "compare", "sort", "top", "runs", "watch", "fail_over", "compat"])]
    pub reconcile: bool,
    /// Exit with 3 if the window cost more than this
    #[arg(long, value_name = "USD")]
    pub fail_over: Option<String>,
    /// The ledger to read [default: ~/.local/state/openclaw-usage/ledger.sqlite]
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<String>,
    /// Read this state directory itself, unless --ledger is given
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub state_dir: Option<String>,
    /// The same for the gateway's profile, ~/.openclaw-NAME
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Ask this Prometheus (or Mimir, Thanos, VictoriaMetrics) about all gateways that push to it
    #[arg(long, value_name = "URL", help_heading = SERVER)]
    pub prometheus: Option<String>,
    /// The label `job` of the series [default: service_name of the configuration, else openclaw-usage]
    #[arg(long, value_name = "NAME", requires = "prometheus", help_heading = SERVER)]
    pub service_name: Option<String>,
    /// File with headers of every request, a line `Name: value` each, such as credentials
    #[arg(long, value_name = "FILE", requires = "prometheus", help_heading = SERVER)]
    pub header_file: Option<String>,
    /// PEM file with the certificate authorities to trust [default: the system's]
    #[arg(long, value_name = "FILE", requires = "prometheus", help_heading = SERVER)]
    pub ca_file: Option<String>,
    /// PEM file with the client certificate to show
    #[arg(long, value_name = "FILE", requires = "client_key_file", requires = "prometheus", help_heading = SERVER)]
    pub client_cert_file: Option<String>,
    /// PEM file with its private key
    #[arg(long, value_name = "FILE", requires = "client_cert_file", help_heading = SERVER)]
    pub client_key_file: Option<String>,
    /// Configuration file in TOML [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Prices in LiteLLM's format, for a state directory that is read itself [default: none]
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<String>,
    /// Read all of a state directory, and not only what was written since the window began, less an hour
    #[arg(long)]
    pub full_scan: bool,
    /// Flags of OpenClaw's cron_usage_report.ts.
    #[command(flatten)]
    pub compat: CompatArgs,
}

/// Flags of OpenClaw's `cron_usage_report.ts`, as it spells them.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "In place of OpenClaw's cron_usage_report.ts")]
pub struct CompatArgs {
    /// Take its flags, and print what it prints
    #[arg(long, action = ArgAction::SetTrue, conflicts_with_all = ["by", "since", "until", "runs", "compare", "sort", "top", "format"])]
    pub compat: bool,
    /// The directory cron/runs of a state directory
    #[arg(long = "runsDir", value_name = "DIR", requires = "compat", conflicts_with_all = ["state_dir", "profile", "ledger"])]
    pub runs_dir: Option<String>,
    /// The job list cron/jobs.json of a state directory
    #[arg(long, value_name = "FILE", requires = "compat", conflicts_with_all = ["runs_dir", "state_dir", "profile", "ledger"])]
    pub store: Option<String>,
    /// Only this job
    #[arg(long = "jobId", value_name = "ID", requires = "compat")]
    pub job_id: Option<String>,
    /// How many hours back from --to the window begins [default: 24]
    #[arg(long, value_name = "N", requires = "compat")]
    pub hours: Option<String>,
    /// When the window begins
    #[arg(long, value_name = "TIME", requires = "compat")]
    pub from: Option<String>,
    /// When it ends [default: now]
    #[arg(long, value_name = "TIME", requires = "compat")]
    pub to: Option<String>,
}

impl ReportArgs {
    /// Returns what they say about the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            state_dir: self.state_dir.clone(),
            profile: self.profile.clone(),
            ledger: self.ledger.clone(),
            catalogue: self.catalogue.clone(),
            ..Overrides::default()
        }
    }
}
