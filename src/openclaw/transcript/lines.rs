//! Lines of any length in bounded memory.
//!
//! A line of a transcript holds what was said: a prompt, a tool's whole output, an image. Nothing of that is wanted,
//! but the usage of a call stands behind its content, so that a long line cannot be cut off. Instead its long strings
//! are: what is kept of a line is its structure, and the beginning of each string. All values that are read are
//! shorter than that, and what is kept of a line is as valid as the line.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;

/// Bytes that are kept of a string.
const MAX_STRING_BYTES: usize = 4096;
/// Bytes that are kept of a line at most; one with more structure than this is stepped over.
const MAX_KEPT_BYTES: usize = 1 << 20;
/// Longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 256 << 20;
/// Largest event that is unpacked, in bytes. OpenClaw 2026.9.6 itself compresses none above 4 MiB.
const MAX_EVENT_BYTES: u64 = 64 << 20;
/// Largest archive that is unpacked, in bytes.
const MAX_ARCHIVE_BYTES: u64 = 1 << 30;
/// Largest window of compressed data, in bytes: what every decoder of the format is asked to support.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// Why a stream of lines ended early.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// It could not be read.
    #[error("cannot read a transcript: {0}; its calls are counted once it can be read")]
    Read(#[from] io::Error),
    /// It is not zstd, needs a dictionary or more memory than it may.
    #[error("cannot unpack a transcript: {0}; its calls are not counted")]
    Unpack(String),
    /// It unpacks to more than it may.
    #[error("a transcript unpacks to more than {0} bytes; the calls behind that are not counted")]
    TooLarge(u64),
}

/// Takes bytes as they come and hands out lines with their long strings cut.
#[derive(Debug, Default)]
pub struct Lines {
    kept: Vec<u8>,
    /// Bytes of the current line.
    seen: u64,
    /// Bytes of the current string; `None` outside of one.
    string: Option<usize>,
    /// The rest of the current string is left out.
    cutting: bool,
    /// Bytes that still belong to an escape.
    escape: u8,
    too_long: bool,
}

impl Lines {
    /// Takes the next bytes; `on_line` gets each line that they end, `None` for one beyond the limits.
    pub fn feed(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(Option<&[u8]>)) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let run = self.take_run(rest);
            if run > 0 {
                rest = &rest[run..];
                continue;
            }
            if byte == b'\n' {
                self.end(on_line);
            } else {
                self.take(byte);
            }
            rest = &rest[1..];
        }
    }

    /// Takes the bytes up to the next one that may end what is under way, all at once. Returns their number.
    fn take_run(&mut self, bytes: &[u8]) -> usize {
        let run = match self.string {
            _ if self.too_long => memchr::memchr(b'\n', bytes).unwrap_or(bytes.len()),
            Some(_) if self.escape > 0 => 0,
            Some(_) if self.cutting => memchr::memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len()),
            Some(length) => {
                let room = MAX_STRING_BYTES.saturating_sub(length).min(MAX_KEPT_BYTES - self.kept.len());
                let near = &bytes[..room.min(bytes.len())];
                memchr::memchr3(b'"', b'\\', b'\n', near).unwrap_or(near.len())
            }
            None => 0,
        };
        if let Some(length) = self.string.as_mut().filter(|_| !self.cutting && !self.too_long) {
            *length += run;
            self.kept.extend_from_slice(&bytes[..run]);
        }
        self.seen += run as u64;
        run
    }

    /// Hands out what no newline ends, if there is anything.
    pub fn end(&mut self, on_line: &mut dyn FnMut(Option<&[u8]>)) {
        if self.seen > 0 {
            on_line((!self.too_long).then_some(&self.kept));
        }
        self.kept.clear();
        *self = Self { kept: std::mem::take(&mut self.kept), ..Self::default() };
    }

    /// Reads a stream to its end, as [`feed`](Self::feed) and [`end`](Self::end) do.
    ///
    /// # Errors
    /// See [`LinesError`]. Lines before the error were handed out.
    pub fn read(
        &mut self,
        from: &mut dyn Read,
        limit: u64,
        on_line: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), LinesError> {
        let mut buffer = vec![0; 64 << 10];
        let mut total: u64 = 0;
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            total += read as u64;
            if total > limit {
                return Err(LinesError::TooLarge(limit));
            }
            self.feed(&buffer[..read], on_line);
        }
        self.end(on_line);
        Ok(())
    }

    fn take(&mut self, byte: u8) {
        self.seen += 1;
        if self.seen > MAX_LINE_BYTES {
            self.too_long = true;
        }
        if self.too_long {
            return;
        }
        let keep = self.keeps(byte);
        if keep && self.kept.len() == MAX_KEPT_BYTES {
            self.too_long = true;
        } else if keep {
            self.kept.push(byte);
        }
    }

    /// Follows strings and escapes; says whether the byte stays.
    fn keeps(&mut self, byte: u8) -> bool {
        let Some(length) = &mut self.string else {
            if byte == b'"' {
                self.string = Some(0);
            }
            return true;
        };
        if self.escape > 0 {
            // `\u` and four digits, or one character.
            self.escape = if self.escape == 1 && byte == b'u' { 5 } else { self.escape } - 1;
            *length += 1;
            return !self.cutting;
        }
        if byte == b'"' {
            self.string = None;
            self.cutting = false;
            return true;
        }
        // Only between two characters may a string end.
        self.cutting |= *length >= MAX_STRING_BYTES && byte & 0xc0 != 0x80;
        if byte == b'\\' {
            self.escape = 1;
        }
        *length += 1;
        !self.cutting
    }
}

