//! What is told as an event, and how far each receiver of events has it.

use super::{
    Cost, Delivery, GatewayEvent, MissingNotice, Reason, RunAt, Status, UnixMs, Usage, UsageProvenance,
};

/// A finished run, as far as its event tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun<'a> {
    /// The gateway that ran it; empty: the one that the ledger belongs to.
    pub gateway: &'a str,
    /// OpenClaw's id of the job, verbatim.
    pub job_id: &'a str,
    /// The job's name; empty if none is known.
    pub job_name: &'a str,
    /// The agent that ran it; empty if none is known.
    pub agent: &'a str,
    /// The provider of its main model; empty if none is known.
    pub provider: &'a str,
    /// Its main model; empty if none is known.
    pub model: &'a str,
    /// The time part of its key.
    pub at: RunAt,
    /// When OpenClaw wrote it down.
    pub recorded_at: UnixMs,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    pub reason: Reason,
    /// What became of its result.
    pub delivery: Delivery,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What it used, all models and sub-agents together.
    pub usage: Usage,
    /// How that is known.
    pub provenance: UsageProvenance,
    /// What that cost, and how that is known.
    pub cost: Cost,
}

/// Something that an event tells of.
#[derive(Clone, Copy, Debug)]
pub enum Happening<'a> {
    /// A run was finished.
    Run(&'a FinishedRun<'a>),
    /// The gateway's log said something of its scheduler.
    Gateway(&'a GatewayEvent),
    /// A notice that was awaited did not come.
    Missing(&'a MissingNotice<'a>),
}

/// An event as it is kept until everybody has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number: from 1, without gaps, in the order in which events are told.
    pub seq: u64,
    /// When it was written down.
    pub stored: UnixMs,
    /// What it says, for ever the same.
    pub content: String,
}

/// How far a receiver of events has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkProgress {
    /// The receiver's stable name.
    pub name: String,
    /// The number of the last event that it took or refused; 0: none.
    pub position: u64,
    /// Events that it took, ever since it is in the configuration.
    pub delivered: u64,
    /// Events that it refused, likewise: they are not told again.
    pub refused: u64,
}

/// Why an event never reached a receiver: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The receiver does not take its content.
    Refused,
    /// More events were kept for the receiver than the configured number.
    Overflow,
    /// It was kept for the receiver longer than the configured time.
    Expired,
}

impl DropReason {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Overflow, Self::Expired];

    /// Returns the value of the `openclaw.reason` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Overflow => "overflow",
            Self::Expired => "expired",
        }
    }
}

/// What a receiver of events got, ever since it is in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkFacts {
    /// Its stable name.
    pub name: String,
    /// The number of the last event that it took, refused or lost.
    pub position: u64,
    /// Events taken.
    pub delivered: u64,
    /// Events that never reached it, in the order of [`DropReason::ALL`].
    pub dropped: [u64; 3],
}

/// What is kept for receivers of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxFacts {
    /// Events that at least one receiver has not.
    pub size: u64,
    /// When the oldest of them was written down.
    pub oldest: Option<UnixMs>,
    /// The number of the newest event that ever was; 0: none.
    pub newest: u64,
    /// The receivers, by name.
    pub sinks: Vec<SinkFacts>,
}
