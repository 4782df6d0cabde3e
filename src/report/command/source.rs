//! Where the numbers come from: a ledger, or a state directory that is read into one for the occasion.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::wait::patiently;
use super::{CommandError, Environment};
use crate::cli::ReportArgs;
use crate::config::Config;
use crate::ledger::{Ledger, LedgerReader, OpenOptions};
use crate::model::{BudgetDefinition, UnixMs};
use crate::serve::{Collector, PriceSettings, Signals};

/// Where the numbers come from.
pub struct Source {
    ledger: PathBuf,
    state_dir: PathBuf,
    prices: PriceSettings,
    /// What a ledger for the occasion is made with.
    options: OpenOptions,
    budgets: Vec<BudgetDefinition>,
    /// The ledger is one for the occasion.
    own: Option<Own>,
}

struct Own {
    folder: TempDir,
    /// Kept between two reads, so that the second sees only what is new.
    reader: Option<Box<Reader>>,
}

struct Reader {
    ledger: Ledger,
    collector: Collector,
}

impl Source {
    /// Decides: the ledger that is named, else the state directory that is, else the default of both that there is.
    pub fn choose(args: &ReportArgs, config: &Config) -> Result<Self, CommandError> {
        let named = args.state_dir.is_some()
            || args.profile.is_some()
            || args.compat.runs_dir.is_some()
            || args.compat.store.is_some();
        if args.ledger.is_some() || !named && config.ledger.path.exists() {
            return Ok(Self::of_ledger(config));
        }
        Self::of_files(config)
    }

    /// Returns the ledger of the configuration.
    pub fn of_ledger(config: &Config) -> Self {
        Self {
            ledger: config.ledger.path.clone(),
            state_dir: config.state_dir.clone(),
            prices: PriceSettings::of(config),
            options: OpenOptions { gateway: config.gateway.clone(), max_jobs: usize::MAX, full_sync: false },
            budgets: config.budgets.clone(),
            own: None,
        }
    }

    /// Returns the state directory of the configuration.
    pub fn of_files(config: &Config) -> Result<Self, CommandError> {
        let folder = tempfile::Builder::new().prefix("openclaw-usage-report-").tempdir();
        let folder = folder.map_err(CommandError::Prepare)?;
        Ok(Self {
            ledger: folder.path().join("ledger.sqlite"),
            own: Some(Own { folder, reader: None }),
            ..Self::of_ledger(config)
        })
    }

    /// Counts as `serve` would: no more jobs under their own than it allows.
    pub const fn limit_jobs(&mut self, config: &Config) {
        self.options.max_jobs = config.max_jobs;
    }

    /// Returns whether the ledger is one for the occasion.
    pub const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Returns the budgets of the configuration.
    pub fn budgets(&self) -> &[BudgetDefinition] {
        &self.budgets
    }

    /// Returns what the reader of a report is told about it.
    pub fn name(&self) -> String {
        match self.own {
            None => format!("from the ledger {}", self.ledger.display()),
            Some(_) => format!("read from {}", self.state_dir.display()),
        }
    }

    /// Returns the directory of run logs as OpenClaw's script calls it.
    pub fn runs_dir(&self) -> String {
        self.state_dir.join("cron").join("runs").display().to_string()
    }

    /// Opens the ledger.
    pub fn open(&self) -> Result<LedgerReader, CommandError> {
        Ok(LedgerReader::open(&self.ledger).map_err(super::ReportError::Ledger)?)
    }

    /// Reads what is new in the state directory, if the ledger is one for the occasion; says so when it takes long.
    pub async fn read(
        &mut self,
        environment: &Environment<'_>,
        signals: &mut Signals,
    ) -> Result<(), CommandError> {
        let Some(own) = &mut self.own else { return Ok(()) };
        let (ledger, state_dir, prices) = (self.ledger.clone(), self.state_dir.clone(), self.prices.clone());
        let (home, now) = (environment.home.clone(), environment.clock.now());
        let options = self.options.clone();
        let reader = own.reader.take();
        let (sender, done) = oneshot::channel();
        // Beside the waiting, which minds the clock and Ctrl-C: then the temporary directory goes.
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                let read = read(reader, (&ledger, &options), (&state_dir, home, prices), now);
                // Whoever waited may have been interrupted.
                _ = sender.send(read);
            })
            .map_err(CommandError::Prepare)?;
        let place = self.state_dir.display();
        let read = patiently(done, signals, |waited| {
            let seconds = waited.as_secs_f64();
            let text = format!("reading {place} for {seconds:.1} s; a ledger of `serve` answers at once");
            (environment.say)(&text);
        });
        let (reader, note) = read.await.inspect_err(|_| {
            // The thread ends with the process.
            _ = std::fs::remove_dir_all(own.folder.path());
        })??;
        if let Some(note) = note {
            (environment.say)(&format!("note: {note}"));
        }
        own.reader = Some(reader);
        Ok(())
    }
}

/// Reads everything that is new. Returns the reader, and what else somebody should know.
fn read(
    reader: Option<Box<Reader>>,
    (path, options): (&Path, &OpenOptions),
    (state_dir, home, prices): (&Path, Option<PathBuf>, PriceSettings),
    now: UnixMs,
) -> Result<(Box<Reader>, Option<String>), CommandError> {
    let unreadable = |text: String| CommandError::StateDir(state_dir.to_owned(), text);
    std::fs::read_dir(state_dir).map_err(|error| unreadable(error.to_string()))?;
    let mut reader = match reader {
        Some(reader) => reader,
        None => {
            let ledger = Ledger::open(path, options, now)?.ledger;
            Box::new(Reader { ledger, collector: Collector::new(state_dir, home).with_prices(prices) })
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
