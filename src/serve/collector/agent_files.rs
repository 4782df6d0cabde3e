//! The files in `agents/<agent>/sessions`: transcripts, the archives that they become, and the index of the sessions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::transcripts::{SOURCE, Sessions};
use super::{Stamp, stamp, stamp_of};
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Batch, FilePosition, Position, RejectReason, SourceId, UnixMs};
use crate::openclaw::transcript::{
    self, Event, Lines, Name, Transcript, parse_line, parse_sessions_index, parse_trajectory_head,
};
use crate::tail::{OpenError, Regular, open_regular};

/// Bytes that one look at a file reads at most: a large one must not hold the others up.
const LOOK_BYTES: u64 = 4 << 20;
const CHUNK_BYTES: usize = 64 << 10;
/// Largest index of sessions, and beginning of a trajectory, that is read, in bytes.
const MAX_INDEX_BYTES: u64 = 64 << 20;
const MAX_HEAD_BYTES: u64 = 256 << 10;
/// The index is written anew with every message: read it at most once in this time.
const INDEX_MS: i64 = 1_000;
/// A file that did not change for this long is only looked at when its directory changed: 1 h in milliseconds.
const REST_MS: i64 = 3_600_000;

/// How far a look got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// To the end.
    All,
    /// There is more.
    Part,
}

/// The session files of all agents.
#[derive(Default)]
pub(super) struct AgentFiles {
    files: HashMap<PathBuf, FileState>,
    /// Directories by path, as they were when they were last listed, with their index and when that was read.
    directories: BTreeMap<PathBuf, Directory>,
    /// What was known of sessions when files of no job were last thought over.
    links: u64,
    swept: bool,
    /// The stored positions may be those of files that are gone.
    gone: bool,
}

#[derive(Default)]
struct Directory {
    listed: Option<Stamp>,
    index: Option<Stamp>,
    index_read: Option<UnixMs>,
}

struct FileState {
    stamp: Stamp,
    /// Bytes of whole lines that were read.
    offset: u64,
    transcript: Transcript,
    /// When the session was opened, as far as it was read.
    opened: Option<UnixMs>,
    /// No job's: the rest is not read.
    foreign: bool,
    /// Bytes that an earlier process read: what makes no sense in them was counted then.
    counted: u64,
    /// Nothing was read by this process. The first line is needed to go on.
    resumed: bool,
    /// Its position is stored.
    stored: bool,
}

impl AgentFiles {
    /// Returns the directories that exist.
    pub fn directories(&self) -> Vec<PathBuf> {
        let agents = self.directories.keys().filter_map(|sessions| sessions.parent());
        let nested = agents.flat_map(|agent| [agent.into(), agent.join("sessions"), agent.join("agent")]);
        nested.filter(|path| path.is_dir()).collect()
    }

