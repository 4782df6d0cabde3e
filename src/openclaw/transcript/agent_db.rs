//! Sessions in databases (from 2026.8.1): `agents/<agent>/agent/openclaw-agent.sqlite`, and the sub-agents in
//! `state/openclaw.sqlite` (from 2026.7.1).
//!
//! Source: recorded databases and published packages of 2026.8.1 and 2026.9.6. Columns come and go between versions
//! whose `user_version` says nothing about them, so that columns are asked for, never versions. Large events are
//! compressed with zstd, each on its own and without a dictionary (`event_zstd`, from 2026.9). Nothing is written, and
//! every statement is short.
//!
//! Deliberately absent: how a live database is opened, and `session_transcript_cold_archives`, where 2026.9.6 puts
//! sessions that nobody touched for long: their calls were in `transcript_events` until then.

use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::event::{Event, parse_line_into};
use super::lines::{Lines, LinesError, unpack};
use super::sessions::SessionLink;
use crate::model::{RejectReason, UnixMs};

/// Largest value that is taken out of a database, in bytes.
const MAX_VALUE_BYTES: i64 = 64 << 20;
/// From here on, in bytes, an event's long strings are cut before it is parsed.
const LONG_BYTES: usize = 1 << 20;

/// How far the events of one session go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHead {
    /// The session.
    pub session_id: String,
    /// The last event's number. A smaller one than before: the session was rewritten; read it from the start.
    pub last_seq: i64,
}

fn columns(database: &Connection, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    let mut query = database.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    query.query_map([table], |row| row.get(0))?.collect()
}

/// Returns what `session_windows` and `session_nodes` of an agent's database say. Nothing if there are none.
///
/// # Errors
/// Whatever SQLite reports.
pub fn read_links(database: &Connection) -> rusqlite::Result<Vec<SessionLink>> {
    let mut links = Vec::new();
    for (table, id) in [("session_windows", "session_id"), ("session_nodes", "current_session_id")] {
        let columns = columns(database, table)?;
        if !columns.contains(id) || !columns.contains("session_key") {
            continue;
        }
        let column = |name| if columns.contains(name) { name } else { "NULL" };
        // A session that was forked or threaded has a parent too, but is nobody's sub-agent.
        let sql = format!(
            "SELECT {id}, session_key, coalesce({}, iif(session_key LIKE '%:subagent:%', {}, NULL)) FROM {table}",
            column("spawned_by"),
            column("parent_session_key"),
        );
        read_rows(database, &sql, &mut links)?;
    }
    Ok(links)
}

/// Returns the sub-agents that `subagent_runs` of the gateway's database names. Nothing if it has no such table.
///
/// # Errors
/// Whatever SQLite reports.
pub fn read_subagents(database: &Connection) -> rusqlite::Result<Vec<SessionLink>> {
    let mut links = Vec::new();
    let columns = columns(database, "subagent_runs")?;
    if columns.contains("child_session_key") && columns.contains("requester_session_key") {
        let sql = "SELECT NULL, child_session_key, requester_session_key FROM subagent_runs";
        read_rows(database, sql, &mut links)?;
    }
    Ok(links)
}

fn read_rows(database: &Connection, sql: &str, links: &mut Vec<SessionLink>) -> rusqlite::Result<()> {
    let mut query = database.prepare_cached(sql)?;
    let rows = query.query_map([], |row| {
        Ok(SessionLink { session_id: row.get(0)?, key: row.get(1)?, spawned_by: row.get(2)? })
    })?;
    for row in rows {
        links.push(row?);
    }
    Ok(())
}

/// Returns how far each session of an agent's database goes: an index alone is read. Nothing if it holds none.
///
/// # Errors
/// Whatever SQLite reports.
pub fn read_event_heads(database: &Connection) -> rusqlite::Result<Vec<EventHead>> {
    if columns(database, "transcript_events")?.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT session_id, max(seq) FROM transcript_events GROUP BY session_id";
    let mut query = database.prepare_cached(sql)?;
    query.query_map([], |row| Ok(EventHead { session_id: row.get(0)?, last_seq: row.get(1)? }))?.collect()
}

/// Returns the last event's number of one session; `None` if it has none.
///
/// # Errors
/// Whatever SQLite reports.
pub fn last_event(database: &Connection, session_id: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max(seq) FROM transcript_events WHERE session_id = ?1";
    database.prepare_cached(sql)?.query_row([session_id], |row| row.get(0))
}

