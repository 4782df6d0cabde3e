//! Relays between the core, which owns their queues, and their tasks; digests; letters that are put back.
//!
//! All that relays need of a configuration is in [`Relays`], and all that the core needs of it in [`RelayDesk`]: a reload
//! makes both anew. What a relay has not settled by then, its queue in the ledger still has.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::core::Core;
use crate::clock::Clock;
use crate::config::{Config, DigestConfig, RelayConfig};
use crate::ledger::{Ledger, LedgerError, RelayRule, Window};
use crate::model::{BudgetDefinition, Period, UnixMs};
use crate::price::BudgetClock;
use crate::relay::{
    self, Calendar, DigestContent, Due, Matcher, NextMessage, RelayError, RelayFeed, Sender, Step,
};
use crate::report::{self, Dimension, Query, Report, ReportError, Terminal, Zone};
use crate::telemetry::RelayStats;

/// How each relay fares, by name.
pub type RelayStatsByName = Vec<(String, Arc<Mutex<RelayStats>>)>;

/// How often is looked for letters to be put back.
const LOOK: Duration = Duration::from_secs(1);
/// Rows of a digest.
const DIGEST_ROWS: usize = 20;
/// Columns of a digest's table: what the windows of chats show without breaking lines.
const DIGEST_WIDTH: usize = 72;

/// What wakes the core about relays.
pub enum RelayWake {
    /// A relay wants its next message.
    Next(NextMessage),
    /// Dead letters are to be put back: those with these numbers, or all. Told how many were.
    Revive(Option<Vec<u64>>, oneshot::Sender<Option<u64>>),
}

/// The relays of a configuration.
pub struct Relays {
    list: Vec<(RelayConfig, Sender, TimeZone)>,
    stats: RelayStatsByName,
    listeners: watch::Receiver<u64>,
    ledger: PathBuf,
}

/// The tasks of the relays of a configuration.
#[derive(Default)]
pub struct RelayTasks {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl RelayTasks {
    /// Tells all tasks to end. Returns them, so that they can be waited for.
    pub fn stop(&mut self) -> Vec<JoinHandle<()>> {
        self.stop.send_replace(true);
        std::mem::take(&mut self.tasks)
    }
}

struct Digest {
    config: DigestConfig,
    calendar: Calendar,
    zone: Zone,
}

impl Relays {
    /// Makes the relays of a configuration ready to be started, and what the core needs for them. Those that `known` names
    /// count on.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(config: &Config, known: &RelayStatsByName) -> Result<(Self, RelayDesk), RelayError> {
        let (mut list, mut rules) = (Vec::new(), Vec::new());
        for relay in &config.relays {
            rules.push(rule(relay, Matcher::new(relay)?));
            let owner = || format!("relay {}", relay.name);
            let zone = BudgetClock::new(Period::Day, &relay.timezone)
                .map_err(|source| RelayError::Zone { owner: owner(), source })?;
            list.push((relay.clone(), Sender::new(relay.clone())?, zone.zone().clone()));
        }
        let mut digests = Vec::new();
        for digest in &config.digests {
            let calendar = Calendar::new(digest)?;
            // Known, or the calendar had refused it.
            let Ok(zone) = Zone::new(&digest.timezone) else { continue };
            digests.push(Digest { config: digest.clone(), calendar, zone });
        }
        let stats = config.relays.iter().map(|RelayConfig { name, .. }| {
            let known = known.iter().find(|(known, _)| known == name);
            (name.clone(), known.map(|(_, stats)| Arc::clone(stats)).unwrap_or_default())
        });
        let stats = stats.collect();
        let (news, listeners) = watch::channel(0);
        let news = (!list.is_empty()).then_some(news);
        let desk = RelayDesk { rules, news, digests, budgets: config.budgets.clone() };
        Ok((Self { list, stats, listeners, ledger: config.ledger.path.clone() }, desk))
    }

    /// Returns where each relay says how it fares.
    pub fn stats(&self) -> RelayStatsByName {
        self.stats.clone()
    }

