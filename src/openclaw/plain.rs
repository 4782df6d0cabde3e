//! Run records in the form in which OpenClaw writes them, read some ten times as fast as JSON in general.
//!
//! No blanks between tokens, no escapes in what is asked for, counts that are plain integers. Invariant: what is read here
//! is exactly what [`raw`](super::raw) reads; of everything else this says nothing, and `raw` decides. Texts that
//! nobody asks for, such as summaries, are stepped over unread.

use std::borrow::Cow;

use memchr::memchr2;

use super::form::{Gaps, What};
use super::keys::{Head, KEYS, Key, Name, USAGE_KEYS, UsageKey};
use super::lenient::{Filled, Number, Text};
use super::raw::{RawDelivery, RawRecord, RawUsage, is_url};

/// How deep values may lie in each other.
const DEPTH: usize = 16;
/// Digits that fit into 63 bits whatever they are.
const DIGITS: usize = 18;

/// Reads the record that the bytes begin with into `raw`, which is to be empty, and returns its length; `None`: it takes
/// more than this, and what is in `raw` means nothing.
///
/// Notes in `gaps` what differs between records that are otherwise alike.
pub fn record<'a>(bytes: &'a [u8], raw: &mut RawRecord<'a>, gaps: &mut Gaps) -> Option<usize> {
    let mut rest = bytes;
    take_byte(&mut rest, b'{')?;
    let (mut next, length) = (0, bytes.len());
    loop {
        match key(&mut rest, &KEYS, &mut next)? {
            Key::Ts => raw.numbers.ts = noted(&mut rest, number, What::Ts, length, gaps)?,
            Key::JobId => raw.job_id = text(&mut rest)?,
            Key::Action => raw.action = word_or_text(&mut rest, &ACTIONS)?,
            Key::Status => raw.status = word_or_text(&mut rest, &STATUSES)?,
            Key::Error => raw.error = text(&mut rest)?,
            Key::ErrorReason => raw.error_reason = text(&mut rest)?,
            Key::DeliveryStatus => raw.delivery_status = word_or_text(&mut rest, &DELIVERIES)?,
            Key::DeliveryError => raw.delivery_error = text(&mut rest)?,
            Key::Delivery => raw.delivery = delivery(&mut rest, &mut 0, DEPTH)?,
            Key::Kind => raw.kind = text(&mut rest)?,
            Key::CompletionStatus => raw.completion_status = text(&mut rest)?,
            Key::SessionId => raw.session_id = noted(&mut rest, text, What::SessionId, length, gaps)?,
            Key::Session => raw.session_key = noted(&mut rest, text, What::SessionKey, length, gaps)?,
            Key::RunAtMs => raw.numbers.run_at_ms = noted(&mut rest, number, What::RunAtMs, length, gaps)?,
            Key::DurationMs => {
                raw.numbers.duration_ms = noted(&mut rest, number, What::DurationMs, length, gaps)?;
            }
            Key::NextRunAtMs => {
                raw.numbers.next_run_at_ms = noted(&mut rest, number, What::NextRunAtMs, length, gaps)?;
            }
            Key::Model => raw.model = text(&mut rest)?,
            Key::Provider => raw.provider = text(&mut rest)?,
            Key::Usage => raw.numbers.usage = usage(&mut rest, length, gaps)?,
            Key::Summary => raw.summary = noted(&mut rest, filled, What::Summary, length, gaps)?,
            Key::RunId => raw.run_id = text(&mut rest)?,
            // Only notices have it, and its text is asked for as a whole.
            Key::Job => return None,
            Key::Unknown => noted(&mut rest, skip, What::Unknown, length, gaps)?,
        }
        if !goes_on(&mut rest, b'}')? {
            break;
        }
    }
    let used = bytes.len() - rest.len();
    (!holds_control(&bytes[..used])).then_some(used)
}

/// Takes a value, and notes the gap that it lies in unless it is `null`. `length` is that of all bytes.
#[inline(always)]
fn noted<'a, T>(
    rest: &mut &'a [u8],
    take: impl FnOnce(&mut &'a [u8]) -> Option<T>,
    what: What,
    length: usize,
    gaps: &mut Gaps,
) -> Option<T> {
    let before = rest.len();
    let is_null = rest.first() == Some(&b'n');
    let value = take(rest)?;
    if !is_null {
        gaps.note(what, length - before, length - rest.len());
    }
    Some(value)
}

