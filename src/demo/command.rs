//! The `demo` command: a simulated gateway, `serve` on it, and what both say side by side.
//!
//! What was counted is read over HTTP from `/metrics`, as anybody else would, and at the end from the ledger's
//! file as well. Deliberately absent: any shortcut between the gateway and the daemon but the directory.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::{Error, Finished, Gateway, Generation, Incident, Options, Store};
use crate::cli::{DemoArgs, DemoGeneration, DemoIncident};
use crate::clock::Clock;
use crate::config::{self, ConfigError, Environment, Overrides};
use crate::ledger::{LedgerError, LedgerReader};
use crate::model::{TokenKind, UnixMs};
use crate::serve::{self, ServeError, Signals};

/// How often the simulated gateway is stepped.
const STEP: Duration = Duration::from_millis(20);
/// How often a line is printed.
const LINE: Duration = Duration::from_secs(2);
/// How long what was written last may take until it is counted, before a difference is called one.
const SETTLE: Duration = Duration::from_secs(5);
/// When the first thing happens to the gateway, if the demo has no end.
const FIRST: Duration = Duration::from_secs(10);

/// Why the demo could not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No temporary directory.
    #[error("cannot make a temporary directory: {0}; set TMPDIR to one that can be written")]
    Directory(io::Error),
    /// The scripts of both exclude each other.
    #[error("an incident cannot happen during an upgrade; give --incident with another --generation")]
    IncidentAndUpgrade,
    /// The simulated gateway failed.
    #[error(transparent)]
    Gateway(#[from] Error),
    /// A flag is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The daemon failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The ledger could not be read at the end.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// `/metrics` did not answer.
    #[error("cannot read our own /metrics at {0}: {1}")]
    Scrape(SocketAddr, String),
    /// The terminal is gone.
    #[error("cannot write to the terminal: {0}")]
    Output(#[from] io::Error),
}

impl DemoError {
    /// Returns whether the user's input is at fault: then the exit status is 64.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::IncidentAndUpgrade)
            || matches!(self, Self::Serve(error) if error.is_usage())
    }
}

/// Runs and tokens (input and output), billed or counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    runs: u64,
    tokens: u64,
}

/// Runs the demo until its time is over or Ctrl-C. Returns whether everything that was billed was counted.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(args: &DemoArgs, clock: &Clock) -> Result<bool, DemoError> {
    if args.incident.is_some() && args.generation == DemoGeneration::Upgrade {
        return Err(DemoError::IncidentAndUpgrade);
    }
    let mut signals = Signals::new().map_err(ServeError::Signal)?;
    let directory =
        tempfile::Builder::new().prefix("openclaw-usage-demo-").tempdir().map_err(DemoError::Directory)?;
    let root = if args.keep_dir { directory.keep() } else { directory.path().to_path_buf() };
    let start = clock.now();
    let jobs = usize::from(args.jobs);
    let usual = if args.incident.is_some() { Options::healthy() } else { Options::default() };
    let options = Options { seed: args.seed, jobs, generation: first(args.generation), start, ..usual };
    let mut gateway = Gateway::new(&root.join("state"), options)?;
    if args.incident.is_none() {
        gateway.prefill_for_demo()?;
    }
    let ledger = root.join("ledger.sqlite");
    let running = serve::start(&config(args, &root, &ledger)?, clock).await?;
    let mut demo = Demo { gateway, address: running.address, started: Instant::now(), prunes: 0 };
    demo.introduce(args, &root)?;
    let outcome = demo.play(args, start, &mut signals).await;
    let end = match outcome {
        Ok(()) => demo.settled(SETTLE).await,
        Err(error) => Err(error),
    };
    running.stop().await;
    let (billed, counted) = end?;
    let summary = LedgerReader::open(&ledger)?.summary()?;
    let held = Count { runs: summary.runs, tokens: summary.tokens[0] + summary.tokens[1] };
    demo.conclude(billed, counted, held)?;
    if args.keep_dir {
        writeln!(io::stdout(), "kept: {}", root.display())?;
    }
    Ok(billed == counted && counted == held)
}

/// Returns which version the gateway starts as.
const fn first(generation: DemoGeneration) -> Generation {
    match generation {
        DemoGeneration::RunLog | DemoGeneration::Upgrade => Generation::V2026_5_28,
        DemoGeneration::CronRunLogs => Generation::V2026_6_11,
        DemoGeneration::TaskRuns => Generation::V2026_9_6,
    }
}

/// Returns when the first thing happens to the gateway.
fn third(args: &DemoArgs) -> Duration {
    args.duration_ms.map_or(FIRST, |ms| Duration::from_millis(ms / 3))
}

/// Returns what goes wrong, and how long after the start.
fn incident(args: &DemoArgs) -> Option<(Duration, Incident)> {
    let incident = match args.incident? {
        DemoIncident::None => return None,
        DemoIncident::Missed => Incident::Missed,
        DemoIncident::Failing => Incident::Failing,
        DemoIncident::Burn => Incident::Burn,
        DemoIncident::Webhook => Incident::Webhook,
        DemoIncident::Vanished => Incident::Vanished,
    };
    Some((third(args), incident))
}