    /// Starts a task for each relay.
    pub fn spawn(self, wakes: &mpsc::Sender<RelayWake>, clock: &Clock) -> RelayTasks {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        if !self.list.is_empty() {
            let requests = request_path(&self.ledger);
            tasks.push(tokio::spawn(look_for_requests(requests, wakes.clone(), stopped.clone())));
        }
        for ((config, sender, zone), (_, stats)) in self.list.into_iter().zip(self.stats) {
            let (queue, questions) = mpsc::channel(1);
            tasks.push(tokio::spawn(forward(questions, wakes.clone())));
            let clock = clock.clone();
            let feed = RelayFeed {
                name: config.name,
                quiet: config.quiet.map(|quiet| (quiet, zone)),
                news: self.listeners.clone(),
                queue,
                stats,
                now: Arc::new(move || clock.now()),
            };
            tasks.push(tokio::spawn(relay::run(sender, feed, stopped.clone())));
        }
        RelayTasks { stop, tasks }
    }
}

fn rule(config: &RelayConfig, matcher: Matcher) -> RelayRule {
    RelayRule {
        name: config.name.clone(),
        wants: Arc::new(move |content| matcher.wants(content)),
        summaries: config.include_summary,
        give_up_ms: i64::try_from(config.give_up_ms).unwrap_or(i64::MAX),
    }
}

async fn forward(mut questions: mpsc::Receiver<NextMessage>, wakes: mpsc::Sender<RelayWake>) {
    while let Some(question) = questions.recv().await {
        // If the core has ended, dropping the question tells whoever asks so.
        _ = wakes.send(RelayWake::Next(question)).await;
    }
}

/// Returns the file in which `relay retry` says which letters are to be put back: one number a line, or `all`.
pub fn request_path(ledger: &Path) -> PathBuf {
    let mut name = ledger.file_name().unwrap_or_default().to_owned();
    name.push(".relay-retry");
    ledger.with_file_name(name)
}

