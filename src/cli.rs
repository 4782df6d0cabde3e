//! The command line: names, help and shapes of all flags. What a flag's value means is config's business.
//!
//! Invariants: nothing here reads the environment, a file or a clock, prints or exits. Flags that have a
//! key in the configuration file stay text, so that each value is judged in one place, whatever its origin.

mod bundle;
mod demo;
mod export;
mod ledger;
mod manual;
mod relay;
mod report;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{LogFormat, LogLevel, Overrides, WatchMode};

pub use bundle::BundleArgs;
pub use demo::{DemoArgs, DemoGeneration, DemoIncident};
pub use export::{EXPORT_FORMAT, ExportArgs};
pub use ledger::{BackupArgs, HealthArgs, LedgerArgs, LedgerCommand, RestoreArgs, VerifyArgs};
pub use manual::{CompletionsArgs, ManArgs, completions, man_pages};
pub use relay::{RelayArgs, RelayCommand};
pub use report::{BY, CompatArgs, FORMAT, ReportArgs, SORT};

/// Exit status of bad usage and of a bad configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Counts every token of OpenClaw's scheduled runs exactly once, and shows it in Prometheus.
///
/// It reads a gateway's state directory, never writes there, and keeps its count in a ledger of its own.
#[derive(Clone, Debug, Parser)]
#[command(name = "openclaw-usage", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  openclaw-usage demo                  see it work without a gateway
  openclaw-usage check                 what is found in ~/.openclaw, and what is wrong
  openclaw-usage serve --otlp-endpoint http://127.0.0.1:9090/api/v1/otlp
  openclaw-usage report                what the last 24 hours cost, by job

Exit status: 0 all well, 1 a problem, 64 bad usage or configuration.";

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Count, serve /metrics and push, until SIGTERM or Ctrl-C
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Say what is found, what will be exported, and what is wrong
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Say what runs used and cost, by job, model, day and more
    #[command(after_help = report::EXAMPLES)]
    Report(Box<ReportArgs>),
    /// Write runs for other programs: CSV, JSON Lines, Parquet, or counters for Prometheus
    #[command(after_help = export::EXAMPLES)]
    Export(Box<ExportArgs>),
    /// Say what each model costs that was seen, and which ones have no price
    #[command(after_help = PRICES_EXAMPLES)]
    Prices(PricesArgs),
    /// Write rules, alerts, runbooks and dashboards for Prometheus, Grafana or Kubernetes
    #[command(after_help = bundle::EXAMPLES)]
    Bundle(BundleArgs),
    /// Back up, verify or restore the ledger
    #[command(after_help = ledger::EXAMPLES)]
    Ledger(LedgerArgs),
    /// Ask the `serve` of this machine whether it is well, for a container's HEALTHCHECK
    #[command(after_help = ledger::HEALTH_EXAMPLES)]
    Health(HealthArgs),
    /// Test relays, list the messages that were given up, and have them sent again
    #[command(after_help = relay::EXAMPLES)]
    Relay(RelayArgs),
    /// Run a simulated gateway in a temporary directory, and `serve` on it
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArgs),
    /// Print what a shell needs to complete these command lines
    #[command(after_help = manual::COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    #[command(after_help = manual::MAN_EXAMPLES)]
    Man(ManArgs),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  openclaw-usage serve
      counts ~/.openclaw; Prometheus scrapes http://127.0.0.1:9464/metrics
  openclaw-usage serve --otlp-endpoint http://127.0.0.1:9090/api/v1/otlp
      pushes to a Prometheus that runs with --web.enable-otlp-receiver
  openclaw-usage serve --events stdout --events http://127.0.0.1:3100/otlp
      tells of every run and incident: a line of JSON each on standard output, and to a Loki
  openclaw-usage serve --state-dir /gateway --gateway office --config /etc/openclaw-usage.toml
      a sidecar; tokens, certificates and further endpoints are in the file

Each flag also has a key in the file and a variable: --listen is `listen` and OPENCLAW_USAGE_LISTEN, \
--ledger is `path` in [ledger] and OPENCLAW_USAGE_LEDGER_PATH. Flags win over variables, variables over \
the file. OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, ..._HEADERS, OTEL_SERVICE_NAME) \
are understood. `openclaw-usage check` shows each value and where it came from.";

