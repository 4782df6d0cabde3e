//! Loki: logs in by OTLP, LogQL out.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{own_address, programs};
use crate::common::http;
use crate::common::process::Process;
use crate::common::real_time::{now_ms, until};

/// How often another port is tried after somebody took one between our look and Loki's.
const TRIES: usize = 5;

/// A log line with its stream's labels and structured metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub at_ns: u64,
    pub labels: BTreeMap<String, String>,
    pub text: String,
}

/// A single Loki with its own data and port, both of which it keeps over restarts.
pub struct Loki {
    folder: TempDir,
    ruler: String,
    config: fn(SocketAddr, SocketAddr, &Path) -> String,
    address: SocketAddr,
    starts: u32,
    process: Option<Process>,
}

impl Loki {
    /// With no data. Returns when it is ready.
    pub fn start() -> Self {
        Self::start_in(TempDir::new().expect("a temporary directory"), String::new())
    }

    /// With a ruler that evaluates this file and tells that Alertmanager.
    pub fn start_with_rules(rules: &str, alertmanager: SocketAddr) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        // Where a Loki without tenants looks for them.
        let tenant = folder.path().join("rules/fake");
        fs::create_dir_all(&tenant).expect("a folder for rules");
        fs::write(tenant.join("rules.yaml"), rules).expect("write rules");
        Self::start_in(folder, ruler(alertmanager))
    }

    /// With a configuration of somebody else's: `config` is given its two addresses and its folder.
    pub fn start_with_config(config: fn(SocketAddr, SocketAddr, &Path) -> String) -> Self {
        Self::start_as(TempDir::new().expect("a temporary directory"), String::new(), config)
    }

    fn start_in(folder: TempDir, ruler: String) -> Self {
        Self::start_as(folder, ruler, |http, grpc, _| config(http, grpc))
    }

    fn start_as(folder: TempDir, ruler: String, config: fn(SocketAddr, SocketAddr, &Path) -> String) -> Self {
        let address = SocketAddr::new(own_address(), 0);
        let mut loki = Self { folder, ruler, config, address, starts: 0, process: None };
        loki.launch();
        loki
    }

    fn launch(&mut self) {
        let mut seen = String::new();
        for _ in 0..TRIES {
            match self.try_launch() {
                Ok(()) => return,
                Err(ended) if ended.contains("address already in use") => seen = ended,
                Err(ended) => panic!("start a Loki: {ended}"),
            }
        }
        panic!("start a Loki on free ports, {TRIES} times in vain: {seen}");
    }

    fn try_launch(&mut self) -> Result<(), String> {
        self.starts += 1;
        // It cannot say which port it took for gRPC, which it only talks to itself by.
        let free = TcpListener::bind((self.address.ip(), 0)).expect("a free port on loopback");
        let grpc = free.local_addr().expect("the address of a listener");
        drop(free);
        let text = (self.config)(self.address, grpc, self.folder.path()) + &self.ruler;
        fs::write(self.folder.path().join("loki.yaml"), text).expect("write loki.yaml");
        let mut command = Command::new(programs("loki").join("loki"));
        command.current_dir(self.folder.path()).arg("-config.file=loki.yaml");
        let log = self.folder.path().join(format!("log.{}", self.starts));
        let mut process = Process::spawn("loki", &mut command, log);
        self.address = process.wait_for_log("the address", listening_on)?;
        until(&format!("Loki is ready on {}", self.address), || {
            http::get(self.address, "/ready").ok().filter(|response| response.status == 200)
        });
        self.process = Some(process);
        Ok(())
    }

    /// Lines of somebody's standard output, as what collects them from a pod pushes them: with the labels of the pod.
    pub fn push(&self, labels: &[(&str, &str)], lines: &[(u64, String)]) {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let values: Vec<_> = lines.iter().map(|(at_ns, line)| [at_ns.to_string(), line.clone()]).collect();
        let body = serde_json::json!({ "streams": [{ "stream": labels, "values": values }] }).to_string();
        let target = "/loki/api/v1/push";
        let response = http::post(self.address, target, "application/json", body.as_bytes())
            .unwrap_or_else(|error| panic!("POST {target} of {}: {error}", self.address));
        assert_eq!(response.status, 204, "POST {target}: {}", response.text());
    }

    /// Name, state and health of every alert that its ruler evaluates.
    pub fn alerts(&self) -> Vec<[String; 3]> {
        let data = self.api("/prometheus/api/v1/rules");
        let groups = data["groups"].as_array().expect("a list of groups").iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().expect("a list of rules"));
        let word = |value: &Value| value.as_str().expect("a word").to_owned();
        rules.map(|rule| ["name", "state", "health"].map(|key| word(&rule[key]))).collect()
    }

    /// Where it answers, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a sink of events is given; it adds `/v1/logs`.
    pub fn otlp_endpoint(&self) -> String {
        format!("http://{}/otlp", self.address)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        drop(self.process.take().expect("a running Loki"));
    }

    /// Starts it again after `kill`. Returns when it is ready.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "a Loki that runs is killed before it is started again");
        self.launch();
    }

    /// The sum of a metric query at this moment.
    pub fn number(&self, logql: &str) -> f64 {
        let data = self.api(&format!("/loki/api/v1/query?query={}", http::escape(logql)));
        let samples = data["result"].as_array().expect("samples").iter();
        samples
            .map(|sample| sample["value"][1].as_str().and_then(|n| n.parse::<f64>().ok()).expect("a value"))
            .sum()
    }

    /// The lines of the last day, the oldest first.
    pub fn lines(&self, logql: &str) -> Vec<Line> {
        let now = now_ms();
        let target = format!(
            "/loki/api/v1/query_range?query={}&limit=5000&direction=forward&start={}000000&end={}000000",
            http::escape(logql),
            now - 86_400_000,
            now + 600_000
        );
        let data = self.api(&target);
        let mut lines = Vec::new();
        for stream in data["result"].as_array().expect("streams") {
            let labels: BTreeMap<String, String> =
                serde_json::from_value(stream["stream"].clone()).expect("labels of a stream");
            for value in stream["values"].as_array().expect("values") {
                let at_ns = value[0].as_str().and_then(|at| at.parse().ok()).expect("a time");
                let text = value[1].as_str().expect("a line").to_owned();
                lines.push(Line { at_ns, labels: labels.clone(), text });
            }
        }
        lines.sort();
        lines
    }

    /// How many series a metric query over time has: from and to in milliseconds since 1970, and the step.
    pub fn query_range(&self, logql: &str, (from, to, step): (u64, u64, u64)) -> usize {
        let target = format!(
            "/loki/api/v1/query_range?query={}&start={from}000000&end={to}000000&step={}s",
            http::escape(logql),
            step / 1000
        );
        super::prometheus::numbers(&self.api(&target))
    }

    fn api(&self, target: &str) -> Value {
        let response = http::get(self.address, target)
            .unwrap_or_else(|error| panic!("GET {target} of {}: {error}", self.address));
        assert_eq!(response.status, 200, "GET {target}: {}", response.text());
        let mut answer: Value = serde_json::from_slice(&response.body).expect("an answer in JSON");
        answer["data"].take()
    }
}

