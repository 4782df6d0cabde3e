//! Finds a line from the end of a file backwards: one that was consumed before, in a file that may have been rewritten,
//! or the first of those that are new enough to be asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::xxh3_64;

use super::Regular;
use super::lines::{MAX_LINE_BYTES, trim_line_end};
use crate::model::LineMark;

/// First block read from the end: holds the usual appended line and the one before it.
const FIRST_BLOCK_BYTES: u64 = 8 << 10;
const LARGEST_BLOCK_BYTES: u64 = 256 << 10;
/// Bytes at the beginning of a file that say how old its first line is.
const HEAD_BYTES: usize = 64;
/// First block read where several lines are expected to be asked for.
const WANTED_BLOCK_BYTES: u64 = 64 << 10;

/// Where a line was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Offset behind it.
    pub offset: u64,
    /// Bytes from its beginning to that offset.
    pub len: u64,
}

/// Returns whether the marked line ends at `offset`.
pub(super) fn is_at(file: &File, offset: u64, mark: LineMark, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let (Some(start), Ok(len)) = (offset.checked_sub(mark.len), usize::try_from(mark.len)) else {
        return Ok(false);
    };
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    match file.read_exact_at(&mut buffer[..len], start) {
        Ok(()) => Ok(xxh3_64(trim_line_end(&buffer[..len])) == mark.hash),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks for the marked line from the end of the file backwards. Returns where it was found and the number
/// of bytes read.
///
/// The line before it must be the one that was before it then, unless it now is the first: the same line
/// may stand in a file twice, and only the first copy was consumed.
pub(super) fn backwards(file: &File, size: u64, mark: LineMark) -> io::Result<(Option<Found>, u64)> {
    let mut room = Vec::new();
    let mut lines = Backwards::new(file, size, FIRST_BLOCK_BYTES, &mut room);
    let mut candidate: Option<Found> = None;
    while let Some((at, span, content)) = lines.next()? {
        let content = trim_line_end(content);
        if content.is_empty() {
            continue;
        }
        let hash = xxh3_64(content);
        if let Some(found) = candidate.take()
            && (mark.previous == 0 || hash == mark.previous)
        {
            return Ok((Some(found), size - lines.start));
        }
        if hash == mark.hash {
            candidate = Some(Found { offset: at + span, len: span });
        }
    }
    Ok((candidate, size - lines.start))
}

/// How old a line is, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is asked for.
    Wanted,
    /// It is older than all that is.
    Older,
    /// It does not say.
    Unknown,
}

/// See [`Reader::start_of_wanted`](super::Reader::start_of_wanted). `room` is memory that may be used.
pub(super) fn start_of_wanted(
    Regular { file, metadata }: &Regular,
    beyond: u64,
    room: &mut Vec<u8>,
    mut age: impl FnMut(&[u8]) -> Age,
) -> io::Result<u64> {
    let size = metadata.len();
    if size > WANTED_BLOCK_BYTES && is_first_wanted(file, &mut age)? {
        return Ok(0);
    }
    let mut lines = Backwards::new(file, size, WANTED_BLOCK_BYTES, room);
    let (mut start, mut older, mut any) = (size, 0, false);
    while let Some((at, span, content)) = lines.next()? {
        match age(trim_line_end(content)) {
            Age::Wanted => (start, any, older) = (at, true, 0),
            Age::Older => older += span,
            // It may be wanted, and what is wanted may lie before it.
            Age::Unknown => start = at,
        }
        if older >= beyond {
            break;
        }
    }
    Ok(if any { start } else { size })
}

/// Returns whether even the first line is wanted: then there is nothing to look for.
fn is_first_wanted(file: &File, age: &mut impl FnMut(&[u8]) -> Age) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    let read = file.read_at(&mut head, 0)?;
    let end = memchr::memchr(b'\n', &head[..read]).unwrap_or(read);
    Ok(age(trim_line_end(&head[..end])) == Age::Wanted)
}

/// Goes over the lines of a file from its end, in memory bounded by one line.
struct Backwards<'a> {
    file: &'a File,
    /// Offset of the first byte held.
    start: u64,
    block: u64,
    /// `held[..left]` lies before the lines that were handed out.
    held: &'a mut Vec<u8>,
    left: usize,
    /// Whether the end of the held bytes is the head of a line that is too long to be held.
    skipping: bool,
}

impl<'a> Backwards<'a> {
    fn new(file: &'a File, size: u64, block: u64, room: &'a mut Vec<u8>) -> Self {
        Self { file, start: size, block, held: room, left: 0, skipping: false }
    }

    /// Returns the line before: its offset, its length with its newline, and its bytes (empty if too long).
    fn next(&mut self) -> io::Result<Option<(u64, u64, &[u8])>> {
        let begin = loop {
            // A newline at the very end closes the line itself, unless that line's end was let go of.
            let held = self.held.get(..self.left).unwrap_or_default();
            let closed = !self.skipping && held.last() == Some(&b'\n');
            let inner = held.len() - usize::from(closed);
            if let Some(newline) = memchr::memrchr(b'\n', &held[..inner]) {
                break newline + 1;
            }
            if self.start == 0 {
                break 0;
            }
            if held.len() > MAX_LINE_BYTES + 1 {
                // The line goes on before what is held and is too long already: keep none of it.
                self.skipping = true;
                self.left = 0;
            }
            self.read_block()?;
        };
        let end = std::mem::replace(&mut self.left, begin);
        let too_long = std::mem::take(&mut self.skipping);
        let line = self.held.get(begin..end).unwrap_or_default();
        let found = (self.start + begin as u64, line.len() as u64, if too_long { &[] } else { line });
        Ok((!line.is_empty()).then_some(found))
    }

    /// Reads the bytes before those that are left, and puts them before those.
    fn read_block(&mut self) -> io::Result<()> {
        let length = self.block.min(self.start);
        self.block = (self.block * 4).min(LARGEST_BLOCK_BYTES);
        let more = usize::try_from(length).unwrap_or(usize::MAX);
        if self.held.len() < self.left + more {
            self.held.resize(self.left + more, 0);
        }
        self.held.copy_within(..self.left, more);
        self.file.read_exact_at(&mut self.held[..more], self.start - length)?;
        self.left += more;
        self.start -= length;
        Ok(())
    }
}
