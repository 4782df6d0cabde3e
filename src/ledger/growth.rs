//! By how much series grew over time, series by series: what their counters would have shown had they been exported
//! from the first run on.
//!
//! Invariant: memory is bounded whatever the ledger holds, since SQLite sorts in temporary files.

use rusqlite::params;

use super::LedgerError;
use super::rows::index;
use super::store::{count, id, pack_at, unpack_facts};
use super::totals::SeriesKind;
use super::usage::{DAY_MS, UsageReader, Window};
use crate::model::{Billing, RunAt, TokenKind, UsageProvenance};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Tokens of one kind.
    Tokens(TokenKind),
    /// Nano-USD.
    Cost,
    /// Runs.
    Runs,
}

/// By how much a series grew in a slot of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Index of its labels.
    pub labels: usize,
    /// What it counts.
    pub kind: SeriesKind,
    /// The slot: its first millisecond divided by the length of slots.
    pub slot: i64,
    /// By how much; never 0.
    pub amount: u64,
}

impl UsageReader<'_> {
    /// Hands out by how much each series of a family grew in slots of `slot_ms`, series by series, each one's slots in
    /// the order of time. A run counts in the slot in which it started, if it started in the window and was
    /// written down before its end, so that a counter that was first exported then has counted it. The runs of a folded
    /// day count at noon UTC. `of` are the jobs whose runs count, and the labels whose folded days do; `None`: all.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_growth(
        &self,
        counted: Counted,
        (window, slot_ms): (Window, i64),
        of: Option<(&[usize], &[usize])>,
        on_growth: impl FnMut(&Growth),
    ) -> Result<(), LedgerError> {
        let grown = self.growth(counted, (window, slot_ms), of, on_growth);
        grown.map_err(|error| LedgerError::of(self.path, error))
    }

    fn growth(
        &self,
        counted: Counted,
        (window, slot_ms): (Window, i64),
        of: Option<(&[usize], &[usize])>,
        mut on_growth: impl FnMut(&Growth),
    ) -> rusqlite::Result<()> {
        let of = of.map(|(jobs, labels)| {
            let rows = jobs.iter().filter_map(|job| self.jobs.get(*job)).map(|job| job.row.to_string());
            let labels = labels.iter().map(|labels| id(*labels).to_string());
            (rows.collect::<Vec<_>>().join(","), labels.collect::<Vec<_>>().join(","))
        });
        let mut statement = self.transaction.prepare(&query(counted, of.as_ref()))?;
        let [since, until] = [window.since, window.until].map(|at| pack_at(RunAt::Started(at)));
        let mut rows = statement.query(params![since, until, window.until.0, slot_ms.max(1)])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(1)?;
            let kind = match counted {
                Counted::Tokens(kind) => SeriesKind::Tokens(kind),
                Counted::Cost => {
                    let billing = u8::try_from(key).ok().and_then(Billing::from_code);
                    SeriesKind::Cost(billing.unwrap_or_default())
                }
                Counted::Runs => {
                    let (status, reason, ..) = unpack_facts(key);
                    SeriesKind::Runs(status, reason)
                }
            };
            on_growth(&Growth {
                labels: index(row.get(0)?),
                kind,
                slot: row.get(2)?,
                amount: count(row.get(3)?),
            });
        }
        Ok(())
    }
}

/// Status and reason in what is packed of a run; see store.rs.
const STATUS_AND_REASON: i64 = 0b1000_0011_1111;

/// Returns the question: of runs, of what they used under further labels, and of folded days. Which series of a label
/// set a run counts in is the key. A folded day does not tell what its dollars meant: what most of that label set do.
/// `of` are numbers of jobs and of labels with commas between.
fn query(counted: Counted, of: Option<&(String, String)>) -> String {
    let (key, folded_key, amount, folded_amount) = match counted {
        Counted::Tokens(kind) => ("0", "0", kind.as_str(), kind.as_str()),
        Counted::Cost => ("coalesce(cost_provenance, 0) >> 3", "coalesce(billing, 0)", "cost", "cost"),
        Counted::Runs => ("", "", "1", "runs"),
    };
    let facts = format!("facts & {STATUS_AND_REASON}");
    let [key, folded_key] = [key, folded_key].map(|key| if key.is_empty() { facts.as_str() } else { key });
    let [of_jobs, of_labels] = of.map_or_else(Default::default, |(jobs, labels)| {
        [format!("AND job IN ({jobs})"), format!("AND daily.labels IN ({labels})")]
    });
    let within = format!("at >= ?1 AND at < ?2 AND (at >> 1) + recorded < ?3 {of_jobs}");
    let further = match counted {
        Counted::Runs => String::new(),
        Counted::Tokens(_) | Counted::Cost => format!(
            "UNION ALL SELECT run_usage.labels, {}, (at >> 1) / ?4, run_usage.{amount}
             FROM run JOIN run_usage USING (job, at) WHERE {within} AND facts >> 8 & 7 = {}",
            key.replace("cost_provenance", "run_usage.cost_provenance"),
            UsageProvenance::Transcript as i64
        ),
    };
    format!(
        "SELECT labels, key, slot, sum(amount) FROM (
            SELECT labels, {key} AS key, (at >> 1) / ?4 AS slot, {amount} AS amount FROM run WHERE {within}
            {further}
            UNION ALL SELECT daily.labels, {folded_key}, (day * {DAY_MS} + {noon}) / ?4, {folded_amount}
            FROM daily LEFT JOIN (
                SELECT labels, kind - {cost} AS billing, max(true_total) FROM series
                WHERE kind BETWEEN {cost} AND {cost} + 7 GROUP BY labels
            ) AS dollars USING (labels)
            WHERE day * {DAY_MS} + {noon} >= ?1 >> 1 AND day * {DAY_MS} + {noon} < ?3 {of_labels}
         ) WHERE amount > 0 GROUP BY labels, key, slot ORDER BY labels, key, slot",
        noon = DAY_MS / 2,
        cost = SeriesKind::Cost(Billing::Metered).code(),
    )
}
