//! Names as somebody may give them to jobs: told apart by id, and the same on the page as in the database.

use std::collections::BTreeSet;

use super::*;
use crate::common::samples::Samples;

const HOSTILE: [&str; 9] = [
    "two\nlines",
    "\u{1b}[31mred\u{1b}[0m",
    "\"quoted\" \\ and \\n escaped",
    "{x=\"y\"} 1",
    "left\u{202e}thgir\u{2066}",
    "tab\tand\rreturn",
    "nul\0and\u{85}next\u{2028}line",
    "# HELP openclaw_tokens_total none",
    "🦞 ünïcödé",
];

fn set_job(store: &Store, id: &str, name: &str, stamp: i64) {
    let sql = "INSERT OR REPLACE INTO cron_jobs VALUES
        ('k', ?1, ?2, 1, 'main', '{\"schedule\":{\"kind\":\"every\",\"everyMs\":60000}}', '{}', ?3, ?3)";
    store.connection.execute(sql, params![id, name, stamp]).expect("a job");
}

/// Runs of each pair of id and name.
fn counted(samples: &Samples) -> BTreeSet<(String, String, u64)> {
    let runs = samples.0.iter().filter(|((name, _), _)| name == "openclaw_cron_runs_total");
    runs.map(|((_, labels), value)| {
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        (label("openclaw_job_id"), label("openclaw_job_name"), crate::common::samples::whole(*value))
    })
    .collect()
}

fn expected(pairs: &[(&str, &str, u64)]) -> BTreeSet<(String, String, u64)> {
    pairs.iter().map(|(id, name, runs)| ((*id).to_owned(), (*name).to_owned(), *runs)).collect()
}

#[test]
fn hostile_names_are_what_they_are() {
    let sandbox = Sandbox::new();
    let store = Store::create(&database(&sandbox));
    let mut pairs = Vec::new();
    for (number, name) in (1..).zip(HOSTILE) {
        // Ids are as free as names.
        set_job(&store, name, name, number);
        store.run(name, number);
        pairs.push((name, name, 1));
    }
    let daemon = sandbox.serve(&[]);
    let samples = daemon.until_counted(runs(9));
    assert_eq!(counted(&samples), expected(&pairs));
    let known = samples.0.keys().filter(|(name, _)| name == "openclaw_cron_job_info").count();
    assert_eq!(known, 9, "a line each");
    // The page has as many lines as it has samples and comments: no name makes another.
    let page = daemon.get("/metrics").text();
    let begins = ["# ", "openclaw", "process_"];
    assert!(page.lines().all(|line| begins.iter().any(|begin| line.starts_with(begin))));
    assert!(page.contains(r#"openclaw_job_name="two\nlines""#), "{page}");
    assert!(page.contains(r#"openclaw_job_name="\"quoted\" \\ and \\n escaped""#), "{page}");
    let log = daemon.terminate();
    assert!(!log.contains('\u{1b}') && !log.contains('\u{202e}'), "{log}");
}

#[test]
fn names_that_are_shared_change_hands_or_change() {
    let sandbox = Sandbox::new();
    let store = Store::create(&database(&sandbox));
    set_job(&store, "a", "report", 1);
    set_job(&store, "b", "report", 2);
    store.run("a", 1);
    store.run("b", 2);
    let daemon = sandbox.serve(&[]);
    let seen = daemon.until_counted(runs(2));
    assert_eq!(counted(&seen), expected(&[("a", "report", 1), ("b", "report", 1)]), "one name, two jobs");

    // Renamed: what is counted from then on has the new name.
    set_job(&store, "a", "weekly\n\"report\"", 3);
    store.run("a", 3);
    let renamed = daemon.until_counted(runs(3));
    renamed.assert_continues(&seen);
    let after = [("a", "report", 1), ("a", "weekly\n\"report\"", 1), ("b", "report", 1)];
    assert_eq!(counted(&renamed), expected(&after), "a rename");

    // The name returns under a new id, after its job was removed.
    store.sql("DELETE FROM cron_jobs WHERE job_id = 'b'");
    set_job(&store, "c", "report", 4);
    store.run("c", 4);
    store.run("b", 5);
    let returned = daemon.until_counted(runs(5));
    returned.assert_continues(&renamed);
    let is = counted(&returned);
    let of = |id: &str| is.iter().filter(|(known, _, _)| known == id).map(|(_, _, runs)| runs).sum::<u64>();
    assert_eq!((of("a"), of("b"), of("c")), (2, 2, 1), "{is:?}");
    let defined = |id| returned.sum("openclaw_cron_job_info", &[("openclaw_job_id", id)]);
    assert_eq!((defined("a"), defined("b"), defined("c")), (1.0, 0.0, 1.0));
    daemon.kill();
    let restarted = sandbox.serve(&[]);
    assert_eq!(counted(&restarted.until_counted(runs(5))), is, "after a restart");
}
