//! Large state directories for benches: many run logs with lines of one length, and what they sum up to.

use super::jobs::Job;
use super::provider::{self, Profile};
use super::record::{RecordUsage, RunRecord, Times};
use super::store::{Change, JobStore, write_config};
use super::writer::{KEEP_LINES, MAX_BYTES};
use super::{Error, Generation, RunLogWriter, catalogue, uuid};
use crate::model::UnixMs;
use fastrand::Rng;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a corpus should be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Number of run logs, one job each.
    pub files: usize,
    /// Records in each of them.
    pub lines_per_file: usize,
    /// Length of every line, newline included, in bytes.
    pub line_bytes: usize,
    /// Equal seeds give equal bytes.
    pub seed: u64,
    /// When every job's first run starts.
    pub first_run_at: UnixMs,
    /// Milliseconds from the start of a job's run to that of its next.
    pub interval_ms: i64,
}

/// What a corpus holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Number of records.
    pub runs: u64,
    /// Input tokens in them.
    pub input: u64,
    /// Output tokens in them.
    pub output: u64,
    /// Bytes in all run logs.
    pub bytes: u64,
}

/// Writes a state directory of 2026.5.28 with such run logs and returns what they hold.
///
/// # Errors
/// The file system's, with the path; [`Error::LineTooShort`].
pub fn write(dir: &Path, spec: Spec) -> Result<Sums, Error> {
    let generation = Generation::V2026_5_28;
    let mut rng = Rng::with_seed(spec.seed);
    let runs_dir = dir.join("cron").join("runs");
    let writer = RunLogWriter::new(&runs_dir, generation, MAX_BYTES, KEEP_LINES, spec.seed)?;
    let mut jobs = catalogue::jobs(&mut rng, spec.files, spec.first_run_at.0);
    // Every record shall have a summary that can be stretched.
    for job in &mut jobs {
        if !matches!(job.profile, Profile::Plain | Profile::Cache | Profile::Tools | Profile::Claude) {
            job.profile = Profile::Plain;
        }
    }
    let mut sums = Sums::default();
    for job in &jobs {
        let path = writer.path(&job.id);
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let mut run_at = spec.first_run_at.0;
        for k in (0_u64..).take(spec.lines_per_file) {
            let (line, usage) = line(&mut rng, job, k, (run_at, run_at + spec.interval_ms), spec.line_bytes)?;
            out.write_all(&line).map_err(Error::io("write", &path))?;
            sums.runs += 1;
            sums.input += usage.input_tokens;
            sums.output += usage.output_tokens;
            sums.bytes += u64::try_from(line.len()).unwrap_or(0);
            run_at += spec.interval_ms;
        }
        out.flush().map_err(Error::io("write", &path))?;
    }
    write_config(dir, None)?;
    JobStore::new(dir, generation, rng).persist(&jobs, Change::Jobs)?;
    Ok(sums)
}

/// Returns one line of exactly `bytes` bytes and the usage in it.
fn line(
    rng: &mut Rng,
    job: &Job,
    k: u64,
    (run_at, next_run_at): (i64, i64),
    bytes: usize,
) -> Result<(Vec<u8>, RecordUsage), Error> {
    let outcome = provider::run(rng, job.profile, k, 0);
    let times = Times { ts: run_at + outcome.duration_ms + 3, run_at, next_run_at: Some(next_run_at) };
    let session = uuid(rng);
    let mut record = RunRecord::new(Generation::V2026_5_28, job, &session, &outcome, times);
    record.set_summary(String::new());
    let needed = record.to_line()?.len() + 1;
    let Some(room) = bytes.checked_sub(needed) else {
        return Err(Error::LineTooShort { asked: bytes, needed });
    };
    record.set_summary(provider::prose(rng, "", room));
    let mut line = record.to_line()?;
    line.push(b'\n');
    Ok((line, record.usage.unwrap_or_default()))
}
