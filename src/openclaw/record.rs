//! One line of a run log, to one run.
//!
//! Facts: a record is written once, when its run has finished; `total_tokens` is never summed, since its meaning
//! changed between versions; input excludes cached tokens; unknown keys, of which newer versions add some,
//! are stepped over. What is invalid is a value that says why, never an error.

use super::form::{Form, Gaps};
use super::gateway_log::Obstacle;
use super::lenient::{Number, filled};
use super::raw::{Numbers, RawRecord, RawUsage, deserialize, deserialize_noting};
use super::reason::reason;
use crate::model::{
    Delivery, Reason, RejectReason, Run, RunAt, RunKey, SessionRef, Status, UnixMs, Usage, UsageProvenance,
};

/// What a record turned out to be: a finished run, or why it is not countable.
pub type Parsed<'a> = Result<Run<&'a str>, RejectReason>;

/// How every record of OpenClaw's begins.
pub(super) const BEGINNING: &[u8] = b"{\"ts\":";

/// 2015-01-01: before OpenClaw and all that it could have recorded.
const EARLIEST: UnixMs = UnixMs(1_420_070_400_000);
/// A wrong clock of our own must not reject what is right: nothing before 2027-01-01 counts as "ahead".
const AHEAD_FROM: UnixMs = UnixMs(1_798_761_600_000);
/// How far ahead of the clock a time may lie: two years in milliseconds.
const AHEAD_MS: i64 = 2 * 366 * 86_400_000;

/// Reads records of which most are like the one before.
#[derive(Debug, Default)]
pub struct Records {
    form: Form,
    /// Records in a row that did not fit.
    misfits: u8,
    /// What was handed out last is a run in the words of the form.
    in_form: bool,
}

/// After so many records that do not fit, the next form is taken: one odd record among others leaves theirs.
const MISFITS: u8 = 2;
/// Longer records, in bytes, have no form: one is kept, and copied, as a whole.
const MAX_FORM_BYTES: usize = 16 << 10;

