//! One line of the log, as loosely as it may be written, to one event.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

use super::message::{Meaning, Obstacle, Retry, meaning, retry};
use crate::model::{
    DeliveryProblem, GatewayEvent, GatewayEventKind as Kind, RejectReason, Severity, UnixMs, WebhookOutcome,
};
use crate::openclaw::lenient::{Number, Text};
use crate::openclaw::record::{time, trim};

/// Longest id or name that is believed to be one, in bytes.
const MAX_ID_BYTES: usize = 128;
const MAX_NAME_CHARS: usize = 200;

/// Reads one line. `Ok(None)`: it says nothing of the scheduler that anybody need know.
///
/// # Errors
/// The line speaks of the scheduler and cannot be read.
pub fn parse_line(line: &[u8], now: UnixMs) -> Result<Option<GatewayEvent>, RejectReason> {
    // Most lines of a busy gateway end here.
    if memchr::memmem::find(line, b"cron").is_none() {
        return Ok(None);
    }
    let line = trim(line);
    if line.first() != Some(&b'{') {
        return Err(RejectReason::InvalidJson);
    }
    if let Ok(raw) = serde_json::from_slice::<RawLine<'_>>(line) {
        return raw.event(line, now);
    }
    // The gateway's own readers replace what is not UTF-8; where that was the trouble, do likewise.
    match std::str::from_utf8(line) {
        Ok(_) => Err(RejectReason::InvalidJson),
        Err(_) => {
            let text = String::from_utf8_lossy(line);
            let raw = serde_json::from_str::<RawLine<'_>>(&text).map_err(|_| RejectReason::InvalidJson)?;
            raw.event(line, now)
        }
    }
}

/// A record of tslog's: its arguments by number, the first of them the logger's own facts as JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLine<'a> {
    #[serde(rename = "0", borrow)]
    logger: Text<'a>,
    #[serde(rename = "1", borrow)]
    first: First<'a>,
    #[serde(rename = "2", borrow)]
    second: Text<'a>,
    #[serde(rename = "_meta", borrow)]
    meta: Meta<'a>,
    #[serde(borrow)]
    time: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(rename = "logLevelName", borrow)]
    level: Text<'a>,
    #[serde(borrow)]
    date: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Logger<'a> {
    #[serde(borrow)]
    module: Text<'a>,
}

impl RawLine<'_> {
    fn event(&self, line: &[u8], now: UnixMs) -> Result<Option<GatewayEvent>, RejectReason> {
        let Some(severity) = severity(self.meta.level.get()) else { return Ok(None) };
        let logger = self.logger.get().unwrap_or_default();
        let told = if logger.starts_with('{') { self.scheduler(logger, severity) } else { retried(logger) };
        let Some(told) = told else { return Ok(None) };
        Ok(Some(GatewayEvent { at: self.at(now)?, severity, mark: xxh3_64(line), ..told }))
    }

    /// Returns when it was said: `_meta.date` is in UTC, `time` may be in the gateway's zone.
    fn at(&self, now: UnixMs) -> Result<UnixMs, RejectReason> {
        let said = [self.meta.date.get(), self.time.get()].into_iter().flatten();
        let at = said.flat_map(|text| text.trim().parse::<jiff::Timestamp>()).next();
        let at = at.ok_or(RejectReason::ImpossibleTime)?.as_millisecond();
        time(Number::Integer(at), now)?.ok_or(RejectReason::ImpossibleTime)
    }

    fn scheduler(&self, logger: &str, severity: Severity) -> Option<GatewayEvent> {
        let logger: Logger<'_> = serde_json::from_str(logger).ok()?;
        if logger.module.get() != Some("cron") {
            return None;
        }
        let (fields, message) = match &self.first {
            First::Fields(fields) => (Cow::Borrowed(fields), self.second.get()?),
            First::Text(text) => (Cow::Owned(Fields::default()), text.as_ref()),
            First::Other => (Cow::Owned(Fields::default()), self.second.get()?),
        };
        let Meaning { kind, words } = meaning(message, severity)?;
        let error = fields.error.get().or_else(|| fields.reason.get()).unwrap_or_default();
        let obstacle = match kind {
            Kind::WebhookDeliveryFailed => Some(Obstacle::of(error)),
            Kind::WebhookDeliveryBlocked => Some(Obstacle::PrivateAddress),
            Kind::WebhookDeliverySkipped => Some(Obstacle::InvalidUrl),
            _ => None,
        };
        // Where a webhook was to go is named by all versions but, from 2026.8.1 on, of a job's own webhook, of which the
        // run's record tells there.
        let only_here = fields.names_place || kind == Kind::WebhookDeliverySkipped;
        // And those use one message for all that can befall it.
        let kind = match obstacle {
            Some(Obstacle::PrivateAddress) => Kind::WebhookDeliveryBlocked,
            Some(Obstacle::InvalidUrl) => Kind::WebhookDeliverySkipped,
            _ => kind,
        };
        let outcome = match kind {
            Kind::WebhookDeliveryFailed => Some(WebhookOutcome::Failed),
            Kind::WebhookDeliveryBlocked => Some(WebhookOutcome::Blocked),
            Kind::WebhookDeliverySkipped => Some(WebhookOutcome::Skipped),
            _ => None,
        };
        let name = fields.job_name.get().map(|name| name.chars().take(MAX_NAME_CHARS).collect());
        let problem = obstacle.map(Obstacle::problem);
        Some(GatewayEvent {
            http_status: obstacle.and_then(Obstacle::http_status),
            delivery: outcome.filter(|_| only_here),
            job_id: fields.job_id.get().and_then(plausible_id),
            job_name: name,
            ..event(kind, words, problem)
        })
    }
}

