//! Which of the known tables a gateway's database holds, by table and column and not by its version number.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::database::{Database, DatabaseError};
use super::table::Table;
use super::{cron_jobs, cron_run_logs, task_runs};

/// The tables of one database that are read.
#[derive(Clone, Default)]
pub struct Stores {
    /// The tables that hold runs, the older kind first.
    pub runs: Vec<Table>,
    /// Whether there is a list of jobs.
    pub jobs: bool,
    /// The database's `user_version`, which says what made it and decides nothing.
    pub version: i64,
}

/// Looks which tables there are.
///
/// # Errors
/// [`DatabaseError::UnknownSchema`] if none holds runs in a way that is known; else what SQLite says.
pub fn stores(database: &mut Database) -> Result<Stores, DatabaseError> {
    let path = database.path().to_path_buf();
    let (found, version) = database.read(|transaction| {
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((look(transaction)?, version))
    })?;
    found.map(|found| Stores { version, ..found }).map_err(|detail| DatabaseError::UnknownSchema {
        path,
        version,
        detail,
    })
}

fn look(connection: &Connection) -> rusqlite::Result<Result<Stores, String>> {
    let mut stores = Stores::default();
    let logs = missing(connection, "cron_run_logs", &cron_run_logs::COLUMNS)?;
    let tasks = missing(connection, "task_runs", &task_runs::COLUMNS)?;
    if logs.as_ref().is_some_and(Vec::is_empty) {
        stores.runs.push(cron_run_logs::table(cron_run_logs::totals_are_sums(connection)?));
    }
    if tasks.as_ref().is_some_and(Vec::is_empty) {
        stores.runs.push(task_runs::table());
    }
    stores.jobs =
        missing(connection, "cron_jobs", &cron_jobs::COLUMNS)?.is_some_and(|columns| columns.is_empty());
    if !stores.runs.is_empty() {
        return Ok(Ok(stores));
    }
    let lacks = |table: &str, columns: Option<Vec<&str>>| match columns {
        Some(columns) => format!("the table {table} has no column {}", columns.join(", ")),
        None => format!("there is no table {table}"),
    };
    Ok(Err(format!("{}, and {}", lacks("cron_run_logs", logs), lacks("task_runs", tasks))))
}

/// Returns which of the columns a table lacks; `None`: there is no such table.
fn missing<'a>(
    connection: &Connection,
    table: &str,
    columns: &[&'a str],
) -> rusqlite::Result<Option<Vec<&'a str>>> {
    // A view of that name is not what OpenClaw makes, and would have no row numbers.
    let is_table = connection
        // A virtual table has no pages, and may be of a module that this SQLite lacks.
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 AND rootpage > 0")?
        .exists([table])?;
    if !is_table {
        return Ok(None);
    }
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let there = statement.query_map([table], |row| row.get(0))?.collect::<Result<BTreeSet<String>, _>>()?;
    let mut lacking: Vec<_> = columns.iter().copied().filter(|column| !there.contains(*column)).collect();
    // Positions are numbers of rows, which a table WITHOUT ROWID does not have.
    match connection.prepare(&format!("SELECT rowid FROM {table}")) {
        Ok(_) => {}
        Err(rusqlite::Error::SqlInputError { .. }) => lacking.push("rowid"),
        Err(error) => return Err(error),
    }
    Ok(Some(lacking))
}