fn usage(rest: &mut &[u8], length: usize, gaps: &mut Gaps) -> Option<RawUsage> {
    gaps.once(What::Usage);
    let mut raw = RawUsage::default();
    if take_null(rest) {
        return Some(raw);
    }
    take_byte(rest, b'{')?;
    let mut next = 0;
    loop {
        match key(rest, &USAGE_KEYS, &mut next)? {
            UsageKey::Input => raw.input = noted(rest, number, What::Input, length, gaps)?,
            UsageKey::Output => raw.output = noted(rest, number, What::Output, length, gaps)?,
            UsageKey::CacheRead => raw.cache_read = noted(rest, number, What::CacheRead, length, gaps)?,
            UsageKey::CacheWrite => raw.cache_write = noted(rest, number, What::CacheWrite, length, gaps)?,
            UsageKey::Total => raw.total = noted(rest, number, What::Total, length, gaps)?,
            UsageKey::Unknown => noted(rest, skip, What::Unknown, length, gaps)?,
        }
        if !goes_on(rest, b'}')? {
            return Some(raw);
        }
    }
}

/// What a key of a delivery means.
#[derive(Clone, Copy, Default)]
enum DeliveryKey {
    To,
    /// What was meant, and what it turned out to be: each a delivery again.
    Inner,
    #[default]
    Other,
}

/// Keys of deliveries in the order in which they mostly come, those of the inner ones where they do.
static DELIVERY_KEYS: [Name<DeliveryKey>; 11] = [
    Name::new("intended\":", DeliveryKey::Inner),
    Name::new("channel\":", DeliveryKey::Other),
    Name::new("to\":", DeliveryKey::To),
    Name::new("source\":", DeliveryKey::Other),
    Name::new("resolved\":", DeliveryKey::Inner),
    Name::new("ok\":", DeliveryKey::Other),
    Name::new("to\":", DeliveryKey::To),
    Name::new("source\":", DeliveryKey::Other),
    Name::new("error\":", DeliveryKey::Other),
    Name::new("fallbackUsed\":", DeliveryKey::Other),
    Name::new("delivered\":", DeliveryKey::Other),
];

fn delivery(rest: &mut &[u8], next: &mut usize, depth: usize) -> Option<RawDelivery> {
    let mut raw = RawDelivery::default();
    if take_null(rest) {
        return Some(raw);
    }
    take_byte(rest, b'{')?;
    loop {
        match key(rest, &DELIVERY_KEYS, next)? {
            DeliveryKey::To => raw.is_webhook |= text(rest)?.get().is_some_and(is_url),
            DeliveryKey::Inner => raw.is_webhook |= delivery(rest, next, depth.checked_sub(1)?)?.is_webhook,
            DeliveryKey::Other => skip_within(rest, depth)?,
        }
        if !goes_on(rest, b'}')? {
            return Some(raw);
        }
    }
}

/// Words that most records have, each with the quote behind it.
static ACTIONS: [Name<&str>; 1] = [Name::new("finished\"", "finished")];
static STATUSES: [Name<&str>; 3] =
    [Name::new("ok\"", "ok"), Name::new("error\"", "error"), Name::new("skipped\"", "skipped")];
static DELIVERIES: [Name<&str>; 3] = [
    Name::new("not-requested\"", "not-requested"),
    Name::new("delivered\"", "delivered"),
    Name::new("not-delivered\"", "not-delivered"),
];

