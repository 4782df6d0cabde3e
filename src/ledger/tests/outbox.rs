//! Events: noted with what is counted, written once, given to every sink in order, and bounded.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{
    BilledCall, GatewayEvent, GatewayEventKind, Happening, NanoUsd, Severity, SinkProgress, StoredEvent,
};

const DAY_MS: i64 = 86_400_000;
const SETTLE_MS: i64 = 10_000;

/// What an event says here: enough to tell one from another, and what was known when it was written.
fn describe(happening: Happening<'_>) -> String {
    match happening {
        Happening::Run(run) => format!(
            "run {} {} {} {} tokens {:?} {} {}",
            run.job_id,
            run.at.time().since(T0) / MINUTE_MS,
            run.status.as_str(),
            run.usage.total(),
            run.provenance,
            run.model,
            run.cost.usd
        ),
        Happening::Gateway(event) => format!("gateway {} {}", event.message, event.mark),
        Happening::Missing(missing) => {
            format!("missing {} {}", missing.job_id, missing.run_at.since(T0) / MINUTE_MS)
        }
    }
}

fn settings(sinks: &[&str], max_events: u64) -> OutboxSettings {
    OutboxSettings {
        sinks: sinks.iter().map(|name| (*name).to_owned()).collect(),
        max_events,
        max_age_ms: 7 * DAY_MS,
        describe: Arc::new(describe),
    }
}

fn progress(name: &str, position: u64) -> SinkProgress {
    SinkProgress { name: name.to_owned(), position, delivered: position, refused: 0 }
}

impl Bench {
    fn telling(sinks: &[&str]) -> Self {
        let mut bench = Self::new();
        bench.ledger().set_outbox(settings(sinks, 100_000)).unwrap();
        bench
    }

    fn seal(&mut self) {
        let now = self.now;
        self.ledger().seal_events(now).unwrap();
    }

    /// Lets time pass, and writes what is due then.
    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
        self.seal();
    }

    fn take(&mut self, name: &str, position: u64) -> Vec<StoredEvent> {
        self.ledger().take_events(&progress(name, position), 1_000).unwrap()
    }

    fn said(&mut self, name: &str) -> Vec<String> {
        self.take(name, 0).into_iter().map(|event| event.content).collect()
    }

    fn bill(&mut self, call: BilledCall) {
        let mut batch = self.batch(Vec::new());
        batch.calls.push(call);
        let now = self.now;
        self.ledger().apply(&batch, now).unwrap();
    }

    fn hear(&mut self, events: Vec<GatewayEvent>) {
        let mut batch = self.batch(Vec::new());
        batch.events = events;
        let now = self.now;
        self.ledger().apply(&batch, now).unwrap();
    }

    fn dropped(&mut self) -> BTreeMap<String, [u64; 3]> {
        let facts = self.ledger().outbox().unwrap();
        facts.sinks.into_iter().map(|sink| (sink.name, sink.dropped)).collect()
    }
}

fn call(key: u64, run: &Run, tokens: [u64; 4]) -> BilledCall {
    BilledCall {
        key,
        run: run.key.clone(),
        at: run.key.at.time().plus(100),
        agent: run.agent.clone(),
        provider: run.provider.clone(),
        model: run.model.clone(),
        tokens,
        recorded: Some(NanoUsd(1_000_000)),
        sub_agent: false,
    }
}

fn warning(at: UnixMs, mark: u64) -> GatewayEvent {
    GatewayEvent {
        at,
        kind: GatewayEventKind::Other,
        severity: Severity::Warn,
        job_id: None,
        job_name: None,
        problem: None,
        http_status: None,
        attempt: None,
        delivery: None,
        message: "words".to_owned(),
        mark,
    }
}

#[test]
fn a_run_is_told_when_its_usage_is_known_or_had_time_to_be() {
    let mut bench = Bench::telling(&["s"]);
    bench.apply(vec![run("a", 0), run("b", 0)]);
    bench.pass(SETTLE_MS - 1);
    assert_eq!(bench.said("s"), Vec::<String>::new(), "both wait for their sessions");
    bench.bill(call(1, &run("a", 0), [1_000, 20, 5_000, 0]));
    assert_eq!(
        bench.ledger().next_seal().unwrap(),
        Some(bench.now.plus(1)),
        "the other's time is over first"
    );
    bench.pass(1);
    let told =
        ["run a 0 ok 6020 tokens Transcript mock-1 0.001", "run b 0 ok 1020 tokens Partial mock-1 0.00"];
    assert_eq!(bench.said("s"), told, "none waits longer than that");
    assert_eq!(bench.ledger().next_seal().unwrap(), None);
}

