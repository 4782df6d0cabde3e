//! Runs for other programs: a row for each run and set of labels, or the counters that they would have made.
//!
//! Invariants: memory is bounded, whatever the ledger holds; all that one export tells is of one moment.
//! Deliberately absent: files and pipes, which are the command's.

mod columns;
mod openmetrics;
mod parquet;
mod rows;
mod write;

use std::io;

use super::Selection;
use crate::ledger::{LedgerError, Window};

pub use columns::{COLUMNS, Column, Kind, Value};
pub use openmetrics::{Identity, openmetrics};
pub use rows::rows;
pub use write::{RowFormat, RowWriter};

/// Why an export was not finished.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nobody takes what is written.
    #[error("cannot write the export: {0}; check where it leads, and the room there")]
    Write(#[from] io::Error),
}

/// Which runs are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// When they started.
    pub window: Window,
    /// Whose they are.
    pub selection: Selection,
}
