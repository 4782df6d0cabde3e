//! YAML that people read: only what the files of a bundle need.
//!
//! Deliberately absent: reading it, anchors, and plain words where they could pass for something else; every text is quoted
//! or stands in a block of its own.

use std::fmt::Write as _;

/// A node of a document.
#[derive(Clone, Debug)]
pub enum Node {
    /// Keys, which are plain words of ours, and their values in this order.
    Map(Vec<(&'static str, Node)>),
    /// One key that is a file's name, and its value.
    Entry(String, Box<Node>),
    /// Items.
    List(Vec<Node>),
    /// Any text.
    Text(String),
    /// A number, or a word that stands without quotes: never somebody else's text.
    Plain(String),
}

impl Node {
    /// Returns a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns a number or a word of ours.
    pub fn plain(value: impl ToString) -> Self {
        Self::Plain(value.to_string())
    }
}

/// Returns the whole document.
pub fn document(node: &Node) -> String {
    let mut text =
        String::from("# Written by `openclaw-usage bundle`: change alerts/source, not this file.\n");
    write(node, 0, &mut text);
    text
}

/// Writes a node that begins on a line of its own.
fn write(node: &Node, indent: usize, out: &mut String) {
    match node {
        Node::Map(entries) => {
            for (key, value) in entries {
                _ = write!(out, "{:indent$}{key}:", "");
                value_of(value, indent, out);
            }
        }
        Node::Entry(key, value) => {
            _ = write!(out, "{:indent$}{key}:", "");
            value_of(value, indent, out);
        }
        Node::List(items) => {
            for item in items {
                let mut inner = String::new();
                write(item, indent + 2, &mut inner);
                _ = writeln!(out, "{:indent$}- {}", "", inner.trim_start().trim_end_matches('\n'));
            }
        }
        Node::Text(text) => _ = writeln!(out, "{:indent$}{}", "", quoted(text)),
        Node::Plain(word) => _ = writeln!(out, "{:indent$}{word}", ""),
    }
}

/// Writes what stands behind a key.
fn value_of(value: &Node, indent: usize, out: &mut String) {
    match value {
        Node::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Node::List(items) if items.is_empty() => out.push_str(" []\n"),
        Node::Map(_) | Node::Entry(..) | Node::List(_) => {
            out.push('\n');
            write(value, indent + 2, out);
        }
        Node::Text(text) if is_block(text) => {
            // Where the first line is indented, the depth of the block must be said.
            let depth = if text.starts_with(' ') { "2" } else { "" };
            _ = writeln!(out, " |{depth}{}", if text.ends_with('\n') { "" } else { "-" });
            for line in text.lines() {
                if line.is_empty() {
                    out.push('\n');
                } else {
                    _ = writeln!(out, "{:1$}{line}", "", indent + 2);
                }
            }
        }
        Node::Text(text) => _ = writeln!(out, " {}", quoted(text)),
        Node::Plain(word) => _ = writeln!(out, " {word}"),
    }
}

/// Whether a text can stand in a block: several lines of printable characters, at most one newline at the end.
fn is_block(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with('\n')
        && text.chars().all(|c| {
            c == '\n' || !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        })
}

/// A string of JSON is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_what_people_would_write() {
        let node = Node::Map(vec![
            ("apiVersion", Node::plain(1)),
            ("empty", Node::Map(Vec::new())),
            (
                "groups",
                Node::List(vec![
                    Node::Map(vec![("name", Node::text("a: #b")), ("expr", Node::text("x\n  > 1\n\nand y"))]),
                    Node::Map(vec![("rules", Node::List(vec![Node::text("yes"), Node::plain("no")]))]),
                ]),
            ),
            ("file", Node::text("a\nb\n")),
            ("indented", Node::text("  a\n/\n  b")),
            ("odd", Node::text("a\nb\u{1}")),
        ]);
        let expected = "\
apiVersion: 1
empty: {}
groups:
  - name: \"a: #b\"
    expr: |-
      x
        > 1

      and y
  - rules:
      - \"yes\"
      - no
file: |
  a
  b
indented: |2-
    a
  /
    b
odd: \"a\\nb\\u0001\"
";
        assert_eq!(document(&node).split_once('\n').unwrap().1, expected);
    }
}
