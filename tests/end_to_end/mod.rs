//! Totals and events in real servers equal what the simulated gateway wrote, whatever happens to either side.

mod collector;
mod costs;
mod fleet;
mod history;
mod kills;
mod loki;
mod names;
mod outage;
mod parquet;
mod reconcile;
mod restarts;
mod webhooks;

use crate::common::real_time::{now_ms, until};
use crate::common::samples::{Count, whole};
use crate::common::servers::{Fleet, Prometheus, Sample};

/// What a push is stored under.
const PUSHED: &str = r#"job="openclaw-usage""#;

/// The last values that the server has.
fn last(prometheus: &Prometheus, job: &str) -> Count {
    let ask = |promql: &str| prometheus.query(promql, Some(now_ms()));
    counted(ask, job, |series| format!("last_over_time({series}[1d])"))
}

/// The exact growth over the window of that length that ends at `at_ms`.
fn growth(prometheus: &Prometheus, at_ms: u64, window_ms: u64) -> Count {
    counted(
        |promql| prometheus.query(promql, Some(at_ms)),
        PUSHED,
        |series| {
            format!(
                "last_over_time({series}[{window_ms}ms]) - (last_over_time({series}[1d] offset {window_ms}ms) or \
             min_over_time({series}[{window_ms}ms]))"
            )
        },
    )
}

fn counted(ask: impl Fn(&str) -> Vec<Sample>, job: &str, of: impl Fn(&str) -> String) -> Count {
    let sum = |series: &str| {
        let samples = ask(&format!("sum({})", of(series)));
        whole(samples.first().map_or(0.0, |(_, value)| *value))
    };
    let tokens = |kind: &str| sum(&format!(r#"openclaw_tokens_total{{{job},openclaw_token="{kind}"}}"#));
    Count {
        runs: sum(&format!("openclaw_cron_runs_total{{{job}}}")),
        input: tokens("input"),
        output: tokens("output"),
    }
}

/// Waits until the server's last values are these.
fn until_stored(prometheus: &Prometheus, truth: Count) {
    until(&format!("{truth:?} in Prometheus"), || (last(prometheus, PUSHED) == truth).then_some(()));
}

/// The same of a server of whatever kind.
fn until_told(fleet: &Fleet, truth: Count) {
    until(&format!("{truth:?} in {}", fleet.url()), || {
        fleet.settle();
        let ask = |promql: &str| fleet.query(promql, now_ms());
        (counted(ask, &fleet.pushed(), |series| format!("last_over_time({series}[1d])")) == truth)
            .then_some(())
    });
}

/// No counter of runs ever fell in the server's eyes.
fn assert_no_resets(prometheus: &Prometheus) {
    let duration = "openclaw_run_duration_ms_milliseconds";
    let names = ["openclaw_tokens_total", "openclaw_cron_runs_total"].map(str::to_owned).into_iter();
    for name in names.chain(["bucket", "sum", "count"].map(|part| format!("{duration}_{part}"))) {
        let resets = prometheus.query(&format!("sum(resets({name}[1d]))"), Some(now_ms()));
        let [(_, resets)] = &resets[..] else { panic!("no series {name}") };
        assert_eq!(*resets, 0.0, "{name} fell");
    }
}
