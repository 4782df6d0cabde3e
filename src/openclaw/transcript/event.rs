//! One line of a transcript, or one row of `transcript_events`, to what it says about money.
//!
//! Source: recorded transcripts of 2026.2.17 to 2026.9.6 (`version` 3 and 4), whose lines are alike. Content is stepped
//! over unread, but for the beginning of a user's message, which may name a job. What is invalid is a value that says
//! why, never an error.

use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use super::super::lenient::{Number, Text};
use super::super::reason::reason;
use super::super::record::{count, time, trim};
use super::cost::nano_usd;
use crate::model::{Reason, RejectReason, Status, UnixMs};

/// How often a line may begin anew, so that one made of beginnings costs no more than that many looks at it.
const MAX_TORN: usize = 8;

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first line of a transcript.
    Session(SessionHeader),
    /// A message that asks for something: from a person, the scheduler or another session.
    Opening(Opening),
    /// The answer of a model, or that there was none.
    Call(Call),
    /// Anything else.
    Other,
    /// Not countable, and why.
    Reject(RejectReason),
}

/// What a transcript says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionHeader {
    /// The session's id.
    pub id: String,
    /// The id of the session that this one was copied from or continues.
    pub parent: Option<String>,
    /// When the session was made.
    pub created_at: Option<UnixMs>,
}

/// A message that calls follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When it was sent.
    pub at: UnixMs,
    /// The job that it names: it begins with `[cron:<jobId> <job name>]`.
    pub job_id: Option<String>,
}

/// One request to a provider and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When the model was asked. The line is written when it has answered.
    pub asked_at: UnixMs,
    /// The provider.
    pub provider: Option<String>,
    /// The model, without the provider.
    pub model: Option<String>,
    /// Tokens by kind, in the order of [`TokenKind::ALL`](crate::model::TokenKind::ALL). All 0: nothing was billed.
    pub tokens: [u64; 4],
    /// What the gateway reckoned that it cost, in nano-USD, from the decimal text of `usage.cost.total` rounded to the
    /// nearest, halves to even. `None`: it does not say, or says something negative. 0 is also what it writes for a
    /// model without a price.
    pub cost: Option<u64>,
    /// How it ended.
    pub end: End,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model answered, with text or with calls of tools.
    Completed,
    /// It failed.
    Failed(Reason),
    /// Somebody stopped waiting: a time limit, a person, the gateway's end.
    Aborted,
}

/// What is the same of a call wherever it is copied to, as a hash: see the module's description. That two of a million
/// calls have one key has a chance of 1 in 37 million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub u64);

impl Call {
    /// Returns whether the provider billed anything.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        self.tokens.iter().any(|count| *count > 0)
    }

    fn key(&self, session_id: &str) -> CallKey {
        let mut hash = Xxh3::new();
        for text in [Some(session_id), self.provider.as_deref(), self.model.as_deref()] {
            // No text holds this byte, so that no two lists of texts look alike.
            hash.update(text.unwrap_or_default().as_bytes());
            hash.update(&[0xff]);
        }
        hash.update(&self.asked_at.0.to_le_bytes());
        self.tokens.iter().for_each(|count| hash.update(&count.to_le_bytes()));
        CallKey(hash.digest())
    }
}

/// What is kept of a session while its lines are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    header: SessionHeader,
}

impl Transcript {
    /// Begins with what a file's name or a row's column says; the first line knows better. Whoever goes on in the
    /// middle of a transcript has to [`observe`](Self::observe) its first line again.
    #[must_use]
    pub fn new(session_id: &str) -> Self {
        Self { header: SessionHeader { id: session_id.to_owned(), parent: None, created_at: None } }
    }

    /// Returns what is known of the session.
    #[must_use]
    pub const fn header(&self) -> &SessionHeader {
        &self.header
    }

    /// Takes the session's header if this is one, and tells the key of a call. `None`: no call, or the copy of one
    /// that the parent's transcript has.
    pub fn observe(&mut self, event: &Event) -> Option<CallKey> {
        match event {
            Event::Session(header) => self.header = header.clone(),
            Event::Call(call) if !self.is_copy(call) => return Some(call.key(&self.header.id)),
            _ => {}
        }
        None
    }

    fn is_copy(&self, call: &Call) -> bool {
        self.header.parent.is_some() && self.header.created_at.is_some_and(|made| call.asked_at < made)
    }
}

/// Reads one line and hands out what is in it.
///
/// That is one event, but for a line that a crash tore: what was appended next then stands on the same line.
pub fn parse_line(line: &[u8], now: UnixMs, mut emit: impl FnMut(Event)) {
    parse_line_into(line, now, &mut emit);
}

/// The work of [`parse_line`], once in the binary and not once per caller.
pub(super) fn parse_line_into(line: &[u8], now: UnixMs, emit: &mut dyn FnMut(Event)) {
    let mut rest = trim(line);
    for _ in 0..MAX_TORN {
        if rest.is_empty() {
            return;
        }
        match parse(rest, now) {
            Some(event) => return emit(event),
            None => emit(Event::Reject(RejectReason::InvalidJson)),
        }
        // Inside a string the quotes would be escaped, so this is where a message begins.
        let Some(next) = memchr::memmem::find(&rest[1..], b"{\"type\":\"message\"") else { return };
        rest = &rest[1 + next..];
    }
}

