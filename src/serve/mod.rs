//! The daemon: the only place that wires sources, ledger, telemetry and export together.
//!
//! One thread, the core, reads the sources and owns the ledger; everything that waits for the network runs on
//! one asynchronous runtime. They share committed totals, and the core never waits for the network.

mod budgets;
mod collector;
mod core;
mod daemon;
mod exporters;
mod files;
mod health;
mod http;
mod logging;
mod notices;
mod outbox;
mod own_telemetry;
mod relay;
mod reload;
mod reloading;
mod state;
mod tasks;
mod watching;
mod webhook;

pub use budgets::Budgets;
pub use collector::{
    CatalogueUse, Collector, PriceSettings, Progress, SOURCES, Scope, SourceHealth, gateway_log_place,
};
pub use daemon::{Running, ServeError, Signals, run, start};
pub use files::load as load_config;
pub use health::{HealthError, ask as ask_health};
pub use logging::{Logging, init as init_logging};
pub use own_telemetry::{OwnTelemetry, OwnTelemetryError};
pub use relay::{Relays, request_path};
pub use reload::{Changes, Part, compare};
pub use reloading::Reloading;
pub use webhook::is_ours as is_our_webhook;
