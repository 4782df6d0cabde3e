//! What the table and Markdown have in common: the words around the numbers, and columns of cells.

use super::figures::{change, cost, duration, per_run, short, trend, usd};
use super::{BudgetRow, Cell, Dimension, Known, Report, Row, Sums, Zone};
use crate::model::UnixMs;
use crate::model::decimal::div_half_even;
use crate::page::many;

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// Models without a price that are named one by one.
const MAX_NAMED: usize = 3;

/// What a column may do when there is little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    /// Be cut.
    Shrink,
    /// Go, the lowest number first.
    Go(u8),
    /// Nothing.
    Stay,
}

/// What is told by colour too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// That something failed.
    Bad,
    /// That it is not the whole truth.
    Doubtful,
    /// That it is less important.
    Dim,
}

/// A column: a cell for each row, then one for the totals.
pub struct Column {
    pub head: &'static str,
    pub right: bool,
    pub give: Give,
    pub cells: Vec<(String, Tone)>,
}

/// Returns the line above the table.
pub fn heading(report: &Report) -> String {
    let show = |at: UnixMs| report.zone.show(at, "%Y-%m-%d %H:%M");
    let by: Vec<&str> = report.by.iter().map(|dimension| dimension.name()).collect();
    format!(
        "{} to {} {}, by {}",
        show(report.window.since),
        show(report.window.until),
        report.zone.name(),
        by.join(", ")
    )
}

/// Returns all columns.
pub fn columns(report: &Report) -> Vec<Column> {
    let mut columns = group_columns(report);
    let by_cost = report.totals.cost_trend.iter().any(|nanos| *nanos > 0);
    let one_run = report.by == [Dimension::Run];
    let mut figure = |head, give, cell: &dyn Fn(&Sums) -> (String, Tone)| {
        let cells = report.rows.iter().map(|row| cell(&row.sums)).chain([cell(&report.totals)]).collect();
        columns.push(Column { head, right: true, give, cells });
    };
    let plain = |text: String| (text, Tone::Plain);
    if !one_run {
        figure("runs", Give::Go(1), &|sums| plain(short(sums.runs.total)));
        figure("ok/er/sk", Give::Go(9), &|sums| {
            let runs = sums.runs;
            let text = [runs.ok, runs.error, runs.skipped].map(short).join("/");
            (text, if runs.error > 0 { Tone::Bad } else { Tone::Plain })
        });
    }
    figure("in", Give::Go(6), &|sums| plain(short(sums.tokens[0])));
    figure("out", Give::Go(7), &|sums| plain(short(sums.tokens[1])));
    figure("cache", Give::Go(5), &|sums| plain(short(sums.tokens[2].saturating_add(sums.tokens[3]))));
    figure("cost", Give::Stay, &|sums| {
        (cost(sums, ""), if sums.known() == Known::Exact { Tone::Plain } else { Tone::Doubtful })
    });
    if report.previous_totals.is_some() {
        compared(report, &mut columns);
        return columns;
    }
    if one_run {
        figure("took", Give::Go(8), &|sums| plain(duration(sums.duration_ms(50))));
        return columns;
    }
    figure("$/run", Give::Go(2), &|sums| plain(per_run(sums)));
    figure("p50", Give::Go(4), &|sums| plain(duration(sums.duration_ms(50))));
    figure("p95", Give::Go(8), &|sums| plain(duration(sums.duration_ms(95))));
    let format = last_format(report);
    figure("last", Give::Go(3), &|sums| {
        plain(sums.last_run.map_or_else(|| "-".to_owned(), |at| report.zone.show(at, format)))
    });
    if !report.of_counters && !report.by.iter().any(|dimension| dimension.is_period()) {
        figure("trend", Give::Go(3), &|sums| (trend(sums, by_cost), Tone::Dim));
    }
    columns
}

/// Adds what it was before.
fn compared(report: &Report, columns: &mut Vec<Column>) {
    let none = Sums::default();
    let totals = report.previous_totals.as_ref();
    let pairs = || {
        let rows = report.rows.iter().map(|row| (&row.sums, row.previous.as_ref().unwrap_or(&none)));
        rows.chain([(&report.totals, totals.unwrap_or(&none))])
    };
    let mut figure = |head, give, cell: &dyn Fn(&Sums, &Sums) -> String| {
        let cells = pairs().map(|(now, before)| (cell(now, before), Tone::Plain)).collect();
        columns.push(Column { head, right: true, give, cells });
    };
    figure("before", Give::Go(8), &|_, before| cost(before, ""));
    figure("change", Give::Stay, &|now, before| change(now, before));
    figure("runs before", Give::Go(2), &|_, before| short(before.runs.total));
}

/// A time of day suffices for a window of a day, a date if no year is in doubt.
fn last_format(report: &Report) -> &'static str {
    let until = report.window.until;
    let oldest = report.rows.iter().filter_map(|row| row.sums.last_run).min();
    if until.since(report.window.since) <= DAY_MS {
        "%H:%M"
    } else if oldest.is_none_or(|oldest| until.since(oldest) < 330 * DAY_MS) {
        "%m-%d"
    } else {
        "%Y-%m-%d"
    }
}

