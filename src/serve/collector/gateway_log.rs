//! The gateway's log into the ledger: what the scheduler said, file by file.
//!
//! A file is known by its number, since rotation gives it another name: where it was read to goes with it. Positions that
//! no event moved are committed now and then only; what is read a second time is counted once by the ledger.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{Stamp, stamp};
use crate::config::GatewayLog as Setting;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Batch, FileId, FilePosition, Position, UnixMs};
use crate::openclaw::gateway_log::{self, DEFAULT_DIR, LogFile, Place, PollError};
use crate::tail::{OpenError, Reader};

/// What was said longer ago gives no event: 7 days in milliseconds.
pub(super) const KEPT_MS: i64 = 7 * 86_400_000;
/// A position is committed when it has moved so far, in bytes, though nothing was found.
const COMMIT_BYTES: u64 = 1 << 20;

/// The log, and what was seen of it.
pub(super) struct GatewayLog {
    setting: Setting,
    reader: Reader,
    place: Option<Place>,
    seen: HashMap<OsString, Stamp>,
    /// How far files were read beyond what is committed.
    ahead: HashMap<OsString, FilePosition>,
    /// Files that were there at the last look.
    present: bool,
    problem: Option<String>,
}

impl GatewayLog {
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            reader: Reader::default(),
            place: None,
            seen: HashMap::new(),
            ahead: HashMap::new(),
            present: false,
            problem: None,
        }
    }

    /// Says where the log is: as the operator says, else as the gateway's configuration does, else where OpenClaw puts it.
    pub fn locate(&mut self, configured: Option<&Path>, state_dir: &Path) {
        let place = gateway_log_place(&self.setting, configured, state_dir);
        if place != self.place {
            self.place = place;
            self.seen.clear();
            self.ahead.clear();
        }
    }

    /// Returns the directory if there is one to be watched. One that is not there is found by a sweep: the one above it
    /// is as a rule everybody's, and never at rest.
    pub fn directory(&self) -> Option<&Path> {
        self.place.as_ref().map(Place::dir).filter(|dir| dir.is_dir())
    }

    /// Returns whether a path is one of the log's files.
    pub fn holds(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        self.place.as_ref().is_some_and(|place| path.parent() == Some(place.dir()) && place.holds(name))
    }

    /// Returns whether there is a log that can be read; `None`: there is none.
    pub fn is_up(&self, ledger: &Ledger) -> Option<bool> {
        self.place.as_ref()?;
        let was_read = || ledger.positions_under(gateway_log::PREFIX).next().is_some();
        match (self.present, &self.problem) {
            (true, problem) => Some(problem.is_none()),
            (false, Some(_)) => Some(false),
            (false, None) => was_read().then_some(false),
        }
    }

    /// Reads what is new. Returns whether anything exported changed.
    pub fn read(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        let Some(place) = self.place.clone() else { return Ok(false) };
        let files = match self.files(&place) {
            Ok(files) => files,
            Err(error) => {
                let dir = place.dir().display();
                self.settle(Some(format!(
                    "cannot look for the gateway's log in {dir}: {error}; give this user access"
                )));
                return Ok(false);
            }
        };
        self.present = !files.is_empty();
        let (mut changed, mut problem) = (false, None);
        for file in &files {
            let stamp = stamp(&file.metadata);
            if self.seen.get(&file.name) == Some(&stamp) {
                continue;
            }
            match self.read_file(ledger, (&place, &files), file, now)? {
                Ok(more) => {
                    changed |= more;
                    self.seen.insert(file.name.clone(), stamp);
                }
                Err(PollError::Open(OpenError::Vanished(_))) => {}
                Err(error) => problem = Some(error.to_string()),
            }
        }
        self.settle(problem);
        if matches!(place, Place::Dated { .. }) {
            self.forget(ledger, &files)?;
        }
        Ok(changed)
    }

    /// Returns the files; what was rotated only if the file that is written to is another than it was.
    fn files(&self, place: &Place) -> std::io::Result<Vec<LogFile>> {
        let files = place.files(false)?;
        let same = |file: &LogFile| {
            self.seen.get(&file.name).map(|seen| seen.file) == Some(stamp(&file.metadata).file)
        };
        if matches!(place, Place::Dated { .. }) || files.iter().all(same) {
            Ok(files)
        } else {
            place.files(true)
        }
    }

    fn read_file(
        &mut self,
        ledger: &mut Ledger,
        (place, files): (&Place, &[LogFile]),
        file: &LogFile,
        now: UnixMs,
    ) -> Result<Result<bool, PollError>, LedgerError> {
        let source = gateway_log::source_id(&file.name);
        let id = stamp(&file.metadata).file;
        let (mut from, moved) = self.position(ledger, files, &file.name, id);
        let mut changed = false;
        loop {
            let at = (place.dir(), file.name.as_os_str());
            let poll = match gateway_log::poll(&mut self.reader, at, from, now.plus(-KEPT_MS), now) {
                Ok(poll) => poll,
                Err(error) => return Ok(Err(error)),
            };
            let stored = ledger.position(&source).cloned();
            let committed = stored.as_ref().and_then(Position::file);
            let is_near = committed.is_some_and(|known| {
                known.file == poll.to.file && poll.to.offset.abs_diff(known.offset) < COMMIT_BYTES
            });
            if is_near && poll.events.is_empty() && poll.rejects.is_empty() && !poll.gap {
                self.ahead.insert(file.name.clone(), poll.to);
            } else {
                let batch = Batch {
                    events: poll.events,
                    rejects: poll.rejects,
                    gap: poll.gap && !moved,
                    ..Batch::new(source.clone(), stored, Position::File(poll.to))
                };
                changed |= ledger.apply(&batch, now)?.changed;
                self.ahead.remove(&file.name);
            }
            if !poll.more {
                return Ok(Ok(changed));
            }
            from = Some(poll.to);
        }
    }

    /// Returns how far a file was read, under this name or the one that it had, and whether that is nothing to be held
    /// against it: then what is not found again is no gap.
    fn position(
        &self,
        ledger: &Ledger,
        files: &[LogFile],
        name: &OsStr,
        id: FileId,
    ) -> (Option<FilePosition>, bool) {
        let committed = ledger.position(&gateway_log::source_id(name)).and_then(Position::file);
        let own = self.ahead.get(name).copied().or(committed);
        if own.is_some_and(|own| own.file == id) {
            return (own, false);
        }
        let ahead = self.ahead.values().copied();
        let known = ledger.positions_under(gateway_log::PREFIX).filter_map(|(_, position)| position.file());
        let renamed = ahead.chain(known).filter(|known| known.file == id).max_by_key(|known| known.offset);
        // What stood under this name has another now, or its number was given on.
        let rotated = |own: FilePosition| files.iter().any(|file| stamp(&file.metadata).file == own.file);
        match (renamed, own) {
            (Some(_), _) => (renamed, true),
            (None, Some(own)) if rotated(own) => (None, true),
            (None, own) => (own, false),
        }
    }

    /// Forgets days that the gateway has deleted.
    fn forget(&mut self, ledger: &mut Ledger, files: &[LogFile]) -> Result<(), LedgerError> {
        let kept: Vec<_> = files.iter().map(|file| gateway_log::source_id(&file.name)).collect();
        self.seen.retain(|name, _| files.iter().any(|file| file.name == *name));
        self.ahead.retain(|name, _| files.iter().any(|file| file.name == *name));
        // A log that is away for a moment is still the one that was read.
        if kept.is_empty() {
            Ok(())
        } else {
            ledger.forget_positions(gateway_log::PREFIX, |id| kept.contains(id))
        }
    }

    fn settle(&mut self, problem: Option<String>) {
        if let Some(text) = problem.as_ref().filter(|_| problem != self.problem) {
            tracing::warn!("{text}");
        }
        self.problem = problem;
    }
}

/// Returns where the log is; `None`: it is not read.
#[must_use]
pub fn gateway_log_place(setting: &Setting, configured: Option<&Path>, state_dir: &Path) -> Option<Place> {
    let path = match setting {
        Setting::Off => return None,
        Setting::At(path) => Some(path.as_path()),
        Setting::Auto => configured,
    };
    Some(path.map_or_else(|| Place::by_default(Path::new(DEFAULT_DIR), state_dir), Place::of))
}