/// Takes a text, which most often is one of these words: then nothing is looked for in it.
fn word_or_text<'a>(rest: &mut &'a [u8], words: &[Name<&'static str>]) -> Option<Text<'a>> {
    if let [b'"', inner @ ..] = *rest
        && let head = Head::read(inner)
        && let Some(word) = words.iter().find(|word| word.head.is_of(head))
    {
        *rest = inner.get(word.text.len()..)?;
        return Some(Text(Some(Cow::Borrowed(word.key))));
    }
    text(rest)
}

/// Takes a key and its colon.
fn key<K: Copy + Default>(rest: &mut &[u8], names: &[Name<K>], next: &mut usize) -> Option<K> {
    let mut inner = *rest;
    take_byte(&mut inner, b'"')?;
    let head = Head::read(inner);
    for step in 0..names.len() {
        let at = if *next + step < names.len() { *next + step } else { *next + step - names.len() };
        let name = &names[at];
        if name.head.is_of(head) && (name.text.len() <= Head::BYTES || inner.starts_with(name.text)) {
            *next = if at + 1 < names.len() { at + 1 } else { 0 };
            *rest = inner.get(name.text.len()..)?;
            return Some(name.key);
        }
    }
    let other = unescaped(rest)?;
    // What is ASCII is text. A key that is known stands in the list with its colon.
    take_byte(rest, b':')?;
    other.is_ascii().then(K::default)
}

/// Takes the comma before the next member, or the end. Returns whether there is a next one.
#[inline(always)]
fn goes_on(rest: &mut &[u8], end: u8) -> Option<bool> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    if *first == b',' { Some(true) } else { (*first == end).then_some(false) }
}

/// Takes a byte if it comes next. These few are done so often that a call would cost more than they do.
#[inline(always)]
fn take_byte(rest: &mut &[u8], byte: u8) -> Option<()> {
    match *rest {
        [first, behind @ ..] if *first == byte => *rest = behind,
        _ => return None,
    }
    Some(())
}

#[inline(always)]
fn take_null(rest: &mut &[u8]) -> bool {
    let behind = if let [b'n', b'u', b'l', b'l', behind @ ..] = *rest { Some(behind) } else { None };
    *rest = behind.unwrap_or(rest);
    behind.is_some()
}

/// Takes a string without escapes and returns what is between its quotes.
fn unescaped<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut inner = *rest;
    take_byte(&mut inner, b'"')?;
    let (text, behind) = inner.split_at_checked(memchr2(b'"', b'\\', inner)?)?;
    *rest = behind;
    take_byte(rest, b'"')?;
    Some(text)
}

pub fn text<'a>(rest: &mut &'a [u8]) -> Option<Text<'a>> {
    if take_null(rest) {
        return Some(Text(None));
    }
    plain_text(rest).map(|text| Text(Some(Cow::Borrowed(text))))
}

/// Takes a text without escapes.
#[inline(always)]
pub fn plain_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(unescaped(rest)?).ok()
}

#[inline(always)]
pub fn number(rest: &mut &[u8]) -> Option<Number> {
    if take_null(rest) {
        return Some(Number::Absent);
    }
    let before = *rest;
    let mut value = 0;
    // Times have thirteen digits.
    for _ in 0..2 {
        let Some((head, behind)) = rest.split_first_chunk() else { break };
        let (digits, count) = leading_digits(*head);
        value = i64::wrapping_add(i64::wrapping_mul(value, TENS[count]), digits);
        if count < head.len() {
            *rest = rest.get(count..)?;
            break;
        }
        *rest = behind;
    }
    while let [digit @ b'0'..=b'9', behind @ ..] = *rest {
        value = i64::wrapping_add(i64::wrapping_mul(value, 10), i64::from(*digit - b'0'));
        *rest = behind;
    }
    // What follows is looked at by the caller: neither a point nor an exponent is a comma or an end.
    let count = before.len() - rest.len();
    let leading_zero = count > 1 && before.first() == Some(&b'0');
    ((1..=DIGITS).contains(&count) && !leading_zero).then_some(Number::Integer(value))
}

