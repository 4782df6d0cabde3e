//! Our own diagnostics: to stderr, one line an event.
//!
//! Never in them: prompts, summaries, error texts of runs, header values, or URLs with their queries.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Starts logging to stderr. A second call changes nothing.
pub fn init(config: &LogConfig) {
    let filter =
        EnvFilter::new(format!("{},hyper=warn,h2=warn,rustls=warn,tonic=warn", config.level.as_str()));
    let registry = tracing_subscriber::registry().with(filter);
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Fails if a subscriber is set already, as in a test.
    _ = match config.format {
        LogFormat::Json => registry.with(stderr.json().flatten_event(true).with_target(false)).try_init(),
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            registry.with(stderr.with_ansi(colours).with_target(false)).try_init()
        }
    };
}
