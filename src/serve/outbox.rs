//! Events between the core, which owns what is kept of them, and the sinks.

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::core::Core;
use super::daemon::ServeError;
use crate::clock::Clock;
use crate::config::EventsConfig;
use crate::export::events::{self, EventFeed, OtlpSink, Sink, StdoutSink, TakeEvents};
use crate::ledger::{Ledger, LedgerError, OutboxSettings};
use crate::model::{OutboxFacts, SinkProgress};
use crate::telemetry::{EndpointStats, Resource, event};

/// The name of standard output as a sink.
const STDOUT: &str = "stdout";

/// How each sink fares, by name.
pub type SinkStats = Vec<(String, Arc<Mutex<EndpointStats>>)>;

/// Has the ledger keep what the sinks of a configuration are told.
pub fn prepare(ledger: &mut Ledger, config: &EventsConfig) -> Result<SinkStats, LedgerError> {
    let stdout = config.stdout.then(|| STDOUT.to_owned());
    let names = stdout.into_iter().chain(config.otlp.iter().map(|endpoint| endpoint.name.clone()));
    let stats: SinkStats = names.map(|name| (name, Arc::default())).collect();
    let gateway = ledger.gateway().to_owned();
    ledger.set_outbox(OutboxSettings {
        sinks: stats.iter().map(|(name, _)| name.clone()).collect(),
        max_events: config.max_events,
        max_age_ms: i64::try_from(config.max_age_ms).unwrap_or(i64::MAX),
        describe: Arc::new(move |happening| event::line(happening, &gateway)),
    })?;
    Ok(stats)
}

/// What starts the tasks of sinks.
pub struct Sinks<'a> {
    pub config: &'a EventsConfig,
    pub stats: &'a SinkStats,
    /// How far they had come.
    pub facts: OutboxFacts,
    pub resource: Resource,
    pub newest: watch::Receiver<u64>,
    pub outbox: mpsc::Sender<TakeEvents>,
    pub clock: Clock,
    pub stopped: watch::Receiver<bool>,
}

impl Sinks<'_> {
    pub fn spawn(self, parts: &mut JoinSet<()>) -> Result<(), ServeError> {
        if self.config.stdout {
            self.spawn_one(parts, STDOUT, StdoutSink::start().map_err(ServeError::Stdout)?);
        }
        for endpoint in &self.config.otlp {
            let sink = OtlpSink::new(endpoint.clone(), self.resource.clone());
            self.spawn_one(parts, &endpoint.name, sink);
        }
        Ok(())
    }

    fn spawn_one(&self, parts: &mut JoinSet<()>, name: &str, sink: impl Sink + 'static) {
        let stats = self.stats.iter().find(|(known, _)| known == name);
        let clock = self.clock.clone();
        let feed = EventFeed {
            newest: self.newest.clone(),
            outbox: self.outbox.clone(),
            stats: stats.map(|(_, stats)| Arc::clone(stats)).unwrap_or_default(),
            now: Arc::new(move || clock.now()),
        };
        let known = self.facts.sinks.iter().find(|sink| sink.name == name);
        let progress = SinkProgress {
            name: name.to_owned(),
            position: known.map_or(0, |sink| sink.position),
            delivered: known.map_or(0, |sink| sink.delivered),
            refused: known.map_or(0, |sink| sink.dropped[0]),
        };
        parts.spawn(events::run(sink, feed, progress, self.stopped.clone()));
    }
}

impl Core {
    /// Answers a sink, which may have ended meanwhile.
    pub(super) fn give_events(&mut self, question: TakeEvents) {
        let TakeEvents { progress, limit, done } = question;
        let taken = self.ledger.take_events(&progress, limit);
        if let Err(error) = &taken {
            tracing::warn!(sink = progress.name, "{error}");
        }
        _ = done.send(taken.ok());
        if let Err(error) = self.show_outbox() {
            tracing::debug!("the state of the outbox is shown later: {error}");
        }
    }

    /// Shows how much is kept for sinks, and wakes those who wait for it.
    pub(super) fn show_outbox(&self) -> Result<(), LedgerError> {
        if !self.ledger.tells() {
            return Ok(());
        }
        let facts = self.ledger.outbox()?;
        self.newest.send_if_modified(|newest| std::mem::replace(newest, facts.newest) != facts.newest);
        self.shared.update(|process, _| process.outbox = facts);
        Ok(())
    }
}
