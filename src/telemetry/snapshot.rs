//! The points of one moment, ready to be rendered as text or as OTLP.

use std::sync::Arc;

use super::catalogue::{Metric, key};
use crate::model::UnixMs;

/// Attributes that many points share.
pub type SharedAttributes = Arc<[(&'static str, String)]>;

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Cumulative count since the point's start.
    Counter(u64),
    /// Cumulative billionths since the point's start, shown as the whole unit: nano-USD as dollars, nanoseconds as seconds.
    Nano(u64),
    /// Last value.
    Gauge(f64),
    /// Cumulative buckets since the point's start.
    Histogram(HistogramValue),
}

/// Cumulative histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue {
    /// Inclusive upper bounds; one bucket more than bounds.
    pub bounds: &'static [u64],
    /// Observations per bucket (not accumulated over buckets).
    pub counts: Vec<u64>,
    /// Sum of all observations.
    pub sum: u64,
}

impl HistogramValue {
    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What the ledger says about the series behind a counter or histogram point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesFacts {
    /// The series' number; grows with creation, from 1.
    pub seq: u64,
    /// When it came into being, less one push interval: the start time of its points, never changed.
    pub start: UnixMs,
    /// Whether its first run was fresh when counted (at most 55 min old): then a zero point precedes it.
    pub live: bool,
    /// The revision of the totals at which it last changed.
    pub revision: u64,
}

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its family.
    pub metric: &'static Metric,
    /// Attributes that it shares with other points. Empty values are left out at encoding.
    pub shared: SharedAttributes,
    /// Attributes of its own, from closed lists.
    pub own: [Option<(&'static str, &'static str)>; 2],
    /// Its value.
    pub value: Value,
    /// `None` for gauges and for counters of this process.
    pub series: Option<SeriesFacts>,
}

impl Point {
    /// Returns the gateway whose point it is; empty: the sender's own.
    #[must_use]
    pub fn gateway(&self) -> &str {
        let first = self.shared.first().filter(|(key, _)| *key == key::INSTANCE);
        first.map_or("", |(_, gateway)| gateway)
    }

    /// Returns the attributes with a value, in a stable order.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.shared
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .chain(self.own.iter().flatten().map(|(key, value)| (*key, *value)))
            .filter(|(_, value)| !value.is_empty())
    }
}

/// All points of one moment, grouped by family in the order of the catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The points.
    pub points: Vec<Point>,
    /// Revision of the ledger's totals that they show.
    pub revision: u64,
    /// Number of the newest series, sent or not.
    pub newest_seq: u64,
    /// Start of this process: the start time of counters without a series.
    pub process_start: UnixMs,
}

/// What identifies the sender: the only resource attributes that are ever sent, since any other would make
/// Prometheus store a `target_info` series whose order then decides over whole requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`, which becomes the label `job`.
    pub service_name: String,
    /// `service.namespace`, put before the name in `job`.
    pub service_namespace: Option<String>,
    /// `service.instance.id`, the gateway's name, which becomes the label `instance`.
    pub service_instance_id: String,
}
