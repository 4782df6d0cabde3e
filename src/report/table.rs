//! The report as a table for a terminal.

use std::fmt::Write as _;

use super::Report;
use super::text::{Column, Give, Tone, columns, footnotes, heading};
use crate::page::{Page, columns as width_of, cut, printable};

/// Columns that a group is given before others go, and the most that it takes.
const LEAST: usize = 12;
const MOST: usize = 40;

/// What the reader looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns.
    pub width: usize,
    /// Whether it understands colours, and they are wanted.
    pub colour: bool,
}

/// Returns the report as text. `source` says where the numbers come from.
#[must_use]
pub fn table(report: &Report, source: &str, terminal: Terminal) -> String {
    let mut head = Page::default();
    head.paragraph("", &heading(report));
    head.paragraph("", source);
    head.gap();
    let mut text = head.finish();
    if !report.rows.is_empty() {
        rows(&mut text, columns(report), terminal);
        text.push('\n');
    }
    let mut notes = Page::default();
    for note in footnotes(report) {
        notes.paragraph("", &note);
    }
    text + &notes.finish()
}

fn rows(text: &mut String, mut columns: Vec<Column>, terminal: Terminal) {
    for column in &mut columns {
        for (cell, _) in &mut column.cells {
            *cell = printable(cell);
        }
    }
    let (widths, gap) = fit(&mut columns, terminal.width);
    let totals = columns.first().map_or(0, |column| column.cells.len().saturating_sub(1));
    let heads: Vec<(&str, Tone)> = columns.iter().map(|column| (column.head, Tone::Plain)).collect();
    line(text, &columns, &widths, gap, &heads, terminal.colour.then_some("\u{1b}[1m"));
    for row in 0..=totals {
        let cells: Vec<(&str, Tone)> = columns
            .iter()
            .filter_map(|column| column.cells.get(row))
            .map(|(cell, tone)| (cell.as_str(), *tone))
            .collect();
        let whole = (terminal.colour && row == totals).then_some("\u{1b}[1m");
        if terminal.colour {
            coloured(text, &columns, &widths, gap, &cells, whole);
        } else {
            line(text, &columns, &widths, gap, &cells, None);
        }
    }
}

/// Decides which columns there is room for and how wide each is. Returns the widths and the gap between columns.
fn fit(columns: &mut Vec<Column>, width: usize) -> (Vec<usize>, usize) {
    let natural = |column: &Column| {
        let cells = column.cells.iter().map(|(cell, _)| width_of(cell));
        let widest = cells.chain([width_of(column.head)]).max().unwrap_or(0);
        if column.give == Give::Shrink { widest.min(MOST) } else { widest }
    };
    let least = |column: &Column| {
        if column.give == Give::Shrink { natural(column).min(LEAST) } else { natural(column) }
    };
    let needed = |columns: &[Column], gap: usize| {
        columns.iter().map(least).sum::<usize>() + gap * columns.len().saturating_sub(1)
    };
    let mut gap = 2;
    while needed(columns, gap) > width {
        if gap > 1 {
            gap = 1;
            continue;
        }
        let rank = |column: &Column| if let Give::Go(rank) = column.give { Some(rank) } else { None };
        let next = columns.iter().enumerate().filter_map(|(at, column)| Some((rank(column)?, at))).min();
        let Some((_, at)) = next else { break };
        columns.remove(at);
        // With one column less there may be room for wider gaps, but those of the rest are not for it.
    }
    let mut widths: Vec<usize> = columns.iter().map(least).collect();
    let mut left = width.saturating_sub(needed(columns, gap));
    for (column, wide) in columns.iter().zip(&mut widths) {
        let more = natural(column).saturating_sub(*wide).min(left);
        *wide += more;
        left -= more;
    }
    (widths, gap)
}

fn line(
    text: &mut String,
    columns: &[Column],
    widths: &[usize],
    gap: usize,
    cells: &[(&str, Tone)],
    style: Option<&str>,
) {
    let mut out = String::new();
    for (nth, ((column, wide), (cell, _))) in columns.iter().zip(widths).zip(cells).enumerate() {
        if nth > 0 {
            out.push_str(&" ".repeat(gap));
        }
        out.push_str(&padded(cell, *wide, column.right));
    }
    let out = out.trim_end();
    _ = match style {
        Some(style) => writeln!(text, "{style}{out}\u{1b}[0m"),
        None => writeln!(text, "{out}"),
    };
}

fn coloured(
    text: &mut String,
    columns: &[Column],
    widths: &[usize],
    gap: usize,
    cells: &[(&str, Tone)],
    whole: Option<&str>,
) {
    for (nth, ((column, wide), (cell, tone))) in columns.iter().zip(widths).zip(cells).enumerate() {
        if nth > 0 {
            text.push_str(&" ".repeat(gap));
        }
        let style = match tone {
            Tone::Plain => whole.unwrap_or_default(),
            Tone::Bad => "\u{1b}[31m",
            Tone::Doubtful => "\u{1b}[33m",
            Tone::Dim => "\u{1b}[2m",
        };
        let cell = padded(cell, *wide, column.right);
        if style.is_empty() { text.push_str(&cell) } else { _ = write!(text, "{style}{cell}\u{1b}[0m") }
    }
    text.push('\n');
}

fn padded(cell: &str, width: usize, right: bool) -> String {
    let cell = cut(cell, width);
    let padding = " ".repeat(width.saturating_sub(width_of(&cell)));
    if right { padding + &cell } else { cell + &padding }
}
