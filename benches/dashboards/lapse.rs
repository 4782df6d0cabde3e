//! The daemon under a clock that is set by hand: weeks of scrapes in minutes.
//!
//! It is `serve` itself, in a thread of its own whose timers go by that clock too. Nothing is left out but the waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use openclaw_usage::clock::Clock;
use openclaw_usage::config::Config;
use openclaw_usage::serve;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::common::http;

/// What the daemon's thread is told: to let time pass, and to say when it has.
type Order = (Duration, mpsc::Sender<()>);

/// A daemon and its time.
pub struct Lapse {
    pub address: SocketAddr,
    now: Arc<AtomicI64>,
    orders: Option<UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Lapse {
    /// Starts `serve` at `now`.
    pub fn start(config: Config, now: i64) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let clock = Clock::Manual(Arc::clone(&now));
        let (orders, inbox) = unbounded_channel();
        let (ready, address) = mpsc::channel();
        let thread = thread::spawn(move || run(&config, &clock, inbox, &ready));
        let address = address.recv().expect("the daemon starts");
        Self { address, now, orders: Some(orders), thread: Some(thread) }
    }

    /// Sets the clock, and lets the timers run that long.
    pub fn go_to(&self, at: i64) {
        // Never back: a nudge may have gone further.
        let passed = at - self.now.fetch_max(at, Ordering::SeqCst);
        let passed = Duration::from_millis(u64::try_from(passed).unwrap_or(0));
        let (done, waits) = mpsc::channel();
        let orders = self.orders.as_ref().expect("a daemon that runs");
        orders.send((passed, done)).expect("the daemon's thread takes orders");
        waits.recv().expect("the daemon's time passes");
    }

    /// What a scrape shows now.
    pub fn page(&self) -> String {
        http::get(self.address, "/metrics").expect("a page of metrics").text()
    }

    /// Lets the daemon end as after SIGTERM.
    pub fn stop(mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the daemon's thread ends");
        }
    }
}

fn run(
    config: &Config,
    clock: &Clock,
    mut orders: UnboundedReceiver<Order>,
    ready: &mpsc::Sender<SocketAddr>,
) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    // While something blocks, a paused clock of tokio's is moved by hand alone.
    let (keep, kept) = mpsc::channel::<()>();
    let blocked = runtime.spawn_blocking(move || kept.recv());
    runtime.block_on(async {
        let running = serve::start(config, clock).await.expect("serve");
        ready.send(running.address).expect("somebody waits for the daemon");
        while let Some((passed, done)) = orders.recv().await {
            tokio::time::advance(passed).await;
            // Whoever asked may have given up.
            _ = done.send(());
        }
        running.stop().await;
    });
    drop(keep);
    _ = runtime.block_on(blocked);
}
