//! `check`: says what is found, what will be exported under which names, and what is wrong, each with its remedy.
//!
//! Invariants: nothing is written anywhere, neither in the state directory nor beside the ledger, and no lock is
//! taken; a running `serve` is not disturbed; the only requests are one empty and valid one per endpoint; times
//! come in as values, from the command's clock. Deliberately absent: repairing anything.

mod access;
mod database;
mod endpoints;
mod gateway_log;
mod jobs;
mod ledger;
mod names;
mod prices;
mod report;
mod scan;
mod state;
mod sums;
mod text;
mod webhooks;

use std::io::{self, Write};
use std::path::Path;

use crate::config::Config;
use crate::export::Signal;
use crate::ledger::DEFAULT_GATEWAY;
use crate::model::UnixMs;
use crate::page;
use crate::serve::Relays;

pub use prices::{ModelPrice, PriceList, prices};
pub use report::{
    DatabaseState, EndpointState, Family, Finding, JobList, JobSum, LedgerContent, LedgerState, LedgerStatus,
    Level, Names, RejectCount, Report, RunLogs, RunSums, SCHEMA, Section, Setting, StateDirectory,
    TableState, Watching,
};

/// After this long a reader of the terminal wants to know what goes on: 0.5 s in milliseconds.
const FIRST_WORD_MS: i64 = 500;
/// Between two further words: 5 s in milliseconds.
const NEXT_WORD_MS: i64 = 5_000;

/// What a check needs from outside.
pub struct Surroundings<'a> {
    /// What `~` stands for in the gateway's configuration.
    pub home: Option<&'a Path>,
    /// The time.
    pub now: &'a dyn Fn() -> UnixMs,
    /// Takes a line for whoever waits, when something takes longer than half a second.
    pub progress: &'a dyn Fn(&str),
}

/// Looks at everything that `config` names.
pub async fn check(config: &Config, surroundings: &Surroundings<'_>) -> Report {
    let now = (surroundings.now)();
    let mut patience = Patience { surroundings, next: now.plus(FIRST_WORD_MS) };
    let mut findings: Vec<Finding> =
        config.warnings.iter().map(|warning| Finding::note(Section::Configuration, warning)).collect();
    findings.extend(relays(config));
    let state = state::inspect(&config.state_dir, surroundings.home, now, &mut |step: scan::Step| {
        patience.word(|| step.text());
    });
    findings.extend(state.findings.iter().cloned());
    if state.directory.readable {
        findings.extend(gateway_log::inspect(config, surroundings.home));
    }
    findings.extend(webhooks::receiver(config, &state.jobs));
    let watching = state::watching(config, &mut findings);
    patience.word(|| "reading the ledger".to_owned());
    let ledger = ledger::inspect(config, &state, &mut findings);
    patience.word(|| "reading the prices".to_owned());
    findings.extend(prices::inspect(config, surroundings.home, now));
    let known = ledger.content.as_ref().map(|content| content.gateway.clone());
    let gateway = config.gateway.clone().or(known).unwrap_or_else(|| DEFAULT_GATEWAY.to_owned());
    let resource = names::resource(config, &gateway);
    let mut endpoints = Vec::new();
    let metrics = config.otlp.iter().map(|endpoint| (endpoint, Signal::Metrics));
    for (endpoint, signal) in metrics.chain(config.events.otlp.iter().map(|sink| (sink, Signal::Events))) {
        patience.word(|| format!("waiting for {}", endpoint.name));
        let now = (surroundings.now)();
        endpoints.push(endpoints::inspect(endpoint, signal, &resource, now, &mut findings).await);
    }
    if config.otlp.is_empty() {
        findings.push(endpoints::none(config));
    }
    let names = names::of(&resource);
    Report {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        checked_at_ms: now.0,
        ok: findings.iter().all(|finding| finding.level != Level::Problem),
        findings,
        configuration: settings(config),
        state_directory: state.directory,
        ledger,
        endpoints,
        names,
        watching,
    }
}

/// Says whether relays can be what the configuration says; a service is not tried, since it would show a message.
fn relays(config: &Config) -> Option<Finding> {
    if config.relays.is_empty() && config.digests.is_empty() {
        return None;
    }
    Some(match Relays::new(config, &Vec::new()) {
        Err(error) => {
            let remedy = "correct the configuration: `serve` does not start with it";
            Finding::problem(Section::Configuration, error.to_string(), remedy)
        }
        Ok(_) => {
            Finding::note(Section::Configuration, "relays are not tried here, since people would see it")
                .with("to see whether a service takes messages: openclaw-usage relay test NAME")
        }
    })
}

fn settings(config: &Config) -> Vec<Setting> {
    let file = config.file.as_ref().map(|file| Setting {
        key: "config".to_owned(),
        value: file.display().to_string(),
        origin: "read".to_owned(),
    });
    let explained = config.explain().into_iter().map(|row| Setting {
        key: row.key,
        value: row.value,
        origin: row.origin.to_string(),
    });
    file.into_iter().chain(explained).collect()
}

/// Says something to whoever waits, now and then.
struct Patience<'a> {
    surroundings: &'a Surroundings<'a>,
    next: UnixMs,
}

impl Patience<'_> {
    fn word(&mut self, text: impl FnOnce() -> String) {
        let now = (self.surroundings.now)();
        if now >= self.next {
            self.next = now.plus(NEXT_WORD_MS);
            (self.surroundings.progress)(&text());
        }
    }
}

/// Writes a report, as one JSON document or as text of 80 columns. A reader that went away is no error.
///
/// # Errors
/// The output cannot be written.
pub fn write(report: &Report, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let rendered = if json {
        serde_json::to_string_pretty(report).map_err(io::Error::other)? + "\n"
    } else {
        text::render(report)
    };
    print(&rendered, out)
}

/// Writes a list of prices, likewise.
///
/// # Errors
/// The output cannot be written.
pub fn print_prices(list: &PriceList, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let rendered = if json { list.json().map_err(io::Error::other)? } else { list.text() };
    print(&rendered, out)
}

fn print(rendered: &str, out: &mut dyn Write) -> io::Result<()> {
    match out.write_all(rendered.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
