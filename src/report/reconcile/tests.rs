//! Ledgers held against each other and against counters, a reason at a time.

use super::*;
use crate::ledger::{Ledger, LedgerReader, OpenOptions};
use crate::model::{
    Batch, Delivery, FilePosition, Position, Reason as RunReason, Run, RunAt, RunKey, SessionRef, SourceId,
    Status, UnixMs, Usage, UsageProvenance,
};
use crate::report::Sample;
use crate::report::fleet::Identity;

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const WINDOW: Window = Window { since: UnixMs(NOW.0 - 86_400_000), until: NOW };

fn run(job: &str, minutes_ago: i64, input: u64) -> Run {
    let started = NOW.plus(-minutes_ago * 60_000);
    Run {
        key: RunKey { job_id: job.to_owned(), at: RunAt::Started(started) },
        recorded_at: started.plus(2_500),
        status: Status::Ok,
        reason: RunReason::None,
        duration_ms: Some(2_000),
        job_name: Some(format!("the {job}")),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some("m".to_owned()),
        usage: Usage { input: Some(input), output: Some(20), cache_read: Some(0), cache_write: Some(0) },
        provenance: UsageProvenance::Record,
        delivery: Delivery::Unknown,
        session: SessionRef::default(),
        next_run_at: Some(NOW.plus(86_400_000)),
        is_announced: false,
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    reader: LedgerReader,
}

fn ledger(runs: Vec<Run>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let options = OpenOptions { gateway: Some("office".to_owned()), max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&path, &options, UnixMs(1)).unwrap().ledger;
    let to = Position::File(FilePosition { offset: 1, ..FilePosition::default() });
    let batch = Batch { runs: runs.into(), ..Batch::new(SourceId("run-log/a.jsonl".to_owned()), None, to) };
    ledger.apply(&batch, NOW.plus(-600_000)).unwrap();
    drop(ledger);
    Bench { reader: LedgerReader::open(&path).unwrap(), _folder: folder }
}

fn reasons(found: &Comparison) -> Vec<(&str, Vec<Reason>)> {
    let of = |difference: &'_ Difference| difference.reasons.clone();
    found.differences.iter().map(|one| (one.place.job_id.as_str(), of(one))).collect()
}

#[test]
fn each_run_that_only_one_side_has_is_told() {
    let same = || run("same", 10, 100);
    let runs = || vec![same(), run("pruned", 20, 7), run("pruned", 21, 7), run("better", 30, 500)];
    let ours = ledger(runs());
    let theirs = ledger(vec![same(), run("new", 5, 9), run("better", 30, 400)]);
    let found = against_sources(&ours.reader, &theirs.reader, WINDOW, "/state".to_owned()).unwrap();
    assert_eq!(
        reasons(&found),
        [
            ("better", vec![Reason::SessionGone(1)]),
            ("new", vec![Reason::NotYetCounted(1)]),
            ("pruned", vec![Reason::PrunedUpstream(2)]),
        ]
    );
    let pruned = &found.differences[2];
    assert_eq!((pruned.ledger.runs, pruned.ledger.tokens[0], pruned.other), (2, 14, Figures::default()));
    assert_eq!(pruned.job_name, "the pruned");
    assert_eq!((found.equal_jobs, found.equal.runs, found.equal.total()), (1, 1, 120));
    let back = against_sources(&theirs.reader, &ours.reader, WINDOW, String::new()).unwrap();
    assert_eq!(reasons(&back)[0], ("better", vec![Reason::SessionUnread(1)]));
    let equal = against_sources(&ours.reader, &ledger(runs()).reader, WINDOW, String::new()).unwrap();
    assert_eq!((reasons(&equal), equal.equal_jobs), (Vec::new(), 3));
}

/// Last, before and first value of the input tokens, output tokens and runs of a job.
fn values(counters: &mut Counters, gateway: &str, job: &str, counter: Counter, figures: [u64; 3]) {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let sample = |kind: &str, value: u64| Sample {
        labels: [
            ("instance", gateway),
            ("openclaw_job_id", job),
            ("openclaw_provider", "mock"),
            ("openclaw_model", "m"),
            ("openclaw_token", kind),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        value: value as f64,
    };
    let [input, output, runs] = figures;
    let tokens = [sample("input", input), sample("output", output)];
    counters.add(CountersOf::Tokens, counter, &tokens);
    counters.add(CountersOf::Runs, counter, &[sample("", runs)]);
}

#[test]
fn a_server_s_counters_are_divided_into_reasons() {
    let ours = ledger(vec![run("job", 30, 100), run("job", 60, 100)]);
    let whole = [200, 40, 2];
    // Values of last, before and first, under which gateway, and why that differs.
    type Case = (&'static str, [[u64; 3]; 3], Vec<Reason>);
    let cases: [Case; 7] = [
        ("office", [whole, [0; 3], [0; 3]], vec![]),
        ("office", [[100, 20, 1], [0; 3], [0; 3]], vec![Reason::NotYetPushed(120)]),
        ("office", [whole, [0; 3], [100, 20, 1]], vec![Reason::SeenLate(120)]),
        ("office", [whole, [100, 20, 1], [0; 3]], vec![Reason::WindowEdge]),
        ("office", [[201, 40, 2], [0; 3], [0; 3]], vec![Reason::ForeignCount(1)]),
        ("home", [whole, [0; 3], [0; 3]], vec![Reason::OtherInstance(vec!["home".to_owned()])]),
        ("", [[0; 3], [0; 3], [0; 3]], vec![Reason::Absent]),
    ];
    for (gateway, [last, before, first], expected) in cases {
        let mut counters = Counters::new(Identity::Prometheus);
        if !gateway.is_empty() {
            values(&mut counters, gateway, "job", Counter::Last, last);
            values(&mut counters, gateway, "job", Counter::Before, before);
            values(&mut counters, gateway, "job", Counter::First, first);
        }
        let found = against_counters(&ours.reader, &counters, WINDOW, NOW, "http://h".to_owned()).unwrap();
        let told: Vec<Reason> = found.differences.into_iter().flat_map(|one| one.reasons).collect();
        assert_eq!(told, expected, "{gateway} {last:?} {before:?} {first:?}");
    }
    // What changed a moment ago is on its way.
    let counters = Counters::new(Identity::Prometheus);
    let soon = NOW.plus(-590_000);
    let found = against_counters(&ours.reader, &counters, WINDOW, soon, String::new()).unwrap();
    assert_eq!(reasons(&found), [("job", vec![Reason::NotYetPushed(240)])]);
}

#[test]
fn what_a_server_rounded_is_no_difference() {
    // What VictoriaMetrics 1.79 gives back for these dollars; the last two are more than rounding.
    for (truth, kept, same) in [
        (999_999_999_999, 999_999_999_999, true),
        (1_234_123_456_789, 1_234_123_456_790, true),
        (12_345_123_456_789, 12_345_123_456_780, true),
        (123_456_123_456_789, 123_456_123_456_780, true),
        (12_345_123_456_789, 12_345_123_456_700, false),
        (400_000_000_000, 400_000_000_001, false),
    ] {
        let (truth, kept) = (NanoUsd(truth), NanoUsd(kept));
        assert_eq!(counters::unrounded(kept, truth, kept), if same { truth } else { kept });
    }
}

#[test]
fn only_what_differs_is_shown() {
    let runs = || vec![run("same", 10, 100), run("pruned", 20, 7)];
    let ours = ledger(runs());
    let theirs = ledger(vec![run("same", 10, 100)]);
    let against = |sources: &Bench| Reconciliation {
        window: WINDOW,
        zone: Zone::new("UTC").unwrap(),
        gateway: "office".to_owned(),
        ledger: "/own/ledger.sqlite".to_owned(),
        comparisons: vec![
            against_sources(&ours.reader, &sources.reader, WINDOW, "/state".to_owned()).unwrap(),
        ],
    };
    insta::assert_snapshot!("different", reconciliation_table(&against(&theirs)));
    insta::assert_snapshot!("equal", reconciliation_table(&against(&ledger(runs()))));
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/reconcile.schema.json")).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], RECONCILE_SCHEMA);
    let document: serde_json::Value =
        serde_json::from_str(&reconciliation_json(&against(&theirs)).unwrap()).unwrap();
    assert_eq!(document["equal"], false);
    let difference = &document["comparisons"][0]["differences"][0];
    assert_eq!(difference["reasons"][0]["reason"], "pruned_upstream");
    let names = schema["$defs"]["reason"]["properties"]["reason"]["enum"].as_array().unwrap();
    for reason in [
        Reason::PrunedUpstream(1),
        Reason::NotYetCounted(1),
        Reason::SessionGone(1),
        Reason::SessionUnread(1),
        Reason::PricedOtherwise(1),
        Reason::Folded(1),
        Reason::NotYetPushed(1),
        Reason::ForeignCount(1),
        Reason::OtherInstance(vec!["x".to_owned()]),
        Reason::Absent,
        Reason::SeenLate(1),
        Reason::WindowEdge,
    ] {
        assert!(names.iter().any(|name| name == reason.name()), "{reason:?}");
        assert!(reason.text().len() > 30 && !reason.text().contains("  "), "{}", reason.text());
    }
}
