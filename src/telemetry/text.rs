//! Points as text for a scrape: OpenMetrics 1.0, and Prometheus's classic format.
//!
//! Both carry the families under the names that a push ends up under, so that scrape and push are
//! interchangeable. Values of labels are escaped; any text is safe in them.

use std::fmt::Write;

use super::catalogue::{Kind, Metric};
use super::names;
use super::snapshot::{HistogramValue, Point, Snapshot, Value};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Classic,
}

impl Format {
    /// Returns the format that an `Accept` header asks for; the classic one if it does not say.
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let asks = accept.is_some_and(|accept| {
            accept.split(',').any(|range| range.trim_start().starts_with("application/openmetrics-text"))
        });
        if asks { Self::OpenMetrics } else { Self::Classic }
    }

    /// Returns the `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Renders a snapshot.
#[must_use]
pub fn render(snapshot: &Snapshot, format: Format) -> String {
    let mut out = String::with_capacity(256 * snapshot.points.len());
    points(&mut out, snapshot, format, (0, usize::MAX));
    end(&mut out, format);
    out
}

/// About how long a piece of text is, in bytes.
const PIECE_BYTES: usize = 32 << 10;

/// A snapshot's text in pieces, each rendered when it is asked for, so that memory holds one of them.
#[derive(Debug)]
pub struct Pieces {
    snapshot: Snapshot,
    format: Format,
    /// The next point; `None`: all was told.
    next: Option<usize>,
}

impl Pieces {
    /// Returns the pieces of a snapshot.
    #[must_use]
    pub const fn new(snapshot: Snapshot, format: Format) -> Self {
        Self { snapshot, format, next: Some(0) }
    }
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let from = self.next?;
        let mut out = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        let next = points(&mut out, &self.snapshot, self.format, (from, PIECE_BYTES));
        self.next = (next < self.snapshot.points.len()).then_some(next);
        if self.next.is_none() {
            end(&mut out, self.format);
        }
        Some(out)
    }
}

/// Renders points from one on until the text has a length. Returns which comes next.
fn points(out: &mut String, snapshot: &Snapshot, format: Format, (from, bytes): (usize, usize)) -> usize {
    let before = from.checked_sub(1).and_then(|at| snapshot.points.get(at));
    let mut family: Option<&Metric> = before.map(|point| point.metric);
    let mut next = from;
    for point in &snapshot.points[from.min(snapshot.points.len())..] {
        if out.len() >= bytes {
            break;
        }
        if family != Some(point.metric) {
            out.push_str(&header(point.metric, format));
            family = Some(point.metric);
        }
        let created = point.series.map_or(snapshot.process_start, |series| series.start);
        sample(out, point, format, created.as_unix_seconds());
        next += 1;
    }
    next
}

