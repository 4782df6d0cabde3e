//! Reads all run logs from their beginning and sums them up, without a ledger.
//!
//! Of a run only a 64-bit hash of its key and its time are kept, so that millions of runs fit into memory.
//! Deliberately absent: judging what was found.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::{FilePosition, Run, RunAt, Status, TokenKind, UnixMs, UsageProvenance};
use crate::model::{Reject, RejectReason};
use crate::openclaw::run_log::{self, Name, PollError};
use crate::tail::{OpenError, Reader};

/// What the run logs hold.
#[derive(Debug, Default)]
pub struct Scan {
    /// Logs in use.
    pub files: u64,
    /// Logs that an upgrade has imported.
    pub migrated: u64,
    /// Records of runs that another record had told of.
    pub duplicates: u64,
    /// Tokens in the order of [`TokenKind::ALL`].
    pub tokens: [u64; 4],
    /// Runs by how they ended.
    pub statuses: BTreeMap<Status, u64>,
    /// Runs by how their usage is known.
    pub provenance: BTreeMap<UsageProvenance, u64>,
    /// Count and place of what cannot be counted.
    pub rejects: BTreeMap<RejectReason, (u64, String)>,
    /// When OpenClaw wrote the newest record.
    pub newest: Option<UnixMs>,
    /// Runs and tokens by job id.
    pub jobs: BTreeMap<String, (u64, u64)>,
    /// The runs: hash of the key, time in milliseconds.
    pub keys: HashMap<u64, i64>,
    /// Logs that could not be read, and why.
    pub unreadable: Vec<(OsString, io::Error)>,
}

/// How far a scan has got.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Files begun.
    pub files: usize,
    /// Files altogether.
    pub of: usize,
    /// Runs found so far.
    pub runs: usize,
}

/// Returns what stands for a run in a scan.
pub fn hash(job_id: &str, at: RunAt) -> u64 {
    let (ms, logged) = match at {
        RunAt::Started(at) => (at.0, 0),
        RunAt::Logged(at) => (at.0, 1),
    };
    xxh3_64_with_seed(job_id.as_bytes(), (ms.cast_unsigned() << 1) | logged)
}

/// Reads all run logs of a directory; calls `on_step` after each mebibyte or file.
///
/// # Errors
/// The directory cannot be listed. What stands in the way of one file is part of the result.
pub fn scan(runs_dir: &Path, now: UnixMs, on_step: &mut dyn FnMut(Step)) -> io::Result<Scan> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(runs_dir)? {
        let name = entry?.file_name();
        match run_log::classify(&name) {
            Name::Other => {}
            kind => names.push((name, kind)),
        }
    }
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let mut scan = Scan::default();
    let mut reader = Reader::default();
    for (begun, (name, kind)) in names.iter().enumerate() {
        match kind {
            Name::Migrated => scan.migrated += 1,
            _ => scan.files += 1,
        }
        let mut from = None;
        while let Some(next) = scan.step(&mut reader, runs_dir, name, from, now) {
            from = Some(next);
            on_step(Step { files: begun + 1, of: names.len(), runs: scan.keys.len() });
        }
        on_step(Step { files: begun + 1, of: names.len(), runs: scan.keys.len() });
    }
    Ok(scan)
}

impl Scan {
    /// Reads on in one file; returns where, if there is more.
    fn step(
        &mut self,
        reader: &mut Reader,
        runs_dir: &Path,
        name: &OsStr,
        from: Option<FilePosition>,
        now: UnixMs,
    ) -> Option<FilePosition> {
        let poll = match run_log::poll(reader, runs_dir, name, from, now) {
            Ok(poll) => poll,
            Err(error) => {
                self.refuse(name, error);
                return None;
            }
        };
        let batch = poll.batch?;
        batch.runs.iter().for_each(|run| self.add(run));
        batch.rejects.into_iter().for_each(|reject| self.reject(reject));
        batch.to.file().filter(|_| poll.more)
    }

    fn add(&mut self, run: &Run) {
        self.newest = self.newest.max(Some(run.recorded_at));
        if self.keys.insert(hash(&run.key.job_id, run.key.at), run.key.at.time().0).is_some() {
            self.duplicates += 1;
            return;
        }
        for (sum, kind) in self.tokens.iter_mut().zip(TokenKind::ALL) {
            *sum = sum.saturating_add(run.usage.get(kind).unwrap_or(0));
        }
        *self.statuses.entry(run.status).or_default() += 1;
        *self.provenance.entry(run.provenance).or_default() += 1;
        if !self.jobs.contains_key(&run.key.job_id) {
            self.jobs.insert(run.key.job_id.clone(), (0, 0));
        }
        if let Some((runs, tokens)) = self.jobs.get_mut(&run.key.job_id) {
            *runs += 1;
            *tokens = tokens.saturating_add(run.usage.total());
        }
    }

    fn reject(&mut self, reject: Reject) {
        self.rejects.entry(reject.reason).or_insert((0, reject.sample)).0 += 1;
    }

    fn refuse(&mut self, name: &OsStr, error: PollError) {
        let reason = match error {
            // Deleted or renamed since the directory was listed.
            PollError::Open(OpenError::Vanished(_)) => return,
            PollError::Open(OpenError::NotAFile(_)) => RejectReason::NotAFile,
            PollError::Open(OpenError::SymlinkOutside(_)) => RejectReason::SymlinkOutside,
            PollError::Open(OpenError::Unreadable { source, .. }) | PollError::Read(_, source) => {
                return self.unreadable.push((name.to_owned(), source));
            }
        };
        self.reject(Reject { reason, sample: run_log::source_id(name).to_string() });
    }
}
