//! What runs used in a window of time, run by run, for whoever adds it up.
//!
//! Runs are stored in the order of jobs and times, so a window is one range per job and nothing else is touched. Where
//! segments cover a range they are read instead of its rows.
//! Invariant: all that one [`UsageReader`] hands out is of one moment, whatever a writer does meanwhile.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};

use super::ahead::Piece;
use super::book::{Book, Job};
use super::memory::Runs;
use super::read::LedgerReader;
use super::rows::index;
use super::segments::{Key, Segment};
use super::store::{count, id, jobs, labels, meta, pack_at, unpack_facts};
use super::used::UsedRows;
use super::{Labels, Ledger, LedgerError, Series, schema};
use crate::model::{
    Billing, Cost, NanoUsd, Reason, RunAt, Status, TokenKind, UnixMs, Usage, UsageProvenance,
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
    /// The gateway that ran it; empty: the one that the ledger belongs to.
    pub gateway: String,
    /// OpenClaw's id.
    pub job_id: String,
    /// Its name, verbatim; empty if it has none or none is known.
    pub name: String,
    /// Whether the scheduler has it and considers it.
    pub is_scheduled: bool,
    /// When it last ran.
    pub last_run: Option<UnixMs>,
    /// When it will run next.
    pub next_run: Option<UnixMs>,
    pub(super) row: i64,
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
    /// When it was written down.
    pub recorded_at: UnixMs,
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
    /// Why.
    pub reason: Reason,
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
    pub(super) path: &'a Path,
    pub(super) transaction: Transaction<'a>,
    /// Where the runs are if they are not in the database.
    runs: Option<&'a Runs>,
    /// Name of the gateway that the ledger belongs to.
    pub gateway: String,
    /// When the ledger was made: nothing was exported from it before.
    pub created: UnixMs,
    /// All jobs.
    pub jobs: Vec<UsedJob>,
    /// All sets of labels.
    pub labels: Vec<Arc<Labels>>,
    /// Runs before this time are folded into daily totals; `None`: none are.
    pub folded_before: Option<UnixMs>,
}

fn used(jobs: &[Job]) -> Vec<UsedJob> {
    let used = |(at, job): (usize, &Job)| UsedJob {
        job_id: job.facts.job_id.clone(),
        gateway: job.facts.gateway.clone(),
        name: job.facts.name.clone(),
        is_scheduled: job.facts.defined && job.facts.enabled,
        last_run: job.facts.last_run,
        next_run: job.facts.next_run,
        row: id(at),
    };
    jobs.iter().enumerate().map(used).collect()
}

impl LedgerReader {
    /// Begins to read what runs used.
    ///
    /// # Errors
    /// [`LedgerError::Older`], and what SQLite says.
    pub fn usage(&self) -> Result<UsageReader<'_>, LedgerError> {
        self.check_schema()?;
        UsageReader::begin(self.path(), self.connection(), None)
            .map_err(|error| LedgerError::of(self.path(), error))
    }

    /// Refuses a ledger whose tables are not all there yet.
    pub(super) fn check_schema(&self) -> Result<(), LedgerError> {
        let found =
            schema::version(self.connection()).map_err(|error| LedgerError::of(self.path(), error))?;
        let known = schema::known_version();
        if found < known {
            Err(LedgerError::Older { path: self.path().into(), found, known })
        } else {
            Ok(())
        }
    }
}

impl Ledger {
    /// Begins to read what runs used.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage(&self) -> Result<UsageReader<'_>, LedgerError> {
        // What is in memory has all but a few tables there.
        let book = self.book.runs.is_some().then_some(&self.book);
        UsageReader::begin(&self.path, &self.connection, book).map_err(|error| self.failed(error))
    }
}

impl<'a> UsageReader<'a> {
    fn begin(path: &'a Path, connection: &'a Connection, book: Option<&'a Book>) -> rusqlite::Result<Self> {
        let transaction = connection.unchecked_transaction()?;
        let (jobs, labels) = match book {
            Some(book) => (used(&book.jobs), book.labels.clone()),
            None => (used(&jobs(&transaction)?), labels(&transaction)?),
        };
        let gateway = meta(&transaction, "gateway")?.unwrap_or_default();
        let created = UnixMs(meta(&transaction, "created_ms")?.unwrap_or(0));
        let folded_before = meta(&transaction, "folded_before_ms")?.map(UnixMs);
        let runs = book.and_then(|book| book.runs.as_ref());
        Ok(Self { path, transaction, runs, gateway, created, jobs, labels, folded_before })
    }

