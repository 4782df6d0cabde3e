//! Single pushes against a server that misbehaves. No timers: the tests decide when to push.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;

use super::fake::{FakeServer, Reply};
use super::{NOW, World, config, counter, snapshot, state};
use crate::config::{EndpointConfig, Protocol};
use crate::export::Feed;
use crate::export::bisect::{BUDGET, Halt};
use crate::export::push::{Pushed, Pusher};
use crate::export::transport::Renewing;
use crate::model::{EndpointState, UnixMs};
use crate::telemetry::{ExportFailure, Point, SeriesFacts};

const COMPLETE: Pushed = Pushed::Complete { costly: false };

fn pusher_with(config: EndpointConfig, feed: Feed, state: EndpointState) -> Pusher<Renewing> {
    Pusher::new(feed, state, config.interval_ms, Renewing::new(Arc::new(config)))
}

fn pusher(url: &str, feed: Feed, state: EndpointState) -> Pusher<Renewing> {
    pusher_with(config(url, Protocol::Http), feed, state)
}

fn live(seq: u64, age_ms: i64) -> SeriesFacts {
    SeriesFacts { seq, start: NOW.plus(-age_ms), live: true, revision: seq }
}

/// A series that needs no zero point.
fn old(seq: u64) -> SeriesFacts {
    SeriesFacts { live: false, ..live(seq, 15_000) }
}

fn many(count: u64) -> impl Iterator<Item = Point> {
    (1..=count).map(|seq| counter(&format!("job-{seq}"), old(seq), seq))
}

fn failed(pushed: Pushed) -> Halt {
    match pushed {
        Pushed::Failed(halt) => halt,
        other => panic!("must have failed: {other:?}"),
    }
}

fn nano_ms(at: UnixMs) -> u64 {
    at.as_unix_nano() / 1_000_000
}

#[tokio::test]
async fn one_refused_series_among_three_thousand_costs_only_itself() {
    let (world, feed) = World::new(snapshot(many(3_000)));
    let server = FakeServer::start(|seen| {
        if seen.points.iter().any(|point| point.job == "job-1717") {
            Reply::of(400, "out of order sample")
        } else {
            Reply::of(200, "")
        }
    })
    .await;
    let mut pusher = pusher(&server.url(), feed, state());
    for round in 1..=2 {
        server.seen.lock().expect("no panic").clear();
        assert_eq!(pusher.push(true).await, COMPLETE);
        let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
        for seen in server.seen() {
            assert!(seen.points.len() <= 1_000);
            if seen.points.iter().all(|point| point.job != "job-1717") {
                for point in seen.points {
                    *arrived.entry(point.job).or_default() += 1;
                }
            }
        }
        assert_eq!(arrived.len(), 2_999, "push {round}");
        assert!(arrived.values().all(|count| *count == 1), "push {round}");
        assert_eq!(world.stats().dropped_series, 1);
        assert_eq!(world.stats().last_success, Some(NOW));
    }
    assert!(world.stats().failures[&ExportFailure::Refused] > 0);
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_a_failing_one_and_not_hammered() {
    let (world, feed) = World::new(snapshot(many(3_000)));
    let server = FakeServer::start(|_| Reply::of(500, "too old sample")).await;
    let halt = failed(pusher(&server.url(), feed, state()).push(true).await);
    assert_eq!((halt.failure, halt.after_ms), (ExportFailure::Refused, Some(15_000)));
    assert!(halt.message.contains("too old sample"), "{}", halt.message);
    assert_eq!(server.seen().len(), 3 + usize::try_from(BUDGET).expect("small"));
    assert_eq!(world.stats().last_success, None);
    assert_eq!(world.stats().dropped_series, 3_000);
}

#[tokio::test]
async fn answers_that_ask_for_patience_end_the_push() {
    let throttled = Reply { retry_after: Some("7"), ..Reply::of(429, "slow down") };
    let hanging = Reply { hang: true, ..Reply::of(200, "") };
    for (reply, failure, after_ms) in [
        (throttled, ExportFailure::Throttled, Some(7_000)),
        (Reply::of(503, ""), ExportFailure::Unavailable, None),
        (Reply::of(401, ""), ExportFailure::Unauthorized, Some(60_000)),
        (Reply::of(404, ""), ExportFailure::NotFound, Some(60_000)),
        (hanging, ExportFailure::Timeout, None),
    ] {
        let (world, feed) = World::new(snapshot(many(3_000)));
        let server = FakeServer::start(move |_| reply.clone()).await;
        let config = EndpointConfig { timeout_ms: 500, ..config(server.url(), Protocol::Http) };
        let halt = failed(pusher_with(config, feed, state()).push(true).await);
        assert_eq!((halt.failure, halt.after_ms), (failure, after_ms));
        assert_eq!(server.seen().len(), 1, "{failure:?}: the other chunks must not be sent");
        let stats = world.stats();
        assert_eq!((stats.attempts, stats.failures[&failure], stats.last_success), (1, 1, None));
    }
}

#[tokio::test]
async fn partial_success_is_counted_and_goes_on() {
    let body = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 2,
            error_message: "two too many".into(),
        }),
    }
    .encode_to_vec();
    let (world, feed) = World::new(snapshot(many(5)));
    let server = FakeServer::start(move |_| Reply::of(200, body.clone())).await;
    assert_eq!(pusher(&server.url(), feed, state()).push(true).await, COMPLETE);
    assert_eq!(server.seen().len(), 1, "what was taken is not sent again");
    let stats = world.stats();
    assert_eq!((stats.dropped_series, stats.failures[&ExportFailure::Partial]), (2, 1));
}

