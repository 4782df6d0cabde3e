//! Runs in memory against the same runs on disk, and two who add them up against one.

use super::calls::call;
use super::*;

/// Enough for two to share.
const RUNS: i64 = 12_000;

/// Returns what is told of every run: by one, and by two together.
fn told(ledger: &Ledger, window: Window) -> [Vec<String>; 2] {
    let usage = ledger.usage().unwrap();
    let wanted = |job: usize| usage.jobs[job].job_id != "job 3";
    let (mut one, mut other, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    usage.for_each_run(window, wanted, |run| alone.push(format!("{run:?}"))).unwrap();
    let here = Some(|run: &UsedRun<'_>| other.push(format!("{run:?}")));
    usage.for_each_run_beside(window, wanted, |run| one.push(format!("{run:?}")), here).unwrap();
    one.append(&mut other);
    [alone, one]
}

#[test]
fn runs_in_memory_are_told_as_those_on_disk() {
    let mut bench = Bench::new();
    let runs: Vec<Run> = (0..RUNS).map(|n| run(&format!("job {}", n % 17), n)).collect();
    // Some of the calls are of another model, some cover less than the record, and some have no record.
    let called = (0..RUNS + 50).filter(|n| n % 7 == 0).flat_map(|n| {
        let key = n.unsigned_abs() * 10;
        let calls = (0..n.unsigned_abs() % 4).map(move |nth| {
            let model = Some(format!("mock-{}", 1 + nth % 2));
            let call = call(key + nth, &format!("job {}", n % 17), n, 1 + nth.cast_signed());
            crate::model::BilledCall { model, ..call }
        });
        calls.collect::<Vec<_>>()
    });
    let batch = Batch { calls: called.collect(), ..bench.batch(runs) };
    let now = bench.now;
    let mut memory = Ledger::in_memory(&bench.options(), now).unwrap();
    memory.set_pricing(free());
    memory.apply(&batch, now).unwrap();
    bench.ledger().apply(&batch, now).unwrap();
    for (since, until) in [(0, RUNS + 50), (1_000, 9_000), (5, 5)] {
        let [since, until] = [since, until].map(|minute| T0.plus(minute * MINUTE_MS));
        let window = Window { since, until };
        let [on_disk, disk_by_two] = told(bench.ledger(), window);
        let [in_memory, by_two] = told(&memory, window);
        assert!(on_disk == in_memory, "{} and {} runs", on_disk.len(), in_memory.len());
        for mut shared in [disk_by_two, by_two] {
            let mut expected = on_disk.clone();
            expected.sort_unstable();
            shared.sort_unstable();
            assert!(shared == expected, "{} and {} runs", shared.len(), expected.len());
        }
    }
    let all = told(&memory, Window { since: T0, until: T0.plus(i64::MAX / 4) });
    let further = all[0].iter().filter(|run| run.matches("UsedPart").count() > 1).count();
    assert!(all[0].len() > 11_000 && further > 100, "{} runs, {further} of several models", all[0].len());
}
