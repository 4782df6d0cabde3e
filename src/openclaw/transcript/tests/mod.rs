//! Recorded state directories against the provider's bill, to the token and the nano-dollar.
//!
//! The archives are those of `tests/fixtures/` (its README says what each one is). `truth.json` comes from the log of
//! the provider alone. What is read here beside transcripts are the run records, by a reader that shares nothing with
//! ours.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::model::{Reason, RunAt, RunKey, UnixMs};

mod recorded;

const NOW: UnixMs = UnixMs(1_795_300_000_000);

/// Calls, four kinds and nano-dollars.
type Sums = (u64, [u64; 4], u64);

/// What was read of a recording, and whose it is.
struct Read {
    attributor: Attributor,
    calls: BTreeMap<CallKey, (String, Call)>,
    /// Calls that were met again, in a copy of a transcript.
    copies: usize,
}

impl Read {
    fn line(&mut self, transcript: &mut Transcript, line: &[u8]) {
        parse_line(line, NOW, |event| self.event(transcript, event));
    }

    fn event(&mut self, transcript: &mut Transcript, event: Event) {
        let key = transcript.observe(&event);
        let id = transcript.header().id.clone();
        match event {
            Event::Session(header) => self.attributor.add_header(&header, NOW),
            Event::Opening(opening) => self.attributor.add_opening(&id, opening),
            Event::Call(call) => {
                self.copies += usize::from(self.calls.insert(key.unwrap(), (id, call)).is_some());
            }
            Event::Reject(reason) => panic!("{id}: {reason:?}"),
            Event::Other => {}
        }
    }

    fn bills(&self) -> (BTreeMap<RunKey, Bill>, BTreeMap<String, Bill>, Bill) {
        let (mut runs, mut unrecorded, mut rest) =
            (BTreeMap::<_, Bill>::new(), BTreeMap::new(), Bill::default());
        for (id, call) in self.calls.values() {
            match self.attributor.owner(id, call.asked_at) {
                Owner::Run { key, sub_agent } => runs.entry(key).or_default().add(call, sub_agent),
                Owner::Unrecorded { job_id, sub_agent, .. } => {
                    unrecorded.entry(job_id).or_insert_with(Bill::default).add(call, sub_agent);
                }
                Owner::None => rest.add(call, false),
            }
        }
        (runs, unrecorded, rest)
    }
}

fn unpack_fixture(name: &str) -> TempDir {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.tar.zst"));
    let folder = TempDir::new().unwrap();
    let plain = zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(plain).unpack(folder.path()).unwrap();
    folder
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).map(|all| all.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default();
    entries.sort();
    entries
}

fn read(state_dir: &Path) -> Read {
    read_with(state_dir, true)
}

fn read_with(state_dir: &Path, links: bool) -> Read {
    let mut read = Read { attributor: Attributor::default(), calls: BTreeMap::new(), copies: 0 };
    for agent in entries(&state_dir.join("agents")) {
        for file in entries(&agent.join("sessions")) {
            let name = classify(file.file_name().unwrap());
            if links || !matches!(name, Name::Index | Name::Trajectory) {
                read_file(&mut read, &file, name);
            }
        }
        let database = agent.join("agent/openclaw-agent.sqlite");
        if database.is_file() {
            read_database(&mut read, &Connection::open(database).unwrap(), links);
        }
    }
    let database = state_dir.join("state/openclaw.sqlite");
    if database.is_file() {
        let links = read_subagents(&Connection::open(&database).unwrap()).unwrap();
        links.into_iter().for_each(|link| read.attributor.add_link(link, NOW));
    }
    records(state_dir).iter().for_each(|record| read.attributor.add_run(known_run(record)));
    read
}

fn read_file(read: &mut Read, file: &Path, name: Name) {
    let bytes = fs::read(file).unwrap();
    let mut lines = bytes.split(|byte| *byte == b'\n');
    match name {
        Name::Transcript | Name::Archive { compressed: false } => {
            let mut transcript = Transcript::new("");
            lines.for_each(|line| read.line(&mut transcript, line));
        }
        Name::Trajectory => {
            let link = parse_trajectory_head(lines.next().unwrap()).unwrap();
            read.attributor.add_link(link, NOW);
        }
        Name::Index => {
            let links = parse_sessions_index(&bytes).unwrap();
            links.into_iter().for_each(|link| read.attributor.add_link(link, NOW));
        }
        Name::Archive { compressed: true } => panic!("none was recorded: {}", file.display()),
        Name::Other => {}
    }
}

fn read_database(read: &mut Read, database: &Connection, links: bool) {
    let found = read_links(database).unwrap().into_iter().filter(|_| links);
    found.for_each(|link| read.attributor.add_link(link, NOW));
    for head in read_event_heads(database).unwrap() {
        let mut transcript = Transcript::new(&head.session_id);
        let mut last = -1;
        read_events(database, &head.session_id, -1, NOW, |seq, event| {
            last = seq;
            read.event(&mut transcript, event);
        })
        .unwrap();
        assert_eq!(last, head.last_seq);
    }
    assert_eq!(read_archives(database, NOW, |_, event| panic!("none was recorded: {event:?}")).unwrap(), []);
}

/// The run records, with the job's id and the session's key in each.
fn records(state_dir: &Path) -> Vec<Value> {
    let database = state_dir.join("state/openclaw.sqlite");
    if !database.is_file() {
        let logs = entries(&state_dir.join("cron/runs"));
        let text: String = logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect();
        return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    let database = Connection::open(database).unwrap();
    let texts = |sql: &str| -> rusqlite::Result<Vec<String>> {
        database.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let texts = texts("SELECT entry_json FROM cron_run_logs").or_else(|_| {
        texts(
            "SELECT json_set(detail_json, '$.jobId', source_id, '$.sessionKey', child_session_key)
             FROM task_runs WHERE runtime = 'cron' AND detail_json ->> '$.kind' = 'cron-run'",
        )
    });
    texts.unwrap().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn known_run(record: &Value) -> KnownRun {
    let text = |name: &str| record[name].as_str().map(ToOwned::to_owned);
    KnownRun {
        key: RunKey {
            job_id: text("jobId").unwrap(),
            at: RunAt::Started(UnixMs(record["runAtMs"].as_i64().unwrap())),
        },
        duration_ms: record["durationMs"].as_u64(),
        session_id: text("sessionId"),
        session_key: text("sessionKey"),
    }
}

fn sums(bill: &Bill) -> Sums {
    bill.models.values().fold((0, [0; 4], 0), |(calls, tokens, cost), model| {
        assert_eq!(model.calls_without_cost, 0);
        (calls + model.calls, plus(tokens, model.tokens), cost + model.cost)
    })
}

fn plus(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|kind| a[kind] + b[kind])
}

fn total(bills: impl IntoIterator<Item = Sums>) -> Sums {
    bills.into_iter().fold((0, [0; 4], 0), |a, b| (a.0 + b.0, plus(a.1, b.1), a.2 + b.2))
}

/// What the truth says under these keys; its dollars are products of round prices, hence whole nano-dollars.
fn truth_of(value: &Value) -> Sums {
    let tokens = ["input", "output", "cacheRead", "cacheWrite"].map(|kind| value[kind].as_u64().unwrap());
    let nanos = format!("{:.0}", value["costUsd"].as_f64().unwrap() * 1e9).parse().unwrap();
    (value["billedCalls"].as_u64().unwrap(), tokens, nanos)
}
