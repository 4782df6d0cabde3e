//! The commands `ledger backup`, `verify` and `restore`: what was asked, and what is said of it.
//!
//! Deliberately absent: what they do, which is the ledger's.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::{BackupArgs, RestoreArgs, VerifyArgs};
use crate::config::Config;
use crate::ledger::{
    self, BackupError, Continuation, LedgerError, LedgerReader, RestoreOptions, Restored, Summary,
};
use crate::model::UnixMs;

/// Why nothing could be said or done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The ledger or the backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What came of it could not be said.
    #[error("cannot write to standard output: {0}; check where it leads")]
    Output(#[from] io::Error),
}

impl From<LedgerError> for CommandError {
    fn from(error: LedgerError) -> Self {
        Self::Backup(error.into())
    }
}

/// Makes a backup, and says what is in it.
///
/// # Errors
/// It could not be made: see [`BackupError`].
pub fn back_up(args: &BackupArgs, config: &Config, out: &mut impl Write) -> Result<(), CommandError> {
    let copy = ledger::back_up(&config.ledger.path, Path::new(&args.to), args.force)?;
    writeln!(out, "wrote {}: {}", args.to, content(&copy))?;
    Ok(())
}

/// Brings a backup back, and says how counters go on.
///
/// # Errors
/// It could not be brought back: see [`BackupError`].
pub fn restore(
    args: &RestoreArgs,
    config: &Config,
    now: UnixMs,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let options = RestoreOptions { gateway: config.gateway.clone(), nothing_since: args.nothing_since };
    let path = &config.ledger.path;
    let Restored { summary, continuation, aside } =
        ledger::restore(Path::new(&args.from), path, &options, now)?;
    writeln!(out, "restored {}: {}", path.display(), content(&summary))?;
    if let Some(aside) = aside {
        writeln!(out, "the ledger that was there is kept as {}", aside.display())?;
    }
    let counters = match continuation {
        Continuation::AsBackedUp => "go on where they stood in the backup",
        Continuation::AsReplaced => "go on where they stood in the ledger that was there",
        Continuation::Anew => {
            "begin anew at zero, with runs that end from now on; what was before is in reports"
        }
    };
    writeln!(out, "exported counters {counters}")?;
    writeln!(out, "the next start of `serve` reads again what ended after the backup")?;
    Ok(())
}

/// What is found of a ledger.
#[derive(Debug, Serialize)]
struct Verdict {
    path: String,
    ok: bool,
    /// Absent where the file cannot be read as a ledger at all; then so are all but `problem`.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    checks: Vec<CheckRow>,
}

#[derive(Debug, Serialize)]
struct CheckRow {
    name: &'static str,
    claim: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Says whether a ledger is sound. Returns whether it is.
///
/// # Errors
/// Standard output is gone; what is wrong with the ledger is an answer.
pub fn verify(args: &VerifyArgs, config: &Config, out: &mut impl Write) -> Result<bool, CommandError> {
    let path = args.file.as_ref().map_or_else(|| config.ledger.path.clone(), PathBuf::from);
    let verdict = judge(&path);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &verdict).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        text(&verdict, out)?;
    }
    Ok(verdict.ok)
}

fn judge(path: &Path) -> Verdict {
    let shown = path.display().to_string();
    let nothing = |problem: String| Verdict {
        path: shown.clone(),
        ok: false,
        problem: Some(problem),
        gateway: None,
        schema: None,
        runs: None,
        size_bytes: None,
        checks: Vec::new(),
    };
    let found = LedgerReader::open(path).map_err(BackupError::from).and_then(|reader| {
        let checks = reader.audit()?;
        Ok((reader, checks))
    });
    let (reader, checks) = match found {
        Ok(found) => found,
        Err(error) => return nothing(error.to_string()),
    };
    let checks: Vec<CheckRow> = checks
        .into_iter()
        .map(|check| CheckRow {
            name: check.name,
            claim: check.claim,
            ok: check.problem.is_none(),
            problem: check.problem,
        })
        .collect();
    // What a damaged file holds may not be readable.
    let summary = reader.summary().ok();
    Verdict {
        ok: checks.iter().all(|check| check.ok),
        gateway: summary.as_ref().map(|summary| summary.gateway.clone()),
        schema: summary.as_ref().map(|summary| summary.schema),
        runs: summary.as_ref().map(|summary| summary.runs),
        size_bytes: summary.as_ref().map(|summary| summary.size_bytes),
        checks,
        ..Verdict { problem: None, ..nothing(String::new()) }
    }
}

fn text(verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", verdict.path)?;
    if let Some(problem) = &verdict.problem {
        return writeln!(out, "  not sound: {problem}");
    }
    if let (Some(gateway), Some(schema), Some(runs)) = (&verdict.gateway, verdict.schema, verdict.runs) {
        writeln!(out, "  {runs} runs of the gateway {gateway}, schema {schema}")?;
    }
    for check in &verdict.checks {
        match &check.problem {
            None => writeln!(out, "  ok     {:<11}{}", check.name, check.claim)?,
            Some(problem) => writeln!(out, "  WRONG  {:<11}{}: {problem}", check.name, check.claim)?,
        }
    }
    if verdict.ok {
        writeln!(out, "sound")
    } else {
        writeln!(out, "not sound; bring back a backup: ledger restore --help")
    }
}

fn content(summary: &Summary) -> String {
    format!(
        "{} runs of the gateway {}, schema {}, {} bytes",
        summary.runs, summary.gateway, summary.schema, summary.size_bytes
    )
}
