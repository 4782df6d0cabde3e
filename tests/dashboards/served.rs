//! Every query of every dashboard, asked of real servers; and its figures beside those of `report`.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::ask::{Asked, Dashboard, Filling, Query, RANGE_MS, Way, asked, chosen, dashboards, list, word};
use super::feed::{World, record};
use crate::common::daemon::{PROGRAM, now};
use crate::common::real_time::{now_ms, until};
use crate::common::servers::{Loki, Prometheus};

/// Half a nano-dollar.
const EXACT: f64 = 5e-10;
/// A gateway whose runs are in every window ends a test within this many rounds.
const ROUNDS: usize = 20;
/// Of the simulated gateway: one that never succeeds, one whose webhook does not work, one that reads from the cache, and
/// one whose name is full of PromQL's own signs.
const JOBS: [&str; 4] = ["always-fails", "hook-dead", "cache-heavy", r#"quote " back\slash {x="y"}"#];

#[test]
fn every_query_has_an_answer_and_figures_are_those_of_the_report() {
    let mut world = World::new();
    world.go_on();
    world.break_a_run_log(&record(now().0 - 2_000, 5));
    world.settle();
    world.set_prices(7);
    world.go_on();
    world.restart();
    world.break_a_run_log(&record(now().0 - 1_000, 6));

    let mut answers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for round in 0.. {
        world.go_on();
        world.settle();
        answers = ask_everything(&world);
        let empty: Vec<&String> =
            answers.iter().filter(|(_, counts)| !answered(counts)).map(|(place, _)| place).collect();
        if empty.is_empty() {
            break;
        }
        assert!(round < ROUNDS, "without an answer, of {}: {empty:#?}", answers.len());
    }
    println!("series or lines of each query: {}", world.servers.each_ref().map(|(name, _)| *name).join(", "));
    for (place, counts) in &answers {
        println!("{place}: {counts:?}");
    }
    assert!(answers.len() >= 100, "{}", answers.len());
    figures(&mut world);
}

/// Whether each server had something; of a dashboard of one job, for any of the jobs.
fn answered(counts: &[usize]) -> bool {
    counts.chunks(counts.len() / 3).all(|server| server.iter().any(|number| *number > 0))
}

/// How many series or lines each query gets, from each server.
fn ask_everything(world: &World) -> BTreeMap<String, Vec<usize>> {
    let mut answers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (_, server) in &world.servers {
        for dashboard in dashboards() {
            let mut count = |place: String, number| answers.entry(place).or_default().push(number);
            let mut filling = Filling::default();
            for variable in dashboard.variables() {
                let name = word(&variable["name"]);
                if let Some(values) = values(variable, &filling, server) {
                    count(format!("{} / variable {name}", dashboard.uid), values.len());
                    if !values.is_empty() {
                        filling.set(name, chosen(variable, &values));
                    }
                }
            }
            // Of one job at a time: what some of them never have, another has.
            let single = dashboard
                .variables()
                .iter()
                .any(|variable| variable["name"] == "cron_job" && variable["multi"] == false);
            if single {
                for job in
                    world.simulation.gateway.jobs().iter().filter(|job| JOBS.contains(&job.name.as_str()))
                {
                    filling.set("cron_job", job.id.clone());
                    for query in dashboard.queries() {
                        let number = ask(&query, &filling, server, &world.loki);
                        answers.entry(query.place).or_default().push(number);
                    }
                }
                continue;
            }
            for query in dashboard.queries() {
                let number = ask(&query, &filling, server, &world.loki);
                count(query.place, number);
            }
            for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "custom") {
                let (name, mut filling) = (word(&variable["name"]), filling.clone());
                for option in list(&variable["options"]).map(|option| word(&option["value"])) {
                    filling.set(name, option);
                    let uses = |query: &&Query| query.expr.contains(&format!("${name}"));
                    for query in dashboard.queries().iter().filter(uses) {
                        let number = ask(query, &filling, server, &world.loki);
                        count(format!("{} by {option}", query.place), number);
                    }
                }
            }
        }
    }
    answers
}

/// The values of a variable: those of a label, or those that it was given.
pub fn values(variable: &Value, filling: &Filling, server: &Prometheus) -> Option<Vec<String>> {
    if variable["type"] == "custom" {
        return Some(list(&variable["options"]).map(|option| word(&option["value"]).to_owned()).collect());
    }
    let (promql, label) = match asked(variable) {
        Asked::LabelValues(series, label) => {
            let series = filling.fill(series, 0);
            (format!("count by ({label}) (last_over_time({series}[{RANGE_MS}ms]))"), label)
        }
        Asked::QueryResult(query) => (filling.fill(query, 0), "openclaw_job_id"),
    };
    let found = server.query(&promql, Some(now_ms()));
    Some(found.into_iter().filter_map(|(mut labels, _)| labels.remove(label)).collect())
}

pub fn ask(query: &Query, filling: &Filling, server: &Prometheus, loki: &Loki) -> usize {
    let expr = filling.fill_over(&query.expr, query.interval_ms, query.range_ms);
    // Whole intervals, as Grafana asks; here up to the end of the running one.
    let end = now_ms().next_multiple_of(query.interval_ms);
    let window = (end - query.range_ms, end, query.interval_ms);
    match query.way {
        Way::Instant => {
            server.query(&expr, Some(now_ms())).iter().filter(|(_, value)| value.is_finite()).count()
        }
        Way::Range => server.query_range(&expr, window),
        Way::Counts => loki.query_range(&expr, window),
        Way::Lines => loki.lines(&expr).len(),
    }
}

