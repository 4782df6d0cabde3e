//! When a configuration is read again, and what is said of it.
//!
//! Invariants: at SIGHUP it is read whatever the files look like; a bad one is logged with the whole error of a start, and
//! everything goes on as it was; what could not be taken up for reasons of this machine is tried again.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::daemon::{Running, ServeError};
use super::files::{self, Files, Stamps};
use super::logging::Logging;
use super::reload::{Changes, Part};
use crate::config::{Config, ConfigError, Source};

/// Pause before it is tried again to take up what the machine did not allow.
const AGAIN: Duration = Duration::from_secs(15);

/// Why a configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it with SIGHUP.
    Hangup,
    /// One of its files changed.
    File,
    /// It could not be taken up before.
    Again,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::File => "file changed",
            Self::Again => "tried again",
        }
    }
}

/// Follows the configuration.
pub struct Reloading {
    source: Source,
    files: Files,
    hangup: Signal,
    logging: Logging,
    /// What is wrong with the newest configuration, if it is not in force.
    problem: Option<String>,
    /// The problem is this machine's, and may pass.
    passing: bool,
}

impl Reloading {
    /// Follows what a configuration was read from.
    ///
    /// # Errors
    /// The system gives no signal handler.
    pub fn new(source: Source, stamps: Stamps, logging: Logging) -> Result<Self, ServeError> {
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signal)?;
        Ok(Self { source, files: Files::new(stamps), hangup, logging, problem: None, passing: false })
    }

    /// Takes note of a daemon that has just been started.
    pub(super) fn began(&self, running: &Running) {
        let in_force = self.problem.is_none();
        running.shared.update(|process, _| process.config_in_force = in_force);
    }

    /// Waits until the configuration is to be read again.
    pub(super) async fn wanted(&mut self) -> Reason {
        let again = async {
            if !self.passing {
                std::future::pending::<()>().await;
            }
            sleep(AGAIN).await;
        };
        tokio::select! {
            biased;
            _ = self.hangup.recv() => Reason::Hangup,
            () = self.files.changed() => Reason::File,
            () = again => Reason::Again,
        }
    }

    /// Reads the configuration again, and goes over to it.
    pub(super) async fn reload(&mut self, running: &mut Running, reason: Reason) {
        let (config, stamps) = files::load(&self.source);
        self.files.follow(stamps);
        let warned = running.config.warnings.clone();
        match self.take_up(running, config).await {
            Ok(changes) => {
                (self.problem, self.passing) = (None, false);
                let now = running.clock.now();
                running.shared.update(|process, _| {
                    (process.config_in_force, process.config_loaded) = (true, now);
                });
                self.say(running, &changes, reason, &warned);
            }
            Err(error) => self.refused(running, &error, reason),
        }
    }

    async fn take_up(
        &self,
        running: &mut Running,
        config: Result<Config, ConfigError>,
    ) -> Result<Changes, ServeError> {
        let changes = running.apply(config?).await?;
        if changes.parts.contains(&Part::Log) {
            self.logging.set(&running.config.log);
        }
        Ok(changes)
    }

    fn say(&self, running: &Running, changes: &Changes, reason: Reason, warned: &[String]) {
        for warning in running.config.warnings.iter().filter(|warning| !warned.contains(warning)) {
            tracing::warn!("{warning}");
        }
        if !changes.restart.is_empty() {
            let keys = changes.restart.join(", ");
            tracing::warn!("{keys}: changed, but taken up only by a restart; until then the old value stays");
        }
        tracing::info!(reason = reason.as_str(), changed = changes.keys(), "configuration reloaded");
    }

    /// Logs a problem; one that is tried again by itself only once.
    fn refused(&mut self, running: &Running, error: &ServeError, reason: Reason) {
        let text = error.to_string();
        if reason != Reason::Again || self.problem.as_ref() != Some(&text) {
            let reason = reason.as_str();
            tracing::error!(reason, "configuration not reloaded: {text}; the old one stays in force");
        }
        running.shared.update(|process, _| process.config_in_force = false);
        self.passing = !error.is_usage();
        self.problem = Some(text);
    }
}
