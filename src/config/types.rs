//! The resolved configuration: plain values.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::value::keyword;
use super::{DigestConfig, Origin, RelayConfig, WebhookConfig};
use crate::model::{Billing, BudgetDefinition, PriceAlias, PriceEntry};

/// Everything the program was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The configuration file that was read; `None` if none was named. A reload reads it again.
    pub file: Option<PathBuf>,
    /// The gateway's state directory. Nothing is ever written there. [`NOWHERE`] if it is not to be read.
    pub state_dir: PathBuf,
    /// The gateway's name if it was given. `None` is no default but an instruction: use the name that the
    /// ledger has stored, and `openclaw` for a new ledger.
    pub gateway: Option<String>,
    /// Our own durable state.
    pub ledger: LedgerConfig,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: SocketAddr,
    /// How changes in the state directory are noticed.
    pub watch: WatchMode,
    /// Time between two looks when polling, in milliseconds; 50 ms to 1 h.
    pub poll_interval_ms: u64,
    /// Most job ids with series of their own; the rest share `other`. 1 to 100,000.
    pub max_jobs: usize,
    /// Where the gateway's own log is.
    pub gateway_log: GatewayLog,
    /// File with prices in LiteLLM's format; `None` = only the gateway's own prices and those given here.
    pub catalogue: Option<PathBuf>,
    /// OpenTelemetry resource attributes.
    pub resource: ResourceConfig,
    /// Where metrics are pushed; empty = nowhere.
    pub otlp: Vec<EndpointConfig>,
    /// Who is told of events.
    pub events: EventsConfig,
    /// Where gateways may post notices of their runs; `None` = nowhere.
    pub webhook: Option<WebhookConfig>,
    /// Prices that win over all others.
    pub prices: Vec<PriceEntry>,
    /// Models that are others under names of their own.
    pub aliases: Vec<PriceAlias>,
    /// Patterns of providers with what their dollars mean; for the rest the gateway's configuration tells.
    pub billing: Vec<(String, Billing)>,
    /// Budgets, each with a name of its own and a time zone that this machine knows.
    pub budgets: Vec<BudgetDefinition>,
    /// Services that are told of events, each with a name of its own.
    pub relays: Vec<RelayConfig>,
    /// Reports that are posted to them, each with a name of its own.
    pub digests: Vec<DigestConfig>,
    /// Our own diagnostics on stderr.
    pub log: LogConfig,
    /// Our own traces and logs over OTLP.
    pub own_telemetry: OwnTelemetryConfig,
    /// What was accepted but will not do what its author may expect, one sentence each.
    pub warnings: Vec<String>,
    pub(crate) explained: Vec<Explained>,
}

/// A directory that is never there: what a configuration without a state directory reads.
pub const NOWHERE: &str = "/nonexistent/openclaw";

impl Config {
    /// Returns whether there is a state directory to read.
    #[must_use]
    pub fn has_state_dir(&self) -> bool {
        self.state_dir != Path::new(NOWHERE)
    }

    /// Returns every resolved value with its origin, in the order of the documentation, secrets masked.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.explained.clone()
    }
}

/// One resolved value as `check` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Key as in the configuration file, such as `ledger.path` or `otlp.NAME.timeout`.
    pub key: String,
    /// The value as text; secrets are `***`.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Our ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The SQLite file.
    pub path: PathBuf,
    /// How hard a commit is pressed to disk.
    pub synchronous: Synchronous,
    /// Days that single runs are kept before they are folded into daily totals; `None` = for ever.
    pub keep_days: Option<u32>,
}

/// Where the gateway's own log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GatewayLog {
    /// Where the gateway's configuration says, else where OpenClaw puts it.
    #[default]
    Auto,
    /// It is not read.
    Off,
    /// Here: a file, a dated one (`openclaw-YYYY-MM-DD.log`), or the directory of such.
    At(PathBuf),
}

