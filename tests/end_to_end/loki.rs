//! Events in a real Loki: none lost, none twice, whatever happens to either side.

use std::collections::BTreeSet;
use std::sync::Arc;

use openclaw_usage::ledger::{Ledger, OpenOptions, OutboxSettings};
use openclaw_usage::model::{
    Batch, DeliveryProblem, FileId, FilePosition, GatewayEvent, GatewayEventKind, Position, Severity,
    SourceId,
};
use openclaw_usage::telemetry::event;

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::servers::Loki;

/// Events of runs.
const RUNS: &str = r#"{service_name="openclaw-usage"} | event_name="openclaw.cron.run""#;

fn counted(loki: &Loki) -> u64 {
    crate::common::samples::whole(loki.number(&format!("sum(count_over_time({RUNS} [1d]))")))
}

/// Waits until Loki has as many events as there are runs, each of another run, and then looks whether more come.
fn assert_once_each(loki: &Loki, runs: u64) {
    until(&format!("{runs} events in Loki, which has {}", counted(loki)), || {
        (counted(loki) >= runs).then_some(())
    });
    assert_eq!(counted(loki), runs);
    let lines = loki.lines(RUNS);
    let ids: BTreeSet<&str> = lines.iter().map(|line| line.labels["openclaw_event_id"].as_str()).collect();
    assert_eq!((lines.len() as u64, ids.len() as u64), (runs, runs));
}

#[test]
fn kill_9_neither_loses_nor_repeats_an_event() {
    let loki = Loki::start();
    let (sandbox, mut rng) = (Sandbox::new(), fastrand::Rng::with_seed(81));
    let mut simulation = Simulation::new(&sandbox.state_dir(), 81, now().plus(-600_000), true);
    let mut stored = 0;
    for round in 0..15 {
        let daemon = sandbox.serve(&["--events", &loki.otlp_endpoint()]);
        for _ in 0..rng.u32(0..12) {
            simulation.pass(rng.i64(50..800));
            for _ in 0..rng.u32(0..12) {
                daemon.scrape();
            }
        }
        if round == 7 {
            // At least once right behind a request.
            until("a request to Loki", || {
                let attempts = daemon.scrape().sum("openclaw_usage_events_attempts_total", &[]);
                (attempts > 0.0).then_some(())
            });
        }
        daemon.kill();
        let is = counted(&loki);
        assert!((stored..=simulation.truth().runs).contains(&is), "{is} events after {stored}");
        stored = is;
    }
    let daemon = sandbox.serve(&["--events", &loki.otlp_endpoint()]);
    daemon.until_counted(simulation.truth());
    assert_once_each(&loki, simulation.truth().runs);
    until("an empty outbox", || {
        (daemon.scrape().sum("openclaw_usage_events_kept", &[]) == 0.0).then_some(())
    });
    let samples = daemon.scrape();
    assert_eq!(samples.sum("openclaw_usage_events_dropped_total", &[]), 0.0);
    daemon.terminate();
    assert!(simulation.truth().runs > 20, "{:?}", simulation.truth());
}

#[test]
fn an_outage_of_loki_loses_nothing() {
    let mut loki = Loki::start();
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 82, now().plus(-600_000), true);
    simulation.pass(5_000);
    let daemon = sandbox.serve(&["--events", &loki.otlp_endpoint()]);
    assert_once_each(&loki, simulation.truth().runs);
    loki.kill();
    simulation.pass(10_000);
    daemon.until_counted(simulation.truth());
    until("a failure that is told", || daemon.log().contains("sink does not take events").then_some(()));
    loki.restart();
    assert_once_each(&loki, simulation.truth().runs);
    until("its end in the log", || daemon.log().contains("sink takes events again").then_some(()));
    daemon.terminate();
}

/// What the gateway's log says arrives under the query that OpenClaw's operators are told to alert on, and no run does.
#[test]
fn the_query_of_operators_finds_a_failed_webhook() {
    let loki = Loki::start();
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 83, now().plus(-600_000), false);
    simulation.pass(5_000);
    // As if a daemon had read the gateway's log and had been killed before it could tell.
    let endpoint = loki.otlp_endpoint();
    let sink = endpoint.trim_start_matches("http://").to_owned();
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&sandbox.ledger(), &options, now()).expect("a ledger").ledger;
    let settings = OutboxSettings {
        sinks: [sink].into(),
        max_events: 100,
        max_age_ms: 86_400_000,
        describe: Arc::new(|happening| event::line(happening, "openclaw")),
    };
    ledger.set_outbox(settings).expect("an outbox");
    let position = FilePosition { file: FileId::default(), offset: 1, last: None, skipped: 0 };
    let mut batch = Batch::new(SourceId("gateway-log/x".into()), None, Position::File(position));
    let failed = GatewayEvent {
        at: now(),
        kind: GatewayEventKind::WebhookDeliveryFailed,
        severity: Severity::Warn,
        job_id: Some("5b8f".into()),
        job_name: None,
        problem: Some(DeliveryProblem::HttpStatus),
        http_status: Some(500),
        attempt: None,
        delivery: None,
        message: "cron: webhook delivery failed".into(),
        mark: 1,
    };
    // Two in one millisecond are two, though a server takes equal lines of one time for the same.
    batch.events = vec![failed.clone(), GatewayEvent { mark: 2, ..failed }];
    ledger.apply(&batch, now()).expect("a commit");
    drop(ledger);

    let daemon = sandbox.serve(&["--events", &endpoint]);
    assert_once_each(&loki, simulation.truth().runs);
    daemon.terminate();
    let lines = loki.lines(r#"{service_name="openclaw-usage"} |= "webhook delivery failed""#);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let label = |name: &str| lines[0].labels.get(name).map(String::as_str);
    assert_eq!(label("event_name"), Some("openclaw.cron.webhook_delivery_failed"));
    assert_eq!((label("severity_text"), label("openclaw_job_id")), (Some("WARN"), Some("5b8f")));
    assert_eq!(label("http_response_status_code"), Some("500"));
}
