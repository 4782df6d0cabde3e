//! A gateway's database, read by the real process while the gateway works, after it stopped, and when it is no good.
//!
//! `read_only`: nothing is ever written there. `files`: what is no database. `schemas`: databases of another kind.
//! `rows`: rows that make no sense. `names`: hostile names of jobs. `busy`: a gateway that writes all the time.

mod busy;
mod files;
mod names;
mod read_only;
mod rows;
mod schemas;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::common::daemon::{Daemon, Sandbox};
use crate::common::real_time::{now_ms, until};
use crate::common::samples::Count;

/// `task_runs` and `cron_jobs` as 2026.9.6 makes them, but for columns that nobody reads here.
const SCHEMA: &str = "
    CREATE TABLE task_runs (task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT, source_id TEXT,
        child_session_key TEXT, agent_id TEXT, run_id TEXT, label TEXT, status TEXT NOT NULL,
        created_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER, error TEXT, detail_json TEXT) STRICT;
    CREATE INDEX idx_task_runs_runtime_ended ON task_runs (runtime, ended_at);
    CREATE TABLE cron_jobs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL,
        enabled INTEGER NOT NULL, agent_id TEXT, job_json TEXT NOT NULL, state_json TEXT NOT NULL DEFAULT '{}',
        runtime_updated_at_ms INTEGER, updated_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id)) STRICT;
    PRAGMA user_version = 18;";

/// The tokens of every run here.
const RUN: Count = Count { runs: 1, input: 100, output: 7 };

fn runs(number: u64) -> Count {
    Count { runs: number, input: number * RUN.input, output: number * RUN.output }
}

/// Start of the run with that number: one each second.
fn at(number: i64) -> i64 {
    1_795_200_000_000 + number * 1_000
}

/// The record of a run that went well.
fn record(number: i64) -> String {
    format!(
        r#"{{"kind":"cron-run","status":"ok","completionStatus":"succeeded","runAtMs":{},"durationMs":5,
           "nextRunAtMs":{},"model":"m","provider":"p",
           "usage":{{"input_tokens":100,"output_tokens":7,"total_tokens":107}}}}"#,
        at(number),
        at(number) + 86_400_000
    )
}

/// A gateway's connection to its database, in WAL mode.
struct Store {
    connection: Connection,
}

impl Store {
    /// A new database with the tables of 2026.9.6.
    fn create(path: &Path) -> Self {
        let store = Self::open(path);
        store.sql(SCHEMA);
        store
    }

    fn open(path: &Path) -> Self {
        fs::create_dir_all(path.parent().expect("a directory")).expect("the directory of a database");
        let connection = Connection::open(path).expect("a database");
        connection.pragma_update(None, "journal_mode", "WAL").expect("a write-ahead log");
        connection.pragma_update(None, "synchronous", "NORMAL").expect("what OpenClaw uses");
        Self { connection }
    }

    fn sql(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// A row of a run that has begun.
    fn start(&self, job: &str, number: i64) {
        self.connection
            .prepare_cached(
                "INSERT INTO task_runs (task_id, runtime, task_kind, source_id, agent_id, label, status, created_at,
                 started_at, detail_json)
                 VALUES (?1, 'cron', 'automation_run', ?2, 'main', ?3, 'running', ?4, ?4, '{\"storeKey\":\"k\"}')",
            )
            .and_then(|mut insert| {
                insert.execute(params![format!("t{number}"), job, format!("name of {job}"), at(number)])
            })
            .unwrap_or_else(|error| panic!("start run {number}: {error}"));
    }

    /// Its end.
    fn end(&self, number: i64) {
        self.end_with(number, &record(number));
    }

    fn end_with(&self, number: i64, record: &str) {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE task_runs SET status = 'succeeded', ended_at = started_at + 5, detail_json = ?2
                 WHERE task_id = ?1",
            )
            .and_then(|mut update| update.execute(params![format!("t{number}"), record]))
            .unwrap_or_else(|error| panic!("end run {number}: {error}"));
        assert_eq!(changed, 1, "run {number} was started");
    }

    /// A finished run.
    fn run(&self, job: &str, number: i64) {
        self.start(job, number);
        self.end(number);
    }
}

fn database(sandbox: &Sandbox) -> PathBuf {
    sandbox.state_dir().join("state/openclaw.sqlite")
}

