//! Flags of `relay`.

use clap::{Args, Subcommand};

use super::ListFormat;
use crate::config::Overrides;

pub(super) const EXAMPLES: &str = "\
Examples:
  openclaw-usage relay --config openclaw-usage.toml test team
      sends one message to the service of the [[relay]] named team
  openclaw-usage relay --config openclaw-usage.toml dead
      lists the messages that were given up, and why
  openclaw-usage relay --config openclaw-usage.toml retry 17
  openclaw-usage relay --config openclaw-usage.toml retry --all
      has `serve` send them again, behind what waits

Exit status: 0 done, 1 not done, 64 bad usage or configuration.";

/// Flags of `relay`.
#[derive(Clone, Debug, Args)]
pub struct RelayArgs {
    /// Configuration file in TOML, the same as of `serve`
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<String>,
    /// Where the count is kept, the same as of `serve`
    #[arg(long, value_name = "FILE", global = true)]
    pub ledger: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: RelayCommand,
}

impl RelayArgs {
    /// Returns what the flags say about the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { config: self.config.clone(), ledger: self.ledger.clone(), ..Overrides::default() }
    }
}

/// What to do with relays.
#[derive(Clone, Debug, Subcommand)]
pub enum RelayCommand {
    /// Send one message to a relay's service, and say what it answered
    Test {
        /// The relay's name
        name: String,
    },
    /// List the messages that were given up
    Dead {
        /// What to print
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
        format: ListFormat,
    },
    /// Have messages sent again that were given up
    Retry {
        /// Their numbers, as `relay dead` lists them
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<u64>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}
