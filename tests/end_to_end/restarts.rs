//! A life: history, live runs, restarts and crashes of either side, outages, new series, a dead endpoint beside.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use openclaw_usage::demo::corpus;

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::fixtures::Fixture;
use crate::common::gateway::Simulation;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::{Count, whole};
use crate::common::servers::{Prometheus, Version};

use super::{PUSHED, assert_no_resets, growth, until_stored};

#[test]
fn totals_are_exact_in_prometheus_2() {
    a_life(Version::V2);
}

#[test]
fn totals_are_exact_in_prometheus_3() {
    a_life(Version::V3);
}

fn a_life(version: Version) {
    let mut life = Life::new(version);
    let daemon = life.serve();
    life.assert_exact("a cold start with history");

    life.simulation.pass(2_000);
    life.assert_exact("live appends");

    life.run_new_job();
    life.assert_exact("a new series");

    daemon.terminate();
    life.simulation.pass(1_000);
    let daemon = life.serve();
    life.simulation.pass(1_000);
    life.assert_exact("a restart of ours");

    daemon.kill();
    life.simulation.pass(1_000);
    life.run_new_job();
    let daemon = life.serve();
    life.assert_exact("kill -9 of ours");

    life.prometheus.stop();
    life.prometheus.restart_same_port_and_data();
    life.simulation.pass(1_000);
    life.assert_exact("a restart of Prometheus");

    life.prometheus.kill();
    let failures = || daemon.scrape().sum("openclaw_usage_export_failures_total", &[]);
    let before = failures();
    for _ in 0..3 {
        life.simulation.pass(500);
        life.run_new_job();
        daemon.until_counted(life.truth());
    }
    until("three pushes in vain", || (failures() >= before + 3.0).then_some(()));
    life.prometheus.restart_same_port_and_data();
    life.assert_exact("an outage of Prometheus");
    life.assert_exact_from_the_start();
    assert_eq!(daemon.scrape().sum("openclaw_usage_export_dropped_series", &[]), 0.0);
    let log = daemon.terminate();
    assert!(log.matches("endpoint does not take metrics").count() <= 2, "a line an outage, not a try: {log}");
    assert_no_resets(&life.prometheus);
}

/// One endpoint is served, one refuses connections, one takes them and never answers.
#[test]
fn dead_endpoints_hold_nothing_up() {
    let mut life = Life::new(Version::V3);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = [format!("http://{closed}"), format!("http://{}", silent.local_addr().unwrap())];
    let own = life.prometheus.otlp_endpoint();
    let arguments =
        ["--otlp-endpoint", &endpoints[0], "--otlp-endpoint", &own, "--otlp-endpoint", &endpoints[1]];
    let daemon = life.sandbox.serve(&arguments);
    for _ in 0..3 {
        life.simulation.pass(3_000);
        life.assert_exact("runs");
    }
    let failures = [("openclaw_reason", "connection")];
    assert!(daemon.scrape().sum("openclaw_usage_export_failures_total", &failures) >= 1.0);
    life.assert_exact_from_the_start();
    daemon.terminate();
}

/// So much of it that it is read over several pushes' time: its totals appear at once, or none of it.
#[test]
fn a_long_history_is_no_growth() {
    let prometheus = Prometheus::start(Version::V3, &[]);
    let sandbox = Sandbox::new();
    let spec = corpus::Spec {
        files: 20,
        lines_per_file: 1_500,
        line_bytes: 1_000,
        seed: 52,
        first_run_at: now().plus(-30 * 86_400_000),
        interval_ms: 60_000,
    };
    let sums = corpus::write(&sandbox.state_dir(), spec).unwrap();
    let truth = Count { runs: sums.runs, input: sums.input, output: sums.output };
    let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
    assert_eq!(Count::on(&daemon.scrape()), truth, "the first scrape shows all of it");
    until_stored(&prometheus, truth);
    let at = now_ms();
    assert_eq!(growth(&prometheus, at, 600_000), Count::default());
    daemon.terminate();
}

