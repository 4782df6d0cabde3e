//! Telling of events: one task for each sink, which asks for the next ones, sends them, and says so when it asks again.
//!
//! Invariants: events leave in their order; one is told again until the sink has taken or refused it, and what it says
//! never changes; sinks know nothing of each other, and one that is down or blocked holds nothing else up. At shutdown a
//! sink has 3 s for what is left, and the rest is told after the next start. Deliberately absent: what is kept, and for
//! how long, which is the ledger's.

mod otlp;
mod stdout;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::backoff;
use super::bisect::Halt;
use super::outcome::LONG_MS;
use crate::model::{SinkProgress, StoredEvent, UnixMs};
use crate::telemetry::{EndpointStats, ExportFailure};

pub use otlp::OtlpSink;
pub use stdout::StdoutSink;

/// Events that are asked for at once.
const BATCH: usize = 500;
/// How long a sink is asked again that refuses all that it is told, in milliseconds: 15 minutes. It may be set up
/// wrongly, or its address may be another's; nothing is given up while that is put right.
const PATIENCE_MS: i64 = 15 * 60_000;
/// Time for what is left at shutdown.
const LAST: Duration = Duration::from_secs(3);

/// What the task of a sink is fed with.
#[derive(Clone)]
pub struct EventFeed {
    /// The number of the newest event.
    pub newest: watch::Receiver<u64>,
    /// Asks for events.
    pub outbox: mpsc::Sender<TakeEvents>,
    /// How the sink fares.
    pub stats: Arc<Mutex<EndpointStats>>,
    /// The wall clock.
    pub now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
}

/// A sink's question for what comes next.
#[derive(Debug)]
pub struct TakeEvents {
    /// How far it has come.
    pub progress: SinkProgress,
    /// Most events that it wants.
    pub limit: usize,
    /// Told the next events, none if it has all; `None` if they cannot be read or noted now.
    pub done: oneshot::Sender<Option<Vec<StoredEvent>>>,
}

/// What a sink did with events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Taken.
    pub delivered: u64,
    /// Refused for good.
    pub refused: u64,
    /// The words of whoever refused them.
    pub complaint: Option<String>,
}

/// Takes events.
pub trait Sink: Send + Sync {
    /// Returns what became of these events, or why none can be taken now; some may have arrived even so.
    fn tell(
        &mut self,
        events: &[StoredEvent],
        feed: &EventFeed,
    ) -> impl Future<Output = Result<Told, Halt>> + Send;

