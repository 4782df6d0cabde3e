//! Rows to values and back.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::book::{Book, Job, JobIndex, Settings};
use super::labels::{JobLabel, Labels};
use super::merge::Outcome;
use super::positions::load_positions;
use super::totals::{BUCKETS, Counters, Histogram, JobFacts, Series, SeriesKind, Totals};
use crate::model::{
    CostProvenance, Delivery, Reason, RejectReason, RunAt, ScheduleKind, Status, UnixMs, Usage,
    UsageProvenance,
};

/// Returns a count as SQLite stores it. Counts stay below 2^63: a run holds at most 2^53 of anything.
pub fn db(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns a stored count.
pub fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Returns an index as the id of its row.
pub fn id(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX - 1) + 1
}

fn index(id: i64) -> usize {
    usize::try_from(id - 1).unwrap_or(usize::MAX)
}

/// Returns the time part of a run key as it is stored: it sorts by time.
pub const fn pack_at(at: RunAt) -> i64 {
    match at {
        RunAt::Started(at) => at.0 << 1,
        RunAt::Logged(at) => (at.0 << 1) | 1,
    }
}

/// Returns a stored time part of a run key.
pub const fn unpack_at(at: i64) -> RunAt {
    if at & 1 == 0 { RunAt::Started(UnixMs(at >> 1)) } else { RunAt::Logged(UnixMs(at >> 1)) }
}

/// Returns the closed lists of a run in one small number: 2, 4, 2 and 3 bits, the status' third, and the delivery's.
pub const fn pack_facts(
    status: Status,
    reason: Reason,
    delivery: Delivery,
    provenance: UsageProvenance,
) -> i64 {
    (status as i64 & 3)
        | (reason as i64) << 2
        | (delivery as i64 & 3) << 6
        | (provenance as i64) << 8
        | (status as i64 >> 2) << 11
        | (delivery as i64 >> 2) << 12
}

/// Returns the closed lists of a run.
pub fn unpack_facts(facts: i64) -> (Status, Reason, Delivery, UsageProvenance) {
    let bits = |shift: i64, width: i64| u8::try_from((facts >> shift) & ((1 << width) - 1)).unwrap_or(0);
    (
        Status::from_code(bits(0, 2) | bits(11, 1) << 2).unwrap_or_default(),
        Reason::from_code(bits(2, 4)).unwrap_or(Reason::Other),
        Delivery::from_code(bits(6, 2) | bits(12, 1) << 2).unwrap_or_default(),
        UsageProvenance::from_code(bits(8, 3)).unwrap_or_default(),
    )
}

/// Reads four token columns that begin at `from`.
pub fn usage(row: &Row<'_>, from: usize) -> rusqlite::Result<Usage> {
    let get = |offset: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(from + offset)?.map(count));
    Ok(Usage { input: get(0)?, output: get(1)?, cache_read: get(2)?, cache_write: get(3)? })
}

/// Returns a meta value.
pub fn meta<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Sets a meta value.
pub fn set_meta(connection: &Connection, name: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            params![name, value],
        )
        .map(|_| ())
}

/// Loads everything that the writer and the readers of totals hold in memory.
pub fn load(connection: &Connection) -> rusqlite::Result<(Book, Totals)> {
    let jobs = jobs(connection)?;
    let labels = labels(connection)?;
    let series = series(connection)?;
    let mut job_index = JobIndex::default();
    for (at, job) in jobs.iter().enumerate() {
        job_index.insert(&job.facts.gateway, &job.facts.job_id, at);
    }
    let mut book = Book {
        gateway: meta(connection, "gateway")?.unwrap_or_default(),
        settings: Settings::default(),
        job_index,
        label_index: labels.iter().enumerate().map(|(at, labels)| (Arc::clone(labels), at)).collect(),
        series_index: series.iter().map(|series| ((series.labels, series.kind), series.seq)).collect(),
        positions: load_positions(connection)?,
        counters: counters(connection)?,
        folded_before: meta(connection, "folded_before_ms")?.map(UnixMs),
        count_from: meta(connection, "count_from_ms")?.map(UnixMs),
        told_from: meta(connection, "told_from_ms")?.map(UnixMs),
        runs: None,
        stale: false,
        jobs,
        labels,
    };
    super::segments::load(connection, &mut book)?;
    let created = UnixMs(meta(connection, "created_ms")?.unwrap_or_default());
    let mut totals = Totals { revision: 1, created, series, ..Totals::default() };
    book.publish(&mut totals, 0..book.jobs.len());
    Ok((book, totals))
}

