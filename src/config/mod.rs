//! What the program was asked to do: defaults < TOML file < environment < flags, resolved in one step.
//!
//! Invariants: [`resolve()`] is a pure function of its [`Inputs`] (and of the secret files they name), so a
//! reload is a second call; a [`Config`] holds plain values, and no `Option` in it means "the default";
//! every value remembers its [`Origin`]; no header value, token or password appears in an error, in
//! [`Config::explain`] or in `Debug` output. Values are UTF-8, paths too.
//!
//! Deliberately absent: clocks, sockets, certificates (the exporter opens those), and anything that looks
//! into the state directory.

mod env;
mod error;
mod file;
mod load;
mod money;
mod otlp;
mod query;
mod relay;
mod resolve;
mod secret;
mod tables;
mod types;
mod value;
mod webhook;

#[cfg(test)]
mod tests;

pub use env::Environment;
pub use error::{ConfigError, Origin};
pub use load::{Loaded, Source, load};
pub use query::{QueryEndpoint, QueryFlags, query_endpoint};
pub use relay::{DigestConfig, QuietHours, RelayConfig, RelayKind, RelayMatch, Secret};
pub use resolve::{FileText, Inputs, Overrides, resolve};
pub use secret::{ReadFile, read_small_file};
pub use types::{
    Compression, Config, EndpointConfig, EventsConfig, Explained, GatewayLog, Headers, LedgerConfig,
    LogConfig, LogFormat, LogLevel, NOWHERE, OwnTelemetryConfig, Protocol, ResourceConfig, Synchronous,
    WatchMode,
};
pub use value::parse_duration_ms;
pub use webhook::{Token, WebhookConfig};
