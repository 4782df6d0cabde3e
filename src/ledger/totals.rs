//! The committed totals in memory: what is exported.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::labels::{JobLabel, Labels};
use super::merge::Outcome;
use crate::model::{
    Billing, CostProvenance, Reason, RejectReason, Status, TokenKind, UnixMs, UsageProvenance, WebhookOutcome,
};

/// Totals that the writer keeps and others read.
pub type SharedTotals = Arc<Mutex<Totals>>;

/// Number of buckets of the duration histogram: one more than its bounds.
pub const BUCKETS: usize = DURATION_BOUNDS_MS.len() + 1;

/// Upper bounds of the duration buckets in milliseconds: from a fast call to an hour-long run.
pub const DURATION_BOUNDS_MS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
    3_600_000,
];

/// Upper bounds of the context buckets in tokens: the sizes that models are sold with, and what lies below.
pub const CONTEXT_BOUNDS: [u64; 14] = [
    1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 100_000, 128_000, 200_000, 256_000, 400_000,
    1_000_000, 2_000_000,
];

/// Upper bounds of the buckets of tokens per run: from one short answer to an agent's long work.
pub const RUN_TOKENS_BOUNDS: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 25_000_000,
];

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesKind {
    /// Tokens of one kind.
    Tokens(TokenKind),
    /// Durations in milliseconds.
    Duration,
    /// Runs that ended so.
    Runs(Status, Reason),
    /// Tokens of one kind that went into runs that ended so and bought nothing.
    Wasted(Status, TokenKind),
    /// Nano-USD, by what the provider's dollars mean.
    Cost(Billing),
    /// Nano-USD that went into runs that ended so and bought nothing.
    WastedCost(Status),
    /// Tokens without a price. Falls when they get one: no counter.
    Unpriced,
    /// Sizes of contexts in tokens.
    Context(ContextKind),
    /// Tokens of whole runs, those of further models and sub-agents too.
    RunTokens,
    /// Webhooks that ended so.
    Deliveries(WebhookOutcome),
}

/// What of a run's context is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContextKind {
    /// Prompt of its newest call.
    Used,
    /// Size of its model's context.
    Limit,
}

impl ContextKind {
    /// Returns the value of the `openclaw.context` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Limit => "limit",
        }
    }
}

impl SeriesKind {
    /// Returns the upper bounds of its buckets, if it is a histogram.
    #[must_use]
    pub const fn bounds(self) -> Option<&'static [u64; BUCKETS - 1]> {
        match self {
            Self::Duration => Some(&DURATION_BOUNDS_MS),
            Self::Context(_) => Some(&CONTEXT_BOUNDS),
            Self::RunTokens => Some(&RUN_TOKENS_BOUNDS),
            _ => None,
        }
    }

    /// Returns the number under which the kind is stored.
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Tokens(kind) => kind as i64,
            Self::Duration => 8,
            Self::Runs(status, reason) => 16 + status as i64 * 16 + reason as i64,
            Self::Wasted(status, kind) => 128 + status as i64 * 4 + kind as i64,
            Self::Cost(billing) => 160 + billing as i64,
            Self::WastedCost(status) => 168 + status as i64,
            Self::Unpriced => 176,
            Self::Context(kind) => 180 + kind as i64,
            Self::RunTokens => 182,
            Self::Deliveries(outcome) => 184 + outcome as i64,
        }
    }

    /// Returns the kind with this number.
    pub(super) fn from_code(code: i64) -> Option<Self> {
        let code = u8::try_from(code).ok()?;
        match code {
            0..4 => TokenKind::ALL.get(usize::from(code)).copied().map(Self::Tokens),
            8 => Some(Self::Duration),
            16..128 => {
                Some(Self::Runs(Status::from_code((code - 16) / 16)?, Reason::from_code((code - 16) % 16)?))
            }
            160..168 => Some(Self::Cost(Billing::from_code(code - 160)?)),
            168..176 => Some(Self::WastedCost(Status::from_code(code - 168)?)),
            176 => Some(Self::Unpriced),
            180 => Some(Self::Context(ContextKind::Used)),
            181 => Some(Self::Context(ContextKind::Limit)),
            182 => Some(Self::RunTokens),
            184..192 => Some(Self::Deliveries(WebhookOutcome::from_code(code - 184)?)),
            128..160 => {
                let kind = TokenKind::ALL.get(usize::from(code % 4)).copied()?;
                Some(Self::Wasted(Status::from_code((code - 128) / 4)?, kind))
            }
            _ => None,
        }
    }
}

/// Bucket counts of a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// What is true.
    pub truth: [u64; BUCKETS],
    /// What is exported: never less than it ever was.
    pub exported: [u64; BUCKETS],
}

