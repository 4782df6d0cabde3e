//! The run logs of OpenClaw up to 2026.5.28: `runs/<jobId>.jsonl`, one record a line.
//!
//! OpenClaw appends whole lines; when a log exceeds 2,000,000 B it writes the last 2,000 lines to a temporary
//! file and renames that over the log. With lines of more than 1,000 B this happens at every append. A newer
//! OpenClaw imports the logs and renames them `*.jsonl.migrated`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use memchr::memmem;

use super::record::{BEGINNING, Records, is_whole_record, parse_line};
use super::summary::summary_of;
use crate::model::{Batch, FileId, FilePosition, Position, Reject, RejectReason, Runs, SourceId, UnixMs};
use crate::tail::{self, Age, Line, OpenError, Regular, open_regular};

/// What the attribute `openclaw.source` says of this store.
pub const SOURCE: &str = "run-log";

/// Bytes that one batch takes up at most, give or take a line: bounds memory and the length of a transaction.
const BATCH_BYTES: u64 = 1 << 20;
/// After this time without a newline a whole last record counts all the same: 24 h in milliseconds.
pub const UNFINISHED_MS: i64 = 86_400_000;

/// By how much the gateway's clock may have been set back while it wrote what is asked for by time: 1 h in milliseconds.
pub const SLACK_MS: i64 = 3_600_000;
/// After this many bytes of older records no newer one is looked for before them.
const BEYOND_BYTES: u64 = 32 << 10;

/// What a name in the directory of run logs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A run log.
    Log,
    /// A run log that a newer OpenClaw has imported.
    Migrated,
    /// A temporary file of a prune, or none of ours.
    Other,
}

/// Returns what a name is. Temporary files end in `.tmp` or begin with a dot.
#[must_use]
pub fn classify(name: &OsStr) -> Name {
    let name = name.as_encoded_bytes();
    if name.starts_with(b".") {
        Name::Other
    } else if name.ends_with(b".jsonl") {
        Name::Log
    } else if name.ends_with(b".jsonl.migrated") {
        Name::Migrated
    } else {
        Name::Other
    }
}

/// Returns the source's id: the key of its position.
#[must_use]
pub fn source_id(name: &OsStr) -> SourceId {
    let readable =
        name.to_str().map_or_else(|| name.as_encoded_bytes().escape_ascii().to_string(), ToOwned::to_owned);
    SourceId(format!("{SOURCE}/{readable}"))
}

/// Returns the id that a migrated log had before, so that its position can be taken over.
#[must_use]
pub fn id_before_migration(name: &OsStr) -> Option<SourceId> {
    let id = source_id(name);
    id.0.strip_suffix(".migrated").map(|before| SourceId(before.to_owned()))
}

/// What one look at a run log found.
#[derive(Debug)]
pub struct Poll {
    /// What is new; `None` if nothing is.
    pub batch: Option<Batch>,
    /// There is more to read at once.
    pub more: bool,
    /// An unfinished last line waits for its newline.
    pub unfinished: bool,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Why a run log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be read.
    #[error("cannot read {0}: {1}; it is tried again at its next change and at every sweep")]
    Read(std::path::PathBuf, io::Error),
}

/// Reads run logs, and keeps for the next one what saves time and memory.
#[derive(Debug, Default)]
pub struct Reader {
    lines: tail::Reader,
    records: Records,
}

/// Where a look at a log begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// Behind what was read; `None`: nothing was.
    Behind(Option<FilePosition>),
    /// Where nothing is missed that was recorded from then on, as far as clocks went on ([`SLACK_MS`]).
    Since(UnixMs),
}