#[tokio::test]
async fn after_an_outage_the_newest_totals_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let (world, feed) = World::new(snapshot([counter("a", old(1), 10)]));
    let mut pusher = pusher(&format!("http://{address}/v1/metrics"), feed, state());
    assert_eq!(failed(pusher.push(true).await).failure, ExportFailure::Connection);

    world.set(snapshot([counter("a", old(1), 25)]));
    world.pass(7_200_000);
    let listener = TcpListener::bind(address).await.expect("the port is still free");
    let server = FakeServer::serve(listener, None, |_| Reply::of(200, ""));
    assert_eq!(pusher.push(true).await, COMPLETE);
    let seen = server.seen();
    let arrived: Vec<_> =
        seen.iter().flat_map(|seen| &seen.points).map(|point| (point.value, point.stamp_ms)).collect();
    assert_eq!(arrived, [(25, nano_ms(NOW.plus(7_200_000)))]);
}

#[tokio::test]
async fn a_new_series_gets_its_zero_first_and_once() {
    let (world, feed) = World::new(snapshot([counter("a", live(1, 15_000), 10)]));
    let server = FakeServer::start(|_| Reply::of(200, "")).await;
    let mut pusher = pusher(&server.url(), feed, state());
    assert_eq!(pusher.push(false).await, COMPLETE);
    world.pass(1_000);
    assert_eq!(pusher.push(true).await, COMPLETE);
    let requests: Vec<Vec<(i64, u64)>> = server
        .seen()
        .iter()
        .map(|seen| seen.points.iter().map(|point| (point.value, point.stamp_ms)).collect())
        .collect();
    let at = |ms| nano_ms(NOW.plus(ms));
    assert_eq!(requests, [[(0, at(-15_000))], [(10, at(0))], [(10, at(1_000))]]);
    assert_eq!(world.last_stored().introduced_seq, 1);
    assert_eq!(world.last_stored().last_stamp, NOW.plus(1_000));
}

#[tokio::test]
async fn a_crash_between_zero_and_value_repeats_the_same_zero() {
    // Two hours old when the endpoint comes back: its stamp must be fixed and remembered.
    for age_ms in [20_000, 7_200_000] {
        let (world, feed) = World::new(snapshot([counter("a", live(1, age_ms), 10)]));
        let status = Arc::new(AtomicU16::new(200));
        let answer = Arc::clone(&status);
        let server = FakeServer::start(move |seen| {
            let zero = seen.points.iter().all(|point| point.value == 0);
            Reply::of(if zero { answer.load(Ordering::Relaxed) } else { 200 }, "")
        })
        .await;
        // The zero is taken, but its answer is lost: nothing after it happens in this process.
        status.store(503, Ordering::Relaxed);
        let mut first = pusher(&server.url(), feed.clone(), state());
        assert_eq!(failed(first.push(true).await).failure, ExportFailure::Unavailable);
        drop(first);
        status.store(200, Ordering::Relaxed);
        world.pass(40_000);
        let stored = world.stored.lock().expect("no panic").last().cloned().unwrap_or_else(state);
        assert_eq!(stored.introduced_seq, 0);
        assert_eq!(pusher(&server.url(), feed, stored).push(true).await, COMPLETE);
        let arrived: Vec<_> = server.seen().iter().flat_map(|seen| seen.points.clone()).collect();
        let values: Vec<i64> = arrived.iter().map(|point| point.value).collect();
        assert_eq!(values, [0, 0, 10], "no value may leave before its zero was taken");
        assert_eq!(arrived[0].stamp_ms, arrived[1].stamp_ms, "{age_ms}");
        let expected = if age_ms == 20_000 { NOW.plus(-age_ms) } else { NOW.plus(-15_000) };
        assert_eq!(arrived[0].stamp_ms, nano_ms(expected));
        assert_eq!(world.last_stored().pending_zero, None);
    }
}

