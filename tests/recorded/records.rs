//! What the provider billed for each run, and how much of it the run's record can show.

use std::collections::{BTreeMap, BTreeSet};

use openclaw_usage::ledger::{Outcome, SeriesKind, Totals};
use openclaw_usage::model::TokenKind;

use crate::common::fixtures::Fixture;

/// Runs, and tokens by kind in the order of [`TokenKind::ALL`].
pub type Shown = [u64; 5];

/// One run of the truth.
pub struct BilledRun {
    pub job: String,
    pub run_at: u64,
    /// The label of its job.
    pub label: String,
    /// Of a directory that went through upgrades: the version that made the run.
    pub stage: String,
    pub tokens: [u64; 4],
}

/// What a record tells of cached tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Nothing: before 2026.6.6, and what a later version imported.
    Untold,
    /// Both kinds together, by the total: 2026.6.6 to 7.x.
    Together,
    /// Each kind: from 2026.8.1 on.
    Each,
}

/// Every run that the truth names.
pub fn billed(fixture: &Fixture) -> Vec<BilledRun> {
    let truth = fixture.truth();
    let mut runs = Vec::new();
    for job in truth["jobs"].as_array().expect("jobs") {
        let id = job["jobId"].as_str().expect("jobId");
        let once = job["schedule"]["kind"] == "at";
        let made = job["runs"].as_array().expect("runs");
        assert_eq!(job["expectedRuns"].as_u64(), Some(made.len() as u64), "{}", job["name"]);
        for run in made {
            let tokens = ["input", "output", "cacheRead", "cacheWrite"]
                .map(|kind| run[kind].as_u64().expect("billed tokens"));
            runs.push(BilledRun {
                job: id.to_owned(),
                run_at: run["runAtMs"].as_u64().expect("runAtMs"),
                label: if once { "one-shot" } else { id }.to_owned(),
                stage: run["stage"].as_str().unwrap_or_default().to_owned(),
                tokens,
            });
        }
    }
    runs
}

/// What the records of a recording show by the label of the job: the bill of each run whose record has usage, with as
/// much of the cached tokens as `cache` says. What a record shows more than once is checked against the bill here.
pub fn shown(fixture: &Fixture, cache: impl Fn(&BilledRun) -> Cache) -> BTreeMap<String, Shown> {
    let (mut all, mut with_usage) = (BTreeSet::new(), BTreeSet::new());
    for record in fixture.records() {
        let job = record["jobId"].as_str().expect("jobId").to_owned();
        let key = (job, record["runAtMs"].as_u64().expect("runAtMs"));
        if let Some(input) = record["usage"]["input_tokens"].as_u64() {
            let output = record["usage"]["output_tokens"].as_u64().expect("output_tokens");
            with_usage.insert((key.clone(), [input, output]));
        }
        all.insert(key);
    }
    let mut labels: BTreeMap<String, Shown> = BTreeMap::new();
    for run in billed(fixture) {
        let key = (run.job.clone(), run.run_at);
        assert!(all.remove(&key), "no record of {key:?}");
        let told = labels.entry(run.label.clone()).or_default();
        told[0] += 1;
        let [input, output, read, write] = run.tokens;
        if !with_usage.contains(&(key, [input, output])) {
            continue;
        }
        let (read, write) = match cache(&run) {
            Cache::Untold => (0, 0),
            Cache::Together => (read + write, 0),
            Cache::Each => (read, write),
        };
        for (sum, tokens) in told[1..].iter_mut().zip([input, output, read, write]) {
            *sum += tokens;
        }
    }
    assert!(all.is_empty(), "records of runs that the truth does not name: {all:?}");
    labels
}

/// What is exported, likewise.
pub fn exported(totals: &Totals) -> BTreeMap<String, Shown> {
    let mut labels: BTreeMap<String, Shown> = BTreeMap::new();
    for series in &totals.series {
        let told = labels.entry(totals.labels[series.labels].job_id.clone()).or_default();
        if let SeriesKind::Runs(..) = series.kind {
            told[0] += series.exported_total;
        } else if let SeriesKind::Tokens(kind) = series.kind {
            let at = TokenKind::ALL.iter().position(|known| *known == kind).expect("a kind of tokens");
            told[1 + at] += series.exported_total;
        }
    }
    labels
}

/// The sum over all labels.
pub fn sum(labels: &BTreeMap<String, Shown>) -> Shown {
    labels.values().fold([0; 5], |sum, told| std::array::from_fn(|at| sum[at] + told[at]))
}

/// That nothing stood in the way of counting so many runs once each.
pub fn assert_clean(totals: &Totals, runs: u64, what: &str) {
    let outcome = |outcome| totals.counters.outcomes.get(&outcome).copied().unwrap_or(0);
    assert_eq!(outcome(Outcome::Inserted), runs, "{what}: inserted");
    assert_eq!(outcome(Outcome::Conflict), 0, "{what}: conflicts");
    assert_eq!(totals.counters.rejects.len(), 0, "{what}: {:?}", totals.counters.rejects);
    assert_eq!(totals.counters.sources.values().map(|facts| facts.gaps).sum::<u64>(), 0, "{what}: gaps");
    assert_eq!(totals.excess(), 0, "{what}: excess");
}
