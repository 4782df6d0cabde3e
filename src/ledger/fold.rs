//! Retention: folds old runs into daily totals, so that no total ever changes.

use rusqlite::params;

use super::store::{pack_at, set_meta};
use super::{Ledger, LedgerError};
use crate::model::{RunAt, UnixMs, UsageProvenance};

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
                    "INSERT INTO daily SELECT (at >> 1) / 86400000, labels, facts, sum(one),
                        coalesce(sum(duration_ms), 0), coalesce(sum(input), 0), coalesce(sum(output), 0),
                        coalesce(sum(cache_read), 0), coalesce(sum(cache_write), 0), coalesce(sum(cost), 0)
                     FROM (SELECT at, labels, facts, 1 AS one, duration_ms, input, output, cache_read, cache_write, cost
                           FROM run WHERE job = ?1 AND at < ?2
                           UNION ALL
                           SELECT at, run_usage.labels, facts, 0, 0, run_usage.input, run_usage.output,
                               run_usage.cache_read, run_usage.cache_write, run_usage.cost
                           FROM run JOIN run_usage USING (job, at)
                           WHERE job = ?1 AND at < ?2 AND facts >> 8 & 7 = ?3)
                     GROUP BY 1, 2, 3
                     ON CONFLICT DO UPDATE SET runs = runs + excluded.runs,
                        duration_ms = duration_ms + excluded.duration_ms, input = input + excluded.input,
                        output = output + excluded.output, cache_read = cache_read + excluded.cache_read,
                        cache_write = cache_write + excluded.cache_write, cost = cost + excluded.cost",
                )?
                .execute(params![job, limit, UsageProvenance::Transcript as i64])?;
            transaction
                .prepare_cached("DELETE FROM segment WHERE job = ?1 AND first < ?2")?
                .execute(params![job, limit])?;
            for table in ["call", "unpriced_call", "run_usage"] {
                let sql = format!("DELETE FROM {table} WHERE job = ?1 AND at < ?2");
                transaction.prepare_cached(&sql)?.execute(params![job, limit])?;
            }
            folded += transaction
                .prepare_cached("DELETE FROM run WHERE job = ?1 AND at < ?2")?
                .execute(params![job, limit])?;
        }
        set_meta(&transaction, "folded_before_ms", before.0)?;
        transaction.commit()?;
        Ok(folded as u64)
    }
}
