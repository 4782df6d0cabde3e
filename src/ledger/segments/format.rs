//! The bytes of a segment.
//!
//! | Bytes | What |
//! |---|---|
//! | 1 | format, [`FORMAT`] |
//! | 8 | hash of the key and of all that follows |
//! | 2, 2, 2 | numbers of runs, entries and shapes |
//! | 9 × 8 | what the first time is counted from; the least value of each column but the shapes' |
//! | 8 each | shapes |
//! | the rest | blocks of up to 64 entries, column by column: a byte of width in bits, then 64 values above the least |
//! | 8 | zeros, so that each value can be read as a part of 8 bytes |
//!
//! All little-endian. An entry is what a run used under one set of labels; those behind the first of a run are its
//! further ones. A shape is what most entries share: labels, facts, and which of the values are known.
//!
//! Invariant: bytes that are not exactly what was written yield nothing, by their hash.

use std::collections::HashMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::super::store::{pack_at, pack_facts, unpack_at, unpack_facts};
use super::super::{UsedPart, UsedRun};
use crate::model::{
    Billing, Cost, CostProvenance, Delivery, NanoUsd, Reason, Status, TokenKind, Usage, UsageProvenance,
};

/// The first byte. Another stands for bytes that this version cannot read.
const FORMAT: u8 = 1;
/// Entries whose columns have widths of their own.
const BLOCK: usize = 64;
/// Columns: shape, time since the run before, duration, how long after its end it was recorded, tokens by kind, cost.
const COLUMNS: usize = 9;
const SHAPE: usize = 0;
const TIME: usize = 1;
const DURATION: usize = 2;
const RECORDED: usize = 3;
const TOKENS: usize = 4;
const COST: usize = 8;
const _: () = assert!(COST + 1 == COLUMNS && TOKENS + TokenKind::ALL.len() == COST);
/// Widest value: with up to 7 bits before it, it lies within 8 bytes.
const MAX_WIDTH: u32 = 57;
/// Where what is hashed begins.
const HASHED: usize = 9;
const HEAD: usize = HASHED + 6 + 8 * COLUMNS;
const SHAPE_BYTES: usize = 8;
const PADDING: usize = 8;

/// Which runs a segment stands for: those of a job from `first` to `last`, as packed times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Id of the job's row.
    pub job: i64,
    pub first: i64,
    pub last: i64,
}

impl Key {
    fn seed(self) -> u64 {
        let mut bytes = [0; 24];
        for (bytes, value) in bytes.chunks_exact_mut(8).zip([self.job, self.first, self.last]) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        xxh3_64(&bytes)
    }
}

/// Bits of [`Shape::known`] above those of the tokens.
const HAS_DURATION: u8 = 1 << 4;
const IS_FURTHER: u8 = 1 << 5;

/// What most entries share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    labels: u32,
    facts: u16,
    /// 0 if nothing is known of the cost, else 1 more than how it is known and what it means.
    cost: u8,
    /// Which tokens are known, and the two bits above.
    known: u8,
}

/// A segment in the making.
#[derive(Default)]
pub struct Packer {
    shapes: Vec<Shape>,
    index: HashMap<Shape, u64>,
    /// `None` where a value is not known or does not apply.
    columns: [Vec<Option<u64>>; COLUMNS],
    first: Option<i64>,
    last: i64,
    runs: usize,
    /// Something does not fit.
    failed: bool,
}

