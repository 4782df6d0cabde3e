//! Exports of small ledgers.

use super::*;
use crate::report::export::{
    COLUMNS, ExportError, Identity, RowFormat, RowWriter, Value, Wanted, openmetrics, rows,
};

fn wanted(since: &str, until: &str) -> Wanted {
    Wanted { window: Window { since: at(since), until: at(until) }, selection: Selection::default() }
}

fn written(bench: &Bench, format: RowFormat, wanted: &Wanted) -> String {
    let mut out = Vec::new();
    let mut writer = RowWriter::new(format, &mut out).unwrap();
    rows(&bench.reader, wanted, |row| writer.row(row)).unwrap();
    writer.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn counters(bench: &Bench, wanted: &Wanted) -> String {
    let identity = Identity { job: "openclaw-usage".to_owned(), instance: None };
    let mut out = Vec::new();
    openmetrics(&bench.reader, wanted, &identity, &mut out, || ()).unwrap();
    String::from_utf8(out).unwrap()
}

/// One of a job that will run again, and so is counted under its own id.
fn again(job: &str, started: &str, model: &str) -> Run {
    let run = run(job, started, model);
    Run { next_run_at: Some(at(started).plus(3_600_000)), ..run }
}

/// The samples of a series whose line holds all of these, as seconds after a time and values.
fn samples<'a>(text: &'a str, since: &str, parts: &[&str]) -> Vec<(i64, &'a str)> {
    let lines =
        text.lines().filter(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)));
    let sample = |line: &'a str| {
        let (_, rest) = line.rsplit_once("} ").unwrap();
        let (value, time) = rest.split_once(' ').unwrap();
        let (seconds, ms) = time.split_once('.').unwrap();
        let ms: i64 = format!("{seconds}{ms}").parse().unwrap();
        ((ms - at(since).0) / 1_000, value)
    };
    lines.map(sample).collect()
}

#[test]
fn a_row_for_each_run_and_model_in_both_formats() {
    let calls = vec![call(1, "m", [1_000, 20, 5, 6]), call(2, "free-of-price", [7, 8, 0, 0])];
    let named = |name: &str| Some(name.to_owned());
    let runs = vec![
        run("a", "2026-05-01T00:00:00Z", "m"),
        failed("a", "2026-05-01T02:00:00.125Z"),
        Run {
            job_name: named("=1+1, \"x\"\n\u{1b}[2J日本"),
            ..run("b", "2026-05-02T00:00:00Z", "subscribed")
        },
        run("c", "2026-04-01T08:00:00Z", "m"),
        run("c", "2026-04-01T09:00:00Z", "m"),
    ];
    let bench = Bench::with(runs, calls, |ledger| {
        ledger.fold(at("2026-04-02T00:00:00Z")).unwrap();
    });
    let all = wanted(ALL.0, ALL.1);
    let csv = written(&bench, RowFormat::Csv, &all);
    let lines = written(&bench, RowFormat::Jsonl, &all);
    insta::assert_snapshot!("export_rows", format!("{}\n{lines}", csv.replace("\r\n", "\n")));
    assert!(csv.split_terminator("\r\n").all(|line| !line.contains(['\u{1b}', '\n', '\r'])));
    for line in lines.lines() {
        let row: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        assert_eq!(row.len(), COLUMNS.len());
    }
}

#[test]
fn sums_over_all_rows_are_those_of_the_report() {
    let calls = vec![call(1, "m", [1_000, 20, 5, 6]), call(2, "free-of-price", [7, 8, 0, 0])];
    let runs = vec![
        run("a", "2026-05-01T00:00:00Z", "m"),
        failed("a", "2026-05-01T02:00:00Z"),
        run("b", "2026-05-02T00:00:00Z", "subscribed"),
        run("c", "2026-04-01T08:00:00Z", "m"),
        run("c", "2026-04-01T09:00:00Z", "m"),
    ];
    let bench = Bench::with(runs, calls, |ledger| {
        ledger.fold(at("2026-04-02T00:00:00Z")).unwrap();
    });
    let selections = [
        Selection::default(),
        Selection { jobs: vec![Pattern::new("the a")], ..Selection::default() },
        Selection { models: vec![Pattern::new("mock/free-*")], ..Selection::default() },
    ];
    for (since, until) in [ALL, ("2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z")] {
        for selection in &selections {
            let mut asked = query(&[Dimension::Job], since, until, "UTC");
            asked.selection = selection.clone();
            let totals = bench.ask(&asked).totals;
            let sum = |name: &str| {
                let column = COLUMNS.iter().position(|column| column.name == name).unwrap();
                let mut sum = 0;
                let wanted = Wanted { window: asked.window, selection: selection.clone() };
                let add = |row: &[Value<'_>; COLUMNS.len()]| {
                    sum += if let Value::Integer(n) = row[column] { n } else { 0 };
                    Ok(())
                };
                rows(&bench.reader, &wanted, add).unwrap();
                sum
            };
            assert_eq!(sum("runs"), i64::try_from(totals.runs.total).unwrap(), "{selection:?}");
            let columns = ["tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write"];
            assert_eq!(columns.map(sum), totals.tokens.map(|n| i64::try_from(n).unwrap()), "{selection:?}");
            assert_eq!(sum("cost_nano_usd"), totals.cost.0, "{selection:?}");
        }
    }
}