/// Figures of panels beside those of the ledger's report.
fn figures(world: &mut World) {
    world.settle();
    // What sessions tell may come after the runs.
    for (name, server) in &world.servers {
        until(&format!("the ledger's dollars in the Prometheus that is {name}"), || {
            let stored = server.query("sum(openclaw_cost_usd_total)", Some(now_ms()));
            let told = report(world, &[])["totals"]["cost_usd"].as_f64().expect("dollars");
            stored.first().is_some_and(|(_, sum)| (*sum - told).abs() < EXACT).then_some(())
        });
    }
    world.stop();
    let totals = &report(world, &[])["totals"].clone();
    let by_job = report(world, &["--by", "job"]);
    let all = dashboards();
    let of = |uid: &str| all.iter().find(|dashboard| dashboard.uid == uid).expect("a dashboard");
    let (usage, cron) = (of("openclaw-usage-cost"), of("openclaw-cron-job"));
    println!("panel: Prometheus, report");
    for (name, server) in &world.servers {
        let whole = filling(usage, server);
        let compare = |place: &str, shown: f64, told: &Value| {
            let told = told.as_f64().expect("a number");
            println!("{name}: {}: {shown}, {told}", place.escape_debug());
            assert!((shown - told).abs() < EXACT && told > 0.0, "{name}: {place}: {shown} is not {told}");
        };
        let cost = &totals["cost_usd"];
        for (title, times) in [("Today", 1.0), ("Yesterday", 1.0), ("Mean of 7 days", 7.0), ("30 days", 1.0)]
        {
            let shown = figure(usage, (title, "A"), &whole, server).values().sum::<f64>() * times;
            compare(title, shown, cost);
        }
        let kinds = figure(usage, ("Tokens by kind", "A"), &whole, server);
        for kind in ["input", "output"] {
            compare(&format!("Tokens by kind, {kind}"), kinds[kind], &totals["tokens"][kind]);
        }
        let [costs, runs, tokens] =
            ["cost", "runs", "tokens"].map(|column| figure(usage, ("Jobs by cost", column), &whole, server));
        let (mut jobs, mut others) = (0, 0.0);
        for row in list(&by_job["rows"]) {
            // By its id: one that was renamed stands under each of its names.
            let (job, name) = (word(&row["group"]["job_id"]), word(&row["group"]["job_name"]));
            let Some(dollars) = costs.get(job) else {
                others += row["cost_usd"].as_f64().expect("dollars");
                continue;
            };
            if *dollars == 0.0 {
                continue;
            }
            compare(&format!("Jobs by cost, cost of {name}"), *dollars, &row["cost_usd"]);
            compare(&format!("Jobs by cost, runs of {name}"), runs[job], &row["runs"]["total"]);
            let all = ["input", "output", "cache_read", "cache_write"];
            let told: u64 = all.iter().filter_map(|kind| row["tokens"][kind].as_u64()).sum();
            compare(&format!("Jobs by cost, tokens of {name}"), tokens[job], &told.into());
            jobs += 1;
            let mut one = filling(cron, server);
            one.set("cron_job", job);
            let shown = |title| figure(cron, (title, "A"), &one, server).values().sum::<f64>();
            compare(&format!("Cron Job {name}, cost"), shown("Cost"), &row["cost_usd"]);
            compare(&format!("Cron Job {name}, runs"), shown("Runs"), &row["runs"]["total"]);
        }
        assert!(jobs >= 3, "{by_job}");
        // Jobs that have no series of their own share these.
        let shared = ["one-shot", "system", "other"].iter().filter_map(|id| costs.get(*id)).sum();
        compare("Jobs by cost, cost of one-shot, system and other", shared, &others.into());
        compare("Jobs by cost, runs of all", runs.values().sum(), &totals["runs"]["total"]);
    }
}

fn filling(dashboard: &Dashboard, server: &Prometheus) -> Filling {
    let mut filling = Filling::default();
    for variable in dashboard.variables() {
        let values = values(variable, &filling, server).expect("values");
        filling.set(word(&variable["name"]), chosen(variable, &values));
    }
    filling
}

/// What a panel shows of the whole range, by job or by the one label that its series have; a bar as wide as the range.
fn figure(
    dashboard: &Dashboard,
    place: (&str, &str),
    filling: &Filling,
    server: &Prometheus,
) -> BTreeMap<String, f64> {
    let query = dashboard.query(place.0, place.1);
    let expr = filling.fill(&query.expr, RANGE_MS);
    // A bar begins at its point.
    let before = if query.way == Way::Range { RANGE_MS } else { 0 };
    let samples = until(&format!("an answer to {expr}"), || {
        Some(server.query(&expr, Some(now_ms() - before))).filter(|samples| !samples.is_empty())
    });
    let mut figures = BTreeMap::new();
    for (labels, value) in samples {
        let label = labels.get("openclaw_job_id").or_else(|| labels.values().next());
        *figures.entry(label.cloned().unwrap_or_default()).or_default() += value;
    }
    figures
}

fn report(world: &World, arguments: &[&str]) -> Value {
    let ledger = world.sandbox.ledger();
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("HOME", world.sandbox.path(""))
        .args(["report", "--json", "--since", "6h", "--ledger"]);
    let output = command.arg(ledger).args(arguments).output().expect("run the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}