/// One exported series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its number, from 1 in the order of creation.
    pub seq: u64,
    /// Index of its labels in [`Totals::labels`].
    pub labels: usize,
    /// What it counts.
    pub kind: SeriesKind,
    /// Its start time: its creation less [`ZERO_LEAD_MS`](super::ZERO_LEAD_MS); never changes.
    pub start: UnixMs,
    /// Whether its first run was fresh when it was counted.
    pub live: bool,
    /// When it last changed.
    pub changed: UnixMs,
    /// Revision of the totals at which it last changed.
    pub revision: u64,
    /// The total that is true.
    pub true_total: u64,
    /// The total that is exported: `max(exported, true)` at every change.
    pub exported_total: u64,
    /// Buckets, of a histogram.
    pub histogram: Option<Box<Histogram>>,
}

/// Counts of what became of input. Durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Rejects by reason.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Runs by how their usage is known.
    pub provenance: BTreeMap<UsageProvenance, u64>,
    /// Nano-USD by how they are known.
    pub cost: BTreeMap<CostProvenance, u64>,
    /// Per kind of store.
    pub sources: BTreeMap<String, SourceFacts>,
}

/// What is known of one kind of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// Files whose last consumed line was gone.
    pub gaps: u64,
    /// When OpenClaw wrote the newest record; `None` before the first.
    pub last_record: Option<UnixMs>,
    /// Milliseconds from the writing of the newest record to its commit.
    pub lag_ms: Option<i64>,
}

/// What is shown of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// The gateway that runs it; empty: the one that the ledger belongs to.
    pub gateway: String,
    /// OpenClaw's id.
    pub job_id: String,
    /// Its last known name.
    pub name: String,
    /// Its agent: as defined, else as last seen.
    pub agent: Option<String>,
    /// How it appears in labels.
    pub label: JobLabel,
    /// Whether the scheduler still knows it.
    pub defined: bool,
    /// Whether the scheduler considers it.
    pub enabled: bool,
    /// Whether it was running when the list of jobs was last read. Not durable.
    pub running: bool,
    /// When it runs next.
    pub next_run: Option<UnixMs>,
    /// When its newest run started.
    pub last_run: Option<UnixMs>,
    /// When its newest successful run started.
    pub last_success: Option<UnixMs>,
    /// Failed runs since then.
    pub consecutive_errors: u64,
}

/// Everything that is exported and derives from the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Grows with every commit that changed something.
    pub revision: u64,
    /// When the ledger was made: the start time of its own counters.
    pub created: UnixMs,
    /// All series; `series[seq - 1]` has number `seq`.
    pub series: Vec<Series>,
    /// The label sets.
    pub labels: Vec<Arc<Labels>>,
    /// The jobs.
    pub jobs: Vec<JobFacts>,
    /// What became of input.
    pub counters: Counters,
    /// Nobody tells which jobs there are: they are known by their notices alone. Not durable.
    pub unlisted: bool,
}

impl Totals {
    /// Returns whether a job that has series of its own is known to be gone.
    #[must_use]
    pub fn is_gone(&self, job: &JobFacts) -> bool {
        job.label == JobLabel::Own && !job.defined && job.gateway.is_empty() && !self.unlisted
    }

    /// Returns the number of the newest series; 0 if there is none.
    #[must_use]
    pub fn newest_seq(&self) -> u64 {
        self.series.last().map_or(0, |series| series.seq)
    }

    /// Returns by how much exported counters exceed the truth after corrections downwards.
    #[must_use]
    pub fn excess(&self) -> u64 {
        self.excess_of(|kind| {
            matches!(kind, SeriesKind::Tokens(_) | SeriesKind::Runs(..) | SeriesKind::Duration)
        })
    }

    /// Returns by how many nano-USD exported costs exceed the truth after corrections downwards.
    #[must_use]
    pub fn excess_nano_usd(&self) -> u64 {
        self.excess_of(|kind| matches!(kind, SeriesKind::Cost(_)))
    }

    fn excess_of(&self, counts: impl Fn(SeriesKind) -> bool) -> u64 {
        let counted = self.series.iter().filter(|series| counts(series.kind));
        counted.map(|series| series.exported_total - series.true_total).fold(0, u64::saturating_add)
    }
}

/// Puts freshly loaded totals in place. Readers see a revision that has grown, so that nothing is missed.
pub(super) fn replace(shared: &Mutex<Totals>, mut totals: Totals) {
    let mut guard = super::lock(shared);
    totals.revision = guard.revision + 1;
    totals.unlisted = guard.unlisted;
    for series in &mut totals.series {
        series.revision = totals.revision;
    }
    *guard = totals;
}

/// Returns the index of the bucket that holds a value.
pub(super) fn bucket(bounds: &[u64; BUCKETS - 1], value: u64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}
