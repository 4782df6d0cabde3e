mod gateway_log;
mod scope;
mod transcripts;

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::*;
use crate::ledger::{OpenOptions, Opened, Outcome, Totals};
use crate::model::RejectReason;

/// After the last record here.
const NOW: UnixMs = UnixMs(1_795_240_000_000);
const T0: i64 = 1_795_235_200_000;

const TASK_RUNS: &str =
    "CREATE TABLE task_runs (task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT,
    source_id TEXT, child_session_key TEXT, agent_id TEXT, label TEXT, status TEXT NOT NULL, ended_at INTEGER,
    detail_json TEXT) STRICT;";
const CRON_RUN_LOGS: &str = "CREATE TABLE cron_run_logs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, seq INTEGER NOT NULL,
    ts INTEGER NOT NULL, entry_json TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id, seq));";
const CRON_JOBS: &str =
    "CREATE TABLE cron_jobs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL,
    enabled INTEGER NOT NULL, agent_id TEXT, job_json TEXT NOT NULL, state_json TEXT NOT NULL,
    runtime_updated_at_ms INTEGER, updated_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id)) STRICT;";

/// A state directory, its database as the gateway holds it, and a collector on it.
struct Bench {
    folder: tempfile::TempDir,
    gateway: Option<Connection>,
    ledger: Option<Ledger>,
    collector: Collector,
    now: UnixMs,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s");
        std::fs::create_dir_all(state.join("state")).unwrap();
        let mut bench =
            Self { collector: Collector::new(&state, None), folder, gateway: None, ledger: None, now: NOW };
        bench.restart();
        bench
    }

    fn with(schema: &[&str]) -> Self {
        let mut bench = Self::new();
        bench.start_gateway();
        schema.iter().for_each(|sql| bench.sql(sql));
        bench
    }

    fn restart(&mut self) {
        self.ledger = None;
        self.collector = Collector::new(&self.state(), None);
        let options = OpenOptions { gateway: None, max_jobs: 9, full_sync: false };
        let path = self.folder.path().join("ledger.sqlite");
        let Opened { ledger, .. } = Ledger::open(&path, &options, self.now).unwrap();
        self.ledger = Some(ledger);
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn database(&self) -> PathBuf {
        self.state().join("state/openclaw.sqlite")
    }

    fn start_gateway(&mut self) {
        let connection = Connection::open(self.database()).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        self.gateway = Some(connection);
    }

    fn sql(&self, sql: &str) {
        self.gateway.as_ref().unwrap().execute_batch(sql).unwrap();
    }

    /// A row of a finished run of `job`, `minute` minutes after the start.
    fn task(&self, id: &str, job: &str, minute: i64) {
        let at = T0 + minute * 60_000;
        let detail = format!(
            r#"{{"kind":"cron-run","status":"ok","completionStatus":"succeeded","runAtMs":{at},"durationMs":5,
               "model":"m","provider":"p","usage":{{"input_tokens":100,"output_tokens":1,"total_tokens":101}}}}"#
        );
        self.sql(&format!(
            "INSERT INTO task_runs VALUES ('{id}', 'cron', 'automation_run', '{job}', NULL, 'main', 'name of {job}',
             'succeeded', {at} + 5, '{detail}')"
        ));
    }

    /// A row of the older store.
    fn log(&self, job: &str, seq: i64, minute: i64) {
        let at = T0 + minute * 60_000;
        let entry = format!(
            r#"{{"ts":{},"jobId":"{job}","action":"finished","status":"ok","runAtMs":{at},
               "usage":{{"input_tokens":100,"output_tokens":1,"total_tokens":101}}}}"#,
            at + 5
        );
        self.sql(&format!(
            "INSERT INTO cron_run_logs VALUES ('k', '{job}', {seq}, {at} + 5, '{entry}', {at} + 9)"
        ));
    }

    fn sweep(&mut self) -> Progress {
        self.collector.sweep(self.ledger.as_mut().unwrap(), self.now).unwrap()
    }

    fn health(&mut self) -> SourceHealth {
        self.sweep();
        self.collector.health(self.ledger.as_ref().unwrap(), self.now)
    }

    fn totals(&self) -> Totals {
        self.ledger.as_ref().unwrap().totals().lock().unwrap().clone()
    }

    /// Runs that were counted, and gaps that were told.
    fn runs(&mut self) -> u64 {
        self.sweep();
        self.totals().counters.outcomes.get(&Outcome::Inserted).copied().unwrap_or(0)
    }

    fn gaps(&self, source: &str) -> u64 {
        self.totals().counters.sources.get(source).map_or(0, |facts| facts.gaps)
    }

    fn rejects(&self) -> Vec<(RejectReason, u64)> {
        self.totals().counters.rejects.into_iter().collect()
    }
}

