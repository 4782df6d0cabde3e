//! The table `cron_run_logs` of OpenClaw 2026.6.1 to 7.x: one row a run, with the record of a run log in `entry_json`.
//!
//! An upgrade from run logs imports their records, with a `created_at` of the import. What a record's total means
//! changed with 2026.6.6 and is kept by an import, so cache tokens follow from it only for rows that a version from then
//! on wrote itself: the database has an index that 2026.6.5 does not make, and the row was made when its run was
//! recorded. Source: recorded gateways of 2026.6.11 and an upgrade, the published packages 2026.6.5 and 2026.6.6.

use rusqlite::{Connection, Row};
use xxhash_rust::xxh3::xxh3_64;

use super::lenient::Text;
use super::raw::{RawRecord, deserialize};
use super::record::{CacheRule, record_to_run};
use super::table::{Found, MAX_TEXT_BYTES, Table, What, bytes, integer};
use crate::model::{RejectReason, Runs, UnixMs};

/// What the attribute `openclaw.source` says of this store.
pub const SOURCE: &str = "cron-run-logs";

/// The columns that are read; a table without one of them is of an unknown kind.
pub(super) const COLUMNS: [&str; 6] = ["store_key", "job_id", "seq", "ts", "entry_json", "created_at"];

/// How long after its run was recorded a row is made, at most, in milliseconds; recorded were up to 383. An import
/// takes a new version's start, which lasts longer.
const NATIVE_MS: i64 = 2_000;

const SELECT: &str =
    "SELECT rowid, store_key || char(10) || job_id || char(10) || seq || char(10) || ts, job_id,
    created_at - ts, octet_length(entry_json),
    CASE WHEN octet_length(entry_json) <= 1048576 THEN entry_json END FROM cron_run_logs";

/// Returns how to read the table. `totals_are_sums`: the database was opened by 2026.6.6 or later.
#[must_use]
pub fn table(totals_are_sums: bool) -> Table {
    let read = if totals_are_sums { read_summed } else { read_as_written };
    Table {
        source: SOURCE,
        select: SELECT,
        recorded: "ts",
        since: None,
        record: 5,
        summaries: false,
        dense: true,
        read,
    }
}

/// Returns whether 2026.6.6 or later has opened the database, by an index that earlier versions do not make.
pub(super) fn totals_are_sums(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'idx_cron_jobs_store_order'")?
        .exists([])
}

fn read_summed(row: &Row<'_>, now: UnixMs, runs: &mut Runs) -> rusqlite::Result<Found> {
    let native = integer(row.get_ref(3)?).is_some_and(|late| (0..=NATIVE_MS).contains(&late));
    read(row, if native { CacheRule::InTotal } else { CacheRule::AsWritten }, now, runs)
}

fn read_as_written(row: &Row<'_>, now: UnixMs, runs: &mut Runs) -> rusqlite::Result<Found> {
    read(row, CacheRule::AsWritten, now, runs)
}

fn read(row: &Row<'_>, rule: CacheRule, now: UnixMs, runs: &mut Runs) -> rusqlite::Result<Found> {
    let mark = xxh3_64(bytes(row.get_ref(1)?));
    let (length, json) = (integer(row.get_ref(4)?), bytes(row.get_ref(5)?));
    let what = if length.is_some_and(|length| length > MAX_TEXT_BYTES) {
        What::Reject(RejectReason::LineTooLong)
    } else {
        what(json, bytes(row.get_ref(2)?), rule, now, runs)
    };
    Ok(Found { mark, bytes: json.len(), what, summary: None })
}

fn what(json: &[u8], job_id: &[u8], rule: CacheRule, now: UnixMs, runs: &mut Runs) -> What {
    let mut raw = RawRecord::default();
    if deserialize(json, &mut raw).is_err() {
        return What::Reject(RejectReason::InvalidJson);
    }
    if raw.job_id.get().is_none() {
        raw.job_id = Text(Some(String::from_utf8_lossy(job_id)));
    }
    match record_to_run(&raw, rule, now) {
        Ok(run) => {
            runs.push(&run);
            What::Run
        }
        Err(reason) => What::Reject(reason),
    }
}
