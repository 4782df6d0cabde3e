//! Retention: folds old runs into daily totals, so that no total ever changes.

use rusqlite::params;

use super::store::{pack_at, set_meta};
use super::{Ledger, LedgerError};
use crate::model::{RunAt, UnixMs};

impl Ledger {
    /// Folds all runs that started before the UTC day of `before` into daily totals. A record of such a run that
    /// turns up later is `expired`: it cannot be told from what was folded. Returns the number of runs folded.
    ///
    /// # Errors
    /// What SQLite says; nothing was folded then.
    pub fn fold(&mut self, before: UnixMs) -> Result<u64, LedgerError> {
        let before = UnixMs(super::utc_day(before) * 86_400_000);
        if self.book.folded_before.is_some_and(|folded| folded >= before) {
            return Ok(0);
        }
        let folded = self.fold_runs(before).map_err(|error| self.failed(error))?;
        self.book.folded_before = Some(before);
        Ok(folded)
    }

    fn fold_runs(&mut self, before: UnixMs) -> rusqlite::Result<u64> {
        let limit = pack_at(RunAt::Started(before));
        let jobs = super::store::id(self.book.jobs.len());
        let transaction = self.connection.transaction()?;
        let mut folded = 0;
        // Job by job, since runs are stored in the order of jobs.
        for job in 1..jobs {
            transaction
                .prepare_cached(
                    "INSERT INTO daily SELECT (at >> 1) / 86400000, labels, facts, count(*),
                        coalesce(sum(duration_ms), 0), coalesce(sum(input), 0), coalesce(sum(output), 0),
                        coalesce(sum(cache_read), 0), coalesce(sum(cache_write), 0)
                     FROM run WHERE job = ?1 AND at < ?2 GROUP BY 1, 2, 3
                     ON CONFLICT DO UPDATE SET runs = runs + excluded.runs,
                        duration_ms = duration_ms + excluded.duration_ms, input = input + excluded.input,
                        output = output + excluded.output, cache_read = cache_read + excluded.cache_read,
                        cache_write = cache_write + excluded.cache_write",
                )?
                .execute(params![job, limit])?;
            folded += transaction
                .prepare_cached("DELETE FROM run WHERE job = ?1 AND at < ?2")?
                .execute(params![job, limit])?;
        }
        set_meta(&transaction, "folded_before_ms", before.0)?;
        transaction.commit()?;
        Ok(folded as u64)
    }
}
