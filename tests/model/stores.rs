//! The gateway's database as it is written, upgraded, swapped and taken away.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use openclaw_usage::demo::{CronRunLogsWriter, Generation, RunRecord, Store, TaskId, TaskRunsWriter, Tokens};
use openclaw_usage::model::{Status, UnixMs};
use rusqlite::Connection;

use super::op::Database;
use super::world::{World, beside};

const DAY_MS: i64 = 86_400_000;
/// The gateway's clock at an upgrade: before all runs, so that its schedule stays idle and no import passes for a row
/// of the version's own.
const UPGRADES_AT: i64 = 1_768_000_000_000;
/// A second connection of the gateway, which holds a transaction open.
enum Open {
    Logs(CronRunLogsWriter),
    Tasks(TaskRunsWriter),
}

/// The state of the gateway's database.
pub struct Stores {
    /// Versions that were upgraded: those that a rollback leads back to.
    left: BTreeSet<Generation>,
    stopped: bool,
    /// Its file lies elsewhere.
    pub(super) away: bool,
    open: Option<Open>,
    running: Vec<(TaskId, String, i64)>,
    copy: Option<Generation>,
    used: BTreeSet<i64>,
    /// Grows with each use: no id and no time is drawn twice.
    count: u64,
}

impl Stores {
    pub fn new() -> Self {
        Self {
            left: BTreeSet::new(),
            stopped: false,
            away: false,
            open: None,
            running: Vec::new(),
            copy: None,
            used: BTreeSet::new(),
            count: 0,
        }
    }

    /// Whether the gateway itself cannot write.
    pub const fn is_busy(&self) -> bool {
        self.stopped || self.open.is_some()
    }
}

impl World {
    pub(super) fn change_database(&mut self, op: &Database) {
        match *op {
            Database::Upgrade { to } if to > self.gateway.generation() && !self.away => {
                self.start();
                // After a rollback to run logs the newer database is still in its place: 2026.6.11 refuses it.
                if self.database_version() > 1 && to == Generation::V2026_6_11 {
                    return;
                }
                let (from, at) = (self.gateway.generation(), self.upgrade_time());
                self.gateway.upgrade(to, at).expect("an upgrade");
                self.stores.left.insert(from);
                self.truth.doubt_rejects();
            }
            Database::Rollback { to }
                if to < self.gateway.generation() && self.stores.left.contains(&to) && !self.away =>
            {
                self.start();
                let at = self.upgrade_time();
                self.gateway.rollback(to, at).expect("a rollback");
                if self.gateway.jobs().is_empty() {
                    let at = self.upgrade_time();
                    self.gateway.restore_jobs(at).expect("the list of jobs");
                }
                self.truth.doubt_rejects();
            }
            Database::Start => self.start(),
            Database::Commit { kept } => self.commit(kept),
            Database::Upgrade { .. } | Database::Rollback { .. } => {}
            _ if self.gateway.generation().store() == Store::RunLogs || self.stores.is_busy() => {}
            Database::Begins { .. }
            | Database::Ends { .. }
            | Database::Late { .. }
            | Database::Bad { .. }
            | Database::Retention { .. }
            | Database::Begin { .. } => self.write_rows(op),
            _ => self.change_file(op),
        }
        self.stamp_database();
    }

