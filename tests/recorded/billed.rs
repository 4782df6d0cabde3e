//! Whole recordings against what their provider billed, at once and through what befalls a state directory.
//!
//! What is expected comes from `truth.json`, which was made of the provider's own log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use openclaw_usage::ledger::Outcome;
use openclaw_usage::model::{Status, UsageProvenance};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::common::fixtures::Fixture;

/// Tokens of the four kinds.
pub type Tokens = [u64; 4];

/// All whole recordings, and how far the job that works in the main session can be found there.
pub const WHOLE: [(&str, MainSession); 7] = [
    ("2026.2.17", MainSession::Shared),
    ("2026.5.28", MainSession::OwnKey),
    ("2026.6.11", MainSession::OwnKey),
    ("2026.9.6", MainSession::Shared),
    ("stage1-5.28", MainSession::OwnKey),
    ("stage2-6.11", MainSession::OwnKey),
    ("stage3-9.6", MainSession::SharedIn("3-9.6")),
];

/// Billed in 2026.6.11 and on no disk: the call was in flight when the gateway was stopped.
const IN_FLIGHT: (&str, &str, Tokens) = ("2026.6.11", "cache-heavy", [915, 60, 4096, 0]);

/// 30 days later every record is too old to be held in memory.
const MONTH_MS: i64 = 30 * 86_400_000;

/// Where the calls of the job are that works in the main session.
#[derive(Clone, Copy)]
pub enum MainSession {
    /// Under a key of its own that names the job.
    OwnKey,
    /// In the session that is also the chat's: nobody can tell.
    Shared,
    /// An upgrade to a version of that kind, in this stage.
    SharedIn(&'static str),
}

/// What the truth says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// By the job's label and its model; the job in the main session has none that is told.
    pub tokens: BTreeMap<(String, String), Tokens>,
    /// The same of runs that ended in an error.
    pub wasted: BTreeMap<(String, String), Tokens>,
    /// By the job's label and status.
    pub runs: BTreeMap<(String, String), u64>,
    /// Each run of an isolated job, by job and start.
    pub of_run: BTreeMap<(String, i64), Tokens>,
}

pub fn plus(a: Tokens, b: Tokens) -> Tokens {
    std::array::from_fn(|kind| a[kind] + b[kind])
}

fn minus(a: Tokens, b: Tokens) -> Tokens {
    std::array::from_fn(|kind| a[kind] - b[kind])
}

fn tokens_of(value: &Value) -> Tokens {
    ["input", "output", "cacheRead", "cacheWrite"].map(|kind| value[kind].as_u64().expect("a count"))
}

fn sum(values: &Value) -> Tokens {
    values.as_array().expect("a list").iter().map(tokens_of).fold([0; 4], plus)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How a run ended: 2026.2.17 writes `ok` where the last call failed.
fn status_of(run: &Value) -> &'static str {
    let outcomes = run["callOutcomes"].as_array().expect("outcomes of calls");
    let failed = outcomes.last().is_some_and(|outcome| outcome != "ok");
    if failed || run["recordStatus"] == "error" { "error" } else { "ok" }
}

impl Expected {
    pub fn of(fixture: &Fixture, name: &str, main: MainSession) -> Self {
        let truth = fs::read_to_string(fixture.path("truth.json")).expect("truth.json");
        let truth: Value = serde_json::from_str(&truth).expect("truth.json is JSON");
        let mut expected = Self::default();
        for job in truth["jobs"].as_array().expect("jobs") {
            let label = if job["schedule"]["kind"] == "at" { "one-shot".into() } else { text(&job["jobId"]) };
            let key = (label.clone(), text(&job["model"]));
            let isolated = job["sessionTarget"] != "main";
            for run in job["runs"].as_array().expect("runs") {
                let status = status_of(run);
                *expected.runs.entry((label.clone(), status.to_owned())).or_default() += 1;
                if !isolated {
                    continue;
                }
                let at = run["runAtMs"].as_i64().expect("runAtMs");
                expected.of_run.insert((text(&job["jobId"]), at), tokens_of(run));
                if status == "error" {
                    let wasted = expected.wasted.entry(key.clone()).or_default();
                    *wasted = plus(*wasted, tokens_of(run));
                }
            }
            let billed = tokens_of(job);
            let found = if isolated {
                let missing = if (name, job["name"].as_str()) == (IN_FLIGHT.0, Some(IN_FLIGHT.1)) {
                    IN_FLIGHT.2
                } else {
                    [0; 4]
                };
                assert_eq!(minus(billed, sum(&job["runs"])), missing, "{name}: {}", job["name"]);
                minus(billed, missing)
            } else {
                match main {
                    MainSession::OwnKey => billed,
                    MainSession::Shared => [0; 4],
                    MainSession::SharedIn(stage) => {
                        let every = tokens_of(&truth["byStageEveryCall"][stage]);
                        let shared = minus(every, tokens_of(&truth["byStageIsolatedCronRuns"][stage]));
                        minus(billed, minus(shared, sum(&truth["notCron"])))
                    }
                }
            };
            let tokens = expected.tokens.entry(key).or_default();
            *tokens = plus(*tokens, found);
        }
        expected.tokens.retain(|_, tokens| *tokens != [0; 4]);
        expected.wasted.retain(|_, tokens| *tokens != [0; 4]);
        expected.of_run.retain(|_, tokens| *tokens != [0; 4]);
        expected
    }

