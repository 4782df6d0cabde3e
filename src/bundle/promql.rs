//! Where a PromQL expression selects our metrics, read off its tokens.
//!
//! Enough to put a label matcher into every selector, to put an expression in the place of a recorded series, and to say
//! which metrics and labels are named. Deliberately absent: the grammar. What is not understood stays as it is; that the
//! outcome is PromQL is for `promtool` to say.

/// Words before a parenthesis with labels in it.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// A part of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A metric of ours and what stands between the braces behind it, if there are any.
    Metric(&'a str, Option<&'a str>),
    /// Labels that are grouped or matched by: what stands between the parentheses.
    Grouping(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// Returns the pieces, which make up the expression but for the braces and parentheses around labels.
pub fn pieces(expression: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut at, mut plain) = (0, 0);
    while let Some(c) = expression[at..].chars().next() {
        if !is_name(c) {
            at = if matches!(c, '"' | '\'' | '`') { after_string(expression, at) } else { at + c.len_utf8() };
            continue;
        }
        let start = at;
        at = expression[at..].find(|c| !is_name(c)).map_or(expression.len(), |end| at + end);
        let word = &expression[start..at];
        let next = at + expression[at..].len() - expression[at..].trim_start().len();
        let opens = expression[next..].chars().next();
        let (piece, end) = if GROUPINGS.contains(&word) && opens == Some('(') {
            let end = closing(expression, next, ')');
            // The word itself is kept with what comes before it.
            pieces.push(Piece::Other(&expression[plain..at]));
            (Piece::Grouping(&expression[next + 1..end]), end + 1)
        } else if !is_ours(word) || opens == Some('(') {
            continue;
        } else if opens == Some('{') {
            let end = closing(expression, next, '}');
            pieces.push(Piece::Other(&expression[plain..start]));
            (Piece::Metric(word, Some(&expression[next + 1..end])), end + 1)
        } else {
            pieces.push(Piece::Other(&expression[plain..start]));
            (Piece::Metric(word, None), at)
        };
        pieces.push(piece);
        (at, plain) = (end.min(expression.len()), end.min(expression.len()));
    }
    pieces.push(Piece::Other(&expression[plain..]));
    pieces
}

