//! Totals to points.

use std::collections::HashSet;
use std::sync::Arc;

use super::catalogue::{self as metrics, Metric, key};
use super::process::{BudgetState, ProcessState};
use super::snapshot::{HistogramValue, Point, SeriesFacts, SharedAttributes, Snapshot, Value};
use crate::ledger::{
    CONTEXT_BOUNDS, DURATION_BOUNDS_MS, JobFacts, JobLabel, Labels, Outcome, RUN_TOKENS_BOUNDS, Series,
    SeriesKind, Totals,
};
use crate::model::{CostProvenance, DropReason, NanoUsd, RejectReason, TokenKind, UnixMs, UsageProvenance};

/// After this long a series to which nothing happened is not sent any more, if its job is gone: seven days in
/// milliseconds. One whose job is still there is always sent, since its next run, were it a month away, would else be the
/// first value that a server sees, and a first value is no growth.
const IDLE_MS: i64 = 7 * 86_400_000;

/// Builds snapshots; remembers the attributes of label sets, which never change.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    attributes: Vec<SharedAttributes>,
}

impl SnapshotBuilder {
    /// Returns all points of this moment. A pure function of its arguments.
    pub fn build(&mut self, totals: &Totals, process: &ProcessState, now: UnixMs) -> Snapshot {
        let known = self.attributes.len();
        self.attributes.extend(totals.labels[known..].iter().map(|labels| attributes(labels)));
        let mut families: [Vec<Point>; SERIES_FAMILIES.len()] = Default::default();
        let mut idle = 0;
        // Under their own ids: what several jobs share belongs to none that could go.
        let gone = totals.jobs.iter().filter(|job| totals.is_gone(job));
        let gone: HashSet<&str> = gone.map(|job| job.job_id.as_str()).collect();
        let is_gone = |labels: &Labels| labels.gateway.is_empty() && gone.contains(labels.job_id.as_str());
        for series in &totals.series {
            if now.since(series.changed) > IDLE_MS && is_gone(&totals.labels[series.labels]) {
                idle += 1;
                continue;
            }
            let point = self.series_point(series);
            let family = SERIES_FAMILIES.iter().position(|metric| std::ptr::eq(*metric, point.metric));
            families[family.unwrap_or(0)].push(point);
        }
        let mut points: Vec<Point> = families.into_iter().flatten().collect();
        job_points(totals, now, &mut points);
        Own { points: &mut points, totals }.all(process, idle, now);
        Snapshot {
            points,
            revision: totals.revision,
            newest_seq: totals.newest_seq(),
            process_start: process.start,
        }
    }

    fn series_point(&self, series: &Series) -> Point {
        let (metric, own, value) = match series.kind {
            SeriesKind::Tokens(kind) => (
                &metrics::TOKENS,
                [Some((key::TOKEN, kind.as_str())), None],
                Value::Counter(series.exported_total),
            ),
            SeriesKind::Runs(status, reason) => (
                &metrics::RUNS,
                [Some((key::STATUS, status.as_str())), Some((key::REASON, reason.as_str()))],
                Value::Counter(series.exported_total),
            ),
            SeriesKind::Deliveries(outcome) => (
                &metrics::WEBHOOK_DELIVERIES,
                [Some((key::OUTCOME, outcome.as_str())), None],
                Value::Counter(series.exported_total),
            ),
            SeriesKind::Wasted(status, kind) => (
                &metrics::WASTED_TOKENS,
                [Some((key::STATUS, status.as_str())), Some((key::TOKEN, kind.as_str()))],
                Value::Counter(series.exported_total),
            ),
            SeriesKind::Cost(billing) => (
                &metrics::COST,
                [Some((key::BILLING, billing.as_str())), None],
                Value::Nano(series.exported_total),
            ),
            SeriesKind::WastedCost(status) => (
                &metrics::WASTED_COST,
                [Some((key::STATUS, status.as_str())), None],
                Value::Nano(series.exported_total),
            ),
            SeriesKind::Unpriced => {
                (&metrics::UNPRICED_TOKENS, [None, None], Value::Gauge(to_f64(series.true_total)))
            }
            SeriesKind::Duration => {
                (&metrics::RUN_DURATION, [None, None], histogram(series, &DURATION_BOUNDS_MS))
            }
            SeriesKind::Context(kind) => (
                &metrics::CONTEXT,
                [Some((key::CONTEXT, kind.as_str())), None],
                histogram(series, &CONTEXT_BOUNDS),
            ),
            SeriesKind::RunTokens => {
                (&metrics::RUN_TOKENS, [None, None], histogram(series, &RUN_TOKENS_BOUNDS))
            }
        };
        Point {
            metric,
            shared: Arc::clone(&self.attributes[series.labels]),
            own,
            value,
            // A gauge has no start, and no zero before it.
            series: (series.kind != SeriesKind::Unpriced).then_some(SeriesFacts {
                seq: series.seq,
                start: series.start,
                live: series.live,
                revision: series.revision,
            }),
        }
    }
}

