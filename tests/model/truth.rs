//! The model: a run counts once its record stood whole in a store that was looked at, whichever store that was.

use std::collections::{BTreeMap, BTreeSet};

use openclaw_usage::ledger::{Counters, JobLabel, SeriesKind, Totals};
use openclaw_usage::model::{RejectReason, Status, TokenKind};
use serde_json::Value;

use super::world::equal;

const LONGEST_LINE: usize = 1 << 20;

/// What is expected, or what was counted, by label of the job and by what it is.
pub type Sums = BTreeMap<(String, String), u64>;

/// What a record's silence about cache tokens means.
#[derive(Clone, Copy, PartialEq)]
pub enum Cache {
    Unknown,
    InTotal,
    None,
}

/// What is known of a run.
#[derive(Clone)]
struct Told {
    status: &'static str,
    duration_ms: u64,
    /// How well the tokens are known: not, in part, derived, by the record.
    rank: u8,
    tokens: [u64; 4],
}

/// Every run that could be read, and what else is told of the stores.
#[derive(Clone, Default)]
pub struct Truth {
    runs: BTreeMap<(String, i64), Told>,
    /// Rows that say something impossible.
    bad: BTreeSet<String>,
    /// A row may have been read again, and its reject told again.
    bad_again: bool,
    /// Looks at `cron_run_logs` that missed rows.
    gaps: u64,
}

impl Truth {
    /// Takes the union with what a file holds. `rested`: it lay unchanged for a day, so that an end without a
    /// newline counts as well.
    pub fn see(&mut self, content: &[u8], rested: bool) {
        let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (lines, tail) = content.split_at(end);
        let readable = lines.split(|byte| *byte == b'\n').filter(|line| line.len() <= LONGEST_LINE);
        readable.for_each(|line| self.take_line(line));
        if rested && is_whole(tail) {
            self.take_line(tail);
        }
    }

    /// Takes each record that stands in a line, whatever torn beginnings stand before it.
    fn take_line(&mut self, line: &[u8]) {
        for (at, _) in line.windows(6).enumerate().filter(|(_, begin)| begin == b"{\"ts\":") {
            let first = serde_json::Deserializer::from_slice(&line[at..]).into_iter::<Value>().next();
            let Some(Ok(record)) = first else { continue };
            if let Some(job) = record["jobId"].as_str() {
                self.take(job, &record, Cache::Unknown);
            }
        }
    }

    /// Takes a record. Of several accounts of a run the first stands, but for better known tokens.
    pub fn take(&mut self, job: &str, record: &Value, cache: Cache) {
        let Some(run_at) = record["runAtMs"].as_i64() else { return };
        let (rank, tokens) = tokens(&record["usage"], cache);
        let status = Status::ALL.iter().find(|status| record["status"] == status.as_str());
        let status = status.expect("a status that is known").as_str();
        let duration_ms = record["durationMs"].as_u64().expect("a duration");
        let told = Told { status, duration_ms, rank, tokens };
        let held = self.runs.entry((job.to_owned(), run_at)).or_insert_with(|| told.clone());
        if told.rank > held.rank {
            (held.rank, held.tokens) = (told.rank, told.tokens);
        }
    }

    /// Notes a row that cannot be counted.
    pub fn reject(&mut self, row: String) {
        self.bad.insert(row);
    }

    /// From here on a row may be rejected a second time.
    pub fn doubt_rejects(&mut self) {
        self.bad_again = true;
    }

    pub fn tell_gap(&mut self) {
        self.gaps += 1;
    }

    /// Returns the number of runs.
    pub fn runs(&self) -> u64 {
        self.runs.len() as u64
    }

    /// Returns the number of jobs with a run.
    pub fn jobs(&self) -> usize {
        self.runs.keys().map(|(job, _)| job).collect::<BTreeSet<_>>().len()
    }

