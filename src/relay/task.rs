//! The task of one relay: asks for the next message, sends it, and says what became of it when it asks again.
//!
//! Invariants: nothing is sent in quiet hours; a message is sent again until it is settled, and none before the one in
//! front of it is. At shutdown the message that is under way has 3 s.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::answer::Verdict;
use super::quiet::quiet_ms;
use super::sender::Deliver;
use crate::config::QuietHours;
use crate::export::backoff;
use crate::model::{DeadReason, RelayMessage, Settled, UnixMs};
use crate::telemetry::RelayStats;

/// How often a service may fail at a message (HTTP 500) before it is given up: some 13 minutes.
const MAX_TRIES: u32 = 30;
/// Time for what is under way at shutdown.
const LAST: Duration = Duration::from_secs(3);
/// Longest sleep before the clock is asked again, in milliseconds: it may be set, or the machine may have slept.
const NAP_MS: u64 = 60_000;

/// What the task of a relay is fed with.
pub struct RelayFeed {
    /// The relay's name.
    pub name: String,
    /// When nothing is sent, and where that is.
    pub quiet: Option<(QuietHours, TimeZone)>,
    /// Changes when there may be a message.
    pub news: watch::Receiver<u64>,
    /// Asks for messages.
    pub queue: mpsc::Sender<NextMessage>,
    /// How the relay fares.
    pub stats: Arc<Mutex<RelayStats>>,
    /// The wall clock.
    pub now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
}

/// A relay's question for the message that comes next.
#[derive(Debug)]
pub struct NextMessage {
    /// The relay's name.
    pub relay: String,
    /// What became of the one before.
    pub settled: Option<(u64, Settled)>,
    /// Told the next message, if there is one; `None` if the ledger cannot be read or written now.
    pub done: oneshot::Sender<Option<Option<RelayMessage>>>,
}

/// Serves one relay until `shutdown` turns true or its sender is gone.
pub async fn run(mut service: impl Deliver, feed: RelayFeed, mut shutdown: watch::Receiver<bool>) {
    let mut news = feed.news.clone();
    let mut task = Task { feed, settled: None, failures: 0, failing_since: None, refusing: false };
    loop {
        // What is queued from here on may be missing in the answer and must wake us again.
        news.mark_unchanged();
        let wait_ms = match task.next().await {
            None => Some(task.back_off(None)),
            Some(None) => None,
            Some(Some(_)) if stops(&shutdown) => return,
            Some(Some(message)) => match task.quiet_ms() {
                0 => {
                    let mut stop = shutdown.clone();
                    let deadline = async {
                        stopped(&mut stop).await;
                        sleep(LAST).await;
                    };
                    let now = task.now();
                    tokio::select! {
                        biased;
                        () = deadline => return,
                        verdict = service.deliver(&message, now) => Some(task.judge(&message, verdict)),
                    }
                }
                quiet => Some(quiet.min(NAP_MS)),
            },
        };
        if stops(&shutdown) {
            // What became of the last message is told even so.
            if task.settled.is_some() {
                task.next().await;
            }
            return;
        }
        match wait_ms {
            Some(0) => {}
            Some(ms) => tokio::select! {
                () = stopped(&mut shutdown) => {}
                // Settled first: a crash while waiting must not send it again.
                () = async { task.settle().await; sleep(Duration::from_millis(ms)).await } => {}
            },
            None => tokio::select! {
                () = stopped(&mut shutdown) => {}
                changed = news.changed() => {
                    if changed.is_err() {
                        // Whoever queues messages is gone: so will be the sender of `shutdown`.
                        stopped(&mut shutdown).await;
                    }
                }
            },
        }
    }
}

fn stops(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

struct Task {
    feed: RelayFeed,
    /// What became of the last message, until the ledger knows.
    settled: Option<(u64, Settled)>,
    /// In a row.
    failures: u32,
    failing_since: Option<UnixMs>,
    /// The last message was given up, and that was logged.
    refusing: bool,
}

impl Task {
    fn now(&self) -> UnixMs {
        (self.feed.now)()
    }

    fn quiet_ms(&self) -> u64 {
        self.feed.quiet.as_ref().map_or(0, |(quiet, zone)| quiet_ms(*quiet, zone, self.now()))
    }

    /// Asks for the next message, and says what became of the one before.
    async fn next(&mut self) -> Option<Option<RelayMessage>> {
        let (done, answer) = oneshot::channel();
        let question = NextMessage { relay: self.feed.name.clone(), settled: self.settled, done };
        self.feed.queue.send(question).await.ok()?;
        let next = answer.await.ok()??;
        self.settled = None;
        Some(next)
    }

    async fn settle(&mut self) {
        if self.settled.is_some() {
            self.next().await;
        }
    }

    /// Takes in what became of a message. Returns how long to wait, in milliseconds.
    fn judge(&mut self, message: &RelayMessage, verdict: Verdict) -> u64 {
        let (number, now) = (message.id, self.now());
        self.stats(|stats| stats.attempts += 1);
        match verdict {
            Verdict::Taken(pause_ms) => {
                self.settled = Some((number, Settled::Sent));
                self.stats(|stats| stats.last_success = Some(now));
                self.recovered(now);
                self.refusing = false;
                pause_ms
            }
            Verdict::Refused { status, failure, text } => {
                self.stats(|stats| *stats.failures.entry(failure).or_default() += 1);
                self.give_up(number, DeadReason::Refused, status, &text);
                self.recovered(now);
                0
            }
            Verdict::Later { after_ms, failure, counts, text } => {
                self.stats(|stats| {
                    *stats.failures.entry(failure).or_default() += 1;
                    stats.retries += 1;
                });
                if counts && message.tries + 1 >= MAX_TRIES {
                    self.give_up(number, DeadReason::Failed, None, &text);
                    return 0;
                }
                self.settled = counts.then_some((number, Settled::Failed));
                if self.failing_since.is_none() {
                    self.failing_since = Some(now);
                    warn!(
                        relay = self.feed.name,
                        reason = failure.as_str(),
                        "relay does not take messages: {text}. They are kept, and sent in order as soon as it does"
                    );
                }
                self.back_off(after_ms)
            }
        }
    }

    fn give_up(&mut self, number: u64, reason: DeadReason, status: Option<u16>, text: &str) {
        self.settled = Some((number, Settled::Dead { reason, status }));
        if !self.refusing {
            warn!(
                relay = self.feed.name,
                "a message was given up: {text}; `openclaw-usage relay dead` lists such, and `openclaw-usage relay \
                 retry` sends them again. Further ones in a row are not logged"
            );
        }
        self.refusing = true;
    }

    fn recovered(&mut self, now: UnixMs) {
        self.failures = 0;
        if let Some(since) = self.failing_since.take() {
            let seconds = now.since(since) / 1_000;
            info!(relay = self.feed.name, "relay answers again after {seconds} s");
        }
    }

    fn back_off(&mut self, after_ms: Option<u64>) -> u64 {
        self.failures = self.failures.saturating_add(1);
        after_ms.unwrap_or_else(|| backoff::wait_ms(self.failures, fastrand::u64(..)))
    }

    fn stats(&self, change: impl FnOnce(&mut RelayStats)) {
        change(&mut self.feed.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
