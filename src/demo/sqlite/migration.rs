//! What an upgrade does to history: lines of run logs become rows, and rows of one table rows of another.
//!
//! Invariants: a record keeps its job, start and usage; what is there already is not imported again; what cannot be
//! read is left out and counted in the report. Each import is one transaction.

use super::super::record::RunRecord;
use super::super::{Error, Generation, detail, uuid};
use super::task_runs::{self, TaskId, TaskLedger};
use super::{StateDatabase, cron_run_logs, schema};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// The id under which OpenClaw notes that the import of `cron_run_logs` was done.
const IMPORT_ID: &str = "state:cron-run-logs-to-task-runs:v1";

/// A line of a run log and what it says.
#[derive(Debug)]
pub(in super::super) struct OldLine {
    pub(in super::super) record: RunRecord,
    pub(in super::super) line: String,
}

/// Turns the database of 2026.6.11 into that of 2026.9.6: `cron_run_logs` goes, its rows become `task_runs`, and the
/// ledger's rows of the same runs stay beside them.
pub(super) fn from_cron_run_logs(database: &StateDatabase) -> rusqlite::Result<()> {
    database.execute_batch(&schema::upgrade())?;
    let mut select = database
        .connection
        .prepare("SELECT entry_json, ts FROM cron_run_logs ORDER BY job_id, ts, store_key, seq")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let (mut imported, mut malformed, mut last) = (0_u32, 0_u32, i64::MIN);
    let mut ordinals = BTreeMap::new();
    for row in rows {
        let (entry, ts) = row?;
        last = last.max(ts);
        let record: Option<RunRecord> = serde_json::from_str(&entry).ok();
        let Some((record, detail)) =
            record.and_then(|r| detail::finished(&r, &database.store_key).ok().map(|detail| (r, detail)))
        else {
            malformed += 1;
            continue;
        };
        task_runs::import(database, &record, &detail, next(&mut ordinals, &record))?;
        imported += 1;
    }
    drop(select);
    database.execute_batch("DROP TABLE cron_run_logs")?;
    let report =
        format!(r#"{{"imported":{imported},"alreadyMirrored":0,"malformed":{malformed},"skipped":false}}"#);
    let sql = "INSERT OR REPLACE INTO migration_runs (id, started_at, finished_at, status, report_json)
               VALUES (?1, ?2, ?2, 'completed', ?3)";
    database.connection.execute(sql, params![IMPORT_ID, last.max(0), report]).map(drop)
}

/// Imports the lines of run logs, the names of whose jobs are in `names`. With `ledger`, each also gets the row that
/// 2026.5.28 kept of it in its ledger of tasks.
pub(in super::super) fn import_run_logs(
    database: &StateDatabase,
    history: &[OldLine],
    names: &BTreeMap<&str, &str>,
    mut ledger: Option<&mut TaskLedger>,
    now: i64,
) -> Result<(), Error> {
    let details: Vec<String> = history
        .iter()
        .map(|old| detail::finished(&old.record, &database.store_key))
        .collect::<Result<_, _>>()?;
    database.atomically("import run logs into", |database| {
        let known = known(database)?;
        let mut ordinals = BTreeMap::new();
        for (old, detail) in history.iter().zip(&details) {
            let record = &old.record;
            let ordinal = next(&mut ordinals, record);
            if known.contains(&(record.job_id.clone(), record.ts, record.run_at_ms)) {
                continue;
            }
            if database.generation == Generation::V2026_9_6 {
                task_runs::import(database, record, detail, ordinal)?;
            } else {
                cron_run_logs::insert(database, record, &old.line, now)?;
            }
            if let Some(ledger) = ledger.as_deref_mut() {
                let name = names.get(record.job_id.as_str()).copied().unwrap_or(&record.job_id);
                let task = TaskId(uuid(ledger.rng()));
                task_runs::import_ledger_row(database, &task, record, name)?;
            }
        }
        Ok(())
    })
}

/// Returns how many records of this job with this `ts` there were before, and one.
fn next(ordinals: &mut BTreeMap<(String, i64), u32>, record: &RunRecord) -> u32 {
    let ordinal = ordinals.entry((record.job_id.clone(), record.ts)).or_default();
    *ordinal += 1;
    *ordinal
}

/// Returns job, time of the record and start of every run that the database holds.
fn known(database: &StateDatabase) -> rusqlite::Result<BTreeSet<(String, i64, i64)>> {
    let sql = match database.generation {
        Generation::V2026_9_6 => {
            "SELECT source_id, ended_at, started_at FROM task_runs
             WHERE runtime = 'cron' AND detail_json IS NOT NULL AND ended_at IS NOT NULL"
        }
        _ => "SELECT job_id, ts, run_at_ms FROM cron_run_logs",
    };
    let mut select = database.connection.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}
