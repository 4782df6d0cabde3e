//! Sources into the ledger: the synchronous heart of the daemon.
//!
//! `run_logs` reads the files of OpenClaw up to 2026.5.28, `database` the tables from 2026.6.1 on; which of them are
//! there is looked at anew with every sweep, so that an upgrade needs nothing. Invariants: a source counts as seen only
//! after its batch was committed, so that a failed commit is tried again; what stands in the way of one source never
//! stops the others; times come in as values. Deliberately absent: waiting, watching and sending.

mod agent_files;
mod agent_tables;
mod database;
mod gateway_log;
mod health;
mod prices;
mod run_logs;
mod scope;
mod transcripts;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use database::StateDatabase;
use gateway_log::GatewayLog;
use prices::Prices;
use run_logs::RunLogs;
use transcripts::Transcripts;

use crate::config::GatewayLog as Setting;
use crate::ledger::{Ledger, LedgerError, Pricing};
use crate::model::{FileId, UnixMs};
use crate::openclaw::{Layout, read_jobs, run_log, state_file};
use crate::price::PriceBook;
use crate::telemetry::PriceState;

pub use gateway_log::gateway_log_place;
pub use health::{SOURCES, SourceHealth, WEBHOOK};
pub use prices::{CatalogueUse, PriceSettings};
pub use scope::Scope;

/// Reads the sources of one gateway.
pub struct Collector {
    layout: Layout,
    home: Option<PathBuf>,
    run_logs: RunLogs,
    database: StateDatabase,
    transcripts: Transcripts,
    prices: Prices,
    gateway_log: GatewayLog,
    scope: Scope,
    /// Runs also come by webhook.
    webhook: bool,
    /// There is no state directory: they come by webhook alone.
    nowhere: bool,
    /// Two threads parse run logs ahead of this one, which counts.
    ahead: bool,
    /// The last sweep went through; else part of a history may be held back.
    caught_up: bool,
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// What is wrong with the list of jobs.
    problem: Option<String>,
    /// What is wrong with the gateway's configuration, as far as it says where things are.
    misplaced: Option<String>,
}

/// What tells a changed file from an unchanged one without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    file: FileId,
    size: u64,
    modified_ns: i128,
}

impl Stamp {
    /// Returns whether it was last written to so long ago that its end is the end.
    fn has_rested(&self, now: UnixMs) -> bool {
        let modified_ms = i64::try_from(self.modified_ns / 1_000_000).unwrap_or(i64::MAX);
        now.since(UnixMs(modified_ms)) >= run_log::UNFINISHED_MS
    }
}

/// What a look did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Something that is exported changed.
    pub changed: bool,
    /// Files that had changed since they were last seen.
    pub found: Vec<PathBuf>,
}

impl Collector {
    /// Prepares to read the gateway whose state is in `state_dir`. `home` is what `~` stands for in its
    /// configuration.
    #[must_use]
    pub fn new(state_dir: &Path, home: Option<PathBuf>) -> Self {
        Self {
            layout: Layout::of(state_dir),
            home,
            run_logs: RunLogs::default(),
            database: StateDatabase::default(),
            transcripts: Transcripts::default(),
            prices: Prices::default(),
            gateway_log: GatewayLog::new(Setting::Off),
            scope: Scope::default(),
            webhook: false,
            nowhere: false,
            ahead: false,
            caught_up: true,
            stamps: HashMap::new(),
            problem: None,
            misplaced: None,
        }
    }

    /// Prices with what the operator says as well.
    #[must_use]
    pub fn with_prices(self, settings: PriceSettings) -> Self {
        Self { prices: Prices::new(settings), ..self }
    }

    /// Reads the gateway's own log as well, if that is wanted.
    #[must_use]
    pub fn with_gateway_log(self, setting: Setting) -> Self {
        Self { gateway_log: GatewayLog::new(setting), ..self }
    }

    /// Prices with what the operator says now. Files that did not change are not read again.
    pub fn set_prices(&mut self, settings: PriceSettings) {
        self.prices.set(settings);
    }

    /// Reads the gateway's own log where it is now, if that is wanted.
    pub fn set_gateway_log(&mut self, setting: Setting) {
        self.gateway_log = GatewayLog::new(setting);
    }

    /// Knows that runs come by webhook too, or alone.
    #[must_use]
    pub fn with_webhook(self, alone: bool) -> Self {
        Self { webhook: true, nowhere: alone, ..self }
    }

