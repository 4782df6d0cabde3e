//! Our own diagnostics: to stderr, one line an event; and over OTLP where that is asked for.
//!
//! Never in them: prompts, summaries, error texts of runs, header values, or URLs with their queries.

use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::own_telemetry::OwnTelemetry;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// The libraries that carry our own telemetry must not feed it.
const QUIET: [&str; 7] =
    ["hyper", "hyper_util", "h2", "rustls", "tonic", "opentelemetry", "opentelemetry_sdk"];

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Changes how is logged, while it is.
pub struct Logging(Box<dyn Fn(&LogConfig) + Send + Sync>);

impl Logging {
    /// Logs like this from now on.
    pub fn set(&self, config: &LogConfig) {
        (self.0)(config);
    }
}

fn targets(level: LogLevel) -> Targets {
    let level = filter(level);
    Targets::new()
        .with_default(level)
        .with_targets(QUIET.map(|target| (target, level.min(LevelFilter::WARN))))
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    match format {
        LogFormat::Json => Box::new(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_current_span(false)
                .with_span_list(false),
        ),
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            Box::new(layer.with_ansi(colours).with_target(false))
        }
    }
}

/// Starts logging. A second call changes nothing.
pub fn init(config: &LogConfig, own: &OwnTelemetry) -> Logging {
    let (filter, new_filter) = reload::Layer::new(targets(config.level));
    let (stderr, new_lines) = reload::Layer::new(lines(config.format));
    // Spans are for traces; in a line of log they would only be noise, and without traces they cost nothing.
    let stderr = stderr.with_filter(filter_fn(|metadata| metadata.is_event()));
    let spans = own.tracer().map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer));
    // Fails if a subscriber is set already, as in a test.
    _ = tracing_subscriber::registry().with(stderr).with(spans).with(own.bridge()).with(filter).try_init();
    Logging(Box::new(move |config| {
        // They fail where a test has set another subscriber, which stays as it is.
        _ = new_filter.reload(targets(config.level));
        _ = new_lines.reload(lines(config.format));
    }))
}