#[test]
fn runs_are_counted_in_whichever_order_they_are_started_ended_and_imported() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    bench.sql("INSERT INTO task_runs VALUES ('slow', 'cron', 'automation_run', 'a', NULL, 'main', 'a', 'running', NULL,
        '{\"storeKey\":\"k\"}')");
    bench.task("quick", "a", 1);
    assert_eq!(bench.runs(), 1, "a running row is no run yet");
    bench.task("imported", "a", -90_000);
    assert_eq!(bench.runs(), 2, "a time far back is no reason to miss it");
    // Ends with a time before that of rows that were read long ago.
    bench.sql(
        "UPDATE task_runs SET status = 'succeeded', ended_at = 1795235200009, detail_json =
        '{\"kind\":\"cron-run\",\"status\":\"ok\",\"runAtMs\":1795235200000}' WHERE task_id = 'slow'",
    );
    assert_eq!(bench.runs(), 3);
    bench.restart();
    assert_eq!(bench.runs(), 3);
    assert_eq!(
        bench.totals().counters.outcomes.get(&Outcome::Duplicate),
        None,
        "read again is not told again"
    );
}

#[test]
fn only_finished_runs_of_the_scheduler_count_and_older_bookkeeping_does_not() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    bench.task("one", "a", 1);
    bench.sql(
        "INSERT INTO task_runs VALUES ('2', 'cron', NULL, 'a', NULL, 'main', 'a', 'succeeded', 1795235200009, NULL);
         INSERT INTO task_runs VALUES ('3', 'cron', NULL, 'a', NULL, 'main', 'a', 'lost', 1795235200009, NULL);
         INSERT INTO task_runs SELECT '4', 'cli', task_kind, source_id, NULL, agent_id, label, status, ended_at,
             detail_json FROM task_runs WHERE task_id = 'one';
         INSERT INTO task_runs SELECT 'cron-runlog-import:a:5:1', runtime, NULL, source_id, 'agent:main:cron:a', NULL,
             NULL, status, ended_at, detail_json FROM task_runs WHERE task_id = 'one'",
    );
    assert_eq!(bench.runs(), 1);
    assert_eq!(bench.totals().counters.outcomes[&Outcome::Duplicate], 1, "the import is the same run");
    assert_eq!(bench.rejects(), []);
}

#[test]
fn rebuilt_vacuumed_and_replaced_databases_are_read_again_and_nothing_twice() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    for minute in 0..5 {
        bench.task(&format!("t{minute}"), "a", minute);
    }
    assert_eq!(bench.runs(), 5);
    // The numbers of rows close up: a new row gets one that was consumed.
    bench.sql("DELETE FROM task_runs WHERE task_id IN ('t0', 't1', 't2'); VACUUM");
    bench.task("t5", "a", 5);
    assert_eq!(bench.runs(), 6);
    // The newest row goes and its number returns.
    bench.sql("DELETE FROM task_runs WHERE task_id = 't5'");
    bench.task("t6", "a", 6);
    assert_eq!(bench.runs(), 7);
    // Another file under the name, as a restored backup is.
    bench.gateway = None;
    std::fs::rename(bench.database(), bench.folder.path().join("old")).unwrap();
    bench.start_gateway();
    bench.sql(TASK_RUNS);
    bench.task("t6", "a", 6);
    bench.task("t7", "a", 7);
    assert_eq!(bench.runs(), 8);
    assert_eq!(bench.gaps("task-runs"), 0);
}

