//! The core thread: waits for changes, brings them into the ledger, tells the others.
//!
//! Invariants: the only thread that touches the ledger; a failed commit is tried again with a growing pause,
//! and nothing is forgotten meanwhile, since positions only move with a commit.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::budgets::Budgets;
use super::collector::{Collector, WEBHOOK};
use super::relay::{RelayDesk, RelayWake};
use super::reload::Settings;
use super::state::Shared;
use super::webhook::Delivery;
use crate::clock::Clock;
use crate::export::events::TakeEvents;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{EndpointState, UnixMs};
use crate::openclaw::run_log::{self, Name};
use crate::openclaw::state_file;
use crate::tail::{Cadence, Change, Watcher};
use crate::telemetry::SourceState;

/// Pause after the first failed commit in milliseconds; doubles up to [`RETRY_MAX_MS`].
const RETRY_MS: i64 = 500;
const RETRY_MAX_MS: i64 = 30_000;
/// The list of jobs is rewritten at every tick of some schedulers: read it at most once in this time.
const JOBS_MS: i64 = 1_000;
/// The gateway's database changes with everything that the gateway does: look at it at most once in this time.
const DATABASE_MS: i64 = 200;
/// A transcript grows with every message and call: look at those that did at most once in this time.
const TRANSCRIPTS_MS: i64 = 100;
/// The gateway's log grows with everything that the gateway does: look at it at most once in this time.
const GATEWAY_LOG_MS: i64 = 500;
/// What the log said this long ago is never looked at again: a day longer than it is looked at at all.
const FORGOTTEN_MS: i64 = 8 * 86_400_000;
/// How often old runs are folded away: hourly.
const FOLD_MS: i64 = 3_600_000;
/// Runs get segments once they are this old: 6 h. What is said of a run later is mostly said within minutes.
const SEGMENT_AGE_MS: i64 = 6 * 3_600_000;
/// When segments are built: this long after the first sweep, then hourly, with a pause between portions.
const SEGMENTS_FIRST_MS: i64 = 500;
const SEGMENTS_MS: i64 = 3_600_000;
const SEGMENTS_PAUSE_MS: i64 = 20;

/// What wakes the core.
pub enum Wake {
    /// Something changed on disk.
    Change(Change),
    /// An exporter wants its state stored.
    Persist(EndpointState, oneshot::Sender<bool>),
    /// A sink wants what comes next.
    Events(TakeEvents),
    /// Somebody wants to know, or have noted, something.
    Ask(Question),
    /// The configuration changed; told whether that was taken up.
    Reload(Box<Settings>, oneshot::Sender<Result<(), LedgerError>>),
    /// Something about relays.
    Relay(RelayWake),
    /// A gateway posted a notice.
    Notice(Box<Delivery>),
    /// Everything on disk shall be committed now; told when it is.
    Drain(oneshot::Sender<()>),
    /// The core shall end.
    Shutdown,
}

/// Asks the ledger something, and sends the answer to whoever wants it.
pub type Question = Box<dyn FnOnce(&mut Ledger) + Send>;

/// Why the core ended.
#[derive(Debug)]
pub enum End {
    /// It was asked to.
    Shutdown,
    /// The ledger is damaged and must be set aside.
    Corrupt(LedgerError),
}

/// The core and what it works on.
pub struct Core {
    /// The count.
    pub ledger: Ledger,
    /// The sources.
    pub collector: Collector,
    /// File events, unless they are not wanted or not to be had.
    pub watcher: Option<Watcher>,
    /// When to sweep.
    pub cadence: Cadence,
    /// The clock.
    pub clock: Clock,
    /// What the others see.
    pub shared: Arc<Shared>,
    /// Tells exporters of a new revision.
    pub changed: watch::Sender<u64>,
    /// Tells sinks of the newest event.
    pub newest: watch::Sender<u64>,
    /// What may be spent.
    pub budgets: Budgets,
    /// What relays and digests need.
    pub relays: RelayDesk,
    /// Days after which runs are folded away; `None`: never.
    pub keep_days: Option<u32>,
    /// Told once everything on disk was looked at. Totals from before are those of a part of the history, whose
    /// growth would pass for usage.
    pub looked: watch::Sender<bool>,
}

