//! The report as CSV by RFC 4180: a header line, a line per row, no totals.
//!
//! Texts are those of the table: control characters and invisible ones as escapes. One that a spreadsheet would take
//! for a formula gets an apostrophe in front, as spreadsheets themselves mark text.

use super::{Cell, Report, Sums};
use crate::model::NanoUsd;
use crate::page::printable;

/// Names of the figures.
const FIGURES: [&str; 16] = [
    "runs_total",
    "runs_ok",
    "runs_error",
    "runs_skipped",
    "tokens_input",
    "tokens_output",
    "tokens_cache_read",
    "tokens_cache_write",
    "cost_nano_usd",
    "cost_usd",
    "unpriced_runs",
    "lower_bound_runs",
    "duration_p50_ms",
    "duration_p95_ms",
    "last_run_ms",
    "unpriced_tokens",
];

/// Returns the report as CSV.
#[must_use]
pub fn csv(report: &Report) -> String {
    let fields = report.by.iter().flat_map(|dimension| dimension.fields());
    let mut head: Vec<String> = fields.chain(&FIGURES).map(|name| (*name).to_owned()).collect();
    if report.previous_totals.is_some() {
        head.extend(FIGURES.map(|name| format!("previous_{name}")));
    }
    let mut text = line(head);
    for row in &report.rows {
        let cells = row.group.iter().map(|cell| match cell {
            Cell::Unknown => String::new(),
            Cell::Time(at) => at.0.to_string(),
            Cell::Text(text) => harmless(text),
        });
        let figures = figures(&row.sums).into_iter().chain(row.previous.iter().flat_map(figures));
        text.push_str(&line(cells.chain(figures)));
    }
    text
}

fn figures(sums: &Sums) -> [String; 16] {
    let some = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let n = |value: u64| value.to_string();
    let [p50, p95] = sums.durations_ms([50, 95]);
    [
        n(sums.runs.total),
        n(sums.runs.ok),
        n(sums.runs.error),
        n(sums.runs.skipped),
        n(sums.tokens[0]),
        n(sums.tokens[1]),
        n(sums.tokens[2]),
        n(sums.tokens[3]),
        sums.cost.0.to_string(),
        NanoUsd(sums.cost.0).to_string(),
        some((!sums.of_counters).then_some(sums.unpriced_runs)),
        some((!sums.of_counters).then(|| sums.lower_bound_runs())),
        some(p50),
        some(p95),
        sums.last_run.map(|at| at.0.to_string()).unwrap_or_default(),
        n(sums.unpriced_tokens),
    ]
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| quoted(&cell)).collect();
    cells.join(",") + "\r\n"
}

pub(super) fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) || cell.trim() != cell {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

pub(super) fn harmless(text: &str) -> String {
    let text = printable(text);
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        for (text, expected) in [
            ("daily report", "daily report"),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("=1+1", "'=1+1"),
            (" =1+1", "' =1+1"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\\t=1"),
            ("a\nb", "a\\nb"),
            ("＝1", "'＝1"),
            (" x", "\" x\""),
        ] {
            assert_eq!(quoted(&harmless(text)), expected);
        }
    }
}