/// Reads one line by itself and hands each run or reject in it to `emit`.
pub fn parse_line(line: &[u8], now: UnixMs, mut emit: impl FnMut(Parsed<'_>)) {
    Records::default().parse_line(line, now, |parsed, _| emit(parsed));
}

impl Records {
    /// Reads one line and hands each run or reject in it to `emit`, and whether it is a run that says in words what the one
    /// handed out before it did.
    ///
    /// There is one, but for a line that was torn by a crash: what was appended next then stands on the same
    /// line, and is found by the beginning that every record has.
    pub fn parse_line(&mut self, line: &[u8], now: UnixMs, mut emit: impl FnMut(Parsed<'_>, bool)) {
        let mut rest = trim(line);
        let mut torn = false;
        while !rest.is_empty() {
            match self.next_record(rest, now, &mut emit) {
                Ok(used) => {
                    torn = false;
                    rest = trim(&rest[used..]);
                }
                Err(()) => {
                    if !torn {
                        emit(Err(RejectReason::InvalidJson), false);
                        torn = true;
                    }
                    let Some(next) = memchr::memmem::find(&rest[1..], BEGINNING) else { return };
                    rest = &rest[1 + next..];
                }
            }
        }
    }

    /// Returns the form of the records that were read last.
    #[cfg(test)]
    pub fn into_form(self) -> Form {
        self.form
    }

    /// Hands out what stands first and returns its length.
    fn next_record(
        &mut self,
        bytes: &[u8],
        now: UnixMs,
        emit: &mut impl FnMut(Parsed<'_>, bool),
    ) -> Result<usize, ()> {
        let rule = CacheRule::AsWritten;
        let was_in_form = std::mem::take(&mut self.in_form);
        if let Some((filling, used)) = self.form.fill(bytes) {
            self.misfits = 0;
            let SessionRef { id, key } = filling.session;
            let session = SessionRef { id: id.and_then(filled), key: key.and_then(filled) };
            let run = run(self.form.words(), &filling.numbers, session, rule, now);
            self.in_form = run.is_ok();
            emit(run, was_in_form);
            return Ok(used);
        }
        let (mut raw, mut gaps) = (RawRecord::default(), Gaps::default());
        if let Ok(used) = deserialize_noting(bytes, &mut raw, &mut gaps) {
            let run = record_to_run(&raw, rule, now);
            self.misfits = self.misfits.saturating_add(1);
            if self.misfits >= MISFITS
                && gaps.are_fit()
                && used <= MAX_FORM_BYTES
                && let Ok(words) = Words::of(&raw, rule)
            {
                (self.misfits, self.in_form) = (0, run.is_ok());
                self.form.take(&bytes[..used], &gaps, words.map(|word| (*word).to_owned()));
            }
            emit(run, false);
            return Ok(used);
        }
        // OpenClaw replaces invalid UTF-8 when it reads; where that was the trouble, do likewise.
        if std::str::from_utf8(bytes).is_ok() {
            return Err(());
        }
        let text = String::from_utf8_lossy(bytes);
        let mut raw = RawRecord::default();
        let used = deserialize(text.as_bytes(), &mut raw).map_err(|_| ())?;
        // Offsets in the repaired text are not offsets in the line: take the line as used up when the text was.
        if used != text.len() {
            return Err(());
        }
        emit(record_to_run(&raw, rule, now), false);
        Ok(bytes.len())
    }
}

/// Returns whether these bytes, which no newline ends, are whole records and nothing else: most often one, and
/// more when several lost their newlines.
pub fn is_whole_record(bytes: &[u8], now: UnixMs) -> bool {
    let mut rest = trim(bytes);
    loop {
        match Records::default().next_record(rest, now, &mut |_, _| {}) {
            Ok(used) if used == rest.len() => return true,
            Ok(used) => rest = trim(&rest[used..]),
            Err(()) => return false,
        }
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

/// What a record's silence about cache tokens means, which differs between versions of OpenClaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheRule {
    /// Nothing: they are known if they are written.
    AsWritten,
    /// They are what the total exceeds input and output by (2026.6.6 to 7.x).
    InTotal,
    /// There were none (from 2026.8.1 on).
    NoneUnlessWritten,
}

/// What a record says in words, which are mostly those of the record before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<T> {
    job_id: T,
    status: Status,
    reason: Reason,
    provider: Option<T>,
    model: Option<T>,
    delivery: Delivery,
    is_announced: bool,
}

impl<T> Words<T> {
    /// Returns the same with other texts.
    pub fn map<'a, U>(&'a self, text: impl Fn(&'a T) -> U) -> Words<U> {
        let Self { status, reason, delivery, is_announced, .. } = *self;
        Words {
            job_id: text(&self.job_id),
            provider: self.provider.as_ref().map(&text),
            model: self.model.as_ref().map(&text),
            status,
            reason,
            delivery,
            is_announced,
        }
    }
}

impl<'a> Words<&'a str> {
    fn of(raw: &'a RawRecord<'_>, rule: CacheRule) -> Result<Self, RejectReason> {
        let job_id = raw.job_id.get().ok_or(RejectReason::NotARun)?;
        if raw.action.get() != Some("finished") {
            return Err(RejectReason::NotARun);
        }
        let status = status(raw.status.get());
        // The run was fine and passing on its result was not (from 2026.8.1 on; before, nothing tells).
        let undelivered = status == Status::Ok && raw.completion_status.get() == Some("failed");
        Ok(Self {
            job_id,
            status,
            reason: match undelivered {
                true => Reason::DeliveryFailed,
                false => reason(status, raw.error_reason.get(), raw.error.get()),
            },
            provider: raw.provider.get(),
            model: raw.model.get(),
            delivery: delivery(raw, undelivered),
            is_announced: is_announced(raw, rule, status),
        })
    }
}

/// Turns a record into a run.
///
/// # Errors
/// It is not one, or impossible.
pub fn record_to_run<'a>(
    raw: &'a RawRecord<'_>,
    rule: CacheRule,
    now: UnixMs,
) -> Result<Run<&'a str>, RejectReason> {
    let session = SessionRef { id: raw.session_id.get(), key: raw.session_key.get() };
    run(Words::of(raw, rule)?, &raw.numbers, session, rule, now)
}

fn run<'a>(
    words: Words<&'a str>,
    numbers: &Numbers,
    session: SessionRef<&'a str>,
    rule: CacheRule,
    now: UnixMs,
) -> Result<Run<&'a str>, RejectReason> {
    let started = time(numbers.run_at_ms, now)?;
    let logged = time(numbers.ts, now)?;
    let duration_ms = count(numbers.duration_ms, true)?;
    let (at, recorded_at) = match (started, logged) {
        (Some(at), Some(ts)) => (RunAt::Started(at), ts),
        (None, Some(ts)) => (RunAt::Logged(ts), ts),
        (Some(at), None) => {
            let end = at.plus(duration_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0));
            (RunAt::Started(at), end)
        }
        (None, None) => return Err(RejectReason::NotARun),
    };
    let (usage, provenance) = usage(&numbers.usage, rule)?;
    let Words { job_id, status, reason, provider, model, delivery, is_announced } = words;
    Ok(Run {
        key: RunKey { job_id, at },
        recorded_at,
        status,
        reason,
        duration_ms,
        job_name: None,
        agent: session.key.and_then(agent_of),
        provider,
        model,
        usage,
        provenance,
        delivery,
        session,
        // A time that makes no sense here only costs a gauge.
        next_run_at: time(numbers.next_run_at_ms, now).ok().flatten(),
        is_announced,
    })
}