/// Returns what the gateway becomes meanwhile, and how long after the start.
fn upgrades(args: &DemoArgs) -> Vec<(Duration, Generation)> {
    if args.generation != DemoGeneration::Upgrade {
        return Vec::new();
    }
    let third = third(args);
    vec![(third, Generation::V2026_6_11), (third * 2, Generation::V2026_9_6)]
}

fn history(generation: Generation) -> String {
    let store = match generation.store() {
        Store::RunLogs => "cron/runs/*.jsonl",
        Store::CronRunLogs => "cron_run_logs in state/openclaw.sqlite",
        Store::TaskRuns => "task_runs in state/openclaw.sqlite",
    };
    format!("{} ({store})", generation.version())
}

fn config(
    args: &DemoArgs,
    root: &std::path::Path,
    ledger: &std::path::Path,
) -> Result<config::Config, ConfigError> {
    let text = |path: PathBuf| Some(path.to_string_lossy().into_owned());
    let flags = Overrides {
        state_dir: text(root.join("state")),
        ledger: text(ledger.to_path_buf()),
        gateway: Some("demo".into()),
        listen: Some(args.listen.to_string()),
        otlp_endpoints: args.otlp_endpoints.clone(),
        events: args.events.clone(),
        ..Overrides::default()
    };
    // Whatever the user's environment says about a real gateway is not meant for this one.
    let log = root.join("state/logs/openclaw.log");
    let log = log.to_string_lossy();
    let own = [("OPENCLAW_USAGE_GATEWAY_LOG", log.as_ref())];
    config::load(&flags, &own.into_iter().collect::<Environment>())
}

struct Demo {
    gateway: Gateway,
    address: SocketAddr,
    started: Instant,
    prunes: u64,
}

