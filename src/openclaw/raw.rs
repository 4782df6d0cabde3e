//! The keys of a run record that are read, as loosely as they may be written.
//!
//! One shape for all stores: a line of a run log, `entry_json` of `cron_run_logs`, `detail_json` of `task_runs`.
//! Deliberately absent: what they mean.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::form::Gaps;
use super::keys::{KEYS, Key, Name, USAGE_KEYS, UsageKey};
use super::lenient::{Filled, Number, Text};
use super::plain;

/// Reads the first JSON value into `raw`, which is to be empty, and returns its length in bytes.
pub fn deserialize<'a>(bytes: &'a [u8], raw: &mut RawRecord<'a>) -> serde_json::Result<usize> {
    deserialize_noting(bytes, raw, &mut Gaps::default())
}

/// The same, and notes what differs between records that are otherwise alike, for whoever wants the form of this one.
pub(super) fn deserialize_noting<'a>(
    bytes: &'a [u8],
    raw: &mut RawRecord<'a>,
    gaps: &mut Gaps,
) -> serde_json::Result<usize> {
    if let Some(used) = plain::record(bytes, raw, gaps) {
        return Ok(used);
    }
    let used;
    (*raw, used) = deserialize_any(bytes)?;
    *gaps = Gaps::default();
    Ok(used)
}

/// Returns the first JSON value, whatever it is, and its length in bytes.
pub(super) fn deserialize_any(bytes: &[u8]) -> serde_json::Result<(RawRecord<'_>, usize)> {
    // Bytes that are no text make a summary unreadable, which nobody asks for, but not the record around it.
    first(bytes).or_else(|_| first(bytes).map(|(Unseen(raw), used)| (raw, used)))
}

fn first<'a, T: Deserialize<'a> + Default>(bytes: &'a [u8]) -> serde_json::Result<(T, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter();
    match stream.next() {
        Some(raw) => Ok((raw?, stream.byte_offset())),
        None => Ok((T::default(), bytes.len())),
    }
}

/// The keys that are read. When one stands twice the last counts, as in JavaScript.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RawRecord<'a> {
    pub numbers: Numbers,
    pub job_id: Text<'a>,
    pub action: Text<'a>,
    pub status: Text<'a>,
    pub error: Text<'a>,
    pub error_reason: Text<'a>,
    pub delivery_status: Text<'a>,
    pub delivery_error: Text<'a>,
    pub delivery: RawDelivery,
    /// `cron-run` in the details of a finished run of `task_runs`.
    pub kind: Text<'a>,
    /// Whether the run and passing on its result succeeded, in the details of `task_runs`.
    pub completion_status: Text<'a>,
    pub session_id: Text<'a>,
    pub session_key: Text<'a>,
    pub model: Text<'a>,
    pub provider: Text<'a>,
    /// What the agent answered. Only whether there is anything is looked at.
    pub summary: Filled,
    /// OpenClaw's own id of the run, in notices of some versions.
    pub run_id: Text<'a>,
    /// The job, in notices from 2026.8.1 on.
    pub job: Option<&'a str>,
}

/// Times and counts as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub ts: Number,
    pub run_at_ms: Number,
    pub duration_ms: Number,
    pub next_run_at_ms: Number,
    pub usage: RawUsage,
}

/// Token counts as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawUsage {
    pub input: Number,
    pub output: Number,
    pub cache_read: Number,
    pub cache_write: Number,
    /// Never summed: its meaning changed with 2026.6.6.
    pub total: Number,
}

/// Reads a key.
struct Known<K: 'static>(&'static [Name<K>]);

impl<'de, K: Copy + Default> DeserializeSeed<'de> for Known<K> {
    type Value = K;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<K: Copy + Default> Visitor<'_> for Known<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<K, E> {
        let known = self.0.iter().find(|name| name.text.strip_suffix(b"\":") == Some(key.as_bytes()));
        Ok(known.map_or_else(K::default, |name| name.key))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawRecord<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordVisitor { sees_summary: true })
    }
}

/// A record whose summary, if there is one, is taken for something without a look at it.
#[derive(Default)]
struct Unseen<'a>(RawRecord<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Unseen<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordVisitor { sees_summary: false }).map(Unseen)
    }
}

struct RecordVisitor {
    sees_summary: bool,
}

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = RawRecord<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a run record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raw = RawRecord::default();
        while let Some(key) = map.next_key_seed(Known(&KEYS))? {
            match key {
                Key::Ts => raw.numbers.ts = map.next_value()?,
                Key::JobId => raw.job_id = map.next_value()?,
                Key::Action => raw.action = map.next_value()?,
                Key::Status => raw.status = map.next_value()?,
                Key::Error => raw.error = map.next_value()?,
                Key::ErrorReason => raw.error_reason = map.next_value()?,
                Key::DeliveryStatus => raw.delivery_status = map.next_value()?,
                Key::DeliveryError => raw.delivery_error = map.next_value()?,
                Key::Delivery => raw.delivery = map.next_value()?,
                Key::Kind => raw.kind = map.next_value()?,
                Key::CompletionStatus => raw.completion_status = map.next_value()?,
                Key::SessionId => raw.session_id = map.next_value()?,
                Key::Session => raw.session_key = map.next_value()?,
                Key::RunAtMs => raw.numbers.run_at_ms = map.next_value()?,
                Key::DurationMs => raw.numbers.duration_ms = map.next_value()?,
                Key::NextRunAtMs => raw.numbers.next_run_at_ms = map.next_value()?,
                Key::Model => raw.model = map.next_value()?,
                Key::Provider => raw.provider = map.next_value()?,
                Key::Usage => raw.numbers.usage = map.next_value()?,
                Key::Summary if self.sees_summary => raw.summary = map.next_value()?,
                Key::Summary => {
                    map.next_value::<IgnoredAny>()?;
                    raw.summary = Filled(true);
                }
                Key::RunId => raw.run_id = map.next_value()?,
                Key::Job => raw.job = map.next_value::<Option<&RawValue>>()?.map(RawValue::get),
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
        while let Some(key) = map.next_key_seed(Known(&USAGE_KEYS))? {
            match key {
                UsageKey::Input => usage.input = map.next_value()?,
                UsageKey::Output => usage.output = map.next_value()?,
                UsageKey::CacheRead => usage.cache_read = map.next_value()?,
                UsageKey::CacheWrite => usage.cache_write = map.next_value()?,
                UsageKey::Total => usage.total = map.next_value()?,
                UsageKey::Unknown => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(Some(usage))
    }
}

/// Where a result was to go, as far as it matters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RawDelivery {
    /// It was an address of the web. A chat's is none.
    pub is_webhook: bool,
}

impl<'de> Deserialize<'de> for RawDelivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DeliveryVisitor)
    }
}

/// Takes the trace (`intended` and `resolved`), and each of the two, which name where by `to`.
struct DeliveryVisitor;

impl<'de> Visitor<'de> for DeliveryVisitor {
    type Value = RawDelivery;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raw = RawDelivery::default();
        while let Some(Text(key)) = map.next_key()? {
            raw.is_webhook |= match key.as_deref() {
                Some("to") => is_url(map.next_value::<Text<'_>>()?.get().unwrap_or_default()),
                Some("intended" | "resolved") => map.next_value::<Self::Value>()?.is_webhook,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
        }
        Ok(raw)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(RawDelivery::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(RawDelivery::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(RawDelivery::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(RawDelivery::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(RawDelivery::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(RawDelivery::default())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawDelivery::default())
    }
}

pub fn is_url(to: &str) -> bool {
    let begins = |scheme: &str| to.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    begins("http://") || begins("https://")
}
