//! What a row tells, declared once for every format.

use crate::ledger::{FoldedRuns, UsedPart, UsedRun};
use crate::model::{CostProvenance, NanoUsd, Reason, TokenKind, UnixMs, UsageProvenance};
use crate::report::sums::{folded_provenance, provenance};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// A time to the millisecond.
    Time,
    /// Dollars to the nano-dollar.
    Dollars,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What stands in a column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not known, or it does not apply.
    Null,
    /// Text, verbatim.
    Text(&'a str),
    /// An integer.
    Integer(i64),
    /// A time.
    Time(UnixMs),
    /// An amount.
    Dollars(NanoUsd),
}

impl<'a> Value<'a> {
    fn text(text: &'a str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(text) }
    }

    fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn maybe(count: Option<u64>) -> Self {
        count.map_or(Self::Null, Self::count)
    }
}

/// A row: a value for each of [`COLUMNS`].
pub type Row<'a> = [Value<'a>; COLUMNS.len()];

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// The columns in their order; `docs/export.md` says what each means.
pub const COLUMNS: [Column; 23] = [
    column("gateway", Kind::Text),
    column("job_id", Kind::Text),
    column("job_name", Kind::Text),
    column("agent", Kind::Text),
    column("provider", Kind::Text),
    column("model", Kind::Text),
    column("run_at_ms", Kind::Integer),
    column("run_at", Kind::Time),
    column("recorded_at", Kind::Time),
    column("part", Kind::Integer),
    column("runs", Kind::Integer),
    column("status", Kind::Text),
    column("reason", Kind::Text),
    column("duration_ms", Kind::Integer),
    column("tokens_input", Kind::Integer),
    column("tokens_output", Kind::Integer),
    column("tokens_cache_read", Kind::Integer),
    column("tokens_cache_write", Kind::Integer),
    column("usage_provenance", Kind::Text),
    column("cost_nano_usd", Kind::Integer),
    column("cost_usd", Kind::Dollars),
    column("cost_provenance", Kind::Text),
    column("billing", Kind::Text),
];

/// Whose usage a row tells.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The gateway's name.
    pub gateway: &'a str,
    /// Id and name of the job.
    pub job: (&'a str, &'a str),
    /// The agent.
    pub agent: &'a str,
    /// The provider and its model.
    pub model: (&'a str, &'a str),
}

/// Returns the row of what a run used under its `nth` set of labels. What is told of the run itself, that it was one and
/// how long it took, stands in its first, so that sums over all rows are right.
pub fn row_of_part<'a>(whose: &Whose<'a>, run: &UsedRun<'_>, nth: usize, part: &UsedPart) -> Row<'a> {
    let first = nth == 0;
    let known = provenance(part);
    let times = [Value::Time(run.at.time()), Value::Time(run.recorded_at)];
    let duration = run.duration_ms.filter(|_| first);
    let counts = [Value::count(nth as u64), Value::count(u64::from(first)), Value::maybe(duration)];
    let ended = (run.status.as_str(), run.reason);
    let tokens = TokenKind::ALL.map(|kind| Value::maybe(part.usage.get(kind)));
    let cost = part.cost.map_or(NanoUsd::ZERO, |cost| cost.usd);
    let billing = part.cost.map_or(Value::Null, |_| Value::Text(part.billing.as_str()));
    row(whose, times, counts, ended, (tokens, run.provenance), (cost, known, billing))
}

/// Returns the row of runs of a folded day.
pub fn row_of_day<'a>(whose: &Whose<'a>, day: &FoldedRuns) -> Row<'a> {
    let counts = [Value::Null, Value::count(day.runs), Value::Null];
    let ended = (day.status.as_str(), day.reason);
    let told = day.provenance != UsageProvenance::None || day.tokens != [0; 4];
    let tokens = day.tokens.map(|tokens| Value::maybe(told.then_some(tokens)));
    let known = folded_provenance(day);
    let times = [Value::Time(day.noon), Value::Null];
    row(whose, times, counts, ended, (tokens, day.provenance), (day.cost, known, Value::Null))
}

fn row<'a>(
    whose: &Whose<'a>,
    [run_at, recorded_at]: [Value<'a>; 2],
    [part, runs, duration_ms]: [Value<'a>; 3],
    (status, reason): (&'static str, Reason),
    (tokens, usage): ([Value<'a>; 4], UsageProvenance),
    (cost, known, billing): (NanoUsd, CostProvenance, Value<'a>),
) -> Row<'a> {
    // An amount that means nothing is none.
    let cost = Some(cost).filter(|_| known >= CostProvenance::LowerBound);
    let [input, output, cache_read, cache_write] = tokens;
    let run_at_ms = if let Value::Time(at) = run_at { Value::Integer(at.0) } else { Value::Null };
    [
        Value::text(whose.gateway),
        Value::text(whose.job.0),
        Value::text(whose.job.1),
        Value::text(whose.agent),
        Value::text(whose.model.0),
        Value::text(whose.model.1),
        run_at_ms,
        run_at,
        recorded_at,
        part,
        runs,
        Value::Text(status),
        if reason == Reason::None { Value::Null } else { Value::Text(reason.as_str()) },
        duration_ms,
        input,
        output,
        cache_read,
        cache_write,
        Value::Text(usage.as_str()),
        cost.map_or(Value::Null, |cost| Value::Integer(cost.0)),
        cost.map_or(Value::Null, Value::Dollars),
        Value::Text(known.as_str()),
        billing,
    ]
}