/// Returns the number of the newest row, and how far each session goes that has rows behind row `after`. If the newest
/// rows are gone, their numbers may have been given again: then how far each session goes at all. Nothing if the
/// database holds none.
///
/// # Errors
/// Whatever SQLite reports.
pub fn new_heads(database: &Connection, after: i64) -> rusqlite::Result<(i64, Vec<EventHead>)> {
    if columns(database, "transcript_events")?.is_empty() {
        return Ok((0, Vec::new()));
    }
    let newest: Option<i64> =
        database.query_row("SELECT max(rowid) FROM transcript_events", [], |row| row.get(0))?;
    let newest = newest.unwrap_or(0);
    if after == 0 || newest < after {
        return Ok((newest, read_event_heads(database)?));
    }
    let sql = "SELECT session_id, max(seq) FROM transcript_events WHERE rowid > ?1 GROUP BY session_id";
    let mut query = database.prepare_cached(sql)?;
    let heads =
        query.query_map([after], |row| Ok(EventHead { session_id: row.get(0)?, last_seq: row.get(1)? }))?;
    Ok((newest, heads.collect::<rusqlite::Result<_>>()?))
}

/// Hands out the events of one session behind number `after` (-1: all) in their order.
///
/// # Errors
/// Whatever SQLite reports; events before that were handed out.
pub fn read_events(
    database: &Connection,
    session_id: &str,
    after: i64,
    now: UnixMs,
    mut emit: impl FnMut(i64, Event),
) -> rusqlite::Result<()> {
    let packed = if columns(database, "transcript_events")?.contains("event_zstd") {
        "iif(octet_length(event_zstd) <= ?3, event_zstd, NULL)"
    } else {
        "NULL"
    };
    let sql = format!(
        "SELECT seq, iif(octet_length(event_json) <= ?3, event_json, NULL), {packed}
         FROM transcript_events WHERE session_id = ?1 AND seq > ?2 ORDER BY seq"
    );
    let mut query = database.prepare_cached(&sql)?;
    let mut rows = query.query(params![session_id, after, MAX_VALUE_BYTES])?;
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        if let Err(reason) = read_event(row, now, &mut |event| emit(seq, event))? {
            emit(seq, Event::Reject(reason));
        }
    }
    Ok(())
}

fn read_event(
    row: &Row<'_>,
    now: UnixMs,
    emit: &mut dyn FnMut(Event),
) -> rusqlite::Result<Result<(), RejectReason>> {
    Ok(match (row.get_ref(1)?, row.get_ref(2)?) {
        (ValueRef::Text(json), _) if json.len() <= LONG_BYTES => {
            parse_line_into(json, now, emit);
            Ok(())
        }
        (ValueRef::Text(json), _) => {
            let mut lines = Lines::default();
            let mut on_line = |line: Option<&[u8]>| parse_kept(line, now, emit);
            lines.feed(json, &mut on_line);
            lines.end(&mut on_line);
            Ok(())
        }
        (_, ValueRef::Blob(packed)) => {
            unpack(packed, false, &mut |line| parse_kept(line, now, emit)).map_err(|error| reject(&error))
        }
        _ => Err(RejectReason::LineTooLong),
    })
}

/// Hands out the events of sessions that were reset or deleted and whose archives are not files yet, and returns
/// their keys.
///
/// # Errors
/// Whatever SQLite reports; events before that were handed out.
pub fn read_archives(
    database: &Connection,
    now: UnixMs,
    mut emit: impl FnMut(&str, Event),
) -> rusqlite::Result<Vec<SessionLink>> {
    let mut links = Vec::new();
    let columns = columns(database, "session_transcript_archives")?;
    if !["session_id", "session_key", "encoding", "archive_blob"].iter().all(|name| columns.contains(*name)) {
        return Ok(links);
    }
    let sql = "SELECT session_id, session_key, encoding,
                      iif(octet_length(archive_blob) <= ?1, archive_blob, NULL)
               FROM session_transcript_archives";
    let mut query = database.prepare_cached(sql)?;
    let mut rows = query.query([MAX_VALUE_BYTES])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let encoding: String = row.get(2)?;
        let mut on_line = |line: Option<&[u8]>| parse_kept(line, now, &mut |event: Event| emit(&id, event));
        let result = match (row.get_ref(3)?, encoding.as_str()) {
            (ValueRef::Blob(mut bytes), "identity") => {
                Lines::default().read(&mut bytes, u64::MAX, &mut on_line)
            }
            (ValueRef::Blob(bytes), "zstd") => unpack(bytes, true, &mut on_line),
            _ => Err(LinesError::TooLarge(MAX_VALUE_BYTES.unsigned_abs())),
        };
        if let Err(error) = result {
            emit(&id, Event::Reject(reject(&error)));
        }
        links.push(SessionLink { session_id: Some(id), key: row.get(1)?, spawned_by: None });
    }
    Ok(links)
}

fn parse_kept(line: Option<&[u8]>, now: UnixMs, emit: &mut dyn FnMut(Event)) {
    match line {
        Some(line) => parse_line_into(line, now, emit),
        None => emit(Event::Reject(RejectReason::LineTooLong)),
    }
}

const fn reject(error: &LinesError) -> RejectReason {
    match error {
        LinesError::TooLarge(_) => RejectReason::LineTooLong,
        LinesError::Read(_) | LinesError::Unpack(_) => RejectReason::Unreadable,
    }
}

#[cfg(test)]
#[path = "tests/agent_db.rs"]
mod tests;
