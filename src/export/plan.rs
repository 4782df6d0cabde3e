//! What one push sends, and what must be durable before and after.
//!
//! Pure. A new series is introduced by a zero point in an earlier request of its own, so that a server that
//! sees its first value also sees how it got there. A zero that comes after a value would be read as a reset
//! and counted twice, therefore: no value of a series leaves before the ledger knows that its zero was taken
//! or not needed. Deliberately absent: sending, storing, clocks.

use crate::model::{EndpointState, FRESH_MS, UnixMs};
use crate::telemetry::{Point, SeriesFacts, Snapshot};

/// Most points in one request: a bound on memory and on what one refusal rolls back.
pub const POINTS_PER_REQUEST: usize = 1_000;

/// Which points a push is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Full,
    /// The series that changed after this revision; no gauges and no counters of the process.
    ChangedSince(u64),
}

/// When a push happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock.
    pub now: UnixMs,
    /// The stamp of the values; not always the clock (see [`super::stamp`]).
    pub stamp: UnixMs,
    /// Time between two full pushes, in milliseconds.
    pub interval_ms: i64,
}

/// One push.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<'a> {
    /// What must be done before the values of new series may be sent; `None` if there are none.
    pub introduction: Option<Introduction<'a>>,
    /// The points to send with their values, in the snapshot's order.
    pub values: Vec<&'a Point>,
}

/// The introduction of new series.
#[derive(Clone, Debug, PartialEq)]
pub struct Introduction<'a> {
    /// The series that need a zero point.
    pub zeros: Vec<&'a Point>,
    /// What to persist before zeros are sent; `None` if their stamps follow from what is already stored.
    pub before: Option<EndpointState>,
    /// What to persist after all zeros were taken, and before any value.
    pub after: EndpointState,
    stamp: UnixMs,
    now: UnixMs,
    pending: UnixMs,
}

impl Introduction<'_> {
    /// Returns the stamp of the zero point of `point`.
    #[must_use]
    pub fn zero_stamp(&self, point: &Point) -> UnixMs {
        point
            .series
            .filter(|series| starts_fresh(series, self.stamp, self.now))
            .map_or(self.pending, |series| series.start)
    }
}

/// Plans a push of `snapshot` to an endpoint in `state`.
#[must_use]
pub fn plan<'a>(snapshot: &'a Snapshot, state: &EndpointState, moment: Moment, scope: Scope) -> Plan<'a> {
    let values = snapshot
        .points
        .iter()
        .filter(|point| match scope {
            Scope::Full => true,
            Scope::ChangedSince(revision) => {
                point.series.is_some_and(|series| series.revision > revision || is_new(&series, state))
            }
        })
        .collect();
    let introduction =
        (snapshot.newest_seq > state.introduced_seq).then(|| introduce(snapshot, state, moment));
    Plan { introduction, values }
}

fn introduce<'a>(snapshot: &'a Snapshot, state: &EndpointState, moment: Moment) -> Introduction<'a> {
    let Moment { now, stamp, interval_ms } = moment;
    let zeros: Vec<&Point> = snapshot
        .points
        .iter()
        .filter(|point| point.series.is_some_and(|series| needs_zero(&series, state, now)))
        .collect();
    // A stamp that was fixed but has meanwhile become too old, or lies ahead after a step of the clock, would
    // be refused. To fix another is safe: no value was sent since.
    let pending = state
        .pending_zero
        .filter(|pending| (1..=FRESH_MS).contains(&stamp.since(*pending)))
        .unwrap_or(stamp.plus(-interval_ms));
    let uses_pending =
        zeros.iter().any(|point| point.series.is_some_and(|series| !starts_fresh(&series, stamp, now)));
    let before = (uses_pending && state.pending_zero != Some(pending))
        .then(|| EndpointState { pending_zero: Some(pending), ..state.clone() });
    let after = EndpointState { introduced_seq: snapshot.newest_seq, pending_zero: None, ..state.clone() };
    Introduction { zeros, before, after, stamp, now, pending }
}

/// Whether `series` was not yet introduced to the endpoint.
#[must_use]
pub const fn is_new(series: &SeriesFacts, state: &EndpointState) -> bool {
    series.seq > state.introduced_seq
}

/// A zero is for news. A series that is old history for this endpoint begins with its value.
const fn needs_zero(series: &SeriesFacts, state: &EndpointState, now: UnixMs) -> bool {
    let news = series.seq > state.registered_seq || now.since(series.start) <= FRESH_MS;
    is_new(series, state) && series.live && news
}

/// Whether the series' start can be the stamp of its zero: not too old, and before its value.
const fn starts_fresh(series: &SeriesFacts, stamp: UnixMs, now: UnixMs) -> bool {
    now.since(series.start) <= FRESH_MS && stamp.since(series.start) > 0
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;
