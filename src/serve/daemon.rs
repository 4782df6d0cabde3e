//! Starts the parts, keeps them running, takes up what changes in the configuration, and stops them in the right order.
//!
//! Invariant: from SIGTERM to the end are at most 7 s, whatever the parts are at: what is not committed then is read again
//! at the next start. Kubernetes grants 10 s at the least that our manifests ask for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::budgets::Budgets;
use super::collector::Collector;
use super::collector::{PriceSettings, SOURCES};
use super::core::{Core, End, Wake};
use super::exporters::{self, Exporters};
use super::http::{self, ListenError};
use super::outbox::{self, SinkTasks, Sinks};
use super::relay::{RelayDesk, RelayTasks, RelayWake, Relays};
use super::reloading::Reloading;
use super::state::Shared;
use super::tasks::{self, Tasks};
use super::watching::Watching;
use super::webhook::{Access, CertificateError, Door};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Synchronous};
use crate::export::{Persist, Target};
use crate::ledger::{self, Ledger, LedgerError, OpenOptions, Opened, Origin};
use crate::model::UnixMs;
use crate::price::BudgetError;
use crate::relay::RelayError;
use crate::telemetry::{ProcessState, SourceState};

/// Longest wait at the end for what was appended last to be committed.
const DRAIN: Duration = Duration::from_millis(2_500);
/// Longest wait at the end for the last pushes, which bound themselves to 3 s.
pub(super) const LAST_PUSH: Duration = Duration::from_millis(3_500);
/// Longest wait at the end for the core, which may be reading a long history.
const CORE: Duration = Duration::from_secs(1);

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
    /// A configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// A relay or digest cannot be what the configuration says.
    #[error(transparent)]
    Relay(#[from] RelayError),
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
                | Self::Config(_)
                | Self::WebhookListen { .. }
                | Self::Certificate(_)
                | Self::Budget(_)
                | Self::Relay(_)
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
    pub(super) config: Config,
    /// The gateway's name in the ledger.
    pub(super) gateway: String,
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) core: exporters::Core,
    pub(super) exporters: Exporters,
    pub(super) endpoints: Tasks<Target>,
    pub(super) sinks: Sinks,
    pub(super) sink_tasks: SinkTasks,
    pub(super) relay_wakes: mpsc::Sender<RelayWake>,
    pub(super) relay_tasks: RelayTasks,
    /// What serves requests, and what carries questions to the core. They end with this value.
    _parts: JoinSet<()>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<End>,
}

/// A running receiver of webhooks.
pub struct RunningReceiver {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who is let in; takes effect with the next request.
    pub access: watch::Sender<Arc<Access>>,
}

