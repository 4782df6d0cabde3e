//! Budgets on a real ledger.

use super::*;
use crate::ledger::{OpenOptions, Pricing};
use crate::model::{
    Batch, BudgetMatch, Charge, Cost, CostProvenance, Delivery, FileId, FilePosition, JobDefinition, Period,
    Position, Reason, Run, RunAt, RunKey, ScheduleKind, SessionRef, SourceId, Status, Usage, UsageProvenance,
};

const HOUR: i64 = 3_600_000;

fn job(last: i64, next: Option<i64>) -> JobFacts {
    JobFacts {
        job_id: "j".into(),
        defined: true,
        enabled: true,
        last_run: Some(UnixMs(last)),
        next_run: next.map(UnixMs),
        ..JobFacts::default()
    }
}

/// What a day comes to at which a job spent something from its first millisecond on.
fn projected(job: JobFacts, spent: i64, now: i64) -> i64 {
    let definition = BudgetDefinition {
        name: "all".into(),
        limit: NanoUsd(1),
        period: Period::Day,
        timezone: "UTC".into(),
        matches: BudgetMatch::default(),
    };
    let mut budgets = Budgets::new(&[definition]).unwrap();
    let now = UnixMs(now);
    budgets.jobs.learn(&[Arc::new(Labels { job_id: "j".into(), ..Labels::default() })]);
    budgets.jobs.follow(&[job], now);
    budgets.list[0].matches.push(true);
    budgets.windows[0].turn(now);
    budgets.windows[0].stale = false;
    budgets.follow(&[Spent { at: UnixMs(0), labels: 0, nano_usd: spent }], &[]);
    budgets.list[0].state(&budgets.windows[0], now).projected.0
}

#[test]
fn a_rhythm_that_is_known_tells_what_is_to_come() {
    // Hourly since midnight, 6 runs so far: 18 more.
    assert_eq!(projected(job(5 * HOUR, Some(6 * HOUR)), 600, 5 * HOUR + 1), 2_400);
    // Daily: it ran today.
    assert_eq!(projected(job(0, Some(24 * HOUR)), 600, 5 * HOUR), 600);
    // Overdue for two and a half hours: once, and then each hour.
    assert_eq!(projected(job(5 * HOUR, Some(6 * HOUR)), 600, 17 * HOUR / 2), 600 + 16 * 100);
    // Switched off.
    let off = JobFacts { enabled: false, ..job(5 * HOUR, Some(6 * HOUR)) };
    assert_eq!(projected(off, 600, 12 * HOUR), 600);
    // Without a rhythm by the time that passed.
    assert_eq!(projected(job(5 * HOUR, None), 600, 12 * HOUR), 1_200);
}

/// A run of 1,000,000 tokens that started then.
fn run(job: &str, at: UnixMs) -> Run {
    Run {
        key: RunKey { job_id: job.into(), at: RunAt::Started(at) },
        recorded_at: at.plus(1),
        status: Status::Ok,
        reason: Reason::None,
        duration_ms: Some(1),
        job_name: None,
        agent: Some("ops".into()),
        provider: Some("p".into()),
        model: Some("m".into()),
        usage: Usage { input: Some(1_000_000), output: Some(0), cache_read: Some(0), cache_write: Some(0) },
        provenance: UsageProvenance::Record,
        delivery: Delivery::Unknown,
        session: SessionRef::default(),
        next_run_at: None,
        is_announced: false,
    }
}

fn count(ledger: &mut Ledger, starts: &[UnixMs]) {
    count_runs(ledger, starts.iter().map(|at| run("j", *at)).collect(), starts[0].plus(10));
}

fn count_runs(ledger: &mut Ledger, runs: Vec<Run>, now: UnixMs) {
    let source = SourceId("run-log/a.jsonl".into());
    let from = ledger.position(&source).cloned();
    let offset = from.as_ref().and_then(Position::file).map_or(0, |position| position.offset) + 1;
    let file = FileId { dev: 1, ino: 1 };
    let to = Position::File(FilePosition { file, offset, last: None, skipped: 0 });
    let batch = Batch { runs: runs.into(), ..Batch::new(source, from, to) };
    ledger.apply(&batch, now).unwrap();
}

fn dollar_a_million() -> Pricing {
    Arc::new(|asked| {
        let usd = NanoUsd(i64::try_from(asked.usage.input.unwrap_or(0)).unwrap() * 1_000);
        Charge { cost: Cost { usd, provenance: CostProvenance::Priced }, ..Charge::default() }
    })
}

