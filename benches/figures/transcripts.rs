//! Session transcripts: a large history, a run's end until its whole usage is visible, and a minute without any change.
//!
//! The lines are those of OpenClaw 2026.5.28, with tool results as long as a web page.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::Failure;
use crate::daemon::Daemon;
use crate::measure::{Samples, float, monotonic, now_ms, until};
use crate::table::{Table, number};

const TRANSCRIPTS: u64 = 1_000;
const TRANSCRIPT_BYTES: usize = 1_000_000;
const OLD_SESSIONS: u64 = 5_000;
const JOBS: u64 = 10;
/// Length of a tool's result.
const RESULT_BYTES: usize = 16_000;
const LATENCIES: u32 = 200;
/// Holds exactly one safety sweep.
const MINUTE: Duration = Duration::from_secs(61);

/// What is billed for each call: input, output, read from and written to the cache.
const CALL: [u64; 4] = [1_200, 34, 4_096, 50];

/// A gateway's state directory that is written as a gateway does.
struct Gateway {
    folder: TempDir,
    runs: u64,
    calls: u64,
    next_at: i64,
}

impl Gateway {
    /// `ago`: how long ago the first run was, in ms.
    fn new(ago: i64) -> Result<Self, Failure> {
        let gateway = Self { folder: TempDir::new()?, runs: 0, calls: 0, next_at: now_ms() - ago };
        fs::create_dir_all(gateway.sessions())?;
        fs::create_dir_all(gateway.state_dir().join("cron/runs"))?;
        let jobs: Vec<String> = (0..JOBS)
            .map(|job| {
                format!(
                    r#"{{"id":"job-{job}","name":"job {job}","enabled":true,"schedule":{{"kind":"every","everyMs":60000}}}}"#
                )
            })
            .collect();
        fs::write(gateway.state_dir().join("cron/jobs.json"), format!(r#"{{"jobs":[{}]}}"#, jobs.join(",")))?;
        Ok(gateway)
    }

    fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn sessions(&self) -> PathBuf {
        self.state_dir().join("agents/main/sessions")
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }

    /// One run: its transcript of at least that many bytes, and then its record.
    fn run(&mut self, bytes: usize) -> Result<(), Failure> {
        let (number, at) = (self.runs, self.next_at);
        let (job, session) = (number % JOBS, format!("session-{number}"));
        let mut file = File::create(self.sessions().join(format!("{session}.jsonl")))?;
        let mut text = format!(
            "{{\"type\":\"session\",\"version\":3,\"id\":\"{session}\",\"timestamp\":\"2026-11-21T04:55:46.000Z\"}}\n\
             {{\"type\":\"message\",\"message\":{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\
             \"text\":\"[cron:job-{job} job {job}] go\"}}],\"timestamp\":{at}}}}}\n"
        );
        let mut asked = at;
        loop {
            asked += 1;
            text.push_str(&call(asked));
            self.calls += 1;
            if text.len() >= bytes {
                break;
            }
            text.push_str(&format!(
                "{{\"type\":\"message\",\"message\":{{\"role\":\"toolResult\",\"content\":[{{\"type\":\"text\",\
                 \"text\":\"{}\"}}],\"timestamp\":{asked}}}}}\n",
                "line of a page\\n".repeat(RESULT_BYTES / 16)
            ));
        }
        file.write_all(text.as_bytes())?;
        drop(file);
        let record = format!(
            "{{\"ts\":{asked},\"jobId\":\"job-{job}\",\"action\":\"finished\",\"status\":\"ok\",\
             \"sessionId\":\"{session}\",\"runAtMs\":{at},\"durationMs\":{},\"model\":\"m\",\"provider\":\"p\",\
             \"usage\":{{\"input_tokens\":{},\"output_tokens\":{},\"total_tokens\":{}}},\"nextRunAtMs\":{}}}\n",
            asked - at,
            CALL[0],
            CALL[1],
            CALL[0],
            at + 60_000
        );
        let log = self.state_dir().join(format!("cron/runs/job-{job}.jsonl"));
        File::options().append(true).create(true).open(log)?.write_all(record.as_bytes())?;
        self.runs += 1;
        self.next_at += 1_000;
        Ok(())
    }

    /// Waits until all that was billed is on the page.
    fn wait(&self, daemon: &Daemon, pause: Duration) -> Result<(), Failure> {
        let wanted = CALL.map(|tokens| tokens * self.calls).iter().sum::<u64>();
        until(&format!("{wanted} tokens"), pause, || {
            let page = daemon.metrics()?;
            let tokens = page.lines().filter(|line| line.starts_with("openclaw_tokens_total{"));
            let sum: f64 = tokens.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
            Ok((sum >= float(wanted)).then_some(()))
        })
    }
}

fn call(asked: i64) -> String {
    let [input, output, read, write] = CALL;
    format!(
        "{{\"type\":\"message\",\"id\":\"{asked}\",\"message\":{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\
         \"text\":\"{}\"}}],\"provider\":\"p\",\"model\":\"m\",\"usage\":{{\"input\":{input},\"output\":{output},\
         \"cacheRead\":{read},\"cacheWrite\":{write},\"cost\":{{\"total\":0.0056}}}},\"stopReason\":\"stop\",\
         \"timestamp\":{asked}}}}}\n",
        "word ".repeat(100)
    )
}

/// Measures all of it.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    cold(table)?;
    visible(table)?;
    idle(table)
}

fn cold(table: &mut Table) -> Result<(), Failure> {
    let mut gateway = Gateway::new(3 * 3_600_000)?;
    for _ in 0..TRANSCRIPTS {
        gateway.run(TRANSCRIPT_BYTES)?;
    }
    let start = monotonic();
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger(), &[])?;
    gateway.wait(&daemon, Duration::from_millis(20))?;
    let seconds = start.elapsed().as_secs_f64();
    table.at_most("1,000 transcripts of 1 MB cold, CPU", 5.0, "s", float(daemon.cpu_ns()?) / 1e9);
    table.at_most("the same, peak RSS", 24.0, "MiB", daemon.peak_mib()?);
    table.note("the same, elapsed", &format!("{} s", number(seconds)));
    table.note("the same, calls", &number(float(gateway.calls)));
    daemon.stop()?;
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger(), &[])?;
    daemon.wait_for_runs_held(gateway.runs)?;
    gateway.wait(&daemon, Duration::from_millis(5))?;
    table.note("started again on them, CPU", &format!("{} ms", number(float(daemon.cpu_ns()?) / 1e6)));
    daemon.stop()
}

