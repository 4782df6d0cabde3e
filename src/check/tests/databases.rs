//! State directories with a database: of today, upgraded, refused, gone.

use rusqlite::Connection;

use super::*;

const HERE: &str = "STATE DIRECTORY";
const DATABASE: &str = "state/state/openclaw.sqlite";
const HOUR: i64 = 3_600_000;

const TASK_RUNS: &str =
    "CREATE TABLE task_runs (task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT,
    source_id TEXT, child_session_key TEXT, agent_id TEXT, label TEXT, status TEXT NOT NULL, ended_at INTEGER,
    detail_json TEXT) STRICT; PRAGMA user_version = 18;";
const CRON_RUN_LOGS: &str =
    "CREATE TABLE cron_run_logs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, seq INTEGER NOT NULL,
    ts INTEGER NOT NULL, entry_json TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id, seq));
    CREATE TABLE idx (a); CREATE INDEX idx_cron_jobs_store_order ON idx (a); PRAGMA user_version = 1;";
const CRON_JOBS: &str =
    "CREATE TABLE cron_jobs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL,
    enabled INTEGER NOT NULL, agent_id TEXT, job_json TEXT NOT NULL, state_json TEXT NOT NULL,
    runtime_updated_at_ms INTEGER, updated_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id)) STRICT;";

impl Case {
    /// The database as the gateway holds it.
    fn gateway(&self, schema: &[&str]) -> Connection {
        std::fs::create_dir_all(self.path("state/state")).unwrap();
        let connection = Connection::open(self.path(DATABASE)).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        schema.iter().for_each(|sql| connection.execute_batch(sql).unwrap());
        connection
    }

    /// Leaves the run logs behind as an upgrade does.
    fn migrate_logs(&self) {
        for name in ["jobs.json", "runs/daily.jsonl", "runs/gone.jsonl"] {
            let path = self.path(&format!("state/cron/{name}"));
            std::fs::rename(&path, path.with_file_name(format!("{}.migrated", file_name(&path)))).unwrap();
        }
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// A row of a finished run: the `n`th of a job, at the time of [`record`]'s.
fn task(gateway: &Connection, id: &str, kind: Option<&str>, job: &str, n: i64) {
    let at = NOW.0 - (10 - n) * HOUR;
    let cache = if kind.is_some() { r#","cache_read_tokens":1000"# } else { "" };
    let detail = format!(
        r#"{{"kind":"cron-run","status":"ok","runAtMs":{at},"durationMs":5000,"model":"m","provider":"p",
           "usage":{{"input_tokens":1200,"output_tokens":34{cache}}}}}"#
    );
    let label = kind.map(|_| format!("name of {job}"));
    gateway
        .execute(
            "INSERT INTO task_runs VALUES (?1, 'cron', ?2, ?3, NULL, 'main', ?4, 'succeeded', ?5, ?6)",
            rusqlite::params![id, kind, job, label, at + 5_000, detail],
        )
        .unwrap();
}

fn job(gateway: &Connection, id: &str, job_json: &str, next_run: i64) {
    let state = format!(r#"{{"nextRunAtMs":{next_run}}}"#);
    gateway
        .execute(
            "INSERT INTO cron_jobs VALUES ('k', ?1, 'Job ' || ?1, 1, 'main', ?2, ?3, 1, 1)",
            [id, job_json, &state],
        )
        .unwrap();
}

fn text_of<'a>(report: &'a Report, part: &str) -> &'a Finding {
    let found = report.findings.iter().find(|finding| finding.text.contains(part));
    found.unwrap_or_else(|| panic!("no finding with {part:?} in {:?}", report.findings))
}

