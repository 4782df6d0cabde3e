//! Whether the runs still come from somewhere: a gateway that went quiet must never look like one that is idle.

use std::io;

use super::Collector;
use crate::ledger::{JobFacts, JobLabel, Ledger, Totals};
use crate::model::{Due, UnixMs};
use crate::openclaw::{cron_run_logs, gateway_log, run_log, task_runs};

/// All kinds of stores, oldest first: the order of upgrades.
pub const SOURCES: [&str; 3] = [run_log::SOURCE, cron_run_logs::SOURCE, task_runs::SOURCE];

/// What the attribute `openclaw.source` says of notices.
pub const WEBHOOK: &str = "webhook";

/// How the sources fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceHealth {
    /// The kinds of stores that are there, and those that should be.
    pub sources: Vec<(&'static str, bool)>,
    /// Why runs may be missing.
    pub problem: Option<String>,
    /// Jobs whose next run is overdue.
    pub overdue_jobs: u64,
    /// What else somebody should know.
    pub note: Option<String>,
}

impl SourceHealth {
    /// Returns the kinds of stores that are there, as one text.
    #[must_use]
    pub fn names(&self) -> String {
        let up = self.sources.iter().filter(|(_, up)| *up).map(|(name, _)| *name);
        up.collect::<Vec<_>>().join(", ")
    }
}

impl Collector {
    /// Returns how the sources fare, as of the last sweep.
    #[must_use]
    pub fn health(&self, ledger: &Ledger, now: UnixMs) -> SourceHealth {
        if self.nowhere {
            let note = self.problem().map(ToOwned::to_owned);
            return SourceHealth { sources: vec![(WEBHOOK, true)], note, ..SourceHealth::default() };
        }
        let totals = ledger.totals();
        let totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (overdue_jobs, newest_due) = overdue(&totals, now);
        let silent = newest_due.filter(|due| ledger.newest_record().is_none_or(|newest| newest < *due));
        let silence = silent.map(|due| {
            format!(
                "the gateway has recorded no run since {}, though {overdue_jobs} of its jobs were due; see whether it \
                 is running and its scheduler is on",
                rfc3339(due)
            )
        });
        let vanished = self.vanished(&totals);
        let mut sources: Vec<_> = self.present().map(|source| (source, true)).collect();
        sources.extend(vanished.iter().map(|source| (*source, false)));
        if self.database.problem().is_some() {
            // Which of them it holds is not to be seen; the newest kind stands for all if none was ever read.
            let read = SOURCES[1..].iter().filter(|source| had_runs(&totals, source));
            let refused: Vec<_> = read.chain([&SOURCES[2]]).take(1).map(|source| (*source, false)).collect();
            sources.extend(refused.into_iter().filter(|(source, _)| !vanished.contains(source)));
        }
        let problem = self.obstacle().or_else(|| vanished.first().map(|source| lost(source)));
        if sources.is_empty() {
            sources.extend(SOURCES.map(|source| (source, false)));
        }
        // No runs come from there, so nothing is missing without it.
        sources.extend(self.gateway_log.is_up(ledger).map(|up| (gateway_log::SOURCE, up)));
        sources.extend(self.webhook.then_some((WEBHOOK, true)));
        let note = self.problem().map(ToOwned::to_owned).or(silence);
        SourceHealth { sources, problem, overdue_jobs, note }
    }

    /// Returns the kinds of stores that are there.
    fn present(&self) -> impl Iterator<Item = &'static str> {
        let logs = self.has_run_logs();
        SOURCES.into_iter().filter(move |source| match *source {
            run_log::SOURCE => logs,
            other => self.database.stores().contains(other),
        })
    }

    fn has_run_logs(&self) -> bool {
        // An upgrade leaves the logs behind, renamed: they are read, and no run will ever be added to them.
        let unused = || !self.run_logs.is_migrated() && !self.layout.database.exists();
        std::fs::read_dir(&self.layout.runs_dir).is_ok() && (self.run_logs.is_live() || unused())
    }

    /// Returns the kinds of stores that held runs, are gone, and have no other in their place.
    fn vanished(&self, totals: &Totals) -> Vec<&'static str> {
        if self.present().next().is_some() {
            return Vec::new();
        }
        SOURCES.into_iter().filter(|source| had_runs(totals, source)).collect()
    }

    /// Returns what stands in the way of reading any runs.
    fn obstacle(&self) -> Option<String> {
        if let Some(problem) = self.database.problem() {
            return Some(problem.to_owned());
        }
        if self.present().next().is_some() {
            return None;
        }
        let state = &self.layout.state_dir;
        if !state.exists() {
            return Some(format!(
                "the state directory {} does not exist yet; waiting for it",
                state.display()
            ));
        }
        let runs = &self.layout.runs_dir;
        match std::fs::read_dir(runs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some(format!(
                "cannot list {}: {error}; give this user read and search access to it",
                runs.display()
            )),
            Ok(_) if self.run_logs.is_migrated() => Some(format!(
                "the run logs in {} were taken over by OpenClaw 2026.6.1 or later, and its database {} is not there; \
                 mount the whole state directory",
                runs.display(),
                self.layout.database.display()
            )),
            _ => Some(format!(
                "{} holds no store of runs yet, neither {} nor {}; OpenClaw makes one at the first run",
                state.display(),
                runs.display(),
                self.layout.database.display()
            )),
        }
    }
}

fn had_runs(totals: &Totals, source: &str) -> bool {
    totals.counters.sources.get(source).is_some_and(|facts| facts.last_record.is_some())
}

fn lost(source: &str) -> String {
    format!(
        "runs came from {source}, which is gone, and nothing took its place; if the state directory moved, give the \
         new one with --state-dir"
    )
}

/// Returns how many jobs should have run by now and did not, and when the last of them was due.
fn overdue(totals: &Totals, now: UnixMs) -> (u64, Option<UnixMs>) {
    let mut count = 0;
    let mut newest = None;
    for job in &totals.jobs {
        if !job.defined || job.label == JobLabel::System {
            continue;
        }
        let JobFacts { next_run, last_run, enabled, running, .. } = *job;
        if let Some(due) = (Due { next_run, last_run, enabled, running }).overdue_since(now) {
            count += 1;
            newest = newest.max(Some(due));
        }
    }
    (count, newest)
}

fn rfc3339(at: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms", at.0), |at| format!("{at:.0}"))
}