/// Whether a metric may be ours; `process_…` are, and more than ours.
fn is_ours(word: &str) -> bool {
    word.contains("openclaw_") || word.starts_with("process_")
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The position behind the string that begins at `at`, or the end.
fn after_string(text: &str, at: usize) -> usize {
    let Some(quote) = text[at..].chars().next() else { return text.len() };
    let mut escaped = false;
    for (offset, c) in text[at..].char_indices().skip(1) {
        if c == quote && !escaped {
            return at + offset + 1;
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    text.len()
}

/// The position of what closes the bracket at `at`, or the end. Strings between them are passed over.
fn closing(text: &str, at: usize, close: char) -> usize {
    let mut here = at;
    while let Some(c) = text[here..].chars().next() {
        if c == close {
            return here;
        }
        here = if matches!(c, '"' | '\'' | '`') { after_string(text, here) } else { here + c.len_utf8() };
    }
    text.len()
}

/// Label matchers, such as `cluster="prod"`; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(String);

/// Text that is no list of label matchers.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the selector {given:?}: {why}; write it as in cluster=\"prod\",namespace=~\"agents-.*\"")]
pub struct SelectorError {
    given: String,
    why: &'static str,
}

impl Selector {
    /// Reads label matchers, with or without braces around them.
    ///
    /// # Errors
    /// It is no list of matchers.
    pub fn parse(given: &str) -> Result<Self, SelectorError> {
        let trimmed = given.trim();
        let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
        match matchers(inner) {
            Ok(found) => Ok(Self(found.join(", "))),
            Err(why) => Err(SelectorError { given: given.to_owned(), why }),
        }
    }

    /// Returns the matchers, separated by commas and without braces.
    #[must_use]
    pub fn matchers(&self) -> &str {
        &self.0
    }

    /// Returns the expression with the matchers in every selector of our metrics.
    #[must_use]
    pub fn add_to(&self, expression: &str) -> String {
        if self.0.is_empty() {
            return expression.to_owned();
        }
        rewrite(expression, |name, own| selected(name, own, &self.0))
    }
}

/// Returns the expression with something else in place of each selector of our metrics.
pub fn rewrite(expression: &str, with: impl Fn(&str, Option<&str>) -> String) -> String {
    let mut text = String::with_capacity(expression.len());
    for piece in pieces(expression) {
        match piece {
            Piece::Metric(name, own) => text.push_str(&with(name, own)),
            Piece::Grouping(labels) => text.push_str(&format!(" ({labels})")),
            Piece::Other(other) => text.push_str(other),
        }
    }
    text
}

/// Returns a selector as it was.
pub fn selector(name: &str, own: Option<&str>) -> String {
    own.map_or_else(|| name.to_owned(), |own| format!("{name}{{{own}}}"))
}

/// Returns a selector with further matchers.
pub fn selected(name: &str, own: Option<&str>, further: &str) -> String {
    match own.map(|own| own.trim().trim_end_matches(',')).filter(|own| !own.is_empty()) {
        Some(own) => format!("{name}{{{further}, {own}}}"),
        None => format!("{name}{{{further}}}"),
    }
}

/// Returns the matchers between the braces of a selector.
pub fn matchers(inner: &str) -> Result<Vec<&str>, &'static str> {
    let mut found = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let label = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if label == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("a matcher begins with the name of a label");
        }
        let after = rest[label..].trim_start();
        let Some(operator) = ["=~", "!~", "!=", "="].into_iter().find(|operator| after.starts_with(operator))
        else {
            return Err("behind a label stands =, !=, =~ or !~");
        };
        let value = after[operator.len()..].trim_start();
        let start = rest.len() - value.len();
        let end = after_string(rest, start);
        let quoted = rest[start..].chars().next().filter(|c| matches!(c, '"' | '\''));
        if quoted.is_none_or(|quote| end < start + 2 || !rest[..end].ends_with(quote)) {
            return Err("the value of a label stands in quotes");
        }
        found.push(rest[..end].trim_end());
        rest = rest[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            None => return Err("matchers are separated by commas"),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_goes_into_every_selector_of_ours() {
        let cluster = Selector::parse(r#"{cluster="prod"}"#).unwrap();
        for (expression, expected) in [
            ("openclaw_x_total", r#"openclaw_x_total{cluster="prod"}"#),
            ("time() - openclaw_x > 1", r#"time() - openclaw_x{cluster="prod"} > 1"#),
            (r#"rate(openclaw_x{a="b"}[5m])"#, r#"rate(openclaw_x{cluster="prod", a="b"}[5m])"#),
            (
                "openclaw_x{} or openclaw_y {a!=''}",
                r#"openclaw_x{cluster="prod"} or openclaw_y{cluster="prod", a!=''}"#,
            ),
            ("sum by (openclaw_a, b) (up)", "sum by (openclaw_a, b) (up)"),
            (
                "sum without(openclaw_a)(job:openclaw_x:sum[7d:1d] offset 1d)",
                r#"sum without (openclaw_a)(job:openclaw_x:sum{cluster="prod"}[7d:1d] offset 1d)"#,
            ),
            (
                r#"openclaw_x{a="}",b="\"openclaw_z"} * on(openclaw_c) group_left (openclaw_d) openclaw_y"#,
                r#"openclaw_x{cluster="prod", a="}",b="\"openclaw_z"} * on (openclaw_c) group_left (openclaw_d) openclaw_y{cluster="prod"}"#,
            ),
            (
                r#"label_replace(up, "openclaw_a", "$1", "b", "(.*)")"#,
                r#"label_replace(up, "openclaw_a", "$1", "b", "(.*)")"#,
            ),
        ] {
            assert_eq!(cluster.add_to(expression), expected);
        }
    }

    #[test]
    fn no_selector_changes_nothing() {
        let expression = "sum by(openclaw_a)(openclaw_x{} )";
        assert_eq!(Selector::parse(" {} ").unwrap().add_to(expression), expression);
    }

    #[test]
    fn cut_expressions_are_passed_through() {
        for expression in ["openclaw_x{a=\"", "sum by (openclaw_a", "'", "openclaw_é{", "`\\`openclaw_x"] {
            _ = Selector::parse("a='b'").unwrap().add_to(expression);
        }
    }

    #[test]
    fn only_matchers_are_a_selector() {
        for good in [r#"a="b""#, r#"a="b",c=~'d|e',"#, r#"{a!="b", c!~"x, y"}"#, ""] {
            assert!(Selector::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "a",
            "a=b",
            r#"="b""#,
            r#"a="b"#,
            r#"a="b" c="d""#,
            r#"1a="b""#,
            r#"a="b"} or up{c="d""#,
            "a=\"",
            "a='b\"",
        ] {
            let said = Selector::parse(bad).unwrap_err().to_string();
            assert!(said.contains("cluster=\"prod\""), "{said}");
        }
    }
}
