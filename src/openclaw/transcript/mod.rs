//! Session transcripts: every model call with what it cost, and whose it is.
//!
//! A transcript is the gateway's own note of each call to a provider, written when the call has ended. The sum over
//! all transcripts is what the provider billed; run records lack the calls of runs that failed, timed out or were
//! killed, of models that a failover left behind, of sub-agents and of announce turns.
//!
//! | Step | Where |
//! |---|---|
//! | a line or a row to an event | [`parse_line`], [`Lines`] for those that are large or compressed |
//! | which files and rows there are | [`classify`], [`read_events`], [`read_archives`] |
//! | which session belongs to what | [`SessionLink`], from the functions that return them |
//! | which run a call belongs to | [`Attributor`] |
//! | what a run was billed | [`Bill`] |
//!
//! A reader that steps over lines above 1 MiB, as `tail` does, knows where such a line stands: it has to be read again
//! through [`Lines`], for the call in it may be the dearest of all.
//!
//! # One call, one key
//! Histories are copied: into forks, into archives, on import into a database, and when a tool result that is too
//! long is cut out of one, every later message of the session is appended anew **with a new id**. What stays the same
//! is the message itself, so [`CallKey`] is made of the session, the time of the request, the model and the usage, and
//! the ids of the lines are not read. A call in a fork that was asked before the fork was made is a copy
//! ([`Transcript::observe`] drops it). Every place may therefore be read again at any time, in any order, as long as
//! keys that were counted once are not counted again.
//!
//! # How it is used bit by bit
//! Keep an [`Attributor`] and one [`Transcript`] per session. Tell the attributor each link, each opening that
//! `observe` found and each run record, in whatever order they turn up; ask [`Attributor::owner`] for the owner of
//! each new call. The answer is what is known by then:
//!
//! - [`Owner::Run`] is final, but for two cases: a record that comes later and fits better (it started later, still
//!   before the call), which needs records out of the order of their starts; and a key that comes later than the call
//!   and its record, and says that the session is shared with people. Read links before events, and ask last.
//! - [`Owner::Unrecorded`] becomes `Run` when the record comes: 2026.4.15 writes records up to a minute after the call,
//!   an interrupted run gets its record at the next start of the gateway, a killed or removed one never.
//! - [`Owner::None`] becomes either of them when a link comes later (`sessions.json` is rewritten as a whole, a
//!   sub-agent may spend before its row in `subagent_runs` is seen).
//!
//! So hold calls whose owner is not a run apart, by key, and ask again when a record, a link or an opening came in.
//! After [`Attributor::forget_before`] an answer can only become worse: forget what is older than the longest run.
//!
//! Deliberately absent: opening files and databases, positions in them, prices, and who adds up what.

mod agent_db;
mod attribute;
mod bill;
mod cost;
mod event;
mod lines;
mod names;
mod sessions;

pub use agent_db::{
    EventHead, last_event, new_heads, read_archives, read_event_heads, read_events, read_links,
    read_subagents,
};
pub use attribute::{Attributor, KnownRun, Owner};
pub use bill::{Bill, ModelBill};
pub use event::{Call, CallKey, End, Event, Opening, SessionHeader, Transcript, parse_line};
pub use lines::{Lines, LinesError, unpack};
pub use names::{Name, classify};
pub use sessions::{SessionKey, SessionLink, parse_sessions_index, parse_subagents, parse_trajectory_head};

#[cfg(test)]
mod tests;
