//! Sums of a scan as facts of the report.

use std::collections::BTreeMap;

use super::report::{JobSum, RejectCount, RunSums};
use super::scan::{JobSums, Sums};
use crate::model::TokenKind;

/// Jobs that are listed one by one.
const TOP_JOBS: usize = 10;

/// Returns sums as facts. `name` gives a job's name.
pub fn sums(sums: &Sums, name: &dyn Fn(&str) -> Option<String>) -> RunSums {
    RunSums {
        jobs: sums.jobs.len() as u64,
        runs: sums.runs,
        in_several_stores: sums.shared,
        duplicates: sums.duplicates,
        tokens: by_kind(sums.tokens),
        runs_by_status: sums.statuses.iter().map(|(at, n)| (at.as_str().to_owned(), *n)).collect(),
        runs_by_provenance: sums.provenance.iter().map(|(at, n)| (at.as_str().to_owned(), *n)).collect(),
        rejects: sums
            .rejects
            .iter()
            .map(|(reason, (count, sample))| RejectCount {
                reason: reason.as_str().to_owned(),
                count: *count,
                sample: sample.clone(),
            })
            .collect(),
        newest_record_ms: sums.newest.map(|at| at.0),
        top_jobs: top_jobs(&sums.jobs, name),
    }
}

fn top_jobs(jobs: &BTreeMap<String, JobSums>, name: &dyn Fn(&str) -> Option<String>) -> Vec<JobSum> {
    let mut sorted: Vec<(&String, &JobSums)> = jobs.iter().collect();
    sorted.sort_by(|(a_id, a), (b_id, b)| (b.tokens, b.runs, a_id).cmp(&(a.tokens, a.runs, b_id)));
    let sum = |(id, job): (&String, &JobSums)| JobSum {
        id: id.clone(),
        name: name(id).or_else(|| job.name.clone()),
        runs: job.runs,
        tokens: job.tokens,
    };
    sorted.into_iter().take(TOP_JOBS).map(sum).collect()
}

/// Returns counts under the names of their kinds.
pub fn by_kind(tokens: [u64; 4]) -> BTreeMap<String, u64> {
    TokenKind::ALL.iter().zip(tokens).map(|(kind, n)| (kind.as_str().to_owned(), n)).collect()
}
