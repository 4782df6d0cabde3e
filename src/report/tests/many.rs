//! One job with a long history.

use super::*;

const RUNS: u64 = 100_000;

/// A run each minute from the new year on; the n-th took n ms and used n tokens of input and 20 of output.
fn history() -> Vec<Run> {
    let (start, first) = (at("2026-01-01T00:00:00Z"), run("a", "2026-01-01T00:00:00Z", "m"));
    let nth = |n: u64| Run {
        key: RunKey { at: RunAt::Started(start.plus(n.cast_signed() * 60_000)), ..first.key.clone() },
        recorded_at: start.plus(n.cast_signed() * 60_000 + 2_500),
        duration_ms: Some(n),
        usage: Usage { input: Some(n), ..first.usage },
        ..first.clone()
    };
    (0..RUNS).map(nth).collect()
}

#[test]
fn one_job_of_a_hundred_thousand_runs_is_told_to_the_token_from_disk_and_from_memory() {
    let bench = Bench::of(history());
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let mut memory = Ledger::in_memory(&options, UnixMs(1)).unwrap();
    memory.set_pricing(Arc::new(charge));
    memory.apply(&batch(history(), Vec::new()), at("2026-06-01T00:00:00Z")).unwrap();
    let input = RUNS * (RUNS - 1) / 2;
    for by in [&[Dimension::Job][..], &[Dimension::Day], &[Dimension::Job, Dimension::Month]] {
        let query = query(by, ALL.0, ALL.1, "Europe/Berlin");
        let report = bench.ask(&query);
        let from_memory = super::super::report(&memory.usage().unwrap(), &query).unwrap();
        assert!(json(&report).unwrap() == json(&from_memory).unwrap(), "{by:?}");
        let Sums { runs, tokens, cost, .. } = report.totals;
        assert_eq!((runs.total, runs.ok, tokens), (RUNS, RUNS, [input, 20 * RUNS, 0, 0]));
        assert_eq!(cost.0, i64::try_from(input + 20 * RUNS).unwrap() * 1_000);
        assert_eq!(report.rows.iter().map(|row| row.sums.runs.total).sum::<u64>(), RUNS);
        for percent in [50, 95] {
            // At most .8 % above.
            let (truth, told) = (RUNS * percent / 100 - 1, report.totals.duration_ms(percent).unwrap());
            assert!(told >= truth && told - truth <= truth / 127, "{told} for {truth}");
        }
    }
    // All of a local day, the first of which lacks an hour and the last its end.
    let days = bench.ask(&query(&[Dimension::Day], ALL.0, ALL.1, "Europe/Berlin"));
    let (first, whole) = (days.rows[0].sums.runs.total, days.rows[1].sums.runs.total);
    assert_eq!((first, whole, days.rows.len()), (23 * 60, 24 * 60, 70));
    let mut newest = query(&[Dimension::Run], ALL.0, ALL.1, "UTC");
    newest.top = Some(3);
    let newest = bench.ask(&newest);
    assert_eq!((newest.rows.len(), newest.left_out), (3, RUNS - 3));
}