/// Runs until SIGTERM or SIGINT, and takes up what changes in the configuration.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(config: Config, mut reloading: Reloading, clock: &Clock) -> Result<(), ServeError> {
    let mut signals = Signals::new().map_err(ServeError::Signal)?;
    let mut config = config;
    loop {
        let mut running = start(&config, clock).await?;
        reloading.began(&running);
        let end = loop {
            tokio::select! {
                biased;
                signal = signals.next() => break Err(signal),
                end = &mut running.ended => break Ok(end),
                reason = reloading.wanted() => tokio::select! {
                    biased;
                    signal = signals.next() => break Err(signal),
                    () = reloading.reload(&mut running, reason) => {}
                },
            }
        };
        match end {
            Ok(Ok(End::Corrupt(error))) => {
                tracing::error!("{error}");
                config = running.config.clone();
                running.stop().await;
                set_aside(&config, clock.now())?;
            }
            Ok(_) => {
                running.stop().await;
                return Ok(());
            }
            Err(signal) => {
                tracing::info!(signal, "stopping");
                running.stop().await;
                return Ok(());
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
    let (relays, mut desk) = Relays::new(config, &Vec::new())?;
    let mut ledger = open_ledger(config, now)?;
    let gateway = ledger.gateway().to_owned();
    ledger.set_witness(door.as_ref().and_then(Door::is_ours), now)?;
    if !config.has_state_dir() {
        ledger.set_unlisted();
    }
    ledger.set_outbox(outbox::settings(&config.events, &gateway))?;
    desk.prepare(&mut ledger, now)?;
    let facts = ledger.outbox()?;
    let states = config.otlp.iter().map(|endpoint| ledger.endpoint(&endpoint.name));
    let states = states.collect::<Result<Vec<_>, _>>()?;
    let (wakes, inbox) = channel();
    let (stop, stopped) = watch::channel(false);
    let (changed, revisions) = watch::channel(0);
    let (looked, first_look) = watch::channel(false);
    let (newest, news) = watch::channel(0);
    let (persist, persists) = mpsc::channel(16);
    let (outbox, questions) = mpsc::channel(16);
    let shared = Shared::new(ledger.totals(), process_state(&ledger, now));
    let shared = Arc::new(shared.with_webhook(door.as_ref().map(|door| Arc::clone(&door.stats))));
    let mut parts = JoinSet::new();
    parts.spawn(forward(persists, wakes.clone(), |Persist { state, done }| Wake::Persist(state, done)));
    parts.spawn(forward(questions, wakes.clone(), Wake::Events));
    let (relay_wakes, relay_questions) = mpsc::channel(16);
    parts.spawn(forward(relay_questions, wakes.clone(), Wake::Relay));
    let surface =
        http::Surface { shared: Arc::clone(&shared), clock: clock.clone(), first_look: first_look.clone() };
    parts.spawn(http::serve(listener, surface, stopped.clone()));
    let known = (gateway.clone(), ledger.summary_switch());
    let webhook = door.map(|door| door.serve(known, wakes.clone(), clock, stopped, &mut parts));
    let core = exporters::Core(wakes.clone());
    let mut running = Running {
        address,
        revisions: revisions.clone(),
        webhook,
        config: config.clone(),
        gateway,
        clock: clock.clone(),
        shared: Arc::clone(&shared),
        core: core.clone(),
        exporters: Exporters {
            shared: Arc::clone(&shared),
            clock: clock.clone(),
            revisions,
            persist,
            looked: first_look,
            core: core.clone(),
        },
        endpoints: Tasks::default(),
        sinks: Sinks { shared: Arc::clone(&shared), clock: clock.clone(), newest: news, outbox, core },
        sink_tasks: SinkTasks::default(),
        relay_wakes,
        relay_tasks: RelayTasks::default(),
        _parts: parts,
        stop,
        ended: spawn_core(
            self::core(config, clock, (ledger, budgets, desk), shared, (changed, looked, newest), wakes),
            inbox,
        )?,
    };
    let resource = running.resource_of(config);
    running.exporters.set(&mut running.endpoints, &config.otlp, &resource, &states);
    running
        .sinks
        .set(&mut running.sink_tasks, (&config.events, &resource), Some(&facts))
        .map_err(ServeError::Stdout)?;
    running.set_relays(relays).await;
    tracing::info!(address = %address, state_dir = %config.state_dir.display(), "serving /metrics");
    Ok(running)
}

impl Running {
    /// Commits what was written last, pushes it, and stops all parts, within 7 s.
    pub async fn stop(mut self) {
        let (drained, done) = oneshot::channel();
        // Before the first look nothing is shown, so that nothing is missed either.
        if *self.exporters.looked.borrow() && self.core.0.send(Wake::Drain(drained)).is_ok() {
            _ = tokio::time::timeout(DRAIN, done).await;
        }
        self.stop.send_replace(true);
        let mut leaving = self.endpoints.stop();
        leaving.extend(self.sink_tasks.stop());
        leaving.extend(self.relay_tasks.stop());
        tasks::ended(leaving, LAST_PUSH).await;
        if self.core.0.send(Wake::Shutdown).is_ok()
            && tokio::time::timeout(CORE, &mut self.ended).await.is_err()
        {
            tracing::info!("stopped amid reading; the next start goes on behind what is committed");
        }
    }
}

fn process_state(ledger: &Ledger, now: UnixMs) -> ProcessState {
    ProcessState {
        start: now,
        sources: SOURCES.map(|name| SourceState { name, up: false, watch: None }).to_vec(),
        ledger_writable: true,
        config_in_force: true,
        config_loaded: now,
        ledger_bytes: ledger.size_bytes(),
        ..ProcessState::default()
    }
}

fn core(
    config: &Config,
    clock: &Clock,
    (ledger, budgets, relays): (Ledger, Budgets, RelayDesk),
    shared: Arc<Shared>,
    (changed, looked, newest): (watch::Sender<u64>, watch::Sender<bool>, watch::Sender<u64>),
    wakes: Sender<Wake>,
) -> Core {
    let Watching { watcher, cadence } = Watching::new(config, wakes, clock.now());
    Core {
        collector: collector(config),
        ledger,
        watcher,
        cadence,
        clock: clock.clone(),
        shared,
        changed,
        newest,
        budgets,
        relays,
        keep_days: config.ledger.keep_days,
        looked,
    }
}

/// Returns what reads the sources of a configuration.
pub(super) fn collector(config: &Config) -> Collector {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut collector = Collector::new(&config.state_dir, home).with_prices(PriceSettings::of(config));
    if config.has_state_dir() {
        collector = collector.with_gateway_log(config.gateway_log.clone());
    }
    if config.webhook.is_some() {
        collector = collector.with_webhook(!config.has_state_dir());
    }
    collector
}

fn spawn_core(
    core: Core,
    inbox: std::sync::mpsc::Receiver<Wake>,
) -> Result<oneshot::Receiver<End>, ServeError> {
    let (tell_end, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("core".into())
        .spawn(move || {
            // Nobody listens any more when the daemon is being dropped.
            _ = tell_end.send(core.run(&inbox));
        })
        .map_err(ServeError::Thread)?;
    Ok(ended)
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
