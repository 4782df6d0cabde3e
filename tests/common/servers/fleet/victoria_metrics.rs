//! VictoriaMetrics, whose program is not built here: it is what `VICTORIA_METRICS` names, or `victoria-metrics` in PATH.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::prometheus::Prometheus;
use super::super::{free_addresses, on_free_ports};
use crate::common::http;
use crate::common::process::Process;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::whole;

pub struct VictoriaMetrics {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl VictoriaMetrics {
    /// A single node with no data. Returns when it is ready.
    pub fn start() -> Self {
        on_free_ports("victoria-metrics", || {
            let folder = TempDir::new().expect("a temporary directory");
            let [address] = free_addresses();
            let program = std::env::var_os("VICTORIA_METRICS").unwrap_or_else(|| "victoria-metrics".into());
            let mut command = Command::new(program);
            command.current_dir(folder.path()).arg(format!("-httpListenAddr={address}"));
            command.arg("-storageDataPath=data");
            let mut process = Process::spawn("victoria-metrics", &mut command, folder.path().join("log"));
            let started = |log: &str| log.contains("started VictoriaMetrics in").then_some(());
            process.wait_for_log("its start", started)?;
            until(&format!("VictoriaMetrics is ready on {address}"), || {
                http::get(address, "/health").ok().filter(|response| response.status == 200)
            });
            Ok(Self { address, _process: process, _folder: folder })
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes over every sample of a Prometheus. Those that it has it gets again, which changes nothing that is asked here.
    pub fn take_over(&self, prometheus: &Prometheus, service_label: &str) {
        let mut lines = String::new();
        for series in prometheus.raw(r#"{job="openclaw-usage"}[5d]"#, now_ms()) {
            let mut labels = series["metric"].clone();
            if let Some(labels) = labels.as_object_mut().filter(|_| service_label != "job") {
                for (prometheus, own) in [("job", "service_name"), ("instance", "service_instance_id")] {
                    let value = labels.remove(prometheus).expect("a label that every push has");
                    labels.insert(own.to_owned(), value);
                }
            }
            let points = series["values"].as_array().expect("points").iter();
            let (stamps, values): (Vec<Value>, Vec<Value>) = points.map(point).unzip();
            let line = json!({ "metric": labels, "timestamps": stamps, "values": values });
            writeln!(lines, "{line}").expect("a line");
        }
        let response = http::post(self.address, "/api/v1/import", "application/json", lines.as_bytes());
        assert_eq!(response.expect("an import").status, 204);
        // What is in memory is not asked yet.
        let flushed = http::get(self.address, "/internal/force_flush").expect("a flush");
        assert_eq!(flushed.status, 200, "{}", flushed.text());
    }
}

/// Its stamp in milliseconds, and its value digit by digit.
fn point(point: &Value) -> (Value, Value) {
    let seconds = point[0].as_f64().expect("a stamp");
    let value = point[1].as_str().expect("a value");
    (json!(whole((seconds * 1000.0).round())), serde_json::from_str(value).expect("a number"))
}
