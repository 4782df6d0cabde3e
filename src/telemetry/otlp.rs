//! Points as OTLP requests.
//!
//! Invariants: always cumulative; one stamp for all points of a snapshot; a series' start time is the ledger's
//! and never changes; each gateway's points stand in a resource of its own. Deliberately absent: delta temporality and exponential histograms, which some servers
//! drop without a word.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as OtlpMetric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;

use super::catalogue::{Kind, Metric, key};
use super::snapshot::{HistogramValue, Point, Resource, Value};
use crate::model::UnixMs;

/// Returns one request with these points, all stamped `stamp`. Neighbouring points of one family share its
/// header, so give them in the snapshot's order. No point at all makes a request that is valid and empty.
#[must_use]
pub fn request<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    resource: &Resource,
    stamp: UnixMs,
    process_start: UnixMs,
) -> ExportMetricsServiceRequest {
    envelope(points, resource, |point| data_point(point, stamp, process_start, false))
}

/// Returns one request with a zero for each of these series, stamped by `stamp_of`: what must precede the
/// first value of a new series, so that no server takes that value for the beginning of time.
#[must_use]
pub fn zero_request<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    resource: &Resource,
    stamp_of: impl Fn(&Point) -> UnixMs,
) -> ExportMetricsServiceRequest {
    envelope(points, resource, |point| data_point(point, stamp_of(point), UnixMs::default(), true))
}

enum DataPoint {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
}

