//! Prometheus, of both lines that take OTLP.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{own_address, programs};
use crate::common::http::{self, Response};
use crate::common::process::Process;

/// An old and a new Prometheus; they differ in their flags, in what they refuse, and in what they answer then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 2.47, the first with an OTLP receiver.
    V2,
    /// The newest 3.x that is pinned.
    V3,
}

impl Version {
    pub(super) fn server(self) -> &'static str {
        match self {
            Self::V2 => "prometheus-2",
            Self::V3 => "prometheus",
        }
    }

    fn otlp_flag(self) -> &'static str {
        match self {
            Self::V2 => "--enable-feature=otlp-write-receiver",
            Self::V3 => "--web.enable-otlp-receiver",
        }
    }
}

/// Labels of a series, with `__name__` where the expression keeps it, and its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// A Prometheus with its own data and port, both of which it keeps over restarts.
pub struct Prometheus {
    version: Version,
    flags: Vec<String>,
    folder: TempDir,
    address: SocketAddr,
    starts: u32,
    process: Option<Process>,
}

impl Prometheus {
    /// With the OTLP receiver, an empty configuration and no data. Returns when it is ready.
    pub fn start(version: Version, flags: &[&str]) -> Self {
        Self::start_with_config(version, "", flags)
    }

    /// The same with a configuration file of that text, e.g. an out-of-order window or something to scrape.
    pub fn start_with_config(version: Version, config: &str, flags: &[&str]) -> Self {
        let mut flags = flags.to_vec();
        flags.push(version.otlp_flag());
        Self::start_bare(version, config, &flags)
    }

    /// With these flags alone: whether it takes OTLP is among them.
    pub fn start_with_flags(version: Version, config: &str, flags: &[&str]) -> Self {
        Self::start_bare(version, config, flags)
    }

    /// As it comes when nobody asked for the OTLP receiver.
    pub fn start_without_otlp(version: Version) -> Self {
        Self::start_bare(version, "", &[])
    }

    /// With the OTLP receiver, on a data directory that somebody has filled before.
    pub fn start_with_blocks(version: Version, flags: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        fill(&folder.path().join("data"));
        let mut flags = flags.to_vec();
        flags.push(version.otlp_flag());
        Self::start_in(folder, version, "", &flags)
    }

    /// With the OTLP receiver, behind what the web configuration `web` wants; `fill` writes the files that it names into a folder,
    /// for a server of that address.
    pub fn start_guarded(version: Version, web: &str, fill: impl FnOnce(&Path, IpAddr)) -> Self {
        let (folder, address) = (TempDir::new().expect("a temporary directory"), own_address());
        fill(folder.path(), address);
        fs::write(folder.path().join("web.yml"), web).expect("write web.yml");
        let flags = ["--web.config.file=web.yml", version.otlp_flag()];
        Self::start_at(address, folder, version, "", &flags)
    }

