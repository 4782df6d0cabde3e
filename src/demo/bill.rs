//! What the simulated provider billed: the truth that a count is held against.
//!
//! Deliberately absent: money. Prices stand in the written `openclaw.json`.

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

/// The bill of one job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobBill {
    runs: [u64; Status::ALL.len()],
    /// What the provider billed, cache included.
    pub provider: Tokens,
    /// What the records carry: input and output only, these versions write no cache tokens.
    pub recorded: Tokens,
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
    pub(super) fn book(&mut self, job_id: &str, status: Status, provider: Tokens, recorded: Tokens) {
        let mut one = JobBill { provider, recorded, ..JobBill::default() };
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