const CHECK_EXAMPLES: &str = "\
Examples:
  openclaw-usage check
  openclaw-usage check --otlp-endpoint http://127.0.0.1:9090/api/v1/otlp --json

Give it the flags of `serve`: it resolves them the same way, changes nothing, and sends one empty request \
to each endpoint. Exit status: 0 all well, 1 a problem, 64 bad usage or configuration.";

const PRICES_EXAMPLES: &str = "\
Examples:
  openclaw-usage prices
  openclaw-usage prices --catalogue model_prices_and_context_window.json --format json

Exit status: 0 every model has a price, 1 one has none or something cannot be read, 64 bad usage or configuration.";

/// Flags of `serve`.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// The gateway's state directory [default: what OpenClaw itself uses, ~/.openclaw]
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub state_dir: Option<String>,
    /// Read no state directory: runs come by webhook alone
    #[arg(long, conflicts_with_all = ["state_dir", "profile"])]
    pub no_state_dir: bool,
    /// The gateway's profile, for ~/.openclaw-NAME
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Push metrics by OTLP to this URL; may be repeated
    #[arg(long = "otlp-endpoint", value_name = "URL")]
    pub otlp_endpoints: Vec<String>,
    /// Tell of runs and incidents: `stdout`, or the URL of a receiver of OTLP logs; may be repeated
    #[arg(long, value_name = "SINK")]
    pub events: Vec<String>,
    /// The gateway's name in every series [default: the ledger's, else openclaw]
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// Where the count is kept [default: ~/.local/state/openclaw-usage/ledger.sqlite]
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<String>,
    /// Where /metrics, /healthz and /readyz are served [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Where gateways may post notices of their runs, to /webhook/cron [default: off]
    #[arg(long, value_name = "ADDR:PORT")]
    pub webhook_listen: Option<String>,
    /// The tokens that they show, one a line
    #[arg(long, value_name = "FILE")]
    pub webhook_token_file: Option<String>,
    /// Configuration file in TOML [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Prices in LiteLLM's format, for models that the gateway gives no price for [default: none]
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<String>,
    /// How changes are noticed; poll suits network file systems [default: auto]
    #[arg(long, value_name = "HOW", value_parser = clap::builder::PossibleValuesParser::new(WatchMode::WORDS))]
    pub watch: Option<String>,
    /// Least severe message on stderr [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = clap::builder::PossibleValuesParser::new(LogLevel::WORDS))]
    pub log_level: Option<String>,
    /// Shape of messages on stderr [default: text; json in a container]
    #[arg(long, value_name = "FORMAT", value_parser = clap::builder::PossibleValuesParser::new(LogFormat::WORDS))]
    pub log_format: Option<String>,
}

impl From<ServeArgs> for Overrides {
    fn from(args: ServeArgs) -> Self {
        let ServeArgs { state_dir, profile, otlp_endpoints, events, gateway, ledger, .. } = args;
        let ServeArgs { listen, config, watch, log_level, log_format, catalogue, .. } = args;
        let ServeArgs { no_state_dir, webhook_listen, webhook_token_file, .. } = args;
        Self {
            config,
            state_dir,
            profile,
            gateway,
            ledger,
            listen,
            watch,
            catalogue,
            log_level,
            log_format,
            otlp_endpoints,
            events,
            no_state_dir,
            webhook_listen,
            webhook_token_file,
        }
    }
}

