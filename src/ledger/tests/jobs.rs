//! Under which labels jobs are counted, and what their gauges say.

use super::*;
use crate::model::{JobDefinition, ScheduleKind};

fn definition(job: &str, name: &str, schedule: ScheduleKind) -> JobDefinition {
    JobDefinition {
        job_id: job.to_owned(),
        name: name.to_owned(),
        agent: None,
        schedule,
        enabled: true,
        next_run_at: Some(T0.plus(5)),
        running: false,
        system: false,
        webhook: None,
    }
}

fn recurring(job: &str, name: &str) -> JobDefinition {
    definition(job, name, ScheduleKind::Recurring)
}

/// The job ids and names of all label sets, in the order of their making.
fn labels(bench: &Bench) -> Vec<(String, String)> {
    bench.totals().labels.iter().map(|labels| (labels.job_id.clone(), labels.job_name.clone())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
}

fn facts(bench: &Bench, job: &str) -> JobFacts {
    bench.totals().jobs.into_iter().find(|facts| facts.job_id == job).unwrap()
}

fn one_shot(job: &str, minute: i64) -> Run {
    Run { next_run_at: None, ..run(job, minute) }
}

#[test]
fn one_shot_jobs_share_a_label_whether_or_not_the_scheduler_still_knows_them() {
    let mut bench = Bench::new();
    bench
        .ledger()
        .set_jobs(&[definition("a", "once", ScheduleKind::OneShot), recurring("c", "often")])
        .unwrap();
    // Deleted with its run: the record names the time at which it was due.
    let due = Run { next_run_at: Some(T0.plus(-3_803)), ..run("e", 0) };
    bench.apply(vec![one_shot("a", 0), one_shot("b", 0), one_shot("c", 0), run("d", 0), due]);
    assert_eq!(labels(&bench), pairs(&[("one-shot", ""), ("c", "often"), ("d", "")]));
    // Once counted, a job keeps its kind of label.
    bench.ledger().set_jobs(&[recurring("b", "now often")]).unwrap();
    bench.apply(vec![run("b", 1)]);
    assert_eq!(labels(&bench).len(), 3);
}

#[test]
fn jobs_above_the_limit_share_a_label_also_after_a_restart() {
    let mut bench = Bench::with_max_jobs(2);
    bench.apply(vec![run("a", 0), one_shot("x", 0), run("b", 0), run("c", 0)]);
    bench.reopen();
    bench.apply(vec![run("d", 0), run("a", 1), run("c", 1)]);
    assert_eq!(labels(&bench), pairs(&[("a", ""), ("one-shot", ""), ("b", ""), ("other", "")]));
    let over = bench.totals().jobs.iter().filter(|job| job.label == JobLabel::Other).count();
    assert_eq!(over, 2);
}

#[test]
fn the_limit_holds_after_a_transaction_that_failed() {
    let mut bench = Bench::with_max_jobs(1);
    bench.apply(vec![run("a", 0)]);
    bench.sql("CREATE TRIGGER disk BEFORE INSERT ON position BEGIN SELECT RAISE(ABORT, 'disk'); END");
    let batch = bench.batch(vec![run("b", 0)]);
    bench.ledger().apply(&batch, T0).unwrap_err();
    bench.sql("DROP TRIGGER disk");
    bench.ledger().apply(&batch, T0).unwrap();
    assert_eq!(labels(&bench), pairs(&[("a", ""), ("other", "")]));
}

#[test]
fn a_renamed_job_keeps_its_old_series_and_grows_a_new_one() {
    let mut bench = Bench::new();
    let ok = SeriesKind::Runs(Status::Ok, Reason::None);
    let totals = |bench: &Bench| -> Vec<u64> {
        let totals = bench.totals();
        totals.series.iter().filter(|s| s.kind == ok).map(|s| s.exported_total).collect()
    };
    assert!(bench.ledger().set_jobs(&[recurring("a", "first")]).unwrap());
    assert!(!bench.ledger().set_jobs(&[recurring("a", "first")]).unwrap(), "nothing new");
    bench.apply(vec![run("a", 0), run("a", 1)]);
    assert!(bench.ledger().set_jobs(&[recurring("a", "second")]).unwrap());
    bench.apply(vec![run("a", 2)]);
    assert_eq!((labels(&bench), totals(&bench)), (pairs(&[("a", "first"), ("a", "second")]), vec![2, 1]));
    // A record of before that is read again stays where it was counted.
    assert_eq!(bench.outcome(run("a", 0)), Outcome::Duplicate);
    bench.ledger().set_jobs(&[]).unwrap();
    bench.apply(vec![run("a", 3)]);
    assert_eq!(totals(&bench), [2, 2], "a deleted job keeps its last name");
    let long = "n".repeat(201);
    bench.ledger().set_jobs(&[recurring("a", &long)]).unwrap();
    bench.apply(vec![run("a", 4)]);
    assert_eq!(labels(&bench)[2].1, long[..200]);
}

#[test]
fn the_agent_is_the_record_s_else_the_definition_s_else_the_last_seen() {
    let mut bench = Bench::new();
    let silent = |minute| Run { agent: None, ..run("a", minute) };
    let seen = |agent: &str, minute| Run { agent: Some(agent.to_owned()), ..run("a", minute) };
    bench.apply(vec![silent(0), seen("main", 1), silent(2)]);
    bench.ledger().set_jobs(&[JobDefinition { agent: Some("ops".into()), ..recurring("a", "") }]).unwrap();
    bench.apply(vec![silent(3), seen("main", 4)]);
    let totals = bench.totals();
    let ok = SeriesKind::Runs(Status::Ok, Reason::None);
    let series = totals.series.iter().filter(|series| series.kind == ok);
    let agents: Vec<_> = series.map(|s| (totals.labels[s.labels].agent.as_str(), s.true_total)).collect();
    assert_eq!(agents, [("", 1), ("main", 3), ("ops", 1)]);
    assert_eq!(facts(&bench, "a").agent.as_deref(), Some("ops"));
}

#[test]
fn the_streak_of_errors_is_that_of_the_runs_in_their_order() {
    let mut bench = Bench::new();
    let streak = |bench: &Bench| facts(bench, "a").consecutive_errors;
    bench.apply(vec![run("a", 0), failed("a", 1), failed("a", 2)]);
    assert_eq!(streak(&bench), 2);
    bench.apply(vec![Run { status: Status::Skipped, ..failed("a", 3) }]);
    assert_eq!(streak(&bench), 2, "a skipped run says nothing");
    bench.apply(vec![failed("a", 6)]);
    assert_eq!(streak(&bench), 3);
    // Runs that were recorded late.
    bench.apply(vec![run("a", 4)]);
    assert_eq!((streak(&bench), facts(&bench, "a").last_success), (1, Some(T0.plus(4 * MINUTE_MS))));
    bench.apply(vec![failed("a", 5), failed("a", 7)]);
    assert_eq!(streak(&bench), 3);
    bench.apply(vec![failed("a", -1), run("a", 8)]);
    assert_eq!(streak(&bench), 0);
    // A run whose status becomes known later.
    bench.apply(vec![
        Run { status: Status::Unknown, reason: Reason::None, ..failed("a", 9) },
        failed("a", 10),
    ]);
    assert_eq!(streak(&bench), 1);
    assert_eq!(bench.outcome(failed("a", 9)), Outcome::Updated);
    assert_eq!(streak(&bench), 2);
    bench.reopen();
    assert_eq!(streak(&bench), 2);
}

#[test]
fn the_facts_of_a_job_follow_its_newest_run_and_its_definition() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 5), failed("a", 7), run("a", 6)]);
    let minute = |n: i64| Some(T0.plus(n * MINUTE_MS));
    let a = facts(&bench, "a");
    assert_eq!((a.last_run, a.last_success, a.next_run), (minute(7), minute(6), minute(8)));
    assert_eq!((a.label, a.defined, a.enabled), (JobLabel::Own, false, true));

    let switched_off = JobDefinition { enabled: false, next_run_at: None, ..recurring("a", "name") };
    bench.ledger().set_jobs(&[switched_off, recurring("b", "never ran")]).unwrap();
    let a = facts(&bench, "a");
    assert_eq!((a.name.as_str(), a.defined, a.enabled, a.next_run), ("name", true, false, None));
    assert_eq!((facts(&bench, "b").last_run, facts(&bench, "b").next_run), (None, Some(T0.plus(5))));
    let before = bench.totals().jobs;
    bench.reopen();
    assert_eq!(bench.totals().jobs, before);

    bench.ledger().set_jobs(&[]).unwrap();
    let b = facts(&bench, "b");
    assert_eq!((b.name.as_str(), b.defined, b.next_run), ("never ran", false, None));
}
