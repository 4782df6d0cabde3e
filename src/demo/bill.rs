//! What the simulated provider billed: the truth that a count is held against.
//!
//! Deliberately absent: money. Prices stand in the written `openclaw.json`.

use super::record::RecordUsage;
use super::{CacheShown, Generation};
use crate::model::{Status, TokenKind};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Token counts by kind, all known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Prompt tokens outside any cache.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
}

impl Tokens {
    /// Returns the count of one kind.
    #[must_use]
    pub const fn get(&self, kind: TokenKind) -> u64 {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::Output => self.output,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite => self.cache_write,
        }
    }

    /// Returns the sum of some calls.
    #[must_use]
    pub fn sum(calls: &[Self]) -> Self {
        calls.iter().fold(Self::default(), |mut sum, call| {
            sum += *call;
            sum
        })
    }

    /// Returns the tokens that came from or went to a cache.
    #[must_use]
    pub const fn cached(&self) -> u64 {
        self.cache_read + self.cache_write
    }

    /// Returns the size of the prompt: all that is not output.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
    }
}

/// What one record shows of what was billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) recorded: Tokens,
    pub(super) derivable_cache: u64,
}

impl Shown {
    /// Reads the usage of a record, whose cached tokens are known as far as its generation writes them.
    pub(super) fn of(generation: Generation, usage: Option<RecordUsage>) -> Self {
        let Some(usage) = usage else { return Self::default() };
        let recorded = Tokens {
            input: usage.input_tokens,
            output: usage.output_tokens,
            cache_read: usage.cache_read_tokens.unwrap_or(0),
            cache_write: usage.cache_write_tokens.unwrap_or(0),
        };
        let derivable_cache = match generation.cache_shown() {
            CacheShown::Nothing => 0,
            CacheShown::Sum | CacheShown::Kinds => {
                usage.total_tokens.saturating_sub(usage.input_tokens + usage.output_tokens)
            }
        };
        Self { recorded, derivable_cache }
    }
}

/// The bill of one job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobBill {
    runs: [u64; Status::ALL.len()],
    /// What the provider billed, cache included.
    pub provider: Tokens,
    /// What fields of the records carry: input and output, and the kinds of cached tokens only where
    /// [`Generation::cache_shown`](super::Generation::cache_shown) is `Kinds`.
    pub recorded: Tokens,
    /// Cached tokens of both kinds together that follow from the records: 0 for those of 2026.5.28 and earlier.
    pub derivable_cache: u64,
}

impl JobBill {
    /// Returns the number of records written.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.iter().sum()
    }

    /// Returns the number of records with this status. 2026.2.17 calls failed provider calls `ok`.
    #[must_use]
    pub fn runs_with(&self, status: Status) -> u64 {
        Status::ALL.iter().zip(self.runs).filter(|(s, _)| **s == status).map(|(_, n)| n).sum()
    }

    fn add(&mut self, other: &Self) {
        for (sum, n) in self.runs.iter_mut().zip(other.runs) {
            *sum += n;
        }
        self.provider += other.provider;
        self.recorded += other.recorded;
        self.derivable_cache += other.derivable_cache;
    }
}

/// What all jobs together cost, and each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    total: JobBill,
    jobs: BTreeMap<String, JobBill>,
}

impl Bill {
    /// Returns the sum over all jobs.
    #[must_use]
    pub const fn total(&self) -> &JobBill {
        &self.total
    }

    /// Returns the number of records written.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.total.runs()
    }

    /// Returns the number of records with this status.
    #[must_use]
    pub fn runs_with(&self, status: Status) -> u64 {
        self.total.runs_with(status)
    }

    /// Returns what the provider billed of one kind for the recorded runs.
    #[must_use]
    pub const fn tokens(&self, kind: TokenKind) -> u64 {
        self.total.provider.get(kind)
    }

    /// Returns one job's bill, also after the job was removed.
    #[must_use]
    pub fn job(&self, job_id: &str) -> Option<&JobBill> {
        self.jobs.get(job_id)
    }

    /// Returns every job that ever had a record, by id.
    pub fn jobs(&self) -> impl Iterator<Item = (&str, &JobBill)> {
        self.jobs.iter().map(|(id, bill)| (id.as_str(), bill))
    }

    /// Adds one run.
    pub(super) fn book(&mut self, job_id: &str, status: Status, provider: Tokens, shown: Shown) {
        let Shown { recorded, derivable_cache } = shown;
        let mut one = JobBill { provider, recorded, derivable_cache, ..JobBill::default() };
        for (s, n) in Status::ALL.iter().zip(one.runs.iter_mut()) {
            *n = u64::from(*s == status);
        }
        self.total.add(&one);
        match self.jobs.get_mut(job_id) {
            Some(bill) => bill.add(&one),
            None => {
                self.jobs.insert(job_id.to_owned(), one);
            }
        }
    }
}
