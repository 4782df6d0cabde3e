//! Random sequences of records, calls, moves of calls, corrections, folding and starts, against a recomputation from
//! nothing but what was told.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{BilledCall, FailedCall, JobDefinition, NanoUsd, ScheduleKind, TokenKind};

const JOBS: [&str; 2] = ["a", "b"];
const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 3;
const RUNS_A_DAY: i64 = 4;

type ByModel = BTreeMap<(String, String), [u64; 4]>;
type ByStatus = BTreeMap<(String, Status), u64>;

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    tokens: ByModel,
    wasted: ByStatus,
    runs: ByStatus,
}

impl Sums {
    fn add(&mut self, job: &str, status: Status, tokens: &[(String, [u64; 4])]) {
        *self.runs.entry((job.to_owned(), status)).or_default() += 1;
        for (model, tokens) in tokens {
            let sum = self.tokens.entry((job.to_owned(), model.clone())).or_default();
            *sum = std::array::from_fn(|kind| sum[kind] + tokens[kind]);
            if matches!(status, Status::Error | Status::Unrecorded) {
                *self.wasted.entry((job.to_owned(), status)).or_default() += tokens.iter().sum::<u64>();
            }
        }
    }

    fn tidied(mut self) -> Self {
        self.tokens.retain(|_, tokens| *tokens != [0; 4]);
        self.wasted.retain(|_, tokens| *tokens > 0);
        self.runs.retain(|_, runs| *runs > 0);
        self
    }
}

/// What was told so far.
#[derive(Default)]
struct Model {
    recorded: BTreeMap<RunKey, Run>,
    failed: BTreeSet<RunKey>,
    /// Each call, and the run that it was last said to belong to.
    calls: BTreeMap<u64, BilledCall>,
    folded_before: Option<UnixMs>,
    folded: Sums,
}

impl Model {
    fn is_folded(&self, run: &RunKey) -> bool {
        self.folded_before.is_some_and(|before| run.at.time() < before)
    }

    /// Runs that started before that time are added up; `None`: those that are not folded.
    fn sums(&self, before: Option<UnixMs>) -> Sums {
        let mut sums = self.folded.clone();
        let keys: BTreeSet<&RunKey> =
            self.recorded.keys().chain(self.calls.values().map(|call| &call.run)).collect();
        for key in keys {
            if self.is_folded(key) || before.is_some_and(|before| key.at.time() >= before) {
                continue;
            }
            let mut by_model: BTreeMap<String, [u64; 4]> = BTreeMap::new();
            for call in self.calls.values().filter(|call| call.run == *key) {
                let sum = by_model.entry(call.model.clone().unwrap()).or_default();
                *sum = std::array::from_fn(|kind| sum[kind] + call.tokens[kind]);
            }
            let told = |kind: usize| by_model.values().map(|tokens| tokens[kind]).sum::<u64>();
            let (status, tokens) = match self.recorded.get(key) {
                None => (Status::Unrecorded, by_model.into_iter().collect()),
                Some(run) => {
                    let status = if self.failed.contains(key) { Status::Error } else { run.status };
                    let usage = TokenKind::ALL.map(|kind| run.usage.get(kind).unwrap_or(0));
                    let covered = told(0) >= usage[0] && told(1) >= usage[1];
                    let record = vec![(run.model.clone().unwrap(), usage)];
                    (status, if covered { by_model.into_iter().collect() } else { record })
                }
            };
            sums.add(&key.job_id, status, &tokens);
        }
        sums
    }
}

fn counted(totals: &Totals) -> Sums {
    let mut sums = Sums::default();
    for series in &totals.series {
        let labels = &totals.labels[series.labels];
        let job = labels.job_id.clone();
        match series.kind {
            SeriesKind::Tokens(kind) => {
                let at = TokenKind::ALL.iter().position(|known| *known == kind).unwrap();
                sums.tokens.entry((job, labels.model.clone())).or_default()[at] += series.true_total;
            }
            SeriesKind::Wasted(status, _) => {
                *sums.wasted.entry((job, status)).or_default() += series.true_total
            }
            SeriesKind::Runs(status, _) => *sums.runs.entry((job, status)).or_default() += series.true_total,
            _ => {}
        }
    }
    sums.tidied()
}

/// The run of that number: whether it failed and what its record says is the same each time.
fn numbered(number: i64) -> Run {
    let (job, day) = (JOBS[usize::from(number % 2 == 1)], number / 2 / RUNS_A_DAY);
    let minute = day * 1_440 + number / 2 % RUNS_A_DAY * 10;
    let mut run = if number % 5 == 0 { failed(job, minute) } else { run(job, minute) };
    if number % 3 == 0 {
        run.model = Some("mock-2".to_owned());
    }
    run
}

