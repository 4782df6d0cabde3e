//! Hands out the whole lines behind a position.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use xxhash_rust::xxh3::xxh3_64;

use super::{Regular, search};
use crate::model::{FileId, FilePosition, LineMark};

/// Longest line that is handed out, in bytes without its newline.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Size of an ordinary read in bytes.
const READ_BYTES: usize = 128 << 10;

/// Stands for [`LineMark::previous`] in a mark that is no line but the bytes before the offset: behind a line too
/// long to be held, and behind blank lines that open a file.
const NO_LINE: u64 = u64::MAX;

/// How many bytes such a mark covers at most.
const NO_LINE_BYTES: u64 = 4 << 10;

/// What a reader hands out.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its newline; may be empty of meaning but never of bytes.
    Whole(&'a [u8]),
    /// The end of the file without a newline. Only offered on request; returning `true` consumes it.
    Unfinished(&'a [u8]),
    /// A line above [`MAX_LINE_BYTES`], which was stepped over.
    TooLong {
        /// Its length.
        bytes: u64,
    },
}

/// What one look at a file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The position behind the last consumed line.
    pub to: FilePosition,
    /// The last consumed line of the previous look was gone.
    pub gap: bool,
    /// There is more to read: the look ended at its byte budget.
    pub more: bool,
    /// Bytes behind `to` that form an unfinished line.
    pub unfinished: u64,
    /// Bytes read, to prove that a look costs what was appended and not what the file holds.
    pub bytes_read: u64,
}

