//! The gateway's database: all of its runs and its list of jobs, read as `serve` reads them.
//!
//! What is read from a database that nobody has open counts only if it stayed as it was meanwhile; else it is opened
//! anew and read on from where the last good piece ended.

use std::path::Path;

use super::access;
use super::report::{DatabaseState, Finding, Section, TableState};
use super::scan::{Scan, Step};
use super::sums::sums;
use crate::model::{JobDefinition, Position, TablePosition, UnixMs};
use crate::openclaw::{Database, DatabaseError, Table, cron_run_logs, read_cron_jobs, stores};

const HERE: Section = Section::StateDirectory;
/// Looks at a database that is being changed.
const TRIES: usize = 3;

/// What was found in the database.
#[derive(Default)]
pub struct Reading {
    /// The list of jobs, if it was asked for and is there.
    pub jobs: Option<Vec<JobDefinition>>,
    version: Option<i64>,
    tables: Vec<Consumed>,
    error: Option<DatabaseError>,
}

impl Reading {
    /// Returns the tables of runs that are there.
    pub fn stores(&self) -> Vec<&'static str> {
        self.tables.iter().map(|table| table.source).collect()
    }
}

/// How far a table was read.
struct Consumed {
    source: &'static str,
    position: Option<TablePosition>,
    rows: u64,
}

/// Reads the database at `path` into `scan`. `None`: there is none. `with_jobs`: the list of jobs is wanted as well.
pub fn read(
    path: &Path,
    with_jobs: bool,
    scan: &mut Scan,
    now: UnixMs,
    on_step: &mut dyn FnMut(Step),
) -> Option<Reading> {
    let mut reading = Reading::default();
    for _ in 0..TRIES {
        match reading.read_on(path, with_jobs, scan, now, on_step) {
            Ok(true) => {
                reading.error = None;
                return Some(reading);
            }
            Ok(false) => reading.error = Some(DatabaseError::Busy(path.to_path_buf())),
            Err(DatabaseError::Absent(_)) => return None,
            Err(error) => {
                let passes = error.reason().is_none();
                if let DatabaseError::UnknownSchema { version, .. } = error {
                    reading.version = Some(version);
                }
                reading.error = Some(error);
                if !passes {
                    break;
                }
            }
        }
    }
    Some(reading)
}

impl Reading {
    /// Reads to the end. Returns `false` if somebody changed the database meanwhile.
    fn read_on(
        &mut self,
        path: &Path,
        with_jobs: bool,
        scan: &mut Scan,
        now: UnixMs,
        on_step: &mut dyn FnMut(Step),
    ) -> Result<bool, DatabaseError> {
        let mut database = Database::open(path)?;
        let found = stores(&mut database)?;
        self.version = Some(found.version);
        if with_jobs && found.jobs {
            let jobs = read_cron_jobs(&mut database)?;
            if database.is_overtaken() {
                return Ok(false);
            }
            self.jobs = Some(jobs);
        }
        for table in &found.runs {
            if !self.read_table(&mut database, table, scan, now, on_step)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_table(
        &mut self,
        database: &mut Database,
        table: &Table,
        scan: &mut Scan,
        now: UnixMs,
        on_step: &mut dyn FnMut(Step),
    ) -> Result<bool, DatabaseError> {
        let known = self.tables.iter().position(|known| known.source == table.source);
        let index = known.unwrap_or_else(|| {
            self.tables.push(Consumed { source: table.source, position: None, rows: 0 });
            self.tables.len() - 1
        });
        let consumed = &mut self.tables[index];
        loop {
            let poll = table.poll(database, consumed.position.as_ref(), false, now)?;
            if database.is_overtaken() {
                return Ok(false);
            }
            consumed.rows += poll.rows;
            if let Some(batch) = poll.batch {
                scan.take(table.source, &batch.runs, batch.rejects);
                consumed.position = Position::table(&batch.to).cloned();
            }
            on_step(Step::Table { source: table.source, rows: consumed.rows, runs: scan.keys.len() });
            if !poll.more {
                return Ok(true);
            }
        }
    }

    /// Returns the kinds of stores that could be read.
    pub fn sources(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().filter(|_| self.error.is_none()).map(|table| table.source)
    }

    /// Returns it as facts. `name` gives a job's name.
    pub fn state(&self, path: &Path, scan: &Scan, name: &dyn Fn(&str) -> Option<String>) -> DatabaseState {
        let table = |consumed: &Consumed| TableState {
            table: table_name(consumed.source).to_owned(),
            source: consumed.source.to_owned(),
            rows: consumed.rows,
            unfinished_rows: consumed.position.as_ref().map_or(0, |position| position.open.len() as u64),
            sums: sums(scan.store(consumed.source), name),
        };
        DatabaseState {
            path: path.display().to_string(),
            readable: self.error.is_none(),
            refused: self.error.as_ref().and_then(DatabaseError::reason).map(|at| at.as_str().to_owned()),
            schema_version: self.version,
            tables: self.tables.iter().map(table).collect(),
        }
    }

    /// Returns what stands in the way of reading it.
    pub fn obstacle(&self, path: &Path) -> Option<Finding> {
        let error = self.error.as_ref()?;
        if error.reason().is_none() {
            let text = format!("{} is being changed by the gateway at this moment", path.display());
            return Some(Finding::note(HERE, text).with("check again: `serve` reads it as soon as it rests"));
        }
        let denied =
            matches!(error, DatabaseError::Unreadable { .. }).then(|| access::reading(path)).flatten();
        let message = error.to_string();
        // Every message ends with what to do.
        let (text, remedy) = message.rsplit_once("; ").unwrap_or((&message, ""));
        Some(match denied {
            Some(denied) => Finding::problem(HERE, denied.text(), remedy),
            None => Finding::problem(HERE, text, remedy),
        })
    }
}

/// Returns the name of the table that a kind of store is.
pub fn table_name(source: &str) -> &'static str {
    if source == cron_run_logs::SOURCE { "cron_run_logs" } else { "task_runs" }
}
