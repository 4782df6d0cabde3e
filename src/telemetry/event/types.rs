//! Every event that this program tells, declared once.
//!
//! `docs/events.md` is generated from this table, and a test compares the two.

use crate::model::{DeliveryProblem, GatewayEventKind};
use crate::telemetry::catalogue::key::{self, event};

/// A type of event.
#[derive(Debug, PartialEq, Eq)]
pub struct EventType {
    /// Its name.
    pub name: &'static str,
    /// Attribute keys that it may carry beside those of every event.
    pub attributes: &'static [&'static str],
    /// What it tells; one line.
    pub help: &'static str,
}

/// The keys of every event.
pub const COMMON: [&str; 3] = [event::NAME, event::ID, event::GATEWAY];

const RUN_KEYS: &[&str] = &[
    key::JOB_ID,
    key::JOB_NAME,
    key::AGENT,
    key::PROVIDER,
    key::MODEL,
    event::RUN_AT,
    key::STATUS,
    key::REASON,
    event::DELIVERY,
    event::DURATION,
    event::TOKENS[0],
    event::TOKENS[1],
    event::TOKENS[2],
    event::TOKENS[3],
    key::PROVENANCE,
    event::COST,
    event::COST_PROVENANCE,
];
const JOB: &[&str] = &[key::JOB_ID, key::JOB_NAME];
const MISSING: &[&str] = &[key::JOB_ID, key::JOB_NAME, event::RUN_AT];
const WEBHOOK: &[&str] =
    &[key::JOB_ID, key::JOB_NAME, key::REASON, event::HTTP_STATUS, event::ATTEMPT, event::ATTEMPTS];

macro_rules! events {
    ($($ident:ident = $name:literal, $attributes:expr, $help:literal;)*) => {
        $(#[doc = $help]
        pub static $ident: EventType = EventType { name: concat!("openclaw.cron.", $name), attributes: $attributes, help: $help };)*
        /// The whole table.
        pub static ALL: &[&EventType] = &[$(&$ident),*];
    };
}

events! {
    RUN = "run", RUN_KEYS,
        "A run was finished. One for each run, 10 s after its record at the latest; what becomes known later does not change it.";
    WEBHOOK_DELIVERY_FAILED = "webhook_delivery_failed", WEBHOOK,
        "A webhook was not delivered. The message contains the gateway's own words `webhook delivery failed`.";
    WEBHOOK_DELIVERY_RETRIED = "webhook_delivery_retried", WEBHOOK,
        "A webhook was not delivered and is tried again.";
    WEBHOOK_DELIVERY_BLOCKED = "webhook_delivery_blocked", WEBHOOK,
        "A webhook was not sent, since its address is a private one.";
    WEBHOOK_DELIVERY_SKIPPED = "webhook_delivery_skipped", WEBHOOK,
        "A webhook was not sent, since its address is no http or https URL.";
    WEBHOOK_DELIVERY_MISSING = "webhook_delivery_missing", MISSING,
        "The notice of a run whose job posts to our own receiver did not come within 2 minutes of its record.";
    JOB_FAILED = "job_failed", JOB, "A run failed, in the gateway's words. Not every version says so; the event of the run always does.";
    RUN_TIMED_OUT = "run_timed_out", JOB, "A run took too long and was ended.";
    RUN_INTERRUPTED = "run_interrupted", JOB, "A run was interrupted by the gateway's end.";
    JOB_AUTO_DISABLED = "job_auto_disabled", JOB, "A job was switched off, since it failed or could not be scheduled too often.";
    ONE_SHOT_DISABLED = "one_shot_disabled", JOB, "A job that runs once was switched off after it failed.";
    SCHEDULE_ERROR = "schedule_error", JOB, "It cannot be told when a job is due next.";
    ERROR_BACKOFF = "error_backoff", JOB, "A job waits longer after a failure.";
    TIMER_FAILED = "timer_failed", JOB, "The scheduler's own clockwork failed.";
    RECORD_NOT_WRITTEN = "record_not_written", JOB, "A run's record was not written: its usage is known from its session only.";
    FAILURE_ALERT_FAILED = "failure_alert_failed", JOB, "The gateway's own alert of a failure was not delivered.";
    OTHER = "other", JOB, "Any other warning or error of the gateway's scheduler, by the fixed part of its message.";
}

/// Returns the type of what a gateway's log said.
pub const fn of_gateway(kind: GatewayEventKind) -> &'static EventType {
    match kind {
        GatewayEventKind::WebhookDeliveryFailed => &WEBHOOK_DELIVERY_FAILED,
        GatewayEventKind::WebhookDeliveryRetried => &WEBHOOK_DELIVERY_RETRIED,
        GatewayEventKind::WebhookDeliveryBlocked => &WEBHOOK_DELIVERY_BLOCKED,
        GatewayEventKind::WebhookDeliverySkipped => &WEBHOOK_DELIVERY_SKIPPED,
        GatewayEventKind::JobFailed => &JOB_FAILED,
        GatewayEventKind::RunTimedOut => &RUN_TIMED_OUT,
        GatewayEventKind::RunInterrupted => &RUN_INTERRUPTED,
        GatewayEventKind::JobAutoDisabled => &JOB_AUTO_DISABLED,
        GatewayEventKind::OneShotDisabled => &ONE_SHOT_DISABLED,
        GatewayEventKind::ScheduleError => &SCHEDULE_ERROR,
        GatewayEventKind::ErrorBackoff => &ERROR_BACKOFF,
        GatewayEventKind::TimerFailed => &TIMER_FAILED,
        GatewayEventKind::RecordNotWritten => &RECORD_NOT_WRITTEN,
        GatewayEventKind::FailureAlertFailed => &FAILURE_ALERT_FAILED,
        GatewayEventKind::Other => &OTHER,
    }
}

/// Returns the `openclaw.reason` of a webhook that was not delivered.
pub const fn of_problem(problem: DeliveryProblem) -> &'static str {
    match problem {
        DeliveryProblem::Network => "network",
        DeliveryProblem::HttpStatus => "http_status",
        DeliveryProblem::PrivateAddress => "private_address",
        DeliveryProblem::InvalidUrl => "invalid_url",
        DeliveryProblem::Other => "other",
    }
}