impl Packer {
    /// Adds the next run of the job.
    pub fn add(&mut self, run: &UsedRun<'_>) {
        let at = pack_at(run.at);
        let passed = self.first.map(|_| at.wrapping_sub(self.last).cast_unsigned());
        self.first.get_or_insert(at);
        (self.last, self.runs) = (at, self.runs + 1);
        let facts = pack_facts(run.status, run.reason, Delivery::Unknown, run.provenance);
        for (nth, part) in run.parts.iter().enumerate() {
            let (Ok(labels), Ok(facts)) = (u32::try_from(part.labels), u16::try_from(facts)) else {
                self.failed = true;
                return;
            };
            let is_own = nth == 0;
            let usage = TokenKind::ALL.map(|kind| part.usage.get(kind));
            let cost = part.cost.map_or(0, |cost| 1 + (cost.provenance as u8 | (part.billing as u8) << 3));
            let mut known = if is_own { 0 } else { IS_FURTHER };
            known |= if run.duration_ms.is_some() { HAS_DURATION } else { 0 };
            known |= usage.iter().enumerate().fold(0, |bits, (bit, is)| bits | u8::from(is.is_some()) << bit);
            let shape = Shape { labels, facts, cost, known };
            let number = *self.index.entry(shape).or_insert_with(|| {
                self.shapes.push(shape);
                self.shapes.len() as u64 - 1
            });
            let [input, output, read, write] = usage;
            let (time, duration) = (passed.filter(|_| is_own), run.duration_ms.filter(|_| is_own));
            let cost = part.cost.map(|cost| cost.usd.0.cast_unsigned());
            let late =
                run.recorded_at.since(run.at.time()).saturating_sub_unsigned(run.duration_ms.unwrap_or(0));
            let late = is_own.then(|| zigzag(late));
            let values = [Some(number), time, duration, late, input, output, read, write, cost];
            self.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
    }

    /// Returns the time of the newest run; `None` if there is none.
    pub fn last(&self) -> Option<i64> {
        self.first.map(|_| self.last)
    }

    /// Returns the bytes; `None` if the runs do not fit into any.
    pub fn finish(self, key: Key) -> Option<Vec<u8>> {
        let first = self.first.filter(|_| !self.failed)?;
        let entries = self.columns[SHAPE].len();
        let mut bytes = vec![FORMAT, 0, 0, 0, 0, 0, 0, 0, 0];
        for count in [self.runs, entries, self.shapes.len()] {
            bytes.extend(u16::try_from(count).ok()?.to_le_bytes());
        }
        let least = self.columns.each_ref().map(|column| column.iter().flatten().min().copied().unwrap_or(0));
        // The first run comes after a time that has passed like any other.
        let start = first.wrapping_sub(least[TIME].cast_signed());
        bytes.extend(start.to_le_bytes());
        least[TIME..].iter().for_each(|least| bytes.extend(least.to_le_bytes()));
        for shape in &self.shapes {
            bytes.extend(shape.labels.to_le_bytes());
            bytes.extend(shape.facts.to_le_bytes());
            bytes.extend([shape.cost, shape.known]);
        }
        for from in (0..entries).step_by(BLOCK) {
            for ((at, column), least) in self.columns.iter().enumerate().zip(least) {
                let least = if at == SHAPE { 0 } else { least };
                let above = column[from..entries.min(from + BLOCK)].iter();
                pack(&mut bytes, above.map(|value| value.map_or(0, |value| value - least)))?;
            }
        }
        bytes.extend([0; PADDING]);
        let hash = xxh3_64_with_seed(&bytes[HASHED..], key.seed());
        bytes[1..HASHED].copy_from_slice(&hash.to_le_bytes());
        Some(bytes)
    }
}

/// Writes up to [`BLOCK`] values.
fn pack(bytes: &mut Vec<u8>, values: impl Iterator<Item = u64> + Clone) -> Option<()> {
    let width = u64::BITS - values.clone().fold(0, |all, value| all | value).leading_zeros();
    if width > MAX_WIDTH {
        return None;
    }
    bytes.push(u8::try_from(width).ok()?);
    let end = bytes.len() + BLOCK / 8 * width as usize;
    let (mut pending, mut bits) = (0_u64, 0);
    for value in values {
        // At most 7 bits are pending.
        pending |= value << bits;
        bits += width;
        while bits >= 8 {
            bytes.push((pending & 0xff) as u8);
            pending >>= 8;
            bits -= 8;
        }
    }
    bytes.push((pending & 0xff) as u8);
    bytes.resize(end, 0);
    Some(())
}

/// A segment that is what was written.
pub struct Segment<'a> {
    entries: usize,
    start: i64,
    least: [u64; COLUMNS],
    shapes: Vec<Unpacked>,
    blocks: &'a [u8],
}

