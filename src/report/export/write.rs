//! Rows as CSV by RFC 4180, as JSON Lines and as Parquet, one at a time.
//!
//! CSV goes into spreadsheets, so texts are made harmless as in the report's; JSON has them verbatim.

use std::io::{self, Write};

use jiff::Timestamp;

use super::columns::{COLUMNS, Row, Value};
use super::parquet::Parquet;
use crate::model::UnixMs;
use crate::report::csv::{harmless, quoted};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// CSV: a line of names, then a line per row.
    Csv,
    /// A JSON object per line.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// Writes rows.
pub struct RowWriter<W: Write + Send>(Body<W>);

enum Body<W: Write + Send> {
    /// Lines, made by a function each; and the one at hand.
    Lines {
        line_of: fn(&Row<'_>, &mut String) -> io::Result<()>,
        out: W,
        line: String,
    },
    Parquet(Box<Parquet<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    /// Begins to write.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn new(format: RowFormat, mut out: W) -> io::Result<Self> {
        let line = String::new();
        Ok(Self(match format {
            RowFormat::Csv => {
                write!(out, "{}\r\n", COLUMNS.map(|column| column.name).join(","))?;
                Body::Lines { line_of: delimited, out, line }
            }
            RowFormat::Jsonl => Body::Lines { line_of: object, out, line },
            RowFormat::Parquet => Body::Parquet(Box::new(Parquet::new(out)?)),
        }))
    }

    /// Writes a row.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        match &mut self.0 {
            Body::Lines { line_of, out, line } => {
                line.clear();
                line_of(row, line)?;
                out.write_all(line.as_bytes())
            }
            Body::Parquet(parquet) => parquet.row(row),
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Body::Lines { mut out, .. } => out.flush(),
            Body::Parquet(parquet) => parquet.finish(),
        }
    }
}

fn delimited(row: &Row<'_>, line: &mut String) -> io::Result<()> {
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        match value {
            Value::Null => {}
            Value::Text(text) => line.push_str(&quoted(&harmless(text))),
            Value::Integer(n) => line.push_str(&n.to_string()),
            Value::Time(at) => line.push_str(&rfc_3339(*at)),
            Value::Dollars(amount) => line.push_str(&amount.to_string()),
        }
    }
    line.push_str("\r\n");
    Ok(())
}

fn object(row: &Row<'_>, line: &mut String) -> io::Result<()> {
    for (column, value) in COLUMNS.iter().zip(row) {
        line.push_str(if line.is_empty() { "{\"" } else { ",\"" });
        line.push_str(column.name);
        line.push_str("\":");
        match value {
            Value::Null => line.push_str("null"),
            Value::Text(text) => line.push_str(&serde_json::to_string(text)?),
            Value::Integer(n) => line.push_str(&n.to_string()),
            Value::Time(at) => {
                line.push('"');
                line.push_str(&rfc_3339(*at));
                line.push('"');
            }
            // Every digit, as a number.
            Value::Dollars(amount) => line.push_str(&amount.to_string()),
        }
    }
    line.push_str("}\n");
    Ok(())
}

/// Returns a time by RFC 3339 in UTC, to the millisecond.
fn rfc_3339(at: UnixMs) -> String {
    // Times beyond the calendar are never counted; the number is all that can be said of one.
    Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| format!("{at:.3}"))
}
