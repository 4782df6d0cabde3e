//! A gateway, minute by minute of simulated time: what a scrape of each minute would have shown, and what the committed rules,
//! in Prometheus's own engine, make of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use openclaw_usage::demo::{Gateway, Incident, Options};
use openclaw_usage::ledger::{Ledger, OpenOptions};
use openclaw_usage::model::UnixMs;
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::text::{Format, render};
use openclaw_usage::telemetry::{ProcessState, SnapshotBuilder, SourceState};
use tempfile::TempDir;

use crate::common::samples::{Samples, Series};
use crate::common::servers::{Version, promtool};

const MINUTE: i64 = 60_000;
const START: UnixMs = UnixMs(1_771_300_800_000);
/// How long a gateway is healthy before something goes wrong, in minutes, and how long it is looked at after that.
const BEFORE: usize = 30;
const AFTER: usize = 12;

/// An expression, the minute at which it is asked, and the alerts and values that answer it.
type Question<'a> = (usize, String, &'a [(&'a str, usize)]);

struct Film {
    gateway: Gateway,
    collector: Collector,
    ledger: Ledger,
    builder: SnapshotBuilder,
    now: UnixMs,
    minutes: usize,
    series: BTreeMap<Series, Vec<Option<f64>>>,
    rules: String,
    folder: TempDir,
}

/// Where the committed rules are.
fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/prometheus")
}

impl Film {
    fn of(seed: u64) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let state = folder.path().join("state");
        let options = Options { seed, start: START, ..Options::healthy() };
        let gateway = Gateway::new(&state, options).expect("a simulated gateway");
        let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
        let ledger =
            Ledger::open(&folder.path().join("ledger.sqlite"), &options, START).expect("a ledger").ledger;
        Self {
            collector: Collector::new(&state, None),
            builder: SnapshotBuilder::default(),
            now: START,
            minutes: 0,
            series: BTreeMap::new(),
            gateway,
            ledger,
            rules: ["recording.yaml", "alerts.yaml"]
                .map(|file| fs::read_to_string(rules().join(file)).expect("a file of rules"))
                .concat(),
            folder,
        }
    }

    /// Lets so many minutes pass, and takes down each of them.
    fn shoot(&mut self, minutes: usize) {
        for _ in 0..minutes {
            self.gateway.step(self.now).expect("a step of the simulated gateway");
            self.collector.sweep(&mut self.ledger, self.now).expect("a sweep");
            for (series, value) in self.page().0 {
                let values = self.series.entry(series).or_default();
                values.resize(self.minutes, None);
                values.push(Some(value));
            }
            self.minutes += 1;
            self.now = self.now.plus(MINUTE);
        }
    }

    /// What `/metrics` would say now; of its many series those that a rule names.
    fn page(&mut self) -> Samples {
        let health = self.collector.health(&self.ledger, self.now);
        let sources = health.sources.iter().map(|(name, up)| SourceState { name, up: *up, watch: None });
        let process = ProcessState {
            start: START,
            sources: sources.collect(),
            overdue_jobs: health.overdue_jobs,
            ledger_writable: true,
            config_in_force: true,
            config_loaded: START,
            ..ProcessState::default()
        };
        let totals = self.ledger.totals();
        let totals = totals.lock().expect("totals");
        let page = render(&self.builder.build(&totals, &process, self.now), Format::Classic);
        let is_named =
            |line: &&str| line.split(['{', ' ']).next().is_some_and(|name| self.rules.contains(name));
        Samples::parse(&page.lines().filter(is_named).collect::<Vec<_>>().join("\n"))
    }

    /// Asks Prometheus's engine, which evaluates the committed rules each minute from 1970 on. Panics unless the answers
    /// to these expressions, at these minutes, are those samples.
    fn assert(&self, questions: &[Question<'_>]) {
        let rules = rules();
        let mut text = format!(
            "rule_files: ['{0}/recording.yaml', '{0}/alerts.yaml']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n",
            rules.display()
        );
        for (series, values) in &self.series {
            _ = writeln!(text, "      - series: {}", quoted(&name(series)));
            _ = writeln!(text, "        values: '{}'", self.values(&series.0, values));
        }
        text.push_str("    promql_expr_test:\n");
        for (minute, expression, samples) in questions {
            _ = writeln!(text, "      - expr: {}\n        eval_time: {minute}m", quoted(expression));
            text.push_str("        exp_samples:\n");
            for (alert, value) in *samples {
                _ = writeln!(
                    text,
                    "          - labels: '{{alertname=\"{alert}\"}}'\n            value: {value}"
                );
            }
            if samples.is_empty() {
                text.truncate(text.trim_end().len());
                text.push_str(" []\n");
            }
        }
        let path = self.folder.path().join("film.yaml");
        fs::write(&path, text).expect("write a test of rules");
        let path = path.to_str().expect("a path in UTF-8");
        let (status, said) = promtool(Version::V3, self.folder.path(), &["test", "rules", path]);
        assert!(status.success() && said.contains("SUCCESS"), "{said:.4000}");
    }

    /// The values of a series as promtool takes them. Its clock begins at 1970, so times are told from there.
    fn values(&self, name: &str, values: &[Option<f64>]) -> String {
        let is_time = name.ends_with("_timestamp_seconds");
        #[expect(clippy::cast_precision_loss, reason = "a time of this century in seconds")]
        let origin = if is_time { START.0 as f64 / 1000.0 } else { 0.0 };
        let mut words = Vec::with_capacity(self.minutes);
        let mut there = false;
        for minute in 0..self.minutes {
            let value = values.get(minute).copied().flatten();
            words.push(match value {
                Some(value) => format!("{}", value - origin),
                // What a scrape no longer has is over at once.
                None if there => "stale".to_owned(),
                None => "_".to_owned(),
            });
            there = value.is_some();
        }
        words.join(" ")
    }
}

/// A series with the labels that a scrape gives it.
fn name((name, labels): &Series) -> String {
    let mut text = format!("{name}{{job=\"openclaw-usage\",instance=\"demo\"");
    for (key, value) in labels {
        _ = write!(text, ",{key}={}", serde_json::Value::from(value.as_str()));
    }
    text + "}"
}

/// A string in YAML.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// How many minutes of the last hours alerts were in that state, the longest of each.
fn minutes(state: &str, window: &str) -> String {
    format!("max by (alertname) (count_over_time(ALERTS{{alertstate=\"{state}\"}}[{window}]))")
}

/// The `for` of an alert, in minutes.
fn holds(alert: &str) -> usize {
    let text = fs::read_to_string(rules().join("alerts.yaml")).expect("the alerts");
    let (_, rest) = text.split_once(&format!("- alert: {alert}\n")).expect("an alert of that name");
    let (_, rest) = rest.split_once("\n        for: ").expect("its `for`");
    let (minutes, _) = rest.split_once("m\n").expect("minutes");
    minutes.parse().expect("a number of minutes")
}

#[test]
fn ten_healthy_hours_fire_nothing() {
    let mut film = Film::of(21);
    film.shoot(600);
    assert!(film.gateway.bill().runs() > 1_000, "{}", film.gateway.bill().runs());
    let dollars = film.page().sum("openclaw_cost_usd_total", &[]);
    assert!(dollars > 5.0, "{dollars}");
    film.assert(&[(599, minutes("firing", "10h"), &[])]);
}

/// Each incident is told of by its own alert alone, nothing is told before, and it fires as soon as the cause has lasted for
/// the alert's `for`: as many evaluations lie between.
#[test]
fn each_incident_fires_its_alert_within_its_for() {
    for incident in Incident::ALL {
        let mut film = Film::of(22);
        film.shoot(BEFORE);
        film.gateway.suffer(incident, film.now).expect("an incident");
        film.shoot(AFTER);
        let alert = incident.alert();
        let last = BEFORE + AFTER - 1;
        let ever =
            "count by (alertname) (count by (alertname) (last_over_time(ALERTS{alertstate=\"firing\"}[1h])))";
        let waited = format!(
            "max by (alertname) (count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"pending\"}}[1h]))"
        );
        film.assert(&[
            (BEFORE - 1, minutes("firing", "1h"), &[]),
            (last, ever.to_owned(), &[(alert, 1)]),
            (last, waited, &[(alert, holds(alert))]),
        ]);
    }
}
