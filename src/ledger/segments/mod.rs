//! Segments: compact copies of consecutive runs of a job, which are read some twenty times as fast as the rows.
//!
//! A segment stands for all runs of its job from `first` to `last`, with all that [`UsedRun`](super::UsedRun) tells of
//! them. Invariants: rows are the truth, and whatever changes one of a segment's runs, or adds one, takes the segment
//! away in the same transaction; the segments of a job do not overlap. Where there is none, or a damaged one, rows are
//! read. Deliberately absent: what only the writer asks for, such as positions of calls.

mod build;
mod format;

use rusqlite::{Connection, params};

pub(super) use format::{Key, Segment};

use super::book::Book;
use super::store::{id, pack_at};
use crate::model::RunAt;

/// Takes away the segment that a run lies in, which is about to change or was added.
pub(super) fn uncover(connection: &Connection, book: &Book, job: usize, at: RunAt) -> rusqlite::Result<()> {
    let at = pack_at(at);
    // Mostly it is newer than all that is covered, or nothing is.
    if book.jobs.get(job).and_then(|job| job.covered).is_none_or(|last| last < at) {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM segment WHERE job = ?1 AND first <= ?2 AND last >= ?2")?
        .execute(params![id(job), at])?;
    Ok(())
}

/// Notes up to where the runs of each job are covered.
pub(super) fn load(connection: &Connection, book: &mut Book) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT job, max(last) FROM segment GROUP BY job")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let job = super::rows::index(row.get(0)?);
        if let Some(job) = book.jobs.get_mut(job) {
            job.covered = row.get(1)?;
        }
    }
    Ok(())
}
