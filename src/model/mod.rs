//! The words of the project as types: what a run is, what it used, where we stand in a source.
//!
//! Invariants: every count is an integer, every time is UTC milliseconds, nothing here does I/O, reads a
//! clock or imports another module of ours. Deliberately absent: anything that knows how OpenClaw, SQLite
//! or Prometheus spell these things.

mod batch;
mod budget;
mod call;
pub(crate) mod decimal;
mod endpoint;
mod event;
mod job;
mod money;
mod notice;
mod outbox;
mod position;
mod price;
mod relay;
mod run;
mod runs;
mod time;
mod usage;

pub use batch::{Batch, Reject, RejectReason};
pub use budget::{BudgetDefinition, BudgetMatch, Period};
pub use call::{BilledCall, FailedCall};
pub use decimal::DecimalError;
pub use endpoint::{EndpointState, FRESH_MS};
pub use event::{DeliveryProblem, GatewayEvent, GatewayEventKind, Severity};
pub use job::{Due, JobDefinition, ScheduleKind, WebhookUrl};
pub use money::{Billing, Charge, Cost, CostProvenance, NanoUsd, Priceable};
pub use notice::{MissingNotice, Notice, Receipt, is_gateway_name};
pub use outbox::{DropReason, FinishedRun, Happening, OutboxFacts, SinkFacts, SinkProgress, StoredEvent};
pub use position::{FileId, FilePosition, LineMark, Position, SourceId, TablePosition};
pub use price::{
    ContextWindow, MAX_TIERS, PerMillion, PriceAlias, PriceEntry, PriceSource, RateError, RateSet, Rates,
    RatesError, Tier,
};
pub use relay::{DeadLetter, DeadReason, RelayFacts, RelayMessage, Settled};
pub use run::{Delivery, Reason, Run, RunAt, RunKey, SessionRef, Status, WebhookOutcome};
pub use runs::{PackedRun, Runs, Span};
pub use time::UnixMs;
pub use usage::{TokenKind, Usage, UsageProvenance};

/// Largest integer that a JSON number of OpenClaw's (a JavaScript double) holds exactly: 2^53.
pub const MAX_JSON_INTEGER: u64 = 1 << 53;
