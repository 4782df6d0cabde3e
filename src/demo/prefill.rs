//! History from before the start, so that a log is at its size limit within seconds.

use super::jobs::Job;
use super::provider::Profile;
use super::record::Times;
use super::{Error, Gateway};
use crate::model::UnixMs;

/// The simulated time between two runs of the past, in ms.
const INTERVAL_MS: i64 = 60_000;

impl Gateway {
    /// Writes `n` records of the job's past, all successful, in one append or transaction and without a prune. They are
    /// part of the bill. Meant for before the first step; a further call writes still older runs.
    ///
    /// # Errors
    /// The file system's, with the path; [`Error::UnknownJob`].
    pub fn prefill(&mut self, job_id: &str, n: usize) -> Result<(), Error> {
        self.write_past(job_id, n, u64::MAX)
    }

    /// Writes at most `n` records of the past, and none that would bring fewer than three of its size below
    /// `max_bytes`.
    fn write_past(&mut self, job_id: &str, n: usize, max_bytes: u64) -> Result<(), Error> {
        let budget = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let index = self.index_of(job_id)?;
        let state = self.jobs[index].state.clone();
        let mut at = self.jobs[index].first_run_at - INTERVAL_MS * i64::try_from(n).unwrap_or(0);
        self.jobs[index].first_run_at = at;
        let lines = self.database.is_none();
        let mut bytes = Vec::new();
        let mut composed = Vec::with_capacity(n);
        for _ in 0..n {
            let running = self.start_run(index, at, 0);
            let ts = at + running.outcome.duration_ms + 3;
            at += INTERVAL_MS;
            let one =
                self.compose(index, &running, Times { ts, run_at: running.run_at, next_run_at: Some(at) })?;
            bytes.extend_from_slice(&one.line);
            bytes.push(b'\n');
            let line = one.line.len() + 1;
            composed.push(one);
            if lines && bytes.len().saturating_add(4 * line) > budget {
                break;
            }
        }
        // The past does not move the schedule.
        self.jobs[index].state = state;
        match &mut self.database {
            Some(database) => {
                let records: Vec<_> = composed.iter().map(|one| &one.record).collect();
                database.write_past(&self.jobs[index], &records)?;
            }
            None => drop(self.writer.append_raw(job_id, &bytes)?),
        }
        for one in &composed {
            self.book(one);
        }
        Ok(())
    }

    /// Fills two logs so that both prune behaviours show within seconds: the long-lined one, which is then
    /// renamed over at every append (and loses lines from the eleventh on), and a short-lined one, which is
    /// about to lose half its lines. A version with a database has no lines: there the long-texted and a
    /// short-texted job come near the limit of rows. Whoever counts must have read them before that.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn prefill_for_demo(&mut self) -> Result<(), Error> {
        let first =
            |jobs: &[Job], wanted: fn(&Job) -> bool| jobs.iter().find(|j| wanted(j)).map(|j| j.id.clone());
        if let Some(id) = first(&self.jobs, |j| matches!(j.profile, Profile::Long(n) if n > 1_000)) {
            self.prefill(&id, self.options.keep_lines.saturating_sub(10))?;
        }
        let plain = first(&self.jobs, |j| j.profile == Profile::Plain);
        if let (Some(id), true) = (&plain, self.database.is_some()) {
            return self.prefill(id, self.options.keep_lines.saturating_sub(10));
        }
        if let Some(id) = plain {
            let index = self.index_of(&id)?;
            let sample = self.jobs[index].clone();
            let line = self.compose_now(&id, UnixMs(sample.created_at))?.line.len();
            self.jobs[index] = sample;
            // Some lines are a little shorter than the sample: their numbers have fewer digits.
            let lines = self.options.max_bytes / u64::try_from(line.saturating_sub(10).max(1)).unwrap_or(1);
            self.write_past(&id, usize::try_from(lines).unwrap_or(0), self.options.max_bytes)?;
        }
        Ok(())
    }
}