/// Returns all jobs.
pub fn jobs(connection: &Connection) -> rusqlite::Result<Vec<Job>> {
    let mut statement = connection.prepare(
        "SELECT job_id, name, agent, last_agent, schedule, label, defined, enabled, next_run_ms, last_run_ms,
                last_success_ms, consecutive_errors, gateway FROM job ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        let time = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(UnixMs));
        let defined_agent: Option<String> = row.get(2)?;
        let last_agent: Option<String> = row.get(3)?;
        Ok(Job {
            facts: JobFacts {
                gateway: row.get(12)?,
                job_id: row.get(0)?,
                name: row.get(1)?,
                agent: defined_agent.clone().or(last_agent),
                label: JobLabel::from_code(row.get(5)?).unwrap_or_default(),
                defined: row.get(6)?,
                enabled: row.get(7)?,
                running: false,
                next_run: time(8)?,
                last_run: time(9)?,
                last_success: time(10)?,
                consecutive_errors: count(row.get(11)?),
            },
            schedule: schedule(row.get(4)?),
            defined_agent,
            last_labels: None,
            is_witnessed: false,
            covered: None,
        })
    })?;
    rows.collect()
}

const fn schedule(code: i64) -> ScheduleKind {
    match code {
        1 => ScheduleKind::Recurring,
        2 => ScheduleKind::OneShot,
        _ => ScheduleKind::Unknown,
    }
}

/// Writes a job, new or changed.
pub fn save_job(connection: &Connection, at: usize, job: &Job) -> rusqlite::Result<()> {
    let facts = &job.facts;
    let schedule = match job.schedule {
        ScheduleKind::Unknown => 0,
        ScheduleKind::Recurring => 1,
        ScheduleKind::OneShot => 2,
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO job VALUES (?1, ?14, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET name = ?3, agent = ?4, last_agent = ?5, schedule = ?6, label = ?7,
         defined = ?8, enabled = ?9, next_run_ms = ?10, last_run_ms = ?11, last_success_ms = ?12,
         consecutive_errors = ?13",
    )?;
    let time = |at: Option<UnixMs>| at.map(|at| at.0);
    statement.execute(params![
        id(at),
        facts.job_id,
        facts.name,
        job.defined_agent,
        facts.agent,
        schedule,
        facts.label as i64,
        facts.defined,
        facts.enabled,
        time(facts.next_run),
        time(facts.last_run),
        time(facts.last_success),
        db(facts.consecutive_errors),
        facts.gateway,
    ])?;
    Ok(())
}

/// Returns all sets of labels.
pub fn labels(connection: &Connection) -> rusqlite::Result<Vec<Arc<Labels>>> {
    let mut statement = connection
        .prepare("SELECT job_id, job_name, agent, provider, model, gateway FROM labels ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Arc::new(Labels {
            job_id: row.get(0)?,
            job_name: row.get(1)?,
            agent: row.get(2)?,
            provider: row.get(3)?,
            model: row.get(4)?,
            gateway: row.get(5)?,
        }))
    })?;
    rows.collect()
}

/// Writes a new label set.
pub fn save_labels(connection: &Connection, at: usize, labels: &Labels) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO labels VALUES (?1, ?7, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![
        id(at),
        labels.job_id,
        labels.job_name,
        labels.agent,
        labels.provider,
        labels.model,
        labels.gateway
    ])?;
    Ok(())
}

pub fn series(connection: &Connection) -> rusqlite::Result<Vec<Series>> {
    let mut histograms = histograms(connection, "main")?;
    let mut statement = connection.prepare(
        "SELECT seq, labels, kind, start_ms, live, changed_ms, true_total, exported_total FROM series ORDER BY seq",
    )?;
    let rows = statement.query_map([], |row| {
        let seq: i64 = row.get(0)?;
        let kind: i64 = row.get(2)?;
        Ok(Series {
            seq: count(seq),
            labels: index(row.get(1)?),
            kind: SeriesKind::from_code(kind).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, kind))?,
            start: UnixMs(row.get(3)?),
            live: row.get(4)?,
            changed: UnixMs(row.get(5)?),
            revision: 1,
            true_total: count(row.get(6)?),
            exported_total: count(row.get(7)?),
            histogram: histograms.remove(&seq),
        })
    })?;
    rows.collect()
}

