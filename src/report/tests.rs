//! Whole reports of small ledgers, made of the runs that each test names.

mod by_two;
mod export;
mod many;

use std::sync::Arc;

use super::*;
use crate::ledger::{Ledger, LedgerReader, OpenOptions, UsedRun, Window};
use crate::model::{
    Batch, BilledCall, Billing, BudgetDefinition, BudgetMatch, Charge, Cost, CostProvenance, Delivery,
    FilePosition, JobDefinition, NanoUsd, Period, Position, Priceable, Reason, Run, RunAt, RunKey,
    ScheduleKind, SessionRef, SourceId, Status, UnixMs, Usage, UsageProvenance,
};
use crate::price::Pattern;

fn at(text: &str) -> UnixMs {
    UnixMs(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// A successful run of 2 s with 1,000 + 20 tokens of `model`, which has a price unless it is `free-of-price`.
fn run(job: &str, started: &str, model: &str) -> Run {
    Run {
        key: RunKey { job_id: job.to_owned(), at: RunAt::Started(at(started)) },
        recorded_at: at(started).plus(2_500),
        status: Status::Ok,
        reason: Reason::None,
        duration_ms: Some(2_000),
        job_name: Some(format!("the {job}")),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some(model.to_owned()),
        usage: Usage { input: Some(1_000), output: Some(20), cache_read: Some(0), cache_write: Some(0) },
        provenance: UsageProvenance::Record,
        delivery: Delivery::Unknown,
        session: SessionRef::default(),
        next_run_at: None,
        is_announced: false,
    }
}

/// One that failed and says nothing.
fn failed(job: &str, started: &str) -> Run {
    let run = run(job, started, "");
    let (usage, model) = (Usage::default(), None);
    Run { status: Status::Error, usage, model, provenance: UsageProvenance::None, ..run }
}

/// A call of the run of the job `a` that started with May.
fn call(key: u64, model: &str, tokens: [u64; 4]) -> BilledCall {
    BilledCall {
        key,
        run: run("a", "2026-05-01T00:00:00Z", "m").key,
        at: at("2026-05-01T00:00:01Z"),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some(model.to_owned()),
        tokens,
        recorded: None,
        sub_agent: false,
    }
}

/// A micro-dollar for each token but those of `free-of-price`; `subscribed` has a subscription.
fn charge(asked: Priceable<'_>) -> Charge {
    let usd = NanoUsd(i64::try_from(asked.usage.total()).unwrap() * 1_000);
    let known = match asked.model {
        _ if asked.usage.input.is_none() => CostProvenance::None,
        "free-of-price" => CostProvenance::Unpriced,
        _ => CostProvenance::Priced,
    };
    let usd = if known == CostProvenance::Priced { usd } else { NanoUsd::ZERO };
    let cost = Cost { usd, provenance: known };
    let billing = if asked.model == "subscribed" { Billing::Subscription } else { Billing::Metered };
    Charge { cost, billing, ..Charge::default() }
}

fn batch(runs: Vec<Run>, calls: Vec<BilledCall>) -> Batch {
    let source = SourceId("run-log/a.jsonl".to_owned());
    let to = Position::File(FilePosition { offset: 1, ..FilePosition::default() });
    Batch { runs: runs.into(), calls, ..Batch::new(source, None, to) }
}

struct Bench {
    _folder: tempfile::TempDir,
    reader: LedgerReader,
}

impl Bench {
    fn of(runs: Vec<Run>) -> Self {
        Self::with(runs, Vec::new(), |_| ())
    }

    fn with(runs: Vec<Run>, calls: Vec<BilledCall>, then: impl FnOnce(&mut Ledger)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
        let mut ledger = Ledger::open(&path, &options, UnixMs(1)).unwrap().ledger;
        ledger.set_pricing(Arc::new(charge));
        ledger.apply(&batch(runs, calls), at("2026-06-01T00:00:00Z")).unwrap();
        then(&mut ledger);
        drop(ledger);
        Self { reader: LedgerReader::open(&path).unwrap(), _folder: folder }
    }

    fn ask(&self, query: &Query) -> Report {
        report(&self.reader.usage().unwrap(), query).unwrap()
    }
}

fn query(by: &[Dimension], since: &str, until: &str, zone: &str) -> Query {
    Query {
        window: Window { since: at(since), until: at(until) },
        compare: false,
        zone: Zone::new(zone).unwrap(),
        by: by.to_vec(),
        selection: Selection::default(),
        sort: None,
        top: None,
    }
}

/// Each row's last cell with its runs.
fn counts(report: &Report) -> Vec<(&str, u64)> {
    report
        .rows
        .iter()
        .map(|row| (row.group.last().and_then(Cell::text).unwrap_or("-"), row.sums.runs.total))
        .collect()
}

const ALL: (&str, &str) = ("1970-01-01T00:00:00Z", "2027-01-01T00:00:00Z");

#[test]
fn a_window_has_its_first_millisecond_and_not_its_last() {
    let bench = Bench::of(vec![
        run("a", "2026-05-01T00:00:00Z", "m"),
        run("b", "2026-05-01T23:59:59.999Z", "m"),
        run("c", "2026-05-02T00:00:00Z", "m"),
    ]);
    let day = query(&[Dimension::Job], "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z", "UTC");
    assert_eq!(counts(&bench.ask(&day)), [("the a", 1), ("the b", 1)]);
    let instant = query(&[Dimension::Job], "2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z", "UTC");
    let empty = bench.ask(&instant);
    assert_eq!((empty.rows.len(), empty.totals), (0, Sums::default()));
    let text = table(&bench.ask(&instant), "from nowhere", Terminal { width: 80, colour: false });
    assert!(text.ends_with("\n\nNo run started in this window.\n"), "{text}");
    assert!(json(&bench.ask(&instant)).unwrap().contains("\"rows\": []"));
}

#[test]
fn days_are_local_also_where_they_have_23_or_25_hours() {
    let bench = Bench::of(vec![
        run("a", "2026-03-28T22:59:59.999Z", "m"),
        run("a", "2026-03-28T23:00:00Z", "m"),
        run("a", "2026-03-29T21:59:59.999Z", "m"),
        run("a", "2026-03-29T22:00:00Z", "m"),
        // 02:30 comes twice.
        run("a", "2026-10-25T00:30:00Z", "m"),
        run("a", "2026-10-25T01:30:00Z", "m"),
        run("a", "2026-10-25T22:59:59Z", "m"),
        run("a", "2026-10-25T23:00:00Z", "m"),
    ]);
    let days = bench.ask(&query(&[Dimension::Day], ALL.0, ALL.1, "Europe/Berlin"));
    assert_eq!(
        counts(&days),
        [("2026-03-28", 1), ("2026-03-29", 2), ("2026-03-30", 1), ("2026-10-25", 3), ("2026-10-26", 1)]
    );
    let utc = bench.ask(&query(&[Dimension::Day], ALL.0, ALL.1, "UTC"));
    assert_eq!(counts(&utc), [("2026-03-28", 2), ("2026-03-29", 2), ("2026-10-25", 4)]);
    let weeks = bench.ask(&query(&[Dimension::Week], ALL.0, ALL.1, "Europe/Berlin"));
    assert_eq!(counts(&weeks), [("2026-W13", 3), ("2026-W14", 1), ("2026-W43", 3), ("2026-W44", 1)]);
    let months = bench.ask(&query(&[Dimension::Month], ALL.0, ALL.1, "Europe/Berlin"));
    assert_eq!(counts(&months), [("2026-03", 4), ("2026-10", 4)]);
}

#[test]
fn costs_say_how_they_are_known() {
    let bench = Bench::of(vec![
        run("a", "2026-05-01T00:00:00Z", "m"),
        run("a", "2026-05-01T01:00:00Z", "free-of-price"),
        failed("a", "2026-05-01T02:00:00Z"),
        run("b", "2026-05-01T00:00:00Z", "subscribed"),
        run("c", "2026-05-01T00:00:00Z", "free-of-price"),
        Run { status: Status::Error, ..run("d", "2026-05-01T03:00:00Z", "m") },
    ]);
    let mut asked = query(&[Dimension::Job], "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z", "UTC");
    insta::assert_snapshot!(
        "known",
        table(&bench.ask(&asked), "from nowhere", Terminal { width: 80, colour: false })
    );
    asked.top = Some(1);
    let first = bench.ask(&asked);
    assert_eq!((first.rows.len(), first.left_out, first.totals.runs.total), (1, 3, 6));
    assert_eq!((first.totals.unpriced_runs, first.totals.lower_bound_runs()), (2, 1));
    assert_eq!(first.totals.wasted, NanoUsd(1_020_000));
    assert_eq!(first.unpriced, [("free-of-price".to_owned(), 2)]);
}

#[test]
fn further_models_of_a_run_count_their_tokens_and_no_run() {
    let calls = vec![call(1, "m", [1_000, 20, 5, 6]), call(2, "free-of-price", [7, 8, 0, 0])];
    let runs = vec![run("a", "2026-05-01T00:00:00Z", "m"), run("a", "2026-05-01T01:00:00Z", "m")];
    let bench = Bench::with(runs, calls, |_| ());
    let models = bench.ask(&query(&[Dimension::Model], ALL.0, ALL.1, "UTC"));
    assert_eq!(counts(&models), [("m", 2), ("free-of-price", 0)]);
    assert_eq!(models.rows[0].sums.tokens, [2_000, 40, 5, 6]);
    assert_eq!(models.rows[1].sums.tokens, [7, 8, 0, 0]);
    assert_eq!((models.rows[0].sums.unpriced_runs, models.rows[1].sums.unpriced_runs), (0, 1));
    // Of the run as a whole a part is priced.
    assert_eq!(
        (models.totals.unpriced_runs, models.totals.partial_runs, models.totals.priced_runs),
        (0, 1, 1)
    );
    assert_eq!(models.totals.tokens, bench.reader.summary().unwrap().tokens);
    let mut only = query(&[Dimension::Job], ALL.0, ALL.1, "UTC");
    only.selection.models = vec![Pattern::new("mock/free-*")];
    assert_eq!(bench.ask(&only).totals.tokens, [7, 8, 0, 0]);
}

#[test]
fn folded_days_count_once_in_windows_that_follow_each_other() {
    let runs = vec![
        run("a", "2026-05-01T03:00:00Z", "m"),
        run("a", "2026-05-01T21:00:00Z", "m"),
        run("a", "2026-05-03T03:00:00Z", "m"),
    ];
    let bench = Bench::with(runs, Vec::new(), |ledger| {
        assert_eq!(ledger.fold(at("2026-05-02T12:00:00Z")).unwrap(), 2);
    });
    let ask = |since, until| bench.ask(&query(&[Dimension::Job], since, until, "UTC")).totals;
    let noon = "2026-05-01T12:00:00Z";
    let (before, after) = (ask(ALL.0, noon), ask(noon, ALL.1));
    assert_eq!((before.runs.total, after.runs.total, after.folded_runs), (0, 3, 2));
    assert_eq!(after.tokens, [3_000, 60, 0, 0]);
    // How the cost of a folded day is known is not kept.
    assert_eq!((after.cost, after.known()), (NanoUsd(3_060_000), Known::AtLeast));
    assert_eq!(after.duration_ms(50), Some(2_000));
}

#[test]
fn a_window_is_held_against_the_one_before() {
    let bench = Bench::of(vec![
        run("a", "2026-05-01T00:00:00Z", "m"),
        run("gone", "2026-05-01T23:59:59.999Z", "m"),
        run("a", "2026-05-02T00:00:00Z", "m"),
        run("a", "2026-05-02T01:00:00Z", "m"),
        run("new", "2026-05-02T01:00:00Z", "m"),
        run("a", "2026-04-30T23:59:59.999Z", "m"),
    ]);
    let mut asked = query(&[Dimension::Job], "2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z", "UTC");
    asked.compare = true;
    let compared = bench.ask(&asked);
    insta::assert_snapshot!(
        "compared",
        table(&compared, "from nowhere", Terminal { width: 80, colour: false })
    );
    let head = csv(&compared).lines().next().unwrap().to_owned();
    assert!(head.ends_with(",previous_last_run_ms,previous_unpriced_tokens"), "{head}");
    assert!(csv(&compared).lines().all(|line| line.matches(',').count() == head.matches(',').count()));
}

#[test]
fn hostile_names_do_nothing_anywhere() {
    let names = [
        "\u{1b}[2J\u{1b}[31mred",
        "two\nlines | and, \"more\"",
        "\u{202e}drow",
        "=HYPERLINK(\"http://evil\")",
        "日報を書くための長い名前の仕事です",
        "🦞🦞 lobster 🦞🦞 and what it eats",
        "<script>alert(1)</script>",
        "",
    ];
    let runs = names.iter().enumerate().map(|(nth, name)| {
        let run = run(&format!("id{nth}"), "2026-05-01T00:00:00Z", "m\n\u{1b}[1m");
        Run { job_name: Some((*name).to_owned()).filter(|name| !name.is_empty()), ..run }
    });
    let bench = Bench::of(runs.collect());
    let mut asked =
        query(&[Dimension::Job, Dimension::Model], "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z", "UTC");
    asked.sort = Some(Sort::Group);
    let report = bench.ask(&asked);
    let plain = table(&report, "from nowhere", Terminal { width: 80, colour: false });
    let all = [plain.clone(), csv(&report), markdown(&report, "from nowhere")].join("\n--\n");
    assert!(!all.contains(['\u{1b}', '\u{202e}']));
    for line in plain.lines() {
        assert!(crate::page::columns(line) <= 80, "{line}");
    }
    insta::assert_snapshot!("hostile", all.replace("\r\n", "\n"));
    // JSON has every character as it is, since programs read it.
    let document: serde_json::Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    let told: Vec<_> = document["rows"].as_array().unwrap().iter().collect();
    assert!(told.iter().any(|row| row["group"]["job_name"] == names[2]));
    assert!(told.iter().any(|row| row["group"]["job_name"].is_null() && row["group"]["job_id"] == "id7"));
}

#[test]
fn of_many_runs_those_are_kept_that_come_first() {
    let start = at("2026-05-01T00:00:00Z");
    let runs = (0..3_000_i64).map(|n| {
        // The newest of all is the 2,999th of the second job.
        let job = if n % 2 == 0 { "a" } else { "b" };
        let run = run(job, "2026-05-01T00:00:00Z", "m");
        Run { key: RunKey { at: RunAt::Started(start.plus(n * 1_000)), ..run.key }, ..run }
    });
    let bench = Bench::of(runs.collect());
    let mut asked = query(&[Dimension::Run], ALL.0, ALL.1, "UTC");
    asked.top = Some(5);
    let report = bench.ask(&asked);
    let times: Vec<&Cell> = report.rows.iter().filter_map(|row| row.group.first()).collect();
    let newest: Vec<Cell> = (2_995..3_000).rev().map(|n| Cell::Time(start.plus(n * 1_000))).collect();
    assert_eq!(times, newest.iter().collect::<Vec<_>>());
    assert_eq!((report.left_out, report.totals.runs.total), (2_995, 3_000));
    asked.sort = Some(Sort::Group);
    let report = bench.ask(&asked);
    let oldest: Vec<Cell> = (0..5).map(|n| Cell::Time(start.plus(n * 1_000))).collect();
    assert_eq!(report.rows.iter().filter_map(|row| row.group.first().cloned()).collect::<Vec<_>>(), oldest);
}

#[test]
fn budgets_stand_as_their_period_does_when_the_window_ends() {
    let hourly = |from: &str, count: i64| {
        let start = at(from);
        (0..count).map(move |n| {
            let run = run("a", "2026-05-02T00:00:00Z", "m");
            Run { key: RunKey { at: RunAt::Started(start.plus(n * 3_600_000)), ..run.key }, ..run }
        })
    };
    // From the day before until five: six of this day, each of 1,020 micro-dollars.
    let runs = hourly("2026-05-01T20:00:00Z", 10).chain([run("b", "2026-05-02T01:00:00Z", "free-of-price")]);
    let job = JobDefinition {
        job_id: "a".into(),
        name: "the a".into(),
        agent: None,
        schedule: ScheduleKind::Recurring,
        enabled: true,
        next_run_at: Some(at("2026-05-02T06:00:00Z")),
        running: false,
        system: false,
        webhook: None,
    };
    let bench = Bench::with(runs.collect(), Vec::new(), |ledger| _ = ledger.set_jobs(&[job]).unwrap());
    let budget = |name: &str, period, zone: &str, model: Option<&str>| BudgetDefinition {
        name: name.into(),
        limit: NanoUsd(12_240_000),
        period,
        timezone: zone.into(),
        matches: BudgetMatch { model: model.map(str::to_owned), ..BudgetMatch::default() },
    };
    let definitions = [
        budget("day", Period::Day, "UTC", Some("m")),
        budget("tokyo", Period::Day, "Asia/Tokyo", None),
        budget("month", Period::Month, "UTC", Some("n*")),
    ];
    let stand = |until: &str| {
        let rows = budgets(&bench.reader.usage().unwrap(), &definitions, at(until)).unwrap();
        rows.iter().map(|row| (row.sums.cost.0 / 1_020_000, row.projected.0 / 1_020_000)).collect::<Vec<_>>()
    };
    // 18 more come this day in UTC, 9 in Tokyo, where it began at 15:00 UTC.
    assert_eq!(stand("2026-05-02T05:30:00Z"), [(6, 24), (10, 19), (0, 0)]);
    assert_eq!(
        stand("2026-05-02T00:00:00Z"),
        [(4, 4), (4, 10), (0, 0)],
        "the last instant of the day before"
    );
    assert_eq!(stand("2026-05-02T00:00:00.001Z"), [(1, 1), (5, 13), (0, 0)]);
    let asked = query(&[Dimension::Job], "2026-05-02T05:00:00Z", "2026-05-02T05:30:00Z", "UTC");
    let budgets = budgets(&bench.reader.usage().unwrap(), &definitions, asked.window.until).unwrap();
    let report = Report { budgets, ..bench.ask(&asked) };
    assert_eq!(
        text::footnotes(&report)[..3],
        [
            "Budget day: $0.0061 of $0.0122 a day (50 %), $0.0245 projected by 2026-05-03 00:00 UTC.",
            "Budget tokyo: ≥ $0.0102 of $0.0122 a day (≥ 83 %), ≥ $0.0194 projected by 2026-05-03 00:00 Asia/Tokyo.",
            "Budget month: $0.00 of $0.0122 a month (0 %), $0.00 projected by 2026-06-01 00:00 UTC.",
        ]
    );
    assert!(markdown(&report, "x").contains("\nBudget day: "));
    assert!(table(&report, "x", Terminal { width: 80, colour: false }).contains("\nBudget day: "));
}

#[test]
fn colours_come_only_when_asked_for_and_change_no_letter() {
    let bench = Bench::of(vec![run("a", "2026-05-01T00:00:00Z", "m"), failed("b", "2026-05-01T02:00:00Z")]);
    let report = bench.ask(&query(&[Dimension::Job], ALL.0, ALL.1, "UTC"));
    let draw = |colour| table(&report, "from nowhere", Terminal { width: 100, colour });
    let (plain, colourful) = (draw(false), draw(true));
    assert!(!plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for (nth, piece) in colourful.split('\u{1b}').enumerate() {
        let text = if nth == 0 { Some(piece) } else { piece.split_once('m').map(|(_, text)| text) };
        stripped.push_str(text.unwrap());
    }
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&stripped), trimmed(&plain));
    assert!(colourful.contains("\u{1b}[31m"), "what failed is red");
}

#[test]
fn every_dimension_and_order_that_can_be_asked_for_is_known() {
    for name in crate::cli::BY {
        assert_eq!(Dimension::of(name).map(Dimension::name), Some(name));
    }
    for name in crate::cli::SORT {
        assert!(Sort::of(name).is_some(), "{name}");
    }
    assert_eq!((Dimension::ALL.len(), Sort::ALL.len()), (crate::cli::BY.len(), crate::cli::SORT.len()));
}
