//! Samples to rows, case by case.

use super::super::promql::labelled;
use super::*;
use crate::report::{Known, Zone};

const WINDOW: Window = Window { since: UnixMs(1_000_000), until: UnixMs(87_400_000) };

fn query(by: &[Dimension]) -> Query {
    Query {
        window: WINDOW,
        compare: false,
        zone: Zone::new("UTC").unwrap(),
        by: by.to_vec(),
        selection: Selection::default(),
        sort: None,
        top: None,
    }
}

fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
    Sample { labels: labelled(labels), value }
}

fn reported(query: &Query, samples: &[(Family, Sample)]) -> Report {
    let mut gathering = Gathering::new(query, Identity::Prometheus);
    for (family, sample) in samples {
        gathering.add(*family, std::slice::from_ref(sample), WINDOW, &[]);
    }
    fleet_report(gathering, None, Vec::new())
}

fn texts(row: &Row) -> Vec<&str> {
    row.group.iter().map(|cell| cell.text().unwrap_or("-")).collect()
}

#[test]
fn a_job_goes_by_its_newest_name_and_system_jobs_by_theirs() {
    let job = |id, name, n| {
        let labels = [("openclaw.job.id", id), ("openclaw.job.name", name), ("openclaw.token", "input")];
        (Family::Tokens, sample(&labels, n))
    };
    let ran = |id, name, at| {
        (
            Family::LastRun,
            sample(&[("openclaw.job.id", id), ("openclaw.job.name", name), ("instance", "a")], at),
        )
    };
    let report = reported(
        &query(&[Dimension::Job]),
        &[
            job("1", "new name", 5.0),
            job("1", "old name", 7.0),
            job("system", "heartbeat", 3.0),
            job("system", "review", 2.0),
            job("idle", "idle", 0.0),
            ran("1", "old name", 1_100.0),
            ran("1", "new name", 1_200.5),
            // Before the window.
            ran("system", "review", 900.0),
        ],
    );
    let rows: Vec<_> =
        report.rows.iter().map(|row| (texts(row), row.sums.tokens[0], row.sums.last_run)).collect();
    assert_eq!(
        rows,
        [
            (vec!["1", "new name"], 12, Some(UnixMs(1_200_500))),
            (vec!["system", "heartbeat"], 3, None),
            (vec!["system", "review"], 2, None),
        ]
    );
    assert_eq!((report.totals.tokens[0], report.totals.last_run), (17, Some(UnixMs(1_200_500))));
}

#[test]
fn tokens_of_failed_runs_stand_under_their_status() {
    let tokens = |labels: &[(&str, &str)], n| {
        let labels = [labels, &[("openclaw.token", "output")]].concat();
        sample(&labels, n)
    };
    let report = reported(
        &query(&[Dimension::Status]),
        &[
            (Family::Tokens, tokens(&[], 100.0)),
            (Family::Cost, sample(&[("openclaw.billing", "metered")], 0.75)),
            (Family::Cost, sample(&[("openclaw.billing", "local")], 0.25)),
            (Family::Runs, sample(&[("openclaw.status", "ok")], 4.0)),
            (Family::Runs, sample(&[("openclaw.status", "error")], 2.0)),
            (Family::Runs, sample(&[("openclaw.status", "skipped")], 1.0)),
            (Family::WastedTokens, tokens(&[("openclaw.status", "error")], 30.0)),
            (Family::WastedCost, sample(&[("openclaw.status", "error")], 0.4)),
        ],
    );
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (texts(row)[0], row.sums.runs.total, row.sums.tokens[1], row.sums.cost.0))
        .collect();
    assert_eq!(rows, [("ok", 4, 70, 600_000_000), ("error", 2, 30, 400_000_000), ("skipped", 1, 0, 0)]);
    let totals = &report.totals;
    assert_eq!((totals.runs.total, totals.tokens[1], totals.cost.0), (7, 100, 1_000_000_000));
    assert_eq!((totals.wasted.0, totals.not_billed.0), (400_000_000, 250_000_000));
}

