//! What is kept, and what it costs.

use super::*;
use crate::model::{EndpointState, TokenKind};

const DAY_MS: i64 = 86_400_000;
const DAY_MINUTES: i64 = 24 * 60;

#[test]
fn folding_changes_no_total() {
    let mut bench = Bench::new();
    let usage = Usage { input: Some(5), output: Some(6), cache_read: Some(7), cache_write: Some(8) };
    for day in 0..4 {
        let at = day * DAY_MINUTES;
        bench.apply(vec![
            run("a", at),
            failed("a", at + 1),
            Run { usage, duration_ms: None, ..run("b", at) },
            Run {
                key: RunKey { at: RunAt::Logged(T0.plus(day * DAY_MS)), ..run("a", at).key },
                ..run("a", at)
            },
        ]);
    }
    let (totals, summary) = (bench.totals(), bench.summary());
    assert_eq!((summary.runs, summary.tokens), (16, [8_020, 184, 28, 32]));

    // Only whole days are folded: those before the day of the limit.
    for (limit, folded, sum) in [(T0, 0, 0), (T0.plus(2 * DAY_MS), 8, 8), (T0.plus(2 * DAY_MS), 0, 8)] {
        assert_eq!(bench.ledger().fold(limit).unwrap(), folded);
        let expected = Summary { folded_runs: sum, size_bytes: 0, ..summary.clone() };
        assert_eq!(Summary { size_bytes: 0, ..bench.summary() }, expected);
        assert_eq!(bench.totals(), totals);
    }
    bench.reopen();
    assert_eq!(lasting(bench.totals()), lasting(totals));
    assert_eq!(bench.outcome(run("a", DAY_MINUTES)), Outcome::Expired);
    assert_eq!(bench.outcome(run("new", 1)), Outcome::Expired);
    assert_eq!(bench.outcome(run("a", 2 * DAY_MINUTES)), Outcome::Duplicate);
    assert_eq!(bench.outcome(run("a", 2 * DAY_MINUTES + 5)), Outcome::Inserted);
    assert_eq!(bench.summary().tokens[0], 9_020);

    // A later fold adds to the days that are there, and an earlier limit undoes nothing.
    assert_eq!(bench.ledger().fold(T0).unwrap(), 0);
    assert_eq!(bench.outcome(run("a", DAY_MINUTES)), Outcome::Expired);
    assert_eq!(bench.ledger().fold(T0.plus(9 * DAY_MS)).unwrap(), 9);
    let after = bench.summary();
    assert_eq!((after.runs, after.folded_runs, after.tokens), (17, 17, [9_020, 204, 28, 32]));
}

#[test]
fn readers_see_what_is_committed_while_the_writer_is_at_work() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let reader = LedgerReader::open(&bench.path()).unwrap();
    let summary = reader.summary().unwrap();
    assert_eq!((summary.gateway.as_str(), summary.schema), ("openclaw", schema::known_version()));
    assert_eq!((summary.jobs, summary.runs, summary.positions), (1, 1, 1));
    assert_eq!(summary.last_run, Some(T0));
    assert!(summary.size_bytes > 0);
    bench.apply(vec![run("b", 5), run("a", 3)]);
    let summary = reader.summary().unwrap();
    assert_eq!((summary.jobs, summary.runs, summary.last_run), (2, 3, Some(T0.plus(5 * MINUTE_MS))));
    drop(bench.ledger.take());
    assert_eq!(reader.summary().unwrap().runs, 3, "also after the writer has gone");
}

#[test]
fn an_endpoint_s_state_is_what_was_saved() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let newest = bench.totals().newest_seq();
    assert_eq!(newest, 5);
    let fresh = |name: &str, registered_seq| EndpointState {
        name: name.to_owned(),
        registered_seq,
        introduced_seq: 0,
        pending_zero: None,
        last_stamp: UnixMs(0),
    };
    assert_eq!(bench.ledger().endpoint("prometheus").unwrap(), fresh("prometheus", newest));
    bench.apply(vec![run("b", 0)]);
    assert_eq!(
        bench.ledger().endpoint("prometheus").unwrap(),
        fresh("prometheus", newest),
        "first time only"
    );
    assert_eq!(bench.ledger().endpoint("other").unwrap(), fresh("other", 10));
    let mut state = fresh("prometheus", newest);
    for pending_zero in [Some(T0), None] {
        state.pending_zero = pending_zero;
        state.introduced_seq += 8;
        state.last_stamp = state.last_stamp.plus(T0.0);
        bench.ledger().save_endpoint(&state).unwrap();
        bench.reopen();
        assert_eq!(bench.ledger().endpoint("prometheus").unwrap(), state);
    }
    assert_eq!(bench.ledger().endpoint("other").unwrap(), fresh("other", 10));
}

#[test]
fn an_ordinary_run_costs_at_most_65_bytes_on_disk() {
    const JOBS: i64 = 200;
    const RUNS: i64 = 500;
    let mut bench = Bench::new();
    for job in 0..JOBS {
        let id = format!("{job:08x}-2b1f-4e0c-9d6a-7f3e5c1b8a90");
        let ordinary = |n: i64| {
            let spread = u64::try_from((n * 7_919 + job * 104_729) % 10_000).unwrap();
            let at = T0.plus(n * 30 * MINUTE_MS + i64::try_from(spread).unwrap());
            Run {
                key: RunKey { job_id: id.clone(), at: RunAt::Started(at) },
                recorded_at: at.plus(3_000 + i64::try_from(spread).unwrap()),
                duration_ms: Some(3_000 + spread),
                usage: Usage {
                    input: Some(1_000 + spread),
                    output: Some(100 + spread / 10),
                    ..Usage::default()
                },
                ..run("", 0)
            }
        };
        bench.apply((0..RUNS).map(ordinary).collect());
    }
    // Closing brings the write-ahead log into the file.
    bench.ledger = None;
    let size = bench.path().metadata().unwrap().len();
    let runs = u64::try_from(JOBS * RUNS).unwrap();
    assert_eq!(bench.summary().runs, runs);
    assert!(bench.summary().tokens[TokenKind::Input as usize] > 100_000_000);
    assert!(size <= 65 * runs, "{size} B for {runs} runs: {} B each", size / runs);
    println!(
        "{:.1} B per run",
        f64::from(u32::try_from(size).unwrap()) / f64::from(u32::try_from(runs).unwrap())
    );
}
