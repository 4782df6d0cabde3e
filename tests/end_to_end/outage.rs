//! Two hours without Prometheus, on a clock that is set by hand: a server that holds nothing yet takes stamps of any
//! age, so the life before the outage lies in the past, and the outage ends in the present.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::{self, JoinHandle};

use openclaw_usage::clock::Clock;
use openclaw_usage::config::{self, Config, Environment, Overrides};
use openclaw_usage::serve;
use tokio::sync::oneshot;

use crate::common::daemon::{Sandbox, now, scrape, until_counted};
use crate::common::gateway::Simulation;
use crate::common::real_time::{now_ms, until};
use crate::common::servers::{Prometheus, Version};

use super::{assert_no_resets, growth, until_stored};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn two_hours_without_prometheus_2() {
    two_hours_without(Version::V2);
}

#[test]
fn two_hours_without_prometheus_3() {
    two_hours_without(Version::V3);
}

fn two_hours_without(version: Version) {
    let mut prometheus = Prometheus::start(version, &[]);
    let sandbox = Sandbox::new();
    let begun = now().plus(-2 * HOUR_MS - 60_000);
    let mut simulation = Simulation::new(&sandbox.state_dir(), 71, begun, false);
    let clock = Arc::new(AtomicI64::new(begun.0));
    let set = |simulation: &mut Simulation, ms: i64| {
        clock.store(ms, Ordering::SeqCst);
        simulation.now.0 = ms;
    };
    let daemon = InProcess::start(config(&sandbox, &prometheus), Clock::Manual(Arc::clone(&clock)));
    for job in 0..4 {
        simulation.run(job);
    }
    until_counted(daemon.address, simulation.truth());
    set(&mut simulation, begun.0 + 30_000);
    simulation.run(4);
    let stored_at = |prometheus: &Prometheus, at: i64, truth| {
        let at = u64::try_from(at).unwrap();
        until("the life before the outage", || (growth(prometheus, at, 60_000) == truth).then_some(()));
    };
    // Stamps are pushed a millisecond apart while this clock stands.
    stored_at(&prometheus, begun.0 + 40_000, simulation.truth());
    let before = simulation.truth();

    prometheus.stop();
    for minute in [20, 60, 100] {
        set(&mut simulation, begun.0 + 30_000 + minute * 60_000);
        simulation.run(0);
        simulation.run(usize::try_from(minute / 10).unwrap());
        until_counted(daemon.address, simulation.truth());
    }
    let failed = || scrape(daemon.address).sum("openclaw_usage_export_failures_total", &[]);
    until("a push in vain", || (failed() > 0.0).then_some(()));
    set(&mut simulation, now().0);
    prometheus.restart_same_port_and_data();

    until_stored(&prometheus, simulation.truth());
    let at = now_ms();
    let since_outage = at - u64::try_from(begun.0 + 40_000).unwrap();
    assert_eq!(growth(&prometheus, at, since_outage), simulation.truth() - before, "the outage");
    assert_eq!(growth(&prometheus, at, since_outage + 600_000), simulation.truth(), "all of it");
    assert_eq!(growth(&prometheus, at, 3_600_000), simulation.truth() - before, "it shows when it ended");
    assert_no_resets(&prometheus);
    daemon.stop();
}

fn config(sandbox: &Sandbox, prometheus: &Prometheus) -> Config {
    let text = |path: std::path::PathBuf| Some(path.display().to_string());
    let flags = Overrides {
        state_dir: text(sandbox.state_dir()),
        ledger: text(sandbox.ledger()),
        listen: Some("127.0.0.1:0".to_owned()),
        otlp_endpoints: vec![prometheus.otlp_endpoint()],
        ..Overrides::default()
    };
    config::load(&flags, &Environment::default()).expect("a configuration")
}

/// The daemon on a thread of ours, with a clock of ours.
struct InProcess {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl InProcess {
    fn start(config: Config, clock: Clock) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let running = serve::start(&config, &clock).await.expect("a daemon");
                tell.send(running.address).expect("the test waits for the address");
                // Also when the test has failed.
                _ = stopped.await;
                running.stop().await;
            });
        });
        Self { address: told.recv().expect("the daemon starts"), stop, thread }
    }

    fn stop(self) {
        self.stop.send(()).expect("the daemon runs");
        self.thread.join().expect("the daemon ends well");
    }
}
