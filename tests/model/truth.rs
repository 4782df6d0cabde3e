//! The model: a run counts once its record stood whole, in a whole line, in a file that was looked at.

use std::collections::BTreeMap;

use openclaw_usage::ledger::{SeriesKind, Totals};
use openclaw_usage::model::{Status, TokenKind};
use serde_json::Value;

const LONGEST_LINE: usize = 1 << 20;

/// What is expected, or what was counted: both in the same few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub runs: BTreeMap<&'static str, u64>,
    pub tokens: BTreeMap<&'static str, u64>,
    pub durations: u64,
    pub duration_ms: u64,
}

/// Every run that could be read, with the record's own words.
#[derive(Clone, Default)]
pub struct Truth(BTreeMap<(String, i64), Value>);

impl Truth {
    /// Takes the union with what a file holds. `rested`: it lay unchanged for a day, so that an end without a
    /// newline counts as well.
    pub fn see(&mut self, content: &[u8], rested: bool) {
        let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (lines, tail) = content.split_at(end);
        let readable = lines.split(|byte| *byte == b'\n').filter(|line| line.len() <= LONGEST_LINE);
        readable.for_each(|line| self.take(line));
        if rested && is_whole(tail) {
            self.take(tail);
        }
    }

    /// Takes each record that stands in a line, whatever torn beginnings stand before it.
    fn take(&mut self, line: &[u8]) {
        for (at, _) in line.windows(6).enumerate().filter(|(_, begin)| begin == b"{\"ts\":") {
            let first = serde_json::Deserializer::from_slice(&line[at..]).into_iter::<Value>().next();
            let Some(Ok(record)) = first else { continue };
            if let (Some(job), Some(run_at)) = (record["jobId"].as_str(), record["runAtMs"].as_i64()) {
                self.0.entry((job.to_owned(), run_at)).or_insert(record);
            }
        }
    }

    /// Returns the number of jobs with a run.
    pub fn jobs(&self) -> usize {
        self.0.keys().map(|(job, _)| job).collect::<std::collections::BTreeSet<_>>().len()
    }

    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for record in self.0.values() {
            let status = Status::ALL.iter().find(|status| record["status"] == status.as_str());
            *sums.runs.entry(status.expect("a status that is known").as_str()).or_default() += 1;
            for (key, kind) in [("input_tokens", TokenKind::Input), ("output_tokens", TokenKind::Output)] {
                let tokens = record["usage"][key].as_u64().filter(|tokens| *tokens > 0);
                tokens.into_iter().for_each(|n| *sums.tokens.entry(kind.as_str()).or_default() += n);
            }
            let duration_ms = record["durationMs"].as_u64().expect("a duration");
            sums.durations += 1;
            sums.duration_ms += duration_ms;
        }
        sums
    }
}

/// Whether nothing in an unfinished line is cut short. Byte-order marks and NUL bytes are no part of it.
fn is_whole(tail: &[u8]) -> bool {
    let text = String::from_utf8_lossy(tail).replace(['\u{feff}', '\0'], "");
    serde_json::Deserializer::from_str(&text).into_iter::<Value>().all(|value| value.is_ok())
}

impl Sums {
    /// Sums what the ledger exports.
    pub fn of(totals: &Totals) -> Self {
        let mut sums = Self::default();
        for series in &totals.series {
            match series.kind {
                SeriesKind::Runs(status, _) => {
                    *sums.runs.entry(status.as_str()).or_default() += series.exported_total;
                }
                SeriesKind::Tokens(kind) => {
                    *sums.tokens.entry(kind.as_str()).or_default() += series.exported_total;
                }
                SeriesKind::Wasted(..) | SeriesKind::Duration => {
                    let histogram = series.histogram.as_ref().expect("a duration series has buckets");
                    sums.durations += histogram.exported.iter().sum::<u64>();
                    sums.duration_ms += series.exported_total;
                }
            }
        }
        sums
    }
}