#[test]
fn calls_that_follow_each_other_are_told_together() {
    let mut bench = Bench::telling(&["s"]);
    bench.apply(vec![run("a", 0)]);
    bench.bill(call(1, &run("a", 0), [1_000, 20, 0, 0]));
    bench.pass(900);
    bench.bill(call(2, &run("a", 0), [500, 10, 0, 0]));
    bench.pass(900);
    assert_eq!(bench.said("s"), Vec::<String>::new());
    bench.pass(100);
    assert_eq!(bench.said("s"), ["run a 0 ok 1530 tokens Transcript mock-1 0.002"]);
    bench.bill(call(3, &run("a", 0), [7, 7, 0, 0]));
    bench.pass(DAY_MS / 2);
    assert_eq!(bench.said("s").len(), 1, "what becomes known later makes no second event");
}

#[test]
fn a_run_that_only_its_session_tells_of_is_told_after_a_day_or_with_its_record() {
    let mut bench = Bench::telling(&["s"]);
    bench.bill(call(1, &run("a", 0), [1_000, 20, 0, 0]));
    bench.bill(call(2, &run("b", 0), [1_000, 20, 0, 0]));
    bench.pass(3_600_000);
    assert_eq!(bench.said("s"), Vec::<String>::new(), "they may still run");
    bench.apply(vec![run("a", 0)]);
    bench.pass(1_000);
    assert_eq!(bench.said("s"), ["run a 0 ok 1020 tokens Transcript mock-1 0.001"]);
    bench.pass(DAY_MS);
    assert_eq!(bench.said("s")[1..], ["run b 0 unrecorded 1020 tokens Transcript mock-1 0.001"]);
    bench.apply(vec![run("b", 0)]);
    bench.pass(DAY_MS);
    assert_eq!(bench.said("s").len(), 2, "its record comes too late");
}

#[test]
fn history_is_told_up_to_its_bound_and_to_nobody_if_nobody_listens() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    bench.ledger().set_outbox(settings(&["s"], 100)).unwrap();
    bench.now = T0.plus(8 * DAY_MS);
    let day = 24 * 60;
    bench.apply(vec![run("b", day - 1), run("b", day + 1)]);
    let now = bench.now;
    bench.hear(vec![warning(now.plus(-8 * DAY_MS), 1), warning(now.plus(-DAY_MS), 2)]);
    bench.pass(SETTLE_MS);
    let told =
        ["gateway words 2".to_owned(), format!("run b {} ok 1020 tokens Partial mock-1 0.00", day + 1)];
    assert_eq!(bench.said("s"), told);
    bench.ledger().set_outbox(settings(&[], 100)).unwrap();
    bench.apply(vec![run("b", 2 * day)]);
    bench.pass(SETTLE_MS);
    assert_eq!(bench.ledger().outbox().unwrap().size, 0, "and what was kept is gone");
    assert_eq!(bench.said("s"), Vec::<String>::new());
}

#[test]
fn a_ledger_that_was_lost_tells_no_old_runs_again() {
    let mut bench = Bench::telling(&["s"]);
    bench.ledger = None;
    std::fs::remove_file(bench.path()).unwrap();
    assert_eq!(bench.reopen(), Origin::Rebuilt);
    bench.ledger().set_outbox(settings(&["s"], 100)).unwrap();
    bench.apply(vec![run("a", 0), run("a", 1)]);
    bench.pass(SETTLE_MS);
    assert_eq!(
        bench.said("s"),
        ["run a 1 ok 1020 tokens Partial mock-1 0.00"],
        "only what came after the loss"
    );
}

#[test]
fn a_line_of_the_log_that_is_met_again_is_told_once() {
    let mut bench = Bench::telling(&["s"]);
    let now = bench.now;
    bench.hear(vec![warning(now, 1), warning(now, 2), warning(now, 1)]);
    assert_eq!(bench.take("s", 0).len(), 2);
    assert_eq!(bench.take("s", 2).len(), 0, "taken, and gone from what is kept");
    bench.reopen();
    bench.ledger().set_outbox(settings(&["s"], 100_000)).unwrap();
    bench.hear(vec![warning(now, 2), warning(now, u64::MAX)]);
    let told = bench.take("s", 2);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].seq, told[0].content.as_str()), (3, "gateway words 18446744073709551615"));
}

#[test]
fn each_sink_has_its_own_place() {
    let mut bench = Bench::telling(&["a", "b"]);
    let now = bench.now;
    bench.hear((1..=5).map(|mark| warning(now, mark)).collect());
    assert_eq!(bench.take("a", 4).len(), 1);
    assert_eq!(bench.take("b", 2).len(), 3);
    assert_eq!(bench.ledger().outbox().unwrap().size, 3, "what both have is deleted");
    assert_eq!(bench.take("a", 2).len(), 1, "a place never moves backwards");
    // One more, and one less: it begins where the oldest is that anybody needs, and the other holds nothing back.
    bench.ledger().set_outbox(settings(&["a", "new"], 100)).unwrap();
    assert_eq!(bench.take("new", 0).len(), 3);
    assert_eq!(bench.take("b", 0).len(), 0, "it is nobody's any more");
    bench.ledger().set_outbox(settings(&["a"], 100)).unwrap();
    let facts = bench.ledger().outbox().unwrap();
    assert_eq!((facts.size, facts.newest), (1, 5));
    assert_eq!((facts.sinks[0].position, facts.sinks[0].delivered), (4, 4));
    bench.take("a", 5);
    bench.ledger().set_outbox(settings(&["a", "late"], 100)).unwrap();
    bench.hear(vec![warning(now, 6)]);
    assert_eq!(bench.take("late", 0).len(), 1, "nothing was kept: it begins with what comes");
}

