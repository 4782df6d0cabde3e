//! Reads a table of runs on from a position, whichever of the two it is.
//!
//! The position is the number that SQLite gave to the newest consumed row. Rows get their numbers in the order in which
//! they are inserted, so that runs which were imported later with old times, or finished in another order, are never
//! missed; rows that were not finished are looked at again, one by one. What would break this, a rebuilt, vacuumed or
//! replaced table, shows in the schema cookie, in the file's identity or in the row at the position, and then the whole
//! table is read again: the ledger knows the runs that it knows.
//!
//! Deliberately absent: rows that change after they were finished. [`Table::again`] is for the caller to find those, now
//! and then.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::database::{Database, DatabaseError};
use super::summary::summary_of;
use crate::model::{
    Batch, FileId, Position, Reject, RejectReason, RunKey, Runs, SourceId, TablePosition, UnixMs,
};

/// Rows that one batch takes up at most: bounds memory and how long a read transaction lasts.
const BATCH_ROWS: u64 = 2_000;
/// Bytes of text that one batch takes up at most, give or take a row.
const BATCH_BYTES: usize = 1 << 20;
/// Longest text of a row that is read, in bytes.
pub const MAX_TEXT_BYTES: i64 = 1 << 20;
/// Unfinished rows that are followed one by one. Those above it are found when everything is read again.
const MAX_OPEN: usize = 1_000;

/// A table that holds runs.
#[derive(Clone, Copy)]
pub struct Table {
    /// What the attribute `openclaw.source` says of this store.
    pub source: &'static str,
    /// Selects the columns that [`read`](Self::read) wants, after the row's number, without a condition.
    pub select: &'static str,
    /// The column with the time at which a run was recorded, in ms; it may be NULL.
    pub recorded: &'static str,
    /// What was recorded earlier is not read.
    pub since: Option<UnixMs>,
    /// The column of `select` with the record.
    pub record: usize,
    /// Whether what runs said is wanted.
    pub summaries: bool,
    /// Whether every row of the table is a run, so that a missing number above the position is a lost run.
    pub dense: bool,
    /// Makes what it is of a row, and its identity. If it is a run, that is put behind the others.
    pub read: fn(&Row<'_>, UnixMs, &mut Runs) -> rusqlite::Result<Found>,
}

/// A row as it was found.
pub struct Found {
    /// Hash of what identifies it.
    pub mark: u64,
    /// Bytes of text that were read for it.
    pub bytes: usize,
    /// What it is.
    pub what: What,
    /// What the run said, if that is wanted.
    pub summary: Option<String>,
}

/// What a row is.
pub enum What {
    /// A finished run, which was put behind the others.
    Run,
    /// Not countable.
    Reject(RejectReason),
    /// A run that has not ended.
    Unfinished,
    /// Something else.
    Other,
}

/// What one look at a table found.
#[derive(Debug)]
pub struct TablePoll {
    /// What is new; `None` if nothing is.
    pub batch: Option<Batch>,
    /// There is more to read at once.
    pub more: bool,
    /// Rows that were read behind the position, whatever they were.
    pub rows: u64,
}

/// One piece of what was consumed before.
#[derive(Debug)]
pub struct Again {
    /// The runs in it, as a batch that moves nothing.
    pub batch: Batch,
    /// Where to go on; `None`: all was read.
    pub next: Option<i64>,
}

impl Table {
    /// Returns how to read only what was recorded from `since` on.
    #[must_use]
    pub const fn since(self, since: Option<UnixMs>) -> Self {
        Self { since, ..self }
    }

    /// Returns how to read also what runs said, if that is wanted.
    #[must_use]
    pub const fn saying(self, summaries: bool) -> Self {
        Self { summaries, ..self }
    }

    /// Returns the source's id: the key of its position.
    #[must_use]
    pub fn source_id(&self) -> SourceId {
        SourceId(self.source.to_owned())
    }

    /// Looks at the table and returns what lies behind `from`. `complete`: nothing lay behind it when it was stored, so
    /// that numbers missing there are runs that were deleted unread.
    ///
    /// # Errors
    /// See [`DatabaseError`]; nothing is consumed then.
    pub fn poll(
        &self,
        database: &mut Database,
        from: Option<&TablePosition>,
        complete: bool,
        now: UnixMs,
    ) -> Result<TablePoll, DatabaseError> {
        let file = database.file();
        database.read(|transaction| self.poll_rows(transaction, file, from, complete, now))
    }

    fn poll_rows(
        &self,
        transaction: &Transaction<'_>,
        file: FileId,
        from: Option<&TablePosition>,
        complete: bool,
        now: UnixMs,
    ) -> rusqlite::Result<TablePoll> {
        let schema: i64 = transaction.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
        let same = from.filter(|from| from.file == file && from.schema == schema);
        let held = match same {
            Some(from) if self.is_at(transaction, from, now)? => Some(from),
            _ => None,
        };
        let gap = match same.filter(|from| self.dense && complete && from.row > 0) {
            Some(from) => self.lacks_above(transaction, from.row)?,
            None => false,
        };
        let start = held.cloned().unwrap_or(TablePosition { file, schema, ..TablePosition::default() });
        let mut reading = Reading { position: start, ..Reading::default() };
        reading.look_at_open(self, transaction, now)?;
        let more = reading.read_on(self, transaction, now)?;
        let rows = reading.rows;
        let to = reading.position;
        let changed = Some(&to) != from || !reading.runs.is_empty() || !reading.rejects.is_empty() || gap;
        let batch = changed.then(|| Batch {
            runs: reading.runs,
            summaries: reading.summaries,
            rejects: reading.rejects,
            gap,
            ..Batch::new(self.source_id(), from.cloned().map(Position::Table), Position::Table(to))
        });
        Ok(TablePoll { batch, more, rows })
    }

