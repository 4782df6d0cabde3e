//! Texts of others, made harmless and cut to what a service takes.

/// Follows an `@`, so that what comes behind it is no mention: a blank of no width.
const GAP: char = '\u{200b}';
/// Stands for what was cut off.
const MORE: char = '…';

/// How a service measures texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// UTF-16 code units: at least as many as characters, however a service counts those.
    Utf16,
    /// Bytes of UTF-8.
    Bytes,
}

impl Unit {
    fn of(self, text: &str) -> usize {
        match self {
            Self::Utf16 => text.encode_utf16().count(),
            Self::Bytes => text.len(),
        }
    }
}

/// Writes a character so that it stands for itself.
pub type Escape = fn(char, &mut String);

/// Returns as much of a text as fits, escaped; what is cut ends with an ellipsis, and no escape is torn.
#[must_use]
pub fn fit(text: &str, limit: usize, unit: Unit, escape: Escape) -> String {
    let (mut out, mut length, mut cut) = (String::new(), 0, 0);
    let room = limit.saturating_sub(unit.of("…"));
    for c in text.chars() {
        let start = out.len();
        escape(c, &mut out);
        length += unit.of(&out[start..]);
        if length > limit {
            out.truncate(cut);
            if unit.of(&out) + unit.of("…") <= limit {
                out.push(MORE);
            }
            return out;
        }
        if length <= room {
            cut = out.len();
        }
    }
    out
}

/// Returns whole lines of a text as far as they fit, then an ellipsis if some are missing.
#[must_use]
pub fn fit_lines(text: &str, limit: usize, unit: Unit, escape: Escape) -> String {
    let whole = fit(text, limit, unit, escape);
    if !whole.ends_with(MORE) || text.ends_with(MORE) {
        return whole;
    }
    match whole.rsplit_once('\n') {
        Some((lines, _)) => format!("{lines}\n{MORE}"),
        None => whole,
    }
}

/// No markup: a mention is still none.
pub fn plain(c: char, out: &mut String) {
    out.push(c);
    if c == '@' {
        out.push(GAP);
    }
}

/// As it is, where a service reads neither markup nor mentions.
pub fn verbatim(c: char, out: &mut String) {
    out.push(c);
}

/// Markdown of Discord and Mattermost.
pub fn markdown(c: char, out: &mut String) {
    if matches!(
        c,
        '\\' | '`' | '*' | '_' | '~' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '!' | '-' | '+' | ':'
    ) {
        out.push('\\');
    }
    plain(c, out);
}

/// Slack's `mrkdwn`, as Slack says how to escape it.
pub fn mrkdwn(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => plain(c, out),
    }
}

/// Inside of a block of code of Markdown: nothing ends it.
pub fn code(c: char, out: &mut String) {
    plain(if c == '`' { 'ʼ' } else { c }, out);
}

/// The same in Slack.
pub fn mrkdwn_code(c: char, out: &mut String) {
    mrkdwn(if c == '`' { 'ʼ' } else { c }, out);
}

/// Returns a text of others as one line.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || is_hidden(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Returns a text of others without what steers a terminal, hides or turns text around; it keeps its lines.
#[must_use]
pub fn readable(text: &str) -> String {
    let kept = |c: &char| matches!(c, '\n' | '\t') || !is_hidden(*c);
    text.replace("\r\n", "\n").chars().filter(kept).collect::<String>().trim().to_owned()
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}')
}