#[test]
fn what_is_kept_is_bounded_and_what_is_lost_counted() {
    let mut bench = Bench::new();
    bench.ledger().set_outbox(settings(&["down", "slow", "up"], 10)).unwrap();
    for mark in 1..=30 {
        let now = bench.now;
        bench.hear(vec![warning(now, mark)]);
        bench.take("up", mark);
        bench.take("slow", mark.min(15));
        bench.seal();
    }
    let facts = bench.ledger().outbox().unwrap();
    assert_eq!((facts.size, facts.newest), (10, 30));
    let dropped = bench.dropped();
    assert_eq!([&dropped["down"], &dropped["slow"], &dropped["up"]], [&[0, 20, 0], &[0, 5, 0], &[0, 0, 0]]);
    assert_eq!(
        bench.take("down", 0).iter().map(|event| event.seq).collect::<Vec<_>>(),
        (21..=30).collect::<Vec<_>>()
    );
    bench.pass(7 * DAY_MS + 1);
    assert_eq!(bench.ledger().outbox().unwrap().size, 0);
    assert_eq!(bench.dropped()["down"], [0, 20, 10]);
    assert_eq!(bench.dropped()["slow"], [0, 5, 10]);
    bench.pass(1);
    assert_eq!(bench.dropped()["down"], [0, 20, 10], "nothing is counted twice");
}

#[test]
fn a_clock_that_stepped_back_does_not_hold_a_run_back() {
    let mut bench = Bench::telling(&["s"]);
    bench.apply(vec![run("a", 0)]);
    bench.pass(-3_600_000);
    assert_eq!(bench.said("s").len(), 1);
}

/// Random work, crashes at any point of it, and sinks that lose answers: each sink ends up with all events in order, and
/// what it was told twice was the same both times.
#[test]
fn every_sink_gets_every_event_the_same_each_time() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::telling(&["a", "b"]);
        let mut seen: [BTreeMap<u64, String>; 2] = Default::default();
        let mut places = [0, 0];
        let (mut runs, mut marks) = (0, 0);
        for _ in 0..120 {
            match rng.u8(0..8) {
                0 | 1 => {
                    runs += 1;
                    bench.apply(vec![run("a", runs)]);
                }
                2 if runs > 0 => {
                    let of = run("a", rng.i64(1..=runs));
                    bench.bill(call(rng.u64(..), &of, [1_000, 20, 0, 0]));
                }
                3 => {
                    marks += 1;
                    let now = bench.now;
                    bench.hear(vec![warning(now, marks)]);
                }
                4 => bench.pass(rng.i64(0..6_000)),
                5 => {
                    // kill -9: what was not acknowledged is asked for again.
                    bench.reopen();
                    bench.ledger().set_outbox(settings(&["a", "b"], 100_000)).unwrap();
                    let facts = bench.ledger().outbox().unwrap();
                    places = [facts.sinks[0].position, facts.sinks[1].position];
                }
                _ => {
                    let at = rng.usize(0..2);
                    let limit = rng.usize(1..5);
                    let told =
                        bench.ledger().take_events(&progress(["a", "b"][at], places[at]), limit).unwrap();
                    for event in told {
                        let before = seen[at].insert(event.seq, event.content.clone());
                        assert!(before.is_none_or(|before| before == event.content), "seed {seed}");
                        // The end of a batch, or its answer, may get lost.
                        if rng.bool() {
                            break;
                        }
                        places[at] = event.seq;
                    }
                }
            }
        }
        bench.pass(SETTLE_MS);
        let expected = u64::try_from(runs).unwrap() + marks;
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            for event in bench.take(name, places[at]) {
                seen[at].insert(event.seq, event.content);
            }
            let numbers: Vec<u64> = seen[at].keys().copied().collect();
            assert_eq!(numbers, (1..=expected).collect::<Vec<_>>(), "seed {seed}");
            let distinct: BTreeSet<String> =
                seen[at].values().map(|said| said.split(" ok ").next().unwrap().to_owned()).collect();
            assert_eq!(distinct.len(), seen[at].len(), "seed {seed}: each is told once");
        }
        assert_eq!(seen[0], seen[1], "seed {seed}");
    }
}