    /// Reads for one question, as fast as can be, and no more than that needs.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.transcripts.set_scope(&scope);
        Self { database: StateDatabase::within(scope.clone()), scope, ahead: true, ..self }
    }

    /// Reads the prices without anything that they apply to. Returns how to price, if that changed.
    pub fn read_prices(&mut self) -> Option<Pricing> {
        self.prices.refresh(&self.layout.state_dir)
    }

    /// Returns provider and model of all that the operator and the gateway name, but not the catalogue.
    #[must_use]
    pub fn configured_models(&self) -> BTreeSet<(String, String)> {
        self.prices.models()
    }

    /// Returns the prices in force.
    #[must_use]
    pub fn price_book(&self) -> Arc<PriceBook> {
        self.prices.book()
    }

    /// Returns why a file's prices of before are still in force, if one cannot be read.
    #[must_use]
    pub fn price_problem(&self) -> Option<&str> {
        self.prices.problem()
    }

    /// Returns what the models that were used cost now.
    #[must_use]
    pub fn prices_in_force(&self, ledger: &Ledger, now: UnixMs) -> Vec<PriceState> {
        let totals = ledger.totals();
        let totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let used: BTreeSet<(&str, &str)> = totals
            .labels
            .iter()
            .map(|labels| (labels.provider.as_str(), labels.model.as_str()))
            .filter(|(_, model)| !model.is_empty())
            .collect();
        self.prices.in_force(used, now)
    }

    /// Returns what was left out of the prices, or is doubtful.
    #[must_use]
    pub fn price_notes(&self) -> Vec<String> {
        self.prices.notes()
    }

    /// Returns what of the catalogue of prices is used, if there is one that could be read.
    #[must_use]
    pub const fn catalogue(&self) -> Option<&CatalogueUse> {
        self.prices.catalogue()
    }

    /// Returns where the gateway keeps its things.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns what is wrong with the job list or the gateway's configuration, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref().or(self.misplaced.as_deref()).or_else(|| self.prices.problem())
    }

    /// Looks at everything: the gateway's configuration, its jobs, and every source that changed.
    ///
    /// # Errors
    /// The ledger's; what was committed before stays committed.
    pub fn sweep(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<Progress, LedgerError> {
        // Seen whole or not at all: sources share series, and a new ledger must not show half a history.
        ledger.hold();
        self.caught_up = false;
        let progress = self.sweep_sources(ledger, now)?;
        self.caught_up = true;
        ledger.release();
        Ok(progress)
    }

    fn sweep_sources(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<Progress, LedgerError> {
        self.read_layout();
        let pricing = self.prices.refresh(&self.layout.state_dir);
        // What a ledger does not hold yet is priced when it comes in.
        let repriced = pricing.is_some() && !ledger.is_untouched();
        pricing.into_iter().for_each(|pricing| ledger.set_pricing(pricing));
        let mut changed = self.read_jobs(ledger)?;
        let runs_dir = self.layout.runs_dir.clone();
        let due = self.run_logs.due(&runs_dir, now);
        let mut found = self.run_logs.found(&runs_dir, &due);
        if self.ahead {
            let sources = (&mut *ledger, &mut self.transcripts);
            changed |= self.run_logs.read_ahead(sources, &runs_dir, &due, &self.scope, now)?;
        } else {
            for (name, _) in due {
                changed |= self.read_log(ledger, &name, now)?;
            }
        }
        let (is_due, is_news) = self.database.is_due(&self.layout.database);
        if is_news {
            found.push(self.layout.database.clone());
        }
        if is_due {
            changed |= self.read_database(ledger, now)?;
        }
        // Behind the records, so that the calls of a long history need not wait for theirs in memory.
        found.extend(self.transcripts.sweep(ledger, &self.layout.state_dir, now)?);
        changed |= self.transcripts.resolve(ledger, now)?;
        if repriced {
            changed |= ledger.price_unpriced(now)?;
        }
        // Behind the runs, which tell what sort of jobs the log speaks of.
        changed |= self.read_gateway_log(ledger, now)?;
        Ok(Progress { changed, found })
    }

    /// Looks at one run log until nothing new is left in it. Returns whether anything exported changed.
    ///
    /// # Errors
    /// The ledger's; the file is looked at again then.
    pub fn look(&mut self, ledger: &mut Ledger, name: &OsStr, now: UnixMs) -> Result<bool, LedgerError> {
        ledger.hold();
        let read = self.read_log(ledger, name, now);
        let changed = read.and_then(|changed| Ok(self.transcripts.resolve(ledger, now)? || changed));
        self.show(ledger, changed)
    }

    /// Looks at the gateway's database. Returns whether anything exported changed.
    ///
    /// # Errors
    /// The ledger's; the database is looked at again then.
    pub fn look_at_database(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        ledger.hold();
        let read = self.read_database(ledger, now);
        let changed = read.and_then(|changed| Ok(self.transcripts.resolve(ledger, now)? || changed));
        self.show(ledger, changed)
    }

    /// Looks at the gateway's own log. Returns whether anything exported changed.
    ///
    /// # Errors
    /// The ledger's; the log is looked at again then.
    pub fn look_at_gateway_log(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        ledger.hold();
        let changed = self.read_gateway_log(ledger, now);
        self.show(ledger, changed)
    }

    fn read_gateway_log(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        self.gateway_log.locate(self.layout.log_file.as_deref(), &self.layout.state_dir);
        self.gateway_log.read(ledger, now)
    }

    /// Returns the directory of the gateway's own log, if it is there.
    #[must_use]
    pub fn log_directory(&self) -> Option<&Path> {
        self.gateway_log.directory()
    }

    /// Returns whether a path is one of the files of the gateway's own log.
    #[must_use]
    pub fn is_gateway_log(&self, path: &Path) -> bool {
        self.gateway_log.holds(path)
    }

    /// Looks at transcripts that changed, or at the databases that hold them. Returns whether anything exported changed,
    /// and the files of which there is more to read.
    ///
    /// # Errors
    /// The ledger's; the transcripts stay read.
    pub fn look_at_transcripts(
        &mut self,
        ledger: &mut Ledger,
        paths: impl IntoIterator<Item = PathBuf>,
        now: UnixMs,
    ) -> Result<(bool, Vec<PathBuf>), LedgerError> {
        ledger.hold();
        let mut more = Vec::new();
        for path in paths {
            if self.transcripts.look(ledger, &path, now) {
                more.push(path);
            }
        }
        let changed = self.transcripts.resolve(ledger, now);
        self.show(ledger, changed).map(|changed| (changed, more))
    }

    /// Returns the directories that hold transcripts.
    #[must_use]
    pub fn transcript_directories(&self) -> Vec<PathBuf> {
        self.transcripts.directories()
    }

    fn show(&mut self, ledger: &mut Ledger, changed: Result<bool, LedgerError>) -> Result<bool, LedgerError> {
        // After a failure only a sweep knows that everything that was half read is whole again.
        self.caught_up &= changed.is_ok();
        if self.caught_up {
            ledger.release();
        }
        changed
    }

    fn read_log(&mut self, ledger: &mut Ledger, name: &OsStr, now: UnixMs) -> Result<bool, LedgerError> {
        if ledger.position(&run_log::source_id(name)).is_none() {
            // The labels of its first run need its name.
            self.read_jobs(ledger)?;
        }
        self.run_logs.read((ledger, &mut self.transcripts), &self.layout.runs_dir, name, now)
    }

    fn read_database(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        // The list of an older gateway, if there is one, is in use: a newer one renames it.
        let with_jobs = !self.layout.jobs_file.exists();
        self.database.read((ledger, &mut self.transcripts), &self.layout.database, with_jobs, now)
    }

    /// Reads the list of jobs if it changed. Returns whether that changed anything that is exported.
    ///
    /// # Errors
    /// The ledger's.
    pub fn read_jobs(&mut self, ledger: &mut Ledger) -> Result<bool, LedgerError> {
        let jobs_file = self.layout.jobs_file.clone();
        let state_file = state_file(&jobs_file);
        let stamps = [stamp_of(&jobs_file), stamp_of(&state_file)];
        let known = [&jobs_file, &state_file].map(|path| self.stamps.get(path).copied());
        if known == stamps.map(Some) {
            return Ok(false);
        }
        let changed = match read_jobs(&jobs_file) {
            Ok(Some(jobs)) => {
                self.settle(None);
                ledger.set_jobs(&jobs)?
            }
            // A directory that is being swapped has no list for a moment: names are kept, nothing is undefined.
            Ok(None) => false,
            Err(error) => {
                self.settle(Some(error.to_string()));
                false
            }
        };
        self.stamps.insert(jobs_file, stamps[0]);
        self.stamps.insert(state_file, stamps[1]);
        Ok(changed)
    }

    fn read_layout(&mut self) {
        let path = self.layout.state_dir.join("openclaw.json");
        let stamp = stamp_of(&path);
        if self.stamps.get(&path) == Some(&stamp) {
            return;
        }
        self.stamps.insert(path, stamp);
        let (layout, problem) = Layout::read(&self.layout.state_dir, self.home.as_deref());
        let problem = problem.map(|problem| problem.to_string());
        if let Some(text) = problem.as_ref().filter(|_| problem != self.misplaced) {
            tracing::warn!("{text}");
        }
        self.misplaced = problem;
        if self.misplaced.is_some() {
            // The places known so far stay in use: a half-written file must not move them.
            return;
        }
        if layout.runs_dir != self.layout.runs_dir {
            self.run_logs.moved();
        }
        self.layout = layout;
    }

    /// Notes a problem or its end; logs it once.
    fn settle(&mut self, problem: Option<String>) {
        if let Some(text) = &problem
            && self.problem != problem
        {
            tracing::warn!("{text}");
        }
        self.problem = problem;
    }
}

impl Stamp {
    /// Returns when the file was last written to, in milliseconds since the epoch.
    fn modified_ms(&self) -> i64 {
        i64::try_from(self.modified_ns / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// Returns what tells a file from what it was before or will be; `None`: it is not there.
pub fn stamp_of(path: &Path) -> Option<Stamp> {
    path.metadata().ok().map(|metadata| stamp(&metadata))
}

fn stamp(metadata: &Metadata) -> Stamp {
    let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Stamp { file: FileId { dev: metadata.dev(), ino: metadata.ino() }, size: metadata.len(), modified_ns }
}

#[cfg(test)]
mod tests;
