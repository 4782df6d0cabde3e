//! All knowledge of OpenClaw's formats: the one folder that changes when OpenClaw changes.
//!
//! Each store of runs has one file and is a plain function from a position to a [`Batch`](crate::model::Batch), with
//! no state of its own but what makes it faster: `run_log` (to 2026.5.28), `cron_run_logs` (2026.6.1 to 7.x) and
//! `task_runs` (from 2026.8.1 on), the latter two as a [`Table`] of the gateway's [`Database`]. `gateway_log` tells what no
//! record does. Deliberately absent: who calls them, and when.

mod billing;
mod config_file;
mod cron_jobs;
pub mod cron_run_logs;
mod database;
mod form;
pub mod gateway_log;
mod jobs;
mod keys;
mod layout;
mod lenient;
mod notice;
mod plain;
mod prices;
mod raw;
mod reason;
mod record;
pub mod run_log;
mod stores;
mod summary;
mod table;
pub mod task_runs;
pub mod transcript;

pub use billing::{BillingDefaults, Login, ProviderFacts};
pub use config_file::PricesError;
pub use cron_jobs::{JobsStamp, jobs_stamp, read_cron_jobs};
pub use database::{Database, DatabaseError, DatabaseStamp};
pub use jobs::{JobsError, read_jobs, state_file};
pub use layout::{Layout, LayoutError, WebhookPolicy};
pub use notice::read_notice;
pub use prices::{FoundPrices, PriceNote, agent_model_files, read_agent_prices, read_config_prices};
pub use stores::{Stores, stores};
pub use summary::{SUMMARY_MAX, summary_of};
pub use table::{Again, Table, TablePoll};
