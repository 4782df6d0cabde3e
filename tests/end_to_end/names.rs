//! Push and scrape are interchangeable: real servers store the same names, labels and values either way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::{Samples, Series};
use crate::common::servers::{Prometheus, Version, promtool_check_metrics};

use super::{PUSHED, last, until_stored};

#[test]
fn prometheus_2_stores_what_metrics_shows() {
    stores_what_metrics_shows(Version::V2);
}

#[test]
fn prometheus_3_stores_what_metrics_shows() {
    stores_what_metrics_shows(Version::V3);
}

/// Of dollars: they are there, so that the comparison below is of them too.
const OF_MONEY: [&str; 9] = [
    "openclaw_cost_usd_total",
    "openclaw_usage_budget_limit_usd",
    "openclaw_usage_budget_projected_usd",
    "openclaw_usage_budget_remaining_usd",
    "openclaw_usage_budget_spent_usd",
    "openclaw_usage_cost_usd",
    "openclaw_usage_counter_excess_usd",
    "openclaw_usage_prices_problem",
    "openclaw_usage_unpriced_tokens",
];

/// Budgets, and a model without a price.
fn set_up_money(sandbox: &Sandbox) -> PathBuf {
    let file = sandbox.state_dir().join("openclaw.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for model in config["models"]["providers"]["sim"]["models"].as_array_mut().unwrap() {
        if model["id"] == "sim-ok" {
            model.as_object_mut().unwrap().remove("cost");
        }
    }
    fs::write(&file, config.to_string()).unwrap();
    let own = sandbox.path("own.toml");
    let budget = |name: &str, period: &str| {
        format!(
            "[[budget]]\nname = \"{name}\"\nusd = 20\nperiod = \"{period}\"\ntimezone = \"Europe/Berlin\"\n"
        )
    };
    fs::write(&own, [budget("all of a day", "day"), budget("all of a month", "month")].concat()).unwrap();
    own
}

fn stores_what_metrics_shows(version: Version) {
    let pushed = Prometheus::start(version, &[]);
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 81, now().plus(-600_000), false);
    simulation.pass(60_000);
    // The dead endpoint is there for the families of failures.
    let own = set_up_money(&sandbox);
    let endpoint = pushed.otlp_endpoint();
    let own = ["--config", own.to_str().unwrap()];
    let endpoints = ["--otlp-endpoint", &endpoint, "--otlp-endpoint", "http://127.0.0.1:1"];
    let daemon = sandbox.serve(&[&own[..], &endpoints].concat());
    until_stored(&pushed, simulation.truth());

    let scrape = format!(
        "scrape_configs: [{{job_name: scraped, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]",
        daemon.address()
    );
    let scraped = Prometheus::start_with_config(version, &scrape, &[]);
    until("a scrape", || (last(&scraped, r#"job="scraped""#) == simulation.truth()).then_some(()));

    // What the exporters say of themselves comes with the full push after the first failure.
    until("a full push with all names", || (pushed.series_names() == page(&daemon).names()).then_some(()));
    assert_eq!(of_ours(&scraped), pushed.series_names(), "names of a scrape");
    for name in OF_MONEY {
        assert!(pushed.series_names().contains(name), "{name} is not stored");
    }
    let (by_push, by_scrape) = (stored(&pushed, PUSHED), stored(&scraped, r#"job="scraped""#));
    let page = normal(page(&daemon).0);
    assert_eq!(differing(&by_push, &page), Vec::<&Series>::new(), "names and labels of a push");
    assert_eq!(differing(&by_scrape, &page), Vec::<&Series>::new(), "names and labels of a scrape");
    let durable = |samples: BTreeMap<Series, f64>| {
        let changing =
            ["_usage_export_", "_usage_ledger_size", "_usage_ingest_lag", "_budget_projected_", "process_"];
        let is_durable = |name: &str| !changing.iter().any(|part| name.contains(part));
        samples.into_iter().filter(|((name, _), _)| is_durable(name)).collect::<BTreeMap<_, _>>()
    };
    let page = durable(page);
    assert!(durable(by_push) == page, "values of a push");
    assert!(durable(by_scrape) == page, "values of a scrape");
    assert!(page.len() > 200, "{} series", page.len());
    daemon.terminate();
}

/// Only the family whose name OpenClaw's own plugin has given is not to the linter's taste.
#[test]
fn promtool_finds_the_page_well_formed() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 82, now().plus(-600_000), true);
    simulation.pass(60_000);
    let daemon = sandbox.serve(&["--otlp-endpoint", "http://127.0.0.1:1"]);
    daemon.until_counted(simulation.truth());
    until("a failed push", || {
        (daemon.scrape().sum("openclaw_usage_export_failures_total", &[]) > 0.0).then_some(())
    });
    let (status, said) = promtool_check_metrics(&daemon.classic_page(), &[]);
    let complaints: Vec<_> = said.lines().collect();
    let given = "openclaw_run_duration_ms_milliseconds ";
    assert!(complaints.iter().all(|line| line.starts_with(given)), "{said}");
    // 3 is its word for findings of the linter; 1 would be a page that it cannot read.
    assert_eq!((complaints.len(), status.code()), (2, Some(3)), "{said}");
    let (status, said) = promtool_check_metrics(&daemon.classic_page(), &["--extended", "--lint=none"]);
    assert!(status.success() && said.contains("openclaw_cron_runs_total"), "{said}");
}

/// Series that only one of the two has.
fn differing<'a>(one: &'a BTreeMap<Series, f64>, other: &'a BTreeMap<Series, f64>) -> Vec<&'a Series> {
    let only = |one: &'a BTreeMap<Series, f64>, other: &'a BTreeMap<Series, f64>| {
        one.keys().filter(move |series| !other.contains_key(*series))
    };
    only(one, other).chain(only(other, one)).collect()
}

fn page(daemon: &Daemon) -> Samples {
    Samples::parse(&daemon.classic_page())
}

/// The names that come from us: not the server's own view of the scrape, nor the times of creation, which it keeps as
/// series of their own.
fn of_ours(prometheus: &Prometheus) -> BTreeSet<String> {
    let ours = |name: &String| {
        let is_ours = ["openclaw_", "process_"].iter().any(|begin| name.starts_with(begin));
        is_ours && !name.ends_with("_created")
    };
    prometheus.series_names().into_iter().filter(ours).collect()
}

/// All series of ours without what the server adds to tell senders apart.
fn stored(prometheus: &Prometheus, job: &str) -> BTreeMap<Series, f64> {
    let ours = format!(r#"{{{job},__name__=~"openclaw_.*|process_.*",__name__!~".*_created"}}"#);
    let samples = prometheus.query(&ours, Some(now_ms())).into_iter();
    normal(samples.map(|(mut labels, value)| {
        let [name, _, instance] = ["__name__", "job", "instance"].map(|key| labels.remove(key).unwrap());
        assert!(!instance.is_empty());
        ((name, labels), value)
    }))
}

/// Bounds of buckets as numbers: Prometheus 3 writes those of a scrape, and only those, as `100.0`.
fn normal(samples: impl IntoIterator<Item = (Series, f64)>) -> BTreeMap<Series, f64> {
    let normal = samples.into_iter().map(|((name, mut labels), value)| {
        if let Some(bound) = labels.get_mut("le").filter(|bound| *bound != "+Inf") {
            *bound = bound.parse::<f64>().unwrap().to_string();
        }
        ((name, labels), value)
    });
    normal.collect()
}