/// A state directory in which bad databases take turns, with a live run log beside them.
struct Bench {
    daemon: Daemon,
    // Behind it, so that a failing test can still show its log.
    sandbox: Sandbox,
    /// What is counted so far.
    counted: Count,
    turns: u32,
    rejected: std::collections::BTreeMap<&'static str, u64>,
    lines: i64,
}

impl Bench {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir_all(sandbox.state_dir().join("cron/runs")).expect("cron/runs");
        fs::create_dir_all(sandbox.state_dir().join("state")).expect("the directory of the database");
        let daemon = sandbox.serve(&[]);
        Self { sandbox, daemon, counted: Count::default(), turns: 0, rejected: [].into(), lines: 0 }
    }

    /// A path for making something, in the file system of the state directory.
    fn workshop(&mut self) -> PathBuf {
        self.turns += 1;
        let folder = self.sandbox.path(&format!("workshop.{}", self.turns));
        fs::create_dir(&folder).expect("a directory");
        folder.join("openclaw.sqlite")
    }

    /// Puts what was made there in the database's place. What was there before is kept elsewhere, so that no two
    /// things are ever the same file.
    fn place(&mut self, made: &Path) {
        let home = database(&self.sandbox);
        let home = home.parent().expect("the directory of the database");
        let aside = self.sandbox.path(&format!("aside.{}", self.turns));
        fs::rename(home, &aside).expect("a rename");
        let made = made.parent().expect("the workshop");
        for entry in fs::read_dir(made).expect("the workshop") {
            let entry = entry.expect("an entry");
            // As if it had been there for a while: what has just been made may still be about to be filled.
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            utimensat(CWD, entry.path(), &past(), flags).expect("a time in the past");
        }
        fs::rename(made, home).expect("a rename");
    }

    /// Waits until a thing is refused: counted once under that reason, and said.
    fn until_refused(&mut self, reason: &'static str, says: &[&str], what: &str) {
        *self.rejected.entry(reason).or_default() += 1;
        until(&format!("a reject of {what}: {reason}"), || {
            let is = self.daemon.scrape().sum("openclaw_usage_rejects_total", &[("openclaw_reason", reason)]);
            (is == self.rejected[reason] as f64).then_some(())
        });
        for says in says {
            self.daemon.until_readiness(503, says);
        }
        self.assert_rejects(what);
        let log = self.daemon.log();
        let warned = |line: &&str| line.contains("WARN") && says.iter().all(|says| line.contains(says));
        assert!(log.lines().any(|line| warned(&line)), "{what}: {says:?} in {log}");
        self.append();
        self.daemon.until_counted(self.counted);
        self.assert_rejects(what);
    }

    fn assert_rejects(&self, what: &str) {
        let samples = self.daemon.scrape();
        for (reason, count) in &self.rejected {
            let is = samples.sum("openclaw_usage_rejects_total", &[("openclaw_reason", reason)]);
            assert_eq!(is, *count as f64, "{what}: {reason}");
        }
        let all: u64 = self.rejected.values().sum();
        assert_eq!(samples.sum("openclaw_usage_rejects_total", &[]), all as f64, "{what}: rejects");
    }

    /// One more run in the run log beside it.
    fn append(&mut self) {
        use std::io::Write;
        self.lines += 1;
        let line = record(self.lines).replace(
            r#""kind":"cron-run""#,
            &format!(r#""ts":{},"jobId":"logged","action":"finished""#, at(self.lines) + 6),
        );
        let path = self.sandbox.state_dir().join("cron/runs/logged.jsonl");
        let mut log = File::options().append(true).create(true).open(path).expect("a run log");
        log.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes()).expect("an append");
        self.counted = self.counted + RUN;
    }

    /// A good database in the place of the bad one, and a run in it.
    fn mend(&mut self) {
        let made = self.workshop();
        let store = Store::create(&made);
        store.run("mended", i64::from(self.turns));
        drop(store);
        self.place(&made);
        self.counted = self.counted + RUN;
        self.daemon.until_counted(self.counted);
        self.daemon.until_readiness(200, "ready");
    }
}

fn past() -> Timestamps {
    let seconds = i64::try_from(now_ms() / 1_000).expect("a time in seconds") - 60;
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// The most memory that a process has had resident, in KiB.
fn peak_kib(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
