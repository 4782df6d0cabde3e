//! A budget as it was asked for.

use super::NanoUsd;

/// How long a budget lasts before it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From local midnight to local midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the first of the next.
    Month,
}

impl Period {
    /// Returns the word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// Whose dollars a budget counts: patterns with the wildcards `*` and `?`; what is not given is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetMatch {
    /// A job's name or id.
    pub job: Option<String>,
    /// An agent's id.
    pub agent: Option<String>,
    /// A model without its provider.
    pub model: Option<String>,
    /// A provider.
    pub provider: Option<String>,
}

/// A limit to what may be spent in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetDefinition {
    /// Its name, unique, which becomes a label.
    pub name: String,
    /// The limit; more than 0.
    pub limit: NanoUsd,
    /// How often it begins anew.
    pub period: Period,
    /// The IANA time zone of its midnights, such as `Europe/Berlin`.
    pub timezone: String,
    /// What counts.
    pub matches: BudgetMatch,
}