    /// Reads the same off what is counted. `exported`: as it is shown, else as it is true.
    pub fn counted(&self, counting: &Counting, exported: bool) -> Self {
        let totals = counting.totals();
        let mut counted = Self::default();
        for series in &totals.series {
            let labels = &totals.labels[series.labels];
            let total = if exported { series.exported_total } else { series.true_total };
            let untold = (labels.job_id.clone(), String::new());
            let key = if self.tokens.contains_key(&untold) {
                untold
            } else {
                (labels.job_id.clone(), labels.model.clone())
            };
            let (into, kind) = match series.kind {
                SeriesKind::Tokens(kind) => (&mut counted.tokens, kind),
                SeriesKind::Wasted(Status::Error, kind) => (&mut counted.wasted, kind),
                SeriesKind::Wasted(status, _) => panic!("{status:?}: {labels:?}"),
                SeriesKind::Runs(status, _) => {
                    *counted.runs.entry((key.0, status.as_str().to_owned())).or_default() += total;
                    continue;
                }
                _ => continue,
            };
            let at = TokenKind::ALL.iter().position(|known| *known == kind).expect("a kind");
            into.entry(key).or_default()[at] += total;
        }
        counted.runs.retain(|_, runs| *runs > 0);
        counted.tokens.retain(|_, tokens| *tokens != [0; 4]);
        counted.wasted.retain(|_, tokens| *tokens != [0; 4]);
        counted.of_run = of_run(&counting.path());
        counted.of_run.retain(|run, _| self.of_run.contains_key(run));
        counted
    }

    /// Everything is as the provider billed it, nothing is exported beyond, and nothing was refused.
    pub fn is_counted(&self, counting: &Counting, what: &str) {
        self.is_true(counting, what);
        assert_eq!(self.counted(counting, true), *self, "{what}: exported");
        assert_eq!(counting.totals().excess(), 0, "{what}");
    }

    /// The same without what was exported meanwhile.
    pub fn is_true(&self, counting: &Counting, what: &str) {
        assert_eq!(self.counted(counting, false), *self, "{what}");
        let all = self.tokens.values().copied().fold([0; 4], plus);
        assert_eq!(counting.summary().tokens, all, "{what}: held");
        let totals = counting.totals();
        assert_eq!(totals.counters.rejects, [].into(), "{what}");
        let known: Vec<_> = totals.counters.provenance.iter().filter(|(_, runs)| **runs > 0).collect();
        let is_good =
            |of: &UsageProvenance| matches!(of, UsageProvenance::Transcript | UsageProvenance::None);
        assert!(known.iter().all(|(of, _)| is_good(of)), "{what}: {known:?}");
    }
}

/// What the ledger holds of each run that has tokens.
fn of_run(ledger: &Path) -> BTreeMap<(String, i64), Tokens> {
    let connection = Connection::open(ledger).expect("the ledger");
    let sql = "SELECT job_id, at >> 1, sum(i), sum(o), sum(r), sum(w) FROM (
            SELECT job, at, input AS i, output AS o, cache_read AS r, cache_write AS w FROM run UNION ALL
            SELECT job, at, input, output, cache_read, cache_write FROM run_usage)
        JOIN job ON job.id = job GROUP BY job, at";
    let mut query = connection.prepare(sql).expect("the ledger's tables");
    let rows = query.query_map([], |row| {
        let count = |at| row.get::<_, Option<i64>>(at).map(|n| n.unwrap_or(0).cast_unsigned());
        Ok(((row.get(0)?, row.get(1)?), [count(2)?, count(3)?, count(4)?, count(5)?]))
    });
    let rows = rows.expect("rows").collect::<rusqlite::Result<Vec<_>>>().expect("rows");
    rows.into_iter().filter(|(_, tokens)| *tokens != [0; 4]).collect()
}