#[test]
fn a_bad_row_is_counted_once_however_often_its_table_is_read() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    bench.task("gone", "a", 0);
    bench.task("bad", "a", 1);
    bench.sql("UPDATE task_runs SET detail_json = 'not JSON' WHERE task_id = 'bad'");
    assert_eq!(bench.runs(), 1);
    bench.sql("DELETE FROM task_runs WHERE task_id = 'gone'; VACUUM");
    bench.sweep();
    bench.restart();
    bench.sweep();
    assert_eq!(bench.rejects(), [(RejectReason::InvalidJson, 1)]);
}

#[test]
fn a_row_that_changes_after_its_end_is_found_within_the_hour() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    bench.task("one", "a", 1);
    bench.sql("UPDATE task_runs SET detail_json = json_remove(detail_json, '$.usage')");
    assert_eq!(bench.runs(), 1);
    bench.sql("UPDATE task_runs SET detail_json = json_set(detail_json, '$.usage.input_tokens', 7)");
    let updated = |bench: &Bench| bench.totals().counters.outcomes.contains_key(&Outcome::Updated);
    bench.sweep();
    assert!(!updated(&bench));
    bench.now = NOW.plus(3_600_000);
    // Only a database that changes is read again at all.
    bench.task("two", "a", 2);
    bench.sweep();
    assert!(updated(&bench));
}

#[test]
fn rows_that_went_unread_are_a_gap() {
    let mut bench = Bench::with(&[CRON_RUN_LOGS]);
    bench.log("a", 1, 1);
    assert_eq!(bench.runs(), 1);
    bench.log("a", 2, 2);
    bench.sql("DELETE FROM cron_run_logs WHERE seq = 1");
    assert_eq!((bench.runs(), bench.gaps("cron-run-logs")), (2, 0), "pruned after it was read");
    for seq in 3..6 {
        bench.log("a", seq, seq);
    }
    bench.sql("DELETE FROM cron_run_logs WHERE seq < 5");
    assert_eq!((bench.runs(), bench.gaps("cron-run-logs")), (3, 1), "pruned before it was read");
    bench.restart();
    assert_eq!((bench.runs(), bench.gaps("cron-run-logs")), (3, 1));
}

#[test]
fn a_gap_is_told_behind_rows_of_another_job() {
    let mut bench = Bench::with(&[CRON_RUN_LOGS]);
    bench.log("a", 1, 1);
    assert_eq!(bench.runs(), 1);
    bench.log("b", 1, 2);
    for seq in 2..6 {
        bench.log("a", seq, seq + 1);
    }
    bench.sql("DELETE FROM cron_run_logs WHERE job_id = 'a' AND seq < 5");
    assert_eq!((bench.runs(), bench.gaps("cron-run-logs")), (3, 1));
}

#[test]
fn a_look_that_failed_or_found_nothing_does_not_hide_a_gap() {
    let mut bench = Bench::with(&[CRON_RUN_LOGS]);
    bench.log("a", 1, 1);
    assert_eq!(bench.runs(), 1);
    let (database, aside) = (bench.database(), bench.folder.path().join("aside"));
    let lose_one = |bench: &mut Bench, seq: i64| {
        bench.start_gateway();
        bench.log("a", seq, seq);
        bench.log("a", seq + 1, seq + 1);
        bench.sql(&format!("DELETE FROM cron_run_logs WHERE seq <= {seq}"));
        bench.gateway = None;
    };
    lose_one(&mut bench, 2);
    std::fs::rename(&database, &aside).unwrap();
    assert_eq!(bench.runs(), 1);
    std::fs::rename(&aside, &database).unwrap();
    assert_eq!((bench.runs(), bench.gaps("cron-run-logs")), (2, 1), "it was away");
    lose_one(&mut bench, 4);
    let ledger = Connection::open(bench.folder.path().join("ledger.sqlite")).unwrap();
    ledger
        .execute_batch("CREATE TRIGGER disk BEFORE INSERT ON run BEGIN SELECT RAISE(ABORT, 'disk'); END")
        .unwrap();
    let failed = bench.collector.sweep(bench.ledger.as_mut().unwrap(), bench.now);
    assert!(failed.is_err());
    ledger.execute_batch("DROP TRIGGER disk").unwrap();
    assert_eq!((bench.runs(), bench.gaps("cron-run-logs")), (3, 2), "the ledger could not be written");
}

