//! A run: one execution of a scheduled job.

use super::{UnixMs, Usage, UsageProvenance};

/// When a run took place, as far as its identity goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunAt {
    /// The record says when the run started (`runAtMs`).
    Started(UnixMs),
    /// It does not; the time at which it was written down stands in (`ts`).
    Logged(UnixMs),
}

impl RunAt {
    /// Returns the time, whichever it is.
    #[must_use]
    pub const fn time(self) -> UnixMs {
        match self {
            Self::Started(at) | Self::Logged(at) => at,
        }
    }
}

/// The identity of a run. One run may be seen in several stores: it is still one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey<T = String> {
    /// OpenClaw's job id, verbatim.
    pub job_id: T,
    /// The time part.
    pub at: RunAt,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// OpenClaw wrote a status that this version does not know, or none.
    #[default]
    Unknown = 0,
    /// It succeeded.
    Ok = 1,
    /// It failed.
    Error = 2,
    /// The scheduler decided not to run it.
    Skipped = 3,
    /// No record tells of it, only its session: it was killed, removed while it ran, or its record was pruned unread.
    Unrecorded = 4,
}

impl Status {
    /// All values in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Ok, Self::Error, Self::Skipped, Self::Unrecorded];

    /// Returns the value of the `openclaw.status` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Why a run did not succeed, or succeeded and was not delivered: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// It succeeded, or nothing is said.
    #[default]
    None = 0,
    /// The provider refused the credentials.
    Auth = 1,
    /// The provider asked to slow down.
    RateLimit = 2,
    /// The provider asked for money.
    Billing = 3,
    /// The job's time limit passed.
    Timeout = 4,
    /// The provider failed (HTTP 5xx, overload).
    ServerError = 5,
    /// The model does not exist there.
    ModelNotFound = 6,
    /// The gateway stopped during the run.
    Interrupted = 7,
    /// The run was fine; delivering its result was not.
    DeliveryFailed = 8,
    /// The schedule could not be evaluated.
    ScheduleError = 9,
    /// Anything else.
    Other = 10,
}

impl Reason {
    /// All values in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Auth,
        Self::RateLimit,
        Self::Billing,
        Self::Timeout,
        Self::ServerError,
        Self::ModelNotFound,
        Self::Interrupted,
        Self::DeliveryFailed,
        Self::ScheduleError,
        Self::Other,
    ];

    /// Returns the value of the `openclaw.reason` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Auth => "auth",
            Self::RateLimit => "rate_limit",
            Self::Billing => "billing",
            Self::Timeout => "timeout",
            Self::ServerError => "server_error",
            Self::ModelNotFound => "model_not_found",
            Self::Interrupted => "interrupted",
            Self::DeliveryFailed => "delivery_failed",
            Self::ScheduleError => "schedule_error",
            Self::Other => "other",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What became of a run's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// The record does not say (before 2026.2.22 none does).
    #[default]
    Unknown = 0,
    /// Delivered, to a chat or not known where.
    Delivered = 1,
    /// Tried and not delivered, to a chat or not known where.
    NotDelivered = 2,
    /// Nobody asked for it.
    NotRequested = 3,
    /// Posted to a webhook, which took it.
    WebhookDelivered = 4,
    /// Posted to a webhook, in vain.
    WebhookFailed = 5,
    /// Not posted, since the webhook's address is a private one.
    WebhookBlocked = 6,
    /// Not posted, since the webhook's address is none.
    WebhookSkipped = 7,
}