#[test]
fn a_cost_of_counters_says_how_it_is_known() {
    let tokens = |n| (Family::Tokens, sample(&[("openclaw.token", "input")], n));
    let run = (Family::Runs, sample(&[("openclaw.status", "ok")], 1.0));
    let cost = (Family::Cost, sample(&[("openclaw.billing", "metered")], 0.5));
    let unpriced = (Family::Unpriced, sample(&[("openclaw.model", "m")], 4.0));
    let bound = (Family::LowerBound, sample(&[("instance", "a")], 0.1));
    let cases = [
        (vec![tokens(9.0), run.clone(), cost.clone()], Known::Exact),
        (vec![tokens(9.0), run.clone(), cost.clone(), unpriced.clone()], Known::AtLeast),
        (vec![tokens(9.0), run.clone(), cost.clone(), bound], Known::AtLeast),
        (vec![tokens(9.0), run.clone(), unpriced.clone()], Known::Unpriced),
        (vec![run.clone()], Known::Nothing),
        (vec![(Family::Runs, sample(&[("openclaw.status", "skipped")], 1.0))], Known::Exact),
        // Of a gauge that the server first saw in the window, all is seen, also what is older.
        (vec![run, cost, unpriced], Known::Exact),
    ];
    for (nth, (samples, expected)) in cases.iter().enumerate() {
        let report = reported(&query(&[Dimension::Gateway]), samples);
        assert_eq!(report.totals.known(), *expected, "case {nth}");
    }
}

#[test]
fn filters_are_those_of_a_ledger() {
    let of = |gateway, model, n| {
        let labels = [
            ("instance", gateway),
            ("openclaw.provider", "p"),
            ("openclaw.model", model),
            ("openclaw.job.id", "1"),
            ("openclaw.job.name", "daily"),
            ("openclaw.token", "input"),
        ];
        (Family::Tokens, sample(&labels, n))
    };
    let samples = [of("home", "m1", 1.0), of("office", "m1", 10.0), of("office", "m2", 100.0)];
    let pattern = |text: &str| vec![Pattern::new(text)];
    for (selection, expected) in [
        (Selection::default(), 111),
        (Selection { gateways: pattern("off*"), ..Selection::default() }, 110),
        (Selection { models: pattern("p/m1"), ..Selection::default() }, 11),
        (Selection { models: pattern("m2"), ..Selection::default() }, 100),
        (Selection { jobs: pattern("DAILY"), ..Selection::default() }, 0),
        (Selection { jobs: pattern("da?ly"), providers: pattern("p"), ..Selection::default() }, 111),
    ] {
        let query = Query { selection: selection.clone(), ..query(&[Dimension::Gateway]) };
        assert_eq!(reported(&query, &samples).totals.tokens[0], expected, "{selection:?}");
    }
}

#[test]
fn what_makes_no_sense_counts_nothing() {
    let report = reported(
        &query(&[Dimension::Job]),
        &[
            (Family::Tokens, sample(&[("openclaw.token", "input")], f64::NAN)),
            (Family::Tokens, sample(&[("openclaw.token", "input")], -5.0)),
            (Family::Tokens, sample(&[("openclaw.token", "imagined")], 5.0)),
            (Family::Cost, sample(&[], f64::INFINITY)),
            (Family::Durations, sample(&[("le", "soon")], 5.0)),
        ],
    );
    assert_eq!((report.rows.len(), report.totals.total_tokens(), report.totals.cost.0), (0, 0, 0));
}

#[test]
fn durations_come_from_buckets() {
    let bucket = |le, n| (Family::Durations, sample(&[("instance", "a"), ("le", le)], n));
    let report = reported(
        &query(&[Dimension::Gateway]),
        &[
            (Family::Runs, sample(&[("instance", "a"), ("openclaw.status", "ok")], 10.0)),
            bucket("1000.0", 0.0),
            bucket("2500", 10.0),
            bucket("+Inf", 10.0),
        ],
    );
    assert_eq!(report.rows[0].sums.duration_ms(50), Some(1_750));
    assert_eq!(report.totals.duration_ms(95), Some(2_425));
}
