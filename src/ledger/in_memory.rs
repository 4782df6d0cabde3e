//! What runs used that are in memory, to one who adds it up or to two.
//!
//! Invariant: each run is handed out once, each job's to one of the two and in the order of time; which jobs those are depends on
//! who is faster.

use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::params;

use super::memory::Runs;
use super::rows::RunRow;
use super::store::{pack_at, unpack_at};
use super::usage::{UsageReader, UsedPart, UsedRun, Window};
use super::used::{part, used};
use crate::model::{CostProvenance, RunAt, UsageProvenance};

/// Fewer runs are added up before another thread has begun.
const MANY: usize = 10_000;

/// Runs in memory, with what they used under further labels.
struct InMemory<'a> {
    runs: &'a Runs,
    /// By the rows of jobs and packed times.
    further: Vec<(i64, i64, UsedPart)>,
    /// Packed times: the first, and the first behind.
    times: (i64, i64),
    /// Jobs by their indexes and the ids of their rows, and which of them comes next.
    jobs: Vec<(usize, i64)>,
    next: AtomicUsize,
}

impl UsageReader<'_> {
    /// Hands out the runs in memory whose job is wanted.
    pub(super) fn for_each_in_memory(
        &self,
        runs: &Runs,
        window: Window,
        wanted: &dyn Fn(usize) -> bool,
        on_run: &mut dyn FnMut(&UsedRun<'_>),
    ) -> rusqlite::Result<()> {
        self.in_memory(runs, window, wanted)?.take(on_run);
        Ok(())
    }

    /// The same by two threads if there are many: one of its own calls `beside`, and this one `here`.
    pub(super) fn for_each_in_memory_beside(
        &self,
        runs: &Runs,
        window: Window,
        wanted: &dyn Fn(usize) -> bool,
        mut beside: impl FnMut(&UsedRun<'_>) + Send,
        here: Option<impl FnMut(&UsedRun<'_>)>,
    ) -> rusqlite::Result<()> {
        let shared = self.in_memory(runs, window, wanted)?;
        match here {
            Some(mut here) if runs.len() >= MANY => std::thread::scope(|threads| {
                threads.spawn(|| shared.take(&mut beside));
                shared.take(&mut here);
            }),
            _ => shared.take(&mut beside),
        }
        Ok(())
    }

    fn in_memory<'a>(
        &self,
        runs: &'a Runs,
        window: Window,
        wanted: &dyn Fn(usize) -> bool,
    ) -> rusqlite::Result<InMemory<'a>> {
        let [since, until] = [window.since, window.until].map(|at| pack_at(RunAt::Started(at)));
        let jobs = self.wanted_jobs(window, wanted).map(|(job, known)| (job, known.row)).collect();
        let further = self.further(since, until)?;
        Ok(InMemory { runs, further, times: (since, until), jobs, next: AtomicUsize::new(0) })
    }

    /// Returns what runs used under further labels, in the order of jobs and times.
    fn further(&self, since: i64, until: i64) -> rusqlite::Result<Vec<(i64, i64, UsedPart)>> {
        let mut statement = self.transaction.prepare(
            "SELECT at, input, output, cache_read, cache_write, labels, cost, cost_provenance, job
             FROM run_usage WHERE at >= ?1 AND at < ?2 ORDER BY job, at",
        )?;
        let rows =
            statement.query_map(params![since, until], |row| Ok((row.get(8)?, row.get(0)?, part(row)?)))?;
        rows.collect()
    }
}

impl InMemory<'_> {
    /// Hands out the runs of jobs that nobody else takes.
    fn take(&self, on_run: &mut dyn FnMut(&UsedRun<'_>)) {
        let mut parts = Vec::new();
        while let Some(job) = self.jobs.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            self.for_each(*job, &mut parts, on_run);
        }
    }

    /// Hands out the runs of a job, given by its index and the id of its row. `parts` is room that may be used.
    fn for_each(
        &self,
        (job, id): (usize, i64),
        parts: &mut Vec<UsedPart>,
        on_run: &mut dyn FnMut(&UsedRun<'_>),
    ) {
        let of_job = self.further.partition_point(|(of, ..)| *of < id);
        let mut further = self.further[of_job..].iter().take_while(|(of, ..)| *of == id).peekable();
        for (at, row) in self.runs.between(job, self.times.0, self.times.1) {
            let RunRow { duration_ms, status, reason, provenance, .. } = row;
            let known = (row.calls.provenance != CostProvenance::None).then_some(row.calls);
            parts.clear();
            parts.push(used(row.labels, row.usage, known));
            while let Some((_, of, part)) = further.next_if(|(_, of, _)| *of <= at) {
                // Until a transcript covers the record, its calls are not counted beside it.
                if *of == at && provenance == UsageProvenance::Transcript {
                    parts.push(*part);
                }
            }
            let at = unpack_at(at);
            let recorded_at = at.time().plus(row.recorded);
            on_run(&UsedRun { job, at, recorded_at, duration_ms, status, reason, provenance, parts });
        }
    }
}
