//! One record is appended: when does a real Prometheus answer with it.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::corpus::{Corpus, make_parent};
use crate::daemon::Daemon;
use crate::measure::{Samples, monotonic, until};
use crate::table::Table;
use crate::{Failure, http};

const FILES: usize = 500;
const LINES: usize = 20;
const ROUNDS: usize = 100;

/// Measures with the Prometheus that the tests use, if it was built.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let Some(program) = program() else {
        table.note(
            "append → queryable in Prometheus",
            "not measured: first run tests/servers/build.sh prometheus",
        );
        return Ok(());
    };
    let mut corpus = Corpus::write(FILES, LINES)?;
    let ledger = corpus.ledger("queryable");
    make_parent(&ledger)?;
    let prometheus = Prometheus::start(&program, ledger.parent().unwrap_or(Path::new("/")))?;
    let endpoint = format!("http://{}/api/v1/otlp", prometheus.address);
    let daemon = Daemon::start(&corpus.state_dir(), &ledger, &["--otlp-endpoint", &endpoint])?;
    let mut runs = corpus.sums.runs;
    prometheus.wait_for_runs(runs)?;
    let mut random = fastrand::Rng::with_seed(4);
    let mut latency = Samples::default();
    for _ in 0..ROUNDS {
        // At any phase of whatever goes by intervals.
        std::thread::sleep(Duration::from_millis(random.u64(0..500)));
        let job = corpus.jobs[random.usize(..corpus.jobs.len())].clone();
        let line = corpus.next_line(&job)?;
        runs += 1;
        let start = monotonic();
        corpus.append(&job, &line)?;
        prometheus.wait_for_runs(runs)?;
        latency.push(start.elapsed().as_secs_f64() * 1e3);
    }
    table.at_most("append → queryable in Prometheus, p50", 1_000.0, "ms", latency.median());
    table.at_most("append → queryable in Prometheus, p99", 1_000.0, "ms", latency.quantile(0.99));
    daemon.stop()
}

/// Where `tests/servers/build.sh` puts it.
fn program() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let servers = variable("OPENCLAW_USAGE_TEST_SERVERS")
        .or_else(|| Some(cache()?.join("openclaw-usage").join("test-servers")))?;
    Some(servers.join("prometheus").join("prometheus")).filter(|program| program.is_file())
}

/// A Prometheus with an OTLP receiver and nothing in it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(program: &Path, folder: &Path) -> Result<Self, Failure> {
        let config = folder.join("prometheus.yml");
        fs::write(&config, "")?;
        let log = folder.join("prometheus.log");
        let child = Command::new(program)
            .env_clear()
            .current_dir(folder)
            .arg(format!("--config.file={}", config.display()))
            .args([
                "--storage.tsdb.path=data",
                "--web.listen-address=127.0.0.1:0",
                "--web.enable-otlp-receiver",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut prometheus = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        prometheus.address = until("the address of Prometheus", Duration::from_millis(20), || {
            if prometheus.child.try_wait()?.is_some() {
                return Err(fs::read_to_string(&log)?.into());
            }
            Ok(address_in(&fs::read_to_string(&log)?))
        })?;
        until("Prometheus", Duration::from_millis(20), || {
            let ready = http::get(prometheus.address, "/-/ready");
            Ok(ready.ok().filter(|answer| answer.status == 200).map(|_| ()))
        })?;
        Ok(prometheus)
    }

    /// Asks until the sum over all jobs is that number of runs.
    fn wait_for_runs(&self, runs: u64) -> Result<(), Failure> {
        // Escaped by hand: sum(openclaw_cron_runs_total).
        let query = "sum%28openclaw_cron_runs_total%29";
        let wanted = format!(",\"{runs}\"]");
        until(&format!("{runs} runs in Prometheus"), Duration::from_millis(1), || {
            let answer = http::get(self.address, &format!("/api/v1/query?query={query}"))?;
            Ok(answer.text().contains(&wanted).then_some(()))
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            _ = self.child.wait();
        }
    }
}

/// The address in the whole line `… msg="Listening on" … address=127.0.0.1:40001 …`.
fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("msg=\"Listening on\"")?;
    let (line, _) = rest.split_once('\n')?;
    line.split_once(" address=")?.1.split(' ').next()?.parse().ok()
}
