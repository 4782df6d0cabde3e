//! What a gateway's own log tells of its scheduler: typed, bounded, without content.
//!
//! Invariant: nothing in here is a text that a user, a model or a provider wrote. Deliberately absent: how a line of the
//! log looks (`openclaw`), and how an event is told on (`telemetry`, `export`).

use super::{UnixMs, WebhookOutcome};

/// How bad, in the words of OpenTelemetry's log data model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody should look.
    Warn,
    /// Something does not work.
    Error,
}

impl Severity {
    /// Returns the severity text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// What the scheduler said: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayEventKind {
    /// A webhook was not delivered.
    WebhookDeliveryFailed,
    /// A webhook was not delivered and is tried again.
    WebhookDeliveryRetried,
    /// A webhook was not sent, since its address is a private one.
    WebhookDeliveryBlocked,
    /// A webhook was not sent, since its address is none.
    WebhookDeliverySkipped,
    /// A run failed.
    JobFailed,
    /// A run took too long and was ended.
    RunTimedOut,
    /// A run was interrupted by the gateway's end.
    RunInterrupted,
    /// A job was switched off, since it failed or could not be scheduled too often.
    JobAutoDisabled,
    /// A job that runs once was switched off after it failed.
    OneShotDisabled,
    /// It cannot be told when a job is due next.
    ScheduleError,
    /// A job waits longer after a failure.
    ErrorBackoff,
    /// The scheduler's own clockwork failed.
    TimerFailed,
    /// A run's record was not written.
    RecordNotWritten,
    /// The gateway's own alert of a failure was not delivered.
    FailureAlertFailed,
    /// Any other warning or error of the scheduler.
    Other,
}

impl GatewayEventKind {
    /// All values.
    pub const ALL: [Self; 15] = [
        Self::WebhookDeliveryFailed,
        Self::WebhookDeliveryRetried,
        Self::WebhookDeliveryBlocked,
        Self::WebhookDeliverySkipped,
        Self::JobFailed,
        Self::RunTimedOut,
        Self::RunInterrupted,
        Self::JobAutoDisabled,
        Self::OneShotDisabled,
        Self::ScheduleError,
        Self::ErrorBackoff,
        Self::TimerFailed,
        Self::RecordNotWritten,
        Self::FailureAlertFailed,
        Self::Other,
    ];
}

/// Why a webhook was not delivered: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryProblem {
    /// No connection, no answer in time, or one that broke off.
    Network,
    /// An answer that is no success: its status is told beside.
    HttpStatus,
    /// The address is a private one.
    PrivateAddress,
    /// The address is none.
    InvalidUrl,
    /// Anything else.
    Other,
}

/// One thing that the gateway's log says of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayEvent {
    /// When it was said.
    pub at: UnixMs,
    /// What.
    pub kind: GatewayEventKind,
    /// How bad, as the gateway sees it.
    pub severity: Severity,
    /// The job, by OpenClaw's id.
    pub job_id: Option<String>,
    /// The job's name.
    pub job_name: Option<String>,
    /// Why a webhook was not delivered.
    pub problem: Option<DeliveryProblem>,
    /// What the webhook's receiver answered.
    pub http_status: Option<u16>,
    /// What became of a webhook of which no run's record tells: to be counted. What a record tells is counted with it.
    pub delivery: Option<WebhookOutcome>,
    /// Which attempt is made next, of how many.
    pub attempt: Option<(u32, u32)>,
    /// The words that the gateway always says here, without anything that it filled in.
    pub message: String,
    /// Hash of the line: what it is known by when it is met again.
    pub mark: u64,
}
