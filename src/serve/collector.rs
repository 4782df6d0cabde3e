//! Sources into the ledger: the synchronous heart of the daemon.
//!
//! Invariants: a file counts as seen only after its batch was committed, so that a failed commit is tried
//! again; what stands in the way of one file never stops the others; times come in as values. Deliberately
//! absent: waiting, watching and sending.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::ledger::{Ledger, LedgerError};
use crate::model::{Batch, FileId, FilePosition, Reject, RejectReason, UnixMs};
use crate::openclaw::run_log::{self, Name, PollError};
use crate::openclaw::{JobsError, Layout, read_jobs, state_file};
use crate::tail::{OpenError, Reader};

/// Reads the sources of one gateway.
pub struct Collector {
    layout: Layout,
    home: Option<PathBuf>,
    reader: Reader,
    seen: HashMap<OsString, Seen>,
    swept: bool,
    /// The last sweep went through; else part of a history may be held back.
    caught_up: bool,
    /// Number of sweeps so far.
    sweeps: u64,
    stamps: HashMap<PathBuf, Option<Stamp>>,
    problem: Option<String>,
}

/// What tells a changed file from an unchanged one without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: FileId,
    size: u64,
    modified_ns: i128,
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

/// What a look did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Something that is exported changed.
    pub changed: bool,
    /// Files that had changed since they were last seen.
    pub found: Vec<PathBuf>,
}

/// Whether the run logs are there to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceHealth {
    /// They are.
    Up,
    /// They are not, and why.
    Down(String),
}

impl Collector {
    /// Prepares to read the gateway whose state is in `state_dir`. `home` is what `~` stands for in its
    /// configuration.
    #[must_use]
    pub fn new(state_dir: &Path, home: Option<PathBuf>) -> Self {
        Self {
            layout: Layout::of(state_dir),
            home,
            reader: Reader::default(),
            seen: HashMap::new(),
            swept: false,
            caught_up: true,
            sweeps: 0,
            stamps: HashMap::new(),
            problem: None,
        }
    }

    /// Returns where the gateway keeps its things.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns what is wrong with the job list or the gateway's configuration, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Returns whether the run logs can be read.
    #[must_use]
    pub fn health(&self) -> SourceHealth {
        let runs = &self.layout.runs_dir;
        match std::fs::read_dir(runs) {
            // An upgrade leaves the logs behind, renamed: they are read, and no run will ever be added to them.
            Ok(_) if self.is_newer_gateway() && !self.has_live_log() => {
                SourceHealth::Down(self.newer_gateway())
            }
            Ok(_) => SourceHealth::Up,
            Err(error) if error.kind() == io::ErrorKind::NotFound => SourceHealth::Down(self.absence()),
            Err(error) => SourceHealth::Down(format!(
                "cannot list {}: {error}; give this user read and search access to it",
                runs.display()
            )),
        }
    }

    fn absence(&self) -> String {
        let state = &self.layout.state_dir;
        if !state.exists() {
            return format!("the state directory {} does not exist yet; waiting for it", state.display());
        }
        if self.is_newer_gateway() {
            return self.newer_gateway();
        }
        format!("{} does not exist yet; OpenClaw makes it at the first run", self.layout.runs_dir.display())
    }

    fn is_newer_gateway(&self) -> bool {
        self.layout.state_dir.join("state").join("openclaw.sqlite").exists()
    }

    fn has_live_log(&self) -> bool {
        self.seen.keys().any(|name| run_log::classify(name) == Name::Log)
    }

    fn newer_gateway(&self) -> String {
        format!(
            "{} holds state/openclaw.sqlite and no run logs: OpenClaw 2026.6.1 and later keep their runs there, \
             which this version does not read",
            self.layout.state_dir.display()
        )
    }