    pub fn sums(&self, label: impl Fn(&str) -> String) -> Sums {
        let mut sums = Sums::new();
        for ((job, _), told) in &self.runs {
            let label = label(job);
            let mut add = |what: String, n: u64| {
                if n > 0 {
                    *sums.entry((label.clone(), what)).or_default() += n;
                }
            };
            add(format!("runs {}", told.status), 1);
            add("durations".into(), 1);
            add("duration_ms".into(), told.duration_ms);
            for (kind, n) in TokenKind::ALL.iter().zip(told.tokens) {
                add(format!("tokens {}", kind.as_str()), n);
                if told.status == "error" {
                    add(format!("wasted {}", kind.as_str()), n);
                }
            }
        }
        sums
    }

    /// Compares what is counted beside runs.
    pub fn compare_counters(&self, counters: &Counters) -> Result<(), String> {
        let gaps = counters.sources.get("cron-run-logs").map_or(0, |facts| facts.gaps);
        equal("gaps in cron_run_logs", &gaps, &self.gaps)?;
        let rejects = counters.rejects.get(&RejectReason::ImpossibleCount).copied().unwrap_or(0);
        let bad = self.bad.len() as u64;
        if self.bad_again {
            return equal("whether every bad row was rejected", &(rejects >= bad), &true);
        }
        equal("rejected rows", &rejects, &bad)
    }
}

fn tokens(usage: &Value, cache: Cache) -> (u8, [u64; 4]) {
    if usage.is_null() {
        return (0, [0; 4]);
    }
    let get = |key: &str| usage[key].as_u64();
    let (input, output) = (get("input_tokens").unwrap_or(0), get("output_tokens").unwrap_or(0));
    let (read, written) = (get("cache_read_tokens"), get("cache_write_tokens"));
    if read.or(written).is_some() || cache == Cache::None {
        return (3, [input, output, read.unwrap_or(0), written.unwrap_or(0)]);
    }
    let total = get("total_tokens").unwrap_or(0);
    if cache == Cache::InTotal {
        return (2, [input, output, total - input - output, 0]);
    }
    (1, [input, output, 0, 0])
}

/// Whether nothing in an unfinished line is cut short. Byte-order marks and NUL bytes are no part of it.
fn is_whole(tail: &[u8]) -> bool {
    let text = String::from_utf8_lossy(tail).replace(['\u{feff}', '\0'], "");
    serde_json::Deserializer::from_str(&text).into_iter::<Value>().all(|value| value.is_ok())
}

/// Returns the label that a job is counted under.
pub fn label_of(totals: &Totals, job_id: &str) -> String {
    let label = totals.jobs.iter().find(|job| job.job_id == job_id).map(|job| job.label);
    match label {
        Some(JobLabel::Other) => "other".into(),
        Some(JobLabel::OneShot) => "one-shot".into(),
        Some(JobLabel::System) => "system".into(),
        _ => job_id.into(),
    }
}

/// Sums what the ledger holds to be true.
pub fn exported_sums(totals: &Totals) -> Sums {
    let mut sums = Sums::new();
    // What runs used, kind by kind and run by run: two ways to say the same here, where a run has one model.
    let (mut by_kind, mut by_run) = (0, 0);
    for series in &totals.series {
        let label = &totals.labels[series.labels].job_id;
        let mut add = |what: String, n: u64| {
            if n > 0 {
                *sums.entry((label.clone(), what)).or_default() += n;
            }
        };
        let total = series.true_total;
        match series.kind {
            SeriesKind::Runs(status, _) => add(format!("runs {}", status.as_str()), total),
            SeriesKind::Tokens(kind) => {
                by_kind += total;
                add(format!("tokens {}", kind.as_str()), total);
            }
            SeriesKind::RunTokens => by_run += total,
            SeriesKind::Wasted(_, kind) => add(format!("wasted {}", kind.as_str()), total),
            SeriesKind::Duration => {
                let histogram = series.histogram.as_ref().expect("a duration series has buckets");
                add("durations".into(), histogram.truth.iter().sum());
                add("duration_ms".into(), total);
            }
            SeriesKind::Cost(_)
            | SeriesKind::WastedCost(_)
            | SeriesKind::Unpriced
            | SeriesKind::Context(_)
            | SeriesKind::Deliveries(_) => {}
        }
    }
    assert_eq!(by_run, by_kind);
    sums
}
