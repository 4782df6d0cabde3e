//! What runs used in a window of time, run by run, for whoever adds it up.
//!
//! Runs are stored in the order of jobs and times, so a window is one range per job and nothing else is touched.
//! Invariant: all that one [`UsageReader`] hands out is of one moment, whatever a writer does meanwhile.

use std::path::Path;

use rusqlite::{Connection, Row, Rows, Transaction, params};

use super::memory::Runs;
use super::read::LedgerReader;
use super::rows::{Calls, RunRow};
use super::store::{count, meta, pack_at, unpack_at, unpack_facts, usage};
use super::{Labels, Ledger, LedgerError, schema};
use crate::model::{
    Billing, Cost, CostProvenance, NanoUsd, Reason, RunAt, Status, TokenKind, UnixMs, Usage, UsageProvenance,
};

/// From the first time to before the second, by when runs started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first millisecond.
    pub since: UnixMs,
    /// The first millisecond after it.
    pub until: UnixMs,
}

impl Window {
    /// Returns whether a time lies in it.
    #[must_use]
    pub const fn contains(self, at: UnixMs) -> bool {
        self.since.0 <= at.0 && at.0 < self.until.0
    }
}

/// A job that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedJob {
    /// OpenClaw's id.
    pub job_id: String,
    /// Its name, verbatim; empty if it has none or none is known.
    pub name: String,
    row: i64,
    last_run: Option<UnixMs>,
}

/// What a run counts under one set of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedPart {
    /// Index of the labels.
    pub labels: usize,
    /// Its tokens.
    pub usage: Usage,
    /// Its cost; `None`: nothing is known of it.
    pub cost: Option<Cost>,
    /// What its dollars mean.
    pub billing: Billing,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct UsedRun<'a> {
    /// Index of its job.
    pub job: usize,
    /// When it started.
    pub at: RunAt,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How it ended.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// How its tokens are known.
    pub provenance: UsageProvenance,
    /// What it used: under its own labels, then under further ones.
    pub parts: &'a [UsedPart],
}

/// Runs of one UTC day that retention has folded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldedRuns {
    /// Noon of their day in UTC, which stands for when each of them started.
    pub noon: UnixMs,
    /// Index of their labels.
    pub labels: usize,
    /// How they ended.
    pub status: Status,
    /// How their tokens are known.
    pub provenance: UsageProvenance,
    /// How many; 0 where only further models of runs under other labels are told.
    pub runs: u64,
    /// Tokens by kind, in the order of [`TokenKind::ALL`].
    pub tokens: [u64; 4],
    /// What is known of their cost.
    pub cost: NanoUsd,
}

/// A view of one moment.
pub struct UsageReader<'a> {
    path: &'a Path,
    transaction: Transaction<'a>,
    /// Where the runs are if they are not in the database.
    runs: Option<&'a Runs>,
    /// All jobs.
    pub jobs: Vec<UsedJob>,
    /// All sets of labels.
    pub labels: Vec<Labels>,
    /// Runs before this time are folded into daily totals; `None`: none are.
    pub folded_before: Option<UnixMs>,
}

impl LedgerReader {
    /// Begins to read what runs used.
    ///
    /// # Errors
    /// [`LedgerError::Older`], and what SQLite says.
    pub fn usage(&self) -> Result<UsageReader<'_>, LedgerError> {
        let failed = |error| LedgerError::of(self.path(), error);
        let (found, known) = (schema::version(self.connection()).map_err(failed)?, schema::known_version());
        if found < known {
            return Err(LedgerError::Older { path: self.path().into(), found, known });
        }
        UsageReader::begin(self.path(), self.connection(), None).map_err(failed)
    }
}

impl Ledger {
    /// Begins to read what runs used.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage(&self) -> Result<UsageReader<'_>, LedgerError> {
        let runs = self.book.runs.as_ref();
        UsageReader::begin(&self.path, &self.connection, runs).map_err(|error| self.failed(error))
    }
}

