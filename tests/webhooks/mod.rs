//! Notices that gateways post, through the real process.
//!
//! `recorded`: the requests of every version, byte for byte. `refusals`: what is turned away, and why. `beside`: with a
//! state directory; notices that never come. `gateways`: several that post here. `hardship`: floods. `tls`: certificates.
//! `kills`: SIGKILL in a flood.

mod beside;
mod client;
mod gateways;
mod hardship;
mod kills;
pub mod recorded;
mod refusals;
mod tls;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use crate::common::daemon::{Daemon, PROGRAM, Sandbox};

/// The token of the recorded requests.
pub const TOKEN: &str = "hook-secret-token";

/// The program with a receiver, and where that listens.
pub struct Receiving {
    sandbox: Sandbox,
    daemon: Option<Daemon>,
    webhook: SocketAddr,
    alone: bool,
}

impl Receiving {
    /// With the state directory of the sandbox, and further arguments.
    fn beside_a_state_dir(arguments: &[&str]) -> Self {
        Self::start(Sandbox::new(), false, arguments, |_| {})
    }

    /// Notices are all there is.
    fn alone(arguments: &[&str]) -> Self {
        Self::start(Sandbox::new(), true, arguments, |_| {})
    }

    /// The same with other tokens, and a command that is changed.
    fn with_tokens(tokens: &str, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path("tokens"), tokens).expect("a file of tokens");
        Self::start(sandbox, true, arguments, change)
    }

    pub fn start(
        sandbox: Sandbox,
        alone: bool,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let tokens = sandbox.path("tokens");
        if !tokens.exists() {
            fs::write(&tokens, format!("# valid\n{TOKEN}\n")).expect("a file of tokens");
        }
        let mut command = if alone { Self::without_state_dir(&sandbox) } else { sandbox.command(&[]) };
        command.args(arguments);
        command.args(["--webhook-listen", "127.0.0.1:0", "--webhook-token-file"]).arg(&tokens);
        change(&mut command);
        let daemon = sandbox.serve_command(&mut command);
        let webhook = address(&daemon.log());
        Self { sandbox, daemon: Some(daemon), webhook, alone }
    }

    fn without_state_dir(sandbox: &Sandbox) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(sandbox.path("."));
        command
            .args(["serve", "--no-state-dir", "--listen", "127.0.0.1:0", "--ledger"])
            .arg(sandbox.ledger());
        command
    }

    /// Ends it, and starts it again on the same ledger.
    fn again(self, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        self.meanwhile(|_| {}, arguments, variables)
    }

    /// The same, with something done in between.
    fn meanwhile(
        mut self,
        between: impl FnOnce(&Sandbox),
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        self.daemon.take().expect("a running daemon").terminate();
        between(&self.sandbox);
        Self::start(self.sandbox, self.alone, arguments, |command| {
            command.envs(variables.iter().copied());
        })
    }

    /// SIGKILL, and a start on the same ledger.
    fn killed_and_again(mut self) -> Self {
        self.daemon.take().expect("a running daemon").kill();
        Self::start(self.sandbox, self.alone, &[], |_| {})
    }

    /// Ends it. Returns all that it logged.
    fn stop(mut self) -> String {
        self.daemon.take().expect("a running daemon").terminate()
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("a running daemon")
    }

    pub fn post(&self, path: &str, token: &str, body: &str) -> u16 {
        client::post(self.webhook, path, token, body)
    }
}

/// The address in the whole line `… taking webhooks address=127.0.0.1:40001`, which comes before the page's.
fn address(log: &str) -> SocketAddr {
    let (_, rest) = log.split_once("taking webhooks address=").expect("a receiver");
    let end = rest.find(|c: char| c.is_whitespace()).expect("a whole line");
    rest[..end].parse().expect("an address")
}
