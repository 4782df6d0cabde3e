//! Every kind of server that gateways push to and `report --prometheus` asks, behind one face.

#[cfg(feature = "fleet")]
mod mimir;
#[cfg(feature = "fleet")]
mod thanos;
#[cfg(feature = "fleet")]
mod victoria_metrics;

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;

use super::prometheus::{self, Prometheus, Sample, Version};
use crate::common::http::{self, Response};

/// A server, and what is asked of it.
pub struct Fleet {
    /// Where OTLP goes.
    push: (SocketAddr, &'static str),
    /// What `/api/v1/query` follows.
    ask: (SocketAddr, &'static str),
    /// A header without which it does neither.
    header: Option<&'static str>,
    /// The label that holds the service's name.
    service_label: &'static str,
    server: Server,
    folder: TempDir,
}

/// What runs for it, for as long as it is held.
enum Server {
    Prometheus(#[expect(dead_code, reason = "held")] Prometheus),
    #[cfg(feature = "fleet")]
    Sidecar(#[expect(dead_code, reason = "held")] (Prometheus, thanos::Sidecar)),
    #[cfg(feature = "fleet")]
    Receive(thanos::Receive),
    #[cfg(feature = "fleet")]
    Mimir(#[expect(dead_code, reason = "held")] mimir::Mimir),
    #[cfg(feature = "fleet")]
    VictoriaMetrics(Prometheus, victoria_metrics::VictoriaMetrics),
}

impl Fleet {
    pub fn prometheus(version: Version) -> Self {
        let prometheus = Prometheus::start(version, &[]);
        let address = prometheus.address();
        Self::new((address, PROMETHEUS_OTLP), (address, ""), Server::Prometheus(prometheus))
    }

    /// Thanos in front of a Prometheus.
    #[cfg(feature = "fleet")]
    pub fn thanos_sidecar() -> Self {
        Self::sidecar(&[])
    }

    /// The same that knows of a further store, where nobody is.
    #[cfg(feature = "fleet")]
    pub fn thanos_without_a_store() -> Self {
        Self::sidecar(&["--endpoint-strict=127.0.0.1:1"])
    }

    #[cfg(feature = "fleet")]
    fn sidecar(flags: &[&str]) -> Self {
        let prometheus =
            Prometheus::start_with_config(Version::V3, "global: {external_labels: {cluster: test}}\n", &[]);
        let sidecar = thanos::Sidecar::start(&prometheus, flags);
        Self::new(
            (prometheus.address(), PROMETHEUS_OTLP),
            (sidecar.querier(), ""),
            Server::Sidecar((prometheus, sidecar)),
        )
    }

    /// Thanos alone.
    #[cfg(feature = "fleet")]
    pub fn thanos_receive() -> Self {
        let receive = thanos::Receive::start();
        Self::new((receive.receiver(), "/api/v1/otlp"), (receive.querier(), ""), Server::Receive(receive))
    }

    #[cfg(feature = "fleet")]
    pub fn mimir() -> Self {
        let mimir = mimir::Mimir::start();
        let address = mimir.address();
        let fleet = Self::new((address, "/otlp/v1/metrics"), (address, "/prometheus"), Server::Mimir(mimir));
        Self { header: Some("X-Scope-OrgID: team"), ..fleet }
    }

    /// VictoriaMetrics with the samples of a Prometheus, under `job` and `instance` or, as its own receiver of OTLP names
    /// them, under `service_name` and `service_instance_id`.
    #[cfg(feature = "fleet")]
    pub fn victoria_metrics(service_label: &'static str) -> Self {
        let prometheus = Prometheus::start(Version::V3, &[]);
        let victoria = victoria_metrics::VictoriaMetrics::start();
        let (push, ask) = ((prometheus.address(), PROMETHEUS_OTLP), (victoria.address(), ""));
        Self { service_label, ..Self::new(push, ask, Server::VictoriaMetrics(prometheus, victoria)) }
    }

    fn new(push: (SocketAddr, &'static str), ask: (SocketAddr, &'static str), server: Server) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        Self { push, ask, header: None, service_label: "job", server, folder }
    }

    /// The environment of a `serve` that pushes there.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let (address, path) = self.push;
        let mut variables = vec![("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("http://{address}{path}"))];
        if let Some((name, value)) = self.header.and_then(|header| header.split_once(": ")) {
            variables.push(("OTEL_EXPORTER_OTLP_METRICS_HEADERS", format!("{name}={value}")));
        }
        variables
    }

    /// What `--prometheus` is given.
    pub fn url(&self) -> String {
        let (address, base) = self.ask;
        format!("http://{address}{base}")
    }

    /// The flags of a report over it.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--prometheus".to_owned(), self.url()];
        if let Some(header) = self.header {
            let file = self.folder.path().join("headers");
            fs::write(&file, format!("{header}\n")).expect("a file with a header");
            flags.extend(["--header-file".to_owned(), file.display().to_string()]);
        }
        flags
    }

    /// What series are selected by.
    pub fn pushed(&self) -> String {
        format!(r#"{}="openclaw-usage""#, self.service_label)
    }

    /// One request to its receiver of OTLP.
    pub fn post_otlp(&self, body: &[u8]) -> Response {
        let (address, path) = self.push;
        let head = format!("Content-Type: application/x-protobuf\r\n{}", self.header_line());
        http::send(address, &format!("POST {path}"), &head, body)
            .unwrap_or_else(|error| panic!("push to {address}: {error}"))
    }

    /// An instant query at a time in milliseconds since 1970.
    pub fn query(&self, promql: &str, at_ms: u64) -> Vec<Sample> {
        let (address, base) = self.ask;
        let (query, seconds) = (http::escape(promql), format!("{}.{:03}", at_ms / 1000, at_ms % 1000));
        // VictoriaMetrics would answer for half a minute ago.
        let target = format!("GET {base}/api/v1/query?query={query}&time={seconds}&nocache=1");
        let response = http::send(address, &target, &self.header_line(), &[])
            .unwrap_or_else(|error| panic!("{target} of {address}: {error}"));
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        let answer: Value = serde_json::from_slice(&response.body).expect("an answer in JSON");
        prometheus::samples(&answer["data"], promql)
    }

    fn header_line(&self) -> String {
        self.header.map_or_else(String::new, |header| format!("{header}\r\n"))
    }

    /// Brings what was pushed to where it is asked for, if that is another server. To be called after what is pushed.
    pub fn settle(&self) {
        match &self.server {
            #[cfg(feature = "fleet")]
            Server::VictoriaMetrics(prometheus, victoria) => {
                victoria.take_over(prometheus, self.service_label)
            }
            #[cfg(feature = "fleet")]
            Server::Receive(receive) => receive.settle(),
            _ => {}
        }
    }
}

/// Where Prometheus takes OTLP.
const PROMETHEUS_OTLP: &str = "/api/v1/otlp/v1/metrics";
