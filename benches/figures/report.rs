//! Reports from a ledger of a million runs: time on the wall and peak memory of the real program.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use openclaw_usage::ledger::{Ledger, OpenOptions};
use openclaw_usage::model::{
    Batch, Charge, Cost, CostProvenance, Delivery, FilePosition, JobDefinition, NanoUsd, Position, Reason,
    Run, RunAt, RunKey, ScheduleKind, SessionRef, SourceId, Status, UnixMs, Usage, UsageProvenance,
};
use tempfile::TempDir;

use crate::Failure;
use crate::daemon::program;
use crate::measure::{Samples, float, monotonic, now_ms, timed};
use crate::table::{Table, number};

/// Jobs in the ledger.
pub const JOBS: i64 = 500;
const RUNS_PER_JOB: i64 = 2_000;
/// Each job runs once an hour, so that the history is of 83 days.
const HOUR_MS: i64 = 3_600_000;
const ROUNDS: u32 = 15;

/// What is asked.
const REPORTS: [(&str, &[&str]); 10] = [
    ("24 h by job", &[]),
    ("7 d by model and day", &["--since", "7d", "--by", "model,day"]),
    ("the newest 20 runs of 24 h", &["--runs", "--top", "20"]),
    ("30 d of one job by day", &["--since", "30d", "--by", "day", "--job", "job 7"]),
    ("everything by job", &["--since", "0"]),
    ("everything by job and model", &["--since", "0", "--by", "job,model"]),
    ("everything by day in India", &["--since", "0", "--by", "day", "--tz", "Asia/Kolkata"]),
    ("everything by status", &["--since", "0", "--by", "status"]),
    ("40 d and the 40 d before, by job", &["--since", "40d", "--compare"]),
    ("the newest 20 runs of everything", &["--since", "0", "--runs", "--top", "20"]),
];

/// Measures each report on one ledger, as it is some time after `serve` has caught up.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let folder = TempDir::new()?;
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = fill(&path)?;
    let (portions, us) = build_segments(&mut ledger)?;
    table.note("segments of 1,000,000 runs", &format!("{} ms in {portions} portions", number(us / 1e3)));
    // Closed, so that everything is in the one file, and that on the disk before anything is measured.
    drop(ledger);
    rustix::fs::sync();
    let runs = float((JOBS * RUNS_PER_JOB).unsigned_abs());
    table.at_most("ledger with segments, bytes per run", 65.0, "B", float(path.metadata()?.len()) / runs);
    for (name, flags) in REPORTS {
        let (mut wall, mut peak) = (Samples::default(), 0.0_f64);
        for _ in 0..ROUNDS {
            let (ms, mib) = run(&path, flags)?;
            wall.push(ms);
            peak = peak.max(mib);
        }
        table.at_most(&format!("report of 1,000,000 runs, {name}, median"), 50.0, "ms", wall.median());
        table.at_most("the same, peak RSS", 24.0, "MiB", peak);
    }
    Ok(())
}

/// Builds what `serve` builds when it has nothing else to do. Returns in how many portions and microseconds.
fn build_segments(ledger: &mut Ledger) -> Result<(u32, f64), Failure> {
    let (mut portions, mut sum) = (0, 0.0);
    let before = UnixMs(now_ms() - 6 * HOUR_MS);
    loop {
        let (more, us) = timed(|| ledger.build_segments(before));
        (portions, sum) = (portions + 1, sum + us);
        if !more? {
            return Ok((portions, sum));
        }
    }
}

/// Writes the ledger as `serve` would: through the one writer, a batch for each job.
pub fn fill(path: &Path) -> Result<Ledger, Failure> {
    let now = UnixMs(now_ms());
    let options = OpenOptions { gateway: None, max_jobs: 1_000, full_sync: false };
    let mut ledger = Ledger::open(path, &options, now)?.ledger;
    ledger.set_pricing(Arc::new(|asked| {
        let usd = NanoUsd(i64::try_from(asked.usage.total()).unwrap_or(0) * 1_000);
        Charge { cost: Cost { usd, provenance: CostProvenance::Priced }, ..Charge::default() }
    }));
    // As the scheduler knows them, so that each counts under its own name.
    ledger.set_jobs(&(0..JOBS).map(|job| definition(job, now)).collect::<Vec<_>>())?;
    ledger.hold();
    for job in 0..JOBS {
        let runs = (1..=RUNS_PER_JOB).rev().map(|n| record(job, now.plus(-n * HOUR_MS + job * 1_000)));
        let to = Position::File(FilePosition { offset: 1, ..FilePosition::default() });
        let batch =
            Batch { runs: runs.collect(), ..Batch::new(SourceId(format!("run-log/{job}.jsonl")), None, to) };
        ledger.apply(&batch, now)?;
    }
    ledger.release();
    Ok(ledger)
}

/// A job that runs every hour.
fn definition(job: i64, now: UnixMs) -> JobDefinition {
    JobDefinition {
        job_id: job_id(job),
        name: format!("job {job}"),
        agent: None,
        schedule: ScheduleKind::Recurring,
        enabled: true,
        next_run_at: Some(now.plus(HOUR_MS - job * 1_000)),
        running: false,
        system: false,
        webhook: None,
    }
}

/// Returns the id of a job.
fn job_id(job: i64) -> String {
    format!("00000000-0000-4000-8000-{job:012}")
}

/// A run of a job.
pub fn record(job: i64, at: UnixMs) -> Run {
    let spread = u64::try_from((at.0 / 1_000 + job * 7) % 977).unwrap_or(0);
    let status = if spread.is_multiple_of(20) { Status::Error } else { Status::Ok };
    Run {
        key: RunKey { job_id: job_id(job), at: RunAt::Started(at) },
        recorded_at: at.plus(5_000),
        status,
        reason: Reason::None,
        duration_ms: Some(1_000 + spread * 13),
        job_name: Some(format!("job {job}")),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some(format!("mock-{}", job % 7)),
        usage: Usage {
            input: Some(1_000 + spread),
            output: Some(20 + spread),
            cache_read: Some(0),
            cache_write: Some(0),
        },
        provenance: UsageProvenance::Record,
        delivery: Delivery::Unknown,
        session: SessionRef::default(),
        next_run_at: None,
        is_announced: false,
    }
}

/// Runs the program once. Returns milliseconds from its start to its end, and its peak memory in MiB, read until it is
/// gone.
fn run(ledger: &Path, flags: &[&str]) -> Result<(f64, f64), Failure> {
    let start = monotonic();
    let mut child = Command::new(program())
        .env_clear()
        .env("HOME", "/nonexistent")
        .args(["report", "--ledger"])
        .arg(ledger)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut kib: u64 = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        // The peak never falls, so the last reading is it but for the very end.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(kib);
        std::thread::sleep(std::time::Duration::from_micros(300));
    };
    let ms = start.elapsed().as_secs_f64() * 1e3;
    if !ended.success() {
        return Err(format!("report {flags:?} ended with {ended}").into());
    }
    Ok((ms, f64::from(u32::try_from(kib)?) / 1024.0))
}