    /// Looks at everything: the gateway's configuration, its jobs, and every run log that changed.
    ///
    /// # Errors
    /// The ledger's; what was committed before stays committed.
    pub fn sweep(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<Progress, LedgerError> {
        // Seen whole or not at all: files share series, and a new ledger must not show half a history.
        ledger.hold();
        self.caught_up = false;
        let progress = self.sweep_files(ledger, now)?;
        self.caught_up = true;
        ledger.release();
        Ok(progress)
    }

    fn sweep_files(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<Progress, LedgerError> {
        self.read_layout();
        let mut progress = Progress { changed: self.read_jobs(ledger)?, found: Vec::new() };
        self.sweeps += 1;
        let mut due: Vec<(OsString, Stamp)> = Vec::new();
        if let Ok(entries) = std::fs::read_dir(&self.layout.runs_dir) {
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
        // In the order of names, so that a fresh ledger is filled job by job.
        due.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, stamp) in due {
            if self.swept && self.seen.get(&name).map(|seen| seen.stamp) != Some(stamp) {
                progress.found.push(self.layout.runs_dir.join(&name));
            }
            progress.changed |= self.read_file(ledger, &name, now)?;
        }
        self.swept = true;
        Ok(progress)
    }

    /// Returns whether a file that a sweep came upon is to be looked at, and notes that it is there.
    fn is_due(&mut self, name: &OsStr, metadata: &Metadata, now: UnixMs) -> bool {
        let Some(seen) = self.seen.get_mut(name) else { return true };
        seen.sweep = self.sweeps;
        let rested = || now.since(UnixMs(metadata.mtime().saturating_mul(1000))) >= run_log::UNFINISHED_MS;
        seen.stamp != stamp(metadata) || seen.refused || (seen.unfinished && rested())
    }

    /// Looks at one run log until nothing new is left in it. Returns whether anything exported changed.
    ///
    /// # Errors
    /// The ledger's; the file is looked at again then.
    pub fn look(&mut self, ledger: &mut Ledger, name: &OsStr, now: UnixMs) -> Result<bool, LedgerError> {
        ledger.hold();
        let changed = self.read_file(ledger, name, now);
        // After a failure only a sweep knows that everything that was half read is whole again.
        self.caught_up &= changed.is_ok();
        if self.caught_up {
            ledger.release();
        }
        changed
    }

    fn read_file(&mut self, ledger: &mut Ledger, name: &OsStr, now: UnixMs) -> Result<bool, LedgerError> {
        let source = run_log::source_id(name);
        if ledger.position(&source).is_none() {
            self.read_jobs(ledger)?;
        }
        // Taken before the file is read: what is appended meanwhile makes it differ again.
        let Ok(metadata) = self.layout.runs_dir.join(name).symlink_metadata() else {
            self.seen.remove(name);
            return Ok(false);
        };
        let (mut changed, mut refused) = (false, false);
        let unfinished = loop {
            let stored = ledger.position(&source);
            let from = stored.or_else(|| position_before_migration(ledger, name, &metadata));
            match run_log::poll(&mut self.reader, &self.layout.runs_dir, name, from, now) {
                Ok(poll) => {
                    if let Some(batch) = poll.batch {
                        changed |= ledger.apply(&Batch { from: stored, ..batch }, now)?.changed;
                    }
                    if !poll.more {
                        break poll.unfinished;
                    }
                }
                Err(PollError::Open(OpenError::Vanished(_))) => break false,
                Err(error) => {
                    changed |= self.refuse(ledger, name, &metadata, &error, now)?;
                    refused = true;
                    break false;
                }
            }
        };
        let rested = now.since(UnixMs(metadata.mtime().saturating_mul(1000))) >= run_log::UNFINISHED_MS;
        let unfinished = unfinished && !rested;
        let seen = Seen { stamp: stamp(&metadata), unfinished, refused, sweep: self.sweeps };
        self.seen.insert(name.to_owned(), seen);
        Ok(changed)
    }

    /// Counts a name that cannot be read, once for each thing that bears it.
    fn refuse(
        &self,
        ledger: &mut Ledger,
        name: &OsStr,
        metadata: &Metadata,
        error: &PollError,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let reason = match error {
            PollError::Open(OpenError::NotAFile(_)) => RejectReason::NotAFile,
            PollError::Open(OpenError::SymlinkOutside(_)) => RejectReason::SymlinkOutside,
            _ => RejectReason::Unreadable,
        };
        let source = run_log::source_id(name);
        let from = ledger.position(&source);
        let file = stamp(metadata).file;
        let refused_before = match from {
            Some(position) if position.last.is_none() && position.offset == 0 => position.file == file,
            // Read before: the position must not be lost. Once per process is enough.
            Some(_) => self.seen.contains_key(name),
            None => false,
        };
        if refused_before {
            return Ok(false);
        }
        tracing::warn!(reason = reason.as_str(), "{error}");
        let keeps = from.filter(|position| position.last.is_some());
        let to = keeps.unwrap_or(FilePosition { file, ..FilePosition::default() });
        let rejects = vec![Reject { reason, sample: source.to_string() }];
        let batch = Batch { source, from, to, runs: Vec::new(), rejects, gap: false };
        Ok(ledger.apply(&batch, now)?.changed)
    }

    /// Reads the list of jobs if it changed. Returns whether that changed anything that is exported.
    ///
    /// # Errors
    /// The ledger's.
    pub fn read_jobs(&mut self, ledger: &mut Ledger) -> Result<bool, LedgerError> {
        let jobs_file = self.layout.jobs_file.clone();
        let state_file = state_file(&jobs_file);
        let stamps = [stamp_of(&jobs_file), stamp_of(&state_file)];
        let known = [&jobs_file, &state_file].map(|path| self.stamps.get(path).copied());
        if known == stamps.map(Some) {
            return Ok(false);
        }
        let changed = match read_jobs(&jobs_file) {
            Ok(Some(jobs)) => {
                self.settle(None);
                ledger.set_jobs(&jobs)?
            }
            // A directory that is being swapped has no list for a moment: names are kept, nothing is undefined.
            Ok(None) => false,
            Err(error) => {
                self.note_jobs_error(&error);
                false
            }
        };
        self.stamps.insert(jobs_file, stamps[0]);
        self.stamps.insert(state_file, stamps[1]);
        Ok(changed)
    }

    fn note_jobs_error(&mut self, error: &JobsError) {
        self.settle(Some(error.to_string()));
    }

    fn read_layout(&mut self) {
        let path = self.layout.state_dir.join("openclaw.json");
        let stamp = stamp_of(&path);
        if self.stamps.get(&path) == Some(&stamp) {
            return;
        }
        self.stamps.insert(path, stamp);
        let (layout, problem) = Layout::read(&self.layout.state_dir, self.home.as_deref());
        if let Some(problem) = problem {
            // The places known so far stay in use: a half-written file must not move them.
            self.settle(Some(problem.to_string()));
            return;
        }
        if layout != self.layout {
            self.layout = layout;
            self.seen.clear();
            self.swept = false;
        }
    }

    /// Notes a problem or its end; logs it once.
    fn settle(&mut self, problem: Option<String>) {
        if let Some(text) = &problem
            && self.problem != problem
        {
            tracing::warn!("{text}");
        }
        self.problem = problem;
    }
}

/// A log that an upgrade renamed is the file that was read under its old name: go on where that stopped.
fn position_before_migration(ledger: &Ledger, name: &OsStr, metadata: &Metadata) -> Option<FilePosition> {
    let before = run_log::id_before_migration(name)?;
    ledger.position(&before).filter(|position| position.file == stamp(metadata).file)
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    path.metadata().ok().map(|metadata| stamp(&metadata))
}

fn stamp(metadata: &Metadata) -> Stamp {
    let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Stamp { file: FileId { dev: metadata.dev(), ino: metadata.ino() }, size: metadata.len(), modified_ns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{OpenOptions, Opened};

    #[test]
    fn a_gateway_that_has_moved_on_to_sqlite_is_never_a_silent_zero() {
        let dir = tempfile::tempdir().unwrap();
        let (runs, now) = (dir.path().join("s/cron/runs"), UnixMs(1_795_240_000_000));
        std::fs::create_dir_all(&runs).unwrap();
        std::fs::create_dir(dir.path().join("s/state")).unwrap();
        let line =
            r#"{"ts":1795235200001,"jobId":"j","action":"finished","status":"ok","runAtMs":1795235200001}"#;
        std::fs::write(runs.join("j.jsonl"), format!("{line}\n")).unwrap();
        let options = OpenOptions { gateway: None, max_jobs: 9, full_sync: false };
        let Opened { mut ledger, .. } =
            Ledger::open(&dir.path().join("ledger.sqlite"), &options, now).unwrap();
        let mut collector = Collector::new(&dir.path().join("s"), None);
        let mut health = |ledger: &mut Ledger| {
            collector.sweep(ledger, now).unwrap();
            collector.health()
        };
        assert_eq!(health(&mut ledger), SourceHealth::Up);
        std::fs::write(dir.path().join("s/state/openclaw.sqlite"), "").unwrap();
        assert_eq!(health(&mut ledger), SourceHealth::Up, "both at once: rolled back, or half upgraded");
        std::fs::rename(runs.join("j.jsonl"), runs.join("j.jsonl.migrated")).unwrap();
        assert!(matches!(health(&mut ledger), SourceHealth::Down(why) if why.contains("2026.6.1")));
        std::fs::remove_dir_all(&runs).unwrap();
        assert!(matches!(health(&mut ledger), SourceHealth::Down(why) if why.contains("2026.6.1")));
        assert_eq!(ledger.totals().lock().unwrap().series.len(), 1, "and what was counted stays");
    }
}