/// Returns where to begin with a log so that nothing is missed that was recorded from `since` on: records are appended
/// when their runs have ended, so that those lie at its end. Only a clock that was set back mixes them; it is for the
/// caller to ask for as much more ([`SLACK_MS`]).
fn position_since(
    reader: &mut tail::Reader,
    log: &Regular,
    since: UnixMs,
    now: UnixMs,
) -> io::Result<FilePosition> {
    let beginning = memmem::Finder::new(BEGINNING);
    let metadata = &log.metadata;
    let age = |line: &[u8]| match recorded_at(line, now) {
        Some(at) if at >= since => Age::Wanted,
        // What was torn by a crash may have a newer record behind it.
        Some(_) if line.len() > 1 && beginning.find(&line[1..]).is_some() => Age::Unknown,
        Some(_) => Age::Older,
        None => Age::Unknown,
    };
    // What was not written to since holds nothing. A second is what some file systems know of times.
    let offset = match UnixMs(metadata.mtime().saturating_add(1).saturating_mul(1000)) < since {
        true => metadata.len(),
        false => reader.start_of_wanted(log, BEYOND_BYTES, age)?,
    };
    let file = FileId { dev: metadata.dev(), ino: metadata.ino() };
    Ok(FilePosition { file, offset, ..FilePosition::default() })
}

/// Returns when a line was recorded, if it says.
fn recorded_at(line: &[u8], now: UnixMs) -> Option<UnixMs> {
    // Times have 13 digits until the year 2286.
    if let Some(rest) = line.strip_prefix(BEGINNING)
        && let Some((digits, rest)) = rest.split_first_chunk::<13>()
        && rest.first() == Some(&b',')
        && digits.iter().all(u8::is_ascii_digit)
    {
        return Some(UnixMs(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))));
    }
    let mut newest = None;
    parse_line(line, now, |parsed| {
        if let Ok(run) = parsed {
            newest = newest.max(Some(run.recorded_at));
        }
    });
    newest
}

/// Looks at one run log and returns what lies from there on, with what runs said if `summaries` are wanted.
/// `runs` is room for those that are found.
///
/// # Errors
/// See [`PollError`]; nothing is consumed then.
pub fn poll(
    Reader { lines, records }: &mut Reader,
    runs_dir: &Path,
    name: &OsStr,
    begin: Begin,
    (summaries, mut runs): (bool, Runs),
    now: UnixMs,
) -> Result<Poll, PollError> {
    runs.clear();
    let log = open_regular(runs_dir, Path::new(name))?;
    let failed = |error| PollError::Read(runs_dir.join(name), error);
    let from = match begin {
        Begin::Behind(from) => from,
        Begin::Since(since) => Some(position_since(lines, &log, since, now).map_err(failed)?),
    };
    let modified = log.metadata.mtime().saturating_mul(1000);
    let offer_unfinished = now.since(UnixMs(modified)) >= UNFINISHED_MS;
    let source = source_id(name);
    let (mut said, mut rejects) = (Vec::new(), Vec::new());
    let mut take = |line: &[u8]| {
        let before = runs.len();
        records.parse_line(line, now, |parsed, alike| match parsed {
            Ok(run) if alike => runs.push_alike(&run),
            Ok(run) => runs.push(&run),
            Err(reason) => rejects.push(Reject::new(reason, sample(&source, line.len() as u64))),
        });
        // Of several records on one line, none is taken for another's.
        if summaries && runs.len() == before + 1 {
            said.extend(runs.last_key().zip(summary_of(line)));
        }
    };
    let mut too_long = Vec::new();
    let outcome = lines
        .read(&log, from, BATCH_BYTES, offer_unfinished, |line| match line {
            Line::Whole(line) => {
                take(line);
                true
            }
            Line::Unfinished(rest) => {
                let whole = is_whole_record(rest, now);
                if whole {
                    take(rest);
                }
                whole
            }
            Line::TooLong { bytes } => {
                too_long.push(bytes);
                true
            }
        })
        .map_err(failed)?;
    rejects
        .extend(too_long.iter().map(|bytes| Reject::new(RejectReason::LineTooLong, sample(&source, *bytes))));
    let changed = from != Some(outcome.to) || outcome.gap;
    let batch = changed.then_some(Batch {
        runs,
        summaries: said,
        rejects,
        gap: outcome.gap,
        ..Batch::new(source, from.map(Position::File), Position::File(outcome.to))
    });
    Ok(Poll { batch, more: outcome.more, unfinished: outcome.unfinished > 0, bytes_read: outcome.bytes_read })
}

/// Says where a reject was and how long, and nothing of what it said.
fn sample(source: &SourceId, bytes: u64) -> String {
    format!("{source}: a line of {bytes} B")
}

#[cfg(test)]
mod tests;
