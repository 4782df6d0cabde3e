//! All knowledge of OpenClaw's formats: the one folder that changes when OpenClaw changes.
//!
//! Each source has one file and is a plain function from a position to a [`Batch`](crate::model::Batch), with
//! no state of its own. Deliberately absent: who calls them, and when.

mod jobs;
mod layout;
mod lenient;
mod reason;
mod record;
pub mod run_log;
pub mod transcript;

pub use jobs::{JobsError, read_jobs, state_file};
pub use layout::{Layout, LayoutError};
pub use record::{Parsed, parse_line};
