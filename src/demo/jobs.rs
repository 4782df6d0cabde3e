//! Job definitions, their schedules and their state, as the job list holds them.

use super::Generation;
use super::delivery::Diagnostics;
use super::provider::Profile;
use serde::Serialize;
use std::borrow::Cow;

/// What a main-session job says.
pub(super) const EVENT_TEXT: &str = "Reminder: check things";

/// What makes a job run, in OpenClaw's spelling. `skip` fields are for the simulation alone.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(super) enum Schedule {
    /// A cron expression with seconds, always a step: due `phase_ms` after multiples of `step_ms`.
    Cron {
        expr: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tz: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stagger_ms: Option<u32>,
        #[serde(skip)]
        step_ms: i64,
        #[serde(skip)]
        phase_ms: i64,
    },
    /// A fixed interval.
    Every { every_ms: i64, anchor_ms: i64 },
    /// Once.
    At {
        at: String,
        #[serde(skip)]
        at_ms: i64,
    },
}

impl Schedule {
    /// Returns a one-shot schedule.
    pub(super) fn at(at_ms: i64) -> Self {
        let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
        Self::At { at: at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(), at_ms }
    }

    /// Returns the first due time after `after` (which is itself not due); `None` for one-shots in the past.
    pub(super) fn first_after(&self, after: i64) -> Option<i64> {
        match *self {
            Self::Cron { step_ms, phase_ms, .. } => {
                Some(phase_ms + ((after - phase_ms).div_euclid(step_ms) + 1) * step_ms)
            }
            Self::Every { every_ms, anchor_ms } => {
                Some(anchor_ms + ((after - anchor_ms).div_euclid(every_ms) + 1) * every_ms)
            }
            Self::At { at_ms, .. } => (at_ms > after).then_some(at_ms),
        }
    }

    /// Returns when a job that ran at `run_at` and ended at `ended_at` is due again. 2026.2.17 stays on the
    /// grid of the anchor, later versions count from the last start.
    pub(super) fn next(&self, generation: Generation, run_at: i64, ended_at: i64) -> Option<i64> {
        match (self, generation) {
            (Self::Every { every_ms, .. }, generation) if generation.is_late() => Some(run_at + every_ms),
            (Self::At { .. }, _) => None,
            _ => self.first_after(ended_at),
        }
    }
}

/// The `state` object of a job. Keys that a version does not know stay `None` there.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_run_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_run_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_run_status: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_status: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_diagnostics: Option<Diagnostics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_diagnostic_summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error_reason: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_delivered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_delivery_status: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_delivery_error: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_failure_notification_delivery_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) consecutive_errors: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) consecutive_skipped: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) running_at_ms: Option<i64>,
}

/// What only jobs have that OpenClaw made for itself.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) key: String,
    pub(super) display_name: Option<String>,
    pub(super) description: Option<&'static str>,
}

/// A job of the simulated gateway.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id, a UUID: the stem of its log's name.
    pub id: String,
    /// Its name, verbatim: may hold newlines, escapes, quotes.
    pub name: String,
    /// The agent it is bound to; main-session jobs have none.
    pub agent: Option<&'static str>,
    pub(super) profile: Profile,
    pub(super) schedule: Schedule,
    pub(super) enabled: bool,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    /// Where its result is posted: with an (invented) secret in the query.
    pub(super) webhook: Option<String>,
    /// Whether the webhook answers; only 2026.9.6 looks.
    pub(super) webhook_works: bool,
    /// What OpenClaw itself calls a job that it made (2026.9.6); a user's job has none.
    pub(super) declaration: Option<Declaration>,
    /// The session that 2026.2.17 uses for every run of the job.
    pub(super) session_id: String,
    /// Runs so far, so that no two runs bill alike.
    pub(super) calls: u64,
    /// The start of the latest run: starts are unique per job.
    pub(super) last_run_at: i64,
    /// The start of the earliest run or, before any, the gateway's: history goes before it.
    pub(super) first_run_at: i64,
    /// Came after the start and may be removed again.
    pub(super) passing: bool,
    /// Due, and yet not run by the scheduler.
    pub(super) held: bool,
    pub(super) state: JobState,
    /// Changed since the list was last written.
    pub(super) dirty: bool,
}

impl Job {
    /// Returns whether the job runs once and is then deleted.
    #[must_use]
    pub const fn is_one_shot(&self) -> bool {
        matches!(self.schedule, Schedule::At { .. })
    }

    /// Returns whether a run is under way.
    pub(super) const fn is_running(&self) -> bool {
        self.state.running_at_ms.is_some()
    }

    /// Returns when the scheduler will start it, if it will.
    pub(super) fn due_at(&self) -> Option<i64> {
        if self.enabled && !self.held && !self.is_running() { self.state.next_run_at_ms } else { None }
    }
}
