//! The run logs into the ledger: what changed in `cron/runs`, file by file.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use super::scope::Scope;
use super::transcripts::Transcripts;
use super::{Stamp, stamp};
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Batch, FilePosition, Position, Reject, RejectReason, Runs, SourceId, UnixMs};
use crate::openclaw::run_log::{self, Begin, Name, Poll, PollError, Reader};
use crate::tail::OpenError;

/// What was seen of the files in the directory of run logs.
#[derive(Default)]
pub(super) struct RunLogs {
    reader: Reader,
    seen: HashMap<OsString, Seen>,
    swept: bool,
    /// Number of sweeps so far.
    sweeps: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Stamp,
    /// An unfinished last line waits; it has not been offered after its day of rest yet.
    unfinished: bool,
    /// It could not be read; whether it can be does not show in its stamp.
    refused: bool,
    /// The last sweep that came upon it.
    sweep: u64,
}

impl RunLogs {
    /// Forgets everything: the logs are elsewhere now.
    pub fn moved(&mut self) {
        self.seen.clear();
        self.swept = false;
    }

    /// Returns whether there is a log that the gateway appends to.
    pub fn is_live(&self) -> bool {
        self.seen.keys().any(|name| run_log::classify(name) == Name::Log)
    }

    /// Returns whether there is a log that a newer gateway has imported.
    pub fn is_migrated(&self) -> bool {
        self.seen.keys().any(|name| run_log::classify(name) == Name::Migrated)
    }

    /// Returns the logs that changed since they were last read, in the order of their names, so that a fresh ledger is
    /// filled job by job.
    pub fn due(&mut self, runs_dir: &Path, now: UnixMs) -> Vec<(OsString, Stamp)> {
        self.sweeps += 1;
        let mut due = Vec::new();
        if let Ok(entries) = std::fs::read_dir(runs_dir) {
            for entry in entries.flatten() {
                let name = entry.file_name();
                if run_log::classify(&name) != Name::Other
                    && let Ok(metadata) = entry.metadata()
                    && self.is_due(&name, &metadata, now)
                {
                    due.push((name, stamp(&metadata)));
                }
            }
        }
        self.seen.retain(|_, seen| seen.sweep == self.sweeps);
        due.sort_by(|a, b| a.0.cmp(&b.0));
        due
    }

    /// Returns which of these a sweep came upon that no event can have told of.
    pub fn found(&mut self, runs_dir: &Path, due: &[(OsString, Stamp)]) -> Vec<PathBuf> {
        let news = |(name, stamp): &&(OsString, Stamp)| {
            self.swept && self.seen.get(name).map(|seen| seen.stamp) != Some(*stamp)
        };
        let found = due.iter().filter(news).map(|(name, _)| runs_dir.join(name)).collect();
        self.swept = true;
        found
    }

    /// Returns whether a file that a sweep came upon is to be looked at, and notes that it is there.
    fn is_due(&mut self, name: &OsStr, metadata: &Metadata, now: UnixMs) -> bool {
        let Some(seen) = self.seen.get_mut(name) else { return true };
        seen.sweep = self.sweeps;
        let stamp = stamp(metadata);
        seen.stamp != stamp || seen.refused || (seen.unfinished && stamp.has_rested(now))
    }

    /// Reads one log until nothing new is left in it. Returns whether anything exported changed.
    pub fn read(
        &mut self,
        into: (&mut Ledger, &mut Transcripts),
        runs_dir: &Path,
        name: &OsStr,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let mut reader = std::mem::take(&mut self.reader);
        let summaries = into.0.wants_summaries();
        let poll = |from, room| {
            run_log::poll(&mut reader, runs_dir, name, Begin::Behind(from), (summaries, room), now)
        };
        // Taken before the file is read: what is appended meanwhile makes it differ again.
        let changed = match runs_dir.join(name).symlink_metadata() {
            Ok(metadata) => self.take(into, name, stamp(&metadata), now, (&mut Runs::new(), poll)),
            Err(_) => {
                self.seen.remove(name);
                Ok(false)
            }
        };
        self.reader = reader;
        changed
    }