    /// Looks at every directory and at each file that may have changed, the newest first.
    pub fn sweep(
        &mut self,
        sessions: &mut Sessions,
        ledger: &mut Ledger,
        agents: &Path,
        now: UnixMs,
    ) -> Vec<PathBuf> {
        let mut due: Vec<(PathBuf, Stamp)> = Vec::new();
        for entry in std::fs::read_dir(agents).into_iter().flatten().flatten() {
            let directory = entry.path().join("sessions");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.list(sessions, &directory, &mut due, now);
            }
        }
        due.sort_by_key(|(_, stamp)| std::cmp::Reverse(stamp.modified_ns));
        let mut found = Vec::new();
        for (path, stamp) in due {
            if self.swept && self.files.get(&path).map(|file| file.stamp) != Some(stamp) {
                found.push(path.clone());
            }
            while self.look(sessions, ledger, &path, now) == Read::Part {}
            sessions.scope.note(stamp.size);
        }
        self.gone |= !self.swept;
        self.swept = true;
        found
    }

    /// Forgets how far files were read that are gone.
    pub fn forget(&mut self, ledger: &mut Ledger) -> Result<(), LedgerError> {
        if std::mem::take(&mut self.gone) {
            let here: HashSet<SourceId> = self.files.keys().map(|path| source_id(path)).collect();
            ledger.forget_positions(&format!("{SOURCE}/"), |source| here.contains(source))?;
        }
        Ok(())
    }

    /// Finds what changed in one directory.
    fn list(
        &mut self,
        sessions: &mut Sessions,
        directory: &Path,
        due: &mut Vec<(PathBuf, Stamp)>,
        now: UnixMs,
    ) {
        let stamp_now = stamp_of(directory);
        let known = self.directories.entry(directory.to_path_buf()).or_default();
        let unchanged = known.listed == stamp_now && stamp_now.is_some();
        known.listed = stamp_now;
        self.read_index(sessions, directory, now);
        if unchanged {
            let young = |file: &FileState| now.0 - file.stamp.modified_ms() < REST_MS;
            let here =
                self.files.iter().filter(|(path, file)| young(file) && path.parent() == Some(directory));
            due.extend(here.filter_map(|(path, file)| {
                stamp_at(path).filter(|stamp| *stamp != file.stamp).map(|stamp| (path.clone(), stamp))
            }));
            return;
        }
        let mut there = HashSet::new();
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if !matches!(transcript::classify(&entry.file_name()), Name::Transcript | Name::Archive { .. }) {
                continue;
            }
            let path = entry.path();
            let Some(stamp) = stamp_at(&path) else { continue };
            let is_past = sessions.scope.is_past(stamp.modified_ms());
            if !is_past && self.files.get(&path).is_none_or(|file| file.stamp != stamp) {
                due.push((path.clone(), stamp));
            }
            there.insert(path);
        }
        let known = self.files.len();
        self.files.retain(|path, _| path.parent() != Some(directory) || there.contains(path));
        self.gone |= self.files.len() < known;
    }

    fn read_index(&mut self, sessions: &mut Sessions, directory: &Path, now: UnixMs) {
        let path = directory.join("sessions.json");
        let stamp = stamp_of(&path);
        let known = self.directories.entry(directory.to_path_buf()).or_default();
        let early = known.index_read.is_some_and(|read| now.since(read).abs() < INDEX_MS);
        if known.index == stamp || early || stamp.is_none_or(|stamp| stamp.size > MAX_INDEX_BYTES) {
            return;
        }
        (known.index, known.index_read) = (stamp, Some(now));
        let Some(bytes) = open_regular(directory, Path::new("sessions.json")).ok().and_then(|mut index| {
            let mut bytes = Vec::new();
            index.file.read_to_end(&mut bytes).ok().map(|_| bytes)
        }) else {
            return;
        };
        // Half written, it is read again when it is whole.
        for link in parse_sessions_index(&bytes).into_iter().flatten() {
            sessions.link(link, now);
        }
    }

    /// Looks at one path that changed.
    pub fn look(&mut self, sessions: &mut Sessions, ledger: &mut Ledger, path: &Path, now: UnixMs) -> Read {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Read::All };
        if directory.file_name() != Some(OsStr::new("sessions")) {
            return Read::All;
        }
        match transcript::classify(name) {
            Name::Index => self.read_index(sessions, directory, now),
            Name::Transcript => return self.read(sessions, ledger, path, None, now),
            Name::Archive { compressed } => {
                return self.read(sessions, ledger, path, compressed.then_some(()), now);
            }
            Name::Trajectory | Name::Other => {}
        }
        Read::All
    }

    /// Thinks over the files of no job when something new is known of sessions.
    pub fn reconsider(&mut self, sessions: &mut Sessions, ledger: &mut Ledger, now: UnixMs) {
        if self.links == sessions.links {
            return;
        }
        self.links = sessions.links;
        let wanted: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(_, file)| file.foreign)
            .filter(|(_, file)| {
                sessions.is_wanted(file.transcript.header().id.as_str(), file.opened.unwrap_or(now))
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in wanted {
            self.files.remove(&path);
            while self.look(sessions, ledger, &path, now) == Read::Part {}
        }
    }

    fn read(
        &mut self,
        sessions: &mut Sessions,
        ledger: &mut Ledger,
        path: &Path,
        compressed: Option<()>,
        now: UnixMs,
    ) -> Read {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Read::All };
        let Regular { file, metadata } = match open_regular(directory, Path::new(name)) {
            Ok(regular) => regular,
            // A link that leads nowhere is there all the same.
            Err(OpenError::Vanished(_)) if !path.is_symlink() => return Read::All,
            Err(error) => {
                self.refuse(sessions, path, &error);
                return Read::All;
            }
        };
        let stamp = stamp(&metadata);
        let mut state = match self.files.remove(path) {
            Some(state) if state.stamp.file == stamp.file && state.offset <= stamp.size => state,
            _ => FileState::new(name, stamp, ledger.position(&source_id(path)).and_then(Position::file)),
        };
        state.stamp = stamp;
        if state.resumed && state.offset < stamp.size {
            (state.offset, state.resumed, state.stored) = (0, false, false);
        }
        let read = if state.stored && state.offset == stamp.size || state.foreign {
            Read::All
        } else if compressed.is_some() {
            state.unpack(sessions, agent_of(path), &file, now);
            Read::All
        } else {
            state.read_on(sessions, agent_of(path), path, file, now)
        };
        self.files.insert(path.to_path_buf(), state);
        sessions.relieve(ledger, now);
        read
    }

    fn refuse(&mut self, sessions: &mut Sessions, path: &Path, error: &OpenError) {
        let Some(stamp) = stamp_at(path) else { return };
        if self.files.get(path).is_some_and(|file| file.stamp.file == stamp.file) {
            return;
        }
        tracing::warn!("a session's transcript was not read: {error}");
        let reason = match error {
            OpenError::NotAFile(_) => RejectReason::NotAFile,
            OpenError::SymlinkOutside(_) => RejectReason::SymlinkOutside,
            OpenError::Vanished(_) | OpenError::Unreadable { .. } => RejectReason::Unreadable,
        };
        sessions.reject(reason, "a file");
        let name = path.file_name().unwrap_or_default();
        let state = FileState { foreign: true, ..FileState::new(name, stamp, None) };
        self.files.insert(path.to_path_buf(), state);
    }

    /// Stores how far files were read of which nothing waits any more, so that a restart need not read them again.
    pub fn settle(
        &mut self,
        sessions: &Sessions,
        ledger: &mut Ledger,
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        for (path, file) in &mut self.files {
            let done = file.offset == file.stamp.size && !file.foreign;
            if file.stored || !done || !sessions.is_settled(file.transcript.header().id.as_str()) {
                continue;
            }
            let source = source_id(path);
            let from = ledger.position(&source).cloned();
            let position =
                FilePosition { file: file.stamp.file, offset: file.offset, ..FilePosition::default() };
            ledger.apply(&Batch::new(source, from, Position::File(position)), now)?;
            file.stored = true;
        }
        Ok(())
    }
}

