//! The harness itself, on the real servers: what it starts, crashes and asks is what it says, and OTLP built by
//! hand arrives. Every other end-to-end test stands on this.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::Value;

use crate::common::http;
use crate::common::real_time::{now_ms, until};
use crate::common::servers::{Collector, Prometheus, Version, promtool_check_metrics};

const MINUTE_MS: u64 = 60_000;

#[test]
fn prometheus_2_stores_a_pushed_sum() {
    stores_a_pushed_sum(Version::V2);
}

#[test]
fn prometheus_3_stores_a_pushed_sum() {
    stores_a_pushed_sum(Version::V3);
}

fn stores_a_pushed_sum(version: Version) {
    let prometheus = Prometheus::start(version, &[]);
    assert_eq!(prometheus.otlp_endpoint(), format!("http://{}/api/v1/otlp", prometheus.address()));
    assert!(prometheus.series_names().is_empty());
    let now = now_ms();
    push(&prometheus, 42, now - MINUTE_MS);
    push(&prometheus, 1500, now);

    let [(labels, value)] = &prometheus.query("openclaw_tokens_total", Some(now))[..] else {
        panic!("one series of that name: {:?}", prometheus.series_names());
    };
    assert_eq!(*value, 1500.0);
    assert_eq!(labels["openclaw_token"], "input");
    assert_eq!((labels["job"].as_str(), labels["instance"].as_str()), ("openclaw-usage", "test"));
    assert_eq!(values(&prometheus, "openclaw_tokens_total", Some(now - 1)), [42.0], "asked for its time");
    assert_eq!(prometheus.series_names().into_iter().collect::<Vec<_>>(), ["openclaw_tokens_total"]);
}

#[test]
fn prometheus_2_keeps_port_and_data_over_restarts() {
    keeps_port_and_data(Version::V2);
}

#[test]
fn prometheus_3_keeps_port_and_data_over_restarts() {
    keeps_port_and_data(Version::V3);
}

fn keeps_port_and_data(version: Version) {
    let mut prometheus = Prometheus::start(version, &[]);
    let (address, now) = (prometheus.address(), now_ms());
    push(&prometheus, 7, now - MINUTE_MS);

    prometheus.kill();
    assert!(http::get(address, "/-/ready").is_err(), "nobody listens on {address}");
    prometheus.restart_same_port_and_data();
    push(&prometheus, 8, now);

    prometheus.stop();
    assert!(http::get(address, "/-/ready").is_err(), "nobody listens on {address}");
    prometheus.restart_same_port_and_data();
    assert_eq!(prometheus.address(), address);
    assert_eq!(values(&prometheus, "openclaw_tokens_total", Some(now - 1)), [7.0]);
    assert_eq!(values(&prometheus, "openclaw_tokens_total", Some(now)), [8.0]);
}

#[test]
fn prometheus_refuses_otlp_that_nobody_enabled() {
    for version in [Version::V2, Version::V3] {
        let response = Prometheus::start_without_otlp(version).post_otlp(&[]);
        assert_eq!(response.status, 404, "{version:?}: {}", response.text());
    }
}

/// The window lets in what an empty configuration refuses, so both the text and the refusal arrive.
#[test]
fn prometheus_takes_a_configuration() {
    let window = "storage: {tsdb: {out_of_order_time_window: 2h}}";
    let old = request(1, now_ms() - 100 * MINUTE_MS).encode_to_vec();
    for (config, status) in [("", 400), (window, 200)] {
        let prometheus = Prometheus::start_with_config(Version::V3, config, &[]);
        push(&prometheus, 2, now_ms());
        let response = prometheus.post_otlp(&old);
        assert_eq!(response.status, status, "{config:?}: {}", response.text());
    }
}

#[test]
fn collector_writes_what_arrives_by_grpc() {
    let collector = Collector::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async {
        let mut client =
            MetricsServiceClient::connect(collector.grpc_endpoint()).await.expect("a connection");
        client.export(request(42, now_ms())).await.expect("an answer")
    });
    assert_eq!(answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_data_points), 0);
    assert_eq!(first_received(&collector), ("openclaw.tokens".into(), "42".into()));
}

#[test]
fn collector_writes_what_arrives_by_http() {
    let collector = Collector::start();
    assert_eq!(collector.http_endpoint(), format!("http://{}", collector.http_address()));
    let body = request(43, now_ms()).encode_to_vec();
    let response = http::post(collector.http_address(), "/v1/metrics", "application/x-protobuf", &body);
    assert_eq!(response.expect("an answer").status, 200);
    assert_eq!(first_received(&collector), ("openclaw.tokens".into(), "43".into()));
}

#[test]
fn promtool_tells_a_good_page_from_a_bad_one() {
    let good = "# HELP openclaw_tokens_total Tokens.\n# TYPE openclaw_tokens_total counter\nopenclaw_tokens_total 1\n";
    let (status, said) = promtool_check_metrics(good, &[]);
    assert!(status.success(), "{said}");

    let (status, said) = promtool_check_metrics(&good.replace("tokens_total", "tokens"), &[]);
    assert!(!status.success());
    assert!(said.contains(r#"counter metrics should have "_total" suffix"#), "{said}");
}

fn push(prometheus: &Prometheus, tokens: i64, time_ms: u64) {
    let response = prometheus.post_otlp(&request(tokens, time_ms).encode_to_vec());
    assert_eq!(response.status, 200, "{}", response.text());
}

fn values(prometheus: &Prometheus, promql: &str, at_ms: Option<u64>) -> Vec<f64> {
    prometheus.query(promql, at_ms).into_iter().map(|(_, value)| value).collect()
}

/// The name of the first metric that the Collector wrote, and its value, which OTLP's JSON spells as a string.
fn first_received(collector: &Collector) -> (Value, Value) {
    let first = until("a request in the Collector's file", || collector.received().into_iter().next());
    let metric = &first["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    (metric["name"].clone(), metric["sum"]["dataPoints"][0]["asInt"].clone())
}

/// One cumulative point of one series, as OTLP.
fn request(tokens: i64, time_ms: u64) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        attributes: vec![text("openclaw.token", "input")],
        start_time_unix_nano: (time_ms - MINUTE_MS) * 1_000_000,
        time_unix_nano: time_ms * 1_000_000,
        value: Some(number_data_point::Value::AsInt(tokens)),
        ..NumberDataPoint::default()
    };
    let sum = Sum {
        data_points: vec![point],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    };
    let metric = Metric {
        name: "openclaw.tokens".into(),
        unit: "1".into(),
        data: Some(metric::Data::Sum(sum)),
        ..Metric::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", "openclaw-usage"), text("service.instance.id", "test")],
        ..Resource::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}