#[test]
fn a_receiver_that_fails_ends_it() {
    let bench = Bench::of(vec![run("a", "2026-05-01T00:00:00Z", "m"), run("b", "2026-05-01T00:00:00Z", "m")]);
    let mut taken = 0;
    let told = rows(&bench.reader, &wanted(ALL.0, ALL.1), |_| {
        taken += 1;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert!(matches!(told, Err(ExportError::Write(_))), "{told:?}");
    assert_eq!(taken, 1);
}

#[test]
fn counters_are_told_on_both_sides_of_a_change_and_at_midnight() {
    let day = "2026-05-01T00:00:00Z";
    let bench = Bench::of(vec![
        again("a", "2026-05-01T10:07:00Z", "m"),
        again("a", "2026-05-01T10:14:59.999Z", "m"),
        again("a", "2026-05-01T10:15:00Z", "m"),
        again("a", "2026-05-03T00:00:00Z", "m"),
        again("seldom", "2026-05-01T10:00:00Z", "m"),
        again("seldom", "2026-05-15T10:00:00Z", "m"),
    ]);
    let text = counters(&bench, &wanted(ALL.0, "2026-05-20T00:00:00Z"));
    let quarter = 900;
    let ten = 40 * quarter;
    let midnight = |n: i64| n * 86_400;
    let mut expected = vec![
        (ten, "0"),
        (ten + quarter, "40"),
        (ten + 2 * quarter, "60"),
        (midnight(1), "60"),
        (midnight(2), "60"),
        (midnight(2) + quarter, "80"),
    ];
    // For seven days after the last change.
    expected.extend((3..=9).map(|n| (midnight(n), "80")));
    let of_a = ["openclaw_tokens_total", "=\"output\"", "job_id=\"a\""];
    assert_eq!(samples(&text, day, &of_a), expected);
    // However long until the next change, which would else be a first value.
    let seldom = samples(&text, day, &["openclaw_tokens_total", "=\"output\"", "=\"seldom\""]);
    assert!((1..15).all(|n| seldom.contains(&(midnight(n), "20"))), "{seldom:?}");
    assert_eq!(samples(&text, day, &["=\"cache_read\""]), [], "what is always 0 is no series");
    let runs = samples(&text, day, &["openclaw_cron_runs_total{", "openclaw_status=\"ok\"", "=\"a\""]);
    assert_eq!(runs[..3], [(ten, "0"), (ten + quarter, "2"), (ten + 2 * quarter, "3")]);
    let dollars = samples(&text, day, &["openclaw_cost_usd_total", "openclaw_billing=\"metered\"", "=\"a\""]);
    assert_eq!(dollars[..2], [(ten, "0"), (ten + quarter, "0.00204")]);
    assert!(text.starts_with("# HELP openclaw_tokens ") && text.ends_with("\n# EOF\n"), "{text}");
    let name = "openclaw_tokens_total{job=\"openclaw-usage\",instance=\"openclaw\",openclaw_channel=\"cron\",\
                openclaw_agent=\"main\",openclaw_provider=\"mock\",openclaw_model=\"m\",openclaw_job_id=\"a\",\
                openclaw_job_name=\"the a\",openclaw_token=\"input\"} 0 ";
    assert!(text.contains(name), "{text}");
}

#[test]
fn nothing_is_told_after_the_end_and_nothing_that_was_recorded_after_it() {
    let bench = Bench::of(vec![
        again("a", "2026-05-01T10:00:00Z", "m"),
        // Started before the end, and written down 2.5 s later: after it.
        again("a", "2026-05-01T10:04:59Z", "m"),
        failed("b", "2026-05-01T10:05:00Z"),
    ]);
    let end = "2026-05-01T10:05:00Z";
    let text = counters(&bench, &wanted(ALL.0, end));
    let told = samples(&text, end, &["openclaw_cron_runs_total"]);
    assert_eq!(told, [(-300, "0"), (0, "1")]);
    assert_eq!(samples(&text, end, &["="]).iter().map(|(at, _)| *at).max(), Some(0));
}

#[test]
fn counters_of_folded_days_and_of_chosen_jobs() {
    let runs = vec![
        again("a", "2026-04-01T08:00:00Z", "m"),
        again("b", "2026-04-01T08:00:00Z", "subscribed"),
        again("b", "2026-05-01T08:00:00Z", "subscribed"),
    ];
    let bench = Bench::with(runs, Vec::new(), |ledger| {
        ledger.fold(at("2026-04-02T00:00:00Z")).unwrap();
    });
    let noon = "2026-04-01T12:00:00Z";
    let mut asked = wanted(ALL.0, "2026-06-01T00:00:00Z");
    let all = counters(&bench, &asked);
    let dollars = samples(&all, noon, &["openclaw_cost_usd_total", "=\"b\"", "=\"subscription\""]);
    assert_eq!(dollars[..2], [(0, "0"), (900, "0.00102")], "{all}");
    assert_eq!(dollars.iter().map(|(_, value)| *value).filter(|value| *value == "0.00204").count(), 8);
    asked.selection.jobs = vec![Pattern::new("a")];
    let one = counters(&bench, &asked);
    assert_eq!(samples(&one, noon, &["=\"b\""]), []);
    assert_eq!(samples(&one, noon, &["=\"a\""]), samples(&all, noon, &["=\"a\""]));
}
