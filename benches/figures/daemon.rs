//! The real binary as a child, and what the system says about it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::measure::until;
use crate::{Failure, http};

/// Returns the program that is measured: the one in `OPENCLAW_USAGE_PROGRAM`, such as the static one, else the one just built.
pub fn program() -> OsString {
    let named = std::env::var_os("OPENCLAW_USAGE_PROGRAM");
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_openclaw-usage").into())
}

/// A running `serve`. Killed if it is dropped before [`Daemon::stop`].
pub struct Daemon {
    child: Child,
    /// Where `/metrics` is.
    pub address: SocketAddr,
}

impl Daemon {
    /// Starts `serve` on a state directory with a ledger and further flags, on a free port. Its log goes
    /// beside the ledger.
    pub fn start(state_dir: &Path, ledger: &Path, flags: &[&str]) -> Result<Self, Failure> {
        let log = log_of(ledger);
        let mut child = Command::new(program())
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "text", "--log-level", "info"])
            .arg("--state-dir")
            .arg(state_dir)
            .arg("--ledger")
            .arg(ledger)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let address = until("the address of /metrics", Duration::from_millis(2), || {
            if child.try_wait()?.is_some() {
                return Err(fs::read_to_string(&log)?.into());
            }
            Ok(address_in(&fs::read_to_string(&log)?))
        });
        match address {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Returns where the daemon with that ledger takes notices.
    pub fn webhook(ledger: &Path) -> Result<SocketAddr, Failure> {
        let log = fs::read_to_string(log_of(ledger))?;
        let (_, rest) = log.split_once("taking webhooks address=").ok_or("no receiver")?;
        Ok(rest.split_whitespace().next().ok_or("no address")?.parse()?)
    }

    /// Waits until `/metrics` shows that many counted runs, asking every `pause`.
    pub fn wait_for_runs(&self, runs: u64, pause: Duration) -> Result<(), Failure> {
        let wanted = format!("openclaw_usage_records_total{{openclaw_outcome=\"inserted\"}} {runs}\n");
        until(&format!("{runs} counted runs"), pause, || Ok(self.metrics()?.contains(&wanted).then_some(())))
    }

    /// Waits until `/metrics` shows that the ledger holds that many runs.
    pub fn wait_for_runs_held(&self, runs: u64) -> Result<(), Failure> {
        until(&format!("{runs} held runs"), Duration::from_millis(10), || {
            let text = self.metrics()?;
            let held =
                text.lines().filter_map(|line| line.strip_prefix("openclaw_usage_runs{")?.rsplit(' ').next());
            Ok((held.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>() == runs).then_some(()))
        })
    }

    /// Scrapes `/metrics` once.
    pub fn metrics(&self) -> Result<String, Failure> {
        Ok(http::get(self.address, "/metrics")?.text())
    }

    /// Returns the CPU time of all its threads so far, in ns.
    pub fn cpu_ns(&self) -> Result<u64, Failure> {
        cpu_ns(self.child.id())
    }

    /// Returns the most memory it ever had resident, in MiB.
    pub fn peak_mib(&self) -> Result<f64, Failure> {
        self.status_mib("VmHWM:")
    }

    /// Returns the memory it has resident now, in MiB.
    pub fn resident_mib(&self) -> Result<f64, Failure> {
        self.status_mib("VmRSS:")
    }

    fn status_mib(&self, key: &str) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
        Ok(kib.ok_or("no memory in /proc")?.parse::<f64>()? / 1024.0)
    }

    /// Ends it by SIGTERM and waits for its end.
    pub fn stop(mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("serve ended with {status}").into()) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already after `stop`.
        if self.child.kill().is_ok() {
            _ = self.child.wait();
        }
    }
}

/// Runs a command to its end and returns its CPU time in ns, which a child that was not yet waited for still
/// shows.
pub fn cpu_of_run(command: &mut Command) -> Result<u64, Failure> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let stat = format!("/proc/{}/stat", child.id());
    until("the end of a child", Duration::from_millis(1), || {
        Ok(fs::read_to_string(&stat)?.contains(") Z ").then_some(()))
    })?;
    let cpu = cpu_ns(child.id())?;
    child.wait()?;
    Ok(cpu)
}

/// Source: `Documentation/scheduler/sched-stats.rst` of Linux; the first field is time on a CPU in ns.
fn cpu_ns(pid: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends in this moment takes its share along.
        let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += line.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

fn log_of(ledger: &Path) -> PathBuf {
    ledger.with_extension("log")
}

/// The address in the whole line `… serving /metrics address=127.0.0.1:40001 …`.
fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("serving /metrics")?;
    let (line, _) = rest.split_once('\n')?;
    line.split_once("address=")?.1.split(' ').next()?.parse().ok()
}
