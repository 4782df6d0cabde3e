//! Whether what a ledger holds agrees with itself: SQLite's own view of the file, and ours of what stands in it.
//!
//! Pure reading, in one transaction, so that a writer may go on. Deliberately absent: whether it agrees with the gateway's
//! stores, which `report --reconcile` tells.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::positions::load_positions;
use super::store::{count, meta, pack_at, series, unpack_facts};
use super::totals::SeriesKind;
use super::{LedgerError, LedgerReader, backup, schema};
use crate::model::{Billing, RunAt, TokenKind, UnixMs, UsageProvenance};

/// Status and reason in what is packed of a run; see store.rs.
const STATUS_AND_REASON: i64 = 0b1000_0011_1111;
const DAY_MS: i64 = 86_400_000;

/// Something that must hold of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about, in one word.
    pub name: &'static str,
    /// What must hold.
    pub claim: &'static str,
    /// How it does not; `None`: it holds.
    pub problem: Option<String>,
}

impl LedgerReader {
    /// Looks at all that can be wrong. A ledger that an older version wrote is looked at in a copy that is brought up to
    /// date, beside it.
    ///
    /// # Errors
    /// It could not be read, or not be copied.
    pub fn audit(&self) -> Result<Vec<Check>, backup::BackupError> {
        let failed = |error| LedgerError::of(self.path(), error);
        if schema::version(self.connection()).map_err(failed)? == schema::known_version() {
            return Ok(audit(self.connection()).map_err(failed)?);
        }
        let folder = tempfile::tempdir()
            .map_err(|source| backup::BackupError::Write { path: std::env::temp_dir(), source })?;
        let copy = backup::copy(self.path(), folder.path())?;
        let mut connection = Connection::open(copy.path()).map_err(failed)?;
        let transaction = connection.transaction().map_err(failed)?;
        schema::migrate(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(audit(&connection).map_err(failed)?)
    }
}

/// Looks at all that can be wrong with a ledger of the present schema.
pub(super) fn audit(connection: &Connection) -> rusqlite::Result<Vec<Check>> {
    let transaction = connection.unchecked_transaction()?;
    let sound = file(&transaction)?;
    let mut checks =
        vec![Check { name: "file", claim: "SQLite finds the file sound", problem: sound.clone() }];
    if sound.is_some() {
        // What a damaged file says of itself is worth nothing.
        return Ok(checks);
    }
    type Look = fn(&Connection) -> rusqlite::Result<Option<String>>;
    let looks: [(&str, &str, Look); 7] = [
        ("numbers", "jobs, labels and series are numbered from 1 without gaps", numbers),
        ("references", "whatever names a job, labels or a run names one that is there", references),
        ("series", "no exported total is below the true one", exported),
        ("totals", "runs, tokens and dollars of all runs are those of the series", totals),
        ("positions", "every source was read up to a place that can be", positions),
        ("retention", "runs are single or folded into their day, never both", retention),
        ("outbox", "events are numbered without gaps, and no sink is ahead of them", outbox),
    ];
    for (name, claim, look) in looks {
        checks.push(Check { name, claim, problem: look(&transaction)? });
    }
    Ok(checks)
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.query_row(sql, [], |row| row.get(0))
}

fn file(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check(5)")?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok((found != ["ok"]).then(|| found.join("; ")))
}

fn numbers(connection: &Connection) -> rusqlite::Result<Option<String>> {
    for (table, id) in [("job", "id"), ("labels", "id"), ("series", "seq")] {
        let sql =
            format!("SELECT count(*) - coalesce(max({id}), 0) + coalesce(min({id}), 1) - 1 FROM {table}");
        if number(connection, &sql)? != 0 {
            return Ok(Some(format!("the table {table} has gaps")));
        }
    }
    Ok(None)
}

fn references(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let of_labels = |table: &str| {
        format!("SELECT count(*) FROM {table} WHERE labels NOT BETWEEN 1 AND (SELECT count(*) FROM labels)")
    };
    let of_run = |table: &str| {
        format!("SELECT count(*) FROM {table} LEFT JOIN run USING (job, at) WHERE run.facts IS NULL")
    };
    for (what, sql) in [
        ("runs without a job", "SELECT count(*) FROM run WHERE job NOT IN (SELECT id FROM job)".to_owned()),
        ("runs without labels", of_labels("run")),
        ("days without labels", of_labels("daily")),
        ("series without labels", of_labels("series")),
        ("further usage without its run", of_run("run_usage")),
        ("model calls without their run", of_run("call")),
        (
            "histograms without a series",
            "SELECT count(*) FROM histogram WHERE seq NOT IN (SELECT seq FROM series)".to_owned(),
        ),
    ] {
        let found = number(connection, &sql)?;
        if found > 0 {
            return Ok(Some(format!("{found} {what}")));
        }
    }
    Ok(None)
}

fn exported(connection: &Connection) -> rusqlite::Result<Option<String>> {
    for series in series(connection)? {
        let seq = series.seq;
        let falls = series.histogram.as_ref().is_some_and(|buckets| {
            buckets.truth.iter().zip(&buckets.exported).any(|(truth, exported)| exported < truth)
        });
        if series.exported_total < series.true_total || falls {
            return Ok(Some(format!("series {seq} exports less than is true")));
        }
        if series.kind.bounds().is_some() != series.histogram.is_some() {
            return Ok(Some(format!("series {seq} has no buckets, or should have none")));
        }
    }
    Ok(None)
}

/// What a series may stand at.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    least: i64,
    most: i64,
}

/// By labels and what is counted: the number of the series' kind, with all kinds of dollars taken together.
type Sums = BTreeMap<(i64, i64), Expected>;

