//! The report as JSON, in the shape of `docs/report.schema.json`.
//!
//! Stable: under the schema [`SCHEMA`] fields are only added. Tokens, milliseconds and nano-USD are integers;
//! `cost_usd` is the same amount in dollars, for people. What is not known is `null`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{BudgetRow, Cell, Report, Row, Sums};
use crate::ledger::Window;

/// Name and version of the document.
pub const SCHEMA: &str = "openclaw-usage/report/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'a str,
    window: Bounds<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_window: Option<Bounds<'a>>,
    by: Vec<&'a str>,
    rows: Vec<RowDocument>,
    totals: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_totals: Option<Figures>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<BudgetDocument<'a>>,
}

#[derive(Serialize)]
struct BudgetDocument<'a> {
    name: &'a str,
    period: &'a str,
    window: Bounds<'a>,
    limit_nano_usd: i64,
    limit_usd: f64,
    spent_nano_usd: i64,
    spent_usd: f64,
    projected_nano_usd: i64,
    projected_usd: f64,
    unpriced_runs: u64,
    lower_bound_runs: u64,
}

#[derive(Serialize)]
struct Bounds<'a> {
    since_ms: i64,
    until_ms: i64,
    timezone: &'a str,
}

#[derive(Serialize)]
struct RowDocument {
    group: Map<String, Value>,
    #[serde(flatten)]
    figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Figures>,
}

#[derive(Serialize)]
struct Figures {
    runs: Runs,
    tokens: Tokens,
    cost_nano_usd: i64,
    cost_usd: f64,
    unpriced_runs: Option<u64>,
    unpriced_tokens: u64,
    lower_bound_runs: Option<u64>,
    duration_ms: Quantiles,
    last_run_ms: Option<i64>,
}

#[derive(Serialize)]
struct Runs {
    total: u64,
    ok: u64,
    error: u64,
    skipped: u64,
}

#[derive(Serialize)]
struct Tokens {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

#[derive(Serialize)]
struct Quantiles {
    p50: Option<u64>,
    p95: Option<u64>,
}

/// Returns the report as JSON.
///
/// # Errors
/// None that is known: everything in it is a number or a text.
pub fn json(report: &Report) -> serde_json::Result<String> {
    let bounds = |window: &Window| Bounds {
        since_ms: window.since.0,
        until_ms: window.until.0,
        timezone: report.zone.name(),
    };
    let document = Document {
        schema: SCHEMA,
        window: bounds(&report.window),
        previous_window: report.previous_window.as_ref().map(bounds),
        by: report.by.iter().map(|dimension| dimension.name()).collect(),
        rows: report.rows.iter().map(|row| of_row(report, row)).collect(),
        totals: figures(&report.totals),
        previous_totals: report.previous_totals.as_ref().map(figures),
        budgets: report.budgets.iter().map(of_budget).collect(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn of_budget(budget: &BudgetRow) -> BudgetDocument<'_> {
    let BudgetRow { definition, period, sums, projected } = budget;
    BudgetDocument {
        name: &definition.name,
        period: definition.period.as_str(),
        window: Bounds { since_ms: period.start.0, until_ms: period.end.0, timezone: &definition.timezone },
        limit_nano_usd: definition.limit.0,
        limit_usd: definition.limit.as_usd(),
        spent_nano_usd: sums.cost.0,
        spent_usd: sums.cost.as_usd(),
        projected_nano_usd: projected.0,
        projected_usd: projected.as_usd(),
        unpriced_runs: sums.unpriced_runs,
        lower_bound_runs: sums.lower_bound_runs(),
    }
}

fn of_row(report: &Report, row: &Row) -> RowDocument {
    let fields = report.by.iter().flat_map(|dimension| dimension.fields());
    let group = fields.zip(&row.group).map(|(name, cell)| {
        let value = match cell {
            Cell::Unknown => Value::Null,
            Cell::Time(at) => at.0.into(),
            Cell::Text(text) => text.as_str().into(),
        };
        ((*name).to_owned(), value)
    });
    RowDocument {
        group: group.collect(),
        figures: figures(&row.sums),
        previous: row.previous.as_ref().map(figures),
    }
}

fn figures(sums: &Sums) -> Figures {
    let [input, output, cache_read, cache_write] = sums.tokens;
    let runs = sums.runs;
    let [p50, p95] = sums.durations_ms([50, 95]);
    Figures {
        runs: Runs { total: runs.total, ok: runs.ok, error: runs.error, skipped: runs.skipped },
        tokens: Tokens { input, output, cache_read, cache_write },
        cost_nano_usd: sums.cost.0,
        cost_usd: sums.cost.as_usd(),
        unpriced_runs: (!sums.of_counters).then_some(sums.unpriced_runs),
        unpriced_tokens: sums.unpriced_tokens,
        lower_bound_runs: (!sums.of_counters).then(|| sums.lower_bound_runs()),
        duration_ms: Quantiles { p50, p95 },
        last_run_ms: sums.last_run.map(|at| at.0),
    }
}
