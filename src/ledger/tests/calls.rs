//! Calls: counted once, in the run that they belong to, and never beside its record.

use super::*;
use crate::model::{BilledCall, FailedCall, NanoUsd, TokenKind};

/// A call of `run("a", minute)`, `seconds` after its start.
pub(super) fn call(key: u64, job: &str, minute: i64, seconds: i64) -> BilledCall {
    let start = T0.plus(minute * MINUTE_MS);
    BilledCall {
        key,
        run: RunKey { job_id: job.to_owned(), at: RunAt::Started(start) },
        at: start.plus(seconds * 1_000),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some("mock-1".to_owned()),
        tokens: [500, 10, 300, 7],
        recorded: Some(NanoUsd(1_000)),
        sub_agent: false,
    }
}

impl Bench {
    pub(super) fn calls(&mut self, calls: Vec<BilledCall>) {
        let batch = Batch { calls, ..self.batch(Vec::new()) };
        let now = self.now;
        self.ledger().apply(&batch, now).unwrap();
    }

    /// True totals of the four kinds.
    pub(super) fn tokens(&self) -> [u64; 4] {
        TokenKind::ALL.map(|kind| self.sum(SeriesKind::Tokens(kind)).0)
    }

    /// Wasted tokens of runs that ended so, all kinds together.
    fn wasted(&self, status: Status) -> u64 {
        TokenKind::ALL.map(|kind| self.sum(SeriesKind::Wasted(status, kind)).0).iter().sum()
    }

    fn runs_of(&self, status: Status, reason: Reason) -> u64 {
        self.sum(SeriesKind::Runs(status, reason)).0
    }

    /// What is exported follows from the rows, and the ledger says the same of itself.
    fn is_sound(&mut self) {
        let totals = lasting(self.totals());
        assert_eq!(self.summary().tokens, self.tokens());
        self.reopen();
        assert_eq!(lasting(self.totals()), totals);
    }
}

#[test]
fn calls_take_the_place_of_the_record_once_they_cover_it() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    assert_eq!(bench.tokens(), [1_000, 20, 0, 0]);
    bench.calls(vec![call(1, "a", 0, 1)]);
    assert_eq!(bench.tokens(), [1_000, 20, 0, 0], "half of what the record says");
    bench.calls(vec![call(2, "a", 0, 2)]);
    assert_eq!(bench.tokens(), [1_000, 20, 600, 14]);
    bench.calls(vec![call(2, "a", 0, 2), call(1, "a", 0, 1)]);
    assert_eq!(bench.tokens(), [1_000, 20, 600, 14], "read again");
    let provenance = bench.totals().counters.provenance;
    assert_eq!(provenance.get(&UsageProvenance::Transcript), Some(&1));
    assert_eq!(bench.totals().excess(), 0);
    // A later record of the same run knows less.
    assert_eq!(bench.outcome(run("a", 0)), Outcome::Duplicate);
    assert_eq!(bench.wasted(Status::Ok), 0);
    bench.is_sound();
}

#[test]
fn calls_of_further_models_count_under_their_own_labels() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let other = |key, seconds| BilledCall { model: Some("first".into()), ..call(key, "a", 0, seconds) };
    bench.calls(vec![other(1, 1), call(2, "a", 0, 2), call(3, "a", 0, 3), other(4, 4)]);
    assert_eq!(bench.tokens(), [2_000, 40, 1_200, 28]);
    let totals = bench.totals();
    let of_model = |model: &str| -> u64 {
        let of = |series: &&Series| totals.labels[series.labels].model == model;
        let tokens = totals.series.iter().filter(|series| matches!(series.kind, SeriesKind::Tokens(_)));
        tokens.filter(of).map(|series| series.true_total).sum()
    };
    assert_eq!((of_model("mock-1"), of_model("first")), (1_634, 1_634));
    bench.is_sound();
    let now = T0.plus(400 * 86_400_000);
    let before = bench.tokens();
    bench.ledger().fold(now).unwrap();
    assert_eq!(bench.summary().tokens, before, "folding keeps them");
}

#[test]
fn a_run_without_a_record_is_unrecorded_until_its_record_comes() {
    let mut bench = Bench::new();
    bench.calls(vec![call(1, "a", 0, 1)]);
    assert_eq!(bench.tokens(), [500, 10, 300, 7]);
    assert_eq!(bench.runs_of(Status::Unrecorded, Reason::None), 1);
    assert_eq!(bench.wasted(Status::Unrecorded), 817);
    // Its record, which has no usage since the run failed; the same key.
    let outcome = bench.outcome(failed("a", 0));
    assert_eq!(outcome, Outcome::Updated);
    assert_eq!(bench.tokens(), [500, 10, 300, 7]);
    assert_eq!(bench.runs_of(Status::Unrecorded, Reason::None), 0);
    assert_eq!((bench.runs_of(Status::Error, Reason::Timeout), bench.wasted(Status::Error)), (1, 817));
    bench.is_sound();
}

#[test]
fn calls_move_to_the_run_that_turns_out_to_be_theirs() {
    let mut bench = Bench::new();
    bench.calls(vec![call(1, "a", 1, 1), call(2, "a", 1, 2)]);
    assert_eq!(bench.summary().runs, 1);
    // The record says that the run began a minute before its session was asked.
    bench.apply(vec![run("a", 0)]);
    let real = |key, seconds| BilledCall { run: call(0, "a", 0, 0).run, ..call(key, "a", 1, seconds) };
    bench.calls(vec![real(1, 1)]);
    assert_eq!(bench.summary().runs, 2);
    bench.calls(vec![real(2, 2)]);
    assert_eq!(bench.summary().runs, 1, "what only those calls told of is gone");
    assert_eq!(bench.tokens(), [1_000, 20, 600, 14]);
    assert_eq!(bench.runs_of(Status::Unrecorded, Reason::None), 0);
    bench.is_sound();
}

#[test]
fn a_record_that_says_ok_of_a_failed_call_is_corrected() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    bench.calls(vec![call(1, "a", 0, 1), call(2, "a", 0, 2)]);
    let key = call(0, "a", 0, 0).run;
    let failed = vec![FailedCall { run: key, at: T0, reason: Reason::ServerError }];
    for _ in 0..2 {
        let batch = Batch { failed: failed.clone(), ..bench.batch(Vec::new()) };
        bench.ledger().apply(&batch, T0).unwrap();
        assert_eq!(bench.runs_of(Status::Error, Reason::ServerError), 1);
        assert_eq!(bench.runs_of(Status::Ok, Reason::None), 0);
    }
    assert_eq!((bench.wasted(Status::Error), bench.wasted(Status::Ok)), (1_634, 0));
    assert_eq!(bench.outcome(run("a", 0)), Outcome::Duplicate, "the record read again does not undo it");
    assert_eq!(bench.totals().jobs[0].consecutive_errors, 1);
    bench.is_sound();
}

#[test]
fn a_record_of_another_model_than_the_calls_before_it_counts_nothing_twice() {
    let mut bench = Bench::new();
    let other = |key| BilledCall { model: Some("fallback".into()), ..call(key, "a", 0, 1) };
    bench.calls(vec![other(1), other(2), call(3, "a", 0, 3)]);
    assert_eq!(bench.tokens(), [1_500, 30, 900, 21]);
    assert_eq!(bench.outcome(run("a", 0)), Outcome::Updated);
    assert_eq!(bench.tokens(), [1_500, 30, 900, 21]);
    bench.is_sound();
}
