//! The ledger held against what it was counted from, and against what a server was told: per job and model, to the
//! token, the nano-dollar and the run, with the likely reason for each difference.
//!
//! Pure but for reading ledgers. Deliberately absent: how the other side came about (`command`), and any repair.

mod counters;
mod render;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Zone;
use crate::ledger::{UsedPart, Window};
use crate::model::{NanoUsd, TokenKind};

pub use counters::{Counter, Counters, CountersOf, against_counters, counter_questions};
pub use render::{SCHEMA as RECONCILE_SCHEMA, reconciliation_json, reconciliation_table};
pub use sources::against_sources;

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs, each under its own model.
    pub runs: u64,
    /// Tokens by kind, in the order of [`TokenKind::ALL`].
    pub tokens: [u64; 4],
    /// What is known of the cost.
    pub cost: NanoUsd,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        for (sum, tokens) in self.tokens.iter_mut().zip(other.tokens) {
            *sum = sum.saturating_add(tokens);
        }
        self.cost = NanoUsd(self.cost.0.saturating_add(other.cost.0));
    }

    fn of_part(part: &UsedPart, runs: u64) -> Self {
        Self {
            runs,
            tokens: TokenKind::ALL.map(|kind| part.usage.get(kind).unwrap_or(0)),
            cost: part.cost.map_or(NanoUsd::ZERO, |cost| cost.usd),
        }
    }

    /// Returns all tokens.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.tokens.iter().fold(0, |sum, tokens| sum.saturating_add(*tokens))
    }
}

/// What figures are compared by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The job's id; against a server what it goes by there.
    pub job_id: String,
    /// Empty: not known.
    pub provider: String,
    /// Empty: not known.
    pub model: String,
}

/// Why two sides differ, most likely.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// So many runs are in the ledger alone.
    PrunedUpstream(u64),
    /// So many runs are in the sources alone.
    NotYetCounted(u64),
    /// The ledger knows more of so many runs.
    SessionGone(u64),
    /// The sources know more of so many runs.
    SessionUnread(u64),
    /// So many runs have the same tokens at another cost.
    PricedOtherwise(u64),
    /// So many runs were folded into daily totals.
    Folded(u64),
    /// The server lacks so much of what the ledger exports.
    NotYetPushed(u64),
    /// The server has so much more than the ledger ever exported.
    ForeignCount(u64),
    /// The server has the job under these other names of gateways.
    OtherInstance(Vec<String>),
    /// The server has no such series.
    Absent,
    /// The server first saw the series when they held this much already.
    SeenLate(u64),
    /// What remains: runs that started on one side of the window's begin and were counted on the other.
    WindowEdge,
}

/// One job and model that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of what.
    pub place: Place,
    /// The job's name; empty if it has none.
    pub job_name: String,
    /// What the ledger says.
    pub ledger: Figures,
    /// What the other side says.
    pub other: Figures,
    /// Why, most likely.
    pub reasons: Vec<Reason>,
}

/// What a ledger is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The gateway's own stores.
    Sources,
    /// A server that it pushes to.
    Prometheus,
}

/// One side held against the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which side.
    pub against: Against,
    /// Where that is.
    pub at: String,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Jobs without a difference.
    pub equal_jobs: u64,
    /// What is equal, in sum.
    pub equal: Figures,
}

/// All comparisons of one ledger.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    /// When.
    pub window: Window,
    /// Whose days.
    pub zone: Zone,
    /// The gateway.
    pub gateway: String,
    /// Where the ledger is.
    pub ledger: String,
    /// What it is held against.
    pub comparisons: Vec<Comparison>,
}

impl Reconciliation {
    /// Returns whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.differences.is_empty())
    }
}

/// Both sides of a place.
#[derive(Clone, Debug, Default)]
struct Both {
    ledger: Figures,
    other: Figures,
    reasons: Vec<Reason>,
}

fn compared(
    against: Against,
    at: String,
    places: BTreeMap<Place, Both>,
    names: &BTreeMap<String, String>,
) -> Comparison {
    let mut found =
        Comparison { against, at, differences: Vec::new(), equal_jobs: 0, equal: Figures::default() };
    let (mut jobs, mut differing) = (BTreeSet::new(), BTreeSet::new());
    for (place, both) in places {
        jobs.insert(place.job_id.clone());
        if both.ledger == both.other {
            found.equal.add(&both.ledger);
            continue;
        }
        differing.insert(place.job_id.clone());
        let job_name = names.get(&place.job_id).cloned().unwrap_or_default();
        let Both { ledger, other, mut reasons } = both;
        reasons.sort();
        found.differences.push(Difference { place, job_name, ledger, other, reasons });
    }
    found.equal_jobs = (jobs.len() - differing.len()) as u64;
    found
}

#[cfg(test)]
mod tests;
