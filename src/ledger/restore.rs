//! Brings a backup back in the place of a ledger, so that nothing is counted twice by whoever has its counters already.
//!
//! What was counted after the backup is read again from the gateway's stores, as far as they reach. A server that has the
//! newer, larger totals would take smaller ones for a reset and add them all again. Therefore, in this order:
//!
//! | What is known | Counters |
//! |---|---|
//! | the operator says that nothing was counted after the backup | go on where they stood in it |
//! | the replaced ledger can be read and grew out of the backup | go on where they stand in it: what is exported never falls |
//! | anything else | begin anew at zero, with what ends from now on, as after the loss of a ledger |
//!
//! Invariants: the ledger that was there is kept; until the last step it is in its place, and from then on the new one.
//! Deliberately absent: the stores, which the next start reads.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, params};
use tempfile::NamedTempFile;

use super::audit::audit;
use super::backup::{BackupError, copy, folder, sync};
use super::open::{beside, check, lock_file, make_directory, refuse_other_files};
use super::store::{meta, pack_buckets, series, set_meta};
use super::{LedgerError, LedgerReader, Summary, schema};
use crate::model::UnixMs;

/// How long is waited for whoever reads the ledger that is to be replaced.
const BUSY: Duration = Duration::from_secs(5);

/// How exported counters go on after a backup was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// Where they stood in the backup.
    AsBackedUp,
    /// Where they stood in the ledger that was replaced.
    AsReplaced,
    /// At zero, with runs that end from now on.
    Anew,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the ledger holds now.
    pub summary: Summary,
    /// How exported counters go on.
    pub continuation: Continuation,
    /// Where the ledger is that was replaced; `None`: there was none.
    pub aside: Option<PathBuf>,
}

/// What the operator decides.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// The gateway's name, if one is configured: the backup must be that one's.
    pub gateway: Option<String>,
    /// Nothing was counted after the backup was made, as when a ledger is moved.
    pub nothing_since: bool,
}

/// Brings the backup `from` back as the ledger at `path`, which nobody may be using.
///
/// # Errors
/// See [`BackupError`]; nothing has changed then.
pub fn restore(
    from: &Path,
    path: &Path,
    options: &RestoreOptions,
    now: UnixMs,
) -> Result<Restored, BackupError> {
    make_directory(path)?;
    let exists = path.metadata().is_ok_and(|metadata| metadata.len() > 0);
    if exists && !beside(path, ".lock").exists() {
        refuse_other_files(path)?;
    }
    let (mut lock, used_before) = lock_file(path)?;
    let staged = copy(from, folder(path))?;
    let failed = |error| LedgerError::of(from, error);
    let mut connection = Connection::open(staged.path()).map_err(failed)?;
    check(&connection, from)?;
    bring_up_to_date(&mut connection).map_err(failed)?;
    judge(&connection, from, options)?;
    let is_readable = exists && is_readable(path)?;
    let continuation = if options.nothing_since {
        Continuation::AsBackedUp
    } else {
        // It stays as it is: what is taken from it comes from a copy with the same tables as the backup's.
        let replaced = if is_readable { Some(copy(path, folder(path))?) } else { None };
        carry(&mut connection, replaced.as_ref().map(NamedTempFile::path), now).map_err(failed)?
    };
    connection.close().map_err(|(_, error)| failed(error))?;
    let write = |source| BackupError::Write { path: path.to_path_buf(), source };
    staged.as_file().sync_all().map_err(write)?;
    let aside = if exists { Some(set_aside(path, now).map_err(write)?) } else { None };
    staged.persist(path).map_err(|error| write(error.error))?;
    sync(folder(path)).map_err(write)?;
    if !used_before {
        // From here on an absent ledger is a lost one.
        lock.write_all(b"openclaw-usage\n").map_err(write)?;
    }
    Ok(Restored { summary: LedgerReader::open(path)?.summary()?, continuation, aside })
}

fn bring_up_to_date(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    schema::migrate(&transaction)?;
    transaction.commit()
}

