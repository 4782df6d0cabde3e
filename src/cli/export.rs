//! Flags of `export`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::ReportArgs;

/// How an export can be written.
pub const EXPORT_FORMAT: [&str; 4] = ["csv", "jsonl", "parquet", "openmetrics"];

pub(super) const EXAMPLES: &str = "\
Examples:
  openclaw-usage export > runs.csv
      every run that is known, a row for each run and model
  openclaw-usage export --format jsonl --since 2026-02-01 --until 2026-03-01 --output february.jsonl
  openclaw-usage export --format openmetrics --output history.om
  promtool tsdb create-blocks-from openmetrics history.om /prometheus/data
      history from before `serve` was first started, in Prometheus

Times and sources are those of `report`; docs/export.md has the columns. With openmetrics and the ledger of `serve` \
the window ends when that ledger was made, unless --until is given: what came later `serve` exports itself.

Exit status: 0 all well, 1 nothing could be read or written, 64 bad usage or configuration.";

/// Flags of `export`.
#[derive(Clone, Debug, Default, Args)]
pub struct ExportArgs {
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "csv", value_parser = PossibleValuesParser::new(EXPORT_FORMAT))]
    pub format: String,
    /// Where it goes: a file, which is there when it is whole [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<String>,
    /// When the window begins [default: with the first run]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// When it ends [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Time zone of dates in --since and --until, such as Europe/Berlin [default: the system's]
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
    /// The gateway's name in every series, with openmetrics [default: the ledger's, else openclaw]
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// The ledger to read [default: ~/.local/state/openclaw-usage/ledger.sqlite]
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<String>,
    /// Read this state directory itself, unless --ledger is given
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub state_dir: Option<String>,
    /// The same for the gateway's profile, ~/.openclaw-NAME
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Configuration file in TOML [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Prices in LiteLLM's format, for a state directory that is read itself [default: none]
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<String>,
}

impl ExportArgs {
    /// Returns the report on the same runs, whose flags choose the source and the window in the same way.
    #[must_use]
    pub fn as_report(&self) -> ReportArgs {
        let Self { since, until, tz, job, agent, model, provider, .. } = self.clone();
        let Self { ledger, state_dir, profile, config, catalogue, .. } = self.clone();
        let since = since.or_else(|| Some("0".to_owned()));
        ReportArgs {
            since,
            until,
            tz,
            job,
            agent,
            model,
            provider,
            ledger,
            state_dir,
            profile,
            config,
            catalogue,
            ..ReportArgs::default()
        }
    }
}
