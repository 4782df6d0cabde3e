//! One line of a run log, to one run.
//!
//! Facts: a record is written once, when its run has finished; `total_tokens` is never summed, since its meaning
//! changed between versions; input excludes cached tokens; unknown keys, of which newer versions add some,
//! are stepped over. What is invalid is a value that says why, never an error.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::lenient::{Number, Text};
use super::reason::reason;
use crate::model::{Delivery, RejectReason, Run, RunAt, RunKey, Status, UnixMs, Usage, UsageProvenance};

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A finished run.
    Run(Box<Run>),
    /// Not countable, and why.
    Reject(RejectReason),
}

/// 2015-01-01: before OpenClaw and all that it could have recorded.
const EARLIEST: UnixMs = UnixMs(1_420_070_400_000);
/// A wrong clock of our own must not reject what is right: nothing before 2027-01-01 counts as "ahead".
const AHEAD_FROM: UnixMs = UnixMs(1_798_761_600_000);
/// How far ahead of the clock a time may lie: two years in milliseconds.
const AHEAD_MS: i64 = 2 * 366 * 86_400_000;

/// Reads one line and hands each run or reject in it to `emit`.
///
/// There is one, but for a line that was torn by a crash: what was appended next then stands on the same
/// line, and is found by the beginning that every record has.
pub fn parse_line(line: &[u8], now: UnixMs, mut emit: impl FnMut(Parsed)) {
    let mut rest = trim(line);
    if rest.is_empty() {
        return;
    }
    let mut torn = false;
    while !rest.is_empty() {
        match next_record(rest, now) {
            Ok((parsed, used)) => {
                emit(parsed);
                torn = false;
                rest = trim(&rest[used..]);
            }
            Err(()) => {
                if !torn {
                    emit(Parsed::Reject(RejectReason::InvalidJson));
                    torn = true;
                }
                let Some(next) = memchr::memmem::find(&rest[1..], b"{\"ts\":") else { return };
                rest = &rest[1 + next..];
            }
        }
    }
}

/// Returns whether these bytes, which no newline ends, are whole records and nothing else: most often one, and
/// more when several lost their newlines.
pub fn is_whole_record(bytes: &[u8], now: UnixMs) -> bool {
    let mut rest = trim(bytes);
    loop {
        match next_record(rest, now) {
            Ok((_, used)) if used == rest.len() => return true,
            Ok((_, used)) => rest = trim(&rest[used..]),
            Err(()) => return false,
        }
    }
}

fn next_record(bytes: &[u8], now: UnixMs) -> Result<(Parsed, usize), ()> {
    if let Ok((raw, used)) = deserialize(bytes) {
        return Ok((validate(&raw, now), used));
    }
    // OpenClaw replaces invalid UTF-8 when it reads; where that was the trouble, do likewise.
    if std::str::from_utf8(bytes).is_ok() {
        return Err(());
    }
    let text = String::from_utf8_lossy(bytes);
    let (raw, used) = deserialize(text.as_bytes()).map_err(|_| ())?;
    // Offsets in the repaired text are not offsets in the line: take the line as used up when the text was.
    (used == text.len()).then(|| (validate(&raw, now), bytes.len())).ok_or(())
}

fn deserialize(bytes: &[u8]) -> serde_json::Result<(RawRecord<'_>, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter();
    match stream.next() {
        Some(raw) => Ok((raw?, stream.byte_offset())),
        None => Ok((RawRecord::default(), bytes.len())),
    }
}

/// Removes what cannot belong to JSON: a byte-order mark, blanks, and the NUL bytes that a file system may
/// leave where a crash cut a write short.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let blank = |byte: &u8| matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n');
    let Some(start) = bytes.iter().position(|byte| !blank(byte)) else { return &[] };
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn validate(raw: &RawRecord<'_>, now: UnixMs) -> Parsed {
    record_to_run(raw, now).map_or_else(Parsed::Reject, |run| Parsed::Run(Box::new(run)))
}

