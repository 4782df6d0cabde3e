//! The `report` command: its flags to a question, a ledger to ask, and the answer on standard output.
//!
//! Without a ledger the state directory is read into one in memory, by the same collector as `serve` uses, so that the
//! numbers are the same. Invariant: neither the ledger nor the state directory is written to.

pub mod export;
mod flags;
mod progress;
mod reconcile;
mod server;
mod source;
mod wait;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::server::Server;
use self::source::Source;
use super::export::ExportError;
use super::{
    Query, Report, ReportError, Terminal, Zone, budgets, compat, csv, first_period, json, markdown, report,
    table,
};
use crate::cli::ReportArgs;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::ledger::LedgerError;
use crate::model::UnixMs;
use crate::serve::Signals;

pub use flags::overrides;
pub use server::ServerError;

/// Exit status of a window that cost more than `--fail-over`.
pub const EXIT_OVER: u8 = 3;
/// Exit status of a reconciliation that found differences.
const EXIT_DIFFERENT: u8 = 1;
/// How often `--watch` draws.
const REDRAW: Duration = Duration::from_secs(2);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A flag is wrong, or the ledger cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory cannot be read.
    #[error(
        "cannot read the state directory {0}: {1}; name the gateway's own with --state-dir, or a ledger with --ledger"
    )]
    StateDir(PathBuf, String),
    /// No temporary directory, or no thread.
    #[error("cannot prepare to read the state directory: {0}; set TMPDIR to a directory that can be written")]
    Prepare(io::Error),
    /// The reader of the state directory failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The runs could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file of an export cannot be made.
    #[error("cannot make the file {0}: {1}; give a path in a directory that can be written with --output")]
    Create(PathBuf, io::Error),
    /// A writer began with a ledger that was at rest.
    #[error("`serve` was started on the ledger while it was exported; export it again")]
    Overtaken,
    /// A server that is asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Ctrl-C.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// The answer cannot be written.
    #[error("cannot write to standard output: {0}; check where it leads")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// Returns whether the user's input is at fault: then the exit status is 64.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_)) || matches!(self, Self::Report(error) if error.is_usage())
    }
}

/// What the command needs from outside.
pub struct Environment<'a> {
    /// The clock.
    pub clock: &'a Clock,
    /// What `~` stands for in the gateway's configuration.
    pub home: Option<PathBuf>,
    /// The time zone of the system, as far as it says.
    pub zone: Option<String>,
    /// What the reader looks at.
    pub terminal: Terminal,
    /// Where the answer goes.
    pub out: Box<dyn Write>,
    /// Where a bar is drawn for whoever waits; `None`: nobody looks.
    pub progress: Option<Box<dyn Write>>,
    /// Takes a line for whoever waits, or has to know.
    pub say: &'a dyn Fn(&str),
}

impl<'a> Environment<'a> {
    /// Returns that of this process.
    #[must_use]
    pub fn of_process(clock: &'a Clock, say: &'a dyn Fn(&str)) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let width = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let localtime = std::fs::read_link("/etc/localtime").ok();
        Self {
            clock,
            home: set("HOME").map(PathBuf::from),
            zone: flags::system_zone(set("TZ").as_deref(), localtime.as_deref()),
            terminal: Terminal {
                // Narrower than this nothing can be read; pipes get what most terminals have.
                width: width.filter(|width| is_terminal && *width > 0).unwrap_or(80).max(40),
                colour: is_terminal && !dumb && set("NO_COLOR").is_none(),
            },
            out: Box::new(out),
            progress: (io::stderr().is_terminal() && !dumb).then(|| Box::new(io::stderr()) as Box<dyn Write>),
            say,
        }
    }
}

/// Answers. Returns the exit status.
///
/// # Errors
/// See [`CommandError`].
pub async fn run(
    args: &ReportArgs,
    config: &Config,
    environment: &mut Environment<'_>,
) -> Result<u8, CommandError> {
    let zone = flags::zone(args, environment.zone.as_deref())?;
    let limit = flags::fail_over(args)?;
    // A mistyped flag is said before anything is read.
    flags::query(args, &zone, environment.clock.now())?;
    if args.reconcile {
        return reconcile::reconcile(args, &zone, config, environment).await;
    }
    let mut origin = Origin::choose(args, config)?;
    if args.watch {
        return watch(args, &zone, &mut origin, environment).await;
    }
    let mut signals = Signals::new().map_err(CommandError::Prepare)?;
    let answer = origin.answer(args, &zone, environment, &mut signals).await?;
    let text = rendered(args, &answer, &origin, environment.terminal)?;
    write(&mut environment.out, &text)?;
    Ok(match limit.filter(|limit| answer.totals.cost > *limit) {
        Some(limit) => {
            let cost = answer.totals.cost;
            (environment.say)(&format!("the window cost ${cost}, more than --fail-over ${limit}"));
            EXIT_OVER
        }
        None => 0,
    })
}

