//! What a record says beyond its numbers stays in it: neither the ledger's file nor `/metrics` nor an event repeats it.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use super::privacy_of_sessions::search;
use super::*;
use crate::common::fixtures::Fixture;

/// Keys whose text is content, an address or an id of a session.
const PRIVATE: [&str; 12] = [
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

/// Columns likewise, in every table that has one of these names.
const PRIVATE_COLUMNS: [&str; 17] = [
    "summary",
    "error",
    "diagnostics_summary",
    "delivery_error",
    "terminal_summary",
    "session_id",
    "session_key",
    "child_session_key",
    "requester_session_key",
    "run_id",
    "payload_message",
    "delivery_to",
    "last_error",
    "description",
    "message",
    "owner_key",
    "schedule_identity",
];

/// Columns that hold JSON.
const RECORDS: [&str; 4] = ["entry_json", "detail_json", "job_json", "state_json"];

/// All private texts of a recording.
fn private_texts(fixture: &Fixture) -> BTreeSet<String> {
    let mut private = BTreeSet::new();
    if fixture.database().is_file() {
        gather_database(&Connection::open(fixture.database()).expect("the database"), &mut private);
    }
    let cron = fixture.state_dir().join("cron");
    if !cron.join("jobs.json").is_file() {
        return private;
    }
    for file in [cron.join("jobs.json"), fixture.state_dir().join("openclaw.json")] {
        let text = fs::read_to_string(&file).expect("a file of the gateway");
        gather(&serde_json::from_str(&text).expect("JSON"), "", &mut private);
    }
    for entry in fs::read_dir(cron.join("runs")).expect("cron/runs") {
        for line in fs::read_to_string(entry.expect("an entry").path()).expect("a run log").lines() {
            gather(&serde_json::from_str(line).expect("a record is JSON"), "", &mut private);
        }
    }
    private
}

fn gather_database(database: &Connection, private: &mut BTreeSet<String>) {
    for table in ["cron_run_logs", "task_runs", "cron_jobs"] {
        let Ok(mut query) = database.prepare(&format!("SELECT * FROM {table}")) else { continue };
        let columns: Vec<String> = query.column_names().map(str::to_owned).collect();
        let mut rows = query.query([]).expect("the rows of a table");
        while let Some(row) = rows.next().expect("a row") {
            for (at, column) in columns.iter().enumerate() {
                let Ok(text) = row.get::<_, String>(at) else { continue };
                if RECORDS.contains(&column.as_str()) {
                    gather(&serde_json::from_str(&text).expect("a record is JSON"), "", private);
                } else if PRIVATE_COLUMNS.contains(&column.as_str()) && text.len() >= 8 {
                    private.insert(text);
                }
            }
        }
    }
}

/// Rows that become rejects, which keep a sample of where they were: not JSON, impossible, and too long.
fn spoil(database: &Path) {
    let database = Connection::open(database).expect("the database");
    let logs = database.prepare("SELECT entry_json FROM cron_run_logs").is_ok();
    let (table, id, record) =
        if logs { ("cron_run_logs", "seq", "entry_json") } else { ("task_runs", "task_id", "detail_json") };
    let sound = if logs { "TRUE" } else { "runtime = 'cron' AND detail_json ->> '$.kind' = 'cron-run'" };
    for (number, bad) in [
        "'{\"torn\":\"s3cr3t'".to_owned(),
        format!("json_set({record}, '$.runAtMs', 5, '$.summary', 's3cr3t')"),
        format!("json_set({record}, '$.summary', hex(zeroblob(1048576)) || 's3cr3t')"),
    ]
    .iter()
    .enumerate()
    {
        database
            .execute_batch(&format!(
                "CREATE TEMP TABLE bad AS SELECT * FROM {table} WHERE {sound} LIMIT 1;
                 UPDATE bad SET {id} = 's3cr3t{number}', {record} = {bad};
                 INSERT INTO {table} SELECT * FROM bad; DROP TABLE bad"
            ))
            .expect("a row to spoil");
    }
}

#[test]
fn no_content_reaches_the_ledger_or_the_metrics() {
    for name in RECORDINGS.iter().chain(&DATABASES) {
        let fixture = Fixture::unpack(name);
        let is_database = fixture.database().is_file();
        let mut private = private_texts(&fixture);
        assert!(private.len() > 20, "{name}: {private:?}");
        assert!(
            private.iter().any(|text| text.contains("s3cr3t")) && private.iter().any(|t| t.contains("Mock"))
        );
        private.extend(["s3cr3t", "Mock report", "mock upstream exploded", "127.0.0.1"].map(str::to_owned));
        // Rejects keep a sample of where they were: lines that are not JSON, not a run, and impossible.
        if is_database {
            spoil(&fixture.database());
        }
        let runs = fixture.state_dir().join("cron/runs");
        let bad = "{\"torn\":\"s3cr3t\n{\"s3cr3t\":\"s3cr3t\"}\n\
             {\"ts\":5,\"jobId\":\"s3cr3t\",\"action\":\"finished\",\"runAtMs\":5,\"summary\":\"s3cr3t\"}\n";
        fs::create_dir_all(&runs).expect("cron/runs");
        fs::write(runs.join("bad.jsonl"), bad).expect("a log");

        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        let totals = counting.totals();
        let rejects = if is_database { 6 } else { 3 };
        assert_eq!(totals.counters.rejects.values().sum::<u64>(), rejects, "{name}");
        search(name, &mut counting, &private);
    }
}
