//! The list of jobs in the gateway's database: the table `cron_jobs` from 2026.6.1 on.
//!
//! It holds OpenClaw's own jobs too. `job_json` is the entry that `cron/jobs.json` held before, `state_json` the
//! scheduler's state of it. Source: recorded gateways of 2026.6.11 and 2026.9.6.

use rusqlite::{Connection, Row};
use serde_json::{Map, Value, json};

use super::database::{Database, DatabaseError};
use super::jobs::definition;
use super::table::{MAX_TEXT_BYTES, bytes, integer};
use crate::model::JobDefinition;

/// The columns that are read; a table without one of them is of an unknown kind.
pub(super) const COLUMNS: [&str; 8] = [
    "job_id",
    "name",
    "enabled",
    "agent_id",
    "job_json",
    "state_json",
    "updated_at",
    "runtime_updated_at_ms",
];

/// Jobs that are read at most.
const MAX_JOBS: i64 = 100_000;

/// What tells a changed list from an unchanged one: number of jobs, newest changes, and their sums, since a job that
/// was removed leaves the newest as it was.
pub type JobsStamp = [i64; 4];

/// Returns the stamp of the list.
///
/// # Errors
/// See [`DatabaseError`].
pub fn jobs_stamp(database: &mut Database) -> Result<JobsStamp, DatabaseError> {
    // Sums modulo 2^32: a hundred thousand of them stay far below what 64 bits hold.
    let sql = "SELECT count(*), coalesce(max(max(updated_at, coalesce(runtime_updated_at_ms, 0))), 0),
        coalesce(sum(updated_at & 4294967295), 0), coalesce(sum(runtime_updated_at_ms & 4294967295), 0)
        FROM cron_jobs";
    database.read(|transaction| {
        transaction.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
    })
}

/// Reads the list. An entry that makes no sense is left out.
///
/// # Errors
/// See [`DatabaseError`].
pub fn read_cron_jobs(database: &mut Database) -> Result<Vec<JobDefinition>, DatabaseError> {
    database.read(|transaction| rows(transaction))
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<JobDefinition>> {
    let mut statement = connection.prepare(
        "SELECT job_id, name, enabled, agent_id, CASE WHEN octet_length(job_json) <= ?1 THEN job_json END,
            CASE WHEN octet_length(state_json) <= ?1 THEN state_json END FROM cron_jobs LIMIT ?2",
    )?;
    let rows = statement.query_map([MAX_TEXT_BYTES, MAX_JOBS], job)?;
    rows.filter_map(Result::transpose).collect()
}

fn job(row: &Row<'_>) -> rusqlite::Result<Option<JobDefinition>> {
    let text = |column: usize| row.get_ref(column).map(bytes).map(String::from_utf8_lossy);
    let object = |column: usize| -> rusqlite::Result<Map<String, Value>> {
        Ok(serde_json::from_slice(bytes(row.get_ref(column)?)).unwrap_or_default())
    };
    let (mut entry, state) = (object(4)?, object(5)?);
    // The columns are what the scheduler goes by.
    for (key, column) in [("id", 0), ("name", 1), ("agentId", 3)] {
        entry.insert(key.into(), Value::String(text(column)?.into_owned()));
    }
    entry.insert("enabled".into(), Value::Bool(integer(row.get_ref(2)?) != Some(0)));
    entry.insert("state".into(), json!(state));
    Ok(definition(&Value::Object(entry), None))
}