    /// Waits until the sink is to be reached in another way, and takes that up.
    fn replaced(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Returns what an operator can do about a failure, as an imperative clause.
    fn remedy(&self, halt: &Halt) -> &'static str;
}

/// Serves one sink until `shutdown` turns true or its sender is gone, and then for 3 s at most. `progress` is how far
/// it had come.
pub async fn run(
    mut sink: impl Sink,
    feed: EventFeed,
    progress: SinkProgress,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut newest = feed.newest.clone();
    let mut teller = Teller {
        sink: &mut sink,
        feed,
        progress,
        failures: 0,
        failing_since: None,
        refusing_since: None,
        noted: None,
    };
    let mut last = shutdown.clone();
    let deadline = async {
        stopped(&mut last).await;
        sleep(LAST).await;
    };
    tokio::pin!(deadline);
    loop {
        // What is written from here on may be missing in the answer and must wake us again.
        newest.mark_unchanged();
        let round = tokio::select! {
            biased;
            () = &mut deadline => break,
            round = teller.round() => round,
        };
        let stopping = *shutdown.borrow() || shutdown.has_changed().is_err();
        match round {
            Round::More => {}
            Round::Idle | Round::Wait(_) if stopping => break,
            Round::Idle => tokio::select! {
                () = stopped(&mut shutdown) => {}
                changed = newest.changed() => {
                    if changed.is_err() {
                        // Whoever writes events is gone: so will be the sender of `shutdown`.
                        stopped(&mut shutdown).await;
                    }
                }
            },
            Round::Wait(time) => tokio::select! {
                () = stopped(&mut shutdown) => {}
                () = teller.sink.replaced() => (teller.failures, teller.refusing_since) = (0, None),
                () = sleep(time) => {}
            },
        }
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// What comes after a round.
enum Round {
    /// There may be more events.
    More,
    /// There are none.
    Idle,
    /// Not before this time.
    Wait(Duration),
}

struct Teller<'a, S> {
    sink: &'a mut S,
    feed: EventFeed,
    progress: SinkProgress,
    /// In a row.
    failures: u32,
    failing_since: Option<UnixMs>,
    refusing_since: Option<UnixMs>,
    /// The last complaint that was logged.
    noted: Option<String>,
}

impl<S: Sink> Teller<'_, S> {
    async fn round(&mut self) -> Round {
        // If the ledger cannot be written, it says so itself.
        let Some(events) = self.take().await else { return self.back_off(None) };
        let Some(last) = events.last() else { return Round::Idle };
        match self.sink.tell(&events, &self.feed).await {
            Ok(told) if self.is_doubtful(&told) => {
                let message = told.complaint.unwrap_or_default();
                let failure = ExportFailure::Refused;
                self.failed(&Halt { after_ms: None, failure, message });
                self.back_off(Some(LONG_MS))
            }
            Ok(told) => {
                self.progress.position = last.seq;
                self.progress.delivered += told.delivered;
                self.progress.refused += told.refused;
                self.succeeded(told.complaint);
                Round::More
            }
            Err(halt) => {
                self.failed(&halt);
                self.back_off(halt.after_ms)
            }
        }
    }

    /// Returns whether nothing at all was taken, and not for so long that these events must be what is wrong.
    fn is_doubtful(&mut self, told: &Told) -> bool {
        if told.delivered > 0 || told.refused == 0 {
            self.refusing_since = None;
            return false;
        }
        let now = (self.feed.now)();
        let since = *self.refusing_since.get_or_insert(now);
        (0..PATIENCE_MS).contains(&now.since(since))
    }

    async fn take(&self) -> Option<Vec<StoredEvent>> {
        let (done, taken) = oneshot::channel();
        let request = TakeEvents { progress: self.progress.clone(), limit: BATCH, done };
        self.feed.outbox.send(request).await.ok()?;
        taken.await.ok()?
    }

    fn back_off(&mut self, after_ms: Option<u64>) -> Round {
        self.failures = self.failures.saturating_add(1);
        let random = || backoff::wait_ms(self.failures, fastrand::u64(..));
        Round::Wait(Duration::from_millis(after_ms.unwrap_or_else(random)))
    }

    fn succeeded(&mut self, complaint: Option<String>) {
        self.failures = 0;
        let now = (self.feed.now)();
        stats(&self.feed, |stats| stats.last_success = Some(now));
        if let Some(since) = self.failing_since.take() {
            let seconds = now.since(since) / 1000;
            info!(sink = self.progress.name, "sink takes events again after {seconds} s");
        }
        if let Some(complaint) = complaint.filter(|new| self.noted.as_ref() != Some(new)) {
            warn!(
                sink = self.progress.name,
                "sink refuses events for good: {complaint}; all others are told"
            );
            self.noted = Some(complaint);
        }
    }

    fn failed(&mut self, halt: &Halt) {
        if self.failing_since.is_some() {
            return;
        }
        self.failing_since = Some((self.feed.now)());
        warn!(
            sink = self.progress.name,
            reason = halt.failure.as_str(),
            "sink does not take events: {}; {}. They are kept and told again",
            halt.message,
            self.sink.remedy(halt)
        );
    }
}

fn stats(feed: &EventFeed, change: impl FnOnce(&mut EndpointStats)) {
    change(&mut feed.stats.lock().unwrap_or_else(PoisonError::into_inner));
}
