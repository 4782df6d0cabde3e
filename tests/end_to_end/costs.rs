//! Dollars in a real Prometheus: as exact as tokens.

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::{now_ms, until};
use crate::common::servers::{Prometheus, Version};

use super::PUSHED;

/// Half a nano-dollar.
const EXACT: f64 = 5e-10;

#[test]
fn dollars_of_a_window_equal_the_ledger_s() {
    let prometheus = Prometheus::start(Version::V3, &[]);
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 71, now().plus(-60_000), false);
    simulation.pass(60_000);
    let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
    let dollars = || daemon.scrape().sum("openclaw_cost_usd_total", &[]);
    let query =
        |promql: &str, at: u64| prometheus.query(promql, Some(at)).first().map_or(0.0, |(_, value)| *value);
    let series = format!("openclaw_cost_usd_total{{{PUSHED}}}");
    let stored = |expected: f64| {
        until(&format!("{expected} dollars in Prometheus"), || {
            let last = query(&format!("sum(last_over_time({series}[1d]))"), now_ms());
            ((last - expected).abs() < EXACT).then_some(())
        });
    };
    daemon.until_counted(simulation.truth());
    let before = dollars();
    assert!(before > 0.0, "the simulated gateway's models have prices");
    stored(before);
    let from = now_ms();
    for _ in 0..3 {
        simulation.pass(5_000);
        daemon.until_counted(simulation.truth());
    }
    let after = dollars();
    assert!(after > before);
    stored(after);
    let at = now_ms();
    let window = at - from;
    let growth = format!(
        "sum(last_over_time({series}[{window}ms]) - (last_over_time({series}[1d] offset {window}ms) or \
         min_over_time({series}[{window}ms])))"
    );
    let spent = query(&growth, at);
    assert!((spent - (after - before)).abs() < EXACT, "{spent} is not {after} - {before}");
    let resets = query(&format!("sum(resets({series}[1d]))"), at);
    assert_eq!(resets, 0.0, "dollars fell");
    daemon.terminate();
}
