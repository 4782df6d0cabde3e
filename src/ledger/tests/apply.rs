//! Records in, counters out.

use super::*;
use crate::model::{FRESH_MS, Reject, RejectReason, TokenKind};

const INPUT: SeriesKind = SeriesKind::Tokens(TokenKind::Input);
const OUTPUT: SeriesKind = SeriesKind::Tokens(TokenKind::Output);
const CACHE_READ: SeriesKind = SeriesKind::Tokens(TokenKind::CacheRead);
const OK: SeriesKind = SeriesKind::Runs(Status::Ok, Reason::None);

/// The same run, as the session's transcript tells of it.
fn billed(run: Run, input: u64) -> Run {
    Run {
        usage: Usage { input: Some(input), output: Some(20), cache_read: Some(7), cache_write: Some(0) },
        provenance: UsageProvenance::Transcript,
        ..run
    }
}

#[test]
fn each_outcome_moves_what_it_should() {
    let mut bench = Bench::new();
    let known = || run("a", 0);
    type Row = (Run, Outcome, u64, u64, u64);
    let rows: [Row; 8] = [
        (known(), Outcome::Inserted, 1, 1_000, 0),
        (known(), Outcome::Duplicate, 1, 1_000, 0),
        (Run { status: Status::Error, ..known() }, Outcome::Conflict, 1, 1_000, 0),
        (Run { delivery: Delivery::Delivered, ..known() }, Outcome::Updated, 1, 1_000, 0),
        (billed(known(), 1_300), Outcome::Updated, 1, 1_300, 7),
        (billed(known(), 1_300), Outcome::Duplicate, 1, 1_300, 7),
        (known(), Outcome::Duplicate, 1, 1_300, 7),
        (
            Run { key: RunKey { at: RunAt::Logged(T0), ..known().key }, ..known() },
            Outcome::Inserted,
            2,
            2_300,
            7,
        ),
    ];
    let mut counted = std::collections::BTreeMap::new();
    for (at, (record, outcome, runs, input, cache_read)) in rows.into_iter().enumerate() {
        assert_eq!(bench.outcome(record), outcome, "row {at}");
        *counted.entry(outcome).or_insert(0) += 1;
        assert_eq!(bench.sum(OK), (runs, runs), "row {at}");
        assert_eq!(bench.sum(INPUT), (input, input), "row {at}");
        assert_eq!(bench.sum(CACHE_READ), (cache_read, cache_read), "row {at}");
        let summary = bench.summary();
        assert_eq!(
            (summary.runs, summary.tokens[0], summary.tokens[2]),
            (runs, input, cache_read),
            "row {at}"
        );
    }
    let counters = bench.totals().counters;
    assert_eq!(counters.outcomes, counted);
    let provenance = [(UsageProvenance::Partial, 1), (UsageProvenance::Transcript, 1)];
    assert_eq!(counters.provenance, provenance.into());
}

#[test]
fn a_batch_from_elsewhere_is_refused_whole() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let before = bench.totals();
    for from in [None, Some(Position::File(FilePosition { offset: 7, ..FilePosition::default() }))] {
        let batch = Batch { from, ..bench.batch(vec![run("a", 1)]) };
        let error = bench.ledger().apply(&batch, T0).unwrap_err();
        assert!(
            matches!(&error, LedgerError::Position { source_id } if source_id == "run-log/a.jsonl"),
            "{error}"
        );
    }
    assert_eq!(bench.totals(), before);
    assert_eq!(bench.summary().runs, 1);
    assert_eq!(bench.outcome(run("a", 1)), Outcome::Inserted);
}

#[test]
fn a_reopened_ledger_goes_on_as_if_it_had_never_been_closed() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0), failed("a", 1), run("b", 0)]);
    bench.outcome(billed(run("a", 0), 900));
    let mut batch = bench.batch(vec![Run { duration_ms: Some(0), ..run("a", 2) }]);
    batch.gap = true;
    batch.rejects = vec![Reject::new(RejectReason::NotARun, "a line of 7 B".into())];
    bench.ledger().apply(&batch, T0).unwrap();
    let (before, position) = (bench.totals(), bench.ledger().position(&batch.source).cloned());
    assert_eq!(position, Some(batch.to.clone()));
    bench.now = T0.plus(86_400_000);
    assert_eq!(bench.reopen(), Origin::Existing);
    assert_eq!(lasting(bench.totals()), lasting(before.clone()));
    assert_eq!(bench.ledger().position(&batch.source), position.as_ref());
    assert_eq!(bench.summary().rejects, [("not_a_run".to_owned(), 1, "a line of 7 B".to_owned())]);

    // Series that are known keep their numbers and start times; new ones go on from there.
    bench.apply(vec![run("a", 3), Run { model: Some("mock-2".into()), ..run("a", 4) }]);
    let after = bench.totals();
    for (old, new) in before.series.iter().zip(&after.series) {
        assert_eq!((old.seq, old.start, old.kind, old.live), (new.seq, new.start, new.kind, new.live));
    }
    assert!(after.series.iter().zip(1..).all(|(series, seq)| series.seq == seq));
    assert_eq!(after.series.len(), before.series.len() + 5);
}

#[test]
fn a_counter_never_falls_and_later_growth_absorbs_the_excess() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    assert_eq!(bench.outcome(billed(run("a", 0), 400)), Outcome::Updated);
    assert_eq!(bench.sum(INPUT), (400, 1_000));
    assert_eq!(bench.totals().excess(), 600);
    assert_eq!(bench.summary().tokens[0], 400, "what is held is the truth");
    bench.reopen();
    assert_eq!((bench.sum(INPUT), bench.totals().excess()), ((400, 1_000), 600));
    bench.apply(vec![billed(run("a", 1), 500)]);
    assert_eq!((bench.sum(INPUT), bench.totals().excess()), ((900, 1_000), 100));
    bench.apply(vec![billed(run("a", 2), 500)]);
    assert_eq!((bench.sum(INPUT), bench.totals().excess()), ((1_400, 1_400), 0));
}

