//! The gateway's database into the ledger: its list of jobs and the tables that hold runs.
//!
//! A database that did not change is not opened. What is read from one that nobody has open counts only if it stayed as
//! it was meanwhile.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use super::scope::Scope;
use super::transcripts::Transcripts;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Batch, Position, Reject, RejectReason, SourceId, TablePosition, UnixMs};
use crate::openclaw::transcript::{SessionLink, read_subagents};
use crate::openclaw::{
    Database, DatabaseError, DatabaseStamp, JobsStamp, Table, jobs_stamp, read_cron_jobs, stores,
};

/// How often everything is read again while the database changes: hourly. Rows that were changed after their end are
/// found then.
const AGAIN_MS: i64 = 3_600_000;
/// A change within this time of a look may bear the same time as what was seen: the clocks of file systems tick.
const TICK_MS: i64 = 2_000;
/// Looks at a database at rest that may each turn out to have been overtaken.
const TRIES: usize = 3;

/// What was seen of the gateway's database.
#[derive(Default)]
pub(super) struct StateDatabase {
    /// As it was before it was last read to the end.
    seen: Option<DatabaseStamp>,
    /// It may have changed since without a trace in its stamp.
    unsettled: bool,
    /// The stores found in it.
    stores: BTreeSet<&'static str>,
    /// Stores of which more lies behind the position: the last look stopped in the middle.
    partial: BTreeSet<&'static str>,
    /// When everything was last read again.
    again: Option<UnixMs>,
    jobs: Option<JobsStamp>,
    /// Number of sub-agents and of the newest row among them when they were last read.
    subagents: (i64, i64),
    problem: Option<(Option<RejectReason>, String)>,
    scope: Scope,
    /// It is read once, for one question.
    once: bool,
}

/// Why a read stopped.
enum Stop {
    Ledger(LedgerError),
    Database(DatabaseError),
    /// The database was changed under a read that took it for one at rest.
    Overtaken,
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl StateDatabase {
    /// Prepares to read no more than that.
    pub fn within(scope: Scope) -> Self {
        Self { scope, once: true, ..Self::default() }
    }

    /// Returns whether there is something to look at, and whether it differs from what was last seen.
    pub fn is_due(&self, path: &Path) -> (bool, bool) {
        let stamp = DatabaseStamp::of(path);
        let differs = stamp != self.seen;
        (differs || self.unsettled || self.problem.is_some(), differs && self.seen.is_some())
    }

    /// Returns the stores that are there and can be read.
    pub const fn stores(&self) -> &BTreeSet<&'static str> {
        &self.stores
    }