/// Berlin, in which clocks went back on 2026-10-25: that day has 25 hours.
#[test]
fn what_was_spent_survives_restarts_rolls_over_at_midnight_and_follows_late_prices() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
        Ledger::open(&folder.path().join("ledger.sqlite"), &options, UnixMs(0)).unwrap().ledger
    };
    // 2026-10-25T00:00 in Berlin is 22:00 UTC of the day before.
    let midnight = UnixMs(1_792_879_200_000);
    let next = midnight.plus(25 * HOUR);
    let definition = |name: &str, period, agent: Option<&str>| BudgetDefinition {
        name: name.into(),
        limit: NanoUsd(5_000_000_000),
        period,
        timezone: "Europe/Berlin".into(),
        matches: BudgetMatch { agent: agent.map(str::to_owned), ..BudgetMatch::default() },
    };
    let definitions = [
        definition("day", Period::Day, None),
        definition("month", Period::Month, Some("o*")),
        definition("others", Period::Day, Some("main")),
    ];
    let dollars = |budgets: &mut Budgets, ledger: &mut Ledger, now| -> Vec<i64> {
        let states = budgets.refresh(ledger, now).unwrap();
        states.iter().map(|state| state.spent.0 / 1_000_000_000).collect()
    };
    let mut ledger = open();
    let mut budgets = Budgets::new(&definitions).unwrap();
    // Without a price nothing is spent yet.
    count(&mut ledger, &[midnight.plus(-1), midnight, midnight.plus(3 * HOUR)]);
    assert_eq!(dollars(&mut budgets, &mut ledger, midnight.plus(4 * HOUR)), [0, 0, 0]);
    ledger.set_pricing(dollar_a_million());
    ledger.price_unpriced(midnight.plus(4 * HOUR)).unwrap();
    assert_eq!(dollars(&mut budgets, &mut ledger, midnight.plus(4 * HOUR)), [2, 3, 0], "a late price");
    count(&mut ledger, &[next.plus(-1)]);
    assert_eq!(dollars(&mut budgets, &mut ledger, next.plus(-1)), [3, 4, 0], "the 25th hour");

    drop(ledger);
    let (mut ledger, mut again) = (open(), Budgets::new(&definitions).unwrap());
    assert_eq!(dollars(&mut again, &mut ledger, next.plus(-1)), [3, 4, 0], "started anew");

    ledger.set_pricing(dollar_a_million());
    assert_eq!(dollars(&mut again, &mut ledger, next), [0, 4, 0], "midnight");
    // One that is recorded after midnight belongs to the day on which it started.
    count(&mut ledger, &[next.plus(-2), next]);
    assert_eq!(dollars(&mut again, &mut ledger, next.plus(1)), [1, 6, 0]);
    let states = again.refresh(&mut ledger, next.plus(1)).unwrap();
    assert_eq!((states[1].limit.0 - states[1].spent.0) / 1_000_000_000, -1, "overspent");
}

/// Whatever comes and in whichever order, a daemon that followed it says what one says that starts anew.
#[test]
fn following_comes_to_the_same_as_reading_anew() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, &options, UnixMs(0)).unwrap().ledger;
    let names = ["a", "b", "c", "d", "e"];
    let definitions: Vec<BudgetDefinition> = [Period::Day, Period::Week, Period::Month]
        .into_iter()
        .flat_map(|period| ["Europe/Berlin", "Asia/Kolkata", "UTC"].map(|zone| (period, zone)))
        .flat_map(|(period, zone)| ["*", "a", "[bc]", "d"].map(|job| (period, zone, job)))
        .map(|(period, zone, job)| BudgetDefinition {
            name: format!("{zone} {job}"),
            limit: NanoUsd(5_000_000_000),
            period,
            timezone: zone.into(),
            matches: BudgetMatch { job: Some(job.into()), ..BudgetMatch::default() },
        })
        .collect();
    let mut followed = Budgets::new(&definitions).unwrap();
    let mut chance = fastrand::Rng::with_seed(7);
    let mut now = UnixMs(1_792_800_000_000);
    let (mut spent, mut foreseen) = (0, 0);
    for round in 0..200 {
        now = now.plus(chance.i64(0..6 * HOUR));
        if round == 50 {
            ledger.set_pricing(dollar_a_million());
            ledger.price_unpriced(now).unwrap();
        }
        let run = |chance: &mut fastrand::Rng| {
            let at = now.plus(-chance.i64(0..40 * HOUR));
            let model = Some(format!("m{}", chance.u8(0..3)));
            Run { model, ..run(names[chance.usize(0..names.len())], at) }
        };
        let runs = (0..chance.usize(1..4)).map(|_| run(&mut chance)).collect();
        count_runs(&mut ledger, runs, now);
        if round % 7 == 0 {
            let next = |chance: &mut fastrand::Rng| Some(now.plus(chance.i64(-HOUR..9 * HOUR)));
            let defined = names.iter().take(chance.usize(3..6));
            let jobs: Vec<JobDefinition> =
                defined.map(|name| definition_of(name, chance.bool(), next(&mut chance))).collect();
            ledger.set_jobs(&jobs).unwrap();
        }
        let states = followed.refresh(&mut ledger, now).unwrap();
        let anew = Budgets::new(&definitions).unwrap().refresh(&mut ledger, now).unwrap();
        assert_eq!(states, anew, "round {round}");
        spent += states.iter().filter(|state| state.spent.0 > 0).count();
        foreseen += followed.list.iter().filter(|budget| budget.to_come > 0).count();
    }
    assert!(spent > 1_000 && foreseen > 100, "{spent} {foreseen}");
}

fn definition_of(job: &str, enabled: bool, next_run_at: Option<UnixMs>) -> JobDefinition {
    JobDefinition {
        job_id: job.into(),
        name: job.into(),
        agent: None,
        schedule: ScheduleKind::Unknown,
        enabled,
        next_run_at,
        running: false,
        system: false,
        webhook: None,
    }
}