impl FileState {
    fn new(name: &OsStr, stamp: Stamp, stored: Option<FilePosition>) -> Self {
        let stem = name.to_str().and_then(|name| name.split(".jsonl").next()).unwrap_or_default();
        let stored = stored.filter(|stored| stored.file == stamp.file && stored.offset <= stamp.size);
        let whole = stored.is_some_and(|stored| stored.offset == stamp.size);
        Self {
            stamp,
            offset: if whole { stamp.size } else { 0 },
            transcript: Transcript::new(stem),
            opened: None,
            foreign: false,
            counted: stored.map_or(0, |stored| stored.offset),
            resumed: whole,
            stored: whole,
        }
    }

    /// Reads on, up to a limit.
    fn read_on(
        &mut self,
        sessions: &mut Sessions,
        agent: &str,
        path: &Path,
        mut file: File,
        now: UnixMs,
    ) -> Read {
        if file.seek(SeekFrom::Start(self.offset)).is_err() {
            return Read::All;
        }
        self.stored = false;
        let (mut lines, mut buffer) = (Lines::default(), vec![0; CHUNK_BYTES]);
        let (start, mut position) = (self.offset, self.offset);
        loop {
            // A chunk lies before or behind what was read by an earlier process, not astride.
            let before = self.counted.saturating_sub(position);
            let limit = usize::try_from(before).map_or(CHUNK_BYTES, |before| before.min(CHUNK_BYTES));
            let limit = if before == 0 { CHUNK_BYTES } else { limit };
            let read = match file.read(&mut buffer[..limit]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    sessions.reject(RejectReason::Unreadable, "a file");
                    return Read::All;
                }
            };
            let chunk = &buffer[..read];
            lines.feed(chunk, &mut |line| self.take(sessions, agent, line, before == 0, now));
            if let Some(newline) = memchr::memrchr(b'\n', chunk) {
                self.offset = position + newline as u64 + 1;
            }
            position += read as u64;
            if self.is_foreign(sessions, path, now) {
                (self.foreign, self.offset) = (true, self.stamp.size);
                sessions.forget(self.transcript.header().id.as_str());
                return Read::All;
            }
            if position - start >= LOOK_BYTES && self.offset > start {
                return Read::Part;
            }
        }
        // What no newline ends is a call if it reads as one: it is the same call when its line is whole.
        lines.end(&mut |line| self.take(sessions, agent, line, false, now));
        Read::All
    }

    fn unpack(&mut self, sessions: &mut Sessions, agent: &str, file: &File, now: UnixMs) {
        let counts = self.counted == 0;
        let outcome =
            transcript::unpack(file, true, &mut |line| self.take(sessions, agent, line, counts, now));
        if let Err(error) = outcome {
            tracing::warn!("{error}");
            sessions.reject(RejectReason::Unreadable, "an archive");
        }
        self.offset = self.stamp.size;
    }

    /// Takes one line; `None` is one beyond all limits. `counts`: what makes no sense in it is counted.
    fn take(&mut self, sessions: &mut Sessions, agent: &str, line: Option<&[u8]>, counts: bool, now: UnixMs) {
        let Some(line) = line else {
            if counts {
                sessions.reject(RejectReason::LineTooLong, "a line");
            }
            return;
        };
        parse_line(line, now, |event| {
            let key = self.transcript.observe(&event);
            let session = self.transcript.header().id.as_str();
            match event {
                Event::Session(header) => sessions.attributor.add_header(&header, now),
                Event::Opening(opening) => {
                    self.opened.get_or_insert(opening.at);
                    sessions.attributor.add_opening(session, opening);
                }
                Event::Call(call) => {
                    if let Some(key) = key {
                        sessions.call(session, agent, key, call, now);
                    }
                }
                Event::Reject(reason) if counts => sessions.reject(reason, "a line"),
                Event::Reject(_) | Event::Other => {}
            }
        });
    }

    /// Returns whether the session is no job's, once it was opened. Its trajectory may know its key when the index has
    /// forgotten it.
    fn is_foreign(&self, sessions: &mut Sessions, path: &Path, now: UnixMs) -> bool {
        let Some(opened) = self.opened else { return false };
        let session = self.transcript.header().id.as_str();
        if sessions.is_wanted(session, opened) {
            return false;
        }
        if let Some(link) = trajectory_of(path) {
            sessions.link(link, now);
        }
        !sessions.is_wanted(self.transcript.header().id.as_str(), opened)
    }
}