fn record_to_run(raw: &RawRecord<'_>, now: UnixMs) -> Result<Run, RejectReason> {
    let job_id = raw.job_id.to_owned_text().ok_or(RejectReason::NotARun)?;
    if raw.action.get() != Some("finished") {
        return Err(RejectReason::NotARun);
    }
    let started = time(raw.run_at_ms, now)?;
    let logged = time(raw.ts, now)?;
    let duration_ms = count(raw.duration_ms, true)?;
    let (at, recorded_at) = match (started, logged) {
        (Some(at), Some(ts)) => (RunAt::Started(at), ts),
        (None, Some(ts)) => (RunAt::Logged(ts), ts),
        (Some(at), None) => {
            let end = at.plus(duration_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0));
            (RunAt::Started(at), end)
        }
        (None, None) => return Err(RejectReason::NotARun),
    };
    let usage = Usage {
        input: count(raw.usage.input, false)?,
        output: count(raw.usage.output, false)?,
        cache_read: count(raw.usage.cache_read, false)?,
        cache_write: count(raw.usage.cache_write, false)?,
    };
    let status = status(raw.status.get());
    Ok(Run {
        key: RunKey { job_id, at },
        recorded_at,
        status,
        reason: reason(status, raw.error_reason.get(), raw.error.get()),
        duration_ms,
        agent: raw.session_key.get().and_then(agent_of).map(ToOwned::to_owned),
        provider: raw.provider.to_owned_text(),
        model: raw.model.to_owned_text(),
        usage,
        provenance: provenance(&usage),
        delivery: delivery(raw.delivery_status.get()),
        // A time that makes no sense here only costs a gauge.
        next_run_at: time(raw.next_run_at_ms, now).ok().flatten(),
    })
}

pub(super) fn time(number: Number, now: UnixMs) -> Result<Option<UnixMs>, RejectReason> {
    match number {
        Number::Absent => Ok(None),
        Number::Integer(ms) | Number::Fraction(ms) => {
            let latest = now.max(AHEAD_FROM).plus(AHEAD_MS);
            let at = UnixMs(ms);
            if (EARLIEST..=latest).contains(&at) { Ok(Some(at)) } else { Err(RejectReason::ImpossibleTime) }
        }
        Number::Impossible => Err(RejectReason::ImpossibleTime),
    }
}

pub(super) fn count(number: Number, fraction_allowed: bool) -> Result<Option<u64>, RejectReason> {
    let value = match number {
        Number::Absent => return Ok(None),
        Number::Integer(value) => value,
        Number::Fraction(value) if fraction_allowed => value,
        Number::Fraction(_) | Number::Impossible => return Err(RejectReason::ImpossibleCount),
    };
    match u64::try_from(value) {
        Ok(value) if value <= crate::model::MAX_JSON_INTEGER => Ok(Some(value)),
        _ => Err(RejectReason::ImpossibleCount),
    }
}

fn status(word: Option<&str>) -> Status {
    match word {
        Some("ok") => Status::Ok,
        Some("error") => Status::Error,
        Some("skipped") => Status::Skipped,
        _ => Status::Unknown,
    }
}

fn delivery(word: Option<&str>) -> Delivery {
    match word {
        Some("delivered") => Delivery::Delivered,
        Some("not-delivered") => Delivery::NotDelivered,
        Some("not-requested") => Delivery::NotRequested,
        _ => Delivery::Unknown,
    }
}

/// Cache kinds are written since 2026.8.1 and left out when 0, so one of them vouches for the other.
const fn provenance(usage: &Usage) -> UsageProvenance {
    if usage.cache_read.is_some() || usage.cache_write.is_some() {
        UsageProvenance::Record
    } else if usage.input.is_some() || usage.output.is_some() {
        UsageProvenance::Partial
    } else {
        UsageProvenance::None
    }
}

