//! What happens when: the simulation's next event, and the batches of runs that are under way.

use super::jobs::Job;
use super::provider::Outcome;
use super::sqlite::TaskId;

/// OpenClaw's timer takes everything that is due at once; the next look comes no sooner than this, in ms.
const TICK_MS: i64 = 250;

/// A run under way.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) job_id: String,
    pub(super) run_at: i64,
    pub(super) outcome: Outcome,
    /// Its row in the ledger of tasks, in the versions that have one.
    pub(super) task: Option<TaskId>,
}

impl Running {
    /// Returns when the run itself ends, which can be before it is recorded.
    pub(super) const fn ends_at(&self) -> i64 {
        self.run_at + self.outcome.duration_ms
    }
}

/// Runs that were due together and are recorded together.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) ends_at: i64,
    pub(super) runs: Vec<Running>,
}

/// The kinds of events, in the order in which those of the same millisecond happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The batch at this index ends.
    BatchEnds(usize),
    /// Jobs are added, removed or renamed.
    Churn,
    /// The scheduler starts what is due.
    Tick,
}

/// The simulation's agenda.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) batches: Vec<Batch>,
    pub(super) churn_at: Option<i64>,
    last_tick: i64,
}

impl Plan {
    pub(super) const fn new(start: i64, churn_at: Option<i64>) -> Self {
        Self { batches: Vec::new(), churn_at, last_tick: start }
    }

    /// Returns the next event; `None` if nothing will ever happen.
    pub(super) fn next(&self, jobs: &[Job]) -> Option<(i64, Event)> {
        let ends = self.batches.iter().enumerate().map(|(i, b)| (b.ends_at, Event::BatchEnds(i))).min();
        let due = jobs.iter().filter_map(Job::due_at).min();
        let tick = due.map(|at| (at.max(self.last_tick + TICK_MS), Event::Tick));
        let churn = self.churn_at.map(|at| (at, Event::Churn));
        [ends, churn, tick].into_iter().flatten().min()
    }

    /// Notes a tick.
    pub(super) const fn ticked(&mut self, at: i64) {
        self.last_tick = at;
    }
}
