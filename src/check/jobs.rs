//! The scheduler's list of jobs, in whichever place this gateway keeps it, and which of its jobs are late.

use std::collections::BTreeMap;

use super::page::{many, utc};
use super::report::{Finding, JobList, Section};
use super::scan::JobSums;
use crate::model::{Due, JobDefinition, ScheduleKind, UnixMs};

const HERE: Section = Section::StateDirectory;
/// Late jobs that are named.
const NAMED: usize = 3;
/// Characters of a name that are shown in a sentence.
const NAME_CHARS: usize = 30;

/// Sums up a list of jobs. `ran` are the jobs with runs.
pub fn facts(place: &str, jobs: &[JobDefinition], ran: &BTreeMap<String, JobSums>, now: UnixMs) -> JobList {
    let count = |is: &dyn Fn(&JobDefinition) -> bool| jobs.iter().filter(|job| is(job)).count() as u64;
    let defined: std::collections::HashSet<&str> = jobs.iter().map(|job| job.job_id.as_str()).collect();
    JobList {
        place: place.to_owned(),
        defined: jobs.len() as u64,
        system: count(&|job| job.system),
        unnamed: count(&|job| job.name.trim().is_empty()),
        disabled: count(&|job| !job.enabled),
        one_shot: count(&|job| job.schedule == ScheduleKind::OneShot),
        overdue: late(jobs, ran, now).count() as u64,
        gone: ran.keys().filter(|id| !defined.contains(id.as_str())).count() as u64,
    }
}

/// Returns the users' jobs that are overdue, and since when.
fn late<'a>(
    jobs: &'a [JobDefinition],
    ran: &BTreeMap<String, JobSums>,
    now: UnixMs,
) -> impl Iterator<Item = (&'a JobDefinition, UnixMs)> {
    jobs.iter().filter(|job| !job.system).filter_map(move |job| {
        let due = Due {
            next_run: job.next_run_at,
            last_run: ran.get(&job.job_id).and_then(|sums| sums.last_run),
            enabled: job.enabled,
            running: job.running,
        };
        due.overdue_since(now).map(|since| (job, since))
    })
}

/// Judges whether the scheduler does its work. `newest` is the newest record of all stores.
pub fn lateness(
    jobs: &[JobDefinition],
    ran: &BTreeMap<String, JobSums>,
    newest: Option<UnixMs>,
    now: UnixMs,
) -> Option<Finding> {
    let late: Vec<_> = late(jobs, ran, now).collect();
    let due = late.iter().map(|(_, since)| *since).max()?;
    let count = many(late.len() as u64, "job");
    if newest.is_none_or(|newest| newest < due) {
        let verb = if late.len() == 1 { "was" } else { "were" };
        let text = format!(
            "{count} {verb} due, the last at {}, and the gateway has recorded no run since then",
            utc(due.0)
        );
        let remedy = "see whether the gateway is running and its scheduler is on; of a copy of a state \
                      directory this says only how old it is";
        return Some(Finding::note(HERE, text).with(remedy));
    }
    let mut names: Vec<String> = late
        .iter()
        .take(NAMED)
        .map(|(job, _)| {
            let name = if job.name.trim().is_empty() { &job.job_id } else { &job.name };
            name.chars().take(NAME_CHARS).collect()
        })
        .collect();
    if late.len() > NAMED {
        names.push(format!("{} more", late.len() - NAMED));
    }
    let text = format!("{count} overdue by more than the time between two runs: {}", names.join(", "));
    Some(Finding::note(HERE, text).with("see in OpenClaw why they do not run; others of this gateway do"))
}

/// Says what is missing for names.
pub fn naming(list: Option<&JobList>, has_runs: bool) -> Option<Finding> {
    match list {
        Some(list) if list.unnamed > 0 => {
            let text = format!("{} without a name", many(list.unnamed, "job"));
            let remedy = "name them in OpenClaw; until then their series have only openclaw_job_id";
            Some(Finding::note(HERE, text).with(remedy))
        }
        None if has_runs => {
            let text = "there is no list of jobs (neither cron/jobs.json nor the table cron_jobs), so jobs have \
                        no names but those that records tell";
            Some(Finding::note(HERE, text))
        }
        _ => None,
    }
}