    /// Returns what stands in the way of reading the database, if it does not pass by itself.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_ref().filter(|(reason, _)| reason.is_some()).map(|(_, text)| text.as_str())
    }

    /// Reads what is new. `with_jobs`: the list of jobs is taken from here. Returns whether anything exported changed.
    pub fn read(
        &mut self,
        (ledger, transcripts): (&mut Ledger, &mut Transcripts),
        path: &Path,
        with_jobs: bool,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let mut changed = false;
        for _ in 0..TRIES {
            // Taken before it is read: what is written meanwhile makes it differ again.
            let stamp = DatabaseStamp::of(path);
            let read = self.read_once((ledger, transcripts), path, with_jobs, &mut changed, now);
            self.seen = stamp;
            self.unsettled = stamp.is_some_and(|stamp| now.0 - stamp.modified_ms() < TICK_MS);
            match read {
                Ok(()) => {
                    self.scope.note(path.metadata().map_or(0, |file| file.len()));
                    if self.problem.take().is_some() {
                        tracing::info!("{} can be read", path.display());
                    }
                    return Ok(changed);
                }
                Err(Stop::Overtaken) => {}
                Err(Stop::Ledger(error)) => {
                    self.unsettled = true;
                    return Err(error);
                }
                Err(Stop::Database(DatabaseError::Absent(_))) => {
                    let (again, partial) = (self.again, std::mem::take(&mut self.partial));
                    let (scope, once) = (self.scope.clone(), self.once);
                    *self = Self { again, partial, scope, once, ..Self::default() };
                    return Ok(changed);
                }
                Err(Stop::Database(error)) => return Ok(self.refuse(ledger, stamp, &error, now)? || changed),
            }
        }
        // Somebody keeps writing to what looks like a database at rest; the next look tries again.
        self.unsettled = true;
        Ok(changed)
    }

    fn read_once(
        &mut self,
        (ledger, transcripts): (&mut Ledger, &mut Transcripts),
        path: &Path,
        with_jobs: bool,
        changed: &mut bool,
        now: UnixMs,
    ) -> Result<(), Stop> {
        let mut database = Database::open(path)?;
        if self.once {
            database.map()?;
        }
        let found = stores(&mut database)?;
        if with_jobs && found.jobs {
            self.read_jobs(ledger, &mut database, changed)?;
        }
        let links = database.read(|transaction| subagent_links(transaction, &mut self.subagents))?;
        transcripts.links(links, now);
        self.stores = found.runs.iter().map(|table| table.source).collect();
        let again = self.again.is_none_or(|last| !(0..AGAIN_MS).contains(&now.since(last)));
        let begin = self.scope.begin();
        let summaries = ledger.wants_summaries();
        for table in found.runs.iter().map(|table| table.since(begin).saying(summaries)) {
            let table = &table;
            let before = ledger.position(&table.source_id()).and_then(Position::table).cloned();
            self.read_on((ledger, transcripts), &mut database, table, changed, now)?;
            if let Some(before) = before.filter(|_| again) {
                read_again((ledger, transcripts), &mut database, table, &before, changed, now)?;
            }
        }
        if again {
            self.again = Some(now);
        }
        Ok(())
    }

    fn read_jobs(
        &mut self,
        ledger: &mut Ledger,
        database: &mut Database,
        changed: &mut bool,
    ) -> Result<(), Stop> {
        let stamp = jobs_stamp(database)?;
        if self.jobs == Some(stamp) {
            return Ok(());
        }
        let jobs = read_cron_jobs(database)?;
        if database.is_overtaken() {
            return Err(Stop::Overtaken);
        }
        *changed |= ledger.set_jobs(&jobs)?;
        self.jobs = Some(stamp);
        Ok(())
    }

    fn read_on(
        &mut self,
        (ledger, transcripts): (&mut Ledger, &mut Transcripts),
        database: &mut Database,
        table: &Table,
        changed: &mut bool,
        now: UnixMs,
    ) -> Result<(), Stop> {
        // A process that stopped in the middle is taken to have finished: at worst one gap too many is told.
        loop {
            let position = ledger.position(&table.source_id()).and_then(Position::table).cloned();
            let complete = !self.partial.contains(table.source);
            let poll = table.poll(database, position.as_ref(), complete, now)?;
            if database.is_overtaken() {
                return Err(Stop::Overtaken);
            }
            if let Some(batch) = poll.batch {
                *changed |= ledger.apply(&batch, now)?.changed;
                transcripts.runs(&batch.runs, now);
            }
            if !poll.more {
                self.partial.remove(table.source);
                return Ok(());
            }
            self.partial.insert(table.source);
        }
    }

    /// Counts a database that cannot be read, once for each file and reason.
    fn refuse(
        &mut self,
        ledger: &mut Ledger,
        stamp: Option<DatabaseStamp>,
        error: &DatabaseError,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let (reason, text) = (error.reason(), error.to_string());
        let Some(counted) = reason else {
            tracing::debug!("{text}");
            self.problem = Some((None, text));
            return Ok(false);
        };
        // A file that was made this moment may be about to be filled.
        if self.unsettled && !matches!(self.problem, Some((Some(_), _))) {
            self.problem = Some((None, text));
            return Ok(false);
        }
        if self.problem.as_ref().is_none_or(|(_, known)| *known != text) || self.problem() != Some(&text) {
            tracing::warn!(reason = counted.as_str(), "{text}");
        }
        self.problem = Some((reason, text));
        self.stores.clear();
        let source = SourceId("database/openclaw.sqlite".to_owned());
        let from = ledger.position(&source).cloned();
        let file = stamp.map(|stamp| stamp.file()).unwrap_or_default();
        let to = Position::Table(TablePosition { file, schema: counted as i64, ..TablePosition::default() });
        if from.as_ref() == Some(&to) {
            return Ok(false);
        }
        let rejects = vec![Reject::new(counted, source.to_string())];
        let batch = Batch { rejects, ..Batch::new(source, from, to) };
        Ok(ledger.apply(&batch, now)?.changed)
    }
}

/// Reads which sessions spawned which, if there are new ones.
fn subagent_links(connection: &Connection, known: &mut (i64, i64)) -> rusqlite::Result<Vec<SessionLink>> {
    let is_there = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'subagent_runs'")?
        .exists([])?;
    if !is_there {
        return Ok(Vec::new());
    }
    let sql = "SELECT count(*), coalesce(max(rowid), 0) FROM subagent_runs";
    let now = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if *known == now {
        return Ok(Vec::new());
    }
    let links = read_subagents(connection)?;
    *known = now;
    Ok(links)
}

/// Holds what was consumed up to `position` against what is known.
fn read_again(
    (ledger, transcripts): (&mut Ledger, &mut Transcripts),
    database: &mut Database,
    table: &Table,
    position: &TablePosition,
    changed: &mut bool,
    now: UnixMs,
) -> Result<(), Stop> {
    let mut after = Some(0);
    while let Some(row) = after {
        let again = table.again(database, position, row, now)?;
        if database.is_overtaken() {
            return Err(Stop::Overtaken);
        }
        let held = ledger.position(&again.batch.source).cloned();
        let Some(held) = held else { return Ok(()) };
        let batch = Batch { from: Some(held.clone()), to: held, ..again.batch };
        *changed |= ledger.apply(&batch, now)?.changed;
        transcripts.runs(&batch.runs, now);
        after = again.next;
    }
    Ok(())
}