/// Who answers.
enum Origin {
    /// A ledger, or a state directory that is read into one.
    Here(Box<Source>),
    /// A server that gateways push to.
    There(Box<Server>),
}

impl Origin {
    fn choose(args: &ReportArgs, config: &Config) -> Result<Self, CommandError> {
        Ok(match &args.prometheus {
            Some(url) => {
                flags::for_server(args)?;
                Self::There(Box::new(Server::new(url, args, config)?))
            }
            None => Self::Here(Box::new(Source::choose(args, config))),
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Here(source) => source.name(),
            Self::There(server) => server.name(),
        }
    }

    async fn answer(
        &mut self,
        args: &ReportArgs,
        zone: &Zone,
        environment: &mut Environment<'_>,
        signals: &mut Signals,
    ) -> Result<Report, CommandError> {
        match self {
            Self::Here(source) => {
                let query = flags::query(args, zone, environment.clock.now())?;
                let since = if args.full_scan { None } else { Some(begins(&query, source)?) };
                source.read(environment, signals, since).await?;
                ask(args, zone, source, environment)
            }
            Self::There(server) => {
                let query = flags::query(args, zone, environment.clock.now())?;
                tokio::select! {
                    answer = server.report(&query, environment) => answer,
                    _ = signals.next() => Err(CommandError::Interrupted),
                }
            }
        }
    }
}

async fn watch(
    args: &ReportArgs,
    zone: &Zone,
    origin: &mut Origin,
    environment: &mut Environment<'_>,
) -> Result<u8, CommandError> {
    let mut signals = Signals::new().map_err(CommandError::Prepare)?;
    loop {
        let answer = origin.answer(args, zone, environment, &mut signals).await?;
        let text = rendered(args, &answer, origin, environment.terminal)?;
        // Home, the page line by line over the old one, and nothing of that below: no flicker.
        let text = format!("\u{1b}[H{}\u{1b}[J", text.replace('\n', "\u{1b}[K\n"));
        if !write(&mut environment.out, &text)? {
            return Ok(0);
        }
        tokio::select! {
            _ = signals.next() => return Ok(0),
            () = tokio::time::sleep(REDRAW) => {}
        }
    }
}

/// Returns when the first run may have started that is asked for: in the window, in the one before it, or in the period of
/// a budget.
fn begins(query: &Query, source: &Source) -> Result<UnixMs, CommandError> {
    let period = first_period(source.budgets(), query.window.until)?;
    Ok(period.map_or(query.begins(), |period| period.min(query.begins())))
}

fn ask(
    args: &ReportArgs,
    zone: &Zone,
    source: &Source,
    environment: &Environment<'_>,
) -> Result<Report, CommandError> {
    let query = flags::query(args, zone, environment.clock.now())?;
    let answer = source.ask(|usage| {
        let budgets = budgets(usage, source.budgets(), query.window.until)?;
        report(usage, &query).map(|answer| Report { budgets, ..answer })
    })?;
    if answer.totals.runs.total == 0 && !args.job.is_empty() {
        (environment.say)("note: no run of a job that --job names, by name or id; wildcards are * and ?");
    }
    Ok(answer)
}

fn rendered(
    args: &ReportArgs,
    answer: &Report,
    origin: &Origin,
    terminal: Terminal,
) -> Result<String, CommandError> {
    let of = |json: serde_json::Result<String>| json.map_err(|error| CommandError::Output(error.into()));
    if let Origin::Here(source) = origin
        && args.compat.compat
    {
        return of(compat(answer, &source.runs_dir(), args.json));
    }
    match args.format.as_str() {
        _ if args.json => of(json(answer)),
        "json" => of(json(answer)),
        "csv" => Ok(csv(answer)),
        "markdown" => Ok(markdown(answer, &origin.name())),
        _ => Ok(table(answer, &origin.name(), terminal)),
    }
}

/// Writes it. Returns whether anybody reads on; a reader that went away is no error.
fn write(out: &mut dyn Write, text: &str) -> io::Result<bool> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Returns the state directory that a directory of run logs belongs to.
fn state_dir_of(runs_dir: &Path) -> Option<&Path> {
    let cron = runs_dir.parent().filter(|_| runs_dir.ends_with("cron/runs"))?;
    cron.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}
