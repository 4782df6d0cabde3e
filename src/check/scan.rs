//! Reads stores of runs from their beginning and sums them up, without a ledger.
//!
//! Of a run only a 64-bit hash of its key, its time and the stores that hold it are kept, so that millions of runs fit
//! into memory. Deliberately absent: judging what was found.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::{
    FilePosition, Reject, RejectReason, Run, RunAt, Runs, Status, TokenKind, UnixMs, UsageProvenance,
};
use crate::openclaw::run_log::{self, Begin, Name, PollError, Reader};
use crate::serve::SOURCES;
use crate::tail::OpenError;

/// What stores hold.
#[derive(Debug, Default)]
pub struct Scan {
    /// Logs in use.
    pub files: u64,
    /// Logs that an upgrade has imported.
    pub migrated: u64,
    /// Logs that could not be read, and why.
    pub unreadable: Vec<(OsString, io::Error)>,
    /// All stores together.
    pub all: Sums,
    /// Each store by itself, in the order of [`SOURCES`].
    stores: [Sums; SOURCES.len()],
    /// The runs by the hash of their key.
    pub keys: Keys,
}

/// Runs by the hash of their key.
pub type Keys = HashMap<u64, Seen>;

/// What is kept of a run.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its time in milliseconds.
    pub at_ms: i64,
    /// The stores that hold it, a bit each.
    stores: u8,
}

/// What one store holds, or all.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Runs, each once.
    pub runs: u64,
    /// Of those, runs that more than one store holds.
    pub shared: u64,
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
    /// What each job consumed, by its id.
    pub jobs: BTreeMap<String, JobSums>,
}

/// What one job consumed.
#[derive(Clone, Debug, Default)]
pub struct JobSums {
    /// Its name, if a record tells it: the list of jobs forgets those that are gone.
    pub name: Option<String>,
    /// Runs.
    pub runs: u64,
    /// Tokens of all kinds.
    pub tokens: u64,
    /// Time of its newest run.
    pub last_run: Option<UnixMs>,
}

/// How far a scan has got.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// In the run logs.
    Logs {
        /// Files begun.
        files: usize,
        /// Files altogether.
        of: usize,
        /// Runs found so far.
        runs: usize,
    },
    /// In a table of the database.
    Table {
        /// The kind of store.
        source: &'static str,
        /// Rows read of it.
        rows: u64,
        /// Runs found so far.
        runs: usize,
    },
}

impl Step {
    /// Returns it as a word to whoever waits.
    pub fn text(&self) -> String {
        match self {
            Self::Logs { files, of, runs } => {
                format!("reading the run logs: file {files} of {of}, {runs} runs so far")
            }
            Self::Table { source, rows, runs } => {
                format!("reading {source}: {rows} rows, {runs} runs so far")
            }
        }
    }
}

/// Returns what stands for a run in a scan.
pub fn hash(job_id: &str, at: RunAt) -> u64 {
    let (ms, logged) = match at {
        RunAt::Started(at) => (at.0, 0),
        RunAt::Logged(at) => (at.0, 1),
    };
    xxh3_64_with_seed(job_id.as_bytes(), (ms.cast_unsigned() << 1) | logged)
}

fn index(source: &str) -> usize {
    SOURCES.iter().position(|known| *known == source).unwrap_or_default()
}

impl Scan {
    /// Reads all run logs of a directory; calls `on_step` after each mebibyte or file.
    ///
    /// # Errors
    /// The directory cannot be listed. What stands in the way of one file is part of the result.
    pub fn run_logs(
        &mut self,
        runs_dir: &Path,
        now: UnixMs,
        on_step: &mut dyn FnMut(Step),
    ) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(runs_dir)? {
            let name = entry?.file_name();
            match run_log::classify(&name) {
                Name::Other => {}
                kind => names.push((name, kind)),
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let mut reader = Reader::default();
        for (begun, (name, kind)) in names.iter().enumerate() {
            match kind {
                Name::Migrated => self.migrated += 1,
                _ => self.files += 1,
            }
            let mut from = None;
            while let Some(next) = self.step(&mut reader, runs_dir, name, from, now) {
                from = Some(next);
                on_step(Step::Logs { files: begun + 1, of: names.len(), runs: self.keys.len() });
            }
            on_step(Step::Logs { files: begun + 1, of: names.len(), runs: self.keys.len() });
        }
        Ok(())
    }

    /// Reads on in one file; returns where, if there is more.
    fn step(
        &mut self,
        reader: &mut Reader,
        runs_dir: &Path,
        name: &OsStr,
        from: Option<FilePosition>,
        now: UnixMs,
    ) -> Option<FilePosition> {
        let poll = match run_log::poll(reader, runs_dir, name, Begin::Behind(from), (false, Runs::new()), now)
        {
            Ok(poll) => poll,
            Err(error) => {
                self.refuse(name, error);
                return None;
            }
        };
        let batch = poll.batch?;
        self.take(run_log::SOURCE, &batch.runs, batch.rejects);
        batch.to.file().filter(|_| poll.more)
    }

    /// Returns what one kind of store holds.
    pub fn store(&self, source: &str) -> &Sums {
        &self.stores[index(source)]
    }

    /// Takes in what a read of one kind of store found.
    pub fn take(&mut self, source: &str, runs: &Runs, rejects: Vec<Reject>) {
        let index = index(source);
        for run in runs.iter() {
            self.add(index, &run);
        }
        for reject in rejects {
            let Reject { reason, sample, .. } = reject;
            for sums in [&mut self.all, &mut self.stores[index]] {
                sums.rejects.entry(reason).or_insert_with(|| (0, sample.clone())).0 += 1;
            }
        }
    }

    fn add(&mut self, index: usize, run: &Run<&str>) {
        let new = Seen { at_ms: run.key.at.time().0, stores: 0 };
        let seen = self.keys.entry(hash(run.key.job_id, run.key.at)).or_insert(new);
        let (before, bit) = (seen.stores, 1 << index);
        seen.stores |= bit;
        self.stores[index].add(run, before & bit == 0);
        self.all.add(run, before == 0);
        if before != 0 && before & bit == 0 {
            // The store that had it alone until now shares it from here on.
            self.stores[index].shared += 1;
            if before.is_power_of_two() {
                self.stores[before.trailing_zeros() as usize].shared += 1;
                self.all.shared += 1;
            }
        }
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
        let sample = run_log::source_id(name).to_string();
        self.take(run_log::SOURCE, &Runs::new(), vec![Reject::new(reason, sample)]);
    }
}

impl Sums {
    fn add(&mut self, run: &Run<&str>, is_new: bool) {
        self.newest = self.newest.max(Some(run.recorded_at));
        if !is_new {
            self.duplicates += 1;
            return;
        }
        self.runs += 1;
        for (sum, kind) in self.tokens.iter_mut().zip(TokenKind::ALL) {
            *sum = sum.saturating_add(run.usage.get(kind).unwrap_or(0));
        }
        *self.statuses.entry(run.status).or_default() += 1;
        *self.provenance.entry(run.provenance).or_default() += 1;
        if !self.jobs.contains_key(run.key.job_id) {
            self.jobs.insert(run.key.job_id.to_owned(), JobSums::default());
        }
        if let Some(job) = self.jobs.get_mut(run.key.job_id) {
            job.runs += 1;
            job.tokens = job.tokens.saturating_add(run.usage.total());
            if job.last_run <= Some(run.key.at.time()) {
                job.last_run = Some(run.key.at.time());
                job.name = run.job_name.map(ToOwned::to_owned).or_else(|| job.name.take());
            }
        }
    }
}