fn parse(bytes: &[u8], now: UnixMs) -> Option<Event> {
    if let Ok(raw) = serde_json::from_slice::<RawEvent<'_>>(bytes) {
        return Some(raw.event(now));
    }
    // OpenClaw replaces invalid UTF-8 when it reads; where that was the trouble, do likewise.
    if std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    serde_json::from_str::<RawEvent<'_>>(&String::from_utf8_lossy(bytes)).ok().map(|raw| raw.event(now))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    parent_session: Text<'a>,
    #[serde(borrow, default)]
    timestamp: Text<'a>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage<'a> {
    #[serde(borrow, default)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    provider: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(borrow, default)]
    error_message: Text<'a>,
    #[serde(default)]
    timestamp: Number,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawUsage<'a> {
    input: Number,
    output: Number,
    cache_read: Number,
    cache_write: Number,
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawCost<'a> {
    #[serde(borrow, default)]
    total: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
}

impl RawEvent<'_> {
    fn event(&self, now: UnixMs) -> Event {
        match self.kind.get() {
            Some("session") => match self.id.to_owned_text() {
                Some(id) => Event::Session(SessionHeader {
                    id,
                    parent: self.parent_session.get().and_then(session_in).map(ToOwned::to_owned),
                    created_at: self.written_at(now),
                }),
                None => Event::Other,
            },
            Some("message") => self.message(now).unwrap_or_else(Event::Reject),
            _ => Event::Other,
        }
    }

    fn message(&self, now: UnixMs) -> Result<Event, RejectReason> {
        let Some(Ok(message)) = self.message.map(|raw| serde_json::from_str::<RawMessage<'_>>(raw.get()))
        else {
            return Ok(Event::Other);
        };
        let at = || time(message.timestamp, now).map(|at| at.or_else(|| self.written_at(now)));
        match message.role.get() {
            Some("user") => Ok(match at() {
                Ok(Some(at)) => Event::Opening(Opening { at, job_id: message.content.and_then(marker) }),
                _ => Event::Other,
            }),
            Some("assistant") => message.call(at()?.ok_or(RejectReason::ImpossibleTime)?).map(Event::Call),
            _ => Ok(Event::Other),
        }
    }

    /// When the line was written, as far as it says so and that makes sense.
    fn written_at(&self, now: UnixMs) -> Option<UnixMs> {
        time(Number::Integer(unix_ms(self.timestamp.get()?)?), now).ok().flatten()
    }
}

impl RawMessage<'_> {
    fn call(&self, asked_at: UnixMs) -> Result<Call, RejectReason> {
        let usage: RawUsage<'_> =
            self.usage.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let tokens = |number| count(number, false).map(Option::unwrap_or_default);
        Ok(Call {
            asked_at,
            provider: self.provider.to_owned_text(),
            model: self.model.to_owned_text(),
            tokens: [
                tokens(usage.input)?,
                tokens(usage.output)?,
                tokens(usage.cache_read)?,
                tokens(usage.cache_write)?,
            ],
            cost: usage
                .cost
                .and_then(|raw| serde_json::from_str::<RawCost<'_>>(raw.get()).ok()?.total)
                .and_then(|total| nano_usd(total.get())),
            end: match self.stop_reason.get() {
                Some("error") => End::Failed(reason(Status::Error, None, self.error_message.get())),
                Some("aborted") => End::Aborted,
                _ => End::Completed,
            },
        })
    }
}

/// Returns a time as JavaScript's `toISOString` writes it, `2026-11-21T04:56:06.444Z`, in milliseconds since 1970.
fn unix_ms(text: &str) -> Option<i64> {
    let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    if !shape.eq(*b"0000-00-00T00:00:00.000Z") {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Years begin in March, so that the day which some have more is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = (days * 24 + number(11, 13)?) * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    Some(seconds * 1000 + number(20, 23)?)
}

/// Returns the job that a user's message names. Its name may hold anything, newlines and brackets too, so that only
/// the id is looked at.
fn marker(content: &RawValue) -> Option<String> {
    // A part that is no text has none; one that breaks this breaks no more than the marker.
    let text = match serde_json::from_str::<Vec<Block<'_>>>(content.get()) {
        Ok(blocks) => blocks.into_iter().find_map(|block| block.text.0),
        Err(_) => serde_json::from_str::<Text<'_>>(content.get()).ok()?.0,
    }?;
    let id = text.trim_start().strip_prefix("[cron:")?.split([' ', ']', '\t', '\r', '\n']).next()?;
    (!id.is_empty() && id.len() <= 256).then(|| id.to_owned())
}

/// Returns the session's id in a parent, which is named by its id or its file.
fn session_in(parent: &str) -> Option<&str> {
    let name = parent.rsplit(['/', '\\', ':']).next()?;
    let stem = name.split(".jsonl").next()?;
    // Forks put the time before the id.
    Some(stem.rsplit_once('_').map_or(stem, |(_, id)| id)).filter(|id| !id.is_empty())
}

#[cfg(test)]
#[path = "tests/event.rs"]
mod tests;
