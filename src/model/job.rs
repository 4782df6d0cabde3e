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
    /// Where notices of its runs are posted.
    pub webhook: Option<WebhookUrl>,
}

/// The address of a webhook. It may hold a secret: it is compared, and goes nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(pub String);

impl std::fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookUrl(***)")
    }
}

/// How late a job may be beyond its own period before it counts as overdue: 5 min in milliseconds. OpenClaw puts off
/// what it missed by about 3 min when it starts.
const OVERDUE_MS: i64 = 300_000;
/// The least period that a job is taken to have, and the one of a job that never ran: 1 min and 24 h in milliseconds.
const MIN_PERIOD_MS: i64 = 60_000;
const UNKNOWN_PERIOD_MS: i64 = 86_400_000;

/// What tells whether a job is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// When it should run next.
    pub next_run: Option<UnixMs>,
    /// When it last ran; `None`: never, as far as is known.
    pub last_run: Option<UnixMs>,
    /// Whether the scheduler considers it.
    pub enabled: bool,
    /// Whether it is running at this moment.
    pub running: bool,
}

impl Due {
    /// Returns since when the job is overdue: its next run passed by more than its period, and some minutes, without
    /// a run. The period is the time from its last run to the next.
    #[must_use]
    pub fn overdue_since(&self, now: UnixMs) -> Option<UnixMs> {
        let due = self.next_run.filter(|_| self.enabled && !self.running)?;
        let period = self.last_run.map_or(UNKNOWN_PERIOD_MS, |last| due.since(last).max(MIN_PERIOD_MS));
        (now.since(due) > period.saturating_add(OVERDUE_MS)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_overdue_when_its_period_passed_a_second_time() {
        const HOUR: i64 = 3_600_000;
        let due = UnixMs(100 * HOUR);
        let job = |last_run: Option<i64>| Due {
            next_run: Some(due),
            last_run: last_run.map(UnixMs),
            enabled: true,
            running: false,
        };
        for (job, late_ms, overdue) in [
            (job(Some(99 * HOUR)), HOUR + 300_000, false),
            (job(Some(99 * HOUR)), HOUR + 300_001, true),
            // Its last run came after the time that was planned: the least period.
            (job(Some(101 * HOUR)), 360_001, true),
            (job(None), 24 * HOUR + 300_000, false),
            (job(None), 24 * HOUR + 300_001, true),
            (Due { enabled: false, ..job(None) }, 99 * HOUR, false),
            (Due { running: true, ..job(None) }, 99 * HOUR, false),
            (Due { next_run: None, ..job(None) }, 99 * HOUR, false),
        ] {
            assert_eq!(job.overdue_since(due.plus(late_ms)), overdue.then_some(due), "{job:?} {late_ms}");
        }
    }
}