/// What there is to do.
#[derive(Default)]
struct Work {
    files: BTreeSet<OsString>,
    jobs: bool,
    database: bool,
    transcripts: BTreeSet<PathBuf>,
    gateway_log: bool,
    everything: bool,
    notices: Vec<Delivery>,
    drained: Option<oneshot::Sender<()>>,
    shutdown: bool,
}

/// What the loop remembers between two rounds.
struct Round {
    work: Work,
    retry_ms: i64,
    not_before: UnixMs,
    jobs_read: UnixMs,
    database_read: UnixMs,
    transcripts_read: UnixMs,
    gateway_log_read: UnixMs,
    folded: UnixMs,
    /// When a portion of the segments was last built, and how long to wait from then to the next, in milliseconds.
    segments: (UnixMs, i64),
}

impl Round {
    /// Returns how long to pause before the next try, in milliseconds. A clock that stepped back must not
    /// stretch the pause.
    fn pause_ms(&self, now: UnixMs) -> u64 {
        let left = self.not_before.since(now);
        if left > RETRY_MAX_MS { 0 } else { u64::try_from(left).unwrap_or(0) }
    }

    /// Returns how long to wait before segments are due, in milliseconds.
    fn segments_ms(&self, now: UnixMs) -> u64 {
        let (since, wait) = self.segments;
        // A clock that stepped back does not stretch it.
        u64::try_from(wait.saturating_sub(now.since(since).saturating_abs())).unwrap_or(0)
    }
}

/// Notices come by themselves.
fn source(name: &'static str, up: bool, watch: Option<&'static str>) -> SourceState {
    SourceState { name, up, watch: watch.filter(|_| name != WEBHOOK) }
}

impl Core {
    /// Works until it is told to stop, or the ledger is damaged.
    pub fn run(mut self, wakes: &Receiver<Wake>) -> End {
        let mut round = Round {
            work: Work { everything: true, ..Work::default() },
            retry_ms: RETRY_MS,
            not_before: UnixMs(i64::MIN),
            jobs_read: UnixMs(i64::MIN),
            database_read: UnixMs(i64::MIN),
            transcripts_read: UnixMs(i64::MIN),
            gateway_log_read: UnixMs(i64::MIN),
            folded: UnixMs(i64::MIN),
            segments: (UnixMs(0), i64::MAX),
        };
        while !round.work.shutdown {
            let now = self.clock.now();
            if round.pause_ms(now) == 0 || round.work.drained.is_some() {
                match self.work(&mut round, now) {
                    Ok(()) => self.recovered(&mut round),
                    Err(error @ LedgerError::Corrupt { .. }) => return End::Corrupt(error),
                    // Shown as it is: somebody must see that the ledger cannot be written.
                    Err(error) => self.failed(&mut round, &error, now),
                }
                self.looked.send_replace(true);
            }
            // Whoever waits is told by this that it was not taken.
            round.work.notices.clear();
            if let Some(done) = round.work.drained.take() {
                // Whoever asked may have given up.
                _ = done.send(());
            }
            self.wait(wakes, &mut round);
        }
        End::Shutdown
    }

