//! What the dashboards' queries cost on ninety days of two hundred series, a sample each 15 s: processor time of the server,
//! which is what a panel takes on a quiet machine, since a query is evaluated by one thread.
//!
//! The series are those of the office's first jobs after two days; the values grow evenly, since what a query costs hangs on
//! how many samples there are and hardly on what they say.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use openclaw_usage::clock::Clock;
use serde_json::Value;

use crate::ask::{Asked, Dashboard, Filling, Way, asked, chosen, dashboards, list, word};
use crate::blocks::Blocks;
use crate::common::http;
use crate::common::servers::{Prometheus, Version};
use crate::office::page_after;
use crate::say;

const DAY_MS: u64 = 86_400_000;
const DAYS: u64 = 90;
const SCRAPE_MS: i64 = 15_000;
const SERIES: usize = 200;
/// How often each query is asked; the median counts.
const ROUNDS: usize = 3;
/// The most that a panel may take, or over a longer range than it opens with a query, in seconds.
const GOAL: f64 = 1.0;

/// Fills a server, asks it, and prints what each dashboard and its dearest panel take, at the range that it opens with and at
/// longer ones. Fails where a panel takes more than the goal as it opens, or any one query over a longer range.
pub fn measure() -> Result<(), Box<dyn Error>> {
    let end = Clock::System.now().0.div_euclid(SCRAPE_MS) * SCRAPE_MS;
    let series = chosen_series(&page_after(end, 2)?);
    let mut written = Ok(0);
    let flags = ["--storage.tsdb.retention.time=1y"];
    let server = Prometheus::start_with_blocks(Version::V3, &flags, |data| {
        written = Blocks::new(data).and_then(|blocks| fill(blocks, &series, end));
    });
    say(&format!("{} series, {} samples of {DAYS} days", series.len(), written?));
    let mut dear = Vec::new();
    for range_days in [None, Some(30), Some(90)] {
        for dashboard in dashboards() {
            let range_ms = range_days.map_or_else(|| opens_with(&dashboard), |days| days * DAY_MS);
            let costs = ask(&server, &dashboard, u64::try_from(end)?, range_ms);
            let panels = by_panel(&costs);
            let total: f64 = panels.values().sum();
            let (place, most) = panels.iter().max_by(|a, b| a.1.total_cmp(b.1)).ok_or("no query")?;
            let hours = range_ms / 3_600_000;
            say(&format!(
                "{:<30} {hours:>5} h {total:>6.2} s in all, most {most:.2} s: {place}",
                dashboard.uid
            ));
            let shown = if range_days.is_none() { panels } else { costs };
            dear.extend(shown.into_iter().filter(|(_, seconds)| *seconds > GOAL));
        }
    }
    if dear.is_empty() { Ok(()) } else { Err(format!("above {GOAL} s: {dear:?}").into()) }
}

/// The range that a dashboard opens with, in milliseconds.
fn opens_with(dashboard: &Dashboard) -> u64 {
    let from = word(&dashboard.json["time"]["from"]).trim_start_matches("now-");
    let (number, unit) = from.split_at(from.len().saturating_sub(1));
    let number: u64 = number.parse().expect("a number of hours or days");
    number * if unit == "h" { DAY_MS / 24 } else { DAY_MS }
}

/// What the queries of each panel take together.
fn by_panel(costs: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let mut panels = BTreeMap::new();
    for (place, seconds) in costs {
        let panel = place.rsplit_once(" / ").map_or(place.as_str(), |(panel, _)| panel);
        *panels.entry(panel.to_owned()).or_default() += seconds;
    }
    panels
}

/// The series of so many jobs that there are at least two hundred, each with its last value.
fn chosen_series(page: &str) -> Vec<(String, f64)> {
    let lines = crate::blocks::scraped(page, "openclaw-usage", "office");
    let parsed = lines.iter().filter_map(|line| line.rsplit_once(' '));
    let all: Vec<(String, f64)> =
        parsed.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect();
    let job = |series: &str| {
        let (_, rest) = series.split_once("openclaw_job_id=\"")?;
        rest.split('"').next().map(str::to_owned)
    };
    let mut taken: Vec<(String, f64)> = Vec::new();
    let mut jobs: Vec<String> = all.iter().filter_map(|(series, _)| job(series)).collect();
    jobs.dedup();
    let mut seen = std::collections::BTreeSet::new();
    jobs.retain(|job| seen.insert(job.clone()));
    taken.extend(all.iter().filter(|(series, _)| job(series).is_none()).cloned());
    for one in jobs {
        if taken.len() >= SERIES {
            break;
        }
        taken.extend(all.iter().filter(|(series, _)| job(series).as_ref() == Some(&one)).cloned());
    }
    taken
}