/// Unpacks one zstd frame: an event of a database, or a whole archive of lines (`archive`).
///
/// # Errors
/// See [`LinesError`]. Lines before the error were handed out.
pub fn unpack(
    mut packed: impl Read,
    archive: bool,
    on_line: &mut dyn FnMut(Option<&[u8]>),
) -> Result<(), LinesError> {
    // One decoder in the binary, not one per caller.
    let packed: &mut dyn Read = &mut packed;
    let mut decoder = StreamingDecoder::new_with_max_window_size(packed, MAX_WINDOW_BYTES)
        .map_err(|error| LinesError::Unpack(error.to_string()))?;
    let limit = if archive { MAX_ARCHIVE_BYTES } else { MAX_EVENT_BYTES };
    match Lines::default().read(&mut decoder, limit, on_line) {
        // The decoder reports whatever is wrong with the data as an error of reading.
        Err(LinesError::Read(error)) => Err(LinesError::Unpack(error.to_string())),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], chunk: usize) -> Vec<Option<Vec<u8>>> {
        let mut out = Vec::new();
        let mut lines = Lines::default();
        let mut on_line = |line: Option<&[u8]>| out.push(line.map(<[u8]>::to_vec));
        text.chunks(chunk).for_each(|chunk| lines.feed(chunk, &mut on_line));
        lines.end(&mut on_line);
        out
    }

    #[test]
    fn short_lines_stay_as_they_are() {
        let text = br#"{"a":"b\"c\\","d":[1,{"e":"\u00e9\n"}]}"#;
        let twice = [&text[..], b"\n\n", text, b"\n"].concat();
        for chunk in [1, 7, 1000] {
            assert_eq!(lines(&twice, chunk), vec![Some(text.to_vec()), Some(text.to_vec())]);
        }
    }

    #[test]
    fn long_strings_are_cut_between_characters() {
        // Each unit is a character or an escape that must not be torn, moved across the limit by a prefix.
        for unit in ["a", "é", "€", "😀", "\\n", "\\\\", "\\\"", "\\u00e9"] {
            for prefix in 0..8 {
                let text = format!(
                    r#"{{"text":"{}{}","usage":{{"input":7}}}}"#,
                    "x".repeat(prefix),
                    unit.repeat(20_000)
                );
                let kept = lines(text.as_bytes(), 4096).remove(0).unwrap();
                assert!(kept.len() < MAX_STRING_BYTES + 100, "{unit}: {}", kept.len());
                let value: serde_json::Value = serde_json::from_slice(&kept).unwrap();
                assert_eq!(value["usage"]["input"], 7, "{unit}");
            }
        }
    }

    #[test]
    fn a_line_of_structure_is_given_up_and_the_next_one_is_read() {
        let text = format!("[{}]\n{{\"a\":1}}\n", "1,".repeat(MAX_KEPT_BYTES));
        assert_eq!(lines(text.as_bytes(), 1 << 16), vec![None, Some(b"{\"a\":1}".to_vec())]);
    }

    #[test]
    fn a_bomb_is_left_at_the_limit() {
        let mut handed_out = 0;
        let bomb = zstd::encode_all(io::repeat(b'a').take(MAX_EVENT_BYTES + 1), 1).unwrap();
        assert!(bomb.len() < 100_000);
        let result = unpack(&bomb[..], false, &mut |_| handed_out += 1);
        assert!(matches!(result, Err(LinesError::TooLarge(MAX_EVENT_BYTES))), "{result:?}");
        assert_eq!(handed_out, 0);
    }

    #[test]
    fn what_is_no_frame_or_wants_too_much_memory_is_an_error() {
        let frame = zstd::encode_all(&b"{\"a\":1}\n{\"a\":2}"[..], 3).unwrap();
        let mut seen = Vec::new();
        unpack(&frame[..], false, &mut |line| seen.push(line.unwrap().to_vec())).unwrap();
        assert_eq!(seen, [b"{\"a\":1}", b"{\"a\":2}"]);
        // A window of 1 GiB: exponent 20, no content size.
        let greedy = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00];
        for broken in [&b"no zstd"[..], &frame[..frame.len() / 2], &greedy] {
            let result = unpack(broken, false, &mut |_| panic!("a line"));
            assert!(matches!(result, Err(LinesError::Unpack(_))), "{result:?}");
        }
    }
}