/// Reads files, reusing one buffer.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// Hands every whole line behind `from` to `on_line`, up to about `budget` bytes, and says where it got.
    ///
    /// `offer_unfinished` also offers the unterminated end of the file. What `on_line` returns matters only
    /// for [`Line::Unfinished`].
    ///
    /// # Errors
    /// Any error of reading; nothing is consumed then that was not handed out before.
    pub fn read(
        &mut self,
        Regular { file, metadata }: &Regular,
        from: Option<FilePosition>,
        budget: u64,
        offer_unfinished: bool,
        mut on_line: impl FnMut(Line<'_>) -> bool,
    ) -> io::Result<Outcome> {
        let id = FileId { dev: metadata.dev(), ino: metadata.ino() };
        let mut outcome = self.start(file, id, metadata.len(), from)?;
        let mut pass = Pass { position: outcome.to, size: metadata.len(), filled: 0, taken: 0 };
        let end_at = pass.position.offset.saturating_add(budget);
        loop {
            if pass.position.offset >= end_at {
                outcome.more = true;
                break;
            }
            let (read, is_end) = self.fill(file, &mut pass)?;
            outcome.bytes_read += read as u64;
            self.hand_out(&mut pass, &mut on_line);
            if is_end {
                if offer_unfinished {
                    self.offer_end(&mut pass, &mut on_line);
                }
                break;
            }
        }
        if pass.position.last.is_none() && pass.position.offset > 0 {
            pass.position.last = mark_without_line(file, pass.position.offset)?;
        }
        outcome.to = pass.position;
        outcome.unfinished = pass.position.skipped + (pass.filled - pass.taken) as u64;
        self.buffer.truncate(READ_BYTES);
        self.buffer.shrink_to(READ_BYTES);
        Ok(outcome)
    }

    /// Returns an offset behind which all lines lie that are wanted, in a file whose lines are mostly in the order of time:
    /// from the end backwards until `beyond` bytes in a row were of older lines. The file's length if no line is wanted.
    ///
    /// # Errors
    /// Any error of reading.
    pub fn start_of_wanted(
        &mut self,
        regular: &Regular,
        beyond: u64,
        age: impl FnMut(&[u8]) -> search::Age,
    ) -> io::Result<u64> {
        search::start_of_wanted(regular, beyond, &mut self.buffer, age)
    }

    /// Finds where to go on: steps 2 to 4 of the module's description.
    fn start(
        &mut self,
        file: &File,
        id: FileId,
        size: u64,
        from: Option<FilePosition>,
    ) -> io::Result<Outcome> {
        let fresh = FilePosition { file: id, ..FilePosition::default() };
        let at = |to, gap, bytes_read| Outcome { to, gap, more: false, unfinished: 0, bytes_read };
        let Some(from) = from else { return Ok(at(fresh, false, 0)) };
        let Some(mark) = from.last else {
            let same = from.file == id && size >= from.offset + from.skipped;
            return Ok(at(if same { from } else { fresh }, false, 0));
        };
        if from.file == id && size >= from.offset + from.skipped {
            let here = search::is_at(file, from.offset, mark, &mut self.buffer)?;
            if here {
                return Ok(at(from, false, mark.len));
            }
        }
        if mark.previous == NO_LINE {
            return Ok(at(fresh, true, 0));
        }
        let (found, bytes_read) = search::backwards(file, size, mark)?;
        Ok(match found {
            Some(end) => {
                let last = Some(LineMark { len: end.len, ..mark });
                at(FilePosition { file: id, offset: end.offset, last, skipped: 0 }, false, bytes_read)
            }
            None => at(fresh, true, bytes_read),
        })
    }

    /// Reads behind what the buffer holds; returns the number of bytes, and whether the file ends there.
    fn fill(&mut self, file: &File, pass: &mut Pass) -> io::Result<(usize, bool)> {
        self.buffer.copy_within(pass.taken..pass.filled, 0);
        pass.filled -= pass.taken;
        pass.taken = 0;
        // Only a long line takes more than the buffer has.
        let wanted = if pass.filled > READ_BYTES / 2 { pass.filled + READ_BYTES } else { READ_BYTES };
        let wanted = wanted.max(self.buffer.len());
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let at = pass.position.offset + pass.position.skipped + pass.filled as u64;
        let read = loop {
            match file.read_at(&mut self.buffer[pass.filled..wanted], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let is_short = pass.filled + read < wanted;
        pass.filled += read;
        // A short read alone may have been interrupted; what comes behind the size that was seen is for the next look.
        Ok((read, read == 0 || is_short && at + read as u64 >= pass.size))
    }

    /// Hands out the whole lines in the buffer and steps over what exceeds the limit.
    fn hand_out(&self, pass: &mut Pass, on_line: &mut impl FnMut(Line<'_>) -> bool) {
        let mut recent = Recent::default();
        while let Some(length) = memchr::memchr(b'\n', &self.buffer[pass.taken..pass.filled]) {
            let start = pass.taken;
            let line = &self.buffer[start..start + length];
            pass.taken += length + 1;
            let length = length as u64;
            if pass.position.skipped > 0 || line.len() > MAX_LINE_BYTES {
                on_line(Line::TooLong { bytes: pass.position.skipped + length });
                pass.position.offset += pass.position.skipped + length + 1;
                pass.position.skipped = 0;
                // It was not held, so there is no hash of it; see `mark_without_line`.
                (pass.position.last, recent) = (None, Recent::default());
                continue;
            }
            let content = trim_line_end(line);
            if content.is_empty() {
                recent.note_blank(&mut pass.position, length + 1);
                continue;
            }
            recent.note(&mut pass.position, start..start + content.len(), length + 1);
            on_line(Line::Whole(content));
        }
        recent.mark(&mut pass.position, &self.buffer);
        let unfinished = pass.filled - pass.taken;
        if pass.position.skipped > 0 || unfinished > MAX_LINE_BYTES {
            pass.position.skipped += unfinished as u64;
            pass.taken = pass.filled;
        }
    }

    fn offer_end(&self, pass: &mut Pass, on_line: &mut impl FnMut(Line<'_>) -> bool) {
        let rest = &self.buffer[pass.taken..pass.filled];
        let content = trim_line_end(rest);
        if pass.position.skipped == 0 && !content.is_empty() && on_line(Line::Unfinished(content)) {
            let mut recent = Recent::default();
            recent.note(&mut pass.position, pass.taken..pass.taken + content.len(), rest.len() as u64);
            recent.mark(&mut pass.position, &self.buffer);
            pass.taken = pass.filled;
        }
    }
}

/// Returns a mark for a position behind no line that could be found again. It tells whether the file still is
/// what it was: identity and length do not, since the system gives a deleted file's inode to the next one.
/// `None`: the file has just been cut.
fn mark_without_line(file: &File, offset: u64) -> io::Result<Option<LineMark>> {
    let len = offset.min(NO_LINE_BYTES);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, offset - len) {
        Ok(()) => Ok(Some(LineMark { hash: xxh3_64(trim_line_end(&bytes)), previous: NO_LINE, len })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The state of one pass over a file: `buffer[taken..filled]` lies behind `position` (and its skipped bytes).
struct Pass {
    position: FilePosition,
    /// Size of the file when it was opened.
    size: u64,
    filled: usize,
    taken: usize,
}

/// The last line that was handed out of a buffer, and the one before it: of a thousand lines only two are hashed.
#[derive(Default)]
struct Recent {
    /// Where it lies in the buffer, and its length with all that ends it. Then the position's own mark is not up to date.
    last: Option<(Range<usize>, u64)>,
    before: Option<Range<usize>>,
}

impl Recent {
    fn note(&mut self, position: &mut FilePosition, content: Range<usize>, span: u64) {
        position.offset += span;
        self.before = self.last.take().map(|(line, _)| line);
        self.last = Some((content, span));
    }

    /// Takes an empty line: a rewrite drops those, so they belong to the line before.
    fn note_blank(&mut self, position: &mut FilePosition, span: u64) {
        position.offset += span;
        let longest = 2 * MAX_LINE_BYTES as u64;
        match (&mut self.last, &mut position.last) {
            (Some((_, len)), _) if *len <= longest => *len += span,
            (None, Some(mark)) if mark.previous != NO_LINE && mark.len <= longest => mark.len += span,
            _ => (position.last, *self) = (None, Self::default()),
        }
    }

    /// Makes the mark of the last line.
    fn mark(self, position: &mut FilePosition, buffer: &[u8]) {
        let Some((line, len)) = self.last else { return };
        let known = position.last.filter(|mark| mark.previous != NO_LINE).map_or(0, |mark| mark.hash);
        let previous = self.before.map_or(known, |before| xxh3_64(&buffer[before]));
        position.last = Some(LineMark { hash: xxh3_64(&buffer[line]), previous, len });
    }
}

/// Returns a line without the carriage returns and newlines at its end.
pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &line[..end]
}