impl Demo {
    fn introduce(&self, args: &DemoArgs, root: &std::path::Path) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "metrics          http://{}/metrics", self.address)?;
        writeln!(
            out,
            "gateway          {} simulated jobs, seed {}, speed {}",
            args.jobs, args.seed, args.speed
        )?;
        writeln!(out, "history          {}", history(self.gateway.generation()))?;
        for (after, to) in upgrades(args) {
            writeln!(out, "upgrade          to {} after {:.1} s", to.version(), after.as_secs_f64())?;
        }
        if let Some((after, incident)) = incident(args) {
            let (word, after) = (incident.as_str(), after.as_secs_f64());
            writeln!(out, "incident         {word} after {after:.1} s; it is for {}", incident.alert())?;
        }
        writeln!(out, "state directory  {}", root.join("state").display())?;
        for endpoint in &args.otlp_endpoints {
            writeln!(out, "pushing to       {endpoint}")?;
        }
        for sink in &args.events {
            writeln!(out, "events to        {sink}")?;
        }
        writeln!(out, "\n  time   billed by the provider       counted                      difference")?;
        writeln!(out, "            runs  in+out tokens       runs  in+out tokens     runs     tokens")?;
        out.flush()
    }

    /// Lets the gateway run and prints a line now and then.
    async fn play(&mut self, args: &DemoArgs, start: UnixMs, signals: &mut Signals) -> Result<(), DemoError> {
        // The history that the gateway was given is read first: what it prunes unread, nobody could count.
        let (billed, counted) = self.settled(SETTLE).await?;
        self.line(billed, counted)?;
        let end = args.duration_ms.map(|ms| self.started + Duration::from_millis(ms));
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        let interrupted = signals.next();
        tokio::pin!(over, interrupted);
        let begun = Instant::now();
        let mut upgrades = upgrades(args).into_iter().peekable();
        let mut incident = incident(args);
        let (mut steps, mut lines) = (interval(STEP), interval(LINE));
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
        lines.tick().await;
        loop {
            tokio::select! {
                biased;
                () = &mut over => break,
                _ = &mut interrupted => return Ok(()),
                _ = lines.tick() => {
                    let (billed, counted) = self.settled(STEP * 5).await?;
                    self.line(billed, counted)?;
                }
                _ = steps.tick() => {
                    let now = start.plus(scaled(begun.elapsed(), args.speed));
                    let due = upgrades.next_if(|(after, _)| self.started.elapsed() >= *after);
                    match due {
                        Some((_, to)) => self.upgrade(to, now)?,
                        None => {
                            let finished = self.gateway.step(now)?;
                            self.note(&finished);
                        }
                    }
                    if let Some((_, what)) = incident.take_if(|(after, _)| self.started.elapsed() >= *after) {
                        self.suffer(what, now).await?;
                    }
                }
            }
        }
        // Where the time was too short for reading the history first, the last upgrades come at the end.
        for (_, to) in upgrades {
            self.upgrade(to, start.plus(scaled(begun.elapsed(), args.speed)))?;
        }
        Ok(())
    }

    fn note(&mut self, finished: &[Finished]) {
        self.prunes += finished.iter().filter(|run| run.pruned).count() as u64;
    }

    /// Restarts the gateway as another version, under the running daemon, and says so.
    fn upgrade(&mut self, to: Generation, now: UnixMs) -> Result<(), DemoError> {
        let finished = self.gateway.upgrade(to, now)?;
        self.note(&finished);
        let mut out = io::stdout().lock();
        writeln!(out, "        upgraded to {}", history(to))?;
        Ok(out.flush()?)
    }

    /// Lets something go wrong, and says so.
    async fn suffer(&mut self, incident: Incident, now: UnixMs) -> Result<(), DemoError> {
        // What vanishes unread, nobody could count.
        self.settled(SETTLE).await?;
        let job = self.gateway.suffer(incident, now)?;
        let job = job.and_then(|id| self.gateway.jobs().iter().find(|job| job.id == id));
        // The demo's own jobs; only the first ones are chosen, whose names are harmless.
        let who = job.map_or_else(String::new, |job| format!("{} ", job.name));
        let mut out = io::stdout().lock();
        writeln!(out, "        {who}{}", incident.what())?;
        Ok(out.flush()?)
    }

    fn billed(&self) -> Count {
        let bill = self.gateway.bill();
        Count { runs: bill.runs(), tokens: bill.tokens(TokenKind::Input) + bill.tokens(TokenKind::Output) }
    }

    /// Waits until what was billed is counted, or the time is over. Returns both.
    async fn settled(&self, patience: Duration) -> Result<(Count, Count), DemoError> {
        let billed = self.billed();
        let end = Instant::now() + patience;
        loop {
            let counted = self.counted().await?;
            if counted == billed || Instant::now() >= end {
                return Ok((billed, counted));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Reads `/metrics` as a scraper does.
    async fn counted(&self) -> Result<Count, DemoError> {
        let text = timeout(SETTLE, scrape(self.address))
            .await
            .map_err(|_| DemoError::Scrape(self.address, "no answer in 5 s".into()))?
            .map_err(|error| DemoError::Scrape(self.address, error.to_string()))?;
        // Cached tokens are exported too, where records tell of them; the comparison is of input and output.
        let sum = |family: &str, label: &str| -> u64 {
            let values = text.lines().filter(|line| line.starts_with(family) && line.contains(label));
            values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let tokens = |kind: &str| sum("openclaw_tokens_total{", kind);
        Ok(Count {
            runs: sum("openclaw_cron_runs_total{", ""),
            tokens: tokens("openclaw_token=\"input\"") + tokens("openclaw_token=\"output\""),
        })
    }

    fn line(&self, billed: Count, counted: Count) -> io::Result<()> {
        let seconds = self.started.elapsed().as_secs();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{seconds:>5}s {:>9} {:>14} {:>10} {:>14} {:>8} {:>10}",
            grouped(billed.runs),
            grouped(billed.tokens),
            grouped(counted.runs),
            grouped(counted.tokens),
            difference(counted.runs, billed.runs),
            difference(counted.tokens, billed.tokens),
        )?;
        out.flush()
    }

    fn conclude(&self, billed: Count, counted: Count, held: Count) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let verdict = if billed == counted && counted == held { "equal" } else { "NOT EQUAL" };
        writeln!(
            out,
            "\nbilled by the provider   {:>10} runs {:>14} tokens",
            grouped(billed.runs),
            grouped(billed.tokens)
        )?;
        writeln!(
            out,
            "exported on /metrics     {:>10} runs {:>14} tokens",
            grouped(counted.runs),
            grouped(counted.tokens)
        )?;
        writeln!(
            out,
            "held in the ledger       {:>10} runs {:>14} tokens",
            grouped(held.runs),
            grouped(held.tokens)
        )?;
        writeln!(out, "{verdict}, over {} prunes of its history by the gateway", grouped(self.prunes))?;
        out.flush()
    }
}

async fn scrape(address: SocketAddr) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request =
        hyper::Request::get("/metrics").header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    // The connection ends when the sender is dropped with the exchange.
    let exchange = async move {
        let response = sender.send_request(request).await?;
        Ok::<_, hyper::Error>(response.into_body().collect().await?.to_bytes())
    };
    let (body, _) = tokio::join!(exchange, connection);
    Ok(String::from_utf8(body?.to_vec())?)
}

/// Returns simulated milliseconds for real time passed.
#[expect(clippy::cast_possible_truncation, reason = "a demo of 285 years at most")]
fn scaled(passed: Duration, speed: f64) -> i64 {
    (passed.as_secs_f64() * 1000.0 * speed) as i64
}

fn difference(counted: u64, billed: u64) -> String {
    match counted.checked_sub(billed) {
        Some(0) => "0".into(),
        Some(more) => format!("+{}", grouped(more)),
        None => format!("-{}", grouped(billed - counted)),
    }
}

/// Returns a number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