    #[tracing::instrument(name = "collect", level = "info", skip_all, fields(files = round.work.files.len()))]
    fn work(&mut self, round: &mut Round, now: UnixMs) -> Result<(), LedgerError> {
        if self.ledger.restore_if_deleted()? {
            tracing::warn!(
                ledger = %self.ledger.path().display(),
                "the ledger's file was deleted while in use; it was written again, nothing is lost"
            );
        }
        // First: somebody waits for an answer.
        let mut changed = self.take_notices(&mut round.work.notices, now)?;
        changed |= self.read_transcripts(round, now)?;
        // If a commit fails, a sweep finds the rest of these again.
        for name in std::mem::take(&mut round.work.files) {
            changed |= self.collector.look(&mut self.ledger, &name, now)?;
        }
        if round.work.jobs && (round.work.everything || now.since(round.jobs_read).abs() >= JOBS_MS) {
            changed |= self.collector.read_jobs(&mut self.ledger)?;
            round.work.jobs = false;
            round.jobs_read = now;
        }
        let told = round.work.database;
        if told && (round.work.everything || now.since(round.database_read).abs() >= DATABASE_MS) {
            changed |= self.collector.look_at_database(&mut self.ledger, now)?;
            round.work.database = false;
            round.database_read = now;
            self.report(now);
        }
        if round.work.gateway_log && now.since(round.gateway_log_read).abs() >= GATEWAY_LOG_MS {
            changed |= self.collector.look_at_gateway_log(&mut self.ledger, now)?;
            round.work.gateway_log = false;
            round.gateway_log_read = now;
        }
        let swept = round.work.everything || self.cadence.wait_ms(now) == 0;
        if swept {
            changed |= self.sweep(now, told)?;
            round.work.everything = false;
            self.fold(round, now)?;
            if round.segments.1 == i64::MAX {
                round.segments = (now, SEGMENTS_FIRST_MS);
            }
        }
        if (changed || swept) && !self.budgets.is_empty() {
            let states = self.budgets.refresh(&mut self.ledger, now)?;
            self.shared.update(|process, _| process.budgets = states);
        }
        changed |= self.ledger.settle_missing(now)?;
        if changed {
            self.changed.send_replace(self.shared.revision());
        }
        self.ledger.seal_events(now)?;
        if round.segments_ms(now) == 0 {
            let more = self.ledger.build_segments(now.plus(-SEGMENT_AGE_MS))?;
            round.segments = (now, if more { SEGMENTS_PAUSE_MS } else { SEGMENTS_MS });
        }
        self.show_outbox()?;
        self.tend_relays(now)
    }

    fn read_transcripts(&mut self, round: &mut Round, now: UnixMs) -> Result<bool, LedgerError> {
        let due = round.work.everything || now.since(round.transcripts_read).abs() >= TRANSCRIPTS_MS;
        if !due || round.work.transcripts.is_empty() {
            return Ok(false);
        }
        round.transcripts_read = now;
        let paths = std::mem::take(&mut round.work.transcripts);
        let (changed, more) = self.collector.look_at_transcripts(&mut self.ledger, paths, now)?;
        round.work.transcripts.extend(more);
        Ok(changed)
    }

    #[tracing::instrument(level = "info", skip_all)]
    fn sweep(&mut self, now: UnixMs, database_told: bool) -> Result<bool, LedgerError> {
        let armed_before = self.watches();
        self.arm();
        let mut progress = self.collector.sweep(&mut self.ledger, now)?;
        let armed = self.watches();
        self.arm();
        if self.watches() != armed {
            // What changed between the look and the new watch had no event.
            progress.changed |= self.collector.sweep(&mut self.ledger, now)?.changed;
        }
        if database_told {
            let database = &self.collector.layout().database;
            progress.found.retain(|found| found != database);
        }
        // Changes from before a watch are no sign that its events do not come.
        let found = if self.watches() == armed_before { progress.found } else { Vec::new() };
        if self.cadence.swept(found, now) {
            tracing::warn!(
                "no file events came for changes in {}; it is polled from now on",
                self.collector.layout().runs_dir.display()
            );
        }
        self.report(now);
        Ok(progress.changed)
    }

