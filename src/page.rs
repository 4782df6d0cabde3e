//! Lines of at most 80 columns, safe to print on a terminal whatever they hold.
//!
//! Deliberately absent: colours, and what is said.

use std::fmt::Write as _;

/// Columns of the narrowest terminal that is served.
pub const WIDTH: usize = 80;

/// A text that grows line by line.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Returns the text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Adds words behind `head`, broken into lines that begin below each other. `head` is ours and plain; what
    /// has no blank in it, such as a path, is never broken.
    pub fn paragraph(&mut self, head: &str, words: &str) {
        let room = WIDTH.saturating_sub(columns(head));
        let mut head = head.to_owned();
        for line in wrap(&printable(words), room) {
            let full = format!("{head}{line}");
            self.text.push_str(full.trim_end());
            self.text.push('\n');
            head = " ".repeat(columns(&head));
        }
    }

    /// Adds a row of cells, each padded to its width: left-aligned, or right-aligned if the width is negative.
    /// A cell that is too wide is cut.
    pub fn row(&mut self, cells: &[(&str, isize)]) {
        let mut line = String::from("  ");
        for (cell, width) in cells {
            let columns_wanted = width.unsigned_abs();
            let cell = cut(&printable(cell), columns_wanted);
            let padding = " ".repeat(columns_wanted.saturating_sub(columns(&cell)));
            _ = if *width < 0 {
                write!(line, "{padding}{cell}  ")
            } else {
                write!(line, "{cell}{padding}  ")
            };
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// Returns text that cannot steer a terminal or deceive a reader: control characters, characters that change
/// the direction of writing, and invisible ones become escapes.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        if c.is_control() || hidden { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Returns how many columns a text takes up: ideographs and emoji take two.
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}

/// Returns a count with its thousands apart.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with its noun, which takes an s but for one.
pub fn many(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", number(n))
}

/// Returns a time, which is in milliseconds since the epoch, for people.
pub fn utc(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| format!("{at_ms} ms"), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Returns a text that takes up at most `width` columns, with `…` where it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if columns(&short) + if is_wide(c) { 2 } else { 1 } >= width {
            break;
        }
        short.push(c);
    }
    short + "…"
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_or_deceives_is_printed() {
        for (text, expected) in [
            ("daily report", "daily report"),
            ("Grüße 日本 🦞", "Grüße 日本 🦞"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}txt.exe", "abc\\u{202e}txt.exe"),
            ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"),
            ("in\u{200b}visible\u{feff}", "in\\u{200b}visible\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn counts_are_for_people() {
        for (n, expected) in [(0, "0 runs"), (1, "1 run"), (999, "999 runs"), (1_000, "1,000 runs")] {
            assert_eq!(many(n, "run"), expected);
        }
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn lines_break_between_words_and_never_in_a_path() {
        let mut page = Page::default();
        let path = format!("/{}", "x".repeat(90));
        page.paragraph("  note  ", &format!("{} {path} {}", "word ".repeat(20), "word ".repeat(3)));
        let text = page.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(columns(lines[0]), 77, "one more word would not fit");
        assert_eq!(lines[2].trim(), path);
        assert!(lines[1..].iter().all(|line| line.starts_with("        ")), "{text}");
    }

    #[test]
    fn cells_are_cut_and_padded_by_columns() {
        let mut page = Page::default();
        page.row(&[("日本語のジョブ", 9), ("7", -5)]);
        page.row(&[("abc", 9), ("1,234", -5)]);
        assert_eq!(page.finish(), "  日本語の…      7\n  abc        1,234\n");
    }
}