/// Takes requests of `relay retry`, which must not write to a ledger that has its one writer. The file goes when what it
/// asks for is committed; after a crash in between it is done again, which changes nothing more.
async fn look_for_requests(
    path: PathBuf,
    wakes: mpsc::Sender<RelayWake>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        if let Some(numbers) = crate::config::read_small_file(&path).ok().map(|text| requested(&text)) {
            let (done, revived) = oneshot::channel();
            let asked = wakes.send(RelayWake::Revive(numbers, done)).await;
            if let (Ok(()), Ok(Some(count))) = (asked, revived.await) {
                tracing::info!(messages = count, "dead letters were put back into their queues");
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!("cannot remove {}: {error}; remove it by hand", path.display());
                    return;
                }
            }
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn requested(text: &str) -> Option<Vec<u64>> {
    if text.trim() == "all" {
        return None;
    }
    Some(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

/// What the core needs for relays.
#[derive(Default)]
pub struct RelayDesk {
    /// What the ledger queues, until it knows.
    rules: Vec<RelayRule>,
    /// Wakes the relays; `None`: there are none.
    news: Option<watch::Sender<u64>>,
    digests: Vec<Digest>,
    budgets: Vec<BudgetDefinition>,
}

impl RelayDesk {
    /// Has the ledger queue what these relays pass on.
    pub fn prepare(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<(), LedgerError> {
        ledger.set_relays(std::mem::take(&mut self.rules), now)
    }

    /// Returns how long to wait for the next digest, in milliseconds.
    pub fn wait_ms(&self, now: UnixMs) -> u64 {
        let next = self.digests.iter().filter_map(|digest| digest.calendar.next(now)).min();
        next.map_or(u64::MAX, |at| u64::try_from(at.since(now)).unwrap_or(0))
    }
}

impl Core {
    /// Answers whoever asks about relays, who may have ended meanwhile.
    pub(super) fn serve_relays(&mut self, wake: RelayWake) {
        let now = self.clock.now();
        match wake {
            RelayWake::Next(NextMessage { relay, settled, done }) => {
                let noted = match settled {
                    Some((number, settled)) => self.ledger.settle_message(number, settled, now),
                    None => Ok(()),
                };
                let next = noted.and_then(|()| self.ledger.next_message(&relay));
                if let Err(error) = &next {
                    tracing::warn!(relay, "{error}");
                }
                _ = done.send(next.ok());
            }
            RelayWake::Revive(numbers, done) => {
                let revived = self.ledger.revive(numbers.as_deref(), now);
                if let Err(error) = &revived {
                    tracing::warn!("{error}");
                }
                _ = done.send(revived.ok());
            }
        }
    }

    /// Posts the digests that are due, and shows how relays stand.
    pub(super) fn tend_relays(&mut self, now: UnixMs) -> Result<(), LedgerError> {
        let digests = std::mem::take(&mut self.relays.digests);
        let posted = digests.iter().try_for_each(|digest| self.post_digest(digest, now));
        self.relays.digests = digests;
        posted?;
        self.show_relays()
    }

    /// Shows how relays stand, and wakes those whose queue has a new message.
    fn show_relays(&self) -> Result<(), LedgerError> {
        let Some(news) = &self.relays.news else {
            // The last one may have been taken out of the configuration.
            self.shared.update(|process, _| process.relays.clear());
            return Ok(());
        };
        let facts = self.ledger.relays()?;
        let newest = facts.iter().map(|relay| relay.newest).max().unwrap_or(0);
        news.send_if_modified(|known| std::mem::replace(known, newest) < newest);
        self.shared.update(|process, _| process.relays = facts);
        Ok(())
    }

    fn post_digest(&mut self, digest: &Digest, now: UnixMs) -> Result<(), LedgerError> {
        let (name, relay) = (&digest.config.name, &digest.config.relay);
        let known = self.ledger.digest_day(name)?;
        match digest.calendar.step(known, now) {
            Step::Nothing => Ok(()),
            Step::Post(due) => {
                let content = self.digest(digest, &due)?;
                self.ledger.post_digest(name, due.day, Some((relay, &content)), now)?;
                tracing::info!(digest = name, relay, "digest queued");
                Ok(())
            }
            Step::LeaveOut(due) => {
                self.ledger.post_digest(name, due.day, None, now)?;
                tracing::warn!(digest = name, relay, "digest left out: it was due too long ago");
                Ok(())
            }
            Step::Begin(due) => self.ledger.post_digest(name, due.day, None, now).map(|_| ()),
        }
    }

    fn digest(&self, digest: &Digest, due: &Due) -> Result<String, LedgerError> {
        let gateway = self.ledger.gateway();
        let (title, table, markdown) = match self.digest_report(digest, due) {
            Ok(report) => {
                let source = format!("gateway {gateway}");
                let terminal = Terminal { width: DIGEST_WIDTH, colour: false };
                let table = report::table(&report, &source, terminal);
                (self.digest_title(digest, due, &report), table, report::markdown(&report, &source))
            }
            Err(ReportError::Ledger(error)) => return Err(error),
            Err(error) => (format!("No digest: {error}"), String::new(), String::new()),
        };
        let (title, table, markdown) = (&title, &table, &markdown);
        Ok(DigestContent { name: &digest.config.name, gateway, title, table, markdown }.line(due))
    }

    fn digest_report(&self, digest: &Digest, due: &Due) -> Result<Report, ReportError> {
        let query = Query {
            window: Window { since: due.since, until: due.until },
            compare: false,
            zone: digest.zone.clone(),
            by: vec![Dimension::Job],
            selection: report::Selection::default(),
            sort: None,
            top: Some(DIGEST_ROWS),
        };
        let usage = self.ledger.usage()?;
        let budgets = report::budgets(&usage, &self.relays.budgets, due.until)?;
        report::report(&usage, &query).map(|report| Report { budgets, ..report })
    }

    fn digest_title(&self, digest: &Digest, due: &Due, report: &Report) -> String {
        let first = digest.zone.show(due.since, "%a %Y-%m-%d");
        let period = if digest.config.every == Period::Week { format!("Week of {first}") } else { first };
        let sums = &report.totals;
        let failed =
            if sums.runs.error > 0 { format!(", {} failed", sums.runs.error) } else { String::new() };
        format!("{period}: {} runs{failed}, {}", sums.runs.total, report::cost_text(sums, " "))
    }
}
