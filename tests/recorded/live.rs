//! Whole recordings as they may have come about: records, lines and rows one by one in random order, with looks and
//! starts in between.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use tempfile::TempDir;

use super::billed::{Expected, WHOLE, copy_into, transcripts};
use super::*;
use crate::common::fixtures::Fixture;

/// Tables whose rows a gateway adds as runs go on.
const TABLES: [&str; 3] = ["transcript_events", "task_runs", "cron_run_logs"];

/// Something that grows, and what it is still to grow by.
enum Stream {
    File { path: PathBuf, rest: VecDeque<Vec<u8>> },
    Table { database: Connection, path: PathBuf, table: &'static str, rest: VecDeque<i64> },
}

impl Stream {
    fn is_empty(&self) -> bool {
        match self {
            Self::File { rest, .. } => rest.is_empty(),
            Self::Table { rest, .. } => rest.is_empty(),
        }
    }

    /// Grows by a few lines or rows, sometimes by a part of a line.
    fn grow(&mut self, random: &mut fastrand::Rng) {
        match self {
            Self::File { path, rest } => {
                let mut file = File::options().append(true).create(true).open(path).expect("a file");
                for _ in 0..random.usize(1..4) {
                    let Some(mut line) = rest.pop_front() else { return };
                    let tail = line.split_off(if random.u8(..5) == 0 {
                        random.usize(..line.len())
                    } else {
                        line.len()
                    });
                    file.write_all(&line).expect("an append");
                    // As if it were written at the time of the looks.
                    let now = Duration::from_millis(NOW.0.cast_unsigned());
                    file.set_modified(SystemTime::UNIX_EPOCH + now).expect("a time");
                    if !tail.is_empty() {
                        return rest.push_front(tail);
                    }
                }
            }
            Self::Table { database, table, rest, .. } => {
                let count = random.usize(1..6).min(rest.len());
                let transaction = database.transaction().expect("a transaction");
                for row in rest.drain(..count) {
                    let sql =
                        format!("INSERT INTO main.{table} SELECT * FROM whole.{table} WHERE rowid = ?1");
                    transaction.execute(&sql, [row]).expect("a row");
                }
                transaction.commit().expect("a commit");
            }
        }
    }

    /// What an event would name.
    fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Table { path, .. } => path,
        }
    }
}

/// A state directory that has nothing of a recording yet but what is there before a run, and the rest.
fn begin(fixture: &Fixture, live: &Path) -> Vec<Stream> {
    let whole = fixture.state_dir();
    copy_into(&whole, live);
    let mut streams = Vec::new();
    let logs = fs::read_dir(live.join("cron/runs")).into_iter().flatten().flatten();
    let logs =
        logs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    for path in logs.chain(transcripts(live)) {
        let bytes = fs::read(&path).expect("a file of lines");
        let rest = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        fs::remove_file(&path).expect("a copy");
        streams.push(Stream::File { path, rest });
    }
    let agents = fs::read_dir(live.join("agents")).into_iter().flatten().flatten();
    let databases = agents.map(|agent| agent.path().join("agent/openclaw-agent.sqlite"));
    for path in databases.chain([live.join("state/openclaw.sqlite")]).filter(|path| path.is_file()) {
        let from = whole.join(path.strip_prefix(live).expect("a path below"));
        for table in TABLES {
            let database = Connection::open(&path).expect("a gateway's database");
            database.pragma_update(None, "journal_mode", "WAL").expect("a journal");
            let Ok(rest) = rows_of(&database, table) else { continue };
            let attach = format!(
                "ATTACH '{}' AS whole; PRAGMA foreign_keys = OFF; DELETE FROM main.{table}",
                from.display()
            );
            database.execute_batch(&attach).expect("an empty table");
            streams.push(Stream::Table { database, path: path.clone(), table, rest });
        }
    }
    streams
}

/// The numbers of a table's rows; an error if there is no such table.
fn rows_of(database: &Connection, table: &str) -> rusqlite::Result<VecDeque<i64>> {
    let mut query = database.prepare(&format!("SELECT rowid FROM {table} ORDER BY rowid"))?;
    query.query_map([], |row| row.get(0))?.collect()
}

impl Counting {
    /// Looks as the daemon does when an event names a path.
    fn told(&mut self, path: &Path) {
        let ledger = self.ledger.as_mut().expect("an open ledger");
        let layout = self.collector.layout().clone();
        if path.parent() == Some(layout.runs_dir.as_path()) {
            self.collector.look(ledger, path.file_name().expect("a name"), self.now).expect("a look");
        } else if path == layout.database {
            self.collector.look_at_database(ledger, self.now).expect("a look");
        } else {
            let mut paths = vec![path.to_path_buf()];
            while !paths.is_empty() {
                paths = self.collector.look_at_transcripts(ledger, paths, self.now).expect("a look").1;
            }
        }
    }
}

#[test]
fn a_recording_counts_what_was_billed_in_whatever_order_it_came_about() {
    for (name, main) in WHOLE {
        let fixture = Fixture::unpack(name);
        let expected = Expected::of(&fixture, name, main);
        for seed in 0..SEEDS {
            let what = format!("{name}, seed {seed}");
            let mut random = fastrand::Rng::with_seed(seed);
            let live = TempDir::new().expect("a temporary directory");
            let mut streams = begin(&fixture, live.path());
            let mut counting = Counting::of(live.path());
            let mut shown = 0;
            while !streams.is_empty() {
                let at = random.usize(..streams.len());
                streams[at].grow(&mut random);
                match random.u8(..100) {
                    0..60 => counting.told(streams[at].path()),
                    60..64 => counting.sweep(),
                    64..67 => counting.restart(),
                    _ => {}
                }
                if streams[at].is_empty() {
                    streams.swap_remove(at);
                }
                let exported: u64 = counting.totals().series.iter().map(|series| series.exported_total).sum();
                assert!(exported >= shown, "{what}: what is exported fell from {shown} to {exported}");
                shown = exported;
            }
            counting.sweep();
            expected.is_true(&counting, &what);
            counting.restart();
            counting.sweep();
            expected.is_true(&counting, &format!("{what}, started again"));
        }
    }
}

const SEEDS: u64 = 2;