/// Returns whether a webhook gets a notice of such a run: up to 7.x if there is something to tell, from 2026.8.1 on also
/// of every error. Source: the published packages, and recorded gateways.
fn is_announced(raw: &RawRecord<'_>, rule: CacheRule, status: Status) -> bool {
    let tells_of_errors = rule == CacheRule::NoneUnlessWritten;
    raw.summary.0 || (tells_of_errors && status == Status::Error)
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

fn delivery(raw: &RawRecord<'_>, undelivered: bool) -> Delivery {
    let told = match raw.delivery_status.get() {
        _ if undelivered => Delivery::NotDelivered,
        Some("delivered") => Delivery::Delivered,
        Some("not-delivered") => Delivery::NotDelivered,
        Some("not-requested") => Delivery::NotRequested,
        _ => Delivery::Unknown,
    };
    // What a run could not be handed to is no webhook's failure before the version that waits for its answer (2026.8.1),
    // and none there says `delivered` or `not-delivered` of a webhook.
    match (told, raw.delivery_error.get().map_or(Obstacle::Other, Obstacle::of)) {
        (Delivery::NotDelivered, Obstacle::InvalidUrl) => Delivery::WebhookSkipped,
        (Delivery::Delivered, _) if raw.delivery.is_webhook => Delivery::WebhookDelivered,
        (Delivery::NotDelivered, Obstacle::PrivateAddress) if raw.delivery.is_webhook => {
            Delivery::WebhookBlocked
        }
        (Delivery::NotDelivered, _) if raw.delivery.is_webhook => Delivery::WebhookFailed,
        (told, _) => told,
    }
}

fn usage(raw: &RawUsage, rule: CacheRule) -> Result<(Usage, UsageProvenance), RejectReason> {
    let mut usage = Usage {
        input: count(raw.input, false)?,
        output: count(raw.output, false)?,
        cache_read: count(raw.cache_read, false)?,
        cache_write: count(raw.cache_write, false)?,
    };
    if usage.input.is_none() && usage.output.is_none() {
        let told = usage.cache_read.is_some() || usage.cache_write.is_some();
        return Ok((usage, if told { UsageProvenance::Record } else { UsageProvenance::None }));
    }
    // A kind that was 0 is left out where kinds are written at all, so one of them vouches for the other.
    let written = usage.cache_read.is_some() || usage.cache_write.is_some();
    if written || rule == CacheRule::NoneUnlessWritten {
        usage.cache_read.get_or_insert(0);
        usage.cache_write.get_or_insert(0);
        return Ok((usage, UsageProvenance::Record));
    }
    let told = usage.total();
    match (rule, count(raw.total, false)) {
        (CacheRule::InTotal, Ok(Some(total))) if total >= told => {
            usage.cache_read = Some(total - told);
            if total == told {
                usage.cache_write = Some(0);
            }
            Ok((usage, UsageProvenance::Derived))
        }
        // A total below its parts is one of before 2026.6.6, which means something else.
        _ => Ok((usage, UsageProvenance::Partial)),
    }
}

/// Returns the agent in a session key such as `agent:main:cron:<jobId>:run:<sessionId>`.
pub fn agent_of(session_key: &str) -> Option<&str> {
    let rest = session_key.strip_prefix("agent:")?;
    let end = rest.bytes().position(|byte| byte == b':').unwrap_or(rest.len());
    rest.get(..end).filter(|agent| !agent.is_empty())
}

#[cfg(test)]
mod tests;
