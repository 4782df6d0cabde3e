//! The gateway's own log, in which the scheduler says what no record of a run tells.
//!
//! `line` is the format, the same in all recorded versions (2026.2.17 to 2026.9.6): one record of tslog's a line.
//! `message` is what the scheduler says, `place` where the file is. Invariants: a line that does not speak of the scheduler
//! costs one search for a word; nothing that a user, a model or a provider wrote leaves here, and no address.
//! Deliberately absent: other parts of the gateway, whose lines are many and hold texts.

mod line;
mod message;
mod place;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

pub use line::parse_line;
pub use message::Obstacle;
pub use place::{DEFAULT_DIR, LogFile, Place};

use crate::model::{FilePosition, GatewayEvent, Reject, RejectReason, SourceId, UnixMs};
use crate::tail::{Line, OpenError, Reader, open_regular};

/// What the attribute `openclaw.source` says of this store.
pub const SOURCE: &str = "gateway-log";
/// What all names of its sources begin with.
pub const PREFIX: &str = "gateway-log/";

/// Bytes that one look takes at most: little of it is ever kept.
const LOOK_BYTES: u64 = 8 << 20;

/// Returns the source's id: the key of its position.
#[must_use]
pub fn source_id(name: &OsStr) -> SourceId {
    let readable =
        name.to_str().map_or_else(|| name.as_encoded_bytes().escape_ascii().to_string(), ToOwned::to_owned);
    SourceId(format!("{PREFIX}{readable}"))
}

/// What one look at a log found.
#[derive(Debug)]
pub struct Poll {
    /// The position behind the last whole line.
    pub to: FilePosition,
    /// What the scheduler said since.
    pub events: Vec<GatewayEvent>,
    /// What could not be read of what it said.
    pub rejects: Vec<Reject>,
    /// The line that was read last is gone.
    pub gap: bool,
    /// There is more to read at once.
    pub more: bool,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be read.
    #[error("cannot read {0}: {1}; it is tried again at its next change and at every sweep")]
    Read(PathBuf, io::Error),
}

/// Looks at one log and returns what lies behind `from`. What was said before `since` is left out.
///
/// # Errors
/// See [`PollError`]; nothing is consumed then.
pub fn poll(
    reader: &mut Reader,
    (dir, name): (&Path, &OsStr),
    from: Option<FilePosition>,
    since: UnixMs,
    now: UnixMs,
) -> Result<Poll, PollError> {
    let file = open_regular(dir, Path::new(name))?;
    let source = source_id(name);
    let (mut events, mut rejects) = (Vec::new(), Vec::new());
    let mut reject = |reason: RejectReason, bytes: u64| {
        rejects.push(Reject::new(reason, format!("{source}: a line of {bytes} B")));
    };
    let outcome = reader
        .read(&file, from, LOOK_BYTES, false, |line| {
            match line {
                Line::Whole(line) => match parse_line(line, now) {
                    Ok(event) => events.extend(event.filter(|event| event.at >= since)),
                    Err(reason) => reject(reason, line.len() as u64),
                },
                Line::TooLong { bytes } => reject(RejectReason::LineTooLong, bytes),
                // Its end is still to come, and it cannot be told from a whole one before.
                Line::Unfinished(_) => return false,
            }
            true
        })
        .map_err(|error| PollError::Read(dir.join(name), error))?;
    Ok(Poll { to: outcome.to, events, rejects, gap: outcome.gap, more: outcome.more })
}

#[cfg(test)]
mod tests;
