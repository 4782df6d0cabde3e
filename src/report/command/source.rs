//! Where the numbers come from: a ledger, or a state directory that is read into one in memory, for the occasion.

use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::super::{Query, Report, ReportError, report};
use super::progress::shown;
use super::{CommandError, Environment};
use crate::cli::ReportArgs;
use crate::config::Config;
use crate::ledger::{Ledger, LedgerReader};
use crate::model::UnixMs;
use crate::serve::{Collector, PriceSettings, Scope, Signals};

/// Where the numbers come from.
pub struct Source {
    /// `None`: the state directory is read.
    ledger: Option<PathBuf>,
    state_dir: PathBuf,
    prices: PriceSettings,
    /// What was read of the state directory; kept between two reads, so that the second sees only what is new.
    reader: Option<Box<Reader>>,
}

struct Reader {
    ledger: Ledger,
    collector: Collector,
}

impl Source {
    /// Decides: the ledger that is named, else the state directory that is, else the default of both that there is.
    pub fn choose(args: &ReportArgs, config: &Config) -> Self {
        let named = args.state_dir.is_some()
            || args.profile.is_some()
            || args.compat.runs_dir.is_some()
            || args.compat.store.is_some();
        let ledger = &config.ledger.path;
        let ledger = (args.ledger.is_some() || !named && ledger.exists()).then(|| ledger.clone());
        Self { ledger, state_dir: config.state_dir.clone(), prices: PriceSettings::of(config), reader: None }
    }

    /// Returns what the reader of a report is told about it.
    pub fn name(&self) -> String {
        match &self.ledger {
            Some(ledger) => format!("from the ledger {}", ledger.display()),
            None => format!("read from {}", self.state_dir.display()),
        }
    }

    /// Returns the directory of run logs as OpenClaw's script calls it.
    pub fn runs_dir(&self) -> String {
        self.state_dir.join("cron").join("runs").display().to_string()
    }

    /// Answers a question out of the ledger, or out of what was [read](Self::read).
    pub fn report(&self, query: &Query) -> Result<Report, ReportError> {
        let Some(ledger) = &self.ledger else {
            return match &self.reader {
                Some(reader) => report(&reader.ledger.usage()?, query),
                None => report(&Ledger::in_memory(UnixMs(0))?.usage()?, query),
            };
        };
        let reader = LedgerReader::open(ledger)?;
        let answer = report(&reader.usage()?, query);
        // What was at rest may have been written to meanwhile.
        if reader.is_overtaken() { report(&LedgerReader::open(ledger)?.usage()?, query) } else { answer }
    }

    /// Reads what is new in the state directory, unless a ledger is asked: what runs that started at `since` or
    /// later need, or everything. Shows how far it got if that takes long.
    pub async fn read(
        &mut self,
        environment: &mut Environment<'_>,
        signals: &mut Signals,
        since: Option<UnixMs>,
    ) -> Result<(), CommandError> {
        if self.ledger.is_some() {
            return Ok(());
        }
        let (state_dir, prices) = (self.state_dir.clone(), self.prices.clone());
        let (home, now) = (environment.home.clone(), environment.clock.now());
        let reader = self.reader.take();
        let scope = Scope::since(since);
        let (sender, done) = oneshot::channel();
        // Beside the waiting, which minds the clock and Ctrl-C.
        let reading = scope.clone();
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                let read = read(reader, (&state_dir, home, prices, reading), now);
                // Whoever waited may have been interrupted.
                _ = sender.send(read);
            })
            .map_err(CommandError::Prepare)?;
        let (state_dir, home) = (&self.state_dir, environment.home.as_deref());
        let mut all = None;
        let bytes = || (scope.bytes_done(), *all.get_or_insert_with(|| scope.bytes_in(state_dir, home)));
        let end = async {
            tokio::select! {
                biased;
                read = done => read.map_err(|_| CommandError::Interrupted)?,
                // The thread ends with the process.
                _ = signals.next() => Err(CommandError::Interrupted),
            }
        };
        let (reader, note) = shown(end, environment.progress.as_deref_mut(), bytes).await?;
        if let Some(note) = note {
            (environment.say)(&format!("note: {note}"));
        }
        self.reader = Some(reader);
        Ok(())
    }
}

/// Reads everything that is new. Returns the reader, and what else somebody should know.
fn read(
    reader: Option<Box<Reader>>,
    (state_dir, home, prices, scope): (&Path, Option<PathBuf>, PriceSettings, Scope),
    now: UnixMs,
) -> Result<(Box<Reader>, Option<String>), CommandError> {
    let unreadable = |text: String| CommandError::StateDir(state_dir.to_owned(), text);
    std::fs::read_dir(state_dir).map_err(|error| unreadable(error.to_string()))?;
    let mut reader = match reader {
        Some(reader) => reader,
        None => {
            let ledger = Ledger::in_memory(now)?;
            let collector = Collector::new(state_dir, home).with_prices(prices).within(scope);
            Box::new(Reader { ledger, collector })
        }
    };
    let Reader { ledger, collector } = &mut *reader;
    collector.sweep(ledger, now)?;
    let health = collector.health(ledger, now);
    if let Some(problem) = health.problem {
        return Err(unreadable(problem));
    }
    let note = collector.problem().map(ToOwned::to_owned);
    Ok((reader, note))
}
