//! What a session says beyond its numbers stays in it: neither the ledger's file nor `/metrics` nor an event repeats it.

use std::collections::BTreeSet;
use std::fs;

use openclaw_usage::telemetry::text::{Format, render};
use openclaw_usage::telemetry::{ProcessState, SnapshotBuilder};
use rusqlite::Connection;
use serde_json::Value;

use super::billed::transcripts;
use super::*;
use crate::common::fixtures::Fixture;

/// Keys whose text is content, an address or an id of a session.
const PRIVATE: [&str; 16] = [
    "summary",
    "error",
    "deliveryError",
    "message",
    "text",
    "to",
    "url",
    "sessionId",
    "sessionKey",
    "apiKey",
    "token",
    "baseUrl",
    "content",
    "thinking",
    "errorMessage",
    "responseId",
];

fn gather(value: &Value, key: &str, private: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| gather(value, key, private)),
        Value::Array(values) => values.iter().for_each(|value| gather(value, key, private)),
        // Shorter texts are words such as `last`, which stand in our own names as well.
        Value::String(text) if PRIVATE.contains(&key) && text.len() >= 8 => _ = private.insert(text.clone()),
        _ => {}
    }
}

/// All private texts of a recording.
fn private_texts(fixture: &Fixture) -> BTreeSet<String> {
    let mut private = BTreeSet::new();
    let cron = fixture.state_dir().join("cron");
    for file in [cron.join("jobs.json"), fixture.state_dir().join("openclaw.json")] {
        let text = fs::read_to_string(&file).expect("a file of the gateway");
        gather(&serde_json::from_str(&text).expect("JSON"), "", &mut private);
    }
    let logs =
        fs::read_dir(cron.join("runs")).expect("cron/runs").map(|entry| entry.expect("an entry").path());
    for file in logs.chain(transcripts(&fixture.state_dir())) {
        for line in fs::read_to_string(&file).expect("a file of lines").lines() {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            gather(&line, "", &mut private);
            // A transcript begins with the session's id.
            if let Some(id) = line["id"].as_str().filter(|_| line["type"] == "session") {
                private.insert(id.to_owned());
            }
        }
    }
    private
}

/// Sessions in databases, whose events are packed where they are long.
fn private_texts_of_databases(fixture: &Fixture) -> BTreeSet<String> {
    let mut private = BTreeSet::new();
    for agent in fs::read_dir(fixture.state_dir().join("agents")).expect("agents/").flatten() {
        let file = agent.path().join("agent/openclaw-agent.sqlite");
        let database = Connection::open(file).expect("an agent's database");
        let sql = "SELECT session_id, event_json, event_zstd FROM transcript_events";
        let mut query = database.prepare(sql).expect("events");
        let mut rows = query.query([]).expect("events");
        while let Some(row) = rows.next().expect("an event") {
            private.insert(row.get(0).expect("a session's id"));
            let text: Option<String> = row.get(1).expect("an event");
            let packed: Option<Vec<u8>> = row.get(2).expect("an event");
            let unpacked = packed.map(|packed| zstd::decode_all(&packed[..]).expect("a frame"));
            let text = text.map(String::into_bytes).or(unpacked).expect("an event");
            gather(&serde_json::from_slice(&text).expect("an event is JSON"), "", &mut private);
        }
    }
    private
}

/// Counts a recording and looks for texts in all that comes out.
pub fn search(name: &str, counting: &mut Counting, private: &BTreeSet<String>) {
    let snapshot = SnapshotBuilder::default().build(&counting.totals(), &ProcessState::default(), NOW);
    let events = counting.events().join("\n");
    let pages = [Format::OpenMetrics, Format::Classic].map(|format| render(&snapshot, format));
    let log = fs::read(counting.folder.path().join("ledger.sqlite-wal")).expect("the write-ahead log");
    counting.ledger = None;
    let ledger = fs::read(counting.path()).expect("the ledger");
    let outputs = [
        ("ledger", &ledger[..]),
        ("log", &log),
        ("OpenMetrics", pages[0].as_bytes()),
        ("classic", pages[1].as_bytes()),
        ("events", events.as_bytes()),
    ];
    for (what, bytes) in outputs {
        // What may be seen is seen, so that the search proves something.
        assert!(holds(bytes, "cache-heavy"), "{name}: {what} has no name of a job");
        for text in private {
            assert!(!holds(bytes, text), "{name}: {what} holds {text:?}");
        }
    }
}

#[test]
fn no_content_of_an_agent_s_database_reaches_the_ledger_or_the_metrics() {
    for name in ["2026.9.6", "stage3-9.6"] {
        let fixture = Fixture::unpack(name);
        let private = private_texts_of_databases(&fixture);
        assert!(private.len() > 100 && private.iter().any(|text| text.contains("Mock")), "{name}");
        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        search(name, &mut counting, &private);
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[test]
fn no_content_of_a_session_reaches_the_ledger_or_the_metrics() {
    for name in RECORDINGS {
        let fixture = Fixture::unpack(name);
        let mut private = private_texts(&fixture);
        assert!(private.len() > 20, "{name}: {private:?}");
        assert!(
            private.iter().any(|text| text.contains("s3cr3t")) && private.iter().any(|t| t.contains("Mock"))
        );
        private.extend(["s3cr3t", "Mock report", "mock upstream exploded", "127.0.0.1"].map(str::to_owned));
        // Rejects keep a sample of where they were: lines that are not JSON, not a run, and impossible.
        let runs = fixture.state_dir().join("cron/runs");
        let bad = "{\"torn\":\"s3cr3t\n{\"s3cr3t\":\"s3cr3t\"}\n\
             {\"ts\":5,\"jobId\":\"s3cr3t\",\"action\":\"finished\",\"runAtMs\":5,\"summary\":\"s3cr3t\"}\n";
        fs::write(runs.join("bad.jsonl"), bad).expect("a log");

        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        let totals = counting.totals();
        assert_eq!(totals.counters.rejects.values().sum::<u64>(), 3);
        search(name, &mut counting, &private);
    }
}