/// OpenTelemetry resource attributes that we send. `service.instance.id` is the gateway's name; there are
/// no others, because any other makes Prometheus store a `target_info` series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceConfig {
    /// `service.name`, which becomes the `job` label (with the namespace in front, if there is one).
    pub service_name: String,
    /// `service.namespace`; `None` = the attribute is not sent.
    pub service_namespace: Option<String>,
}

/// Who is told of events, and how much is kept for whoever does not take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// Whether they are written to standard output.
    pub stdout: bool,
    /// Where they are sent as logs; nowhere if empty. Their interval means nothing.
    pub otlp: Vec<EndpointConfig>,
    /// Most events that are kept; 1 to 10 million.
    pub max_events: u64,
    /// How long they are kept, in milliseconds; a minute to 31 days.
    pub max_age_ms: u64,
}

/// One receiver of metrics or of events.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Name in metrics and logs, unique and stable: given, else host, port and path of the URL.
    pub name: String,
    /// HTTP: the full URL of the signal. gRPC: the base URL. Never holds a user or password.
    pub url: String,
    /// How requests are framed.
    pub protocol: Protocol,
    /// Headers of every request, credentials included.
    pub headers: Headers,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Longest wait for an answer, in milliseconds; 100 ms to 10 min.
    pub timeout_ms: u64,
    /// Time between two full pushes, in milliseconds; 1 s to 1 h.
    pub interval_ms: u64,
    /// PEM file with the certificate authorities to trust; `None` = the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate chain; `None` = we show none.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with our private key; present exactly if `client_cert_file` is.
    pub client_key_file: Option<PathBuf>,
}

impl EndpointConfig {
    /// Returns the URL for people and logs: its query, which may hold a token, is masked.
    #[must_use]
    pub fn shown_url(&self) -> String {
        super::otlp::mask_url(&self.url)
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("url", &self.shown_url())
            .field("protocol", &self.protocol)
            .field("headers", &self.headers)
            .field("compression", &self.compression)
            .field("timeout_ms", &self.timeout_ms)
            .field("interval_ms", &self.interval_ms)
            .field("ca_file", &self.ca_file)
            .field("client_cert_file", &self.client_cert_file)
            .field("client_key_file", &self.client_key_file)
            .finish()
    }
}

/// Request headers, name and value; valid as HTTP headers. `Debug` and `Display` mask the values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// Returns name and value of each header.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, _)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}: ***")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// Diagnostics of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Least severe level that is written.
    pub level: LogLevel,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Where our own traces and logs go by OTLP over HTTP; full URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTelemetryConfig {
    /// `None` = no traces are sent.
    pub traces_endpoint: Option<String>,
    /// `None` = no logs are sent.
    pub logs_endpoint: Option<String>,
}

keyword! {
    /// How changes in the state directory are noticed.
    WatchMode {
        /// Events, and polling where events turn out not to come.
        Auto = "auto",
        /// File system events only.
        Events = "events",
        /// Polling only.
        Poll = "poll",
    }
}

keyword! {
    /// SQLite's `synchronous` of the ledger.
    Synchronous {
        /// Survives a crash of ours; a power cut can cost the last commits, which are replayed.
        Normal = "normal",
        /// Survives a power cut too.
        Full = "full",
    }
}

keyword! {
    /// Least severe level that is logged.
    LogLevel {
        /// Nothing at all.
        Off = "off",
        /// A person must act.
        Error = "error",
        /// Recovered by itself.
        Warn = "warn",
        /// What the program does.
        Info = "info",
        /// Why it does it.
        Debug = "debug",
        /// Every line.
        Trace = "trace",
    }
}

keyword! {
    /// Shape of a log line.
    LogFormat {
        /// For people.
        Text = "text",
        /// One object a line, for collectors.
        Json = "json",
    }
}

keyword! {
    /// How OTLP requests are framed.
    Protocol {
        /// Protobuf over HTTP/1.1.
        Http = "http/protobuf" | "http",
        /// gRPC over HTTP/2, for Collectors.
        Grpc = "grpc",
    }
}

keyword! {
    /// How OTLP request bodies are compressed.
    Compression {
        /// gzip.
        Gzip = "gzip",
        /// Not at all.
        None = "none",
    }
}
