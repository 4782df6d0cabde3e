//! Samples and fake servers for the module's tests.

pub(crate) mod fake;
mod grpc;
mod http;
mod probe;
mod push;
mod task;
mod tls;

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use crate::config::{Compression, EndpointConfig, Headers, Protocol};
use crate::export::{Feed, Persist};
use crate::model::{EndpointState, UnixMs};
use crate::telemetry::catalogue::{self, key};
use crate::telemetry::{EndpointStats, Point, Resource, SeriesFacts, Snapshot, Value};

/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: UnixMs = UnixMs(1_700_000_000_000);

pub(crate) fn resource() -> Resource {
    Resource {
        service_name: "openclaw-usage".into(),
        service_namespace: None,
        service_instance_id: "test".into(),
    }
}

pub(crate) fn config(url: impl Into<String>, protocol: Protocol) -> EndpointConfig {
    EndpointConfig {
        name: "test".into(),
        url: url.into(),
        protocol,
        headers: Headers(Vec::new()),
        compression: Compression::Gzip,
        timeout_ms: 10_000,
        interval_ms: 15_000,
        ca_file: None,
        client_cert_file: None,
        client_key_file: None,
    }
}

pub(crate) fn state() -> EndpointState {
    EndpointState {
        name: "test".into(),
        registered_seq: 0,
        introduced_seq: 0,
        pending_zero: None,
        last_stamp: UnixMs::default(),
    }
}

pub(crate) fn counter(job: &str, series: SeriesFacts, total: u64) -> Point {
    Point {
        metric: &catalogue::TOKENS,
        shared: Arc::from([(key::JOB_ID, job.to_owned())]),
        own: [Some((key::TOKEN, "input")), None],
        value: Value::Counter(total),
        series: Some(series),
    }
}

pub(crate) fn gauge(job: &str, value: f64) -> Point {
    Point {
        metric: &catalogue::JOB_INFO,
        shared: Arc::from([(key::JOB_ID, job.to_owned())]),
        own: [None, None],
        value: Value::Gauge(value),
        series: None,
    }
}

pub(crate) fn process_counter(total: u64) -> Point {
    Point {
        metric: &catalogue::CLOCK_STEPS,
        shared: Arc::from([]),
        own: [None, None],
        value: Value::Counter(total),
        series: None,
    }
}

/// A snapshot of these points, whose newest series is the newest of them.
pub(crate) fn snapshot(points: impl IntoIterator<Item = Point>) -> Snapshot {
    let points: Vec<Point> = points.into_iter().collect();
    let series = || points.iter().filter_map(|point| point.series);
    Snapshot {
        revision: series().map(|series| series.revision).max().unwrap_or(0),
        newest_seq: series().map(|series| series.seq).max().unwrap_or(0),
        process_start: NOW,
        points,
    }
}

/// A ledger in memory, a clock and totals that a test can set.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) now: Arc<Mutex<UnixMs>>,
    pub(crate) snapshot: Arc<Mutex<Snapshot>>,
    pub(crate) stored: Arc<Mutex<Vec<EndpointState>>>,
    pub(crate) ledger_works: Arc<Mutex<bool>>,
    pub(crate) stats: Arc<Mutex<EndpointStats>>,
    pub(crate) revision: watch::Sender<u64>,
}

impl World {
    /// Must be called within a runtime: the ledger is a task.
    pub(crate) fn new(snapshot: Snapshot) -> (Self, Feed) {
        let (persist, mut requests) = mpsc::channel::<Persist>(4);
        let (revision, changed) = watch::channel(snapshot.revision);
        let world = Self {
            now: Arc::new(Mutex::new(NOW)),
            snapshot: Arc::new(Mutex::new(snapshot)),
            stored: Arc::default(),
            ledger_works: Arc::new(Mutex::new(true)),
            stats: Arc::default(),
            revision,
        };
        let (stored, works) = (Arc::clone(&world.stored), Arc::clone(&world.ledger_works));
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let works = *works.lock().expect("no panic");
                if works {
                    stored.lock().expect("no panic").push(request.state);
                }
                let _ = request.done.send(works);
            }
        });
        let (totals, clock) = (Arc::clone(&world.snapshot), Arc::clone(&world.now));
        let feed = Feed {
            snapshot: Arc::new(move |_| totals.lock().expect("no panic").clone()),
            changed,
            persist,
            stats: Arc::clone(&world.stats),
            now: Arc::new(move || *clock.lock().expect("no panic")),
            resource: resource(),
        };
        (world, feed)
    }

    pub(crate) fn set(&self, snapshot: Snapshot) {
        let revision = snapshot.revision;
        *self.snapshot.lock().expect("no panic") = snapshot;
        self.revision.send_replace(revision);
    }

    pub(crate) fn pass(&self, ms: i64) {
        let mut now = self.now.lock().expect("no panic");
        *now = now.plus(ms);
    }

    pub(crate) fn last_stored(&self) -> EndpointState {
        self.stored.lock().expect("no panic").last().expect("something was stored").clone()
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        self.stats.lock().expect("no panic").clone()
    }
}