    /// A file in its folder.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn start_bare(version: Version, config: &str, flags: &[&str]) -> Self {
        Self::start_in(TempDir::new().expect("a temporary directory"), version, config, flags)
    }

    fn start_in(folder: TempDir, version: Version, config: &str, flags: &[&str]) -> Self {
        Self::start_at(own_address(), folder, version, config, flags)
    }

    fn start_at(address: IpAddr, folder: TempDir, version: Version, config: &str, flags: &[&str]) -> Self {
        fs::write(folder.path().join("prometheus.yml"), config).expect("write prometheus.yml");
        let mut prometheus = Self {
            version,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            folder,
            address: SocketAddr::new(address, 0),
            starts: 0,
            process: None,
        };
        prometheus.launch();
        prometheus
    }

    fn launch(&mut self) {
        self.starts += 1;
        let server = self.version.server();
        let mut command = Command::new(programs(server).join("prometheus"));
        command
            .current_dir(self.folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={}", self.address))
            .args(&self.flags);
        // A log per start: the address of an earlier one is not in it.
        let log = self.folder.path().join(format!("log.{}", self.starts));
        let mut process = Process::spawn(server, &mut command, log);
        self.address = process
            .wait_for_log("the address", listening_on)
            .unwrap_or_else(|ended| panic!("start a Prometheus on {}: {ended}", self.address));
        // Whoever is guarded says it to nobody else.
        let ready = |log: &str| log.contains("Server is ready to receive web requests").then_some(());
        process
            .wait_for_log("readiness", ready)
            .unwrap_or_else(|ended| panic!("start a Prometheus on {}: {ended}", self.address));
        self.process = Some(process);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an exporter is given; it adds `/v1/metrics`.
    pub fn otlp_endpoint(&self) -> String {
        format!("http://{}/api/v1/otlp", self.address)
    }

    /// SIGTERM: it writes out what it has and ends.
    pub fn stop(&mut self) {
        let status = self.process.take().expect("a running Prometheus").terminate();
        assert!(status.success(), "Prometheus ended with {status} after SIGTERM");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        drop(self.process.take().expect("a running Prometheus"));
    }

    /// Starts it again after `stop` or `kill`. Returns when it is ready.
    pub fn restart_same_port_and_data(&mut self) {
        assert!(
            self.process.is_none(),
            "a Prometheus that runs is stopped or killed before it is started again"
        );
        self.launch();
    }

    /// One request to its OTLP receiver, or to where that would be.
    pub fn post_otlp(&self, body: &[u8]) -> Response {
        http::post(self.address, "/api/v1/otlp/v1/metrics", "application/x-protobuf", body)
            .unwrap_or_else(|error| panic!("push to {}: {error}", self.address))
    }

    /// An instant query, now or at a time in milliseconds since 1970.
    pub fn query(&self, promql: &str, at_ms: Option<u64>) -> Vec<Sample> {
        let mut target = format!("/api/v1/query?query={}", http::escape(promql));
        if let Some(ms) = at_ms {
            target.push_str(&format!("&time={}.{:03}", ms / 1000, ms % 1000));
        }
        samples(&self.api(&target), promql)
    }

    /// Every sample in a range, as its API tells them: labels and points of each series.
    #[cfg(feature = "fleet")]
    pub fn raw(&self, range: &str, at_ms: u64) -> Vec<Value> {
        let at = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let mut data = self.api(&format!("/api/v1/query?query={}&time={at}", http::escape(range)));
        assert_eq!(data["resultType"], "matrix", "the result of {range}");
        serde_json::from_value(data["result"].take()).expect("a list of series")
    }

    /// How many series have a number somewhere in a query over time: from and to in milliseconds since 1970, and the step.
    pub fn query_range(&self, promql: &str, (from, to, step): (u64, u64, u64)) -> usize {
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let target = format!(
            "/api/v1/query_range?query={}&start={}&end={}&step={}",
            http::escape(promql),
            seconds(from),
            seconds(to),
            seconds(step)
        );
        numbers(&self.api(&target))
    }

    /// The names of all series that it holds.
    pub fn series_names(&self) -> BTreeSet<String> {
        let names = self.api("/api/v1/label/__name__/values");
        serde_json::from_value(names).expect("a list of names")
    }

    /// Name and expression of every rule that it has loaded.
    pub fn rule_queries(&self) -> Vec<(String, String)> {
        let data = self.api("/api/v1/rules");
        let groups = data["groups"].as_array().expect("a list of groups").iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().expect("a list of rules"));
        let word = |value: &Value| value.as_str().expect("a word").to_owned();
        rules.map(|rule| (word(&rule["name"]), word(&rule["query"]))).collect()
    }

    fn api(&self, target: &str) -> Value {
        let response = http::get(self.address, target)
            .unwrap_or_else(|error| panic!("GET {target} of {}: {error}", self.address));
        assert_eq!(response.status, 200, "GET {target}: {}", response.text());
        let mut answer: Value = serde_json::from_slice(&response.body).expect("an answer in JSON");
        answer["data"].take()
    }
}

/// How many series of a matrix have a number somewhere.
pub(super) fn numbers(data: &Value) -> usize {
    assert_eq!(data["resultType"], "matrix");
    let is_number = |point: &Value| {
        point[1].as_str().and_then(|value| value.parse::<f64>().ok()).is_some_and(f64::is_finite)
    };
    let series = data["result"].as_array().expect("a list of series").iter();
    series.filter(|one| one["values"].as_array().expect("points").iter().any(is_number)).count()
}

/// The samples of an answer to an instant query.
pub(super) fn samples(data: &Value, promql: &str) -> Vec<Sample> {
    assert_eq!(data["resultType"], "vector", "the result of {promql}");
    data["result"].as_array().expect("a list of samples").iter().map(sample).collect()
}

fn sample(sample: &Value) -> Sample {
    let labels = serde_json::from_value(sample["metric"].clone()).expect("labels of a sample");
    let value = sample["value"][1].as_str().and_then(|value| value.parse().ok()).expect("value of a sample");
    (labels, value)
}

/// The address in the whole line `… msg="Listening on" … address=127.0.0.1:40001 …`.
pub(super) fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(r#"msg="Listening on""#)?;
    let (line, _) = rest.split_once('\n')?;
    let (_, address) = line.split_once(" address=")?;
    address.split(' ').next()?.parse().ok()
}