    /// The same for many logs, of which others read ahead meanwhile: in the same order, with the same outcome.
    pub fn read_ahead(
        &mut self,
        (ledger, transcripts): (&mut Ledger, &mut Transcripts),
        runs_dir: &Path,
        due: &[(OsString, Stamp)],
        scope: &Scope,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let logs: Vec<Log> = due.iter().map(|(name, stamp)| Log::of(ledger, name, *stamp)).collect();
        std::thread::scope(|threads| {
            let mut polls: [_; READERS] = std::array::from_fn(|first| {
                let (sender, receiver) = sync_channel::<Vec<Found>>(PACKS_AHEAD);
                let (used, room) = channel();
                let logs = logs.iter().enumerate().skip(first).step_by(READERS);
                let pack = Pack { sender, polls: Vec::new(), bytes: 0 };
                threads.spawn(move || read_all(logs, runs_dir, scope, now, (pack, &room)));
                (receiver.into_iter().flatten(), used)
            });
            let (mut changed, mut room) = (false, Runs::new());
            for (nth, log) in logs.iter().enumerate() {
                let (polls, used) = &mut polls[nth % READERS];
                let next = |_: Option<FilePosition>, room| {
                    // Whoever reads may be done.
                    _ = used.send(room);
                    match polls.find(|(of, _)| *of == nth) {
                        Some((_, poll)) => poll,
                        None => {
                            let gone = std::io::ErrorKind::BrokenPipe.into();
                            Err(PollError::Read(runs_dir.join(log.name), gone))
                        }
                    }
                };
                let into = (&mut *ledger, &mut *transcripts);
                changed |= self.take(into, log.name, log.stamp, now, (&mut room, next))?;
            }
            Ok(changed)
        })
    }

    /// Takes what is found in one log, piece by piece. `stamp` is what it was before that; `poll` gets the room of the runs before.
    fn take(
        &mut self,
        (ledger, transcripts): (&mut Ledger, &mut Transcripts),
        name: &OsStr,
        stamp: Stamp,
        now: UnixMs,
        (room, mut poll): (&mut Runs, impl FnMut(Option<FilePosition>, Runs) -> Result<Poll, PollError>),
    ) -> Result<bool, LedgerError> {
        let source = run_log::source_id(name);
        let (mut changed, mut refused) = (false, false);
        let unfinished = loop {
            let stored = ledger.position(&source).cloned();
            match poll(position_of(ledger, name, stamp), std::mem::take(room)) {
                Ok(poll) => {
                    if let Some(batch) = poll.batch {
                        let batch = Batch { from: stored, ..batch };
                        changed |= ledger.apply(&batch, now)?.changed;
                        transcripts.runs(&batch.runs, now);
                        *room = batch.runs;
                    }
                    if !poll.more {
                        break poll.unfinished;
                    }
                }
                Err(PollError::Open(OpenError::Vanished(_))) => break false,
                Err(error) => {
                    changed |= self.refuse(ledger, name, stamp, &error, now)?;
                    refused = true;
                    break false;
                }
            }
        };
        let unfinished = unfinished && !stamp.has_rested(now);
        let seen = Seen { stamp, unfinished, refused, sweep: self.sweeps };
        self.seen.insert(name.to_owned(), seen);
        Ok(changed)
    }

    /// Counts a name that cannot be read, once for each thing that bears it.
    fn refuse(
        &self,
        ledger: &mut Ledger,
        name: &OsStr,
        stamp: Stamp,
        error: &PollError,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let reason = match error {
            PollError::Open(OpenError::NotAFile(_)) => RejectReason::NotAFile,
            PollError::Open(OpenError::SymlinkOutside(_)) => RejectReason::SymlinkOutside,
            _ => RejectReason::Unreadable,
        };
        let source = run_log::source_id(name);
        let from = ledger.position(&source).cloned();
        let file = stamp.file;
        let position = from.as_ref().and_then(Position::file);
        let refused_before = match position {
            Some(position) if position.last.is_none() && position.offset == 0 => position.file == file,
            // Read before: the position must not be lost. Once per process is enough.
            Some(_) => self.seen.contains_key(name),
            None => false,
        };
        if refused_before {
            return Ok(false);
        }
        tracing::warn!(reason = reason.as_str(), "{error}");
        let keeps = position.filter(|position| position.last.is_some());
        let to = Position::File(keeps.unwrap_or(FilePosition { file, ..FilePosition::default() }));
        let rejects = vec![Reject::new(reason, source.to_string())];
        let batch = Batch { rejects, ..Batch::new(source, from, to) };
        Ok(ledger.apply(&batch, now)?.changed)
    }
}