/// All in one process, ready in under a second instead of 16.
fn config(http: SocketAddr, grpc: SocketAddr) -> String {
    let (ip, port, grpc) = (http.ip(), http.port(), grpc.port());
    format!(
        r#"
auth_enabled: false
server: {{http_listen_address: {ip}, http_listen_port: {port}, grpc_listen_address: {ip}, grpc_listen_port: {grpc}, log_level: info}}
common:
  instance_addr: {ip}
  path_prefix: ./data
  storage: {{filesystem: {{chunks_directory: ./data/chunks, rules_directory: ./rules}}}}
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}, instance_addr: {ip}}}
schema_config:
  configs: [{{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}]
ingester: {{lifecycler: {{min_ready_duration: 0s, final_sleep: 0s}}}}
frontend: {{scheduler_dns_lookup_period: 100ms}}
frontend_worker: {{dns_lookup_duration: 100ms}}
analytics: {{reporting_enabled: false}}
"#
    )
}

fn ruler(alertmanager: SocketAddr) -> String {
    format!(
        r#"
ruler:
  alertmanager_url: http://{alertmanager}
  evaluation_interval: 1s
  poll_interval: 1s
  enable_api: true
  rule_path: ./rule-tmp
  storage: {{type: local, local: {{directory: ./rules}}}}
  ring: {{kvstore: {{store: inmemory}}}}
"#
    )
}

/// The address in the whole line `… msg="server listening on addresses" http=127.0.0.1:40001 …`.
fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("server listening on addresses")?;
    let (line, _) = rest.split_once('\n')?;
    let (_, address) = line.split_once(" http=")?;
    address.split(' ').next()?.parse().ok()
}
