//! The report: what runs of a window used and cost, grouped as asked, out of a ledger.
//!
//! A run belongs to the window, day, week or month in which it started. What it used counts under the agent,
//! provider and model of each call; the run itself counts once, under its own, so that rows add up to the totals.
//! Runs that retention has folded into daily totals count at noon (UTC) of their day.
//!
//! Invariants: a cost of which a part is not known is never shown as a plain sum; texts of users reach a terminal,
//! Markdown or a spreadsheet only in a form that does nothing there. Deliberately absent: a clock, and where the
//! ledger comes from, but for `command`, which is the wiring.

mod budgets;
pub mod command;
mod compat;
mod csv;
mod durations;
pub mod export;
mod figures;
mod fleet;
mod group;
mod json;
mod markdown;
mod query;
mod reconcile;
mod sums;
mod table;
mod tally;
mod text;
mod window;

use crate::ledger::LedgerError;

pub use budgets::{BudgetRow, budgets, first_period, run_labels};
pub use compat::compat;
pub use csv::csv;
pub use figures::cost as cost_text;
pub use fleet::{
    Answer, Family, Gathering, Identity, Question, Refusal, Sample, Span, Unfound, count as whole_count,
    discovery, fallen, fleet_report, identify, pieces, questions, read as read_answer, seen_late,
};
pub use group::{Cell, Dimension};
pub use json::{SCHEMA, json};
pub use markdown::markdown;
pub use query::{Query, Report, Row, Selection, Sort, report};
pub use reconcile::{
    Against, Comparison, Counter, Counters, CountersOf, Difference, Figures, RECONCILE_SCHEMA, Reason,
    Reconciliation, against_counters, against_sources, counter_questions, reconciliation_json,
    reconciliation_table,
};
pub use sums::{Known, RunCounts, Sums, TREND};
pub use table::{Terminal, table};
pub use window::{Zone, instant};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A flag's value means nothing.
    #[error("{flag} {value:?}: expected {expected}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What it was given.
        value: String,
        /// What it can be given.
        expected: &'static str,
    },
    /// Two flags contradict each other.
    #[error("{0}")]
    Flags(&'static str),
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ReportError {
    /// Returns whether the user's input is at fault: then the exit status is 64.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Flag { .. } | Self::Flags(_))
    }
}

#[cfg(test)]
mod tests;
