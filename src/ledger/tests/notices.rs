//! Notices: counted once whichever comes first, they or the record, and kept apart by gateway.

use super::*;
use crate::model::{JobDefinition, Notice, Receipt, ScheduleKind, WebhookOutcome};

pub(super) fn notice(job: &str, minute: i64) -> Notice {
    let run = Run { delivery: Delivery::WebhookDelivered, is_announced: true, ..run(job, minute) };
    Notice { gateway: String::new(), run, summary: None, run_id: None, job: None }
}

impl Bench {
    pub(super) fn notify(&mut self, notice: &Notice) -> Receipt {
        let now = self.now;
        self.ledger().take_notices(std::slice::from_ref(notice), now).unwrap()[0]
    }
}

const DELIVERED: SeriesKind = SeriesKind::Deliveries(WebhookOutcome::Delivered);
const OK: SeriesKind = SeriesKind::Runs(Status::Ok, Reason::None);

#[test]
fn a_notice_counts_once_before_and_after_a_restart() {
    let mut bench = Bench::new();
    assert_eq!(bench.notify(&notice("a", 0)), Receipt::New);
    assert_eq!(bench.notify(&notice("a", 0)), Receipt::Repeated);
    bench.reopen();
    assert_eq!(bench.notify(&notice("a", 0)), Receipt::Repeated);
    let both = [notice("a", 1), notice("a", 1)];
    let now = bench.now;
    assert_eq!(bench.ledger().take_notices(&both, now).unwrap(), [Receipt::New, Receipt::Repeated]);
    assert_eq!((bench.sum(OK), bench.sum(DELIVERED)), ((2, 2), (2, 2)));
    assert_eq!(bench.summary().sources.last().unwrap().0, "webhook");
}

#[test]
fn a_run_is_known_by_the_gateway_s_own_id_of_it_too() {
    let mut bench = Bench::new();
    let of = |minute, run_id: &str| Notice { run_id: Some(run_id.to_owned()), ..notice("a", minute) };
    assert_eq!(bench.notify(&of(0, "x")), Receipt::New);
    assert_eq!(bench.notify(&of(1, "x")), Receipt::Repeated, "told with another start");
    assert_eq!(bench.notify(&of(2, "y")), Receipt::New);
    assert_eq!(bench.notify(&Notice { run_id: Some("x".into()), ..notice("b", 0) }), Receipt::New);
    assert_eq!(bench.sum(OK), (3, 3));
}

/// Before 2026.8.1 a record says of every webhook that it was not asked for.
#[test]
fn notice_and_record_merge_whichever_comes_first() {
    let record = Run { delivery: Delivery::NotRequested, ..run("a", 0) };
    let better = Run {
        usage: Usage { cache_read: Some(7), cache_write: Some(0), ..record.usage },
        provenance: UsageProvenance::Record,
        ..record.clone()
    };
    for notice_first in [true, false] {
        let mut bench = Bench::new();
        if notice_first {
            assert_eq!(bench.notify(&notice("a", 0)), Receipt::New);
            assert_eq!(bench.outcome(record.clone()), Outcome::Duplicate);
        } else {
            assert_eq!(bench.outcome(record.clone()), Outcome::Inserted);
            assert_eq!(bench.notify(&notice("a", 0)), Receipt::New, "the first notice of a known run");
        }
        assert_eq!(bench.outcome(better.clone()), Outcome::Updated, "a field that was missing");
        assert_eq!((bench.sum(OK), bench.sum(DELIVERED)), ((1, 1), (1, 1)), "{notice_first}");
        assert_eq!(bench.sum(SeriesKind::Tokens(crate::model::TokenKind::CacheRead)), (7, 7));
        assert!(!bench.totals().counters.outcomes.contains_key(&Outcome::Conflict));
    }
}

