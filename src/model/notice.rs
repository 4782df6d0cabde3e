//! A notice: what a gateway posts to a webhook when a run has finished.

use super::{JobDefinition, Run, UnixMs};

/// One notice, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The gateway that posted it; empty: the one that the ledger belongs to.
    pub gateway: String,
    /// The run that it tells of. That it arrived is known: its delivery says so.
    pub run: Run,
    /// What the run said, cut short; nothing unless somebody passes it on.
    pub summary: Option<String>,
    /// OpenClaw's own id of the run, where the notice tells one.
    pub run_id: Option<String>,
    /// The job as the notice describes it (from OpenClaw 2026.8.1 on).
    pub job: Option<JobDefinition>,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is the first of its run.
    New,
    /// One of the same run came before.
    Repeated,
    /// It comes from one gateway more than a ledger counts apart.
    TooManyGateways,
}

/// What a gateway's name may be where it is told from outside: 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`.
#[must_use]
pub fn is_gateway_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

/// A notice that was awaited and did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingNotice<'a> {
    /// The job, by OpenClaw's id.
    pub job_id: &'a str,
    /// The job's name; empty if none is known.
    pub job_name: &'a str,
    /// When the run started.
    pub run_at: UnixMs,
    /// When the notice should have been here.
    pub due: UnixMs,
}
