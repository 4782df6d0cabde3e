//! The table `task_runs` of OpenClaw from 2026.8.1 on: a row is made when a run starts and updated when it ends.
//!
//! Only rows whose `detail_json` says `"kind":"cron-run"` are finished runs. An upgrade leaves every earlier run there
//! twice: imported with its record (`cron-runlog-import:…`), and as a row of the older bookkeeping without one, which
//! is none. `status` is `failed` also when the run was fine and its webhook was not; the record says which. Imported
//! records keep what their version wrote: no cache tokens, and a total that means what it meant there. Source: recorded
//! gateways of 2026.9.6 and an upgrade, the published packages 2026.8.1 and 2026.9.6.

use rusqlite::Row;
use xxhash_rust::xxh3::xxh3_64;

use super::lenient::{Number, Text};
use super::raw::{RawRecord, deserialize};
use super::record::{CacheRule, agent_of, record_to_run};
use super::table::{Found, MAX_TEXT_BYTES, Table, What, bytes, integer};
use crate::model::{RejectReason, Runs, UnixMs};

/// What the attribute `openclaw.source` says of this store.
pub const SOURCE: &str = "task-runs";

/// The columns that are read; a table without one of them is of an unknown kind, or of the time before 2026.8.1, when
/// `task_runs` held no records.
pub(super) const COLUMNS: [&str; 10] = [
    "task_id",
    "runtime",
    "task_kind",
    "source_id",
    "child_session_key",
    "agent_id",
    "label",
    "status",
    "ended_at",
    "detail_json",
];

const SELECT: &str =
    "SELECT rowid, task_id, runtime = 'cron', task_kind, source_id, child_session_key, agent_id, label,
    status, ended_at, octet_length(detail_json),
    CASE WHEN runtime = 'cron' AND octet_length(detail_json) <= 1048576 THEN detail_json END FROM task_runs";

/// States that a run does not leave any more.
const ENDED: [&str; 4] = ["succeeded", "failed", "timed_out", "cancelled"];

/// Returns how to read the table.
#[must_use]
pub fn table() -> Table {
    Table {
        source: SOURCE,
        select: SELECT,
        recorded: "ended_at",
        since: None,
        record: 11,
        summaries: false,
        dense: false,
        read,
    }
}

fn read(row: &Row<'_>, now: UnixMs, runs: &mut Runs) -> rusqlite::Result<Found> {
    let mark = xxh3_64(bytes(row.get_ref(1)?));
    let json = bytes(row.get_ref(11)?);
    let found = |what| Ok(Found { mark, bytes: json.len(), what, summary: None });
    if integer(row.get_ref(2)?) != Some(1) {
        return found(What::Other);
    }
    if integer(row.get_ref(10)?).is_some_and(|length| length > MAX_TEXT_BYTES) {
        return found(What::Reject(RejectReason::LineTooLong));
    }
    let ended =
        ENDED.iter().any(|state| row.get_ref(8).is_ok_and(|status| bytes(status) == state.as_bytes()));
    let without_record = || if ended { What::Other } else { What::Unfinished };
    if json.is_empty() {
        return found(without_record());
    }
    let mut raw = RawRecord::default();
    if deserialize(json, &mut raw).is_err() {
        return found(if ended { What::Reject(RejectReason::InvalidJson) } else { What::Unfinished });
    }
    if raw.kind.get() != Some("cron-run") {
        return found(without_record());
    }
    let native = bytes(row.get_ref(3)?) == b"automation_run";
    raw.job_id = text(bytes(row.get_ref(4)?));
    raw.action = Text(Some("finished".into()));
    raw.numbers.ts = integer(row.get_ref(9)?).map_or(Number::Absent, Number::Integer);
    let rule = if native { CacheRule::NoneUnlessWritten } else { CacheRule::AsWritten };
    let mut run = match record_to_run(&raw, rule, now) {
        Ok(run) => run,
        Err(reason) => return found(What::Reject(reason)),
    };
    let [key, agent, name] = [5, 6, 7].map(|column| row.get_ref(column).map(|value| text(bytes(value))));
    let (key, agent, name) = (key?, agent?, name?);
    // An import leaves the agent out; the key of the session names it.
    run.agent = agent.get().or_else(|| key.get().and_then(agent_of));
    run.session.key = key.get();
    run.job_name = name.get();
    runs.push(&run);
    found(What::Run)
}

fn text(bytes: &[u8]) -> Text<'_> {
    Text((!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes)))
}
