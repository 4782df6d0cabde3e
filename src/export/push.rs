//! One push to one endpoint: zero points first, then values, then what must be remembered.
//!
//! Invariants: `state` in memory moves only after the ledger has stored it (the last stamp excepted, which
//! moves with every attempt, since a request that timed out may have been taken). Dropping a push half-way is
//! harmless. Deliberately absent: timers and the decision when to push (see [`super::endpoint`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::bisect::{self, Delivered, Halt};
use super::outcome::Outcome;
use super::plan::{self, Introduction, Moment, POINTS_PER_REQUEST, Scope, plan};
use super::stamp;
use super::transport::Deliver;
use crate::model::{EndpointState, UnixMs};
use crate::telemetry::catalogue::key;
use crate::telemetry::{EndpointStats, ExportFailure, Point, Resource, Snapshot, otlp};

/// Longest wait for the ledger to store an endpoint's state.
const PERSIST_WAIT: Duration = Duration::from_secs(5);

/// What an endpoint's task is fed with.
#[derive(Clone)]
pub struct Feed {
    /// Takes a snapshot of everything at the given time.
    pub snapshot: Arc<dyn Fn(UnixMs) -> Snapshot + Send + Sync>,
    /// The newest revision of the totals.
    pub changed: watch::Receiver<u64>,
    /// Stores states durably.
    pub persist: mpsc::Sender<Persist>,
    /// How the pushes fare.
    pub stats: Arc<Mutex<EndpointStats>>,
    /// The wall clock.
    pub now: Arc<dyn Fn() -> UnixMs + Send + Sync>,
    /// Who we are.
    pub resource: Resource,
}

/// A request to store an endpoint's state durably.
#[derive(Debug)]
pub struct Persist {
    /// What to store.
    pub state: EndpointState,
    /// Told `true` once it is stored, `false` if it could not be.
    pub done: oneshot::Sender<bool>,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The endpoint was served, except for refused points if there were any.
    Complete {
        /// Whether points are refused again and again, at a cost: changes should wait for the full push.
        costly: bool,
    },
    /// Known series were served; new ones must wait until the ledger can store that they were introduced.
    HeldBack,
    /// Not taken.
    Failed(Halt),
}

/// Pushes to one endpoint.
pub(crate) struct Pusher<D> {
    pub(crate) feed: Feed,
    pub(crate) state: EndpointState,
    /// Revision of the totals that the endpoint has; `None` before the first complete push.
    pub(crate) acknowledged: Option<u64>,
    interval_ms: i64,
    transport: D,
    /// The last complaint about refused points that was logged.
    noted: Option<String>,
}

/// What happened to the values of one push.
#[derive(Default)]
struct Tally {
    taken: usize,
    dropped: u64,
    exhausted: bool,
    complaint: Option<String>,
    refusal: Option<String>,
}

impl<D: Deliver> Pusher<D> {
    pub(crate) fn new(feed: Feed, state: EndpointState, interval_ms: u64, transport: D) -> Self {
        let interval_ms = i64::try_from(interval_ms).unwrap_or(i64::MAX);
        Self { feed, state, acknowledged: None, interval_ms, transport, noted: None }
    }

    /// Pushes elsewhere, or as somebody else, from now on. What the ledger knows of the endpoint holds on.
    pub(crate) fn aim(&mut self, resource: Resource, interval_ms: u64, transport: D) {
        self.interval_ms = i64::try_from(interval_ms).unwrap_or(i64::MAX);
        self.feed.resource = resource;
        self.transport = transport;
        (self.acknowledged, self.noted) = (None, None);
    }

    /// Pushes a fresh snapshot: all of it, or what changed since the endpoint was last served.
    pub(crate) async fn push(&mut self, full: bool) -> Pushed {
        let moment = self.moment();
        let snapshot = (self.feed.snapshot)(moment.now);
        let scope = match self.acknowledged {
            Some(revision) if !full => Scope::ChangedSince(revision),
            _ => Scope::Full,
        };
        let plan = plan(&snapshot, &self.state, moment, scope);
        let mut budget = bisect::BUDGET;
        let mut held_back = false;
        if let Some(introduction) = &plan.introduction {
            match self.introduce(introduction, moment, &mut budget).await {
                Ok(done) => held_back = !done,
                Err(halt) => return Pushed::Failed(halt),
            }
        }
        let mut values = plan.values;
        if held_back {
            values.retain(|point| !point.series.is_some_and(|series| plan::is_new(&series, &self.state)));
        }
        let tally = match self.send_values(&values, &snapshot, moment, &mut budget).await {
            Ok(tally) => tally,
            Err(halt) => return Pushed::Failed(halt),
        };
        if !held_back {
            self.acknowledged = Some(snapshot.revision);
        }
        let costly = tally.exhausted || (tally.taken == 0 && tally.dropped > 0);
        if scope == Scope::Full {
            if let Some(halt) = self.finish_full(tally).await {
                return Pushed::Failed(halt);
            }
        } else {
            self.note(tally.complaint, false);
        }
        if held_back { Pushed::HeldBack } else { Pushed::Complete { costly } }
    }

    fn moment(&mut self) -> Moment {
        let now = (self.feed.now)();
        let next = stamp::next(now, self.state.last_stamp);
        if next.stepped_back_ms > 0 {
            self.stats(|stats| stats.clock_steps += 1);
            warn!(
                endpoint = self.state.name,
                "the clock stands {} s before the last push and is followed backwards; the server may refuse \
                 samples until it has passed that time",
                next.stepped_back_ms / 1000
            );
        }
        self.state.last_stamp = next.at;
        Moment { now, stamp: next.at, interval_ms: self.interval_ms }
    }

