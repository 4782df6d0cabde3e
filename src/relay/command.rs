//! The `relay` command: a test message, the messages that were given up, and how they are sent again.
//!
//! The ledger has one writer, which is `serve`: `retry` writes down beside the ledger what it asks for, and `serve` does
//! it, at once if it runs, else when it is started.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::answer::Verdict;
use super::sender::Deliver;
use super::{RelayError, Sender};
use crate::cli::{ListFormat, RelayCommand};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::{LedgerError, LedgerReader};
use crate::model::{
    Cost, CostProvenance, DeadLetter, Delivery, FinishedRun, Happening, NanoUsd, Reason, RelayMessage, RunAt,
    Status, UnixMs, Usage, UsageProvenance,
};
use crate::page::{Page, number};
use crate::serve::request_path;
use crate::telemetry::catalogue::key;
use crate::telemetry::event;

/// How long a running `serve` is given to do what was asked for.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum RelayCommandError {
    /// No relay has that name.
    #[error("no [[relay]] is named {name:?}; {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Which there are.
        known: String,
    },
    /// The relay cannot be set up.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The message was not taken.
    #[error(
        "relay {relay} did not take a test message: {text}; see docs/relay.md for what its service needs"
    )]
    NotTaken {
        /// The relay.
        relay: String,
        /// Why.
        text: String,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no dead letter of that number.
    #[error("no message that was given up has the number {0}; `openclaw-usage relay dead` lists them")]
    NoLetter(u64),
    /// The request cannot be written.
    #[error("cannot write {path}: {source}; run this as a user who may write to the ledger's directory")]
    Request {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Another request waits.
    #[error("{0} is there already: an earlier retry still waits for `serve`, which does it when it runs")]
    Waiting(PathBuf),
    /// The answer cannot be written.
    #[error("cannot write to standard output: {0}; check where it leads")]
    Output(#[from] io::Error),
}

impl RelayCommandError {
    /// Returns whether the user's input is at fault: then the exit status is 64.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Relay(_) | Self::NoLetter(_))
    }
}

/// Does what is asked for.
///
/// # Errors
/// See [`RelayCommandError`].
pub async fn run(
    command: &RelayCommand,
    config: &Config,
    clock: &Clock,
    out: &mut dyn Write,
) -> Result<(), RelayCommandError> {
    match command {
        RelayCommand::Test { name } => test(name, config, clock.now(), out).await,
        RelayCommand::Dead { format } => {
            let letters = LedgerReader::open(&config.ledger.path)?.dead_letters()?;
            let text = if *format == ListFormat::Json { listed(&letters) } else { page(&letters) };
            Ok(out.write_all(text.as_bytes())?)
        }
        RelayCommand::Retry { ids, all } => {
            retry(&config.ledger.path, (!all).then_some(ids.as_slice()), out).await
        }
    }
}

async fn test(
    name: &str,
    config: &Config,
    now: UnixMs,
    out: &mut dyn Write,
) -> Result<(), RelayCommandError> {
    let Some(relay) = config.relays.iter().find(|relay| relay.name == name) else {
        let names: Vec<&str> = config.relays.iter().map(|relay| relay.name.as_str()).collect();
        let known = match names.as_slice() {
            [] => "the configuration has none; give its file with --config".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        return Err(RelayCommandError::Unknown { name: name.to_owned(), known });
    };
    let content = sample(config.gateway.as_deref().unwrap_or("openclaw"), now);
    let summary = relay.include_summary.then(|| "What the run said would stand here.".to_owned());
    let message = RelayMessage { id: 0, queued: now, tries: 0, content, summary };
    match Sender::new(relay.clone())?.deliver(&message, now).await {
        Verdict::Taken(_) => Ok(writeln!(out, "relay {name}: its service took a test message")?),
        Verdict::Later { text, .. } | Verdict::Refused { text, .. } => {
            Err(RelayCommandError::NotTaken { relay: name.to_owned(), text })
        }
    }
}

/// Returns the event of a run that never was.
fn sample(gateway: &str, now: UnixMs) -> String {
    let run = FinishedRun {
        gateway: "",
        job_id: "openclaw-usage-relay-test",
        job_name: "Test of this relay",
        agent: "main",
        provider: "example",
        model: "model",
        at: RunAt::Started(now.plus(-92_000)),
        recorded_at: now,
        status: Status::Ok,
        reason: Reason::None,
        delivery: Delivery::Unknown,
        duration_ms: Some(92_000),
        usage: Usage { input: Some(12_000), output: Some(345), ..Usage::default() },
        provenance: UsageProvenance::Record,
        cost: Cost { usd: NanoUsd(42_000_000), provenance: CostProvenance::Priced },
    };
    event::line(Happening::Run(&run), gateway)
}

fn why(letter: &DeadLetter) -> String {
    match letter.status {
        Some(status) => format!("{} (HTTP {status})", letter.reason.as_str()),
        None => letter.reason.as_str().to_owned(),
    }
}

fn what(letter: &DeadLetter) -> (String, String) {
    let event: Map<String, Value> = serde_json::from_str(&letter.content).unwrap_or_default();
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text(key::JOB_NAME), text("message"))
}

fn page(letters: &[DeadLetter]) -> String {
    let mut page = Page::default();
    if letters.is_empty() {
        page.paragraph("", "No message was given up.");
        return page.finish();
    }
    page.row(&[("ID", -6), ("GIVEN UP (UTC)", 16), ("RELAY", 12), ("WHY", 18), ("JOB", 14)]);
    for letter in letters {
        let at = letter.died.to_string();
        let at = at.get(..16).unwrap_or(&at).replace('T', " ");
        let (job, _) = what(letter);
        page.row(&[
            (&letter.id.to_string(), -6),
            (&at, 16),
            (&letter.relay, 12),
            (&why(letter), 18),
            (&job, 14),
        ]);
    }
    page.gap();
    let count = number(u64::try_from(letters.len()).unwrap_or(u64::MAX));
    page.paragraph(
        "",
        &format!("{count} in all. `openclaw-usage relay retry ID`, or --all, has them sent again."),
    );
    page.finish()
}

fn listed(letters: &[DeadLetter]) -> String {
    let letters: Vec<Value> = letters
        .iter()
        .map(|letter| {
            let (job, message) = what(letter);
            json!({
                "id": letter.id,
                "relay": letter.relay,
                "queued": letter.queued.to_string(),
                "given_up": letter.died.to_string(),
                "reason": letter.reason.as_str(),
                "http_status": letter.status,
                "job": job,
                "message": message,
            })
        })
        .collect();
    format!("{}\n", Value::from(letters))
}

async fn retry(ledger: &Path, ids: Option<&[u64]>, out: &mut dyn Write) -> Result<(), RelayCommandError> {
    let reader = LedgerReader::open(ledger)?;
    let letters = reader.dead_letters()?;
    let is_known = |id: &&u64| letters.iter().any(|letter| letter.id == **id);
    if let Some(unknown) = ids.into_iter().flatten().find(|id| !is_known(id)) {
        return Err(RelayCommandError::NoLetter(*unknown));
    }
    let count = ids.map_or(letters.len(), <[u64]>::len);
    if count == 0 {
        return Ok(writeln!(out, "No message was given up.")?);
    }
    let path = request_path(ledger);
    let text = match ids {
        None => "all\n".to_owned(),
        Some(ids) => ids.iter().map(|id| format!("{id}\n")).collect(),
    };
    write_request(&path, &text)?;
    let taken = async {
        while path.exists() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let is_served = !reader.is_at_rest();
    if is_served && tokio::time::timeout(PATIENCE, taken).await.is_ok() {
        return Ok(writeln!(out, "Put back into the queues: {count}.")?);
    }
    Ok(writeln!(out, "Noted for {count}: `serve` puts them back when it runs with a relay.")?)
}

/// Writes the whole file at once. It holds numbers only, and whoever runs `serve` must be able to read it.
fn write_request(path: &Path, text: &str) -> Result<(), RelayCommandError> {
    let failed = |source| RelayCommandError::Request { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(RelayCommandError::Waiting(path.to_owned()))
        }
        Err(error) => Err(failed(error.error)),
    }
}
