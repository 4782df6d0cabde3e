//! Under which labels a run is counted.
//!
//! Bounded by construction: one-shot jobs share one id, OpenClaw's own jobs another (there is one of each kind per
//! agent, and its name tells which), and beyond the configured number of jobs the rest share a third. Once counted, a job keeps its kind of label.

use super::totals::JobFacts;
use crate::model::{Run, ScheduleKind};

/// Longest name that becomes a label value, in characters.
const MAX_NAME_CHARS: usize = 200;

/// How a job appears in labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum JobLabel {
    /// No run of it was counted yet.
    #[default]
    Undecided = 0,
    /// Under its own id and name.
    Own = 1,
    /// As one of the one-shot jobs.
    OneShot = 2,
    /// As one of the jobs above the limit.
    Other = 3,
    /// As one of the jobs that OpenClaw made for itself.
    System = 4,
}

impl JobLabel {
    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Undecided, Self::Own, Self::OneShot, Self::Other, Self::System].get(usize::from(code)).copied()
    }
}

/// A set of labels: the attributes that all series of a run share. Empty: not known, and left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// The gateway; empty: the one that the ledger belongs to.
    pub gateway: String,
    /// Job id, `one-shot`, `system` or `other`.
    pub job_id: String,
    /// Job name at the time of counting.
    pub job_name: String,
    /// Agent id.
    pub agent: String,
    /// Provider id.
    pub provider: String,
    /// Model id.
    pub model: String,
}

impl Labels {
    /// Returns the labels of a run. What the record leaves open stays empty, but for the agent, which the job
    /// settles.
    pub fn of(gateway: &str, run: &Run<&str>, label: JobLabel, name: &str, agent: Option<&str>) -> Self {
        let [job_id, job_name, agent, provider, model] = parts(run, label, name, agent).map(str::to_owned);
        Self { gateway: gateway.to_owned(), job_id, job_name, agent, provider, model }
    }

    /// Returns the labels of a job, whatever model its runs use.
    pub fn of_job(facts: &JobFacts) -> Self {
        let (job_id, job_name) = job_parts(facts.label, &facts.job_id, &facts.name);
        let agent = bounded(facts.agent.as_deref().unwrap_or_default());
        let [gateway, job_id, job_name, agent] = [&facts.gateway, job_id, job_name, agent].map(str::to_owned);
        Self { gateway, job_id, job_name, agent, ..Self::default() }
    }

    /// Returns whether these, of the same gateway, are the labels that [`Labels::of`] would make.
    pub fn are_of(&self, run: &Run<&str>, label: JobLabel, name: &str, agent: Option<&str>) -> bool {
        let held = [&self.job_id, &self.job_name, &self.agent, &self.provider, &self.model];
        held.iter().zip(parts(run, label, name, agent)).all(|(held, part)| same(held, part))
    }
}

/// Returns whether two texts are the same, of which either is often empty.
///
/// An empty `String` points nowhere, and where the processor has AVX-512 glibc compares no bytes by a load that is masked as a
/// whole: the fault that this suppresses takes 150 ns (measured on an EPYC), more than all else about a run.
pub fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

fn parts<'a>(run: &Run<&'a str>, label: JobLabel, name: &'a str, agent: Option<&'a str>) -> [&'a str; 5] {
    let (job_id, job_name) = job_parts(label, run.key.job_id, name);
    let text = |value: Option<&'a str>| bounded(value.unwrap_or_default());
    let agent = text(run.agent.or(agent));
    [job_id, job_name, agent, text(run.provider), text(run.model)]
}

fn job_parts<'a>(label: JobLabel, job_id: &'a str, name: &'a str) -> (&'a str, &'a str) {
    match label {
        JobLabel::Own | JobLabel::Undecided => (job_id, bounded(name)),
        JobLabel::OneShot => ("one-shot", ""),
        JobLabel::Other => ("other", ""),
        JobLabel::System => ("system", bounded(name)),
    }
}

/// Cuts a text to what a label may hold.
pub fn bounded(text: &str) -> &str {
    // Most texts have fewer bytes than a label may have characters.
    let end = if text.len() <= MAX_NAME_CHARS { None } else { text.char_indices().nth(MAX_NAME_CHARS) };
    end.map_or(text, |(at, _)| &text[..at])
}

/// Decides how a job appears, at its first counted run.
///
/// A job that the scheduler no longer knows and whose record names no run to come was a one-shot job: OpenClaw
/// deletes those after their run, and every other record says when the next run is due. Where a one-shot job
/// is deleted at once, its record still names the time at which it was due itself (recorded with 2026.2.17 and
/// 2026.5.28).
pub fn decide(
    schedule: ScheduleKind,
    defined: bool,
    run: &Run<&str>,
    own_jobs: usize,
    max_jobs: usize,
) -> JobLabel {
    let over = run.next_run_at.is_none_or(|next| next <= run.key.at.time());
    let forgotten_one_shot = schedule == ScheduleKind::Unknown && !defined && over;
    by_schedule(if forgotten_one_shot { ScheduleKind::OneShot } else { schedule }, own_jobs, max_jobs)
}

/// Decides how a job with this schedule appears.
pub fn by_schedule(schedule: ScheduleKind, own_jobs: usize, max_jobs: usize) -> JobLabel {
    match schedule {
        ScheduleKind::OneShot => JobLabel::OneShot,
        _ if own_jobs < max_jobs => JobLabel::Own,
        _ => JobLabel::Other,
    }
}