    /// Returns all exported series.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn series(&self) -> Result<Vec<Series>, LedgerError> {
        super::store::series(&self.transaction).map_err(|error| LedgerError::of(self.path, error))
    }

    /// Hands out every run of a window whose job is wanted, job by job, each job's in the order of time.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_run(
        &self,
        window: Window,
        wanted: impl Fn(usize) -> bool,
        mut on_run: impl FnMut(&UsedRun<'_>),
    ) -> Result<(), LedgerError> {
        if let Some(runs) = self.runs {
            let read = self.for_each_in_memory(runs, window, &wanted, &mut on_run);
            return read.map_err(|error| LedgerError::of(self.path, error));
        }
        let mut parts = Vec::new();
        self.pieces(window, &wanted, &mut |piece| piece.hand_out(&mut parts, &mut on_run))
    }

    /// The same by two threads: one of its own calls `beside`, and this one, which reads ahead, `here` for what the other has
    /// no time for. Without a `here`, or where there is little, all of it is for one of them.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_run_beside(
        &self,
        window: Window,
        wanted: impl Fn(usize) -> bool,
        beside: impl FnMut(&UsedRun<'_>) + Send,
        here: Option<impl FnMut(&UsedRun<'_>)>,
    ) -> Result<(), LedgerError> {
        if let Some(runs) = self.runs {
            let read = self.for_each_in_memory_beside(runs, window, &wanted, beside, here);
            return read.map_err(|error| LedgerError::of(self.path, error));
        }
        super::ahead::read_ahead(beside, here, |on_piece| self.pieces(window, &wanted, on_piece))
    }

    fn pieces(
        &self,
        window: Window,
        wanted: &dyn Fn(usize) -> bool,
        on_piece: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), LedgerError> {
        self.read_pieces(window, wanted, on_piece).map_err(|error| LedgerError::of(self.path, error))
    }

    /// Returns the jobs that are wanted and may have run in a window, with their indexes.
    pub(super) fn wanted_jobs(
        &self,
        window: Window,
        wanted: &dyn Fn(usize) -> bool,
    ) -> impl Iterator<Item = (usize, &UsedJob)> {
        // Jobs whose newest run is older: most of those that ran once.
        let is_over = move |job: &UsedJob| job.last_run.is_some_and(|last| last < window.since);
        self.jobs.iter().enumerate().filter(move |(at, job)| !is_over(job) && wanted(*at))
    }

    fn read_pieces(
        &self,
        window: Window,
        wanted: &dyn Fn(usize) -> bool,
        on_piece: &mut dyn FnMut(Piece<'_>),
    ) -> rusqlite::Result<()> {
        let mut rows = UsedRows::new(&self.transaction)?;
        let mut segments = self.transaction.prepare(
            "SELECT first, last, runs FROM segment WHERE job = ?1 AND first < ?3 AND last >= ?2 ORDER BY first",
        )?;
        let [since, until] = [window.since, window.until].map(|at| pack_at(RunAt::Started(at)));
        let mut parts = Vec::new();
        for (job, known) in self.wanted_jobs(window, wanted) {
            let mut from = since;
            let mut found = segments.query(params![known.row, since, until])?;
            while let Some(row) = found.next()? {
                let key = Key { job: known.row, first: row.get(0)?, last: row.get(1)? };
                // One that is damaged is passed over: its rows are there.
                let Some(bytes) =
                    row.get_ref(2)?.as_blob().ok().filter(|bytes| Segment::read(key, bytes).is_some())
                else {
                    continue;
                };
                if from < key.first {
                    rows.for_each((job, known.row), (from, key.first), &mut parts, |run| {
                        on_piece(Piece::Run(run));
                    })?;
                }
                on_piece(Piece::Segment { job, bytes, range: (from, until) });
                from = key.last.saturating_add(1);
            }
            if from < until {
                rows.for_each((job, known.row), (from, until), &mut parts, |run| on_piece(Piece::Run(run)))?;
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
            let (status, reason, _, provenance) = unpack_facts(row.get(2)?);
            let mut tokens = [0; 4];
            for (at, sum) in tokens.iter_mut().enumerate() {
                *sum = count(row.get(5 + at)?);
            }
            on_day(&FoldedRuns {
                noon,
                labels: index(row.get(1)?),
                status,
                reason,
                provenance,
                runs: count(row.get(3)?),
                tokens,
                cost: NanoUsd(row.get(4)?),
            });
        }
        Ok(())
    }
}

pub(super) const DAY_MS: i64 = 86_400_000;
const _: () = assert!(TokenKind::ALL.len() == 4);