fn totals(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut sums = Sums::new();
    for kind in TokenKind::ALL {
        let key = SeriesKind::Tokens(kind).code().to_string();
        add(connection, &mut sums, (&key, kind.as_str(), kind.as_str()), |key| key)?;
    }
    let dollars = dollars(SeriesKind::Cost(Billing::Metered).code()).to_string();
    add(connection, &mut sums, (&dollars, "max(coalesce(cost, 0), 0)", "cost"), |key| key)?;
    let facts = format!("facts & {STATUS_AND_REASON}");
    add(connection, &mut sums, (&facts, "one", "runs"), |facts| {
        let (status, reason, ..) = unpack_facts(facts);
        SeriesKind::Runs(status, reason).code()
    })?;
    let mut shown: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut statement = connection.prepare("SELECT labels, kind, true_total FROM series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind: i64 = row.get(1)?;
        let counted = matches!(
            SeriesKind::from_code(kind),
            Some(SeriesKind::Tokens(_) | SeriesKind::Cost(_) | SeriesKind::Runs(..))
        );
        if counted {
            *shown.entry((row.get(0)?, dollars_or(kind))).or_default() += row.get::<_, i64>(2)?;
        }
    }
    let keys: std::collections::BTreeSet<_> = sums.keys().chain(shown.keys()).copied().collect();
    let wrong: Vec<_> = keys
        .into_iter()
        .filter_map(|key| {
            let (is, may) =
                (shown.get(&key).copied().unwrap_or(0), sums.get(&key).copied().unwrap_or_default());
            (!(may.least..=may.most).contains(&is)).then_some((key, is, may))
        })
        .collect();
    Ok(wrong.first().map(|((labels, kind), is, may)| {
        let differ = wrong.len();
        format!(
            "{differ} differ; the first: kind {kind} of labels {labels} stands at {is}, its runs make {}",
            may.least
        )
    }))
}

const fn dollars(kind: i64) -> i64 {
    kind & !7
}

fn dollars_or(kind: i64) -> i64 {
    if matches!(SeriesKind::from_code(kind), Some(SeriesKind::Cost(_))) { dollars(kind) } else { kind }
}

/// Adds what runs, their further usage and folded days come to. Runs from before a lost ledger was rebuilt are in no
/// series; of folded days that cannot be told any more.
fn add(
    connection: &Connection,
    sums: &mut Sums,
    (key, amount, folded): (&str, &str, &str),
    code: impl Fn(i64) -> i64,
) -> rusqlite::Result<()> {
    let from: Option<i64> = meta(connection, "count_from_ms")?;
    let sql = format!(
        "SELECT labels, {key}, sum({amount}), 0 FROM (
            SELECT labels, facts, 1 AS one, input, output, cache_read, cache_write, cost FROM run
            WHERE (at >> 1) + recorded >= ?1
            UNION ALL
            SELECT run_usage.labels, facts, 0, run_usage.input, run_usage.output, run_usage.cache_read,
                run_usage.cache_write, run_usage.cost
            FROM run JOIN run_usage USING (job, at)
            WHERE (at >> 1) + run.recorded >= ?1 AND facts >> 8 & 7 = ?2
         ) GROUP BY 1, 2
         UNION ALL SELECT labels, {key}, sum({folded}), 1 FROM daily GROUP BY 1, 2"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![from.unwrap_or(i64::MIN), UsageProvenance::Transcript as i64])?;
    while let Some(row) = rows.next()? {
        let amount: i64 = row.get::<_, Option<i64>>(2)?.unwrap_or(0);
        if amount == 0 {
            continue;
        }
        let expected = sums.entry((row.get(0)?, code(row.get(1)?))).or_default();
        let doubtful = from.is_some() && row.get(3)?;
        expected.least += if doubtful { 0 } else { amount };
        expected.most += amount;
    }
    Ok(())
}

fn positions(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let wrong =
        "SELECT count(*) FROM position WHERE byte_offset < 0 OR skipped < 0 OR coalesce(last_len, 0) < 0";
    let found = number(connection, wrong)?
        + number(connection, "SELECT count(*) FROM table_position WHERE row < 0 OR length(open) % 8 != 0")?;
    if found > 0 {
        return Ok(Some(format!("{found} cannot be")));
    }
    load_positions(connection).map(|_| None)
}

fn retention(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let before: Option<i64> = meta(connection, "folded_before_ms")?;
    let before = before.unwrap_or(i64::MIN / 4);
    let single: i64 = connection.query_row(
        "SELECT count(*) FROM run WHERE at < ?1",
        [pack_at(RunAt::Started(UnixMs(before)))],
        |row| row.get(0),
    )?;
    let days: i64 = connection.query_row(
        "SELECT count(*) FROM daily WHERE day >= ?1",
        [before.div_euclid(DAY_MS)],
        |row| row.get(0),
    )?;
    Ok(match (single, days) {
        (0, 0) => None,
        (single, days) => {
            Some(format!("{single} single runs are older than what was folded, {days} days are newer"))
        }
    })
}

fn outbox(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let gaps = number(connection, "SELECT coalesce(max(seq) - min(seq) + 1, 0) - count(*) FROM outbox")?;
    let newest: Option<i64> =
        connection
            .query_row("SELECT max(seq) FROM sqlite_sequence WHERE name = 'outbox'", [], |row| row.get(0))?;
    let ahead: i64 = connection.query_row(
        "SELECT count(*) FROM sink WHERE position > ?1",
        [newest.unwrap_or(0)],
        |row| row.get(0),
    )?;
    Ok(match (gaps, ahead) {
        (0, 0) => None,
        (gaps, ahead) => {
            Some(format!("{} events are missing, {} sinks are ahead", count(gaps), count(ahead)))
        }
    })
}
