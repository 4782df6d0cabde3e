//! An OpenTelemetry Collector: OTLP in by gRPC and HTTP, a file out.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{free_addresses, on_free_ports, programs};
use crate::common::process::Process;

/// A running Collector.
pub struct Collector {
    folder: TempDir,
    grpc: SocketAddr,
    http: SocketAddr,
    _process: Process,
}

impl Collector {
    /// Returns when it takes requests.
    pub fn start() -> Self {
        on_free_ports("a Collector", Self::try_start)
    }

    fn try_start() -> Result<Self, String> {
        let folder = TempDir::new().expect("a temporary directory");
        let [grpc, http] = free_addresses();
        fs::write(folder.path().join("otelcol.yaml"), config(grpc, http)).expect("write otelcol.yaml");
        let mut command = Command::new(programs("otelcol").join("otelcol"));
        command.current_dir(folder.path()).arg("--config=otelcol.yaml");
        let mut process = Process::spawn("otelcol", &mut command, folder.path().join("log"));
        process.wait_for_log("readiness", |log| log.contains("Everything is ready").then_some(()))?;
        Ok(Self { folder, grpc, http, _process: process })
    }

    /// What an exporter by gRPC is given.
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// What an exporter by HTTP is given; it adds `/v1/metrics`.
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where its HTTP receiver listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// The requests that it has written out so far, each as OTLP in JSON, in their order. It writes some 100 ms after it
    /// answered, so wait for what must come with `until`.
    pub fn received(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("received.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of the Collector's file"))
            .collect()
    }
}

fn config(grpc: SocketAddr, http: SocketAddr) -> String {
    format!(
        r#"
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "{grpc}"}}, http: {{endpoint: "{http}"}}}}}}
exporters:
  file: {{path: received.jsonl, flush_interval: 100ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [otlp], exporters: [file]}}
    logs: {{receivers: [otlp], exporters: [file]}}
    traces: {{receivers: [otlp], exporters: [file]}}
"#
    )
}
