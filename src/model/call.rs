//! A model call that a provider billed.

use super::{NanoUsd, Reason, RunKey, UnixMs};

/// One request to a provider, as a session's transcript tells it, with the run that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledCall {
    /// What is the same of the call wherever its transcript is copied to: a hash.
    pub key: u64,
    /// The run that it belongs to. If no record tells of that run, the key is made of the job and the time at which
    /// the session was asked to do it.
    pub run: RunKey,
    /// When the model was asked.
    pub at: UnixMs,
    /// The agent whose session it is.
    pub agent: Option<String>,
    /// The provider.
    pub provider: Option<String>,
    /// The model, without the provider.
    pub model: Option<String>,
    /// Tokens by kind, in the order of [`TokenKind::ALL`](super::TokenKind::ALL).
    pub tokens: [u64; 4],
    /// What the gateway itself reckoned that it cost. `None`, or 0, also where it knows no price.
    pub recorded: Option<NanoUsd>,
    /// Whether a sub-agent made it that the run spawned: its prompt is not the run's context.
    pub sub_agent: bool,
}

/// How a run ended, by its transcript and not by its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// The run.
    pub run: RunKey,
    /// When its last call was asked; one after the run's end says nothing of it.
    pub at: UnixMs,
    /// Why that failed.
    pub reason: Reason,
}
