//! From totals to points, and from points to bytes.
//!
//! Invariants: every family is declared in [`catalogue`]; a snapshot is a pure function of the ledger's totals
//! and the process's own state; text and OTLP render the same snapshot under the same names. Deliberately
//! absent: sockets, clocks, and OpenTelemetry's SDK, whose instruments stamp points themselves and begin
//! anew at every start.

mod build;
pub mod catalogue;
#[cfg(test)]
mod docs;
pub mod event;
pub mod names;
pub mod otlp;
mod process;
mod snapshot;
pub mod text;
mod webhook;

pub use build::{SnapshotBuilder, attributes};
pub use process::{
    BudgetState, EndpointStats, ExportFailure, PriceState, ProcessState, RelayStats, SourceState,
};
pub use snapshot::{HistogramValue, Point, Resource, SeriesFacts, SharedAttributes, Snapshot, Value};
pub use webhook::{WebhookError, WebhookStats};
