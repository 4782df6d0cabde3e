//! Starts the parts, keeps them running, and stops them in the right order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::budgets::Budgets;
use super::collector::Collector;
use super::collector::{PriceSettings, SOURCES};
use super::core::{Core, End, Wake};
use super::http::{self, ListenError};
use super::outbox::{self, Sinks};
use super::state::Shared;
use super::webhook::{Access, CertificateError, Door};
use crate::clock::Clock;
use crate::config::{Config, EndpointConfig, Synchronous, WatchMode};
use crate::export::{self, Feed, Persist};
use crate::ledger::{self, Ledger, LedgerError, OpenOptions, Opened, Origin};
use crate::model::{EndpointState, UnixMs};
use crate::price::BudgetError;
use crate::tail::{Cadence, WatchMethod, Watcher, is_remote};
use crate::telemetry::{EndpointStats, ProcessState, Resource, SourceState};

/// Longest wait at the end for what was appended last to be committed.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest wait at the end for the last pushes, which bound themselves to 3 s.
const LAST_PUSH: Duration = Duration::from_secs(4);

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address could not be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The damaged ledger could not be moved out of the way.
    #[error("cannot move the damaged ledger {path} aside: {source}; move it by hand")]
    SetAside {
        /// The ledger.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The receiver of webhooks cannot listen.
    #[error(
        "cannot listen for webhooks on {address}: {source}; free the port, or give another with --webhook-listen"
    )]
    WebhookListen {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// The receiver's certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A budget's time zone is not known here.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}; raise the limit of processes")]
    Thread(std::io::Error),
    /// The system gives no thread or file for standard output.
    #[error("cannot write events to standard output: {0}; leave out --events stdout, or see where it leads")]
    Stdout(std::io::Error),
    /// The system gives no signal handler.
    #[error("cannot listen for signals: {0}")]
    Signal(std::io::Error),
}

impl ServeError {
    /// Returns whether the operator's input is at fault: then the exit status is 64.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Listen(_)
                | Self::WebhookListen { .. }
                | Self::Certificate(_)
                | Self::Budget(_)
                | Self::Ledger(LedgerError::Foreign { .. } | LedgerError::OtherGateway { .. })
        )
    }
}

/// A running daemon.
pub struct Running {
    /// Where `/metrics` is.
    pub address: SocketAddr,
    /// The newest revision that a scrape shows; changes with every commit that changes something exported.
    pub revisions: watch::Receiver<u64>,
    /// The receiver of webhooks, if there is one.
    pub webhook: Option<RunningReceiver>,
    wakes: Sender<Wake>,
    stop: watch::Sender<bool>,
    parts: JoinSet<()>,
    ended: oneshot::Receiver<End>,
}

/// A running receiver of webhooks.
pub struct RunningReceiver {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who is let in; takes effect with the next request.
    pub access: watch::Sender<Arc<Access>>,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(config: &Config, clock: &Clock) -> Result<(), ServeError> {
    let mut signals = Signals::new().map_err(ServeError::Signal)?;
    loop {
        let mut running = start(config, clock).await?;
        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                running.stop().await;
                return Ok(());
            }
            end = &mut running.ended => {
                let Ok(End::Corrupt(error)) = end else {
                    running.stop().await;
                    return Ok(());
                };
                tracing::error!("{error}");
                running.stop().await;
                set_aside(config, clock.now())?;
            }
        }
    }
}