    /// Sends the zero points of new series. Returns whether their values may follow.
    async fn introduce(
        &mut self,
        introduction: &Introduction<'_>,
        moment: Moment,
        budget: &mut u32,
    ) -> Result<bool, Halt> {
        if let Some(before) = &introduction.before
            && !self.persist(before.clone()).await
        {
            return Ok(false);
        }
        for chunk in introduction.zeros.chunks(POINTS_PER_REQUEST) {
            let delivered = bisect::deliver(chunk, budget, |part: &[&Point]| {
                let points = part.iter().copied();
                let stamp_of = |point: &Point| introduction.zero_stamp(point);
                self.exchange(otlp::zero_request(points, &self.feed.resource, stamp_of), moment.now)
            })
            .await?;
            // Final: a server that refuses a zero as out of order has it already, or has something newer.
            if !delivered.refused.is_empty() || delivered.undecided > 0 {
                let count = delivered.refused.len() + delivered.undecided;
                debug!(endpoint = self.state.name, count, "zero points refused");
            }
        }
        Ok(self.persist(introduction.after.clone()).await)
    }

    async fn send_values(
        &self,
        values: &[&Point],
        snapshot: &Snapshot,
        moment: Moment,
        budget: &mut u32,
    ) -> Result<Tally, Halt> {
        let mut tally = Tally::default();
        for chunk in values.chunks(POINTS_PER_REQUEST) {
            let delivered = bisect::deliver(chunk, budget, |part: &[&Point]| {
                let points = part.iter().copied();
                let request =
                    otlp::request(points, &self.feed.resource, moment.stamp, snapshot.process_start);
                self.exchange(request, moment.now)
            })
            .await?;
            tally.add(delivered);
        }
        Ok(tally)
    }

    /// Sends one request and counts it.
    async fn exchange(&self, request: ExportMetricsServiceRequest, now: UnixMs) -> Outcome {
        self.stats(|stats| stats.attempts += 1);
        let outcome = self.transport.deliver(request, now).await;
        if let Some(failure) = outcome.failure() {
            self.stats(|stats| *stats.failures.entry(failure).or_default() += 1);
        }
        outcome
    }

    /// Draws the balance of a full push. Returns a failure if nothing at all was taken.
    async fn finish_full(&mut self, tally: Tally) -> Option<Halt> {
        let dropped_series = tally.dropped;
        self.stats(|stats| stats.dropped_series = dropped_series);
        if tally.taken == 0 && dropped_series > 0 {
            return Some(Halt {
                after_ms: Some(self.interval_ms.unsigned_abs()),
                failure: ExportFailure::Refused,
                message: tally.refusal.unwrap_or_default(),
            });
        }
        let now = (self.feed.now)();
        self.stats(|stats| stats.last_success = Some(now));
        self.note(tally.complaint, true);
        // If the ledger cannot store the stamp now it says so itself, and the next full push tries again.
        self.persist(self.state.clone()).await;
        None
    }

    /// Logs a complaint about refused points once, and again only after it was gone or has changed.
    fn note(&mut self, complaint: Option<String>, full: bool) {
        match complaint {
            Some(complaint) if self.noted.as_ref() != Some(&complaint) => {
                warn!(endpoint = self.state.name, "{complaint}");
                self.noted = Some(complaint);
            }
            None if full => self.noted = None,
            _ => {}
        }
    }

    /// Stores `state`, and only then makes it the one in memory. Returns whether that worked.
    async fn persist(&mut self, state: EndpointState) -> bool {
        let (done, stored) = oneshot::channel();
        let request = Persist { state: state.clone(), done };
        let exchange =
            async { self.feed.persist.send(request).await.is_ok() && stored.await.unwrap_or(false) };
        let stored = tokio::time::timeout(PERSIST_WAIT, exchange).await.unwrap_or(false);
        if stored {
            self.state = state;
        }
        stored
    }

    fn stats(&self, change: impl FnOnce(&mut EndpointStats)) {
        change(&mut self.feed.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Tally {
    fn add(&mut self, delivered: Delivered<&Point>) {
        self.taken += delivered.taken;
        let dropped = delivered.refused.len() + delivered.undecided;
        self.dropped += u64::try_from(dropped).unwrap_or(u64::MAX);
        self.exhausted |= delivered.undecided > 0;
        if let Some((point, message)) = delivered.refused.first() {
            self.refusal.get_or_insert_with(|| message.clone());
            self.complaint.get_or_insert_with(|| {
                let job = point.attributes().find(|(name, _)| *name == key::JOB_ID).map_or("-", |(_, id)| id);
                format!(
                    "the endpoint refuses {} of job {job}; it and its like are left out, all else is delivered: \
                     {message}",
                    point.metric.name
                )
            });
        }
        if let Some(message) = delivered.undecided_message {
            self.refusal.get_or_insert_with(|| message.clone());
            self.complaint.get_or_insert_with(|| {
                format!("the endpoint refuses more series than can be found one by one: {message}")
            });
        }
        if let Some((rejected, message)) = delivered.partial {
            self.dropped = self.dropped.saturating_add(rejected);
            self.complaint
                .get_or_insert_with(|| format!("the endpoint left out {rejected} points: {message}"));
        }
    }
}