    fn write_rows(&mut self, op: &Database) {
        self.stores.count += 1;
        let seed = self.stores.count;
        let state = self.folder.path().join("state");
        if self.gateway.generation().store() == Store::CronRunLogs {
            let mut writer = CronRunLogsWriter::open(&state).expect("a writer");
            match *op {
                Database::Late { job, days } => {
                    let record = self.record(job, days);
                    writer.append(&record).expect("an old record");
                }
                Database::Bad { job } => self.execute_there(&format!(
                    "INSERT INTO cron_run_logs (store_key, job_id, seq, ts, run_at_ms, entry_json, created_at)
                     VALUES ('bad', 'direct-{job}', {seed}, 1770000000000, 1, '{}', 1770000000017)",
                    bad(seed)
                )),
                Database::Retention { keep } => {
                    writer.keep(keep);
                    for job in 0..self.jobs.len() {
                        writer.append(&self.record(job, 0)).expect("a record and a prune");
                    }
                }
                Database::Begin { job, rows } => {
                    writer.begin().expect("a transaction");
                    for _ in 0..rows {
                        writer.append(&self.record(job, 0)).expect("a record");
                    }
                    self.stores.open = Some(Open::Logs(writer));
                }
                _ => {}
            }
            return;
        }
        let mut writer = TaskRunsWriter::open(&state, seed << 32).expect("a writer");
        match *op {
            Database::Begins { job } => {
                let run_at = self.run_at(0);
                let id = format!("direct-{job}");
                let task = writer.start(&id, "direct", "main", UnixMs(run_at)).expect("a running row");
                self.stores.running.push((task, id, run_at));
            }
            Database::Ends { which, failed } if !self.stores.running.is_empty() => {
                let which = which % self.stores.running.len();
                let (task, job, run_at) = self.stores.running.remove(which);
                let record = self.record_of(&job, run_at, failed);
                writer.finish(&task, &record).expect("a finished row");
            }
            Database::Late { job, days } => {
                writer.import(&self.record(job, days)).expect("an imported row");
            }
            Database::Bad { job } => self.execute_there(&format!(
                "INSERT INTO task_runs (task_id, runtime, task_kind, source_id, owner_key, scope_kind, task, status,
                     delivery_status, notify_policy, created_at, started_at, ended_at, cleanup_after, detail_json)
                 VALUES ('bad-{seed}', 'cron', 'automation_run', 'direct-{job}', '', '', '', 'succeeded', '', '', 1, 1,
                     1770000000000, 1770604800000, '{}')",
                bad(seed)
            )),
            Database::Retention { keep } => {
                writer.keep(keep);
                writer.sweep(self.now).expect("a prune");
                self.truth.doubt_rejects();
            }
            Database::Begin { job, rows } => {
                writer.begin().expect("a transaction");
                for _ in 0..rows {
                    let run_at = self.run_at(0);
                    let id = format!("direct-{job}");
                    let task = writer.start(&id, "direct", "main", UnixMs(run_at)).expect("a running row");
                    let record = self.record_of(&id, run_at, false);
                    writer.finish(&task, &record).expect("a finished row");
                }
                self.stores.open = Some(Open::Tasks(writer));
            }
            _ => {}
        }
    }

    fn commit(&mut self, kept: bool) {
        let done = match self.stores.open.take() {
            Some(Open::Logs(mut writer)) if kept => writer.commit(),
            Some(Open::Logs(mut writer)) => writer.roll_back(),
            Some(Open::Tasks(mut writer)) if kept => writer.commit(),
            Some(Open::Tasks(mut writer)) => writer.roll_back(),
            None => return,
        };
        done.expect("the end of a transaction");
    }

    /// Does something to the file, beneath the tables.
    fn change_file(&mut self, op: &Database) {
        let (path, copy) = (self.database(), self.database().with_extension("copy"));
        let (swap, aside) = (path.with_extension("swap"), path.with_extension("aside"));
        match *op {
            Database::Vacuum => {
                self.execute_there("VACUUM");
                self.truth.doubt_rejects();
            }
            Database::Truncate => self.truncate(),
            Database::Stop => self.stop(),
            Database::Copy => {
                self.truncate();
                fs::copy(&path, &copy).expect("a copy");
                self.stores.copy = Some(self.gateway.generation());
            }
            Database::Restore { in_place } if self.stores.copy == Some(self.gateway.generation()) => {
                self.stop();
                if in_place {
                    fs::write(&path, fs::read(&copy).expect("a copy")).expect("a restored database");
                } else {
                    fs::copy(&copy, &swap).expect("a second copy");
                    fs::rename(&swap, &path).expect("a restored database");
                }
                self.truth.doubt_rejects();
                self.start();
            }
            Database::Replace => {
                self.stop();
                fs::copy(&path, &swap).expect("a copy");
                fs::rename(&swap, &path).expect("another file");
                self.truth.doubt_rejects();
                self.start();
            }
            Database::Goes { garbage } => {
                self.stop();
                fs::rename(&path, &aside).expect("the database goes");
                self.stores.away = true;
                if garbage {
                    fs::write(&path, [7; 9_000]).expect("garbage");
                }
            }
            _ => {}
        }
    }

    fn stop(&mut self) {
        self.gateway.close();
        self.stores.stopped = true;
    }

    fn start(&mut self) {
        self.commit(true);
        if self.stores.away {
            let path = self.database();
            fs::rename(path.with_extension("aside"), path).expect("the database returns");
            self.stores.away = false;
        }
        if self.stores.stopped {
            let at = self.upgrade_time();
            self.gateway.open_again(at).expect("an open database");
            self.stores.stopped = false;
        }
    }

    fn truncate(&self) {
        self.execute_there("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    fn execute_there(&self, sql: &str) {
        let connection = Connection::open(self.database()).expect("the gateway's database");
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn database_version(&self) -> i64 {
        if !self.database().exists() {
            return 0;
        }
        let connection = Connection::open(self.database()).expect("the gateway's database");
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version")
    }

    fn upgrade_time(&mut self) -> UnixMs {
        self.stores.count += 1;
        UnixMs(UPGRADES_AT + i64::try_from(self.stores.count).expect("a count"))
    }

    /// Returns a start that no run of these jobs has.
    fn run_at(&mut self, days: i64) -> i64 {
        let mut at = self.now.0 - days * DAY_MS;
        while !self.stores.used.insert(at) {
            at += 1;
        }
        at
    }

    /// Returns the record of a run of a job that no list names.
    fn record(&mut self, job: usize, days: i64) -> RunRecord {
        let run_at = self.run_at(days);
        self.record_of(&format!("direct-{job}"), run_at, job == 0)
    }

    fn record_of(&self, job: &str, run_at: i64, failed: bool) -> RunRecord {
        let n = run_at.unsigned_abs() % 1_000;
        let usage = Tokens { input: 100 + n, output: n, cache_read: n / 2, cache_write: 0 };
        let status = if failed { Status::Error } else { Status::Ok };
        let times = (UnixMs(run_at), UnixMs(run_at + 5_000));
        RunRecord::plain(self.gateway.generation(), job, times, status, Some(usage))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("state/state/openclaw.sqlite")
    }

    /// Gives the database a time of change that it did not have before, as a log gets one.
    pub(super) fn stamp_database(&mut self) {
        self.stamps += 1;
        let ms = u64::try_from(self.now.0).expect("a time after 1970");
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms) + Duration::from_nanos(self.stamps);
        for path in [self.database(), beside(&self.database(), "-wal")] {
            if let Ok(file) = File::options().append(true).open(path) {
                file.set_modified(at).expect("a time of change");
            }
        }
    }
}

/// What no run can say.
fn bad(number: u64) -> String {
    format!(
        r#"{{"bad":{number},"kind":"cron-run","jobId":"j","ts":1770000000000,"action":"finished","status":"ok","runAtMs":1770000000000,"usage":{{"input_tokens":-5}}}}"#
    )
}
