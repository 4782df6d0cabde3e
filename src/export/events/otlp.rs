//! Events as OTLP logs.
//!
//! A request that is refused is split until the refused events stand alone, which are given up and counted; a server
//! may have taken the others of such a request and is told them again, the same in every byte.

use std::sync::Arc;

use super::{EventFeed, Sink, Told, stats};
use crate::export::bisect::{self, Delivered, Halt};
use crate::export::outcome::Outcome;
use crate::export::remedy::{Signal, remedy};
use crate::export::target::{Target, Targets, replaced};
use crate::export::transport::{Deliver, Renewing};
use crate::model::StoredEvent;
use crate::telemetry::event;

/// Sends events to one endpoint.
pub struct OtlpSink {
    targets: Targets,
    target: Arc<Target>,
    transport: Renewing,
}

impl OtlpSink {
    /// Makes a sink for the endpoint of a target, which may become another. It connects when there is something to tell.
    #[must_use]
    pub fn new(mut targets: Targets) -> Self {
        let target = Arc::clone(&targets.borrow_and_update());
        let transport = Renewing::new(Arc::new(target.endpoint.clone()));
        Self { targets, target, transport }
    }

    fn take_up(&mut self) {
        self.target = Arc::clone(&self.targets.borrow_and_update());
        self.transport = Renewing::new(Arc::new(self.target.endpoint.clone()));
    }

    async fn exchange(&self, events: &[&StoredEvent], feed: &EventFeed) -> Outcome {
        stats(feed, |stats| stats.attempts += 1);
        let request = event::logs_request(events.iter().copied(), &self.target.resource);
        let outcome = self.transport.deliver(request, (feed.now)()).await;
        if let Some(failure) = outcome.failure() {
            stats(feed, |stats| *stats.failures.entry(failure).or_default() += 1);
        }
        outcome
    }
}

impl Sink for OtlpSink {
    async fn tell(&mut self, events: &[StoredEvent], feed: &EventFeed) -> Result<Told, Halt> {
        if self.targets.has_changed().unwrap_or(false) {
            self.take_up();
        }
        let events: Vec<&StoredEvent> = events.iter().collect();
        let mut budget = bisect::BUDGET;
        let sink = &*self;
        bisect::deliver(&events, &mut budget, |part: &[&StoredEvent]| {
            let part = part.to_vec();
            async move { sink.exchange(&part, feed).await }
        })
        .await
        .map(told)
    }

    async fn replaced(&mut self) {
        replaced(&mut self.targets).await;
        self.take_up();
    }

    fn remedy(&self, halt: &Halt) -> &'static str {
        remedy(halt.failure, self.target.endpoint.protocol, Signal::Events)
    }
}

fn told(delivered: Delivered<&StoredEvent>) -> Told {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let (left_out, words) = delivered.partial.map_or((0, None), |(count, words)| (count, Some(words)));
    let taken = number(delivered.taken);
    // A server cannot have left out more than it was sent.
    let left_out = left_out.min(taken);
    let alone = number(delivered.refused.len() + delivered.undecided);
    let words_alone = delivered.refused.into_iter().next().map(|(_, words)| words);
    Told {
        delivered: taken - left_out,
        refused: alone + left_out,
        complaint: words_alone.or(delivered.undecided_message).or(words),
    }
}