/// Refuses a backup of another gateway, or one that contradicts itself.
fn judge(connection: &Connection, from: &Path, options: &RestoreOptions) -> Result<(), BackupError> {
    let failed = |error| LedgerError::of(from, error);
    let found: Option<String> = meta(connection, "gateway").map_err(failed)?;
    if let (Some(found), Some(given)) = (&found, &options.gateway)
        && found != given
    {
        let (path, found, given) = (from.to_path_buf(), found.clone(), given.clone());
        return Err(LedgerError::OtherGateway { path, found, given }.into());
    }
    for found in audit(connection).map_err(failed)? {
        if let Some(problem) = found.problem {
            let problem = format!("{}: {problem}", found.name);
            return Err(BackupError::Unsound { path: from.to_path_buf(), problem });
        }
    }
    Ok(())
}

/// Returns whether the ledger that is to be replaced can be read. Then nothing of it is left in its log.
fn is_readable(path: &Path) -> Result<bool, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(path, flags) else { return Ok(false) };
    match check(&connection, path) {
        Ok(()) => {}
        // What a newer version wrote, or somebody else, is not ours to replace.
        Err(error @ (LedgerError::Newer { .. } | LedgerError::Foreign { .. })) => return Err(error),
        Err(_) => return Ok(false),
    }
    let emptied = connection.busy_timeout(BUSY).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    match emptied {
        Ok(0) => Ok(true),
        // Somebody reads it. That it cannot be emptied now does not make it unreadable.
        Ok(_) => Err(LedgerError::InUse { path: path.to_path_buf() }),
        Err(_) => Ok(false),
    }
}

/// Decides how counters go on, and brings that about.
fn carry(
    connection: &mut Connection,
    replaced: Option<&Path>,
    now: UnixMs,
) -> rusqlite::Result<Continuation> {
    if let Some(replaced) = replaced {
        bring_up_to_date(&mut Connection::open(replaced)?)?;
        connection.execute("ATTACH ?1 AS replaced", [replaced.to_string_lossy()])?;
    }
    let transaction = connection.transaction()?;
    let grew = replaced.is_some() && grew_out_of(&transaction)?;
    if grew {
        carry_over(&transaction)?;
    } else {
        begin_anew(&transaction, now)?;
    }
    transaction.commit()?;
    if replaced.is_some() {
        connection.execute_batch("DETACH replaced")?;
    }
    Ok(if grew { Continuation::AsReplaced } else { Continuation::Anew })
}