/// Returns the stamp of a file as it is opened: that of what a link leads to, or of the link if it leads nowhere.
fn stamp_at(path: &Path) -> Option<Stamp> {
    stamp_of(path).or_else(|| path.symlink_metadata().ok().map(|metadata| stamp(&metadata)))
}

/// Reads the first line of the trajectory beside a transcript.
fn trajectory_of(path: &Path) -> Option<transcript::SessionLink> {
    let stem = path.file_name()?.to_str()?.split(".jsonl").next()?.to_owned();
    let trajectory = open_regular(path.parent()?, Path::new(&format!("{stem}.trajectory.jsonl"))).ok()?;
    let mut head = Vec::new();
    trajectory.file.take(MAX_HEAD_BYTES).read_to_end(&mut head).ok()?;
    parse_trajectory_head(head.split(|byte| *byte == b'\n').next()?)
}

/// Returns the agent in `agents/<agent>/sessions/<file>`.
fn agent_of(path: &Path) -> &str {
    path.ancestors().nth(2).and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default()
}

/// Returns the key of a file's position. Names of files hold ids of sessions, which are not kept.
fn source_id(path: &Path) -> SourceId {
    let tail: PathBuf = path.components().rev().take(3).collect();
    SourceId(format!("{SOURCE}/{:016x}", xxh3_64(tail.as_os_str().as_encoded_bytes())))
}