    /// Says how the sources fare: in metrics, on `/readyz`, and in the log when it changes.
    fn report(&self, now: UnixMs) {
        let health = self.collector.health(&self.ledger, now);
        let watch = Some(self.cadence.method().as_str());
        let ledger_bytes = self.ledger.size_bytes();
        let prices = self.collector.prices_in_force(&self.ledger, now);
        self.shared.update(|process, readiness| {
            if readiness.source != health.problem {
                match &health.problem {
                    Some(problem) => tracing::warn!("{problem}"),
                    None => tracing::info!(sources = health.names(), "runs are read"),
                }
            }
            // A problem of the job list was logged where it was found.
            let news = health.note.as_ref().filter(|note| readiness.note.as_ref() != Some(note));
            if let Some(silence) = news.filter(|_| self.collector.problem().is_none()) {
                tracing::warn!("{silence}");
            }
            process.ledger_bytes = ledger_bytes;
            process.overdue_jobs = health.overdue_jobs;
            process.prices = prices;
            process.prices_problem = self.collector.price_problem().is_some();
            process.sources = health.sources.iter().map(|(name, up)| source(name, *up, watch)).collect();
            readiness.source = health.problem;
            readiness.note = health.note;
        });
    }

    fn watches(&self) -> u64 {
        self.watcher.as_ref().map_or(0, Watcher::generation)
    }

    fn arm(&mut self) {
        let layout = self.collector.layout();
        let database_dir = layout.database.parent().unwrap_or(&layout.state_dir);
        let agents = layout.state_dir.join("agents");
        let transcripts = self.collector.transcript_directories();
        let wanted = [&layout.state_dir, &layout.cron_dir, &layout.runs_dir, database_dir, &agents];
        let wanted = wanted.into_iter().chain(transcripts.iter().map(PathBuf::as_path));
        let wanted = wanted.chain(self.collector.log_directory());
        let Some(watcher) = &mut self.watcher else { return };
        for (path, error) in watcher.cover(wanted) {
            tracing::warn!(
                "cannot watch {}: {error}; sweeps find its changes within a minute",
                path.display()
            );
        }
    }

    fn fold(&mut self, round: &mut Round, now: UnixMs) -> Result<(), LedgerError> {
        if now.since(round.folded).abs() < FOLD_MS {
            return Ok(());
        }
        round.folded = now;
        self.ledger.forget_events(now.plus(-FORGOTTEN_MS))?;
        let Some(days) = self.keep_days else { return Ok(()) };
        // A clock that stepped ahead must not fold away what is not old: nothing is older than the newest record says.
        let Some(newest) = self.ledger.newest_record() else { return Ok(()) };
        let folded = self.ledger.fold(newest.min(now).plus(-i64::from(days) * 86_400_000))?;
        if folded > 0 {
            tracing::info!(runs = folded, "folded old runs into daily totals");
        }
        Ok(())
    }

    fn recovered(&self, round: &mut Round) {
        if round.not_before != UnixMs(i64::MIN) {
            tracing::info!("the ledger can be written again; nothing was lost meanwhile");
            round.not_before = UnixMs(i64::MIN);
        }
        round.retry_ms = RETRY_MS;
        self.shared.update(|process, readiness| {
            process.ledger_writable = true;
            readiness.ledger = None;
        });
    }

    /// Logs the first failure of a row, and tries everything again after a pause.
    fn failed(&self, round: &mut Round, error: &LedgerError, now: UnixMs) {
        let text = error.to_string();
        self.shared.update(|process, readiness| {
            if readiness.ledger.as_ref() != Some(&text) {
                tracing::error!("{text}");
            }
            process.ledger_writable = false;
            readiness.ledger = Some(text);
        });
        round.work.everything = true;
        round.not_before = now.plus(round.retry_ms);
        round.retry_ms = (round.retry_ms * 2).min(RETRY_MAX_MS);
    }