/// A [`Shape`] as its runs have it.
#[derive(Clone, Copy)]
struct Unpacked {
    status: Status,
    reason: Reason,
    provenance: UsageProvenance,
    known: u8,
    part: UsedPart,
}

impl Unpacked {
    fn of(bytes: &[u8; SHAPE_BYTES]) -> Self {
        let [l0, l1, l2, l3, f0, f1, cost, known] = *bytes;
        let (status, reason, _, provenance) = unpack_facts(i64::from(u16::from_le_bytes([f0, f1])));
        let packed = cost.checked_sub(1);
        let provenance_of = |packed: u8| CostProvenance::from_code(packed & 7).unwrap_or_default();
        let part = UsedPart {
            labels: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
            usage: Usage::default(),
            cost: packed.map(|packed| Cost { usd: NanoUsd::ZERO, provenance: provenance_of(packed) }),
            billing: packed.and_then(|packed| Billing::from_code(packed >> 3)).unwrap_or_default(),
        };
        Self { status, reason, provenance, known, part }
    }
}

impl<'a> Segment<'a> {
    /// Returns the segment that was written under this key; `None` if these are not its bytes.
    pub fn read(key: Key, bytes: &'a [u8]) -> Option<Self> {
        let hash = bytes.get(1..).and_then(<[u8]>::first_chunk).map(|hash| u64::from_le_bytes(*hash))?;
        (hash == xxh3_64_with_seed(bytes.get(HASHED..)?, key.seed())).then(|| Self::trusted(bytes))?
    }

