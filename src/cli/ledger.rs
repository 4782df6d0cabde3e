//! Flags of `ledger`, and of `health`.

use clap::{Args, Subcommand};

use crate::config::Overrides;

pub(super) const EXAMPLES: &str = "\
Examples:
  openclaw-usage ledger backup /backup/ledger-$(date +%F).sqlite
  openclaw-usage ledger verify /backup/ledger-2026-03-01.sqlite
  openclaw-usage ledger restore /backup/ledger-2026-03-01.sqlite

The ledger is the count: it outlives the gateway's own history. A backup is made while `serve` runs; bringing one back \
needs it stopped. docs/operations.md tells what each means for the counters.";

pub(super) const BACKUP_EXAMPLES: &str = "\
Examples:
  openclaw-usage ledger backup /backup/ledger.sqlite --force
  openclaw-usage ledger backup --ledger /var/lib/openclaw-usage/ledger.sqlite /backup/ledger.sqlite

The file is a ledger as it was at one moment. It is written beside its name and renamed, so that it is there whole or not \
at all, and can be read by `report --ledger FILE`.

Exit status: 0 written, 1 not, 64 bad usage or configuration.";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  openclaw-usage ledger verify
  openclaw-usage ledger verify /backup/ledger.sqlite --json

It reads all of it, also while `serve` runs, and changes nothing: SQLite's own check of the file, and whether runs, tokens \
and dollars are those of the exported totals. Whether they are those of the gateway, `report --reconcile` tells.

Exit status: 0 sound, 1 not, 64 bad usage or configuration.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  openclaw-usage ledger restore /backup/ledger.sqlite
  openclaw-usage ledger restore moved.sqlite --ledger /var/lib/openclaw-usage/ledger.sqlite --nothing-since

Stop `serve` first. The ledger that is replaced is kept beside it, as NAME.replaced-TIME. What ended after the backup is \
read again from the gateway's files at the next start. Counters never make a server count twice: where the replaced ledger \
can be read, they go on where they stand in it; else they begin anew at zero, with runs that end from now on, and the rest \
is in reports only.

Exit status: 0 done, 1 not, 64 bad usage or configuration.";

pub(super) const HEALTH_EXAMPLES: &str = "\
Examples:
  openclaw-usage health
  openclaw-usage health --ready --listen 127.0.0.1:9464
  HEALTHCHECK CMD [\"/openclaw-usage\", \"health\"]

It asks the `serve` that runs on this machine with the same flags, environment and file for /healthz, or with --ready for \
/readyz.

Exit status: 0 well, 1 not well or no answer, 64 bad usage or configuration.";

/// Flags of `ledger`.
#[derive(Clone, Debug, Args)]
pub struct LedgerArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// What can be done with a ledger.
#[derive(Clone, Debug, Subcommand)]
pub enum LedgerCommand {
    /// Copy the ledger, also while `serve` runs
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Say whether a ledger agrees with itself
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Bring a backup back in the place of the ledger
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
}

/// Which ledger.
#[derive(Clone, Debug, Default, Args)]
pub struct WhichLedger {
    /// Where the count is kept [default: ~/.local/state/openclaw-usage/ledger.sqlite]
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<String>,
    /// Configuration file in TOML [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
}

impl From<WhichLedger> for Overrides {
    fn from(WhichLedger { ledger, config }: WhichLedger) -> Self {
        Self { ledger, config, ..Self::default() }
    }
}

/// Flags of `ledger backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    pub to: String,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
    /// The ledger.
    #[command(flatten)]
    pub which: WhichLedger,
}

/// Flags of `ledger verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The file to look at [default: the ledger]
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
    /// The ledger.
    #[command(flatten)]
    pub which: WhichLedger,
}

/// Flags of `ledger restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub from: String,
    /// Nothing was counted after the backup, as when a ledger is moved: counters go on where they stood in it
    #[arg(long)]
    pub nothing_since: bool,
    /// The ledger.
    #[command(flatten)]
    pub which: WhichLedger,
}

/// Flags of `health`.
#[derive(Clone, Debug, Default, Args)]
pub struct HealthArgs {
    /// Ask whether it is ready: its sources are found and its ledger can be written
    #[arg(long)]
    pub ready: bool,
    /// Where it serves [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Configuration file in TOML [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Longest wait for the answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout_ms: u64,
}

impl From<HealthArgs> for Overrides {
    fn from(HealthArgs { listen, config, .. }: HealthArgs) -> Self {
        Self { listen, config, ..Self::default() }
    }
}