/// One of the calls of a run: sometimes of another model, and together more or less than the record says.
fn call_of(run: &Run, number: i64, which: u64) -> BilledCall {
    BilledCall {
        key: number.cast_unsigned() * 10 + which,
        run: run.key.clone(),
        at: run.key.at.time().plus(2_000),
        agent: Some("main".to_owned()),
        provider: Some("mock".to_owned()),
        model: Some(if which == 2 { "mock-3".to_owned() } else { run.model.clone().unwrap() }),
        tokens: [600, 5 + 10 * which, which, 7],
        recorded: Some(NanoUsd(9)),
        sub_agent: false,
    }
}

#[test]
fn any_sequence_counts_what_a_recomputation_counts() {
    let mut folded = 0;
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new();
        bench.now = T0.plus(DAYS * DAY_MS);
        let definition = |job: &str| JobDefinition {
            job_id: job.to_owned(),
            name: "named".to_owned(),
            agent: None,
            schedule: ScheduleKind::Recurring,
            enabled: true,
            next_run_at: None,
            running: false,
            system: false,
            webhook: None,
        };
        bench.ledger().set_jobs(&JOBS.map(definition)).unwrap();
        let mut model = Model::default();
        let mut shown: Vec<u64> = Vec::new();
        for step in 0..150 {
            let number = random.i64(0..2 * DAYS * RUNS_A_DAY);
            let told = numbered(number);
            let key = told.key.clone();
            let open = !model.is_folded(&key);
            let batch = match random.u8(0..100) {
                0..30 => {
                    if open {
                        model.recorded.insert(key, told.clone());
                    }
                    bench.batch(vec![told])
                }
                30..75 => {
                    let mut call = call_of(&told, number, random.u64(0..3));
                    // Until the record is there, the run is known by when it was opened.
                    if !model.recorded.contains_key(&key) && number % 4 == 0 {
                        call.run.at = RunAt::Started(key.at.time().plus(1_000));
                    }
                    if open {
                        model.calls.insert(call.key, call.clone());
                    }
                    Batch { calls: vec![call], ..bench.batch(Vec::new()) }
                }
                75..85 => {
                    if model.recorded.get(&key).is_some_and(|run| open && run.status == Status::Ok) {
                        model.failed.insert(key.clone());
                    }
                    let failed =
                        FailedCall { run: key.clone(), at: key.at.time(), reason: Reason::ServerError };
                    Batch { failed: vec![failed], ..bench.batch(Vec::new()) }
                }
                85..95 => {
                    bench.reopen();
                    bench.batch(Vec::new())
                }
                95..98 if step > 75 => {
                    let day = UnixMs(utc_day(T0) * DAY_MS + DAY_MS * random.i64(1..DAYS));
                    if model.folded_before.is_none_or(|folded| folded < day) {
                        model.folded = model.sums(Some(day));
                        model.folded_before = Some(day);
                    }
                    bench.ledger().fold(day).unwrap();
                    bench.batch(Vec::new())
                }
                _ => bench.batch(Vec::new()),
            };
            let now = bench.now;
            bench.ledger().apply(&batch, now).unwrap();
            let (totals, expected) = (bench.totals(), model.sums(None).tidied());
            assert_eq!(counted(&totals), expected, "seed {seed}, step {step}");
            let exported: Vec<u64> = totals.series.iter().map(|series| series.exported_total).collect();
            let fell = shown.iter().zip(&exported).any(|(before, after)| after < before);
            assert!(
                !fell && exported.len() >= shown.len(),
                "seed {seed}, step {step}: {shown:?} {exported:?}"
            );
            assert!(totals.series.iter().all(|series| series.exported_total >= series.true_total));
            shown = exported;
            if step % 10 == 9 {
                let mut all = [0; 4];
                expected
                    .tokens
                    .values()
                    .for_each(|tokens| all = std::array::from_fn(|kind| all[kind] + tokens[kind]));
                let summary = bench.summary();
                assert_eq!(
                    (summary.tokens, summary.runs),
                    (all, expected.runs.values().sum()),
                    "seed {seed}, step {step}"
                );
                let checks = LedgerReader::open(&bench.path()).unwrap().audit().unwrap();
                let wrong: Vec<_> = checks.iter().filter(|check| check.problem.is_some()).collect();
                assert!(wrong.is_empty(), "seed {seed}, step {step}: {wrong:?}");
            }
        }
        folded += usize::from(model.folded_before.is_some());
    }
    assert!(folded > 6, "{folded} of the sequences fold");
}