fn end(out: &mut String, format: Format) {
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

/// Returns what stands before the samples of a family.
pub fn header(metric: &Metric, format: Format) -> String {
    let name = match format {
        Format::OpenMetrics => names::family(metric),
        Format::Classic => names::series(metric),
    };
    let kind = match metric.kind {
        Kind::Sum => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    format!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help)
}

fn sample(out: &mut String, point: &Point, format: Format, created: f64) {
    let family = names::family(point.metric);
    let labels = labels(point.attributes());
    match &point.value {
        Value::Counter(total) => line(out, &family, "_total", &labels, None, total),
        Value::Nano(nano) => line(out, &family, "_total", &labels, None, &whole(*nano)),
        Value::Gauge(value) => line(out, &family, "", &labels, None, value),
        Value::Histogram(histogram) => buckets(out, &family, &labels, histogram, format),
    }
    if format == Format::OpenMetrics && point.metric.kind != Kind::Gauge {
        line(out, &family, "_created", &labels, None, &created);
    }
}

/// Returns an amount of billionths with all its digits, as a decimal number.
pub fn whole(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn buckets(out: &mut String, family: &str, labels: &str, histogram: &HistogramValue, format: Format) {
    let mut below = 0;
    for (at, count) in histogram.counts.iter().enumerate() {
        below += count;
        let bound = match (histogram.bounds.get(at), format) {
            (None, _) => "+Inf".to_owned(),
            (Some(bound), Format::OpenMetrics) => format!("{bound}.0"),
            (Some(bound), Format::Classic) => bound.to_string(),
        };
        line(out, family, "_bucket", labels, Some(&bound), &below);
    }
    line(out, family, "_sum", labels, None, &histogram.sum);
    line(out, family, "_count", labels, None, &below);
}

fn line(
    out: &mut String,
    family: &str,
    suffix: &str,
    labels: &str,
    bound: Option<&str>,
    value: &dyn std::fmt::Display,
) {
    out.push_str(family);
    out.push_str(suffix);
    if !labels.is_empty() || bound.is_some() {
        out.push('{');
        out.push_str(labels);
        if let Some(bound) = bound {
            let separator = if labels.is_empty() { "" } else { "," };
            let _ = write!(out, "{separator}le=\"{bound}\"");
        }
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

/// Returns attributes as labels, as they stand between braces.
pub fn labels<'k, 'v>(attributes: impl Iterator<Item = (&'k str, &'v str)>) -> String {
    let mut out = String::new();
    for (key, value) in attributes {
        let separator = if out.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(out, "{separator}{}=\"", names::label(key));
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UnixMs;
    use crate::telemetry::catalogue::{self, key};
    use crate::telemetry::{SeriesFacts, SharedAttributes};

    fn snapshot() -> Snapshot {
        let shared: SharedAttributes =
            vec![(key::JOB_NAME, "a\"b\\c\nd\u{202e}".to_owned()), (key::AGENT, String::new())].into();
        let facts = Some(SeriesFacts { seq: 1, start: UnixMs(1_500), live: true, revision: 1 });
        let point = |metric, own, value, series| Point {
            metric,
            shared: SharedAttributes::clone(&shared),
            own: [own, None],
            value,
            series,
        };
        let histogram = HistogramValue { bounds: &[100, 250], counts: vec![1, 0, 2], sum: 900 };
        Snapshot {
            points: vec![
                point(&catalogue::TOKENS, Some((key::TOKEN, "input")), Value::Counter(7), facts),
                point(&catalogue::RUN_DURATION, None, Value::Histogram(histogram), facts),
                point(&catalogue::JOB_INFO, None, Value::Gauge(1.0), None),
            ],
            ..Snapshot::default()
        }
    }

    #[test]
    fn both_formats_render_the_same_families() {
        insta::assert_snapshot!("openmetrics", render(&snapshot(), Format::OpenMetrics));
        insta::assert_snapshot!("classic", render(&snapshot(), Format::Classic));
    }

    #[test]
    fn pieces_are_the_whole() {
        let mut large = snapshot();
        large.points =
            std::mem::take(&mut large.points).iter().flat_map(|point| vec![point.clone(); 300]).collect();
        for snapshot in [large, snapshot(), Snapshot::default()] {
            for format in [Format::OpenMetrics, Format::Classic] {
                let pieces: Vec<String> = Pieces::new(snapshot.clone(), format).collect();
                assert_eq!(pieces.concat(), render(&snapshot, format));
                assert_eq!(pieces.len() > 2, snapshot.points.len() > 500, "{}", pieces.len());
                assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES));
            }
        }
    }

    #[test]
    fn amounts_keep_every_digit() {
        for (nano, text) in [(0, "0"), (1, "0.000000001"), (205_171_000, "0.205171"), (3_000_000_000, "3")] {
            assert_eq!(whole(nano), text);
        }
    }

    #[test]
    fn the_format_is_what_the_scraper_asks_for() {
        for (accept, expected) in [
            (None, Format::Classic),
            (Some("text/plain"), Format::Classic),
            (Some("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4"), Format::OpenMetrics),
            (Some("text/html, application/openmetrics-text"), Format::OpenMetrics),
        ] {
            assert_eq!(Format::negotiate(accept), expected, "{accept:?}");
        }
    }
}