#[test]
fn a_gateway_of_today_is_read_while_it_runs_and_at_rest() {
    let case = Case::new();
    let gateway = case.gateway(&[TASK_RUNS, CRON_JOBS]);
    job(&gateway, "daily", r#"{"schedule":{"kind":"cron"}}"#, NOW.0 + HOUR);
    job(&gateway, "own", r#"{"declarationKey":"heartbeat:main"}"#, NOW.0 - 99 * HOUR);
    task(&gateway, "1", Some("automation_run"), "daily", 1);
    task(&gateway, "2", Some("automation_run"), "daily", 2);
    task(&gateway, "3", Some("automation_run"), "once", 3);
    gateway
        .execute_batch(
            "INSERT INTO task_runs VALUES ('4', 'cron', 'automation_run', 'daily', NULL, 'main', 'x', 'running',
             NULL, '{\"storeKey\":\"k\"}')",
        )
        .unwrap();
    let running = case.check();
    assert!(running.ok, "{:?}", running.findings);
    insta::assert_snapshot!("today", section(&running, HERE));
    drop(gateway);
    let stopped = case.check();
    assert!(!case.path("state/state/openclaw.sqlite-wal").exists());
    assert_eq!(stopped.state_directory, running.state_directory);
    let database = stopped.state_directory.database.unwrap();
    assert_eq!((database.readable, database.schema_version), (true, Some(18)));
    let table = &database.tables[0];
    assert_eq!((table.rows, table.unfinished_rows, table.sums.runs), (4, 1, 3));
    assert_eq!((table.sums.tokens["input"], table.sums.tokens["cache_read"]), (3_600, 3_000));
    let list = stopped.state_directory.job_list.unwrap();
    assert_eq!((list.place.as_str(), list.defined, list.system, list.gone), ("cron_jobs", 2, 1, 1));
}

#[test]
fn an_upgraded_gateway_has_each_run_once() {
    let case = Case::with_runs();
    let gateway = case.gateway(&[TASK_RUNS, CRON_JOBS]);
    for (n, job) in [(0, "daily"), (1, "daily"), (2, "gone")] {
        task(&gateway, &format!("cron-runlog-import:{job}:{n}:1"), None, job, n);
    }
    task(&gateway, "new", Some("automation_run"), "daily", 3);
    drop(gateway);
    case.migrate_logs();
    let report = case.check();
    assert!(report.ok, "{:?}", report.findings);
    insta::assert_snapshot!("upgraded", section(&report, HERE));
    let state = &report.state_directory;
    let (all, logs) = (state.all_runs.as_ref().unwrap(), &state.run_logs.as_ref().unwrap().sums);
    let table = &state.database.as_ref().unwrap().tables[0].sums;
    assert_eq!((all.runs, all.duplicates, all.in_several_stores), (4, 3, 3));
    assert_eq!((logs.runs, logs.duplicates, logs.in_several_stores), (3, 0, 3));
    assert_eq!((table.runs, table.duplicates, table.in_several_stores), (4, 0, 3));
    assert_eq!(all.top_jobs.iter().map(|job| job.runs).sum::<u64>(), 4);

    drop(case.count());
    let content = case.check().ledger.content.unwrap();
    assert_eq!((content.runs, content.not_counted_yet, content.no_longer_in_state_directory), (4, 0, 0));
    assert_eq!(content.sources.keys().collect::<Vec<_>>(), ["run-log", "task-runs"]);
}

#[test]
fn two_tables_and_a_log_that_is_written_again_after_a_rollback() {
    let case = Case::with_runs();
    let gateway = case.gateway(&[CRON_RUN_LOGS, TASK_RUNS]);
    task(&gateway, "1", None, "daily", 0);
    task(&gateway, "2", Some("automation_run"), "daily", 7);
    for (seq, n) in [(1, 0), (2, 6)] {
        let entry = record("daily", n, Some((5, 1)));
        let at = NOW.0 - (10 - n) * HOUR + 5_000;
        let row = rusqlite::params![seq, at, entry];
        gateway.execute("INSERT INTO cron_run_logs VALUES ('k', 'daily', ?1, ?2, ?3, ?2)", row).unwrap();
    }
    let state = case.check().state_directory;
    let tables = state.database.unwrap().tables;
    let counts = |sums: &RunSums| (sums.runs, sums.in_several_stores);
    assert_eq!(
        tables.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(),
        ["cron_run_logs", "task_runs"]
    );
    assert_eq!(tables.iter().map(|table| counts(&table.sums)).collect::<Vec<_>>(), [(2, 1), (2, 1)]);
    assert_eq!(counts(&state.run_logs.unwrap().sums), (3, 1));
    let all = state.all_runs.unwrap();
    assert_eq!((counts(&all), all.duplicates), ((5, 1), 2));
}

type Make = fn(&Case);

#[test]
fn a_database_that_is_refused_says_why_and_what_to_do_and_stops_nothing_else() {
    let unknown: Make =
        |case| drop(case.gateway(&["CREATE TABLE task_runs (task_id); PRAGMA user_version = 77;"]));
    let cases: [(Make, &str, &str, &str); 6] = [
        (|case| case.write(DATABASE, ""), "not_a_database", "it is empty", "restore it from a backup"),
        (
            |case| case.write(DATABASE, &"x".repeat(5_000)),
            "not_a_database",
            "is no readable SQLite",
            "backup",
        ),
        (
            |case| std::fs::create_dir_all(case.path(DATABASE)).unwrap(),
            "not_a_file",
            "is no regular file",
            "put the gateway's database there",
        ),
        (
            |case| {
                case.write("elsewhere.sqlite", "");
                std::fs::create_dir_all(case.path("state/state")).unwrap();
                std::os::unix::fs::symlink(case.path("elsewhere.sqlite"), case.path(DATABASE)).unwrap();
            },
            "symlink_outside",
            "is a symbolic link out of its directory",
            "--state-dir",
        ),
        (
            |case| {
                drop(case.gateway(&[TASK_RUNS]));
                case.write("state/state/openclaw.sqlite-wal", "half a copy");
            },
            "unreadable",
            "(-wal) without its index (-shm)",
            "start the gateway, or copy all three files",
        ),
        (unknown, "unknown_schema", "task_runs has no column", "use a newer openclaw-usage"),
    ];
    let mut shown = Vec::new();
    for (make, reason, text, remedy) in cases {
        let case = Case::with_runs();
        make(&case);
        let report = case.check();
        assert!(!report.ok, "{reason}");
        let finding = text_of(&report, text);
        assert_eq!((finding.level, finding.section), (Level::Problem, Section::StateDirectory));
        assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{finding:?}");
        let database = report.state_directory.database.as_ref().unwrap();
        assert_eq!((database.readable, database.refused.as_deref()), (false, Some(reason)));
        assert_eq!(report.state_directory.all_runs.as_ref().unwrap().runs, 3, "the logs are read: {reason}");
        shown.push(section(&report, HERE));
    }
    assert!(shown[5].contains("schema version 77"), "{}", shown[5]);
    insta::assert_snapshot!("refused", shown[5]);
}

#[test]
fn a_gateway_that_starts_during_the_check_is_read_on_from_the_last_good_piece() {
    let case = Case::new();
    let gateway = case.gateway(&[CRON_RUN_LOGS, TASK_RUNS]);
    task(&gateway, "1", Some("automation_run"), "daily", 1);
    let insert = |gateway: &Connection, seq: i64| {
        let row = rusqlite::params![seq, NOW.0, record("daily", seq + 3, None)];
        gateway.execute("INSERT INTO cron_run_logs VALUES ('k', 'daily', ?1, ?2, ?3, ?2)", row).unwrap();
    };
    insert(&gateway, 1);
    drop(gateway);
    let (mut started, mut steps) = (None, 0);
    let mut scan = scan::Scan::default();
    let reading = database::read(&case.path(DATABASE), true, &mut scan, NOW, &mut |_| {
        steps += 1;
        // It starts when the first table was read as that of a database at rest.
        started.get_or_insert_with(|| {
            let gateway = case.gateway(&[]);
            insert(&gateway, 2);
            task(&gateway, "2", Some("automation_run"), "daily", 2);
            gateway
        });
    })
    .unwrap();
    assert_eq!(reading.sources().collect::<Vec<_>>(), ["cron-run-logs", "task-runs"]);
    assert_eq!((scan.all.runs, scan.all.duplicates, steps), (4, 0, 3));
}

#[test]
fn what_cannot_be_counted_in_a_table_is_a_note() {
    let case = Case::new();
    let gateway = case.gateway(&[TASK_RUNS]);
    task(&gateway, "1", Some("automation_run"), "daily", 1);
    task(&gateway, "2", Some("automation_run"), "daily", 2);
    gateway.execute("UPDATE task_runs SET detail_json = '{not' WHERE task_id = '2'", []).unwrap();
    let report = case.check();
    let finding = text_of(&report, "1 piece of the task_runs cannot be counted (invalid_json)");
    assert!(report.ok && finding.text.ends_with("task-runs: row 2"), "{finding:?}");
    assert_eq!(report.state_directory.all_runs.unwrap().runs, 1);
}

#[test]
fn stores_that_are_gone_are_problems() {
    let case = Case::with_runs();
    case.migrate_logs();
    let report = case.check();
    let finding = text_of(&report, "were taken over by OpenClaw 2026.6.1");
    assert!(!report.ok && finding.remedy.as_ref().unwrap().contains("whole state directory"));

    let case = Case::new();
    let gateway = case.gateway(&[TASK_RUNS]);
    task(&gateway, "1", Some("automation_run"), "daily", 1);
    drop(gateway);
    drop(case.count());
    assert!(case.check().ok);
    std::fs::remove_dir_all(case.path("state/state")).unwrap();
    case.write("state/openclaw.json", "{}");
    let report = case.check();
    let finding = text_of(&report, "runs came from task-runs");
    assert_eq!((report.ok, finding.section, finding.level), (false, Section::Ledger, Level::Problem));
}

#[test]
fn jobs_that_are_late_are_named_and_a_gateway_that_is_silent_is_told() {
    let case = Case::new();
    let gateway = case.gateway(&[TASK_RUNS, CRON_JOBS]);
    let plain = r#"{"schedule":{"kind":"every"}}"#;
    job(&gateway, "late", plain, NOW.0 - 7 * HOUR);
    job(&gateway, "fine", plain, NOW.0 + HOUR);
    task(&gateway, "1", Some("automation_run"), "late", 2);
    let silent = case.check();
    let finding = text_of(
        &silent,
        "1 job was due, the last at 2026-05-28 05:00:00 UTC, and the gateway has recorded no run",
    );
    assert!(silent.ok && finding.remedy.as_ref().unwrap().contains("scheduler"));
    assert_eq!(silent.state_directory.job_list.unwrap().overdue, 1);
    task(&gateway, "2", Some("automation_run"), "fine", 9);
    assert!(text_of(&case.check(), "1 job overdue").text.ends_with(": Job late"));
    // It ran after all.
    task(&gateway, "3", Some("automation_run"), "late", 10);
    gateway.execute(r#"UPDATE cron_jobs SET state_json = '{"nextRunAtMs":1779970000000}'"#, []).unwrap();
    let list = case.check().state_directory.job_list.unwrap();
    assert_eq!(list.overdue, 0);
}
