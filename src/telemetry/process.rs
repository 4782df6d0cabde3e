//! What only this process knows about itself: how its pushes fare and how it watches its sources.
//!
//! These counters begin anew with the process; everything that must survive it lives in the ledger.

use std::collections::BTreeMap;

use super::webhook::WebhookStats;
use crate::model::{NanoUsd, OutboxFacts, RelayFacts, TokenKind, UnixMs};

const _: () = assert!(TokenKind::ALL.len() == 4);

/// Why an OTLP endpoint did not take a request: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportFailure {
    /// No connection: refused, reset, unknown host.
    Connection,
    /// TLS: unknown authority, wrong name, expired, client certificate refused.
    Tls,
    /// No answer in time.
    Timeout,
    /// HTTP 401 or 403, gRPC `UNAUTHENTICATED` or `PERMISSION_DENIED`.
    Unauthorized,
    /// HTTP 404, gRPC `UNIMPLEMENTED`: no OTLP receiver there.
    NotFound,
    /// HTTP 400 or another refusal of the content.
    Refused,
    /// Answered with success, but some points were not taken (`partial_success`).
    Partial,
    /// HTTP 429, gRPC `RESOURCE_EXHAUSTED`.
    Throttled,
    /// HTTP 5xx, gRPC `UNAVAILABLE` and its like.
    Unavailable,
    /// An answer that is not OTLP's.
    BadAnswer,
}

impl ExportFailure {
    /// Returns the value of the `openclaw.reason` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Partial => "partial",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::BadAnswer => "bad_answer",
        }
    }
}

/// How the pushes to one endpoint fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Requests sent.
    pub attempts: u64,
    /// Requests not taken, by reason.
    pub failures: BTreeMap<ExportFailure, u64>,
    /// Series refused in the last complete push.
    pub dropped_series: u64,
    /// When it last took a complete push.
    pub last_success: Option<UnixMs>,
    /// Steps of the clock that pushes had to follow backwards.
    pub clock_steps: u64,
}

/// How the messages of one relay fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Requests sent.
    pub attempts: u64,
    /// Requests not taken, by reason.
    pub failures: BTreeMap<ExportFailure, u64>,
    /// Requests that are made again.
    pub retries: u64,
    /// When its service last took a message.
    pub last_success: Option<UnixMs>,
}

/// One kind of store, as this process finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// The value of the `openclaw.source` attribute.
    pub name: &'static str,
    /// Whether it is there and readable.
    pub up: bool,
    /// How its changes are noticed; `None` before it was looked at.
    pub watch: Option<&'static str>,
}

/// How a budget stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetState {
    /// Its name.
    pub name: String,
    /// `day`, `week` or `month`.
    pub period: &'static str,
    /// What may be spent.
    pub limit: NanoUsd,
    /// What was spent in the period that runs.
    pub spent: NanoUsd,
    /// What it will come to at the period's end.
    pub projected: NanoUsd,
}

/// What a model costs now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceState {
    /// Provider as runs name it.
    pub provider: String,
    /// Model as runs name it.
    pub model: String,
    /// Dollars per million tokens of each kind in the order of [`TokenKind::ALL`]; `None`: no rate for it.
    pub usd_per_million: [Option<NanoUsd>; 4],
}

/// What only this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessState {
    /// When it started.
    pub start: UnixMs,
    /// Its stores.
    pub sources: Vec<SourceState>,
    /// Jobs whose next run is overdue by more than their own period.
    pub overdue_jobs: u64,
    /// Its push endpoints by name.
    pub endpoints: Vec<(String, EndpointStats)>,
    /// Its receivers of events by name.
    pub sinks: Vec<(String, EndpointStats)>,
    /// What is kept for them.
    pub outbox: OutboxFacts,
    /// How relays stand in the ledger, by name.
    pub relays: Vec<RelayFacts>,
    /// How their messages fare, by name.
    pub relay_stats: Vec<(String, RelayStats)>,
    /// How its receiver of webhooks fares, if it has one.
    pub webhook: Option<WebhookStats>,
    /// Whether a file of prices cannot be read.
    pub prices_problem: bool,
    /// The prices of models that were used.
    pub prices: Vec<PriceState>,
    /// Its budgets.
    pub budgets: Vec<BudgetState>,
    /// Size of the ledger's file in bytes.
    pub ledger_bytes: u64,
    /// Whether the last commit succeeded.
    pub ledger_writable: bool,
    /// Whether the newest configuration is in force.
    pub config_in_force: bool,
    /// When the configuration in force was read.
    pub config_loaded: UnixMs,
    /// Processor time so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory in bytes, where the system says.
    pub resident_bytes: Option<u64>,
}
