//! Where the numbers come from: a ledger, or a state directory that is read into one for the occasion.
//!
//! In memory, if only runs are asked for; in a temporary directory for whoever needs what memory does not hold.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::progress::shown;
use super::{CommandError, Environment, ReportError};
use crate::cli::ReportArgs;
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError, LedgerReader, OpenOptions, UsageReader};
use crate::model::{BudgetDefinition, UnixMs};
use crate::serve::{Collector, PriceSettings, Scope, Signals};

/// Where the numbers come from.
pub struct Source {
    place: Place,
    state_dir: PathBuf,
    prices: PriceSettings,
    /// What a ledger for the occasion is made with.
    options: OpenOptions,
    budgets: Vec<BudgetDefinition>,
    /// What was read of the state directory; kept between two reads, so that the second sees only what is new.
    reader: Option<Box<Reader>>,
}

enum Place {
    /// The ledger of `serve`.
    Ledger(PathBuf),
    /// The state directory, read into a ledger in memory.
    Memory,
    /// The state directory, read into a ledger in this directory.
    Folder(TempDir),
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
        let ledger = Self::of_ledger(config);
        if args.ledger.is_some() || !named && config.ledger.path.exists() {
            return ledger;
        }
        Self { place: Place::Memory, ..ledger }
    }

    /// Returns the ledger of the configuration.
    pub fn of_ledger(config: &Config) -> Self {
        Self {
            place: Place::Ledger(config.ledger.path.clone()),
            state_dir: config.state_dir.clone(),
            prices: PriceSettings::of(config),
            options: OpenOptions { gateway: config.gateway.clone(), max_jobs: usize::MAX, full_sync: false },
            budgets: config.budgets.clone(),
            reader: None,
        }
    }

    /// Returns the state directory of the configuration, read into a ledger that can be [opened](Self::open).
    pub fn of_files(config: &Config) -> Result<Self, CommandError> {
        Self { place: Place::Memory, ..Self::of_ledger(config) }.on_disk()
    }

    /// Returns the same with a ledger that can be [opened](Self::open).
    pub fn on_disk(self) -> Result<Self, CommandError> {
        let Place::Memory = self.place else { return Ok(self) };
        let folder = tempfile::Builder::new().prefix("openclaw-usage-report-").tempdir();
        Ok(Self { place: Place::Folder(folder.map_err(CommandError::Prepare)?), ..self })
    }

    /// Counts as `serve` would: no more jobs under their own than it allows.
    pub const fn limit_jobs(&mut self, config: &Config) {
        self.options.max_jobs = config.max_jobs;
    }

    /// Returns whether the ledger is one for the occasion.
    pub const fn is_own(&self) -> bool {
        !matches!(self.place, Place::Ledger(_))
    }

    /// Returns the budgets of the configuration.
    pub fn budgets(&self) -> &[BudgetDefinition] {
        &self.budgets
    }

    /// Returns what the reader of a report is told about it.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Ledger(ledger) => format!("from the ledger {}", ledger.display()),
            Place::Memory | Place::Folder(_) => format!("read from {}", self.state_dir.display()),
        }
    }

    /// Returns the directory of run logs as OpenClaw's script calls it.
    pub fn runs_dir(&self) -> String {
        self.state_dir.join("cron").join("runs").display().to_string()
    }

    /// Opens the ledger.
    ///
    /// # Errors
    /// The ledger's; one in memory cannot be opened.
    pub fn open(&self) -> Result<LedgerReader, CommandError> {
        let path = match &self.place {
            Place::Ledger(path) => path.clone(),
            Place::Folder(folder) => ledger_in(folder),
            Place::Memory => PathBuf::from("in memory"),
        };
        Ok(LedgerReader::open(&path).map_err(ReportError::Ledger)?)
    }

    /// Puts a question to what was [read](Self::read).
    ///
    /// # Errors
    /// Those of the question, and the ledger's.
    pub fn ask<T>(
        &self,
        question: impl Fn(&UsageReader<'_>) -> Result<T, ReportError>,
    ) -> Result<T, CommandError> {
        let usage = |ledger: &Ledger| -> Result<T, CommandError> {
            let usage = ledger.usage().map_err(ReportError::Ledger)?;
            Ok(question(&usage)?)
        };
        if let Place::Memory = self.place {
            return match &self.reader {
                Some(reader) => usage(&reader.ledger),
                None => usage(&Ledger::in_memory(&self.options, UnixMs(0))?),
            };
        }
        let asked = |reader: &LedgerReader| -> Result<T, CommandError> {
            let usage = reader.usage().map_err(ReportError::Ledger)?;
            Ok(question(&usage)?)
        };
        let reader = self.open()?;
        let answer = asked(&reader);
        // What was at rest may have been written to meanwhile.
        if reader.is_overtaken() { asked(&self.open()?) } else { answer }
    }

    /// Reads what is new in the state directory, unless the ledger of `serve` is asked: what runs that started at
    /// `since` or later need, or everything. Shows how far it got if that takes long.
    pub async fn read(
        &mut self,
        environment: &mut Environment<'_>,
        signals: &mut Signals,
        since: Option<UnixMs>,
    ) -> Result<(), CommandError> {
        let ledger = match &self.place {
            Place::Ledger(_) => return Ok(()),
            Place::Memory => None,
            Place::Folder(folder) => Some(ledger_in(folder)),
        };
        let (state_dir, prices, options) =
            (self.state_dir.clone(), self.prices.clone(), self.options.clone());
        let (home, now) = (environment.home.clone(), environment.clock.now());
        let reader = self.reader.take();
        let scope = Scope::since(since);
        let (sender, done) = oneshot::channel();
        // Beside the waiting, which minds the clock and Ctrl-C.
        let reading = scope.clone();
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                let made = reader.map_or_else(
                    || {
                        let ledger = match ledger {
                            Some(path) => Ledger::open(&path, &options, now)?.ledger,
                            None => Ledger::in_memory(&options, now)?,
                        };
                        let collector = Collector::new(&state_dir, home).with_prices(prices).within(reading);
                        Ok(Box::new(Reader { ledger, collector }))
                    },
                    Ok,
                );
                // Whoever waited may have been interrupted.
                _ = sender.send(made.map_err(LedgerError::into).and_then(|made| read(made, &state_dir, now)));
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
        let read = shown(end, environment.progress.as_deref_mut(), bytes).await;
        let (reader, note) = read.inspect_err(|_| {
            if let Place::Folder(folder) = &self.place {
                _ = std::fs::remove_dir_all(folder.path());
            }
        })?;
        if let Some(note) = note {
            (environment.say)(&format!("note: {note}"));
        }
        self.reader = Some(reader);
        Ok(())
    }
}

fn ledger_in(folder: &TempDir) -> PathBuf {
    folder.path().join("ledger.sqlite")
}

/// Reads everything that is new. Returns the reader, and what else somebody should know.
fn read(
    mut reader: Box<Reader>,
    state_dir: &Path,
    now: UnixMs,
) -> Result<(Box<Reader>, Option<String>), CommandError> {
    let unreadable = |text: String| CommandError::StateDir(state_dir.to_owned(), text);
    std::fs::read_dir(state_dir).map_err(|error| unreadable(error.to_string()))?;
    let Reader { ledger, collector } = &mut *reader;
    collector.sweep(ledger, now)?;
    let health = collector.health(ledger, now);
    if let Some(problem) = health.problem {
        return Err(unreadable(problem));
    }
    let note = collector.problem().map(ToOwned::to_owned);
    Ok((reader, note))
}