/// Powers of ten.
const TENS: [i64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Returns the number that the digits make with which the bytes begin, and how many those are. All are read at once: each step
/// joins neighbours, first to tens, then to hundreds, then to all.
#[inline(always)]
fn leading_digits(bytes: [u8; 8]) -> (i64, usize) {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    const HIGH: u64 = u64::from_le_bytes([0xf0; 8]);
    const TO_TEN: u64 = u64::from_le_bytes([6; 8]);
    let word = u64::from_le_bytes(bytes);
    // Neither below '0' nor, with six more, above '?'. What is carried over goes behind the byte that is no digit.
    let others = (word & HIGH ^ ZEROS) | (word.wrapping_add(TO_TEN) & HIGH ^ ZEROS);
    let count = others.trailing_zeros() / u8::BITS;
    // Zeros in front, as many as others are behind.
    let digits = word.checked_shl(u64::BITS - u8::BITS * count).unwrap_or(0) & !HIGH;
    let joined = digits.wrapping_mul(10 * 0x100 + 1) >> 8;
    let joined = (joined & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 * 0x1_0000 + 1) >> 16;
    let joined = (joined & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32;
    (joined.cast_signed(), count as usize)
}

/// Steps over a text in which something else than blanks is.
pub fn filled(rest: &mut &[u8]) -> Option<Filled> {
    let mut inner = *rest;
    take_byte(&mut inner, b'"')?;
    loop {
        inner = match inner {
            [b' ', behind @ ..] | [b'\\', b'n' | b'r' | b't', behind @ ..] => behind,
            [b'"', ..] => return None,
            _ => break,
        };
    }
    // A character has four bytes at most.
    let head = inner.get(..4).unwrap_or(inner);
    let first = head.utf8_chunks().next()?.valid().chars().next()?;
    (!first.is_whitespace()).then_some(())?;
    skip_text(rest).map(|()| Filled(true))
}

/// Steps over a value of any kind.
pub fn skip(rest: &mut &[u8]) -> Option<()> {
    skip_within(rest, DEPTH)
}

fn skip_within(rest: &mut &[u8], depth: usize) -> Option<()> {
    match rest.first()? {
        b'"' => skip_text(rest),
        b'0'..=b'9' => number(rest).map(|_| ()),
        b't' | b'f' | b'n' => {
            *rest = match *rest {
                [b't', b'r', b'u', b'e', behind @ ..]
                | [b'f', b'a', b'l', b's', b'e', behind @ ..]
                | [b'n', b'u', b'l', b'l', behind @ ..] => behind,
                _ => return None,
            };
            Some(())
        }
        b'[' => {
            take_byte(rest, b'[')?;
            if take_byte(rest, b']').is_some() {
                return Some(());
            }
            loop {
                skip_within(rest, depth.checked_sub(1)?)?;
                if !goes_on(rest, b']')? {
                    return Some(());
                }
            }
        }
        b'{' => {
            take_byte(rest, b'{')?;
            if take_byte(rest, b'}').is_some() {
                return Some(());
            }
            loop {
                skip_text(rest)?;
                take_byte(rest, b':')?;
                skip_within(rest, depth.checked_sub(1)?)?;
                if !goes_on(rest, b'}')? {
                    return Some(());
                }
            }
        }
        _ => None,
    }
}

/// Steps over a string with whatever is in it.
fn skip_text(rest: &mut &[u8]) -> Option<()> {
    let mut inner = *rest;
    take_byte(&mut inner, b'"')?;
    loop {
        inner = inner.get(memchr2(b'"', b'\\', inner)?..)?;
        match inner {
            [b'"', behind @ ..] => {
                *rest = behind;
                return Some(());
            }
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => inner = behind,
            [_, b'u', a, b, c, d, behind @ ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                inner = behind;
            }
            _ => return None,
        }
    }
}

/// Returns whether there is a control character, which no string may hold and nothing else of a record does here.
pub fn holds_control(bytes: &[u8]) -> bool {
    const LEAST: u64 = u64::from_le_bytes([0x20; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks();
    // Taking away sets the highest bit of control characters, and of some that are not ASCII.
    let less = |word: &[u8; 8]| u64::from_le_bytes(*word).wrapping_sub(LEAST);
    let (fours, others) = words.as_chunks();
    let all = fours.iter().fold(0, |all, [a, b, c, d]| all | less(a) | less(b) | less(c) | less(d));
    let all = others.iter().fold(all, |all, word| all | less(word));
    // It borrows from a byte only where the one below it is a control character too.
    let found = || words.iter().fold(0, |found, word| found | (less(word) & !u64::from_le_bytes(*word)));
    (all & HIGH != 0 && found() & HIGH != 0) || rest.iter().any(|byte| *byte < 0x20)
}

#[cfg(test)]
mod tests;
