//! Events between the core, which owns what is kept of them, and the sinks.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::core::Core;
use super::exporters::{self, targets};
use super::state::Shared;
use super::tasks::{Begin, Tasks};
use crate::clock::Clock;
use crate::config::EventsConfig;
use crate::export::Target;
use crate::export::events::{self, EventFeed, OtlpSink, Sink, StdoutSink, TakeEvents};
use crate::ledger::{LedgerError, OutboxSettings};
use crate::model::{OutboxFacts, SinkProgress};
use crate::telemetry::{Resource, event};

/// The name of standard output as a sink.
const STDOUT: &str = "stdout";

/// Returns what the ledger is to keep for the sinks of a configuration.
pub fn settings(config: &EventsConfig, gateway: &str) -> OutboxSettings {
    let stdout = config.stdout.then(|| STDOUT.to_owned());
    let gateway = gateway.to_owned();
    OutboxSettings {
        sinks: stdout.into_iter().chain(config.otlp.iter().map(|endpoint| endpoint.name.clone())).collect(),
        max_events: config.max_events,
        max_age_ms: i64::try_from(config.max_age_ms).unwrap_or(i64::MAX),
        describe: Arc::new(move |happening| event::line(happening, &gateway)),
    }
}

/// What every sink's task needs.
#[derive(Clone)]
pub struct Sinks {
    pub shared: Arc<Shared>,
    pub clock: Clock,
    /// The number of the newest event.
    pub newest: watch::Receiver<u64>,
    /// Asks for events.
    pub outbox: mpsc::Sender<TakeEvents>,
    /// The core, which owns the ledger.
    pub core: exporters::Core,
}

/// The tasks of all sinks.
#[derive(Default)]
pub struct SinkTasks {
    stdout: Tasks<()>,
    otlp: Tasks<Target>,
}

impl SinkTasks {
    /// Tells all tasks to end. Returns them, so that they can be waited for.
    pub fn stop(&mut self) -> Vec<JoinHandle<()>> {
        self.stdout.stop().into_iter().chain(self.otlp.stop()).collect()
    }
}

impl Sinks {
    /// Tells these sinks of events from now on, for whom the ledger keeps them already. `known` is how far they have
    /// come, if that need not be asked for. Returns whether that changed anything.
    ///
    /// # Errors
    /// The system gives no thread or file for standard output.
    pub fn set(
        &self,
        tasks: &mut SinkTasks,
        (config, resource): (&EventsConfig, &Resource),
        known: Option<&OutboxFacts>,
    ) -> io::Result<bool> {
        let is_new = config.stdout && tasks.stdout.stats().is_empty();
        let sink = Cell::new(if is_new { Some(StdoutSink::start()?) } else { None });
        let stdout = config.stdout.then(|| (STDOUT.to_owned(), ()));
        let mut changed = tasks.stdout.set(stdout.into_iter().collect(), |begin| {
            let run = sink.take().map(|sink| self.clone().run(begin, known.cloned(), move |_| sink));
            async move {
                if let Some(run) = run {
                    run.await;
                }
            }
        });
        changed |= tasks.otlp.set(targets(&config.otlp, resource), |begin| {
            self.clone().run(begin, known.cloned(), OtlpSink::new)
        });
        self.shared.set_sinks(tasks.stdout.stats().into_iter().chain(tasks.otlp.stats()).collect());
        Ok(changed)
    }

    async fn run<T, S: Sink + 'static>(
        self,
        begin: Begin<T>,
        known: Option<OutboxFacts>,
        sink: impl FnOnce(watch::Receiver<Arc<T>>) -> S,
    ) {
        let Begin { name, targets, stats, mut stopped } = begin;
        let facts = match known {
            Some(facts) => Some(facts),
            None => tokio::select! {
                facts = self.core.ask(|ledger| ledger.outbox()) => facts,
                _ = stopped.wait_for(|stop| *stop) => None,
            },
        };
        let Some(facts) = facts else { return };
        let known = facts.sinks.iter().find(|sink| sink.name == name);
        let progress = SinkProgress {
            name,
            position: known.map_or(0, |sink| sink.position),
            delivered: known.map_or(0, |sink| sink.delivered),
            refused: known.map_or(0, |sink| sink.dropped[0]),
        };
        let clock = self.clock;
        let feed =
            EventFeed { newest: self.newest, outbox: self.outbox, stats, now: Arc::new(move || clock.now()) };
        events::run(sink(targets), feed, progress, stopped).await;
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