fn group_columns(report: &Report) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut add = |head, give, cell: &dyn Fn(&Row) -> String| {
        let cells = report.rows.iter().map(|row| (cell(row), Tone::Plain));
        columns.push(Column { head, right: false, give, cells: cells.collect() });
    };
    let mut at = 0;
    for dimension in &report.by {
        let from = at;
        at += dimension.fields().len();
        match dimension {
            Dimension::Job => add("job", Give::Shrink, &|row| job(&row.group, from)),
            Dimension::Run => {
                add("started", Give::Stay, &|row| match row.group.get(from) {
                    Some(Cell::Time(at)) => report.zone.show(*at, "%Y-%m-%d %H:%M:%S"),
                    _ => String::new(),
                });
                add("job", Give::Shrink, &|row| job(&row.group, from + 1));
                add("model", Give::Shrink, &|row| text(&row.group, from + 5));
                add("status", Give::Stay, &|row| text(&row.group, from + 6));
            }
            Dimension::Day | Dimension::Week | Dimension::Month => {
                add(dimension.name(), Give::Stay, &|row| text(&row.group, from));
            }
            _ => add(dimension.name(), Give::Shrink, &|row| text(&row.group, from)),
        }
    }
    for (nth, column) in columns.iter_mut().enumerate() {
        column.cells.push((if nth == 0 { "total".to_owned() } else { String::new() }, Tone::Plain));
    }
    columns
}

fn text(group: &[Cell], at: usize) -> String {
    group.get(at).and_then(Cell::text).unwrap_or("(unknown)").to_owned()
}

/// A job without a name goes by its id.
fn job(group: &[Cell], at: usize) -> String {
    let name = group.get(at + 1).and_then(Cell::text).filter(|name| !name.trim().is_empty());
    name.map_or_else(|| format!("({})", text(group, at)), ToOwned::to_owned)
}

/// Returns how a budget stands.
fn budget(budget: &BudgetRow) -> String {
    let BudgetRow { definition, period, sums, projected } = budget;
    let percent = div_half_even(i128::from(sums.cost.0) * 100, i128::from(definition.limit.0.max(1)));
    let known = sums.known();
    let at_least = if known == Known::Exact { "" } else { "≥ " };
    let shares = if matches!(known, Known::Exact | Known::AtLeast) {
        let end = Zone::new(&definition.timezone)
            .map_or_else(|_| period.end.to_string(), |zone| zone.show(period.end, "%Y-%m-%d %H:%M"));
        let (projected, zone) = (usd(*projected), &definition.timezone);
        format!(" ({at_least}{percent} %), {at_least}{projected} projected by {end} {zone}")
    } else {
        String::new()
    };
    let (spent, limit) = (cost(sums, " "), usd(definition.limit));
    format!("Budget {}: {spent} of {limit} a {}{shares}.", definition.name, definition.period.as_str())
}

/// Returns what has to be said about the numbers.
pub fn footnotes(report: &Report) -> Vec<String> {
    let totals = &report.totals;
    let mut notes: Vec<String> = report.budgets.iter().map(budget).collect();
    if totals.runs.total == 0 {
        let what = if report.of_counters { "No run was counted" } else { "No run started" };
        notes.push(format!("{what} in this window."));
    }
    if report.left_out > 0 {
        notes.push(format!("{} more in the totals only.", many(report.left_out, "row")));
    }
    if totals.known() == Known::AtLeast {
        notes.push(format!("The cost is {}: a part of it is not known.", cost(totals, " ")));
    }
    if totals.unpriced_runs > 0 {
        let named: Vec<String> = report
            .unpriced
            .iter()
            .take(MAX_NAMED)
            .map(|(model, runs)| {
                let model = if model.is_empty() { "(unknown)" } else { model };
                format!("{model} ({runs})")
            })
            .collect();
        let more = report.unpriced.len().saturating_sub(MAX_NAMED) as u64;
        let more = if more > 0 { format!(" and {}", many(more, "more model")) } else { String::new() };
        notes.push(format!(
            "{} unpriced: model {}{more}.",
            many(totals.unpriced_runs, "run"),
            named.join(", ")
        ));
    }
    if totals.partial_runs > 0 {
        notes.push(format!(
            "{} with a lower bound: cache tokens, a rate or the size of prompts is not known.",
            many(totals.partial_runs, "run")
        ));
    }
    if totals.unknown_runs > 0 {
        let runs = many(totals.unknown_runs, "run");
        notes.push(format!("{runs} of whose tokens no record or transcript tells."));
    }
    if totals.wasted.0 > 0 {
        notes.push(format!(
            "{} of {} bought nothing: runs that failed.",
            usd(totals.wasted),
            usd(totals.cost)
        ));
    }
    if totals.not_billed.0 > 0 {
        notes.push(format!(
            "{} of {} nobody bills by the token: a subscription covers it, or an own machine does it.",
            usd(totals.not_billed),
            usd(totals.cost)
        ));
    }
    let other = totals.runs.total - totals.runs.ok - totals.runs.error - totals.runs.skipped;
    if other > 0 {
        notes.push(format!("{} cut off, without a record of how it ended.", many(other, "run")));
    }
    if totals.folded_runs > 0 {
        let runs = many(totals.folded_runs, "run");
        notes.push(format!("{runs} folded into daily totals: counted at noon (UTC), without durations."));
    }
    notes.extend(report.notes.iter().cloned());
    notes
}

/// Returns what is said of tokens without a price, with their models, most first.
pub fn tokens_unpriced(tokens: u64, models: &[(&str, u64)]) -> String {
    let named: Vec<String> = models
        .iter()
        .take(MAX_NAMED)
        .map(|(model, n)| format!("{} ({})", if model.is_empty() { "(unknown)" } else { model }, short(*n)))
        .collect();
    let more = models.len().saturating_sub(MAX_NAMED) as u64;
    let more = if more > 0 { format!(" and {}", many(more, "more model")) } else { String::new() };
    format!("{} unpriced: model {}{more}.", many(tokens, "token"), named.join(", "))
}