#[tokio::test]
async fn a_refused_zero_is_final() {
    let (world, feed) =
        World::new(snapshot((1..=10).map(|seq| counter(&format!("job-{seq}"), live(seq, 15_000), seq))));
    let server = FakeServer::start(|seen| {
        let refused = seen.points.iter().any(|point| point.value == 0 && point.job == "job-4");
        if refused { Reply::of(400, "out of order sample") } else { Reply::of(200, "") }
    })
    .await;
    assert_eq!(pusher(&server.url(), feed, state()).push(true).await, COMPLETE);
    let taken: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|seen| !seen.points.iter().any(|point| point.value == 0 && point.job == "job-4"))
        .flat_map(|seen| seen.points)
        .collect();
    assert_eq!(taken.iter().filter(|point| point.value == 0).count(), 9, "the other zeros arrive");
    assert_eq!(taken.iter().filter(|point| point.value > 0).count(), 10, "all values arrive");
    assert_eq!(world.last_stored().introduced_seq, 10);
    assert_eq!(world.stats().dropped_series, 0);
}

#[tokio::test]
async fn while_the_ledger_cannot_store_new_series_wait_and_others_go_on() {
    let (world, feed) =
        World::new(snapshot([counter("known", old(1), 5), counter("new", live(2, 7_200_000), 10)]));
    let server = FakeServer::start(|_| Reply::of(200, "")).await;
    let known = EndpointState { introduced_seq: 1, ..state() };
    let mut pusher = pusher(&server.url(), feed, known);
    *world.ledger_works.lock().expect("no panic") = false;
    for _ in 0..2 {
        assert_eq!(pusher.push(true).await, Pushed::HeldBack);
    }
    assert_eq!(pusher.acknowledged, None);
    let arrived = || -> Vec<_> { server.seen().iter().flat_map(|seen| seen.points.clone()).collect() };
    assert!(arrived().iter().all(|point| point.job == "known"));
    assert_eq!(arrived().len(), 2);

    *world.ledger_works.lock().expect("no panic") = true;
    assert_eq!(pusher.push(true).await, COMPLETE);
    let new: Vec<i64> =
        arrived().iter().filter(|point| point.job == "new").map(|point| point.value).collect();
    assert_eq!(new, [0, 10]);
}

#[tokio::test]
async fn changes_are_sent_alone_until_acknowledged() {
    let at = |seq, revision| SeriesFacts { revision, ..old(seq) };
    let (world, feed) =
        World::new(snapshot([counter("a", at(1, 1), 1), counter("b", at(2, 1), 1), super::gauge("a", 1.0)]));
    let server = FakeServer::start(|_| Reply::of(200, "")).await;
    let mut pusher = pusher(&server.url(), feed, state());
    assert_eq!(pusher.push(true).await, COMPLETE);
    world.set(snapshot([counter("a", at(1, 1), 1), counter("b", at(2, 2), 9), super::gauge("a", 1.0)]));
    for _ in 0..2 {
        assert_eq!(pusher.push(false).await, COMPLETE);
    }
    let sizes: Vec<usize> = server.seen().iter().map(|seen| seen.points.len()).collect();
    assert_eq!(sizes, [3, 1], "the second push of changes has nothing to send");
    assert_eq!(server.seen()[1].points[0].value, 9);
}

#[tokio::test]
async fn stamps_grow_when_the_clock_steps_back() {
    let (world, feed) = World::new(snapshot([counter("a", old(1), 1)]));
    let server = FakeServer::start(|_| Reply::of(200, "")).await;
    let mut pusher = pusher(&server.url(), feed, state());
    for step in [0, -300_000, 300_000, -3_600_000] {
        world.pass(step);
        assert_eq!(pusher.push(true).await, COMPLETE);
    }
    let stamps: Vec<u64> = server.seen().iter().map(|seen| seen.points[0].stamp_ms).collect();
    let at = |ms| nano_ms(NOW.plus(ms));
    assert_eq!(stamps, [at(0), at(1), at(2), at(-3_600_000)]);
    assert_eq!(world.stats().clock_steps, 1);
}