    /// Returns the segment in bytes that were [read](Self::read) before.
    pub fn trusted(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let number =
            |at: usize| head.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b));
        if head[0] != FORMAT {
            return None;
        }
        let count = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let (entries, shapes) = (count(HASHED + 2), count(HASHED + 4));
        let mut least = [0; COLUMNS];
        for (nth, least) in least.iter_mut().enumerate() {
            *least = number(HASHED + 6 + 8 * nth);
        }
        let start = std::mem::take(&mut least[SHAPE]).cast_signed();
        let (shapes, blocks) = rest.split_at_checked(shapes * SHAPE_BYTES)?;
        let shapes = shapes.as_chunks().0.iter().map(Unpacked::of).collect();
        let segment = Self { entries, start, least, shapes, blocks };
        segment.is_whole().then_some(segment)
    }

    /// Returns how many runs the segment with these bytes holds.
    pub fn runs(bytes: &[u8]) -> i64 {
        let count = bytes.get(HASHED..).and_then(<[u8]>::first_chunk);
        count.map_or(0, |count| i64::from(u16::from_le_bytes(*count)))
    }

    /// Returns whether all blocks are there.
    fn is_whole(&self) -> bool {
        let columns = self.entries.div_ceil(BLOCK) * COLUMNS;
        let mut rest = Some(self.blocks);
        for _ in 0..columns {
            rest = rest.and_then(|rest| {
                let (width, rest) = rest.split_first()?;
                rest.get(BLOCK / 8 * usize::from(*width)..).filter(|_| u32::from(*width) <= MAX_WIDTH)
            });
        }
        rest.is_some_and(|rest| rest.len() == PADDING)
    }

    fn shape(&self, number: u64) -> Option<&Unpacked> {
        usize::try_from(number).ok().and_then(|at| self.shapes.get(at))
    }

    /// Returns when the last run of a block started, from when the one before it did.
    fn end(&self, start: i64, shapes: &[u64], times: &[u64; BLOCK]) -> i64 {
        let is_own = |shape: u64| self.shape(shape).is_some_and(|shape| shape.known & IS_FURTHER == 0);
        let own = shapes.iter().zip(times).filter(|(shape, _)| is_own(**shape));
        own.fold(start, |at, (_, passed)| at.wrapping_add(passed.cast_signed()))
    }

    /// Hands out the runs from the first packed time to before the second. `parts` is room that may be used.
    pub fn for_each(
        &self,
        job: usize,
        (from, until): (i64, i64),
        parts: &mut Vec<UsedPart>,
        mut on_run: impl FnMut(&UsedRun<'_>),
    ) {
        let (mut at, mut duration, mut late, mut own) = (self.start, 0, 0, None);
        let mut columns = [[0; BLOCK]; COLUMNS];
        let mut blocks = self.blocks;
        let mut hand_out = |own: &Unpacked, at: i64, (duration, late): (u64, i64), parts: &[UsedPart]| {
            if at < from || at >= until {
                return;
            }
            let at = unpack_at(at);
            let duration_ms = (own.known & HAS_DURATION != 0).then_some(duration);
            let recorded_at = at.time().plus(late.saturating_add_unsigned(duration_ms.unwrap_or(0)));
            let Unpacked { status, reason, provenance, .. } = *own;
            on_run(&UsedRun { job, at, recorded_at, duration_ms, status, reason, provenance, parts });
        };
        for begin in (0..self.entries).step_by(BLOCK) {
            let entries = (self.entries - begin).min(BLOCK);
            let mut rest = blocks;
            for (column, least) in columns.iter_mut().zip(self.least).take(TIME + 1) {
                rest = unpack(rest, least, column);
            }
            if at < from {
                let end = self.end(at, &columns[SHAPE][..entries], &columns[TIME]);
                if end < from {
                    // Nor is the run before this block in the window. What the next has of its last one goes nowhere.
                    (at, own) = (end, None);
                    blocks = skip(blocks);
                    continue;
                }
            }
            blocks = rest;
            for (column, least) in columns.iter_mut().zip(self.least).skip(TIME + 1) {
                blocks = unpack(blocks, least, column);
            }
            let value = |column: usize, nth: usize| columns[column][nth];
            for nth in 0..entries {
                let Some(shape) = self.shape(value(SHAPE, nth)) else { return };
                if shape.known & IS_FURTHER == 0 {
                    if let Some(own) = own.replace(shape) {
                        hand_out(own, at, (duration, late), parts);
                    }
                    if at >= until {
                        return;
                    }
                    at = at.wrapping_add(value(TIME, nth).cast_signed());
                    duration = value(DURATION, nth);
                    late = unzigzag(value(RECORDED, nth));
                    parts.clear();
                }
                let mut part = shape.part;
                let usage = |bit: usize| (shape.known & 1 << bit != 0).then_some(value(TOKENS + bit, nth));
                part.usage =
                    Usage { input: usage(0), output: usage(1), cache_read: usage(2), cache_write: usage(3) };
                if let Some(cost) = &mut part.cost {
                    cost.usd = NanoUsd(value(COST, nth).cast_signed());
                }
                parts.push(part);
            }
        }
        if let Some(own) = own {
            hand_out(own, at, (duration, late), parts);
        }
    }
}

/// Returns a number whose bits are few if the number is near 0, on either side of it.
const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// Returns the number that [`zigzag`] was given.
const fn unzigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}

/// Returns what is behind a block.
fn skip(blocks: &[u8]) -> &[u8] {
    let behind = |rest: &[u8]| rest.first().map_or(0, |width| 1 + BLOCK / 8 * usize::from(*width));
    (0..COLUMNS).fold(blocks, |rest, _| rest.get(behind(rest)..).unwrap_or_default())
}

/// Reads [`BLOCK`] values; returns what is behind them.
fn unpack<'a>(bytes: &'a [u8], least: u64, values: &mut [u64; BLOCK]) -> &'a [u8] {
    let Some((width, rest)) = bytes.split_first() else { return bytes };
    let width = usize::from(*width);
    if width == 0 {
        *values = [least; BLOCK];
        return rest;
    }
    let mask = (1 << width) - 1;
    for (nth, value) in values.iter_mut().enumerate() {
        let bit = nth * width;
        let word =
            rest.get(bit / 8..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word));
        *value = least.wrapping_add(word >> (bit % 8) & mask);
    }
    rest.get(BLOCK / 8 * width..).unwrap_or_default()
}
