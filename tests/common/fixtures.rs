//! Recorded state directories, unpacked from `tests/fixtures/` (its README says what each one is).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// An archive unpacked into a temporary directory that goes away with it.
pub struct Fixture {
    folder: TempDir,
}

/// What the run records of a state directory hold together.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordSums {
    /// Run logs, or jobs with a record in a database.
    pub logs: u64,
    pub records: u64,
    pub input: u64,
    pub output: u64,
}

impl Fixture {
    pub fn unpack(name: &str) -> Self {
        let archive = fixtures().join(format!("{name}.tar.zst"));
        let file = File::open(&archive)
            .unwrap_or_else(|error| panic!("open the fixture {}: {error}", archive.display()));
        let plain = zstd::Decoder::new(file).expect("a zstd decoder");
        let folder = TempDir::new().expect("a temporary directory");
        tar::Archive::new(plain)
            .unpack(folder.path())
            .unwrap_or_else(|error| panic!("unpack the fixture {}: {error}", archive.display()));
        Self { folder }
    }

    /// A file or folder of the archive, e.g. `truth.json` or `prune/before.jsonl`.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// What a gateway would call its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.path("state-dir")
    }

    /// Sums the run records by a reader that shares nothing with ours: whole stores, one JSON parser.
    ///
    /// A database, where there is one, holds what earlier versions wrote to logs as well.
    pub fn record_sums(&self) -> RecordSums {
        let mut sums = RecordSums { logs: 0, records: 0, input: 0, output: 0 };
        let (mut keys, mut jobs) = (BTreeSet::new(), BTreeSet::new());
        for record in self.records() {
            let job = record["jobId"].as_str().expect("jobId").to_owned();
            assert!(
                keys.insert((job.clone(), record["runAtMs"].as_u64())),
                "two records of one run: {record}"
            );
            jobs.insert(job);
            sums.records += 1;
            sums.input += record["usage"]["input_tokens"].as_u64().unwrap_or(0);
            sums.output += record["usage"]["output_tokens"].as_u64().unwrap_or(0);
        }
        sums.logs = jobs.len() as u64;
        sums
    }

    /// All run records. A database is opened by an ordinary connection, which takes up a log beside it: whoever wants
    /// the files as they were recorded unpacks them again.
    pub fn records(&self) -> Vec<Value> {
        let database = self.database();
        let records = if database.is_file() {
            records_of_database(&database)
        } else {
            records_of_logs(&self.state_dir())
        };
        let parse = |text: &String| serde_json::from_str(text).expect("a run record is JSON");
        records.iter().map(parse).collect()
    }

    /// What the provider billed.
    pub fn truth(&self) -> Value {
        let text = fs::read_to_string(self.path("truth.json")).expect("truth.json");
        serde_json::from_str(&text).expect("truth.json is JSON")
    }

    /// Where the gateway's database is, from 2026.6.1 on.
    pub fn database(&self) -> PathBuf {
        self.state_dir().join("state/openclaw.sqlite")
    }

    /// Takes the sessions away, so that runs are known by their records alone.
    pub fn without_sessions(self) -> Self {
        let agents = self.state_dir().join("agents");
        if agents.is_dir() {
            fs::remove_dir_all(&agents).expect("the agents' directory can be removed");
        }
        self
    }
}

fn records_of_logs(state_dir: &Path) -> Vec<String> {
    let mut records = Vec::new();
    for entry in fs::read_dir(state_dir.join("cron/runs")).expect("cron/runs") {
        let text = fs::read_to_string(entry.expect("an entry of cron/runs").path()).expect("a run log");
        records.extend(text.lines().map(str::to_owned));
    }
    records
}

/// From 2026.8.1 the records are in `task_runs`, where the job and the start are columns; before, in `cron_run_logs`.
fn records_of_database(file: &Path) -> Vec<String> {
    let database = Connection::open(file).expect("the gateway's database");
    let has_logs = database
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'cron_run_logs'")
        .and_then(|mut query| query.exists([]))
        .expect("a schema");
    let query = if has_logs {
        "SELECT entry_json FROM cron_run_logs"
    } else {
        "SELECT json_set(detail_json, '$.jobId', source_id) FROM task_runs
         WHERE runtime = 'cron' AND detail_json ->> '$.kind' = 'cron-run'"
    };
    let mut query = database.prepare(query).expect("a table of run records");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a run record")).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Every row of the README's table is an archive that holds what the row says, and every archive has a row.
#[test]
fn archives_hold_what_their_readme_says() {
    let readme = fs::read_to_string(fixtures().join("README.md")).expect("the fixtures' README");
    let mut named = BTreeSet::new();
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let number = |index: usize| cells[index].parse().expect("a number in the README's table");
        let said = RecordSums { logs: number(2), records: number(3), input: number(4), output: number(5) };
        let fixture = Fixture::unpack(cells[0]);
        assert_eq!(fixture.record_sums(), said, "{}", cells[0]);
        let whole = !cells[0].starts_with("cut-");
        assert_eq!(
            fixture.path("truth.json").is_file(),
            whole,
            "{}: whole recordings have a truth",
            cells[0]
        );
        assert_eq!(fixture.path("prune").is_dir(), !whole, "{}: cut ones have a prune", cells[0]);
        named.insert(format!("{}.tar.zst", cells[0]));
    }
    let archives: BTreeSet<String> = fs::read_dir(fixtures())
        .expect("tests/fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a UTF-8 name"))
        .filter(|name| name.ends_with(".tar.zst"))
        .collect();
    assert_eq!(named, archives, "rows of the README's table and archives");
}