impl<'a> UsageReader<'a> {
    fn begin(path: &'a Path, connection: &'a Connection, runs: Option<&'a Runs>) -> rusqlite::Result<Self> {
        let transaction = connection.unchecked_transaction()?;
        let mut statement =
            transaction.prepare("SELECT job_id, name, id, last_run_ms FROM job ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            let last_run: Option<i64> = row.get(3)?;
            Ok(UsedJob {
                job_id: row.get(0)?,
                name: row.get(1)?,
                row: row.get(2)?,
                last_run: last_run.map(UnixMs),
            })
        })?;
        let jobs = rows.collect::<Result<_, _>>()?;
        drop(statement);
        let mut statement =
            transaction.prepare("SELECT job_id, job_name, agent, provider, model FROM labels ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(Labels {
                job_id: row.get(0)?,
                job_name: row.get(1)?,
                agent: row.get(2)?,
                provider: row.get(3)?,
                model: row.get(4)?,
            })
        })?;
        let labels = rows.collect::<Result<_, _>>()?;
        drop(statement);
        let folded_before = meta(&transaction, "folded_before_ms")?.map(UnixMs);
        Ok(Self { path, transaction, runs, jobs, labels, folded_before })
    }

    /// Hands out every run of a window whose job is wanted, job by job, each job's in the order of time.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_run(
        &self,
        window: Window,
        wanted: impl Fn(usize) -> bool,
        on_run: impl FnMut(&UsedRun<'_>),
    ) -> Result<(), LedgerError> {
        self.runs(window, wanted, on_run).map_err(|error| LedgerError::of(self.path, error))
    }

    fn runs(
        &self,
        window: Window,
        wanted: impl Fn(usize) -> bool,
        mut on_run: impl FnMut(&UsedRun<'_>),
    ) -> rusqlite::Result<()> {
        let mut own = self.transaction.prepare(
            "SELECT at, input, output, cache_read, cache_write, labels, cost, cost_provenance, duration_ms, facts
             FROM run WHERE job = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
        )?;
        let mut further = self.transaction.prepare(
            "SELECT at, input, output, cache_read, cache_write, labels, cost, cost_provenance
             FROM run_usage WHERE job = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
        )?;
        let [since, until] = [window.since, window.until].map(|at| pack_at(RunAt::Started(at)));
        let mut parts = Vec::new();
        for (job, known) in self.jobs.iter().enumerate() {
            // Jobs whose newest run is older: most of those that ran once.
            if known.last_run.is_some_and(|last| last < window.since) || !wanted(job) {
                continue;
            }
            let range = params![known.row, since, until];
            let mut others = further.query(range)?;
            let mut next = next_part(&mut others)?;
            let mut emit = |run: Own| {
                parts.clear();
                parts.push(run.part);
                while let Some((of, part)) = next.filter(|(of, _)| *of <= run.at) {
                    // Until a transcript covers the record, its calls are not counted beside it.
                    if of == run.at && run.provenance == UsageProvenance::Transcript {
                        parts.push(part);
                    }
                    next = next_part(&mut others)?;
                }
                let Own { duration_ms, status, reason, provenance, .. } = run;
                let at = unpack_at(run.at);
                on_run(&UsedRun { job, at, duration_ms, status, reason, provenance, parts: &parts });
                Ok::<_, rusqlite::Error>(())
            };
            if let Some(runs) = self.runs {
                let mut runs = runs.between(job, since, until);
                runs.try_for_each(|(at, row)| emit(Own::held(at, &row)))?;
                continue;
            }
            let mut rows = own.query(range)?;
            while let Some(row) = rows.next()? {
                emit(Own::read(row)?)?;
            }
        }
        Ok(())
    }

    /// Hands out what was folded into the daily totals of days whose noon (UTC) lies in the window, so that windows
    /// that follow each other count each day once.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_folded(
        &self,
        window: Window,
        on_day: impl FnMut(&FoldedRuns),
    ) -> Result<(), LedgerError> {
        self.folded(window, on_day).map_err(|error| LedgerError::of(self.path, error))
    }

    fn folded(&self, window: Window, mut on_day: impl FnMut(&FoldedRuns)) -> rusqlite::Result<()> {
        if self.folded_before.is_none_or(|before| before <= window.since.plus(-DAY_MS)) {
            return Ok(());
        }
        let mut statement = self.transaction.prepare(
            "SELECT day, labels, facts, runs, cost, input, output, cache_read, cache_write FROM daily
             WHERE day BETWEEN ?1 AND ?2 ORDER BY day",
        )?;
        let days = [window.since, window.until].map(super::utc_day);
        let mut rows = statement.query(days)?;
        while let Some(row) = rows.next()? {
            let day: i64 = row.get(0)?;
            let noon = UnixMs(day.saturating_mul(DAY_MS).saturating_add(DAY_MS / 2));
            if !window.contains(noon) {
                continue;
            }
            let (status, _, _, provenance) = unpack_facts(row.get(2)?);
            let mut tokens = [0; 4];
            for (at, sum) in tokens.iter_mut().enumerate() {
                *sum = count(row.get(5 + at)?);
            }
            on_day(&FoldedRuns {
                noon,
                labels: index(row.get(1)?),
                status,
                provenance,
                runs: count(row.get(3)?),
                tokens,
                cost: NanoUsd(row.get(4)?),
            });
        }
        Ok(())
    }
}

const DAY_MS: i64 = 86_400_000;
const _: () = assert!(TokenKind::ALL.len() == 4);

/// A run's own row.
struct Own {
    at: i64,
    part: UsedPart,
    duration_ms: Option<u64>,
    status: Status,
    reason: Reason,
    provenance: UsageProvenance,
}

impl Own {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (status, reason, _, provenance) = unpack_facts(row.get(9)?);
        let duration_ms = row.get::<_, Option<i64>>(8)?.map(count);
        Ok(Self { at: row.get(0)?, part: part(row)?, duration_ms, status, reason, provenance })
    }

    const fn held(at: i64, row: &RunRow) -> Self {
        let RunRow { duration_ms, status, reason, provenance, .. } = *row;
        let known = match row.calls.provenance {
            CostProvenance::None => None,
            _ => Some(row.calls),
        };
        Self { at, part: used(row.labels, row.usage, known), duration_ms, status, reason, provenance }
    }
}

fn next_part(rows: &mut Rows<'_>) -> rusqlite::Result<Option<(i64, UsedPart)>> {
    match rows.next()? {
        Some(row) => Ok(Some((row.get(0)?, part(row)?))),
        None => Ok(None),
    }
}

fn part(row: &Row<'_>) -> rusqlite::Result<UsedPart> {
    let usd = row.get::<_, Option<i64>>(6)?.unwrap_or(0);
    let known = row.get::<_, Option<i64>>(7)?.map(|packed| Calls::unpacked(0, usd, packed));
    Ok(used(index(row.get(5)?), usage(row, 1)?, known))
}

const fn used(labels: usize, usage: Usage, known: Option<Calls>) -> UsedPart {
    match known {
        Some(Calls { cost, provenance, billing, .. }) => {
            UsedPart { labels, usage, cost: Some(Cost { usd: NanoUsd(cost), provenance }), billing }
        }
        None => UsedPart { labels, usage, cost: None, billing: Billing::Metered },
    }
}

fn index(id: i64) -> usize {
    usize::try_from(id - 1).unwrap_or(usize::MAX)
}
