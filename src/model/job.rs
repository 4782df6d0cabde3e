//! A job: a scheduled task.

use super::UnixMs;

/// What makes a job run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScheduleKind {
    /// Not known, or a kind newer than this version.
    #[default]
    Unknown,
    /// A cron expression or an interval: it runs again and again.
    Recurring,
    /// A point in time (`at`): it runs once.
    OneShot,
}

/// One entry of OpenClaw's list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDefinition {
    /// OpenClaw's job id, verbatim.
    pub job_id: String,
    /// Its name, verbatim: may hold newlines, escapes, quotes, and need not be unique.
    pub name: String,
    /// The agent that it is bound to; `None` means the gateway's default agent.
    pub agent: Option<String>,
    /// What makes it run.
    pub schedule: ScheduleKind,
    /// Whether the scheduler considers it.
    pub enabled: bool,
    /// When it will run next.
    pub next_run_at: Option<UnixMs>,
    /// Whether it is running at this moment.
    pub running: bool,
    /// Whether OpenClaw made it for itself (heartbeats, reviews of skills, promotion of memories), not a user.
    pub system: bool,
}