/// Returns how far a log was read. One that an upgrade renamed is the file that was read under its old name: go on where
/// that stopped.
fn position_of(ledger: &Ledger, name: &OsStr, stamp: Stamp) -> Option<FilePosition> {
    let of = |source: &SourceId| ledger.position(source).and_then(Position::file);
    let before = || of(&run_log::id_before_migration(name)?).filter(|position| position.file == stamp.file);
    of(&run_log::source_id(name)).or_else(before)
}

/// Threads that read ahead, and packs of some 1 MiB that each may be ahead by: memory stays bounded.
const READERS: usize = 2;
const PACKS_AHEAD: usize = 2;
/// Bytes read that make a pack full, and looks that do: to wake another thread for each of many small logs takes longer than
/// to read them, and what is in many packs has memory that is not used again.
const PACK_BYTES: u64 = 256 << 10;
const PACK_POLLS: usize = 4;

/// A log to be read by another thread.
struct Log<'a> {
    name: &'a OsStr,
    stamp: Stamp,
    from: Option<FilePosition>,
    summaries: bool,
}

impl<'a> Log<'a> {
    fn of(ledger: &Ledger, name: &'a OsStr, stamp: Stamp) -> Self {
        let from = position_of(ledger, name, stamp);
        Self { name, stamp, from, summaries: ledger.wants_summaries() }
    }

    /// Reads it piece by piece. Returns whether anybody still wants to know.
    fn read(
        &self,
        reader: &mut Reader,
        (runs_dir, scope): (&Path, &Scope),
        now: UnixMs,
        room: &Receiver<Runs>,
        mut tell: impl FnMut(Result<Poll, PollError>) -> bool,
    ) -> bool {
        let mut left = self.stamp.size;
        let mut begin = match (self.from, scope.begin()) {
            (None, Some(since)) => Begin::Since(since),
            (from, _) => Begin::Behind(from),
        };
        loop {
            let runs = (self.summaries, room.try_recv().unwrap_or_default());
            let poll = run_log::poll(reader, runs_dir, self.name, begin, runs, now);
            let done = poll.as_ref().map_or(0, |poll| poll.bytes_read.min(left));
            left -= done;
            scope.note(done);
            let next = poll.as_ref().ok().filter(|poll| poll.more).and_then(|poll| poll.batch.as_ref());
            let next = next.and_then(|batch| batch.to.file());
            if !tell(poll) {
                return false;
            }
            let Some(next) = next else {
                scope.note(left);
                return true;
            };
            begin = Begin::Behind(Some(next));
        }
    }
}

/// What one look found in a log, which is given by its place among all of them.
type Found = (usize, Result<Poll, PollError>);

/// What goes to the other thread at once.
struct Pack {
    sender: SyncSender<Vec<Found>>,
    polls: Vec<Found>,
    bytes: u64,
}

impl Pack {
    /// Puts a look in. Returns whether anybody still wants to know.
    fn put(&mut self, found: Found) -> bool {
        self.bytes += found.1.as_ref().map_or(0, |poll| poll.bytes_read);
        self.polls.push(found);
        self.bytes < PACK_BYTES && self.polls.len() < PACK_POLLS || self.send()
    }

    fn send(&mut self) -> bool {
        self.bytes = 0;
        self.sender.send(std::mem::take(&mut self.polls)).is_ok()
    }
}

fn read_all<'a>(
    logs: impl Iterator<Item = (usize, &'a Log<'a>)>,
    runs_dir: &Path,
    scope: &Scope,
    now: UnixMs,
    (mut pack, room): (Pack, &Receiver<Runs>),
) {
    let mut reader = Reader::default();
    for (nth, log) in logs {
        if !log.read(&mut reader, (runs_dir, scope), now, room, |poll| pack.put((nth, poll))) {
            return;
        }
    }
    // Nobody may want to know any more.
    _ = pack.send();
}
