//! Segments: what is read with them is what is read without.

use super::*;
use crate::ledger::segments::{Key, Segment};
use crate::ledger::store::pack_at;
use crate::ledger::used::UsedRows;
use crate::model::{BilledCall, Billing, FailedCall, NanoUsd};

const DAY_MS: i64 = 86_400_000;
const ALWAYS: Window = Window { since: UnixMs(i64::MIN / 4), until: UnixMs(i64::MAX / 4) };

/// Returns what is read of a window, run by run.
fn read(path: &Path, window: Window) -> Vec<String> {
    let reader = LedgerReader::open(path).unwrap();
    let usage = reader.usage().unwrap();
    let mut runs = Vec::new();
    usage.for_each_run(window, |_| true, |run| runs.push(format!("{run:?}"))).unwrap();
    runs
}

impl Bench {
    fn segments(&self) -> Vec<(Key, Vec<u8>)> {
        let connection = Connection::open(self.path()).unwrap();
        let mut statement = connection.prepare("SELECT job, first, last, runs FROM segment").unwrap();
        let rows = statement.query_map([], |row| {
            Ok((Key { job: row.get(0)?, first: row.get(1)?, last: row.get(2)? }, row.get(3)?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn build(&mut self, before: UnixMs) {
        while self.ledger().build_segments(before).unwrap() {}
    }

    /// Reads windows with segments, and row by row.
    fn assert_same(&self, windows: &[Window], what: &str) {
        let connection = Connection::open(self.path()).unwrap();
        let jobs: Vec<i64> = {
            let mut statement = connection.prepare("SELECT id FROM job ORDER BY id").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mut rows = UsedRows::new(&connection).unwrap();
        for window in windows {
            let range = (pack_at(RunAt::Started(window.since)), pack_at(RunAt::Started(window.until)));
            let mut expected = Vec::new();
            for (nth, id) in jobs.iter().enumerate() {
                let on_run = |run: &UsedRun<'_>| expected.push(format!("{run:?}"));
                rows.for_each((nth, *id), range, &mut Vec::new(), on_run).unwrap();
            }
            assert_eq!(read(&self.path(), *window), expected, "{what}, {window:?}");
        }
    }
}

/// A price for some models only, and not the same from one call to the next.
fn some_prices() -> Pricing {
    Arc::new(|asked| {
        let tokens = i64::try_from(asked.usage.total()).unwrap();
        let cost = match asked.model {
            "mock-2" => Cost { usd: NanoUsd(0), provenance: CostProvenance::Unpriced },
            "mock-3" => Cost { usd: NanoUsd(tokens * 1_000), provenance: CostProvenance::LowerBound },
            _ => Cost { usd: NanoUsd(tokens * 3_333), provenance: CostProvenance::Priced },
        };
        let billing = if asked.model == "mock-3" { Billing::Subscription } else { Billing::Metered };
        Charge { cost, billing, ..Charge::default() }
    })
}

/// A run of a kind that its number decides: of several models, failed ones, and such as do not say much.
fn varied(job: &str, number: i64) -> Run {
    let mut run = if number % 7 == 0 { failed(job, number) } else { run(job, number) };
    run.model = Some(format!("mock-{}", 1 + number % 3));
    run.usage.cache_read = (number % 4 == 0).then_some(number.unsigned_abs() << (number % 30));
    run.duration_ms = (number % 11 != 0).then_some(400 + number.unsigned_abs() % 50_000);
    if number % 13 == 0 {
        run.key.at = RunAt::Logged(run.key.at.time());
    }
    run
}

fn call(run: &Run, which: u64) -> BilledCall {
    let number = run.key.at.time().0.cast_unsigned();
    BilledCall {
        key: number * 10 + which,
        run: run.key.clone(),
        at: run.key.at.time().plus(2_000),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some(if which == 2 { "mock-3".to_owned() } else { run.model.clone().unwrap() }),
        tokens: [600, 15 + which, which, 7],
        recorded: None,
        sub_agent: false,
    }
}

#[test]
fn segments_hold_all_that_rows_do_and_windows_cut_them() {
    let mut bench = Bench::new();
    bench.ledger().set_pricing(some_prices());
    let numbers = [("a", 2_500), ("b", 1_100), ("few", 31)];
    for (job, count) in numbers {
        let runs: Vec<Run> = (0..count).map(|number| varied(job, number)).collect();
        let calls = runs.iter().step_by(5).flat_map(|run| (0..3).map(|which| call(run, which))).collect();
        let batch = Batch { calls, ..bench.batch(runs) };
        let now = bench.now;
        bench.ledger().apply(&batch, now).unwrap();
    }
    let end = T0.plus(2_500 * MINUTE_MS);
    let mut windows = vec![ALWAYS, Window { since: end, until: end }];
    for minute in [0, 1, 30, 1_023, 1_024, 1_025, 2_400] {
        let (from, to) = (T0.plus(minute * MINUTE_MS), T0.plus((minute + 77) * MINUTE_MS));
        windows
            .extend([Window { since: from, until: to }, Window { since: from.plus(1), until: end.plus(-1) }]);
    }
    assert_eq!(bench.segments().len(), 0);
    bench.build(T0);
    assert_eq!(bench.segments().len(), 0, "all are too young");
    bench.build(T0.plus(1_100 * MINUTE_MS));
    assert_eq!(bench.segments().len(), 4);
    bench.assert_same(&windows, "a first part");
    bench.build(end);
    let counts: Vec<i64> = bench.segments().iter().map(|(_, runs)| Segment::runs(runs)).collect();
    assert_eq!(counts, [1_024, 1_024, 452, 1_024, 76], "the newest took on more; the few wait");
    bench.assert_same(&windows, "all");
    let further =
        read(&bench.path(), ALWAYS).iter().filter(|run| run.matches("UsedPart").count() > 1).count();
    assert!(further > 100, "{further}");
    // Nothing is left to do, also after a start.
    let before = bench.segments();
    bench.reopen();
    bench.build(end);
    assert_eq!(bench.segments(), before);
}

#[test]
fn a_damaged_segment_is_passed_over() {
    let mut bench = Bench::new();
    bench.apply((0..40).map(|number| varied("a", number)).collect());
    let rows = read(&bench.path(), ALWAYS);
    bench.build(T0.plus(DAY_MS));
    let [(key, runs)] = bench.segments().try_into().unwrap();
    assert!(Segment::read(key, &runs).is_some());
    for at in 0..runs.len() {
        let mut damaged = runs.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(Segment::read(key, &damaged).is_none(), "byte {at}");
        assert!(Segment::read(key, &runs[..at]).is_none(), "cut at {at}");
    }
    for other in [Key { job: 2, ..key }, Key { first: 0, ..key }, Key { last: key.last + 1, ..key }] {
        assert!(Segment::read(other, &runs).is_none(), "{other:?}");
    }
    // What is whole is believed, what is not is not even looked at.
    bench.sql("UPDATE run SET input = 5");
    assert_eq!(read(&bench.path(), ALWAYS), rows);
    bench.sql("UPDATE run SET input = 1000 WHERE facts & 3 = 1");
    for damage in ["zeroblob(4)", "substr(runs, 1, 200)", "zeroblob(90)", "x''"] {
        bench.sql(&format!("UPDATE segment SET runs = {damage}"));
        bench.assert_same(&[ALWAYS], damage);
    }
}

/// Every way to change a run, in any order, and segments built at any time in between.
#[test]
fn whatever_is_written_reads_the_same_with_segments() {
    let mut covered = 0;
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new();
        bench.now = T0.plus(9 * DAY_MS);
        // Some that come late are missing at first.
        let all: Vec<Run> =
            (0..2_200).map(|number| varied(if number % 2 == 0 { "a" } else { "b" }, number)).collect();
        let runs = all.iter().filter(|_| random.u8(..) > 5).cloned().collect();
        bench.apply(runs);
        for step in 0..40 {
            let told = all[random.usize(..all.len())].clone();
            let mut batch = bench.batch(Vec::new());
            match random.u8(0..100) {
                0..20 => batch.runs = vec![told].into(),
                20..45 => {
                    let mut call = call(&told, random.u64(0..3));
                    // Told under another run at first.
                    if random.bool() {
                        call.run.at = RunAt::Started(told.key.at.time().plus(1_000));
                    }
                    batch.calls = vec![call];
                }
                45..55 => {
                    let at = told.key.at.time();
                    batch.failed = vec![FailedCall { run: told.key, at, reason: Reason::ServerError }];
                }
                // The record again, with what it did not say before.
                55..65 => {
                    let usage = Usage { cache_read: Some(3), cache_write: Some(4), ..told.usage };
                    let reason = Reason::DeliveryFailed;
                    let delivery = Delivery::NotDelivered;
                    batch.runs =
                        vec![Run { usage, reason, delivery, provenance: UsageProvenance::Record, ..told }]
                            .into();
                }
                65..70 => {
                    let now = bench.now;
                    bench.ledger().set_pricing(if random.bool() { some_prices() } else { pricing_unknown() });
                    bench.ledger().price_unpriced(now).unwrap();
                }
                70..72 => _ = bench.ledger().fold(T0.plus(random.i64(0..DAY_MS))).unwrap(),
                72..75 => _ = bench.reopen(),
                _ => bench.build(T0.plus(random.i64(0..2_200) * MINUTE_MS)),
            }
            let now = bench.now;
            bench.ledger().apply(&batch, now).unwrap();
            covered += bench.segments().len();
            let from = T0.plus(random.i64(0..2_200) * MINUTE_MS);
            let part = Window { since: from, until: from.plus(300 * MINUTE_MS) };
            bench.assert_same(&[ALWAYS, part], &format!("seed {seed}, step {step}"));
        }
    }
    assert!(covered > 250, "{covered}");
}

fn pricing_unknown() -> Pricing {
    crate::ledger::pricing::unpriced()
}

/// A transaction that fails takes no segment away, and none is lost to memory.
#[test]
fn a_segment_goes_with_the_commit_that_outdates_it() {
    let mut bench = Bench::new();
    bench.apply((0..64).map(|number| run("a", number)).collect());
    bench.build(T0.plus(DAY_MS));
    assert_eq!(bench.segments().len(), 1);
    let late = Run { duration_ms: Some(1), ..run("a", 3) };
    bench.apply(vec![late]);
    assert_eq!(bench.segments().len(), 1, "a duplicate or a conflict changes nothing");
    let between = RunAt::Started(T0.plus(90_000));
    bench.sql("CREATE TRIGGER refuse BEFORE INSERT ON run BEGIN SELECT raise(ABORT, 'no'); END");
    let mut inserted = run("a", 1);
    inserted.key.at = between;
    let (batch, now) = (bench.batch(vec![inserted.clone()]), bench.now);
    assert!(bench.ledger().apply(&batch, now).is_err());
    assert_eq!(bench.segments().len(), 1);
    bench.sql("DROP TRIGGER refuse");
    bench.ledger().apply(&batch, now).unwrap();
    assert_eq!(bench.segments().len(), 0);
    bench.build(T0.plus(DAY_MS));
    assert_eq!(bench.segments().len(), 1);
    bench.assert_same(&[ALWAYS], "built again");
}