struct Life {
    prometheus: Prometheus,
    sandbox: Sandbox,
    simulation: Simulation,
    /// What was there before the daemon: a server must not see it as fresh usage.
    history: Count,
    /// When the totals were last compared, and what they were.
    mark: (u64, Count),
    begun: u64,
}

impl Life {
    /// A gateway with recorded history and some runs of the last minutes.
    fn new(version: Version) -> Self {
        let sandbox = Sandbox::new();
        let mut simulation = Simulation::with_jobs(&sandbox.state_dir(), 51, now().plus(-600_000), false, 60);
        let fixture = Fixture::unpack("2026.5.28");
        for entry in fs::read_dir(fixture.state_dir().join("cron/runs")).unwrap() {
            let log = entry.unwrap();
            fs::copy(log.path(), simulation.gateway.writer().runs_dir().join(log.file_name())).unwrap();
        }
        simulation.pass(3_000);
        let sums = fixture.record_sums();
        let history = Count { runs: sums.records, input: sums.input, output: sums.output };
        let begun = now_ms();
        let prometheus = Prometheus::start(version, &[]);
        Self { prometheus, sandbox, simulation, history, mark: (begun, history), begun }
    }

    fn serve(&self) -> Daemon {
        self.sandbox.serve(&["--otlp-endpoint", &self.prometheus.otlp_endpoint()])
    }

    fn truth(&self) -> Count {
        self.history + self.simulation.truth()
    }

    /// Runs a job for the first time.
    fn run_new_job(&mut self) {
        let jobs = self.simulation.gateway.jobs();
        let new = jobs.iter().position(|job| self.simulation.gateway.bill().job(&job.id).is_none());
        self.simulation.run(new.expect("a job that never ran"));
    }

    /// Waits until all is stored, and compares the growth since the last time, and each job's total, with the truth.
    fn assert_exact(&mut self, after: &str) {
        let truth = self.truth();
        until_stored(&self.prometheus, truth);
        let (at, (since, was)) = (now_ms(), self.mark);
        assert_eq!(growth(&self.prometheus, at, at - since), truth - was, "growth: {after}");
        let bill: BTreeMap<_, _> = self
            .simulation
            .gateway
            .bill()
            .jobs()
            .map(|(id, bill)| (id.to_owned(), Count::from(bill)))
            .collect();
        assert_eq!(self.by_job(bill.keys()), bill, "totals by job: {after}");
        self.mark = (now_ms(), truth);
    }

    /// Over the whole life, what was history at its begin is none of its growth; the rest is, first values included.
    fn assert_exact_from_the_start(&self) {
        let at = now_ms();
        // Zero points lie up to 15 s before the begin.
        assert_eq!(growth(&self.prometheus, at, at - self.begun + 20_000), self.truth() - self.history);
    }

    fn by_job<'a>(&self, jobs: impl Iterator<Item = &'a String>) -> BTreeMap<String, Count> {
        let sums = |series: &str| -> BTreeMap<String, u64> {
            let by_job = format!("sum by (openclaw_job_id) (last_over_time({series}[1d]))");
            let samples = self.prometheus.query(&by_job, Some(now_ms())).into_iter();
            samples.map(|(labels, value)| (labels["openclaw_job_id"].clone(), whole(value))).collect()
        };
        let tokens = |kind| sums(&format!(r#"openclaw_tokens_total{{{PUSHED},openclaw_token="{kind}"}}"#));
        let runs = sums(&format!("openclaw_cron_runs_total{{{PUSHED}}}"));
        let (input, output) = (tokens("input"), tokens("output"));
        let get = |sums: &BTreeMap<String, u64>, job: &String| sums.get(job).copied().unwrap_or(0);
        let count = |job| Count { runs: get(&runs, job), input: get(&input, job), output: get(&output, job) };
        jobs.map(|job| (job.clone(), count(job))).collect()
    }
}
