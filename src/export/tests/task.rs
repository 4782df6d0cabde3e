//! The task of an endpoint in paused time, with a transport in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::fake::{Arrived, points};
use super::{World, config, counter, gauge, snapshot, state};
use crate::config::Protocol;
use crate::export::endpoint::run_with;
use crate::export::outcome::Outcome;
use crate::export::transport::Deliver;
use crate::model::UnixMs;
use crate::telemetry::{ExportFailure, SeriesFacts, Snapshot};

/// When it came, and its points.
type Request = (Instant, Vec<Arrived>);
type Rule = dyn Fn(usize) -> Option<Outcome> + Send + Sync;

/// Answers by the number of the request, from 0; `None` never answers.
#[derive(Clone)]
struct Memory {
    rule: Arc<Rule>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Deliver for Memory {
    async fn deliver(&self, request: ExportMetricsServiceRequest, _: UnixMs) -> Outcome {
        let number = {
            let mut requests = self.requests.lock().expect("no panic");
            requests.push((Instant::now(), points(&request)));
            requests.len() - 1
        };
        match (self.rule)(number) {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }
}

struct Task {
    began: Instant,
    world: World,
    memory: Memory,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Task {
    fn start(totals: Snapshot, rule: impl Fn(usize) -> Option<Outcome> + Send + Sync + 'static) -> Self {
        let (world, feed) = World::new(totals);
        let memory = Memory { rule: Arc::new(rule), requests: Arc::default() };
        let (stop, shutdown) = watch::channel(false);
        let transport = memory.clone();
        let config = config("http://unused/", Protocol::Http);
        let task = tokio::spawn(async move { run_with(&config, feed, state(), shutdown, transport).await });
        Self { began: Instant::now(), world, memory, stop, task }
    }

    /// When each request came, in milliseconds since the start, and its points.
    fn requests(&self) -> Vec<(u128, Vec<Arrived>)> {
        let requests = self.memory.requests.lock().expect("no panic");
        requests.iter().map(|(at, points)| ((*at - self.began).as_millis(), points.clone())).collect()
    }

    fn times(&self) -> Vec<u128> {
        self.requests().into_iter().map(|(at, _)| at).collect()
    }

    async fn pass(&self, ms: u64) {
        sleep(Duration::from_millis(ms)).await;
    }
}

fn totals(revision: u64) -> Snapshot {
    let series = |seq, revision| SeriesFacts { seq, start: UnixMs(0), live: false, revision };
    snapshot([
        counter("still", series(1, 1), 1),
        counter("busy", series(2, revision), revision),
        gauge("still", 1.0),
    ])
}

fn retry(after_ms: Option<u64>) -> Outcome {
    Outcome::Retry { after_ms, failure: ExportFailure::Unavailable, message: "HTTP 503".into() }
}

#[tokio::test(start_paused = true)]
async fn everything_is_pushed_at_once_and_every_interval() {
    let task = Task::start(totals(1), |_| Some(Outcome::Taken));
    task.pass(46_000).await;
    assert_eq!(task.times(), [0, 15_000, 30_000, 45_000]);
    assert!(task.requests().iter().all(|(_, points)| points.len() == 3));
}

#[tokio::test(start_paused = true)]
async fn changes_follow_within_a_quarter_second_and_never_faster() {
    let task = Task::start(totals(1), |_| Some(Outcome::Taken));
    task.pass(5_000).await;
    task.world.set(totals(2));
    task.pass(1_000).await;
    for revision in 3..=102 {
        task.world.set(totals(revision));
        task.pass(10).await;
    }
    task.pass(5_000).await;
    assert_eq!(task.times(), [0, 5_000, 6_000, 6_250, 6_500, 6_750, 7_000]);
    let requests = task.requests();
    assert!(requests[1..].iter().all(|(_, points)| points.len() == 1 && points[0].job == "busy"));
    assert_eq!(requests.last().map(|(_, points)| points[0].value), Some(102));
    task.pass(5_000).await;
    assert_eq!(task.times().last(), Some(&15_000), "changes do not put off the full push");
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_asked_ever_more_rarely_and_then_gets_all() {
    let task = Task::start(totals(1), |number| Some(if number < 12 { retry(None) } else { Outcome::Taken }));
    for revision in 2..=3_000 {
        task.world.set(totals(revision));
        task.pass(250).await;
    }
    let requests = task.requests();
    let (before, after) = requests.split_at(13);
    let gaps: Vec<u128> = before.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for (number, gap) in gaps.iter().enumerate() {
        let ceiling = (1_000_u128 << number.min(6)).min(60_000);
        assert!((250..=ceiling + 1).contains(gap), "wait {number} of {gaps:?}");
    }
    assert!(before.iter().all(|(_, points)| points.len() == 3), "each attempt is a full, fresh snapshot");
    assert_eq!(after.first().map(|(_, points)| points.len()), Some(1), "then changes flow again");
    let stats = task.world.stats();
    assert_eq!(stats.failures[&ExportFailure::Unavailable], 12);
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_a_server_asks_for_is_kept() {
    let task =
        Task::start(totals(1), |number| Some(if number == 0 { retry(Some(40_000)) } else { Outcome::Taken }));
    task.pass(1_000).await;
    task.world.set(totals(2));
    task.pass(40_000).await;
    assert_eq!(task.times(), [0, 40_000]);
}

#[tokio::test(start_paused = true)]
async fn refused_series_do_not_make_every_change_costly() {
    let task = Task::start(totals(1), |number| {
        Some(if number == 0 {
            Outcome::Taken
        } else {
            Outcome::Refuse { failure: ExportFailure::Refused, message: "HTTP 400".into() }
        })
    });
    task.pass(1_000).await;
    for revision in 2..=40 {
        task.world.set(totals(revision));
        task.pass(300).await;
    }
    assert_eq!(task.times(), [0, 1_000], "after one refused change, changes wait for the full push");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_holds_nothing_else_up_and_ends_in_time() {
    let hanging = Task::start(totals(1), |_| None);
    let working = Task::start(totals(1), |_| Some(Outcome::Taken));
    working.pass(46_000).await;
    assert_eq!(working.times().len(), 4);
    assert_eq!(hanging.times().len(), 1);

    let asked = Instant::now();
    hanging.stop.send_replace(true);
    timeout(Duration::from_secs(10), hanging.task).await.expect("it must end").expect("without panic");
    assert_eq!(asked.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_the_newest_totals_are_pushed_once_more() {
    for failing in [false, true] {
        let task = Task::start(totals(1), move |number| {
            Some(if failing && number == 0 { retry(Some(600_000)) } else { Outcome::Taken })
        });
        task.pass(100).await;
        *task.world.snapshot.lock().expect("no panic") = totals(9);
        task.stop.send_replace(true);
        let world = task.world.clone();
        let requests = Arc::clone(&task.memory.requests);
        timeout(Duration::from_secs(1), task.task).await.expect("it must end").expect("without panic");
        let requests = requests.lock().expect("no panic");
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[1].1.len(), requests[1].1[1].value), (3, 9));
        assert!(world.stats().last_success.is_some());
    }
}