/// Returns the agent in a session key such as `agent:main:cron:<jobId>:run:<sessionId>`.
fn agent_of(session_key: &str) -> Option<&str> {
    session_key.strip_prefix("agent:")?.split(':').next().filter(|agent| !agent.is_empty())
}

/// The keys that are read. When one stands twice the last counts, as in JavaScript.
#[derive(Default)]
struct RawRecord<'a> {
    ts: Number,
    job_id: Text<'a>,
    action: Text<'a>,
    status: Text<'a>,
    error: Text<'a>,
    error_reason: Text<'a>,
    delivery_status: Text<'a>,
    session_key: Text<'a>,
    run_at_ms: Number,
    duration_ms: Number,
    next_run_at_ms: Number,
    model: Text<'a>,
    provider: Text<'a>,
    usage: RawUsage,
}

#[derive(Default)]
struct RawUsage {
    input: Number,
    output: Number,
    cache_read: Number,
    cache_write: Number,
}

#[derive(Deserialize)]
enum Key {
    #[serde(rename = "ts")]
    Ts,
    #[serde(rename = "jobId")]
    JobId,
    #[serde(rename = "action")]
    Action,
    #[serde(rename = "status")]
    Status,
    #[serde(rename = "error")]
    Error,
    #[serde(rename = "errorReason")]
    ErrorReason,
    #[serde(rename = "deliveryStatus")]
    DeliveryStatus,
    #[serde(rename = "sessionKey")]
    Session,
    #[serde(rename = "runAtMs")]
    RunAtMs,
    #[serde(rename = "durationMs")]
    DurationMs,
    #[serde(rename = "nextRunAtMs")]
    NextRunAtMs,
    #[serde(rename = "model")]
    Model,
    #[serde(rename = "provider")]
    Provider,
    #[serde(rename = "usage")]
    Usage,
    #[serde(other)]
    Unknown,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawRecord<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = RawRecord<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a run record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raw = RawRecord::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Ts => raw.ts = map.next_value()?,
                Key::JobId => raw.job_id = map.next_value()?,
                Key::Action => raw.action = map.next_value()?,
                Key::Status => raw.status = map.next_value()?,
                Key::Error => raw.error = map.next_value()?,
                Key::ErrorReason => raw.error_reason = map.next_value()?,
                Key::DeliveryStatus => raw.delivery_status = map.next_value()?,
                Key::Session => raw.session_key = map.next_value()?,
                Key::RunAtMs => raw.run_at_ms = map.next_value()?,
                Key::DurationMs => raw.duration_ms = map.next_value()?,
                Key::NextRunAtMs => raw.next_run_at_ms = map.next_value()?,
                Key::Model => raw.model = map.next_value()?,
                Key::Provider => raw.provider = map.next_value()?,
                Key::Usage => raw.usage = map.next_value()?,
                Key::Unknown => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(raw)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(RawRecord::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(RawRecord::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(RawRecord::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(RawRecord::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(RawRecord::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(RawRecord::default())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawRecord::default())
    }
}

#[derive(Deserialize)]
enum UsageKey {
    #[serde(rename = "input_tokens")]
    Input,
    #[serde(rename = "output_tokens")]
    Output,
    #[serde(rename = "cache_read_tokens")]
    CacheRead,
    #[serde(rename = "cache_write_tokens")]
    CacheWrite,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for RawUsage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(deserializer.deserialize_option(UsageVisitor)?.unwrap_or_default())
    }
}

struct UsageVisitor;

impl<'de> Visitor<'de> for UsageVisitor {
    type Value = Option<RawUsage>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("token counts")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut usage = RawUsage::default();
        while let Some(key) = map.next_key()? {
            match key {
                UsageKey::Input => usage.input = map.next_value()?,
                UsageKey::Output => usage.output = map.next_value()?,
                UsageKey::CacheRead => usage.cache_read = map.next_value()?,
                UsageKey::CacheWrite => usage.cache_write = map.next_value()?,
                UsageKey::Unknown => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(Some(usage))
    }
}

#[cfg(test)]
mod tests;