fn visible(table: &mut Table) -> Result<(), Failure> {
    let mut gateway = Gateway::new(600_000)?;
    gateway.run(0)?;
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger(), &[])?;
    gateway.wait(&daemon, Duration::from_millis(5))?;
    let mut latency = Samples::default();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..LATENCIES {
        std::thread::sleep(Duration::from_millis(random.u64(0..200)));
        gateway.run(60_000)?;
        let start = monotonic();
        gateway.wait(&daemon, Duration::from_millis(2))?;
        latency.push(start.elapsed().as_secs_f64() * 1e3);
    }
    table.note("a run's end → its usage visible, p50", &format!("{} ms", number(latency.median())));
    table.at_most("a run's end → its usage visible, p99", 1_000.0, "ms", latency.quantile(0.99));
    daemon.stop()
}

fn idle(table: &mut Table) -> Result<(), Failure> {
    let mut gateway = Gateway::new(6 * 3_600_000)?;
    for _ in 0..OLD_SESSIONS {
        gateway.run(0)?;
    }
    age(&gateway.sessions())?;
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger(), &[])?;
    gateway.wait(&daemon, Duration::from_millis(20))?;
    // The sweeps come closer together until an event has shown that events come.
    gateway.run(0)?;
    gateway.wait(&daemon, Duration::from_millis(20))?;
    // The next sweep still lists the directory to which that session was added.
    std::thread::sleep(MINUTE);
    let before = daemon.cpu_ns()?;
    std::thread::sleep(MINUTE);
    let spent = daemon.cpu_ns()? - before;
    table.at_most("5,000 old sessions, CPU per minute", 5.0, "ms", float(spent) / 1e6);
    table.note("5,000 old sessions, RSS", &format!("{} MiB", number(daemon.resident_mib()?)));
    daemon.stop()
}

/// Makes files as old as those of sessions that ended long ago.
fn age(directory: &Path) -> Result<(), Failure> {
    let then =
        std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms() - 5 * 3_600_000)?);
    for entry in fs::read_dir(directory)? {
        File::options().append(true).open(entry?.path())?.set_modified(then)?;
    }
    Ok(())
}