    /// Waits for a wake or for the next thing that is due, and takes in all wakes that are there.
    fn wait(&mut self, wakes: &Receiver<Wake>, round: &mut Round) {
        let now = self.clock.now();
        let mut wait_ms = self.cadence.wait_ms(now).min(round.segments_ms(now));
        if round.work.jobs {
            let due = JOBS_MS - now.since(round.jobs_read).clamp(0, JOBS_MS);
            wait_ms = wait_ms.min(u64::try_from(due).unwrap_or(0));
        }
        if round.work.database {
            let due = DATABASE_MS - now.since(round.database_read).clamp(0, DATABASE_MS);
            wait_ms = wait_ms.min(u64::try_from(due).unwrap_or(0));
        }
        if round.work.gateway_log {
            let due = GATEWAY_LOG_MS - now.since(round.gateway_log_read).clamp(0, GATEWAY_LOG_MS);
            wait_ms = wait_ms.min(u64::try_from(due).unwrap_or(0));
        }
        if !round.work.transcripts.is_empty() {
            let due = TRANSCRIPTS_MS - now.since(round.transcripts_read).clamp(0, TRANSCRIPTS_MS);
            wait_ms = wait_ms.min(u64::try_from(due).unwrap_or(0));
        }
        // One that cannot be asked for is due at the next sweep.
        for due in [self.ledger.next_seal(), self.ledger.next_missing()].into_iter().flatten().flatten() {
            wait_ms = wait_ms.min(u64::try_from(due.since(now)).unwrap_or(0));
        }
        wait_ms = wait_ms.min(self.relays.wait_ms(now));
        if round.pause_ms(now) > 0 {
            wait_ms = round.pause_ms(now);
        }
        let mut next = match wakes.recv_timeout(Duration::from_millis(wait_ms)) {
            Ok(wake) => Some(wake),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Wake::Shutdown),
        };
        while let Some(wake) = next {
            self.take(wake, round);
            next = wakes.try_recv().ok();
        }
    }

    fn take(&mut self, wake: Wake, round: &mut Round) {
        match wake {
            Wake::Shutdown => round.work.shutdown = true,
            Wake::Drain(done) => (round.work.everything, round.work.drained) = (true, Some(done)),
            Wake::Change(Change::Everything) => round.work.everything = true,
            Wake::Change(Change::Path(path)) => self.sort(&path, &mut round.work),
            Wake::Events(question) => self.give_events(question),
            Wake::Ask(question) => question(&mut self.ledger),
            Wake::Reload(settings, done) => {
                let taken_up = self.reload(*settings);
                // What it means for what is there already shows now.
                (round.work.everything, round.folded) = (true, UnixMs(i64::MIN));
                // Whoever asked may have ended.
                _ = done.send(taken_up);
            }
            Wake::Relay(wake) => self.serve_relays(wake),
            Wake::Notice(delivery) => round.work.notices.push(*delivery),
            Wake::Persist(state, done) => {
                let saved = self.ledger.save_endpoint(&state);
                if let Err(error) = &saved {
                    tracing::warn!(endpoint = state.name, "{error}");
                }
                // The exporter may have ended meanwhile.
                _ = done.send(saved.is_ok());
            }
        }
    }

    /// Sorts an event by what it is about.
    fn sort(&mut self, path: &PathBuf, work: &mut Work) {
        let layout = self.collector.layout();
        if path.parent() == Some(&layout.runs_dir) {
            if let Some(name) = path.file_name().filter(|name| run_log::classify(name) != Name::Other) {
                work.files.insert(name.to_owned());
                self.cadence.told(path);
            }
        } else if *path == layout.jobs_file || *path == state_file(&layout.jobs_file) {
            work.jobs = true;
        } else if path.parent() == layout.database.parent() {
            // Its log is what changes; its index does so without an event.
            if path.as_os_str().as_encoded_bytes().starts_with(layout.database.as_os_str().as_encoded_bytes())
            {
                work.database = true;
                self.cadence.told(&layout.database.clone());
            }
        } else if path.starts_with(layout.state_dir.join("agents")) {
            let agents = layout.state_dir.join("agents");
            // `agents/<agent>/sessions/<file>`; what lies above is a directory that may have to be watched.
            if path.strip_prefix(&agents).is_ok_and(|inside| inside.components().count() >= 3) {
                self.cadence.told(path);
                work.transcripts.insert(path.clone());
            } else {
                work.everything = true;
            }
        } else if self.collector.is_gateway_log(path) {
            work.gateway_log = true;
        } else if layout.runs_dir.starts_with(path)
            || layout.database.starts_with(path)
            || *path == layout.state_dir.join("openclaw.json")
        {
            work.everything = true;
            if let Some(watcher) = &mut self.watcher {
                watcher.forget(path);
            }
        }
    }
}
