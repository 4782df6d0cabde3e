//! The report as a table in Markdown, as GitHub and others show it.

use std::fmt::Write as _;

use super::Report;
use super::text::{columns, footnotes, heading};
use crate::page::printable;

/// Returns the report as Markdown. `source` says where the numbers come from.
#[must_use]
pub fn markdown(report: &Report, source: &str) -> String {
    let mut text = format!("{}\\\n{}\n", escaped(&heading(report)), escaped(source));
    if !report.rows.is_empty() {
        let columns = columns(report);
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text.push('\n');
        text.push_str(&row(columns.iter().map(|column| escaped(column.head)).collect()));
        let rule = |right: bool| if right { "---:" } else { "---" }.to_owned();
        text.push_str(&row(columns.iter().map(|column| rule(column.right)).collect()));
        for at in 0..=report.rows.len() {
            let cell =
                |cells: &[(String, _)]| cells.get(at).map_or_else(String::new, |(cell, _)| escaped(cell));
            text.push_str(&row(columns.iter().map(|column| cell(&column.cells)).collect()));
        }
    }
    for note in footnotes(report) {
        _ = write!(text, "\n{}\n", escaped(&note));
    }
    text
}

/// Returns a text in which nothing is markup, a link, HTML or a formula.
fn escaped(text: &str) -> String {
    let text = printable(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let markup = matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '!' | '$' | '@'
        );
        // What looks like an address becomes a link by itself.
        let link = c == ':' && text.contains("://") || c == '.' && out.ends_with("www");
        if markup || link {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup() {
        for (text, expected) in [
            ("daily report", "daily report"),
            ("a|b\n| c |", "a\\|b\\\\n\\| c \\|"),
            ("[x](javascript:y)", "\\[x\\](javascript:y)"),
            ("<img src=x>", "\\<img src=x\\>"),
            ("http://x www.y", "http\\://x www\\.y"),
            ("at: noon", "at: noon"),
            ("**bold** `code`", "\\*\\*bold\\*\\* \\`code\\`"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
