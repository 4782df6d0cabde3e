//! The daemon: the only place that wires sources, ledger, telemetry and export together.

mod collector;

pub use collector::{Collector, Progress, SourceHealth};
