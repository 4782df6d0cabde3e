//! Rows that make no sense, in both tables: each is one reject with its reason, and the rows beside it count.

use super::*;

/// Longest that is read, in bytes, as documented.
const LONGEST: usize = 1 << 20;

/// `task_runs` without the types that 2026.9.6 enforces, and the older table beside it.
fn tables() -> String {
    format!(
        "{};
         CREATE TABLE cron_run_logs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, seq INTEGER NOT NULL,
            ts INTEGER NOT NULL, entry_json TEXT NOT NULL, created_at INTEGER NOT NULL,
            PRIMARY KEY (store_key, job_id, seq))",
        SCHEMA.replace(" STRICT", "").replace("detail_json TEXT", "detail_json")
    )
}

/// What becomes of a text in the place of a record: the reason of its reject, or `None` if it is a run all the same.
fn texts() -> Vec<(&'static str, String, Option<&'static str>)> {
    let good = record(1);
    let with = |from: &str, to: &str| {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        text
    };
    let deep = |open: &str, close: &str| {
        let nested = open.repeat(100_000) + "1" + &close.repeat(100_000);
        with("\"durationMs\":5", &format!("\"durationMs\":5,\"deep\":{nested}"))
    };
    let long = |bytes: usize| {
        with("\"durationMs\":5", &format!("\"durationMs\":5,\"summary\":\"{}\"", "x".repeat(bytes)))
    };
    let start = format!("\"runAtMs\":{}", at(1));
    vec![
        ("half a record", good[..good.len() / 2].to_owned(), Some("invalid_json")),
        ("a text", "the record of a run".into(), Some("invalid_json")),
        ("closed too often", deep("[", "]]"), Some("invalid_json")),
        ("never closed", deep("{\"a\":", ""), Some("invalid_json")),
        ("deep", deep("[", "]"), None),
        ("2 MiB", long(2 << 20), Some("line_too_long")),
        ("nearly as long as may be", long(LONGEST - good.len() - 16), None),
        ("a negative count", with("\"input_tokens\":100", "\"input_tokens\":-1"), Some("impossible_count")),
        ("a fraction", with("\"input_tokens\":100", "\"input_tokens\":0.5"), Some("impossible_count")),
        (
            "beyond 2^53",
            with("\"input_tokens\":100", "\"input_tokens\":9007199254740993"),
            Some("impossible_count"),
        ),
        ("absurdly many", with("\"output_tokens\":7", "\"output_tokens\":1e308"), Some("impossible_count")),
        (
            "digits without end",
            with("\"output_tokens\":7", &format!("\"output_tokens\":{}", "9".repeat(5_000))),
            Some("invalid_json"),
        ),
        (
            "a count that is a list",
            with("\"input_tokens\":100", "\"input_tokens\":[100]"),
            Some("impossible_count"),
        ),
        ("in 1970", with(&start, "\"runAtMs\":86400000"), Some("impossible_time")),
        ("in a thousand years", with(&start, "\"runAtMs\":33350832000000"), Some("impossible_time")),
        ("a time that is a text", with(&start, "\"runAtMs\":\"soon\""), Some("impossible_time")),
    ]
}

#[test]
fn rows_that_make_no_sense() {
    let mut bench = Bench::new();
    bench.append();
    bench.daemon.until_counted(bench.counted);
    let before = peak_kib(&bench.daemon);
    let made = bench.workshop();
    let store = Store::open(&made);
    store.sql(&tables());
    let mut rejected: std::collections::BTreeMap<&'static str, u64> = [].into();
    let mut number = 0;
    for (what, text, reason) in texts() {
        for in_logs in [false, true] {
            number += 1;
            // Each is of a job of its own: the records name the same time.
            let job = format!("{what} {in_logs}");
            if in_logs {
                let entry = text.replacen("\"kind\":\"cron-run\"", "\"action\":\"finished\"", 1);
                let insert = "INSERT INTO cron_run_logs VALUES ('k', ?1, 1, ?2, ?3, ?2 + 9)";
                store.connection.execute(insert, params![job, at(1), entry]).expect("a row");
            } else {
                store.start(&job, number);
                store.end_with(number, &text);
            }
            match reason {
                Some(reason) => *rejected.entry(reason).or_default() += 1,
                None => bench.counted = bench.counted + RUN,
            }
        }
    }
    // Columns of other types, and none at all where there should be something.
    let column = |number: i64, set: &str| {
        store.run("typed", number);
        store.sql(&format!("UPDATE task_runs SET {set} WHERE task_id = 't{number}'"));
    };
    column(101, "source_id = NULL");
    column(102, "detail_json = 17");
    column(103, "detail_json = x'00ff00'");
    column(104, "source_id = ''");
    for (reason, more) in [("not_a_run", 2), ("invalid_json", 1)] {
        *rejected.entry(reason).or_default() += more;
    }
    // A number stands there as nothing at all: a run without a record.
    column(105, "ended_at = 'soon', agent_id = 7, label = x'ff00', child_session_key = 1.5");
    column(106, "ended_at = 9223372036854775807");
    column(107, "source_id = 'a' || char(0) || 'b', label = char(0) || 'name'");
    column(108, "detail_json = CAST(detail_json AS BLOB)");
    column(109, "status = 7, task_id = x'0001'");
    *rejected.entry("impossible_time").or_default() += 1;
    bench.counted = bench.counted + runs(4);
    // NUL bytes in front of a record, and behind it.
    store.run("padded", 110);
    store.sql("UPDATE task_runs SET detail_json = detail_json || char(0) WHERE task_id = 't110'");
    bench.counted = bench.counted + RUN;
    for number in 200..300 {
        store.start("long", number);
        store.end_with(number, &format!("\"{}", "x".repeat(2 << 20)));
    }
    *rejected.entry("line_too_long").or_default() += 100;
    store.run("last", 300);
    bench.counted = bench.counted + RUN;
    drop(store);
    bench.place(&made);
    bench.daemon.until_counted(bench.counted);
    bench.rejected = rejected;
    bench.assert_rejects("all rows");
    let up = [("openclaw_source", "task-runs")];
    until("the store is up", || {
        (bench.daemon.scrape().sum("openclaw_usage_source_up", &up) == 1.0).then_some(())
    });
    bench.daemon.until_readiness(200, "ready");
    let grown = peak_kib(&bench.daemon) - before;
    assert!(grown < 24 << 10, "{grown} KiB more at its peak, for 200 MiB of rows");
    bench.daemon.terminate();
}