#[test]
fn gateways_are_kept_apart_and_bounded() {
    let mut bench = Bench::new();
    let of = |gateway: &str| Notice { gateway: gateway.to_owned(), ..notice("a", 0) };
    for gateway in ["", "north", "south"] {
        assert_eq!(bench.notify(&of(gateway)), Receipt::New, "{gateway}");
        assert_eq!(bench.notify(&of(gateway)), Receipt::Repeated, "{gateway}");
    }
    for round in 0..2 {
        let totals = bench.totals();
        let runs = totals.series.iter().filter(|series| series.kind == OK);
        let gateways: Vec<_> = runs.map(|series| totals.labels[series.labels].gateway.as_str()).collect();
        assert_eq!(gateways, ["", "north", "south"], "round {round}");
        assert_eq!(totals.jobs.iter().map(|job| job.gateway.as_str()).collect::<Vec<_>>(), gateways);
        bench.reopen();
    }
    for at in 0..62 {
        assert_eq!(bench.notify(&of(&format!("g{at}"))), Receipt::New);
    }
    assert_eq!(bench.notify(&of("one-more")), Receipt::TooManyGateways);
    assert_eq!(bench.notify(&Notice { run: run("b", 1), ..of("north") }), Receipt::New);
    assert_eq!(bench.totals().jobs.len(), 66);
}

#[test]
fn a_notice_describes_a_job_that_no_list_does() {
    let mut bench = Bench::new();
    let job = JobDefinition {
        job_id: "a".into(),
        name: "once".into(),
        agent: None,
        schedule: ScheduleKind::OneShot,
        enabled: true,
        next_run_at: None,
        running: false,
        system: false,
        webhook: None,
    };
    let told = |name: &str, schedule| JobDefinition { name: name.into(), schedule, ..job.clone() };
    // From 2026.8.1 on a notice names no next run, and its job is no one-shot for that.
    let silent = Run { next_run_at: None, ..run("b", 0) };
    let recurring =
        Notice { run: silent, job: Some(told("daily", ScheduleKind::Recurring)), ..notice("b", 0) };
    bench.notify(&Notice { job: Some(told("once", ScheduleKind::OneShot)), ..notice("a", 0) });
    bench.notify(&recurring);
    let labels = |bench: &Bench| -> Vec<_> {
        bench.totals().jobs.into_iter().map(|job| (job.label, job.name)).collect()
    };
    assert_eq!(labels(&bench), [(JobLabel::OneShot, "once".into()), (JobLabel::Own, "daily".into())]);
    let listed = JobDefinition { job_id: "b".into(), ..told("listed", ScheduleKind::Recurring) };
    bench.ledger().set_jobs(&[listed]).unwrap();
    bench.notify(&Notice { run: run("b", 1), ..recurring });
    assert_eq!(labels(&bench)[1].1, "listed", "a list tells better");
}

/// A server that a job's series were sent to must see them go on, however seldom it runs.
#[test]
fn jobs_known_by_notices_alone_are_not_taken_for_gone() {
    let mut bench = Bench::new();
    bench.notify(&notice("a", 0));
    bench.notify(&Notice { gateway: "north".into(), ..notice("b", 0) });
    let gone = |bench: &Bench| {
        let totals = bench.totals();
        totals.jobs.iter().map(|job| totals.is_gone(job)).collect::<Vec<_>>()
    };
    assert_eq!(gone(&bench), [true, false], "a list that is read would name the first");
    bench.ledger().set_unlisted();
    assert_eq!(gone(&bench), [false, false]);
}

#[test]
fn notices_that_cannot_be_written_have_not_been_taken() {
    let mut bench = Bench::new();
    bench.notify(&notice("a", 0));
    bench.sql("CREATE TRIGGER full BEFORE INSERT ON run BEGIN SELECT raise(ABORT, 'full'); END");
    let now = bench.now;
    assert!(bench.ledger().take_notices(&[notice("a", 1)], now).is_err());
    bench.sql("DROP TRIGGER full");
    assert_eq!(bench.notify(&notice("a", 1)), Receipt::New);
    assert_eq!(bench.sum(OK), (2, 2));
}
