//! The form of a record: what the next one of a log has in common with it, word for word.
//!
//! Records of one job differ in times, counts, the session and what the agent answered; these are the gaps of a form.
//! Invariant: where all between the gaps is the same to the byte, and what lies in them is of their kinds, the
//! record says in words what the form's record did, and a reader of it ([`plain`](super::plain)) would have found the same.
//! Everything else is no fit, and read as ever.

use super::keys::Head;
use super::lenient::Number;
use super::plain::{filled, holds_control, number, plain_text, skip};
use super::raw::Numbers;
use super::record::Words;
use crate::model::SessionRef;

/// What lies in a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    Ts,
    RunAtMs,
    DurationMs,
    NextRunAtMs,
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Total,
    /// No gap: that there are token counts, so that it is seen when they come twice.
    Usage,
    SessionId,
    SessionKey,
    Summary,
    /// A value that nobody asks for.
    #[default]
    Unknown,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    what: What,
    from: usize,
    until: usize,
}

/// Gaps of a form at most; records have eleven.
const MAX_GAPS: usize = 16;

/// The gaps of a record, noted while it is read.
#[derive(Debug, Default)]
pub struct Gaps {
    all: [Gap; MAX_GAPS],
    count: usize,
    seen: u16,
    /// There are too many, or something stands twice, of which the last would count.
    unfit: bool,
}

impl Gaps {
    /// Notes that something is there, which may be once.
    pub const fn once(&mut self, what: What) {
        let bit = 1 << what as u16;
        self.unfit |= self.seen & bit != 0;
        self.seen |= bit;
    }

    /// Notes a gap: from one offset to before the other.
    pub fn note(&mut self, what: What, from: usize, until: usize) {
        if what != What::Unknown {
            self.once(what);
        }
        match self.all.get_mut(self.count) {
            Some(gap) => (*gap, self.count) = (Gap { what, from, until }, self.count + 1),
            None => self.unfit = true,
        }
    }

    /// Returns whether a form can be made of the record.
    pub const fn are_fit(&self) -> bool {
        !self.unfit && self.count > 0
    }
}

/// A record with what it said, and where its gaps are.
#[derive(Debug, Default)]
pub struct Form {
    record: Vec<u8>,
    /// The gaps, each with how what is before it begins.
    gaps: Vec<(Head, Gap)>,
    words: Words<String>,
}

/// What lies in the gaps of a record.
#[derive(Default)]
pub struct Filling<'a> {
    /// Times and counts.
    pub numbers: Numbers,
    /// The session's id and key, which may be blank.
    pub session: SessionRef<&'a str>,
}

impl Form {
    /// Takes the form of a record whose gaps are [fit](Gaps::are_fit).
    pub fn take(&mut self, record: &[u8], gaps: &Gaps, words: Words<String>) {
        self.record.clear();
        self.record.extend_from_slice(record);
        self.words = words;
        self.gaps.clear();
        let mut behind = 0;
        for gap in &gaps.all[..gaps.count] {
            let before = record.get(behind..gap.from).unwrap_or_default();
            self.gaps.push((Head::of(before), *gap));
            behind = gap.until;
        }
    }

    /// Returns what its record said in words.
    pub fn words(&self) -> Words<&str> {
        self.words.map(String::as_str)
    }

    /// Reads the record that the bytes begin with, and returns what is in its gaps, and its length; `None`: it does not fit.
    pub fn fill<'a>(&self, bytes: &'a [u8]) -> Option<(Filling<'a>, usize)> {
        let (mut rest, mut behind, mut filling) = (bytes, 0, Filling::default());
        for (head, gap) in &self.gaps {
            let between = self.record.get(behind..gap.from)?;
            let (found, others) = rest.split_at_checked(between.len())?;
            if !head.begins(rest) || between.len() > Head::BYTES && !is_same(found, between) {
                return None;
            }
            rest = others;
            behind = gap.until;
            if let Some(to) = filling.number(gap.what) {
                *to = number(&mut rest).filter(|number| *number != Number::Absent)?;
                continue;
            }
            let before = rest;
            match gap.what {
                What::SessionId => filling.session.id = Some(plain_text(&mut rest)?),
                What::SessionKey => filling.session.key = Some(plain_text(&mut rest)?),
                What::Summary => _ = filled(&mut rest)?,
                _ => skip(&mut rest)?,
            }
            if holds_control(before.get(..before.len() - rest.len())?) {
                return None;
            }
        }
        // Without a gap there is no form.
        rest = rest.strip_prefix(self.record.get(behind..).filter(|end| !end.is_empty())?)?;
        Some((filling, bytes.len() - rest.len()))
    }
}

/// Returns whether two texts of one length are the same. In the static program `==` compares byte by byte (musl), which was an
/// eighth of all CPU of a report on run logs.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (ones, one) = one.as_chunks::<16>();
    let (others, other) = other.as_chunks::<16>();
    let differs =
        |(one, other): (&[u8; 16], &[u8; 16])| u128::from_le_bytes(*one) ^ u128::from_le_bytes(*other);
    ones.iter().zip(others).map(differs).fold(0, |all, bits| all | bits) == 0 && one == other
}

impl Filling<'_> {
    const fn number(&mut self, what: What) -> Option<&mut Number> {
        let Numbers { ts, run_at_ms, duration_ms, next_run_at_ms, usage } = &mut self.numbers;
        Some(match what {
            What::Ts => ts,
            What::RunAtMs => run_at_ms,
            What::DurationMs => duration_ms,
            What::NextRunAtMs => next_run_at_ms,
            What::Input => &mut usage.input,
            What::Output => &mut usage.output,
            What::CacheRead => &mut usage.cache_read,
            What::CacheWrite => &mut usage.cache_write,
            What::Total => &mut usage.total,
            What::Usage | What::SessionId | What::SessionKey | What::Summary | What::Unknown => return None,
        })
    }
}

#[cfg(test)]
mod tests;
