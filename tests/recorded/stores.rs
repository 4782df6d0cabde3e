//! Recordings whose records are in a database: at once, and as they came about.

use std::fs;

use openclaw_usage::ledger::Outcome;
use rusqlite::Connection;
use tempfile::TempDir;

use super::records::{BilledRun, Cache, assert_clean, exported, shown, sum};
use super::*;
use crate::common::fixtures::Fixture;

/// What the records of a recording tell of cached tokens, by the version that wrote them.
fn cache(name: &str) -> impl Fn(&BilledRun) -> Cache {
    let made_by_another = if name.ends_with("9.6") { "3-9.6" } else { "2-6.11" };
    let told = if name.ends_with("9.6") { Cache::Each } else { Cache::Together };
    move |run| if run.stage.is_empty() || run.stage == made_by_another { told } else { Cache::Untold }
}

/// The sums that the fixtures' documentation gives for input and output, with what the cached tokens come to.
const SUMS: [(&str, [u64; 5]); 5] = [
    ("2026.6.11", [102, 87_871, 3_358, 154_016, 0]),
    ("live-2026.6.11", [93, 78_767, 3_018, 139_024, 0]),
    ("2026.9.6", [76, 63_532, 2_455, 97_544, 16_000]),
    ("stage2-6.11", [106, 91_327, 3_335, 85_760, 0]),
    ("stage3-9.6", [164, 148_874, 5_602, 93_736, 8_000]),
];

fn listing(state_dir: &Path) -> Vec<(std::ffi::OsString, u64, std::time::SystemTime)> {
    let entries = fs::read_dir(state_dir.join("state")).expect("the directory of the database");
    let mut all: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("its metadata");
            (entry.file_name(), metadata.len(), metadata.modified().expect("its time"))
        })
        .collect();
    all.sort();
    all
}

fn lines_taken_over(state_dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(state_dir.join("cron/runs")) else { return 0 };
    let lines = |path: PathBuf| fs::read_to_string(path).expect("a run log").lines().count() as u64;
    entries.map(|entry| lines(entry.expect("an entry").path())).sum()
}

#[test]
fn a_database_counts_at_once_what_its_records_hold() {
    for name in DATABASES {
        let expected = shown(&Fixture::unpack(name), cache(name));
        let told = SUMS.iter().find(|(known, _)| *known == name).expect("its sums").1;
        assert_eq!(sum(&expected), told, "{name}: the truth and the documentation");
        let fixture = Fixture::unpack(name).without_sessions();
        let before = listing(&fixture.state_dir());
        let mut counting = Counting::of(&fixture.state_dir());
        for again in [false, true] {
            if again {
                counting.restart();
            }
            counting.sweep();
            counting.look_at_database();
            let totals = counting.totals();
            assert_eq!(exported(&totals), expected, "{name}");
            assert_clean(&totals, told[0], name);
            // The logs that were taken over are there too, and are read once.
            let twice = totals.counters.outcomes.get(&Outcome::Duplicate).copied().unwrap_or(0);
            assert_eq!(twice, lines_taken_over(&fixture.state_dir()), "{name}: read again");
            let summary = counting.summary();
            assert_eq!((summary.runs, &summary.tokens[..]), (told[0], &told[1..]), "{name}: held");
        }
        assert_eq!(listing(&fixture.state_dir()), before, "{name}: nothing is written there");
    }
}

/// The rows that the live recording holds in its WAL alone are counted; without the WAL they are not there.
#[test]
fn rows_that_are_in_the_log_alone_are_counted() {
    let fixture = Fixture::unpack("live-2026.6.11");
    let truth = fixture.truth();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", fixture.database().display())).expect("a log to remove");
    }
    let mut counting = Counting::of(&fixture.state_dir());
    counting.sweep();
    let rows = |key: &str| truth[key].as_u64().expect("a number of rows");
    assert_eq!(sum(&exported(&counting.totals()))[0], rows("cron_run_logs_rows_mainFileOnly"));
    assert_eq!(rows("cron_run_logs_rows_mainFileOnly") + 11, rows("cron_run_logs_rows_withWal"));
}

/// A gateway of our own that does again what a recorded one did.
struct Replay {
    state_dir: PathBuf,
    recording: PathBuf,
    connection: Option<Connection>,
}

/// One commit of the recorded gateway.
struct Commit {
    at: i64,
    sql: String,
}

/// What the end of a run changes in its row.
const ENDING: &str = "status, ended_at, last_event_at, error, child_session_key, terminal_summary, \
                      terminal_outcome, detail_json";

impl Replay {
    fn new(state_dir: &Path, recording: &Path) -> Self {
        fs::create_dir_all(state_dir.join("state")).expect("the directory of the database");
        let mut replay = Self { state_dir: state_dir.into(), recording: recording.into(), connection: None };
        replay.start();
        let schema: Vec<String> = replay.texts(
            "SELECT sql FROM recorded.sqlite_schema WHERE tbl_name IN ('cron_run_logs', 'task_runs', 'cron_jobs')
             AND sql IS NOT NULL ORDER BY type DESC",
        );
        schema.iter().for_each(|sql| replay.commit(sql));
        replay.commit("INSERT INTO main.cron_jobs SELECT * FROM recorded.cron_jobs");
        replay
    }