/// Returns the buckets in an attached database, by the number of their series.
pub fn histograms(connection: &Connection, database: &str) -> rusqlite::Result<HashMap<i64, Box<Histogram>>> {
    let mut statement = connection.prepare(&format!("SELECT seq, buckets FROM {database}.histogram"))?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, Box::new(unpack_buckets(&row.get::<_, Vec<u8>>(1)?)))))?;
    rows.collect()
}

/// Writes a series, new or changed.
pub fn save_series(connection: &Connection, series: &Series) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (seq) DO UPDATE SET changed_ms = ?6, true_total = ?7, exported_total = ?8",
    )?;
    statement.execute(params![
        db(series.seq),
        id(series.labels),
        series.kind.code(),
        series.start.0,
        series.live,
        series.changed.0,
        db(series.true_total),
        db(series.exported_total),
    ])?;
    if let Some(histogram) = &series.histogram {
        let mut statement = connection
            .prepare_cached("INSERT INTO histogram VALUES (?1, ?2) ON CONFLICT DO UPDATE SET buckets = ?2")?;
        statement.execute(params![db(series.seq), pack_buckets(histogram)])?;
    }
    Ok(())
}

/// Returns buckets as they are stored.
pub fn pack_buckets(histogram: &Histogram) -> Vec<u8> {
    let pairs = histogram.truth.iter().zip(&histogram.exported);
    pairs.flat_map(|(truth, exported)| [truth.to_le_bytes(), exported.to_le_bytes()]).flatten().collect()
}

fn unpack_buckets(bytes: &[u8]) -> Histogram {
    let mut histogram = Histogram::default();
    let (words, _) = bytes.as_chunks::<8>();
    for (at, pair) in words.chunks_exact(2).take(BUCKETS).enumerate() {
        histogram.truth[at] = u64::from_le_bytes(pair[0]);
        histogram.exported[at] = u64::from_le_bytes(pair[1]);
    }
    histogram
}

fn counters(connection: &Connection) -> rusqlite::Result<Counters> {
    let mut counters = Counters::default();
    let mut statement = connection.prepare("SELECT name, value FROM counter")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, value): (String, i64) = (row.get(0)?, row.get(1)?);
        let Some((family, what)) = name.split_once('.') else { continue };
        match family {
            "outcome" => set(&mut counters.outcomes, &Outcome::ALL, Outcome::as_str, what, value),
            "reject" => set(&mut counters.rejects, &RejectReason::ALL, RejectReason::as_str, what, value),
            "provenance" => {
                set(&mut counters.provenance, &UsageProvenance::ALL, UsageProvenance::as_str, what, value)
            }
            "cost" => set(&mut counters.cost, &CostProvenance::ALL, CostProvenance::as_str, what, value),
            "gaps" => counters.sources.entry(what.to_owned()).or_default().gaps = count(value),
            "last_record_ms" => {
                counters.sources.entry(what.to_owned()).or_default().last_record = Some(UnixMs(value));
            }
            _ => {}
        }
    }
    Ok(counters)
}

fn set<T: Copy + Ord>(
    map: &mut std::collections::BTreeMap<T, u64>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    what: &str,
    value: i64,
) {
    if let Some(key) = all.iter().copied().find(|key| name(*key) == what) {
        map.insert(key, count(value));
    }
}

/// Writes the counters that differ from `before`.
pub fn save_counters(connection: &Connection, before: &Counters, now: &Counters) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("INSERT INTO counter VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2")?;
    let mut save = |family: &str, what: &str, value: i64| {
        statement.execute(params![format!("{family}.{what}"), value]).map(|_| ())
    };
    for (key, value) in now.outcomes.iter().filter(|(key, value)| before.outcomes.get(key) != Some(value)) {
        save("outcome", key.as_str(), db(*value))?;
    }
    for (key, value) in now.rejects.iter().filter(|(key, value)| before.rejects.get(key) != Some(value)) {
        save("reject", key.as_str(), db(*value))?;
    }
    for (key, value) in now.provenance.iter().filter(|(key, value)| before.provenance.get(key) != Some(value))
    {
        save("provenance", key.as_str(), db(*value))?;
    }
    for (key, value) in now.cost.iter().filter(|(key, value)| before.cost.get(key) != Some(value)) {
        save("cost", key.as_str(), db(*value))?;
    }
    for (key, facts) in &now.sources {
        let known = before.sources.get(key).copied().unwrap_or_default();
        if facts.gaps != known.gaps {
            save("gaps", key, db(facts.gaps))?;
        }
        if let Some(at) = facts.last_record.filter(|_| facts.last_record != known.last_record) {
            save("last_record_ms", key, at.0)?;
        }
    }
    Ok(())
}