#[test]
fn a_run_that_moves_to_other_labels_leaves_its_old_counters_where_they_were() {
    let mut bench = Bench::new();
    bench.apply(vec![Run { model: None, ..run("a", 0) }]);
    assert_eq!(bench.outcome(run("a", 0)), Outcome::Updated);
    assert_eq!((bench.sum(INPUT), bench.sum(OK)), ((1_000, 2_000), (1, 2)));
    // Input, output, duration (sum of ms) and the run itself.
    assert_eq!(bench.totals().excess(), 1_000 + 20 + 420 + 1);
    let histograms = bench.totals().series.into_iter().filter_map(|series| series.histogram);
    let (truth, exported) = histograms.fold((0, 0), |sum, histogram| {
        (sum.0 + histogram.truth.iter().sum::<u64>(), sum.1 + histogram.exported.iter().sum::<u64>())
    });
    assert_eq!((truth, exported), (2, 4));
}

#[test]
fn durations_fall_into_the_bucket_of_their_bound() {
    let mut bench = Bench::new();
    let durations = [0, 100, 101, 3_600_000, 3_600_001, u64::from(u32::MAX)];
    let runs = durations.iter().zip(0..).map(|(ms, at)| Run { duration_ms: Some(*ms), ..run("a", at) });
    bench.apply(runs.collect());
    bench.apply(vec![Run { duration_ms: None, ..run("a", 99) }]);
    for _ in 0..2 {
        let totals = bench.totals();
        let series = totals.series.iter().find(|series| series.kind == SeriesKind::Duration).unwrap();
        let mut expected = [0; 15];
        (expected[0], expected[1], expected[13], expected[14]) = (2, 1, 1, 2);
        let histogram = series.histogram.as_ref().unwrap();
        assert_eq!((histogram.truth, histogram.exported), (expected, expected));
        assert_eq!(series.true_total, durations.iter().sum::<u64>());
        bench.reopen();
    }
}

#[test]
fn a_run_of_no_time_at_all_is_a_series_too() {
    let mut bench = Bench::new();
    bench.apply(vec![Run { duration_ms: Some(0), usage: Usage::default(), ..run("a", 0) }]);
    let kinds: Vec<SeriesKind> = bench.totals().series.iter().map(|series| series.kind).collect();
    assert_eq!(kinds, [SeriesKind::Duration, OK], "and kinds of tokens that nobody used are none");
}

#[test]
fn a_series_starts_one_interval_before_it_was_made_and_says_whether_it_was_fresh() {
    let mut bench = Bench::new();
    bench.now = T0.plus(430 + FRESH_MS);
    bench.apply(vec![run("a", 0)]);
    bench.now = bench.now.plus(1);
    bench.apply(vec![run("b", 0)]);
    let totals = bench.totals();
    let (a, b) = (&totals.series[0], &totals.series[totals.series.len() - 1]);
    assert_eq!((a.live, a.start), (true, bench.now.plus(-1 - ZERO_LEAD_MS)));
    assert_eq!((b.live, b.start), (false, bench.now.plus(-ZERO_LEAD_MS)));
}

#[test]
fn the_largest_counts_that_a_record_may_hold_are_exact() {
    let mut bench = Bench::new();
    let most = crate::model::MAX_JSON_INTEGER;
    let usage = Usage { input: Some(most), output: Some(most - 1), ..Usage::default() };
    bench.apply((0..5).map(|at| Run { usage, ..run("a", at) }).collect());
    assert_eq!((bench.sum(INPUT).0, bench.sum(OUTPUT).0), (5 * most, 5 * (most - 1)));
    bench.reopen();
    assert_eq!((bench.sum(INPUT).0, bench.summary().tokens[0]), (5 * most, 5 * most));
}

#[test]
fn the_newest_record_s_time_and_lag_are_known() {
    let mut bench = Bench::new();
    bench.now = T0.plus(10 * MINUTE_MS);
    bench.apply(vec![run("a", 5), run("a", 3)]);
    let facts = bench.totals().counters.sources["run-log"];
    let recorded = run("a", 5).recorded_at;
    assert_eq!((facts.last_record, facts.lag_ms), (Some(recorded), Some(bench.now.since(recorded))));
    bench.apply(vec![run("a", 4)]);
    assert_eq!(bench.totals().counters.sources["run-log"], facts, "an older record is no news");
}

#[test]
fn what_is_held_back_is_committed_and_shown_in_one_step() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let before = bench.totals();
    bench.ledger.as_mut().unwrap().hold();
    for at in 1..4 {
        bench.apply(vec![run("a", at), run("b", at)]);
        assert_eq!(bench.totals(), before, "nothing of it is seen");
    }
    assert_eq!(bench.summary().runs, 7, "but it is committed");
    bench.ledger.as_mut().unwrap().release();
    let shown = bench.totals();
    assert_eq!((shown.revision, shown.jobs.len()), (before.revision + 1, 2));
    bench.reopen();
    let reopened = bench.totals();
    assert_eq!(lasting(shown.clone()), lasting(reopened));
    bench.ledger.as_mut().unwrap().release();
    assert_eq!(bench.totals().series.len(), shown.series.len(), "letting go twice changes nothing");
}