#[test]
fn the_same_run_in_three_stores_counts_once_through_the_upgrades() {
    let mut bench = Bench::new();
    let runs = bench.state().join("cron/runs");
    std::fs::create_dir_all(&runs).unwrap();
    let at = T0 + 60_000;
    let line = format!(
        r#"{{"ts":{},"jobId":"a","action":"finished","status":"ok","sessionKey":"agent:main:cron:a","runAtMs":{at}}}"#,
        at + 5
    );
    std::fs::write(runs.join("a.jsonl"), line + "\n").unwrap();
    assert_eq!(bench.runs(), 1);
    assert_eq!(bench.health().sources, [("run-log", true)]);
    // 2026.6.1: rows are made, the log is renamed.
    bench.start_gateway();
    bench.sql(CRON_RUN_LOGS);
    bench.log("a", 1, 1);
    std::fs::rename(runs.join("a.jsonl"), runs.join("a.jsonl.migrated")).unwrap();
    bench.log("a", 2, 2);
    assert_eq!(bench.runs(), 2);
    assert_eq!(bench.health().sources, [("cron-run-logs", true)]);
    // 2026.8.1: the table goes, its rows come back without an agent, and one run ends.
    bench.sql("DROP TABLE cron_run_logs");
    bench.sql(TASK_RUNS);
    bench.task("cron-runlog-import:a:1:1", "a", 1);
    bench.task("cron-runlog-import:a:2:2", "a", 2);
    bench.task("new", "a", 3);
    assert_eq!(bench.runs(), 3);
    let health = bench.health();
    assert_eq!((health.sources, health.problem), (vec![("task-runs", true)], None));
    // Rolled back: the old gateway writes logs again, beside the database.
    std::fs::write(
        runs.join("b.jsonl"),
        format!(r#"{{"ts":{at},"jobId":"b","action":"finished","runAtMs":{at}}}"#) + "\n",
    )
    .unwrap();
    assert_eq!(bench.runs(), 4);
    assert_eq!(bench.health().sources, [("run-log", true), ("task-runs", true)]);
    assert_eq!(bench.rejects(), []);
}

#[test]
fn openclaw_s_own_jobs_are_told_from_users_jobs_of_the_same_name() {
    let mut bench = Bench::with(&[TASK_RUNS, CRON_JOBS]);
    let job = |id: &str, key: &str| {
        format!(
            "INSERT INTO cron_jobs VALUES ('k', '{id}', 'heartbeat-main', 1, 'main', '{{\"schedule\":{{\"kind\":\"every\"}}{key}}}',
             '{{\"nextRunAtMs\":{T0}}}', 1, 1)"
        )
    };
    bench.sql(&job("theirs", ",\"declarationKey\":\"heartbeat:main\""));
    bench.sql(&job("mine", ""));
    bench.task("1", "theirs", 1);
    bench.task("2", "mine", 2);
    bench.task("3", "gone\" {x}\n", 3);
    assert_eq!(bench.runs(), 3);
    let labels: BTreeSet<_> =
        bench.totals().labels.iter().map(|at| (at.job_id.clone(), at.job_name.clone())).collect();
    let expected =
        [("gone\" {x}\n", "name of gone\" {x}\n"), ("mine", "heartbeat-main"), ("system", "heartbeat-main")];
    // A job without a schedule and without a next run that the scheduler does not know was a one-shot job.
    let named = |(id, name): &(&str, &str)| labels.contains(&((*id).to_owned(), (*name).to_owned()));
    assert!(expected[1..].iter().all(named), "{labels:?}");
    assert!(labels.contains(&("one-shot".to_owned(), String::new())), "{labels:?}");
}