/// Counters grow to forty-five times what two days brought, hour by hour; all else stays as it is.
fn fill(mut blocks: Blocks, series: &[(String, f64)], end: i64) -> std::io::Result<u64> {
    let hours = i64::try_from(DAYS * 24).unwrap_or(0);
    for hour in 0..hours {
        let lines: Vec<String> = series
            .iter()
            .map(|(series, last)| {
                let name = series.split('{').next().unwrap_or_default();
                let grows = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
                #[expect(clippy::cast_precision_loss, reason = "hours of a quarter")]
                let value =
                    if grows { (last * 45.0 * (hour + 1) as f64 / hours as f64).floor() } else { *last };
                format!("{series} {value}")
            })
            .collect();
        let from = end - (hours - hour) * 3_600_000;
        blocks.add(&lines, (from + SCRAPE_MS..=from + 3_600_000).step_by(15_000))?;
    }
    blocks.finish()
}

/// Seconds of each query, annotation and variable of a dashboard, one after another.
fn ask(server: &Prometheus, dashboard: &Dashboard, end: u64, range_ms: u64) -> BTreeMap<String, f64> {
    let mut filling = Filling::default();
    let mut costs = BTreeMap::new();
    for variable in dashboard.variables() {
        let place = format!("variable {}", word(&variable["name"]));
        let (values, seconds) = values(server, variable, &filling, (end, range_ms));
        filling.set(word(&variable["name"]), chosen(variable, &values));
        costs.insert(place, seconds);
    }
    for query in dashboard.asked(range_ms, own_range) {
        let expr = http::escape(&filling.fill_over(&query.expr, query.interval_ms, query.range_ms));
        let whole = |ms: u64| ms / query.interval_ms * query.interval_ms / 1_000;
        let target = match query.way {
            Way::Instant => format!("/api/v1/query?query={expr}&time={}", end / 1_000),
            Way::Range => format!(
                "/api/v1/query_range?query={expr}&start={}&end={}&step={}",
                whole(end - query.range_ms),
                whole(end),
                query.interval_ms / 1_000
            ),
            Way::Counts | Way::Lines => continue,
        };
        let (_, seconds) = timed(server, &target);
        costs.insert(query.place, seconds);
    }
    costs
}

/// The range that a panel keeps whatever is chosen, in milliseconds.
fn own_range(panel: &Value) -> Option<u64> {
    match word(&panel["timeFrom"]) {
        "" => None,
        "now/d" => Some(DAY_MS),
        "now/M" => Some(30 * DAY_MS),
        days => days.strip_suffix('d')?.parse::<u64>().ok().map(|days| days * DAY_MS),
    }
}

fn values(
    server: &Prometheus,
    variable: &Value,
    filling: &Filling,
    (end, range_ms): (u64, u64),
) -> (Vec<String>, f64) {
    if variable["type"] == "custom" {
        return (list(&variable["options"]).map(|option| word(&option["value"]).to_owned()).collect(), 0.0);
    }
    let (target, label) = match asked(variable) {
        Asked::LabelValues(series, label) => {
            let series = http::escape(&filling.fill(series, 0));
            let window = format!("start={}&end={}", (end - range_ms) / 1_000, end / 1_000);
            (format!("/api/v1/label/{label}/values?match[]={series}&{window}"), "")
        }
        Asked::QueryResult(query) => {
            let query = http::escape(&filling.fill_over(query, 0, range_ms));
            (format!("/api/v1/query?query={query}&time={}", end / 1_000), "openclaw_job_id")
        }
    };
    let (data, seconds) = timed(server, &target);
    let found = match data.as_array() {
        Some(values) => values.iter().map(|value| word(value).to_owned()).collect(),
        None => list(&data["result"]).map(|one| word(&one["metric"][label]).to_owned()).collect(),
    };
    (found, seconds)
}

/// The answer, and the median of the processor time that it took the server, in seconds.
fn timed(server: &Prometheus, target: &str) -> (Value, f64) {
    let mut answer = Value::Null;
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = spent(server);
            let response = http::get(server.address(), target).expect("an answer of Prometheus");
            let seconds = spent(server) - begin;
            assert_eq!(response.status, 200, "GET {target}: {}", response.text());
            answer = serde_json::from_slice::<Value>(&response.body).expect("JSON")["data"].take();
            seconds
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (answer, took[ROUNDS / 2])
}

/// The processor time of a server's threads so far, in seconds.
fn spent(server: &Prometheus) -> f64 {
    let threads = fs::read_dir(process_of(server).join("task")).expect("threads of Prometheus");
    let nanos = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    std::time::Duration::from_nanos(nanos.sum()).as_secs_f64()
}

/// Its folder in `/proc`: each server has an address of its own, which is one of its arguments.
fn process_of(server: &Prometheus) -> PathBuf {
    let own = format!("--web.listen-address={}:", server.address().ip());
    let processes = fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        let arguments = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&own)
    };
    processes.into_iter().find(is_it).expect("the process of Prometheus")
}
