//! How our own receiver of webhooks fares: counters of this process.

use std::collections::BTreeMap;

/// Upper bounds of how long a request took, in milliseconds.
pub const WEBHOOK_BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// Why a request was not taken: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebhookError {
    /// It shows no token that is valid.
    Unauthorized,
    /// Its token is another gateway's than its path, or it comes from one gateway too many.
    Forbidden,
    /// Its path is none that is served.
    NotFound,
    /// It is no POST.
    Method,
    /// Its body is not said to be plain JSON.
    MediaType,
    /// Its body is longer than 2 MiB.
    TooLarge,
    /// Its body did not come in time.
    Timeout,
    /// Its body broke off, or its framing makes no sense.
    Broken,
    /// Its body is not JSON.
    InvalidJson,
    /// Its body is JSON, and no notice of a finished run.
    NotARun,
    /// A count or a time in it is impossible.
    Impossible,
    /// Too many requests or connections at once.
    TooMany,
    /// The ledger could not be written, or not soon enough.
    Unavailable,
}

impl WebhookError {
    /// All values.
    pub const ALL: [Self; 13] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Method,
        Self::MediaType,
        Self::TooLarge,
        Self::Timeout,
        Self::Broken,
        Self::InvalidJson,
        Self::NotARun,
        Self::Impossible,
        Self::TooMany,
        Self::Unavailable,
    ];

    /// Returns the value of the `openclaw.reason` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::MediaType => "media_type",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::InvalidJson => "invalid_json",
            Self::NotARun => "not_a_run",
            Self::Impossible => "impossible",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How the receiver fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookStats {
    /// Notices that were the first of their run.
    pub new: u64,
    /// Notices of a run of which one had come before.
    pub repeated: u64,
    /// Requests that were not taken.
    pub errors: BTreeMap<WebhookError, u64>,
    /// Requests that showed a valid token, by how long they took, in the order of `WEBHOOK_BOUNDS_MS`.
    pub durations: [u64; WEBHOOK_BOUNDS_MS.len() + 1],
    /// How long they took together, in microseconds.
    pub took_us: u64,
}

impl WebhookStats {
    /// Counts a request that took so long.
    pub fn took(&mut self, micros: u64) {
        let bucket = WEBHOOK_BOUNDS_MS.partition_point(|bound| bound * 1_000 < micros);
        self.durations[bucket] += 1;
        self.took_us = self.took_us.saturating_add(micros);
    }

    /// Counts a request that was not taken.
    pub fn refused(&mut self, error: WebhookError) {
        *self.errors.entry(error).or_default() += 1;
    }
}