#[test]
fn a_gateway_that_went_quiet_is_told_and_a_working_one_is_not() {
    let mut bench = Bench::with(&[TASK_RUNS, CRON_JOBS]);
    bench.sql(
        "INSERT INTO cron_jobs VALUES ('k', 'a', 'a', 1, 'main', '{}', '{\"nextRunAtMs\":1795235320000}', 1, 1)",
    );
    bench.task("1", "a", 1);
    bench.now = UnixMs(T0 + 120_000 + 60_000 + 300_000);
    let health = bench.health();
    assert_eq!((health.overdue_jobs, health.note), (0, None), "late by its period is not yet overdue");
    bench.now = bench.now.plus(1);
    let health = bench.health();
    assert_eq!(health.overdue_jobs, 1);
    assert!(
        health.note.is_some_and(|note| note.contains("no run since 2026-11-21")),
        "{:?}",
        bench.health().note
    );
    bench.sql("UPDATE cron_jobs SET state_json = '{\"nextRunAtMs\":1795235320000,\"runningAtMs\":5}', updated_at = 2");
    assert_eq!(bench.health().overdue_jobs, 0, "it runs at this moment");
    bench.sql(
        "UPDATE cron_jobs SET state_json = '{\"nextRunAtMs\":1795235320000}', enabled = 0, updated_at = 3",
    );
    assert_eq!(bench.health().overdue_jobs, 0, "switched off");
}

#[test]
fn a_store_that_is_gone_without_another_is_told() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    bench.task("1", "a", 1);
    assert_eq!(bench.health().problem, None);
    bench.gateway = None;
    std::fs::remove_file(bench.database()).unwrap();
    let health = bench.health();
    assert_eq!(health.sources, [("task-runs", false)]);
    assert!(health.problem.is_some_and(|problem| problem.contains("OpenClaw makes one")));
    std::fs::remove_dir_all(bench.state()).unwrap();
    assert!(bench.health().problem.is_some_and(|problem| problem.contains("does not exist")));
    assert!(!bench.totals().series.is_empty(), "what was counted stays");
}

#[test]
fn a_database_that_is_refused_is_down_beside_a_log_that_is_not() {
    let mut bench = Bench::with(&[TASK_RUNS]);
    bench.task("1", "a", 1);
    assert_eq!(bench.health().sources, [("task-runs", true)]);
    bench.gateway = None;
    std::fs::write(bench.database(), "no database, for a long time").unwrap();
    let runs = bench.state().join("cron/runs");
    std::fs::create_dir_all(&runs).unwrap();
    std::fs::write(runs.join("b.jsonl"), "").unwrap();
    let long_ago = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    std::fs::File::options().write(true).open(bench.database()).unwrap().set_times(long_ago).unwrap();
    assert_eq!(bench.health().sources, [("run-log", true), ("task-runs", false)]);
    assert_eq!(bench.rejects(), [(RejectReason::NotADatabase, 1)]);
}

#[test]
fn logs_that_were_taken_over_are_no_store_while_the_database_is_away() {
    let mut bench = Bench::new();
    let runs = bench.state().join("cron/runs");
    std::fs::create_dir_all(&runs).unwrap();
    assert_eq!(bench.health().problem, None, "an older gateway before its first run");
    let line =
        r#"{"ts":1795235200001,"jobId":"j","action":"finished","status":"ok","runAtMs":1795235200001}"#;
    std::fs::write(runs.join("j.jsonl.migrated"), format!("{line}\n")).unwrap();
    assert!(
        bench.health().problem.is_some_and(|problem| problem.contains("mount the whole state directory"))
    );
    assert_eq!(bench.runs(), 1, "they are read all the same");
}
