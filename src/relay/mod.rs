//! Relays: events as messages to services that people look at, one task for each service.
//!
//! Invariants: a relay's messages leave in their order, each until its service took or refused it; a relay knows nothing
//! of others; nothing that a user or a model wrote is markup, a mention or a line break of ours in a message, or is in
//! any log, metric or error; a URL is in none of these either. Deliberately absent: the queue, which is the ledger's.

mod answer;
mod card;
pub mod command;
mod digest;
mod matcher;
mod quiet;
mod render;
mod sender;
mod task;
mod template;
#[cfg(test)]
mod tests;
mod text;

pub use digest::{Calendar, DigestContent, Due, Step};
pub use matcher::Matcher;
pub use sender::Sender;
pub use task::{NextMessage, RelayFeed, run};

/// Why a relay cannot be set up as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Its template is none.
    #[error(
        "relay {relay}: the template cannot be used: {problem}; correct it (docs/relay.md lists what it may hold)"
    )]
    Template {
        /// The relay's name.
        relay: String,
        /// What is wrong, with its line.
        problem: String,
    },
    /// A pattern of `events` fits no event.
    #[error(
        "relay {relay}: events holds {pattern:?}, which fits no event; docs/events.md lists them, without `openclaw.cron.`"
    )]
    Events {
        /// The relay's name.
        relay: String,
        /// The pattern.
        pattern: String,
    },
    /// The time zone is not known.
    #[error("{owner}: {source}")]
    Zone {
        /// The relay or digest.
        owner: String,
        /// Why.
        source: crate::price::BudgetError,
    },
    /// ntfy's URL names no topic.
    #[error(
        "relay {relay}: the URL of ntfy must end with the topic, as in https://ntfy.sh/TOPIC; correct it"
    )]
    Topic {
        /// The relay's name.
        relay: String,
    },
}