/// Returns whether the replaced ledger is the one of which the backup was made: jobs, labels and series are only ever
/// added, so that all of the backup's are in it under the same numbers.
fn grew_out_of(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    for part in [
        "SELECT id, gateway, job_id FROM {}.job",
        "SELECT * FROM {}.labels",
        "SELECT seq, labels, kind, start_ms FROM {}.series",
        "SELECT name, value FROM {}.meta WHERE name IN ('gateway', 'created_ms', 'count_from_ms')",
    ] {
        let [ours, theirs] = ["main", "replaced"].map(|of| part.replace("{}", of));
        let sql = format!("SELECT NOT EXISTS ({ours} EXCEPT {theirs})");
        if !transaction.query_row(&sql, [], |row| row.get::<_, bool>(0))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes over what the replaced ledger has exported and told, so that it goes on from there. What is true is the
/// backup's, and grows by what is read again: until it has caught up, nothing exported moves.
fn carry_over(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let jobs: i64 = transaction.query_row("SELECT count(*) FROM main.job", [], |row| row.get(0))?;
    transaction.execute_batch(
        "INSERT INTO main.labels SELECT * FROM replaced.labels WHERE id NOT IN (SELECT id FROM main.labels);
         INSERT INTO main.job SELECT * FROM replaced.job WHERE id NOT IN (SELECT id FROM main.job);
         UPDATE main.job SET label = (SELECT label FROM replaced.job AS theirs WHERE theirs.id = job.id);
         UPDATE main.series SET (exported_total, changed_ms) =
            (SELECT max(exported_total, series.exported_total), theirs.changed_ms
             FROM replaced.series AS theirs WHERE theirs.seq = series.seq);
         INSERT INTO main.series SELECT seq, labels, kind, start_ms, live, changed_ms, 0, exported_total
            FROM replaced.series WHERE seq NOT IN (SELECT seq FROM main.series);
         DELETE FROM main.endpoint;
         INSERT INTO main.endpoint SELECT * FROM replaced.endpoint;
         INSERT INTO main.counter SELECT * FROM replaced.counter
            WHERE name GLOB 'outcome.*' OR name GLOB 'reject.*' OR name GLOB 'gaps.*'
            ON CONFLICT DO UPDATE SET value = max(value, excluded.value);",
    )?;
    // They keep the labels that they were counted under; how their runs went is read again.
    transaction.execute(
        "UPDATE main.job SET last_run_ms = NULL, last_success_ms = NULL, consecutive_errors = 0 WHERE id > ?1",
        [jobs],
    )?;
    carry_buckets(transaction)?;
    carry_events(transaction)
}

fn carry_buckets(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let theirs = super::store::histograms(transaction, "replaced")?;
    for mut series in series(transaction)? {
        let Ok(seq) = i64::try_from(series.seq) else { continue };
        let Some(theirs) = theirs.get(&seq) else { continue };
        let histogram = series.histogram.get_or_insert_default();
        for (ours, theirs) in histogram.exported.iter_mut().zip(theirs.exported) {
            *ours = theirs.max(*ours);
        }
        transaction.execute(
            "INSERT INTO main.histogram VALUES (?1, ?2) ON CONFLICT DO UPDATE SET buckets = ?2",
            params![seq, pack_buckets(histogram)],
        )?;
    }
    Ok(())
}

/// Events that were told are not told again, though their runs are read again.
fn carry_events(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DELETE FROM main.outbox; DELETE FROM main.outbox_run; DELETE FROM main.sink;
         INSERT INTO main.outbox SELECT * FROM replaced.outbox;
         INSERT INTO main.outbox_run SELECT * FROM replaced.outbox_run;
         INSERT INTO main.sink SELECT * FROM replaced.sink;
         DELETE FROM main.relay; DELETE FROM main.relay_message; DELETE FROM main.relay_summary;
         INSERT INTO main.relay SELECT * FROM replaced.relay;
         INSERT INTO main.relay_message SELECT * FROM replaced.relay_message;
         INSERT INTO main.relay_summary SELECT * FROM replaced.relay_summary;
         DELETE FROM main.digest;
         INSERT INTO main.digest SELECT * FROM replaced.digest;
         DELETE FROM main.sqlite_sequence WHERE name IN ('outbox', 'relay_message');
         INSERT INTO main.sqlite_sequence SELECT * FROM replaced.sqlite_sequence
            WHERE name IN ('outbox', 'relay_message');",
    )?;
    let newest: Option<i64> = transaction.query_row(
        "SELECT max(value) FROM replaced.counter WHERE name GLOB 'last_record_ms.*'",
        [],
        |row| row.get(0),
    )?;
    match newest {
        Some(newest) => set_meta(transaction, "told_from_ms", newest.saturating_add(1)),
        None => Ok(()),
    }
}

/// Forgets all that was exported. Runs stay, for reports, and what was written down before now is never exported again.
fn begin_anew(transaction: &Transaction<'_>, now: UnixMs) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DELETE FROM series; DELETE FROM histogram;
         UPDATE endpoint SET registered_seq = 0, introduced_seq = 0, pending_zero_ms = NULL;
         DELETE FROM counter WHERE name GLOB 'outcome.*' OR name GLOB 'reject.*' OR name GLOB 'gaps.*'
            OR name GLOB 'cost.*';
         -- Whether they were sent since is not known; told twice is worse than told late, which people look up.
         DELETE FROM relay_message WHERE dead_ms IS NULL; DELETE FROM relay_summary;",
    )?;
    set_meta(transaction, "created_ms", now.0)?;
    set_meta(transaction, "count_from_ms", now.0)
}

/// Keeps the ledger that is to be replaced beside its place, where it is still. Returns where.
fn set_aside(path: &Path, now: UnixMs) -> io::Result<PathBuf> {
    let aside = beside(path, &format!(".replaced-{}", now.0));
    // Where a file cannot have two names, it is away for a moment.
    fs::hard_link(path, &aside).or_else(|_| fs::rename(path, &aside))?;
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}
