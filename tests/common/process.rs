//! A child process with its output in a file. It never outlives its value, and only it is ever signalled.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::real_time::until;

/// How much of the output a failing test shows.
const SHOWN_LINES: usize = 40;

/// A running child.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with no environment but what the command sets, both outputs in the file `log`.
    pub fn spawn(name: &str, command: &mut Command, log: PathBuf) -> Self {
        Self::spawn_to(name, command, log, None)
    }

    /// The same with its standard output elsewhere.
    pub fn spawn_to(name: &str, command: &mut Command, log: PathBuf, stdout: Option<Stdio>) -> Self {
        let output = File::create(&log).unwrap_or_else(|error| panic!("create {}: {error}", log.display()));
        let own: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let child = command
            .env_clear()
            .envs(own)
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(|| output.try_clone().expect("a second handle of the log").into()))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Waits until the output has something; `Err` with the whole output if the child ends before.
    pub fn wait_for_log<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let waited_for = format!("{what} in the log of {}", self.name);
        until(&waited_for, || {
            // Asked before the log is read: what it wrote before its end is then in the log.
            let ended = self.child.try_wait().expect("the state of a child");
            let log = self.log();
            match (find(&log), ended) {
                (Some(found), _) => Some(Ok(found)),
                (None, Some(status)) => Some(Err(format!("{} ended with {status}:\n{log}", self.name))),
                (None, None) => None,
            }
        })
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        kill_process(self.pid(), Signal::HUP).expect("SIGHUP to a child of ours");
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) {
        kill_process(self.pid(), Signal::INT).expect("SIGINT to a child of ours");
    }

    /// SIGSTOP: nothing of it runs until it may go on.
    pub fn stop(&self) {
        kill_process(self.pid(), Signal::STOP).expect("SIGSTOP to a child of ours");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).expect("SIGCONT to a child of ours");
    }

    /// SIGTERM, and waits for the end.
    #[cfg(feature = "e2e")]
    pub fn terminate(self) -> ExitStatus {
        self.terminate_with_log().0
    }

    /// SIGTERM, and waits for the end. All that it said is returned too.
    pub fn terminate_with_log(mut self) -> (ExitStatus, String) {
        kill_process(self.pid(), Signal::TERM).expect("SIGTERM to a child of ours");
        let name = self.name.clone();
        let status = until(&format!("the end of {name} after SIGTERM"), || self.ended());
        (status, self.log())
    }
}

/// SIGKILL, so dropping is also the way to crash it.
impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(SHOWN_LINES);
            eprintln!("the last lines of {}:", self.name);
            log.lines().skip(skipped).for_each(|line| eprintln!("  {line}"));
        }
    }
}
