//! What runs used, out of their rows.

use rusqlite::{Connection, Row, Rows, Statement, params};

use super::rows::{Calls, index};
use super::store::{count, unpack_at, unpack_facts, usage};
use super::usage::{UsedPart, UsedRun};
use crate::model::{Billing, Cost, NanoUsd, Usage, UsageProvenance};

/// Reads the rows of runs.
pub(super) struct UsedRows<'a> {
    own: Statement<'a>,
    further: Statement<'a>,
}

impl<'a> UsedRows<'a> {
    pub fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        let own = connection.prepare(
            "SELECT at, input, output, cache_read, cache_write, labels, cost, cost_provenance, duration_ms, facts, recorded
             FROM run WHERE job = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
        )?;
        let further = connection.prepare(
            "SELECT at, input, output, cache_read, cache_write, labels, cost, cost_provenance
             FROM run_usage WHERE job = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
        )?;
        Ok(Self { own, further })
    }

    /// Hands out the runs of a job, given by its index and the id of its row, from the first packed time to before the
    /// second, in the order of time. `parts` is room that may be used.
    pub fn for_each(
        &mut self,
        (job, id): (usize, i64),
        (from, until): (i64, i64),
        parts: &mut Vec<UsedPart>,
        mut on_run: impl FnMut(&UsedRun<'_>),
    ) -> rusqlite::Result<()> {
        let range = params![id, from, until];
        let mut rows = self.own.query(range)?;
        let mut further = Further::new(self.further.query(range)?)?;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            let (status, reason, _, provenance) = unpack_facts(row.get(9)?);
            parts.clear();
            parts.push(part(row)?);
            further.of((at, provenance), parts)?;
            let duration_ms = row.get::<_, Option<i64>>(8)?.map(count);
            let at = unpack_at(at);
            let recorded_at = at.time().plus(row.get(10)?);
            on_run(&UsedRun { job, at, recorded_at, duration_ms, status, reason, provenance, parts });
        }
        Ok(())
    }
}

/// What runs used under further labels, in the order of time.
struct Further<'r> {
    rows: Rows<'r>,
    next: Option<(i64, UsedPart)>,
}

impl<'r> Further<'r> {
    fn new(mut rows: Rows<'r>) -> rusqlite::Result<Self> {
        let next = next_part(&mut rows)?;
        Ok(Self { rows, next })
    }

    /// Adds those of a run, given by its packed time. Runs are asked for in the order of time.
    fn of(
        &mut self,
        (at, provenance): (i64, UsageProvenance),
        parts: &mut Vec<UsedPart>,
    ) -> rusqlite::Result<()> {
        while let Some((of, part)) = self.next.filter(|(of, _)| *of <= at) {
            // Until a transcript covers the record, its calls are not counted beside it.
            if of == at && provenance == UsageProvenance::Transcript {
                parts.push(part);
            }
            self.next = next_part(&mut self.rows)?;
        }
        Ok(())
    }
}

fn next_part(rows: &mut Rows<'_>) -> rusqlite::Result<Option<(i64, UsedPart)>> {
    match rows.next()? {
        Some(row) => Ok(Some((row.get(0)?, part(row)?))),
        None => Ok(None),
    }
}

/// Reads such a part.
pub(super) fn part(row: &Row<'_>) -> rusqlite::Result<UsedPart> {
    let usd = row.get::<_, Option<i64>>(6)?.unwrap_or(0);
    let known = row.get::<_, Option<i64>>(7)?.map(|packed| Calls::unpacked(0, usd, packed));
    Ok(used(index(row.get(5)?), usage(row, 1)?, known))
}

/// Returns what a run used under one set of labels.
pub(super) fn used(labels: usize, usage: Usage, known: Option<Calls>) -> UsedPart {
    UsedPart {
        labels,
        usage,
        cost: known.map(|known| Cost { usd: NanoUsd(known.cost), provenance: known.provenance }),
        billing: known.map_or_else(Billing::default, |known| known.billing),
    }
}