fn retried(message: &str) -> Option<GatewayEvent> {
    let Retry { job_id, attempt, problem, http_status } = retry(message)?;
    Some(GatewayEvent {
        http_status,
        attempt: Some(attempt),
        job_id: plausible_id(job_id),
        ..event(Kind::WebhookDeliveryRetried, Retry::WORDS.to_owned(), Some(problem))
    })
}

/// Returns an event of which nothing else is known.
const fn event(kind: Kind, message: String, problem: Option<DeliveryProblem>) -> GatewayEvent {
    GatewayEvent {
        at: UnixMs(0),
        kind,
        severity: Severity::Info,
        job_id: None,
        job_name: None,
        problem,
        http_status: None,
        delivery: None,
        attempt: None,
        message,
        mark: 0,
    }
}

fn severity(level: Option<&str>) -> Option<Severity> {
    match level? {
        "INFO" => Some(Severity::Info),
        "WARN" => Some(Severity::Warn),
        "ERROR" | "FATAL" => Some(Severity::Error),
        _ => None,
    }
}

/// Returns an id if it looks like one: printable, short, no address.
fn plausible_id(id: &str) -> Option<String> {
    let fits =
        id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()) && !id.contains("//");
    fits.then(|| id.to_owned())
}

/// The second argument: facts, or the message if there are none.
#[derive(Default)]
enum First<'a> {
    #[default]
    Other,
    Text(Cow<'a, str>),
    Fields(Fields<'a>),
}

/// The facts that are looked at. Where a webhook was to go is never kept.
#[derive(Clone, Default)]
struct Fields<'a> {
    job_id: Text<'a>,
    job_name: Text<'a>,
    error: Text<'a>,
    reason: Text<'a>,
    names_place: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstVisitor)
    }
}

struct FirstVisitor;

impl<'de> Visitor<'de> for FirstVisitor {
    type Value = First<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(key)) = map.next_key()? {
            match key.as_deref() {
                Some("jobId") => fields.job_id = map.next_value()?,
                Some("jobName") => fields.job_name = map.next_value()?,
                Some("err" | "error") => fields.error = map.next_value()?,
                Some("reason") => fields.reason = map.next_value()?,
                Some("webhookUrl") => {
                    map.next_value::<IgnoredAny>()?;
                    fields.names_place = true;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(First::Fields(fields))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(First::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(First::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(First::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(First::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(First::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(First::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(First::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(First::Other)
    }
}
