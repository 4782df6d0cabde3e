//! State directories to measure on, and appends to them just as OpenClaw makes them.

use std::fs;
use std::path::{Path, PathBuf};

use openclaw_usage::demo::corpus::{self, Spec, Sums};
use openclaw_usage::demo::{Generation, RunLogWriter};
use openclaw_usage::model::UnixMs;
use tempfile::TempDir;

use crate::Failure;
use crate::measure::now_ms;

/// Length of a line, newline included: what 190 MB of 183,000 records comes to.
pub const LINE_BYTES: usize = 1_040;
/// How long ago the newest record of a corpus was made: old enough for no series of it to count as new.
const AGE_MS: i64 = 2 * 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// A state directory in a temporary place, with room for ledgers beside it.
pub struct Corpus {
    folder: TempDir,
    /// What its run logs hold.
    pub sums: Sums,
    /// The jobs, one run log each.
    pub jobs: Vec<String>,
    next_run_at: i64,
    writer: RunLogWriter,
}

impl Corpus {
    /// Writes `files` run logs of `lines` records.
    pub fn write(files: usize, lines: usize) -> Result<Self, Failure> {
        Self::write_with_limits(files, lines, u64::MAX, usize::MAX)
    }

    /// The same, with an hour between two runs of a job.
    pub fn write_hourly(files: usize, lines: usize) -> Result<Self, Failure> {
        Self::write_with(files, lines, 60 * MINUTE_MS, (u64::MAX, usize::MAX))
    }

    /// The same; an append that brings a log above `max_bytes` keeps its last `keep_lines` lines.
    pub fn write_with_limits(
        files: usize,
        lines: usize,
        max_bytes: u64,
        keep_lines: usize,
    ) -> Result<Self, Failure> {
        Self::write_with(files, lines, MINUTE_MS, (max_bytes, keep_lines))
    }

    fn write_with(
        files: usize,
        lines: usize,
        interval_ms: i64,
        (max_bytes, keep_lines): (u64, usize),
    ) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        let state_dir = folder.path().join("state");
        let past = AGE_MS + interval_ms * i64::try_from(lines)?;
        let next_run_at = now_ms() - AGE_MS;
        let first_run_at = UnixMs(next_run_at - past + AGE_MS);
        let spec =
            Spec { files, lines_per_file: lines, line_bytes: LINE_BYTES, seed: 1, first_run_at, interval_ms };
        let sums = corpus::write(&state_dir, spec)?;
        // What is written is not measured, nor is the system's writing it to the disk.
        rustix::fs::sync();
        let runs_dir = state_dir.join("cron").join("runs");
        let mut jobs = Vec::with_capacity(files);
        for entry in fs::read_dir(&runs_dir)? {
            let name = entry?.file_name();
            jobs.extend(name.to_str().and_then(|name| name.strip_suffix(".jsonl")).map(str::to_owned));
        }
        jobs.sort();
        let writer = RunLogWriter::new(&runs_dir, Generation::V2026_5_28, max_bytes, keep_lines, 1)?;
        Ok(Self { folder, sums, jobs, next_run_at, writer })
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where a ledger of that name goes.
    pub fn ledger(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("ledger.sqlite")
    }

    /// The path of a job's log.
    pub fn log(&self, job: &str) -> PathBuf {
        self.writer.path(job)
    }

    /// Returns the record of a job's next run: its last one at a later time.
    pub fn next_line(&mut self, job: &str) -> Result<Vec<u8>, Failure> {
        let last = last_line(&self.log(job))?;
        let run_at = self.next_run_at;
        self.next_run_at += 1;
        let line = with_number(&last, "\"runAtMs\":", run_at)?;
        let line = with_number(&line, "\"nextRunAtMs\":", run_at + MINUTE_MS)?;
        Ok(with_number(&line, "\"ts\":", now_ms())?.into_bytes())
    }

    /// Appends a line just as OpenClaw does: chmod, open, write, close, and a prune where one is due.
    pub fn append(&mut self, job: &str, line: &[u8]) -> Result<(), Failure> {
        self.writer.append(job, line)?;
        Ok(())
    }
}

/// Makes the directory of a ledger.
pub fn make_parent(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path.parent().ok_or("a path without a directory")?)?;
    Ok(())
}

fn last_line(path: &Path) -> Result<String, Failure> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(path)?;
    let length = i64::try_from(LINE_BYTES)?;
    file.seek(SeekFrom::End(-length))?;
    let mut line = String::new();
    file.read_to_string(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Replaces the number behind a key. All times here have 13 digits, so the length stays.
fn with_number(line: &str, key: &str, number: i64) -> Result<String, Failure> {
    let at = line.find(key).ok_or("a record without its times")? + key.len();
    let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
    Ok(format!("{}{number}{}", &line[..at], &line[at + digits..]))
}