/// Starts all parts on the current runtime. The address is bound and the ledger open when it returns; the
/// sources are read from then on.
///
/// # Errors
/// See [`ServeError`].
pub async fn start(config: &Config, clock: &Clock) -> Result<Running, ServeError> {
    let now = clock.now();
    let origin = config
        .explain()
        .into_iter()
        .find(|value| value.key == "listen")
        .map(|value| value.origin.to_string());
    let listener = http::bind(config.listen, &origin.unwrap_or_default()).await?;
    let address = listener.local_addr().unwrap_or(config.listen);
    let door = match &config.webhook {
        Some(webhook) => Some(Door::open(webhook).await?),
        None => None,
    };
    let budgets = Budgets::new(&config.budgets)?;
    let mut ledger = open_ledger(config, now)?;
    ledger.set_witness(door.as_ref().and_then(Door::is_ours), now)?;
    if !config.has_state_dir() {
        ledger.set_unlisted();
    }
    let (wakes, inbox) = channel();
    let (stop, stopped) = watch::channel(false);
    let (changed, revisions) = watch::channel(0);
    let (looked, first_look) = watch::channel(false);
    let (persist, persists) = mpsc::channel(16);
    let stats: Vec<(String, Arc<Mutex<EndpointStats>>)> =
        config.otlp.iter().map(|endpoint| (endpoint.name.clone(), Arc::default())).collect();
    let process = ProcessState {
        start: now,
        sources: SOURCES.map(|name| SourceState { name, up: false, watch: None }).to_vec(),
        ledger_writable: true,
        config_in_force: true,
        config_loaded: now,
        ledger_bytes: ledger.size_bytes(),
        ..ProcessState::default()
    };
    let sink_stats = outbox::prepare(&mut ledger, &config.events)?;
    let shared = Shared::new(ledger.totals(), process, stats.clone(), sink_stats.clone());
    let shared = Arc::new(shared.with_webhook(door.as_ref().map(|door| Arc::clone(&door.stats))));
    let resource = Resource {
        service_name: config.resource.service_name.clone(),
        service_namespace: config.resource.service_namespace.clone(),
        service_instance_id: ledger.gateway().to_owned(),
    };
    let mut parts = JoinSet::new();
    for (endpoint, (_, stats)) in config.otlp.iter().zip(stats) {
        let state = ledger.endpoint(&endpoint.name)?;
        let feed = feed(&shared, clock, revisions.clone(), persist.clone(), stats, resource.clone());
        spawn_exporter(&mut parts, endpoint.clone(), feed, state, (first_look.clone(), stopped.clone()));
    }
    parts.spawn(forward(persists, wakes.clone(), |Persist { state, done }| Wake::Persist(state, done)));
    let (newest, news) = watch::channel(0);
    let (outbox, questions) = mpsc::channel(16);
    let (facts, stopping) = (ledger.outbox()?, stopped.clone());
    let (events, clock_of_sinks) = (&config.events, clock.clone());
    Sinks {
        config: events,
        stats: &sink_stats,
        facts,
        resource,
        newest: news,
        outbox,
        clock: clock_of_sinks,
        stopped: stopping,
    }
    .spawn(&mut parts)?;
    parts.spawn(forward(questions, wakes.clone(), Wake::Events));
    let surface = http::Surface { shared: Arc::clone(&shared), clock: clock.clone(), first_look };
    parts.spawn(http::serve(listener, surface, stopped.clone()));
    let own_gateway = ledger.gateway().to_owned();
    let webhook = door.map(|door| door.serve(own_gateway, wakes.clone(), clock, stopped, &mut parts));
    let core = core(config, clock, (ledger, budgets), shared, (changed, looked, newest), &wakes);
    let (tell_end, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("core".into())
        .spawn(move || {
            // Nobody listens any more when the daemon is being dropped.
            _ = tell_end.send(core.run(&inbox));
        })
        .map_err(ServeError::Thread)?;
    tracing::info!(address = %address, state_dir = %config.state_dir.display(), "serving /metrics");
    Ok(Running { address, revisions, webhook, wakes, stop, parts, ended })
}

impl Running {
    /// Commits what was written last, pushes it, and stops all parts.
    pub async fn stop(mut self) {
        let (drained, done) = oneshot::channel();
        if self.wakes.send(Wake::Drain(drained)).is_ok() {
            _ = tokio::time::timeout(DRAIN, done).await;
        }
        self.stop.send_replace(true);
        let parts = std::mem::take(&mut self.parts);
        // The forwarder of persist requests ends when the last exporter has dropped its sender.
        _ = tokio::time::timeout(LAST_PUSH, parts.join_all()).await;
        if self.wakes.send(Wake::Shutdown).is_ok() {
            _ = tokio::time::timeout(DRAIN, &mut self.ended).await;
        }
    }
}

fn core(
    config: &Config,
    clock: &Clock,
    (ledger, budgets): (Ledger, Budgets),
    shared: Arc<Shared>,
    (changed, looked, newest): (watch::Sender<u64>, watch::Sender<bool>, watch::Sender<u64>),
    wakes: &Sender<Wake>,
) -> Core {
    let now = clock.now();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let (method, automatic) = match config.watch {
        _ if !config.has_state_dir() => (WatchMethod::Events, false),
        WatchMode::Events => (WatchMethod::Events, false),
        WatchMode::Poll => (WatchMethod::Poll, false),
        WatchMode::Auto if is_remote(&config.state_dir) => (WatchMethod::Poll, false),
        WatchMode::Auto => (WatchMethod::Events, true),
    };
    let poll_ms = i64::try_from(config.poll_interval_ms).unwrap_or(i64::MAX);
    let mut cadence = Cadence::new(method, automatic, poll_ms, now);
    let mut watcher = None;
    if method == WatchMethod::Events && config.has_state_dir() {
        let wakes = wakes.clone();
        // The core may have ended; then nobody needs the event.
        match Watcher::new(move |change| _ = wakes.send(Wake::Change(change))) {
            Ok(started) => watcher = Some(started),
            Err(error) => {
                tracing::warn!("cannot watch for file events: {error}; polling instead");
                cadence = Cadence::new(WatchMethod::Poll, false, poll_ms, now);
            }
        }
    }
    let mut collector = Collector::new(&config.state_dir, home).with_prices(PriceSettings::of(config));
    if config.has_state_dir() {
        collector = collector.with_gateway_log(config.gateway_log.clone());
    }
    if config.webhook.is_some() {
        collector = collector.with_webhook(!config.has_state_dir());
    }
    Core {
        collector,
        ledger,
        watcher,
        cadence,
        clock: clock.clone(),
        shared,
        changed,
        newest,
        budgets,
        keep_days: config.ledger.keep_days,
        looked,
    }
}

fn feed(
    shared: &Arc<Shared>,
    clock: &Clock,
    changed: watch::Receiver<u64>,
    persist: mpsc::Sender<Persist>,
    stats: Arc<Mutex<EndpointStats>>,
    resource: Resource,
) -> Feed {
    let (shared, clock) = (Arc::clone(shared), clock.clone());
    Feed {
        snapshot: Arc::new(move |now| shared.snapshot(now)),
        changed,
        persist,
        stats,
        now: Arc::new(move || clock.now()),
        resource,
    }
}

fn spawn_exporter(
    parts: &mut JoinSet<()>,
    endpoint: EndpointConfig,
    feed: Feed,
    state: EndpointState,
    (mut first_look, stopped): (watch::Receiver<bool>, watch::Receiver<bool>),
) {
    parts.spawn(async move {
        // The core ends before its first look only if the ledger is damaged: there is nothing to push then.
        if first_look.wait_for(|looked| *looked).await.is_ok() {
            export::run(endpoint, feed, state, stopped).await;
        }
    });
}

/// Hands requests of exporters and sinks to the core, which owns the ledger.
async fn forward<T>(mut requests: mpsc::Receiver<T>, wakes: Sender<Wake>, wake: fn(T) -> Wake) {
    while let Some(request) = requests.recv().await {
        // If the core has ended, dropping the request tells whoever asks so.
        _ = wakes.send(wake(request));
    }
}

/// Opens the ledger; one that is damaged is moved aside and rebuilt from the sources.
fn open_ledger(config: &Config, now: UnixMs) -> Result<Ledger, ServeError> {
    let options = OpenOptions {
        gateway: config.gateway.clone(),
        max_jobs: config.max_jobs,
        full_sync: config.ledger.synchronous == Synchronous::Full,
    };
    let opened = match Ledger::open(&config.ledger.path, &options, now) {
        Err(error @ LedgerError::Corrupt { .. }) => {
            tracing::error!("{error}");
            set_aside(config, now)?;
            Ledger::open(&config.ledger.path, &options, now)
        }
        other => other,
    };
    let Opened { ledger, origin } = opened?;
    let path = config.ledger.path.display();
    match origin {
        Origin::Existing => tracing::info!(ledger = %path, gateway = ledger.gateway(), "ledger opened"),
        Origin::New => tracing::info!(ledger = %path, gateway = ledger.gateway(), "ledger made"),
        Origin::Rebuilt => tracing::error!(
            ledger = %path,
            "the ledger that was here is lost; its rows are rebuilt from the sources as far as those reach, and \
             exported counters start at zero and grow by runs that end from now on"
        ),
    }
    Ok(ledger)
}

fn set_aside(config: &Config, now: UnixMs) -> Result<(), ServeError> {
    let path = &config.ledger.path;
    let aside =
        ledger::set_aside(path, now).map_err(|source| ServeError::SetAside { path: path.clone(), source })?;
    tracing::error!(ledger = %path.display(), aside = %aside.display(), "moved the damaged ledger aside");
    Ok(())
}

/// The signals that end the daemon.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over from the system's default, which is to end at once.
    ///
    /// # Errors
    /// The system gives no signal handler.
    pub fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
