use super::*;
use crate::export::tests::{self as samples, NOW};

const MINUTE: i64 = 60_000;
const INTERVAL: i64 = 15_000;

fn moment() -> Moment {
    Moment { now: NOW, stamp: NOW, interval_ms: INTERVAL }
}

fn state(registered_seq: u64, introduced_seq: u64) -> EndpointState {
    EndpointState { registered_seq, introduced_seq, ..samples::state() }
}

fn facts(seq: u64, age_ms: i64, live: bool) -> SeriesFacts {
    SeriesFacts { seq, start: NOW.plus(-age_ms), live, revision: 1 }
}

#[test]
fn which_series_get_a_zero_and_when() {
    let fixed = NOW.plus(-INTERVAL);
    // age, live, seq, registered, introduced → stamp of the zero, if any
    for (facts, registered, introduced, expected, case) in [
        (facts(9, 20_000, true), 0, 8, Some(NOW.plus(-20_000)), "news"),
        (facts(9, 55 * MINUTE, true), 0, 8, Some(NOW.plus(-55 * MINUTE)), "as old as a server takes"),
        (facts(9, 55 * MINUTE + 1, true), 0, 8, Some(fixed), "news that waited out an outage"),
        (facts(9, 60 * 24 * MINUTE, true), 8, 8, Some(fixed), "after registration, a day of outage"),
        (facts(9, 55 * MINUTE + 1, true), 9, 0, None, "older than registration, and old"),
        (facts(9, 5 * MINUTE, true), 9, 0, Some(NOW.plus(-5 * MINUTE)), "older than registration, yet fresh"),
        (facts(9, 15_000, false), 0, 8, None, "old history, counted late"),
        (facts(9, 15_000, true), 0, 9, None, "introduced already"),
        (facts(9, 0, true), 0, 8, Some(fixed), "a start that is not before the stamp"),
        (facts(9, -60 * MINUTE, true), 0, 8, Some(fixed), "a start ahead of a clock that stepped back"),
    ] {
        let snapshot = samples::snapshot([samples::counter("a", facts, 7)]);
        let state = state(registered, introduced);
        let plan = plan(&snapshot, &state, moment(), Scope::Full);
        let zero = plan
            .introduction
            .as_ref()
            .and_then(|introduction| introduction.zeros.first().map(|point| introduction.zero_stamp(point)));
        assert_eq!(zero, expected, "{case}");
        let before = plan.introduction.and_then(|introduction| introduction.before);
        assert_eq!(before.is_some(), zero == Some(fixed), "{case}: only a fixed stamp is stored before");
        assert_eq!(
            before.and_then(|before| before.pending_zero),
            zero.filter(|zero| *zero == fixed),
            "{case}"
        );
        assert_eq!(plan.values.len(), 1, "{case}");
    }
}

#[test]
fn a_fixed_stamp_stays_until_no_server_would_take_it() {
    let old = facts(9, 600 * MINUTE, true);
    let snapshot = samples::snapshot([samples::counter("a", old, 7)]);
    for (pending_age, expected_age) in [
        (1, 1),
        (3 * MINUTE, 3 * MINUTE),
        (55 * MINUTE, 55 * MINUTE),
        (55 * MINUTE + 1, INTERVAL),
        (0, INTERVAL),
        (-MINUTE, INTERVAL),
    ] {
        let state = EndpointState { pending_zero: Some(NOW.plus(-pending_age)), ..state(0, 8) };
        let plan = plan(&snapshot, &state, moment(), Scope::Full);
        let introduction = plan.introduction.expect("a new series");
        let expected = NOW.plus(-expected_age);
        assert_eq!(introduction.zero_stamp(&snapshot.points[0]), expected, "fixed {pending_age} ms ago");
        assert_eq!(introduction.before.is_some(), pending_age != expected_age, "fixed {pending_age} ms ago");
        assert_eq!(introduction.after.pending_zero, None);
    }
}

#[test]
fn afterwards_all_series_count_as_introduced_also_those_not_sent() {
    let mut snapshot = samples::snapshot([samples::counter("a", facts(3, 15_000, false), 7)]);
    snapshot.newest_seq = 12;
    let state = state(2, 2);
    let introduction =
        plan(&snapshot, &state, moment(), Scope::Full).introduction.expect("there are new series");
    assert!(introduction.zeros.is_empty());
    assert_eq!(introduction.after, EndpointState { introduced_seq: 12, ..state.clone() });

    let state = introduction.after;
    assert_eq!(plan(&snapshot, &state, moment(), Scope::Full).introduction, None);
}

#[test]
fn a_change_sends_what_changed_and_nothing_else() {
    let at = |seq, revision| SeriesFacts { seq, start: NOW, live: true, revision };
    let snapshot = samples::snapshot([
        samples::counter("same", at(1, 5), 1),
        samples::counter("changed", at(2, 6), 1),
        samples::counter("new", at(3, 6), 1),
        samples::gauge("gauge", 1.0),
        samples::process_counter(1),
    ]);
    let state = state(2, 2);
    let seqs = |scope| -> Vec<Option<u64>> {
        let plan = plan(&snapshot, &state, moment(), scope);
        plan.values.iter().map(|point| point.series.map(|series| series.seq)).collect()
    };
    assert_eq!(seqs(Scope::ChangedSince(5)), [Some(2), Some(3)]);
    assert_eq!(seqs(Scope::ChangedSince(6)), [Some(3)], "a series that is not introduced yet");
    assert_eq!(seqs(Scope::Full), [Some(1), Some(2), Some(3), None, None]);
}
