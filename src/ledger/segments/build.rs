//! Builds segments, a bounded portion at a time.

use rusqlite::{Connection, OptionalExtension, params};

use super::format::{Key, Packer, Segment};
use crate::ledger::store::{id, pack_at};
use crate::ledger::used::UsedRows;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{RunAt, UnixMs};

/// Most runs of a segment.
const MOST_RUNS: i64 = 1_024;
/// Runs that wait at least before they get a segment, or are added to the newest.
const LEAST_RUNS: i64 = 32;
/// A portion is over when it has packed this many runs, or looked at this many jobs.
const PORTION_RUNS: i64 = 4_096;
const PORTION_JOBS: usize = 512;

/// Runs of a job that shall get segments: those from the first packed time to before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    from: i64,
    until: i64,
    /// Whether there are no segments behind it.
    is_newest: bool,
}

impl Ledger {
    /// Builds a portion of the segments that runs started before `before` lack: some milliseconds of work. Returns
    /// whether there is more to do.
    ///
    /// # Errors
    /// What SQLite says; what is counted is not touched.
    pub fn build_segments(&mut self, before: UnixMs) -> Result<bool, LedgerError> {
        if self.book.stale {
            self.reload()?;
        }
        self.build_portion(pack_at(RunAt::Started(before))).map_err(|error| self.failed(error))
    }

    fn build_portion(&mut self, before: i64) -> rusqlite::Result<bool> {
        let transaction = self.connection.transaction()?;
        let mut rows = UsedRows::new(&transaction)?;
        let (mut packed, mut looked) = (0, 0);
        while packed < PORTION_RUNS && looked < PORTION_JOBS {
            let Some(job) = self.book.jobs.get_mut(self.unpacked) else { break };
            let built = build(&transaction, &mut rows, self.unpacked, before)?;
            // Before the commit, whose outcome may be unknown: it may be later than what is covered, never earlier.
            job.covered = job.covered.max(built.map(|(last, _)| last));
            match built {
                Some((_, runs)) => packed += runs,
                None => (self.unpacked, looked) = (self.unpacked + 1, looked + 1),
            }
        }
        drop(rows);
        transaction.commit()?;
        let more = self.unpacked < self.book.jobs.len();
        self.unpacked = if more { self.unpacked } else { 0 };
        Ok(more)
    }
}

/// Builds the first segment that a job lacks. Returns up to where it goes and how many runs it holds; `None`: there is
/// nothing to build.
fn build(
    connection: &Connection,
    rows: &mut UsedRows<'_>,
    job: usize,
    before: i64,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let Some(gap) = first_gap(connection, id(job), before)? else { return Ok(None) };
    let next: Option<i64> = connection
        .prepare_cached(
            "SELECT at FROM run WHERE job = ?1 AND at >= ?2 AND at < ?3 ORDER BY at LIMIT 1 OFFSET ?4",
        )?
        .query_row(params![id(job), gap.from, gap.until, MOST_RUNS], |row| row.get(0))
        .optional()?;
    let (mut packer, mut runs, mut parts) = (Packer::default(), 0, Vec::new());
    rows.for_each((job, id(job)), (gap.from, next.unwrap_or(gap.until)), &mut parts, |run| {
        packer.add(run);
        runs += 1;
    })?;
    // Up to the next one, so that rows need not be asked for what may lie between.
    let end = next.or((!gap.is_newest).then_some(gap.until));
    let Some(last) = end.map(|end| end - 1).or(packer.last()) else { return Ok(None) };
    let Some(bytes) = packer.finish(Key { job: id(job), first: gap.from, last }) else { return Ok(None) };
    connection
        .prepare_cached(
            "INSERT INTO segment VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET last = ?3, runs = ?4",
        )?
        .execute(params![id(job), gap.from, last, bytes])?;
    Ok(Some((last, runs)))
}

fn first_gap(connection: &Connection, job: i64, before: i64) -> rusqlite::Result<Option<Gap>> {
    let has = |from: i64, until: i64, runs: i64| {
        connection
            .prepare_cached("SELECT 1 FROM run WHERE job = ?1 AND at >= ?2 AND at < ?3 LIMIT 1 OFFSET ?4")?
            .exists(params![job, from, until, runs - 1])
    };
    let mut statement =
        connection.prepare_cached("SELECT first, last FROM segment WHERE job = ?1 ORDER BY first")?;
    let mut segments = statement.query([job])?;
    let (mut from, mut newest) = (i64::MIN, None);
    while let Some(row) = segments.next()? {
        let first = row.get(0)?;
        if first > from && has(from, first, 1)? {
            return Ok(Some(Gap { from, until: first, is_newest: false }));
        }
        newest = Some(first);
        from = row.get::<_, i64>(1)?.saturating_add(1);
    }
    if !has(from, before, LEAST_RUNS)? {
        return Ok(None);
    }
    if let Some(newest) = newest {
        let held = connection
            .prepare_cached("SELECT runs FROM segment WHERE job = ?1 AND first = ?2")?
            .query_row([job, newest], |row| Ok(Segment::runs(row.get_ref(0)?.as_blob()?)))?;
        from = if held < MOST_RUNS { newest } else { from };
    }
    Ok(Some(Gap { from, until: before, is_newest: true }))
}
