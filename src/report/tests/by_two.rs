//! Runs added up by two come to what they come to by one.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::super::durations::Durations;
use super::super::group::{Grouping, Names};
use super::super::tally::{Selected, Tally};
use super::*;

/// What a tally comes to: its groups by their keys, the totals, and runs without a price.
type Outcome = (BTreeMap<Vec<i64>, Sums>, Sums, Vec<u64>);

/// Returns the sums with durations as quantiles tell them: in which order they came makes no difference to those.
fn told(sums: Sums) -> Sums {
    let quantiles = [0, 1, 50, 95, 99, 100].map(|percent| sums.duration_ms(percent));
    let mut durations = Durations::default();
    quantiles.iter().flatten().for_each(|ms| durations.add(*ms));
    Sums { durations, ..sums }
}

fn varied(random: &mut Rng) -> Run {
    let models = ["mock", "free-of-price", "subscribed", "other"];
    let started = at("2026-05-01T00:00:00Z").plus(random.i64(0..20 * 86_400_000));
    let known = ["a", "b", "c"];
    let mut run = run(known[random.usize(..3)], "2026-05-01T00:00:00Z", models[random.usize(..4)]);
    if random.u8(..5) == 0 {
        run = failed(&run.key.job_id, "2026-05-01T00:00:00Z");
    }
    run.key.at = RunAt::Started(started);
    run.duration_ms = random.bool().then(|| random.u64(..90_000));
    run
}

#[test]
fn two_add_up_to_what_one_does() {
    let mut random = Rng::with_seed(2);
    let bench = Bench::of((0..5_000).map(|_| varied(&mut random)).collect());
    let usage = bench.reader.usage().unwrap();
    let names = Names::of(&usage);
    for by in [&[Dimension::Job][..], &[Dimension::Model, Dimension::Day], &[Dimension::Status], &[]] {
        let query = query(by, "2026-05-02T00:00:00Z", "2026-05-19T12:00:00Z", "Asia/Kolkata");
        let selected = Selected::new(&names, &usage, &query.selection);
        let mut outcomes: Vec<Outcome> = Vec::new();
        // All by one, all by the other, and by whoever has time.
        for share in [0, 10, 5] {
            let mut grouping = Grouping::new(&names, by, &query.zone).unwrap();
            let mut others = grouping.clone();
            let [mut one, mut other] = [(), ()].map(|()| Tally::new(query.window));
            one.unpriced.resize(usage.labels.len(), 0);
            other.unpriced.resize(usage.labels.len(), 0);
            let on_run = |run: &UsedRun<'_>| match random.u8(..10) < share {
                true => one.add(run, &selected, &mut grouping),
                false => other.add(run, &selected, &mut others),
            };
            usage.for_each_run(query.window, |_| true, on_run).unwrap();
            one.merge(other);
            one.finish(&usage, &selected, &mut grouping).unwrap();
            let groups = one.take_groups().map(|(key, (_, sums))| (key, told(sums))).collect();
            outcomes.push((groups, told(one.totals), one.unpriced));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{by:?}: {outcomes:#?}");
        assert!(outcomes[0].1.runs.total > 4_000 && outcomes[0].1.unpriced_runs > 500);
    }
}
