//! The real program with a cleared environment, in a directory of its own.

use std::cell::Cell;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use openclaw_usage::model::UnixMs;
use tempfile::TempDir;

use super::http::{self, Response};
use super::process::Process;
use super::real_time::{now_ms, until};
use super::samples::{Count, Samples};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_openclaw-usage");

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// A temporary directory with a state directory (which nobody has made yet) and room for a ledger.
pub struct Sandbox {
    folder: TempDir,
    starts: Cell<u32>,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary directory"), starts: Cell::new(0) }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    pub fn ledger(&self) -> PathBuf {
        self.path("own/ledger.sqlite")
    }

    /// `serve` on the state directory and the ledger, on a free port, with further arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        self.arguments(&mut command, arguments);
        command
    }

    /// Adds to `command` what `serve` is given here.
    pub fn arguments(&self, command: &mut Command, arguments: &[&str]) {
        command.env("OPENCLAW_USAGE_GATEWAY_LOG", "off");
        command.current_dir(self.folder.path()).args(["serve", "--state-dir"]).arg(self.state_dir());
        command.args(arguments);
        if !arguments.contains(&"--ledger") {
            command.arg("--ledger").arg(self.ledger());
        }
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
    }

    /// Starts a command of this sandbox, its output in a file of its own.
    pub fn spawn(&self, command: &mut Command) -> Process {
        self.starts.set(self.starts.get() + 1);
        Process::spawn("openclaw-usage", command, self.path(&format!("log.{}", self.starts.get())))
    }

    /// Starts the daemon. Returns when it listens.
    pub fn serve(&self, arguments: &[&str]) -> Daemon {
        self.serve_command(&mut self.command(arguments))
    }

    /// The same with a command of the test's own making.
    pub fn serve_command(&self, command: &mut Command) -> Daemon {
        let process = self.spawn(command);
        Self::listening(process, command)
    }

    /// The same with its standard output in a file of its own.
    pub fn serve_apart(&self, command: &mut Command, output: &Path) -> Daemon {
        self.serve_to(command, File::create(output).expect("a file for standard output").into())
    }

    /// The same with its standard output there.
    pub fn serve_to(&self, command: &mut Command, stdout: Stdio) -> Daemon {
        self.starts.set(self.starts.get() + 1);
        let log = self.path(&format!("log.{}", self.starts.get()));
        let process = Process::spawn_to("openclaw-usage", command, log, Some(stdout));
        // The command would keep the other end of a pipe open.
        command.stdout(Stdio::null());
        Self::listening(process, command)
    }

    fn listening(mut process: Process, command: &Command) -> Daemon {
        let address = process
            .wait_for_log("the address", listening_on)
            .unwrap_or_else(|ended| panic!("start {command:?}: {ended}"));
        Daemon { process, address }
    }

    /// Runs the program where it cannot go on: its status and all that it said.
    pub fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.refused_command(&mut self.command(arguments))
    }

    /// The same with a command of the test's own making.
    pub fn refused_command(&self, command: &mut Command) -> (Option<i32>, String) {
        let mut process = self.spawn(command);
        let status = until("the end of a program that cannot go on", || process.ended());
        (status.code(), process.log())
    }
}

/// A running `serve`. Dropping it is SIGKILL.
pub struct Daemon {
    process: Process,
    address: SocketAddr,
}

impl Daemon {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn pid(&self) -> rustix::process::Pid {
        self.process.pid()
    }

    pub fn get(&self, target: &str) -> Response {
        http::get(self.address, target).unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    /// `/metrics` in the classic format.
    #[cfg(feature = "e2e")]
    pub fn classic_page(&self) -> String {
        self.get("/metrics").text()
    }

    pub fn scrape(&self) -> Samples {
        scrape(self.address)
    }

    /// Waits until all of that is counted, and no more. Returns the samples of that moment.
    pub fn until_counted(&self, truth: Count) -> Samples {
        until_counted(self.address, truth)
    }

    /// Waits until `/readyz` has that status and says that.
    pub fn until_readiness(&self, status: u16, says: &str) {
        until(&format!("{status} of /readyz that says {says:?}"), || {
            let response = self.get("/readyz");
            (response.status == status && response.text().contains(says)).then_some(())
        });
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.process.hang_up();
    }

    /// SIGTERM, and a clean end. Returns all that it logged.
    pub fn terminate(self) -> String {
        let (status, log): (ExitStatus, String) = self.process.terminate_with_log();
        assert!(status.success(), "the daemon ended with {status} after SIGTERM:\n{log}");
        log
    }

    /// SIGKILL.
    pub fn kill(self) {
        drop(self.process);
    }
}

/// All samples of `/metrics` in the OpenMetrics format, which also says when counters were made.
pub fn scrape(address: SocketAddr) -> Samples {
    let page = http::get_accepting(address, "/metrics", OPENMETRICS)
        .unwrap_or_else(|error| panic!("scrape {address}: {error}"))
        .text();
    assert!(page.ends_with("# EOF\n"), "a whole page: {page}");
    Samples::parse(&page)
}

/// Waits until all of that is counted, and no more. Returns the samples of that moment.
pub fn until_counted(address: SocketAddr, truth: Count) -> Samples {
    until(&format!("a count of {truth:?}"), || {
        let samples = scrape(address);
        (Count::on(&samples) == truth).then_some(samples)
    })
}

/// The present, as the program's own type.
pub fn now() -> UnixMs {
    UnixMs(i64::try_from(now_ms()).expect("a time in milliseconds"))
}

/// Whether a file beside the ledger fits, e.g. the damaged one that was moved aside.
pub fn beside(ledger: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let folder = ledger.parent().expect("a directory of the ledger");
    let entries = std::fs::read_dir(folder).expect("the directory of the ledger");
    entries.flatten().find(|entry| entry.file_name().to_str().is_some_and(&fits)).map(|entry| entry.path())
}

/// The address in the whole line `… serving /metrics address=127.0.0.1:40001 …`.
fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("serving /metrics address=")?;
    let (line, _) = rest.split_once('\n')?;
    line.split(' ').next()?.parse().ok()
}