fn envelope<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    resource: &Resource,
    encode: impl Fn(&Point) -> DataPoint,
) -> ExportMetricsServiceRequest {
    // The sender's own first; those of other gateways in the order in which they come.
    let mut gateways: Vec<(&str, Vec<OtlpMetric>)> = vec![("", Vec::new())];
    for point in points {
        let gateway = point.gateway();
        let at = gateways.iter().position(|(known, _)| *known == gateway).unwrap_or_else(|| {
            gateways.push((gateway, Vec::new()));
            gateways.len() - 1
        });
        let metrics = &mut gateways[at].1;
        if metrics.last().is_none_or(|last| last.name != point.metric.name) {
            metrics.push(header(point.metric));
        }
        // Just pushed if there was none.
        let Some(data) = metrics.last_mut().and_then(|last| last.data.as_mut()) else { continue };
        match (data, encode(point)) {
            (metric::Data::Sum(sum), DataPoint::Number(number)) => sum.data_points.push(number),
            (metric::Data::Gauge(gauge), DataPoint::Number(number)) => gauge.data_points.push(number),
            (metric::Data::Histogram(histogram), DataPoint::Histogram(data)) => {
                histogram.data_points.push(data);
            }
            (_, _) => debug_assert!(false, "{} holds a value of another kind", point.metric.name),
        }
    }
    let is_alone = gateways.len() == 1;
    gateways.retain(|(_, metrics)| is_alone || !metrics.is_empty());
    let resource_metrics = gateways.into_iter().map(|(gateway, metrics)| ResourceMetrics {
        resource: Some(match gateway {
            "" => resource_attributes(resource),
            other => {
                resource_attributes(&Resource { service_instance_id: other.to_owned(), ..resource.clone() })
            }
        }),
        scope_metrics: vec![ScopeMetrics { scope: Some(unversioned()), metrics, schema_url: String::new() }],
        schema_url: String::new(),
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
}

fn header(metric: &Metric) -> OtlpMetric {
    let temporality = AggregationTemporality::Cumulative.into();
    let data = match metric.kind {
        Kind::Sum => metric::Data::Sum(Sum {
            data_points: Vec::new(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: Vec::new() }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: Vec::new(),
            aggregation_temporality: temporality,
        }),
    };
    OtlpMetric {
        name: metric.name.into(),
        description: metric.help.into(),
        unit: metric.unit.into(),
        data: Some(data),
        ..Default::default()
    }
}

fn data_point(point: &Point, stamp: UnixMs, process_start: UnixMs, zero: bool) -> DataPoint {
    let start = point.series.map_or(process_start, |series| series.start).as_unix_nano();
    let time_unix_nano = stamp.as_unix_nano();
    let attributes = point.attributes().filter(|(key, _)| *key != key::INSTANCE);
    let attributes = attributes.map(|(key, value)| key_value(key, value)).collect();
    match &point.value {
        Value::Counter(total) => DataPoint::Number(NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano,
            value: Some(integer(if zero { 0 } else { *total })),
            ..Default::default()
        }),
        Value::Nano(nano) => DataPoint::Number(NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano,
            value: Some(number_data_point::Value::AsDouble(if zero { 0.0 } else { whole(*nano) })),
            ..Default::default()
        }),
        Value::Gauge(value) => DataPoint::Number(NumberDataPoint {
            attributes,
            time_unix_nano,
            value: Some(number_data_point::Value::AsDouble(*value)),
            ..Default::default()
        }),
        Value::Histogram(value) => {
            DataPoint::Histogram(histogram(value, attributes, start, time_unix_nano, zero))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds and sums of milliseconds stay below 2^53")]
fn histogram(
    value: &HistogramValue,
    attributes: Vec<KeyValue>,
    start_time_unix_nano: u64,
    time_unix_nano: u64,
    zero: bool,
) -> HistogramDataPoint {
    let (count, sum, bucket_counts) = if zero {
        (0, 0, vec![0; value.counts.len()])
    } else {
        (value.count(), value.sum, value.counts.clone())
    };
    HistogramDataPoint {
        attributes,
        start_time_unix_nano,
        time_unix_nano,
        count,
        sum: Some(sum as f64),
        bucket_counts,
        explicit_bounds: value.bounds.iter().map(|bound| *bound as f64).collect(),
        ..Default::default()
    }
}

/// The only place where money becomes a float: doubles hold nano-dollars exactly up to nine million dollars.
#[expect(clippy::cast_precision_loss, reason = "encoding")]
const fn whole(nano: u64) -> f64 {
    nano as f64 / 1e9
}

fn integer(total: u64) -> number_data_point::Value {
    number_data_point::Value::AsInt(i64::try_from(total).unwrap_or(i64::MAX))
}

/// Returns who made what is sent.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "openclaw-usage".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    }
}

/// Returns the same without a version: servers that make labels of it would take every series for a new one after an upgrade.
fn unversioned() -> InstrumentationScope {
    InstrumentationScope { version: String::new(), ..scope() }
}

/// Returns the only resource attributes that are ever sent.
pub(super) fn resource_attributes(resource: &Resource) -> OtlpResource {
    let mut attributes = vec![key_value("service.name", &resource.service_name)];
    if let Some(namespace) = &resource.service_namespace {
        attributes.push(key_value("service.namespace", namespace));
    }
    attributes.push(key_value("service.instance.id", &resource.service_instance_id));
    OtlpResource { attributes, ..Default::default() }
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalogue;
    use crate::telemetry::snapshot::SharedAttributes;

    #[test]
    fn each_gateway_has_a_resource_of_its_own() {
        let point = |gateway: &str, metric: &'static Metric| {
            let shared: SharedAttributes =
                vec![(key::INSTANCE, gateway.to_owned()), (key::JOB_ID, "a".to_owned())].into();
            Point { metric, shared, own: [None, None], value: Value::Counter(7), series: None }
        };
        let families = [&catalogue::TOKENS, &catalogue::RUNS];
        let points: Vec<Point> = families
            .iter()
            .flat_map(|metric| ["", "north", "south"].map(|gateway| point(gateway, metric)))
            .collect();
        let resource =
            Resource { service_name: "n".into(), service_namespace: None, service_instance_id: "own".into() };
        let request = request(&points, &resource, UnixMs(2), UnixMs(1));
        let shape: Vec<(String, Vec<(String, usize)>)> = request
            .resource_metrics
            .iter()
            .map(|one| {
                let attributes = &one.resource.as_ref().unwrap().attributes;
                let instance = format!("{:?}", attributes.last().unwrap().value);
                let metrics = one.scope_metrics[0].metrics.iter();
                let metrics = metrics.map(|metric| {
                    let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("a sum") };
                    (metric.name.clone(), sum.data_points[0].attributes.len())
                });
                (instance, metrics.collect())
            })
            .collect();
        let metrics = vec![("openclaw.tokens".to_owned(), 1), ("openclaw.cron.runs".to_owned(), 1)];
        assert_eq!(shape.len(), 3);
        for ((instance, found), expected) in shape.into_iter().zip(["own", "north", "south"]) {
            assert!(instance.contains(expected), "{instance}");
            assert_eq!(found, metrics, "{expected}");
        }
    }
}
