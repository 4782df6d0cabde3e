//! What is durable about one place that metrics are pushed to.

use super::UnixMs;

/// How old the first run of a new series may be for a zero point to precede it, and how old the zero itself: 55 min
/// in milliseconds. Prometheus takes samples of a new series of up to one hour ago; older history must not appear
/// as fresh usage.
pub const FRESH_MS: i64 = 55 * 60_000;

/// How far one OTLP endpoint has been served. Stored in the ledger, so that a restart repeats nothing that
/// a server would count again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// The endpoint's stable name.
    pub name: String,
    /// The newest series that existed when the endpoint was first configured: history for it, not news.
    pub registered_seq: u64,
    /// The newest series whose zero point was sent or found unnecessary; series are numbered from 1.
    pub introduced_seq: u64,
    /// Stamp of the zero points that are about to be sent. Stored *before* they are, so that a repetition
    /// after a crash carries the same stamp and stays harmless.
    pub pending_zero: Option<UnixMs>,
    /// Stamp of the last snapshot that the endpoint took; the next one must be larger.
    pub last_stamp: UnixMs,
}
