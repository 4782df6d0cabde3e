//! How the core notices changes of the gateway's files, as a configuration says.

use std::sync::mpsc::Sender;

use super::core::Wake;
use crate::config::{Config, WatchMode};
use crate::model::UnixMs;
use crate::tail::{Cadence, WatchMethod, Watcher, is_remote};

/// How changes are noticed.
pub struct Watching {
    /// File events, unless they are not wanted or not to be had.
    pub watcher: Option<Watcher>,
    /// When to sweep.
    pub cadence: Cadence,
}

impl Watching {
    /// Begins to watch as a configuration says; events go to the core.
    pub fn new(config: &Config, wakes: Sender<Wake>, now: UnixMs) -> Self {
        let (method, automatic) = match config.watch {
            _ if !config.has_state_dir() => (WatchMethod::Events, false),
            WatchMode::Events => (WatchMethod::Events, false),
            WatchMode::Poll => (WatchMethod::Poll, false),
            WatchMode::Auto if is_remote(&config.state_dir) => (WatchMethod::Poll, false),
            WatchMode::Auto => (WatchMethod::Events, true),
        };
        let poll_ms = i64::try_from(config.poll_interval_ms).unwrap_or(i64::MAX);
        let cadence = Cadence::new(method, automatic, poll_ms, now);
        if method == WatchMethod::Poll || !config.has_state_dir() {
            return Self { watcher: None, cadence };
        }
        // The core may have ended; then nobody needs the event.
        match Watcher::new(move |change| _ = wakes.send(Wake::Change(change))) {
            Ok(watcher) => Self { watcher: Some(watcher), cadence },
            Err(error) => {
                tracing::warn!("cannot watch for file events: {error}; polling instead");
                Self { watcher: None, cadence: Cadence::new(WatchMethod::Poll, false, poll_ms, now) }
            }
        }
    }
}