/// The families whose points are series of the ledger, in the order of the catalogue.
static SERIES_FAMILIES: [&Metric; 10] = [
    &metrics::TOKENS,
    &metrics::COST,
    &metrics::RUN_DURATION,
    &metrics::CONTEXT,
    &metrics::RUN_TOKENS,
    &metrics::RUNS,
    &metrics::WEBHOOK_DELIVERIES,
    &metrics::WASTED_TOKENS,
    &metrics::WASTED_COST,
    &metrics::UNPRICED_TOKENS,
];

fn histogram(series: &Series, bounds: &'static [u64]) -> Value {
    let counts = series.histogram.as_ref().map_or_else(Vec::new, |h| h.exported.to_vec());
    Value::Histogram(HistogramValue { bounds, counts, sum: series.exported_total })
}

/// Returns the attributes that all series of a label set share.
#[must_use]
pub fn attributes(labels: &Labels) -> SharedAttributes {
    [
        (key::INSTANCE, labels.gateway.as_str()),
        (key::CHANNEL, "cron"),
        (key::AGENT, labels.agent.as_str()),
        (key::PROVIDER, labels.provider.as_str()),
        (key::MODEL, labels.model.as_str()),
        (key::JOB_ID, labels.job_id.as_str()),
        (key::JOB_NAME, labels.job_name.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key, value.to_owned()))
    .collect()
}

type JobValue<'a> = &'a dyn Fn(&JobFacts) -> Option<f64>;

/// Appends the gauges of every job that appears under its own id and is defined or ran lately.
fn job_points(totals: &Totals, now: UnixMs, points: &mut Vec<Point>) {
    let recent = |job: &JobFacts| job.last_run.is_some_and(|at| now.since(at) <= IDLE_MS);
    let shown: Vec<(&JobFacts, SharedAttributes)> = totals
        .jobs
        .iter()
        .filter(|job| job.label == JobLabel::Own && (!totals.is_gone(job) || recent(job)))
        .map(|job| (job, job_attributes(job)))
        .collect();
    let seconds = |at: Option<UnixMs>| at.map(UnixMs::as_unix_seconds);
    #[expect(clippy::cast_precision_loss, reason = "a streak stays far below 2^53")]
    let families: [(&'static Metric, JobValue<'_>); 5] = [
        (&metrics::JOB_LAST_RUN, &|job| seconds(job.last_run)),
        (&metrics::JOB_LAST_SUCCESS, &|job| seconds(job.last_success)),
        (&metrics::JOB_NEXT_RUN, &|job| seconds(job.next_run.filter(|_| job.defined && job.enabled))),
        (&metrics::JOB_CONSECUTIVE_ERRORS, &|job| Some(job.consecutive_errors as f64)),
        (&metrics::JOB_INFO, &|job| job.defined.then_some(1.0)),
    ];
    for (metric, value) in families {
        points.extend(shown.iter().filter_map(|(job, attributes)| {
            Some(gauge(metric, Arc::clone(attributes), [None, None], value(job)?))
        }));
    }
}