    fn start(&mut self) {
        let path = self.state_dir.join("state/openclaw.sqlite");
        let connection = Connection::open(path).expect("a database");
        connection.pragma_update(None, "journal_mode", "WAL").expect("a write-ahead log");
        connection.pragma_update(None, "wal_autocheckpoint", 16).expect("frequent checkpoints");
        let attach = format!("ATTACH 'file:{}?mode=ro' AS recorded", self.recording.display());
        connection.execute_batch(&attach).expect("the recorded database");
        self.connection = Some(connection);
    }

    /// SIGTERM: the last connection takes the log with it.
    fn stop(&mut self) {
        self.connection = None;
        assert!(
            !self.state_dir.join("state/openclaw.sqlite-wal").exists(),
            "the log of a gateway that stopped"
        );
    }

    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a running gateway")
    }

    fn commit(&self, sql: &str) {
        self.connection()
            .execute_batch(&format!("BEGIN IMMEDIATE; {sql}; COMMIT"))
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        let mut query = self.connection().prepare(sql).expect(sql);
        let rows = query.query_map([], |row| row.get(0)).expect(sql);
        rows.map(|row| row.expect("a text")).collect()
    }

    fn is_logs(&self) -> bool {
        !self.texts("SELECT name FROM main.sqlite_schema WHERE name = 'cron_run_logs'").is_empty()
    }

    /// What the gateway committed, in order. Rows of `task_runs` from before the last upgrade are there at once.
    fn commits(&self) -> Vec<Commit> {
        if self.is_logs() {
            self.commit("INSERT INTO main.task_runs SELECT * FROM recorded.task_runs");
            return self.gather("SELECT created_at, rowid FROM recorded.cron_run_logs", |row| {
                format!(
                    "INSERT INTO main.cron_run_logs SELECT * FROM recorded.cron_run_logs WHERE rowid = {row}"
                )
            });
        }
        self.commit(
            "INSERT INTO main.task_runs SELECT * FROM recorded.task_runs WHERE task_kind IS NOT 'automation_run'",
        );
        let native = "FROM recorded.task_runs WHERE task_kind = 'automation_run'";
        let mut commits = self.gather(&format!("SELECT created_at, rowid {native}"), |row| {
            format!(
                "INSERT INTO main.task_runs SELECT * FROM recorded.task_runs WHERE rowid = {row};
                 UPDATE main.task_runs SET ({ENDING}) =
                 ('running', NULL, created_at, NULL, NULL, NULL, NULL, '{{\"storeKey\":\"k\"}}')
                 WHERE task_id = (SELECT task_id FROM recorded.task_runs WHERE rowid = {row})"
            )
        });
        commits.extend(self.gather(
            &format!("SELECT ended_at, rowid {native} AND ended_at IS NOT NULL"),
            |row| {
                format!(
                    "UPDATE main.task_runs SET ({ENDING}) =
                     (SELECT {ENDING} FROM recorded.task_runs WHERE rowid = {row})
                     WHERE task_id = (SELECT task_id FROM recorded.task_runs WHERE rowid = {row})"
                )
            },
        ));
        commits.sort_by_key(|commit| commit.at);
        commits
    }

    fn gather(&self, select: &str, sql: impl Fn(i64) -> String) -> Vec<Commit> {
        let mut query = self.connection().prepare(&format!("{select} ORDER BY 1, 2")).expect(select);
        let rows = query.query_map([], |row| Ok(Commit { at: row.get(0)?, sql: sql(row.get(1)?) }));
        rows.expect(select).map(|row| row.expect("a row")).collect()
    }

    /// Finished runs that are in the database now, by SQL alone.
    fn finished(&self) -> u64 {
        let sql = if self.is_logs() {
            "SELECT count(*) FROM main.cron_run_logs"
        } else {
            "SELECT count(*) FROM main.task_runs WHERE runtime = 'cron' AND detail_json ->> '$.kind' = 'cron-run'"
        };
        let count: i64 = self.connection().query_row(sql, [], |row| row.get(0)).expect(sql);
        u64::try_from(count).expect("a count")
    }
}

#[test]
fn a_database_counts_row_by_row_what_its_records_hold() {
    for (name, told) in SUMS.into_iter().filter(|(name, _)| !name.starts_with("live-")) {
        let fixture = Fixture::unpack(name);
        let expected = shown(&fixture, cache(name));
        let live = TempDir::new().expect("a temporary directory");
        let mut counting = Counting::of(live.path());
        counting.sweep();
        let mut gateway = Replay::new(live.path(), &fixture.database());
        counting.look_at_database();
        let commits = gateway.commits();
        assert!(commits.len() > 100, "{name}: {} commits are too few to show anything", commits.len());
        for (at, commit) in commits.iter().enumerate() {
            gateway.commit(&commit.sql);
            match at % 40 {
                13 => counting.restart(),
                // Read at rest, between a stop and the next start.
                29 => {
                    let finished = gateway.finished();
                    gateway.stop();
                    counting.look_at_database();
                    assert_eq!(sum(&exported(&counting.totals()))[0], finished, "{name}: stopped at {at}");
                    gateway.start();
                }
                // Several commits lie between two looks.
                30..34 => continue,
                _ => {}
            }
            counting.look_at_database();
            let runs = sum(&exported(&counting.totals()))[0];
            assert_eq!(runs, gateway.finished(), "{name}: after {}", commit.sql);
        }
        counting.sweep();
        let totals = counting.totals();
        assert_eq!(exported(&totals), expected, "{name}");
        assert_clean(&totals, told[0], name);
        assert_eq!(totals.counters.outcomes.get(&Outcome::Duplicate), None, "{name}");
    }
}
