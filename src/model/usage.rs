//! What a run consumed.

use super::MAX_JSON_INTEGER;

/// One of the four disjoint kinds of tokens that a provider bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// Prompt tokens that were neither read from nor written to a cache.
    Input,
    /// Generated tokens.
    Output,
    /// Prompt tokens served from a cache.
    CacheRead,
    /// Prompt tokens written to a cache.
    CacheWrite,
}

impl TokenKind {
    /// All kinds, in the order in which they are stored and shown.
    pub const ALL: [Self; 4] = [Self::Input, Self::Output, Self::CacheRead, Self::CacheWrite];

    /// Returns the value of the `openclaw.token` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
        }
    }
}

/// Token counts of one run; `None` means that the source does not say, which is not the same as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens outside any cache.
    pub input: Option<u64>,
    /// Generated tokens.
    pub output: Option<u64>,
    /// Prompt tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache.
    pub cache_write: Option<u64>,
}

impl Usage {
    /// Returns the count of one kind.
    #[must_use]
    pub const fn get(&self, kind: TokenKind) -> Option<u64> {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::Output => self.output,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite => self.cache_write,
        }
    }

    /// Sets the count of one kind.
    pub const fn set(&mut self, kind: TokenKind, count: Option<u64>) {
        match kind {
            TokenKind::Input => self.input = count,
            TokenKind::Output => self.output = count,
            TokenKind::CacheRead => self.cache_read = count,
            TokenKind::CacheWrite => self.cache_write = count,
        }
    }

    /// Returns the sum of what is known. Never overflows for valid usage: four values of at most 2^53.
    #[must_use]
    pub fn total(&self) -> u64 {
        TokenKind::ALL.iter().filter_map(|kind| self.get(*kind)).fold(0, u64::saturating_add)
    }

    /// Returns whether every count lies within what a provider could have billed (0 to 2^53).
    #[must_use]
    pub fn is_possible(&self) -> bool {
        TokenKind::ALL.iter().filter_map(|kind| self.get(*kind)).all(|n| n <= MAX_JSON_INTEGER)
    }
}

/// How a run's usage is known, worst first, so that `>` reads "better than".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum UsageProvenance {
    /// No source says anything about tokens.
    #[default]
    None = 0,
    /// Input and output are known, cache tokens are not.
    Partial = 1,
    /// Cache tokens follow from a total (OpenClaw 2026.6.6 to 7.x): read and written together, counted as read.
    Derived = 2,
    /// The run record has all four kinds.
    Record = 3,
    /// The sum of the run's model calls in its session transcript.
    Transcript = 4,
}

impl UsageProvenance {
    /// All values, worst first.
    pub const ALL: [Self; 5] = [Self::None, Self::Partial, Self::Derived, Self::Record, Self::Transcript];

    /// Returns the value of the `openclaw.provenance` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Derived => "derived",
            Self::Record => "record",
            Self::Transcript => "transcript",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}