impl Delivery {
    /// All values in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Delivered,
        Self::NotDelivered,
        Self::NotRequested,
        Self::WebhookDelivered,
        Self::WebhookFailed,
        Self::WebhookBlocked,
        Self::WebhookSkipped,
    ];

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Returns what became of the webhook, if that was how the result was to be delivered.
    #[must_use]
    pub const fn webhook(self) -> Option<WebhookOutcome> {
        match self {
            Self::Unknown | Self::Delivered | Self::NotDelivered | Self::NotRequested => None,
            Self::WebhookDelivered => Some(WebhookOutcome::Delivered),
            Self::WebhookFailed => Some(WebhookOutcome::Failed),
            Self::WebhookBlocked => Some(WebhookOutcome::Blocked),
            Self::WebhookSkipped => Some(WebhookOutcome::Skipped),
        }
    }

    /// Returns the same without where the result was to go.
    #[must_use]
    pub const fn plain(self) -> Self {
        match self {
            Self::WebhookDelivered => Self::Delivered,
            Self::WebhookFailed | Self::WebhookBlocked | Self::WebhookSkipped => Self::NotDelivered,
            plain => plain,
        }
    }
}

/// What became of a webhook: a closed list, so that it can be an attribute. A repeated attempt is none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum WebhookOutcome {
    /// Its receiver took it.
    Delivered = 0,
    /// It was posted in vain: no connection, no answer in time, or one that is no success.
    Failed = 1,
    /// It was not posted, since its address is a private one.
    Blocked = 2,
    /// It was not posted, since its address is none.
    Skipped = 3,
    /// Our own receiver was to get it, and did not.
    Missing = 4,
}

impl WebhookOutcome {
    /// All values in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Failed, Self::Blocked, Self::Skipped, Self::Missing];

    /// Returns the value of the `openclaw.outcome` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Missing => "missing",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// The session that a record names, if it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRef<T = String> {
    /// Its id.
    pub id: Option<T>,
    /// Its key.
    pub key: Option<T>,
}

/// One finished run, as some source describes it. Its texts are its own, or borrowed from whoever has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<T = String> {
    /// Its identity.
    pub key: RunKey<T>,
    /// When OpenClaw wrote it down (`ts`): not its end, due jobs are finalised in batches.
    pub recorded_at: UnixMs,
    /// How it ended.
    pub status: Status,
    /// Why it did not succeed.
    pub reason: Reason,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The job's name as the record tells it, verbatim; most records do not.
    pub job_name: Option<T>,
    /// The agent that ran it.
    pub agent: Option<T>,
    /// The provider of its main model.
    pub provider: Option<T>,
    /// Its main model, without the provider.
    pub model: Option<T>,
    /// What it consumed.
    pub usage: Usage,
    /// How that is known.
    pub provenance: UsageProvenance,
    /// What became of its result.
    pub delivery: Delivery,
    /// Where its calls are. Never kept beyond that question.
    pub session: SessionRef<T>,
    /// When the job will run next. On the record of a one-shot (`at`) job `None`, or the time at which it was due
    /// itself.
    pub next_run_at: Option<UnixMs>,
    /// Whether its version of OpenClaw posts a notice of a run like this to a webhook, if the job has one.
    pub is_announced: bool,
}

impl<T> Run<T> {
    /// Returns the same with texts of another kind.
    pub fn map<'a, U>(&'a self, text: impl Fn(&'a T) -> U) -> Run<U> {
        let maybe = |of: &'a Option<T>| of.as_ref().map(&text);
        Run {
            key: RunKey { job_id: text(&self.key.job_id), at: self.key.at },
            recorded_at: self.recorded_at,
            status: self.status,
            reason: self.reason,
            duration_ms: self.duration_ms,
            job_name: maybe(&self.job_name),
            agent: maybe(&self.agent),
            provider: maybe(&self.provider),
            model: maybe(&self.model),
            usage: self.usage,
            provenance: self.provenance,
            delivery: self.delivery,
            session: SessionRef { id: maybe(&self.session.id), key: maybe(&self.session.key) },
            next_run_at: self.next_run_at,
            is_announced: self.is_announced,
        }
    }
}

impl Run {
    /// Returns the same with borrowed texts.
    #[must_use]
    pub fn borrowed(&self) -> Run<&str> {
        self.map(String::as_str)
    }
}

impl Run<&str> {
    /// Returns the same with texts of its own.
    #[must_use]
    pub fn owned(&self) -> Run {
        self.map(|text| (*text).to_owned())
    }
}