/// Copies what is in a directory; files take the place of those that are there.
pub fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory to copy") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// All transcripts in files.
pub fn transcripts(state_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for agent in fs::read_dir(state_dir.join("agents")).into_iter().flatten().flatten() {
        for entry in fs::read_dir(agent.path().join("sessions")).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().expect("a name");
            if name.contains(".jsonl") && !name.contains(".trajectory") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_recording_counts_what_was_billed() {
    for (name, main) in WHOLE {
        let fixture = Fixture::unpack(name);
        let expected = Expected::of(&fixture, name, main);
        for now in [NOW, NOW.plus(MONTH_MS)] {
            let mut counting = Counting::at(&fixture.state_dir(), now);
            counting.sweep();
            expected.is_counted(&counting, name);
            let outcomes = counting.totals().counters.outcomes;
            assert_eq!(outcomes[&Outcome::Inserted], fixture.record_sums().records, "{name}");
            for _ in 0..2 {
                counting.sweep();
                counting.restart();
                counting.sweep();
            }
            expected.is_counted(&counting, &format!("{name}, started again"));
            assert_eq!(counting.totals().counters.outcomes, outcomes, "{name}: no record is told twice");
            // Much later every session without a record has ended; in these none was billed.
            counting.now = counting.now.plus(3 * 86_400_000);
            counting.sweep();
            expected.is_counted(&counting, &format!("{name}, much later"));
        }
    }
}

#[test]
fn what_was_counted_stays_when_transcripts_are_renamed_and_deleted() {
    for (name, main) in WHOLE {
        let fixture = Fixture::unpack(name);
        let expected = Expected::of(&fixture, name, main);
        let files = transcripts(&fixture.state_dir());
        let archive = |file: &PathBuf| {
            let mut name = file.clone().into_os_string();
            name.push(".deleted.2026-11-21T05-00-00.000Z");
            if file.extension().is_some_and(|end| end == "jsonl") {
                fs::rename(file, name).expect("a rename");
            }
        };
        // Half of them before they are first seen, the others behind it.
        let (before, behind) = files.split_at(files.len() / 2);
        before.iter().for_each(archive);
        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        expected.is_counted(&counting, &format!("{name}, half archived"));
        behind.iter().for_each(archive);
        counting.sweep();
        expected.is_counted(&counting, &format!("{name}, archived"));
        let positions = counting.summary().positions;
        fs::remove_dir_all(fixture.state_dir().join("agents")).expect("agents/");
        for _ in 0..2 {
            counting.sweep();
            expected.is_counted(&counting, &format!("{name}, deleted"));
            counting.restart();
        }
        counting.sweep();
        assert!(
            files.is_empty() || counting.summary().positions < positions,
            "{name}: positions of files that are gone"
        );
    }
}

#[test]
fn without_transcripts_the_records_are_counted_as_what_they_are() {
    use UsageProvenance::{Derived, None, Partial, Record};
    for (name, _) in WHOLE {
        let fixture = Fixture::unpack(name);
        fs::remove_dir_all(fixture.state_dir().join("agents")).expect("agents/");
        let sums = fixture.record_sums();
        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        let summary = counting.summary();
        assert_eq!(
            (summary.runs, summary.tokens[0], summary.tokens[1]),
            (sums.records, sums.input, sums.output)
        );
        let provenance = counting.totals().counters.provenance;
        let known: Vec<_> =
            provenance.iter().filter(|(_, runs)| **runs > 0).map(|(provenance, _)| *provenance).collect();
        let expected = match name {
            "2026.2.17" | "2026.5.28" | "stage1-5.28" => vec![None, Partial],
            "2026.6.11" => vec![None, Derived],
            "2026.9.6" => vec![None, Record],
            "stage2-6.11" => vec![None, Partial, Derived],
            // Rows that an upgrade took over do not say how their version counted totals.
            _ => vec![None, Partial, Record],
        };
        assert_eq!(known, expected, "{name}");
    }
}

#[test]
fn upgrades_count_nothing_twice() {
    let stages: Vec<_> =
        WHOLE[4..].iter().map(|(name, main)| (*name, *main, Fixture::unpack(name))).collect();
    for path in [&[0, 1, 2][..], &[0, 2], &[1, 2], &[0, 1]] {
        let live = TempDir::new().expect("a temporary directory");
        let state_dir = live.path().join("state");
        let mut counting = Counting::of(&state_dir);
        for stage in path {
            let (name, main, fixture) = &stages[*stage];
            if state_dir.exists() {
                fs::remove_dir_all(&state_dir).expect("the old state");
            }
            copy_into(&fixture.state_dir(), &state_dir);
            let expected = Expected::of(fixture, name, *main);
            let what = format!("{name} on the way {path:?}");
            for _ in 0..2 {
                counting.sweep();
                expected.is_counted(&counting, &what);
                counting.restart();
            }
        }
    }
}
