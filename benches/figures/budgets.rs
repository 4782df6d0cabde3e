//! Budgets on a ledger of a million runs: what a refresh costs after each commit.

use openclaw_usage::model::{
    Batch, BudgetDefinition, BudgetMatch, FilePosition, NanoUsd, Period, Position, SourceId, UnixMs,
};
use openclaw_usage::serve::Budgets;
use tempfile::TempDir;

use crate::Failure;
use crate::measure::{Samples, now_ms, timed};
use crate::report::{JOBS, fill, record};
use crate::table::{Table, number};

const BUDGETS: usize = 200;
const COMMITS: i64 = 1_000;
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];
const PERIODS: [Period; 3] = [Period::Day, Period::Week, Period::Month];

/// Measures the first refresh, and one after each of many commits.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let folder = TempDir::new()?;
    let mut ledger = fill(&folder.path().join("ledger.sqlite"))?;
    let now = UnixMs(now_ms());
    let mut budgets = Budgets::new(&(0..BUDGETS).map(budget).collect::<Vec<_>>())?;
    let (first, micros) = timed(|| budgets.refresh(&mut ledger, now));
    let spending = first?.iter().filter(|state| state.spent.0 > 0).count();
    if spending < BUDGETS / 2 {
        return Err(format!("only {spending} budgets count anything").into());
    }
    let mut refreshes = Samples::default();
    for n in 0..COMMITS {
        let (job, now) = (n * 7 % JOBS, now.plus(n));
        let offset = u64::try_from(n)?;
        let source = SourceId("run-log/more.jsonl".to_owned());
        let from = ledger.position(&source).cloned();
        let to = Position::File(FilePosition { offset: offset + 1, ..FilePosition::default() });
        ledger.apply(&Batch { runs: vec![record(job, now)].into(), ..Batch::new(source, from, to) }, now)?;
        let (states, micros) = timed(|| budgets.refresh(&mut ledger, now));
        states?;
        refreshes.push(micros / 1e3);
    }
    table.at_most("refresh of 200 budgets on 1,000,000 runs, median", 5.0, "ms", refreshes.median());
    table.at_most("the same, slowest of 1,000", 5.0, "ms", refreshes.quantile(1.0));
    table.note("the first one after a start", &format!("{} ms", number(micros / 1e3)));
    Ok(())
}

fn budget(n: usize) -> BudgetDefinition {
    // Job names are "job 0" to "job 499".
    let job = if n.is_multiple_of(5) { "job *".to_owned() } else { format!("job *{}", n % 10) };
    BudgetDefinition {
        name: format!("budget {n}"),
        limit: NanoUsd(20_000_000_000),
        period: PERIODS[n % PERIODS.len()],
        timezone: ZONES[n / PERIODS.len() % ZONES.len()].to_owned(),
        matches: BudgetMatch { job: Some(job), ..BudgetMatch::default() },
    }
}