    /// Returns whether the row at a position is the one that was consumed.
    fn is_at(&self, connection: &Connection, from: &TablePosition, now: UnixMs) -> rusqlite::Result<bool> {
        if from.row == 0 {
            return Ok(true);
        }
        Ok(self
            .row(connection, from.row, now, &mut Runs::new())?
            .is_some_and(|found| found.mark == from.mark))
    }

    /// Returns whether a number is missing between a row and the last one: rows of one job go while those of another
    /// stay, so that the first one above says nothing.
    fn lacks_above(&self, connection: &Connection, row: i64) -> rusqlite::Result<bool> {
        let sql = format!("SELECT count(*), max(rowid) FROM ({} WHERE rowid > ?1)", self.select);
        let (count, last) = connection
            .prepare_cached(&sql)?
            .query_row([row], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)))?;
        Ok(last.is_some_and(|last| last - row > count))
    }

    fn row(
        &self,
        connection: &Connection,
        row: i64,
        now: UnixMs,
        runs: &mut Runs,
    ) -> rusqlite::Result<Option<Found>> {
        let sql = format!("{} WHERE rowid = ?1", self.select);
        connection.prepare_cached(&sql)?.query_row([row], |row| self.find(row, now, runs)).optional()
    }

    fn find(&self, row: &Row<'_>, now: UnixMs, runs: &mut Runs) -> rusqlite::Result<Found> {
        let mut found = (self.read)(row, now, runs)?;
        if self.summaries && matches!(found.what, What::Run) {
            found.summary = summary_of(bytes(row.get_ref(self.record)?));
        }
        Ok(found)
    }

    /// Reads again what was consumed, from behind row `after` up to `position`: rows that changed since.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn again(
        &self,
        database: &mut Database,
        position: &TablePosition,
        after: i64,
        now: UnixMs,
    ) -> Result<Again, DatabaseError> {
        database.read(|transaction| {
            let mut reading = Reading {
                position: TablePosition { row: after, ..TablePosition::default() },
                until: Some(position.row),
                ..Reading::default()
            };
            let more = reading.read_on(self, transaction, now)?;
            let held = Position::Table(position.clone());
            let batch = Batch {
                runs: reading.runs,
                again: true,
                ..Batch::new(self.source_id(), Some(held.clone()), held)
            };
            Ok(Again { batch, next: more.then_some(reading.position.row) })
        })
    }
}

/// What a read has gathered.
#[derive(Default)]
struct Reading {
    position: TablePosition,
    /// The last row to read; `None`: the table's last.
    until: Option<i64>,
    /// Rows read behind the position.
    rows: u64,
    runs: Runs,
    /// What they said.
    summaries: Vec<(RunKey, String)>,
    rejects: Vec<Reject>,
}

impl Reading {
    /// Looks at the rows again that were not finished. What is gone was deleted unfinished: it is no run.
    fn look_at_open(&mut self, table: &Table, connection: &Connection, now: UnixMs) -> rusqlite::Result<()> {
        for row in std::mem::take(&mut self.position.open) {
            if let Some(found) = table.row(connection, row, now, &mut self.runs)? {
                self.take(table, row, found);
            }
        }
        Ok(())
    }

    /// Reads the rows behind the position. Returns whether there are more.
    fn read_on(&mut self, table: &Table, connection: &Connection, now: UnixMs) -> rusqlite::Result<bool> {
        let recent = match table.since {
            Some(_) => format!("AND ({0} IS NULL OR {0} >= ?3)", table.recorded),
            None => "AND ?3".to_owned(),
        };
        let sql = format!("{} WHERE rowid > ?1 AND rowid <= ?2 {recent} ORDER BY rowid", table.select);
        let mut statement = connection.prepare_cached(&sql)?;
        let since = table.since.map_or(1, |since| since.0);
        let mut rows = statement.query([self.position.row, self.until.unwrap_or(i64::MAX), since])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            if self.rows == BATCH_ROWS || bytes >= BATCH_BYTES {
                return Ok(true);
            }
            let number: i64 = row.get(0)?;
            let found = table.find(row, now, &mut self.runs)?;
            (self.position.row, self.position.mark) = (number, found.mark);
            self.rows += 1;
            bytes += found.bytes;
            self.take(table, number, found);
        }
        Ok(false)
    }

    fn take(&mut self, table: &Table, row: i64, found: Found) {
        let mark = found.mark;
        match found.what {
            What::Run => self.summaries.extend(self.runs.last_key().zip(found.summary)),
            What::Reject(reason) => {
                let sample = format!("{}: row {row}", table.source);
                self.rejects.push(Reject { mark: Some(mark ^ reason as u64), ..Reject::new(reason, sample) });
            }
            What::Unfinished => {
                if self.position.open.len() == MAX_OPEN {
                    self.position.open.remove(0);
                }
                self.position.open.push(row);
            }
            What::Other => {}
        }
    }
}

/// Returns the bytes of a text or blob; of anything else none.
pub fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}

/// Returns an integer; of anything else nothing.
pub fn integer(value: ValueRef<'_>) -> Option<i64> {
    if let ValueRef::Integer(value) = value { Some(value) } else { None }
}