/// Flags of `check`.
#[derive(Clone, Debug, Default, Args)]
pub struct CheckArgs {
    /// Those of `serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// Shape of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Text of 80 columns
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// Flags of `prices`.
#[derive(Clone, Debug, Default, Args)]
pub struct PricesArgs {
    /// The gateway's state directory [default: what OpenClaw itself uses, ~/.openclaw]
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub state_dir: Option<String>,
    /// The gateway's profile, for ~/.openclaw-NAME
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Where the count is kept [default: ~/.local/state/openclaw-usage/ledger.sqlite]
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<String>,
    /// Configuration file in TOML [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Prices in LiteLLM's format, for models that the gateway gives no price for [default: none]
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<String>,
    /// What to print
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: ListFormat,
}

impl From<PricesArgs> for Overrides {
    fn from(args: PricesArgs) -> Self {
        let PricesArgs { state_dir, profile, ledger, config, catalogue, .. } = args;
        Self { config, state_dir, profile, ledger, catalogue, ..Self::default() }
    }
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// Bad usage; also a request for help or the version. [`clap::Error::print`] writes either to the right
/// stream, and [`exit_status`] tells them apart.
pub fn parse<I, T>(args: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    Cli::try_parse_from(args)
}

/// Returns the exit status that belongs to a result of [`parse`]: 0 for help and version, else 64.
#[must_use]
pub fn exit_status(error: &clap::Error) -> u8 {
    if error.use_stderr() { EXIT_USAGE } else { 0 }
}

/// Returns what is wrong with the command line in one line; `None` if it was a request for help or the version, or
/// holds no command at all, which deserve whole pages.
#[must_use]
pub fn complaint(error: &clap::Error) -> Option<String> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return None;
    }
    let text = error.render().to_string();
    let said = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let words: Vec<&str> = said.map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = words.join(" ");
    Some(format!("{}; see `openclaw-usage --help`", words.strip_prefix("error: ").unwrap_or(&words)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    pub(super) fn parse_line(line: &str) -> Result<Cli, clap::Error> {
        parse(std::iter::once("openclaw-usage").chain(line.split_whitespace()))
    }

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_reaches_the_overrides() {
        let line = "check --json --state-dir D --otlp-endpoint http://a --otlp-endpoint http://b --gateway G \
                    --ledger L --listen A:1 --config C --catalogue P --watch poll --log-level debug --log-format json \
                    --events stdout --webhook-listen W:1 --webhook-token-file T";
        let Command::Check(check) = parse_line(line).unwrap().command else { panic!("not check") };
        assert!(check.json);
        let some = |text: &str| Some(text.to_owned());
        let expected = Overrides {
            config: some("C"),
            state_dir: some("D"),
            profile: None,
            gateway: some("G"),
            ledger: some("L"),
            listen: some("A:1"),
            watch: some("poll"),
            catalogue: some("P"),
            log_level: some("debug"),
            log_format: some("json"),
            otlp_endpoints: vec!["http://a".to_owned(), "http://b".to_owned()],
            events: vec!["stdout".to_owned()],
            no_state_dir: false,
            webhook_listen: some("W:1"),
            webhook_token_file: some("T"),
        };
        assert_eq!(Overrides::from(check.serve), expected);
        let Command::Serve(serve) = parse_line("serve --profile work").unwrap().command else {
            panic!("not serve")
        };
        assert_eq!(Overrides::from(serve).profile, some("work"));
        let Command::Serve(serve) = parse_line("serve --no-state-dir").unwrap().command else {
            panic!("not serve")
        };
        assert!(Overrides::from(serve).no_state_dir);
    }

    #[test]
    fn exit_status_tells_help_from_bad_usage() {
        for (line, status) in [
            ("--help", 0),
            ("serve --help", 0),
            ("--version", 0),
            ("", 64),
            ("serv", 64),
            ("serve --watch often", 64),
            ("serve --profile a --state-dir b", 64),
            ("serve --no-state-dir --state-dir b", 64),
            ("demo --duration 10", 64),
            ("demo --duration 0s", 64),
            ("demo --speed 0", 64),
            ("demo --speed NaN", 64),
            ("demo --jobs 0", 64),
            ("demo --generation 2026.9.6", 64),
            ("demo --listen nowhere", 64),
            ("bundle --help", 0),
            ("ledger", 64),
            ("ledger backup", 64),
            ("ledger restore", 64),
            ("ledger restore --help", 0),
            ("health --timeout-ms 0", 64),
            ("bundle", 64),
            ("bundle --out", 64),
            ("demo --incident fire", 64),
            ("relay --help", 0),
            ("relay", 64),
            ("relay test", 64),
            ("relay retry", 64),
            ("relay retry 1 --all", 64),
            ("relay retry one", 64),
            ("report --help", 0),
            ("report --by jobs", 64),
            ("report --format xml", 64),
            ("report --top 0", 64),
            ("report --runs --compare", 64),
            ("report --hours 3", 64),
            ("report --compat --since 3d", 64),
        ] {
            assert_eq!(exit_status(&parse_line(line).unwrap_err()), status, "{line:?}");
        }
    }
}
