//! All knowledge of OpenClaw's formats: the one folder that changes when OpenClaw changes.
//!
//! Each source has one file and is a plain function from a position to a [`Batch`](crate::model::Batch), with
//! no state of its own. Deliberately absent: who calls them, and when.

mod billing;
mod config_file;
mod jobs;
mod layout;
mod lenient;
mod prices;
mod reason;
mod record;
pub mod run_log;

pub use billing::{BillingDefaults, Login, ProviderFacts};
pub use config_file::PricesError;
pub use jobs::{JobsError, read_jobs, state_file};
pub use layout::{Layout, LayoutError};
pub use prices::{FoundPrices, PriceNote, agent_model_files, read_agent_prices, read_config_prices};
pub use record::{Parsed, parse_line};