fn job_attributes(job: &JobFacts) -> SharedAttributes {
    [
        (key::INSTANCE, job.gateway.as_str()),
        (key::CHANNEL, "cron"),
        (key::AGENT, job.agent.as_deref().unwrap_or_default()),
        (key::JOB_ID, job.job_id.as_str()),
        (key::JOB_NAME, job.name.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key, value.to_owned()))
    .collect()
}

fn gauge(
    metric: &'static Metric,
    shared: SharedAttributes,
    own: [Option<(&'static str, &'static str)>; 2],
    value: f64,
) -> Point {
    Point { metric, shared, own, value: Value::Gauge(value), series: None }
}

/// Appends what the program says of itself.
struct Own<'a> {
    points: &'a mut Vec<Point>,
    totals: &'a Totals,
}

impl Own<'_> {
    fn all(&mut self, process: &ProcessState, idle: u64, now: UnixMs) {
        self.sources(process);
        self.counts();
        let totals = self.totals;
        let over = totals.jobs.iter().filter(|job| job.label == JobLabel::Other).count() as u64;
        self.plain(&metrics::COUNTER_EXCESS, totals.excess());
        let usd = to_f64(totals.excess_nano_usd()) / 1e9;
        self.points.push(gauge(&metrics::COUNTER_EXCESS_USD, none(), [None, None], usd));
        self.plain(&metrics::SERIES, totals.series.len() as u64);
        self.plain(&metrics::SERIES_IDLE, idle);
        self.plain(&metrics::JOBS_OVER_LIMIT, over);
        self.plain(&metrics::PRICES_PROBLEM, u64::from(process.prices_problem));
        self.plain(&metrics::JOBS_OVERDUE, process.overdue_jobs);
        self.plain(&metrics::LEDGER_SIZE, process.ledger_bytes);
        self.plain(&metrics::LEDGER_WRITABLE, u64::from(process.ledger_writable));
        self.budgets(process);
        self.prices(process);
        self.exports(process);
        self.webhook(process);
        self.footprint(process);
        self.events(process, now);
        self.relays(process, now);
        let version: SharedAttributes = Arc::new([(key::VERSION, env!("CARGO_PKG_VERSION").to_owned())]);
        self.points.push(gauge(&metrics::BUILD_INFO, version, [None, None], 1.0));
    }

    fn sources(&mut self, process: &ProcessState) {
        let facts = |name: &str| self.totals.counters.sources.get(name).copied().unwrap_or_default();
        let rows: Vec<_> = process
            .sources
            .iter()
            .map(|source| {
                let shared: SharedAttributes = Arc::new([(key::SOURCE, source.name.to_owned())]);
                (shared, source, facts(source.name))
            })
            .collect();
        for (shared, source, _) in &rows {
            self.points.push(gauge(
                &metrics::SOURCE_UP,
                Arc::clone(shared),
                [None, None],
                f64::from(source.up),
            ));
        }
        for (shared, _, facts) in &rows {
            let last = facts.last_record.map(UnixMs::as_unix_seconds);
            self.points.extend(
                last.map(|at| gauge(&metrics::SOURCE_LAST_RECORD, Arc::clone(shared), [None, None], at)),
            );
        }
        for (shared, _, facts) in &rows {
            self.counter(&metrics::SOURCE_GAPS, Arc::clone(shared), None, facts.gaps);
        }
        for (shared, source, _) in &rows {
            let watch = Some((key::WATCH, source.watch.unwrap_or("none")));
            self.points.push(gauge(&metrics::WATCH, Arc::clone(shared), [watch, None], 1.0));
        }
        for (shared, _, facts) in &rows {
            #[expect(clippy::cast_precision_loss, reason = "a lag stays far below 2^53 ms")]
            let lag = facts.lag_ms.map(|ms| ms as f64 / 1000.0);
            self.points
                .extend(lag.map(|lag| gauge(&metrics::INGEST_LAG, Arc::clone(shared), [None, None], lag)));
        }
    }

    /// Every value of a closed list is shown, also the zeros: an absent series could mean anything.
    fn counts(&mut self) {
        let counters = &self.totals.counters;
        for outcome in Outcome::ALL {
            let n = counters.outcomes.get(&outcome).copied().unwrap_or(0);
            self.counter(&metrics::RECORDS, none(), Some((key::OUTCOME, outcome.as_str())), n);
        }
        for reason in RejectReason::ALL {
            let n = counters.rejects.get(&reason).copied().unwrap_or(0);
            self.counter(&metrics::REJECTS, none(), Some((key::REASON, reason.as_str())), n);
        }
        for provenance in UsageProvenance::ALL {
            let n = counters.provenance.get(&provenance).copied().unwrap_or(0);
            let own = [Some((key::PROVENANCE, provenance.as_str())), None];
            self.points.push(gauge(&metrics::RUNS_BY_PROVENANCE, none(), own, to_f64(n)));
        }
        for provenance in CostProvenance::ALL.into_iter().filter(|known| *known >= CostProvenance::LowerBound)
        {
            let nano = counters.cost.get(&provenance).copied().unwrap_or(0);
            let own = [Some((key::PROVENANCE, provenance.as_str())), None];
            self.points.push(gauge(&metrics::COST_BY_PROVENANCE, none(), own, to_f64(nano) / 1e9));
        }
    }

    fn prices(&mut self, process: &ProcessState) {
        for price in &process.prices {
            let shared: SharedAttributes =
                Arc::new([(key::PROVIDER, price.provider.clone()), (key::MODEL, price.model.clone())]);
            for (kind, rate) in TokenKind::ALL.into_iter().zip(price.usd_per_million) {
                let own = [Some((key::TOKEN, kind.as_str())), None];
                self.points
                    .extend(rate.map(|rate| gauge(&metrics::PRICE, Arc::clone(&shared), own, rate.as_usd())));
            }
        }
    }

    fn footprint(&mut self, process: &ProcessState) {
        let at = |at: UnixMs| at.as_unix_seconds();
        self.plain(&metrics::CONFIG_LOADED, u64::from(process.config_in_force));
        for (metric, time) in
            [(&metrics::CONFIG_LOADED_AT, process.config_loaded), (&metrics::STARTED_AT, process.start)]
        {
            self.points.push(gauge(metric, none(), [None, None], at(time)));
        }
        self.points.push(Point {
            metric: &metrics::CPU_TIME,
            shared: none(),
            own: [None, None],
            value: Value::Nano(process.cpu_ns),
            series: None,
        });
        if let Some(bytes) = process.resident_bytes {
            self.plain(&metrics::MEMORY, bytes);
        }
    }

    fn budgets(&mut self, process: &ProcessState) {
        let rows: Vec<_> = process
            .budgets
            .iter()
            .map(|budget| -> (SharedAttributes, _) {
                (Arc::new([(key::BUDGET, budget.name.clone())]), budget)
            })
            .collect();
        type Amount = fn(&BudgetState) -> f64;
        let families: [(&'static Metric, Amount); 4] = [
            (&metrics::BUDGET_LIMIT, |budget| budget.limit.as_usd()),
            (&metrics::BUDGET_SPENT, |budget| budget.spent.as_usd()),
            (&metrics::BUDGET_REMAINING, |budget| {
                NanoUsd(budget.limit.0.saturating_sub(budget.spent.0)).as_usd()
            }),
            (&metrics::BUDGET_PROJECTED, |budget| budget.projected.as_usd()),
        ];
        for (metric, amount) in families {
            for (shared, budget) in &rows {
                let own = [Some((key::PERIOD, budget.period)), None];
                self.points.push(gauge(metric, Arc::clone(shared), own, amount(budget)));
            }
        }
    }

    fn exports(&mut self, process: &ProcessState) {
        let rows: Vec<_> = process
            .endpoints
            .iter()
            .map(|(name, stats)| {
                let shared: SharedAttributes = Arc::new([(key::ENDPOINT, name.clone())]);
                (shared, stats)
            })
            .collect();
        for (shared, stats) in &rows {
            self.own(&metrics::EXPORT_ATTEMPTS, Arc::clone(shared), None, stats.attempts);
        }
        for (shared, stats) in &rows {
            for (reason, n) in &stats.failures {
                let own = Some((key::REASON, reason.as_str()));
                self.own(&metrics::EXPORT_FAILURES, Arc::clone(shared), own, *n);
            }
        }
        for (shared, stats) in &rows {
            let dropped = to_f64(stats.dropped_series);
            self.points.push(gauge(&metrics::EXPORT_DROPPED, Arc::clone(shared), [None, None], dropped));
        }
        for (shared, stats) in &rows {
            let last = stats.last_success.map(UnixMs::as_unix_seconds);
            self.points.extend(
                last.map(|at| gauge(&metrics::EXPORT_LAST_SUCCESS, Arc::clone(shared), [None, None], at)),
            );
        }
        let steps = rows.iter().map(|(_, stats)| stats.clock_steps).max().unwrap_or(0);
        self.own(&metrics::CLOCK_STEPS, none(), None, steps);
    }

    /// Nothing without a sink. What a sink got and lost is durable; attempts and failures are the process's.
    fn events(&mut self, process: &ProcessState, now: UnixMs) {
        if process.sinks.is_empty() {
            return;
        }
        let outbox = &process.outbox;
        self.plain(&metrics::EVENTS_KEPT, outbox.size);
        let age_ms = outbox.oldest.map_or(0, |oldest| now.since(oldest).max(0));
        #[expect(clippy::cast_precision_loss, reason = "an age stays far below 2^53 ms")]
        self.points.push(gauge(&metrics::EVENTS_OLDEST, none(), [None, None], age_ms as f64 / 1000.0));
        let shared = |name: &str| -> SharedAttributes { Arc::new([(key::SINK, name.to_owned())]) };
        for sink in &outbox.sinks {
            self.counter(&metrics::EVENTS_DELIVERED, shared(&sink.name), None, sink.delivered);
        }
        for sink in &outbox.sinks {
            for (reason, dropped) in DropReason::ALL.into_iter().zip(sink.dropped) {
                let own = Some((key::REASON, reason.as_str()));
                self.counter(&metrics::EVENTS_DROPPED, shared(&sink.name), own, dropped);
            }
        }
        for (name, stats) in &process.sinks {
            self.own(&metrics::EVENTS_ATTEMPTS, shared(name), None, stats.attempts);
        }
        for (name, stats) in &process.sinks {
            for (reason, n) in &stats.failures {
                let own = Some((key::REASON, reason.as_str()));
                self.own(&metrics::EVENTS_FAILURES, shared(name), own, *n);
            }
        }
        for (name, stats) in &process.sinks {
            let last = stats.last_success.map(UnixMs::as_unix_seconds);
            self.points
                .extend(last.map(|at| gauge(&metrics::EVENTS_LAST_SUCCESS, shared(name), [None, None], at)));
        }
    }

    /// A counter of this process.
    fn own(
        &mut self,
        metric: &'static Metric,
        shared: SharedAttributes,
        own: Option<(&'static str, &'static str)>,
        value: u64,
    ) {
        let value = Value::Counter(value);
        self.points.push(Point { metric, shared, own: [own, None], value, series: None });
    }

    fn plain(&mut self, metric: &'static Metric, value: u64) {
        self.points.push(gauge(metric, none(), [None, None], to_f64(value)));
    }

    /// A durable counter: it starts with the ledger, and is never new to a server.
    fn counter(
        &mut self,
        metric: &'static Metric,
        shared: SharedAttributes,
        own: Option<(&'static str, &'static str)>,
        value: u64,
    ) {
        let facts = SeriesFacts { seq: 0, start: self.totals.created, live: false, revision: 0 };
        self.points.push(Point {
            metric,
            shared,
            own: [own, None],
            value: Value::Counter(value),
            series: Some(facts),
        });
    }
}

fn none() -> SharedAttributes {
    Arc::new([])
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes stay far below 2^53")]
const fn to_f64(n: u64) -> f64 {
    n as f64
}

mod relays;
mod webhook;

#[cfg(test)]
mod tests;
