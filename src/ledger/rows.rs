//! A run as it is stored: its own row, and a row for each further label set that its calls were billed under.
//!
//! While the provenance of its usage is not `transcript`, the run's own row holds what its record says, and its calls
//! are gathered in `run_usage` without being counted: a transcript counts from when it covers the record. From then on
//! the own row holds the calls under the run's own labels, and `run_usage` those under others.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::store::{count, db, id, pack_at, pack_facts, unpack_facts, usage};
use crate::model::{
    Billing, Charge, CostProvenance, Delivery, Reason, Run, RunAt, Status, TokenKind, Usage, UsageProvenance,
};

/// The run's own row, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunRow {
    /// Milliseconds from the time of the key to the record.
    pub recorded: i64,
    pub duration_ms: Option<u64>,
    /// Index of the labels.
    pub labels: usize,
    pub status: Status,
    pub reason: Reason,
    pub delivery: Delivery,
    pub provenance: UsageProvenance,
    pub usage: Usage,
    /// The calls under its own labels; while the usage is the record's, none, at the cost of that.
    pub calls: Calls,
    /// Prompt of its newest call in tokens, and when that was asked, in ms after the time of the key.
    pub context: Option<(i64, u64)>,
    /// Size of its model's context in tokens.
    pub context_limit: Option<u64>,
}

/// What a number of calls came to, beside tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub count: i64,
    /// In nano-USD.
    pub cost: i64,
    pub provenance: CostProvenance,
    pub billing: Billing,
}

impl Calls {
    /// Returns what a number of calls was charged.
    pub const fn charged(count: i64, charge: Charge) -> Self {
        Self { count, cost: charge.cost.usd.0, provenance: charge.cost.provenance, billing: charge.billing }
    }

    /// Adds what further calls came to.
    pub fn add(&mut self, more: Self) {
        let first = self.count == 0;
        self.provenance = if first { more.provenance } else { self.provenance.with(more.provenance) };
        self.count += more.count;
        self.cost = self.cost.saturating_add(more.cost);
        self.billing = more.billing;
    }

    /// Returns how the cost is known, and what it means, in one number.
    pub const fn packed(self) -> i64 {
        self.provenance as i64 | (self.billing as i64) << 3
    }

    /// Returns what [`packed`](Self::packed) made of these.
    pub fn unpacked(count: i64, cost: i64, packed: i64) -> Self {
        let bits = |value: i64| u8::try_from(value).unwrap_or(0);
        Self {
            count,
            cost,
            provenance: CostProvenance::from_code(bits(packed & 7)).unwrap_or_default(),
            billing: Billing::from_code(bits(packed >> 3)).unwrap_or_default(),
        }
    }
}

/// What a run counts under one set of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub labels: usize,
    pub usage: Usage,
    pub calls: Calls,
}

impl Part {
    /// Adds or takes away the tokens and the cost of calls.
    pub fn add(&mut self, sign: i64, tokens: [u64; 4], calls: Calls) {
        for (kind, tokens) in TokenKind::ALL.into_iter().zip(tokens) {
            let sum = self.usage.get(kind).unwrap_or(0).saturating_add_signed(sign * db(tokens));
            self.usage.set(kind, Some(sum));
        }
        if sign > 0 {
            self.calls.add(calls);
        } else {
            // What is left is told by `recharge`.
            self.calls.count -= calls.count;
        }
    }
}

impl RunRow {
    /// Returns the row of a new run.
    pub fn of<T>(run: &Run<T>, labels: usize, charge: Charge) -> Self {
        Self {
            recorded: run.recorded_at.since(run.key.at.time()),
            duration_ms: run.duration_ms,
            labels,
            status: run.status,
            reason: run.reason,
            delivery: run.delivery,
            provenance: run.provenance,
            usage: run.usage,
            calls: Calls::charged(0, charge),
            context: None,
            context_limit: None,
        }
    }

    pub fn load(connection: &Connection, job: usize, at: RunAt) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT recorded, duration_ms, labels, facts, input, output, cache_read, cache_write, calls, cost,
                 cost_provenance, context_at, context, context_limit FROM run WHERE job = ?1 AND at = ?2",
            )?
            .query_row(params![id(job), pack_at(at)], Self::read)
            .optional()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (status, reason, delivery, provenance) = unpack_facts(row.get(3)?);
        let context_at: Option<i64> = row.get(11)?;
        let context: Option<i64> = row.get(12)?;
        Ok(Self {
            recorded: row.get(0)?,
            duration_ms: row.get::<_, Option<i64>>(1)?.map(count),
            labels: index(row.get(2)?),
            status,
            reason,
            delivery,
            provenance,
            usage: usage(row, 4)?,
            calls: calls(row, 8)?,
            context: context_at.zip(context.map(count)),
            context_limit: row.get::<_, Option<i64>>(13)?.map(count),
        })
    }

    pub fn save(&self, connection: &Connection, job: usize, at: RunAt) -> rusqlite::Result<()> {
        let charged = (self.calls.provenance != CostProvenance::None).then_some(self.calls);
        connection
            .prepare_cached(
                "UPDATE run SET recorded = ?3, duration_ms = ?4, labels = ?5, facts = ?6, input = ?7, output = ?8,
                 cache_read = ?9, cache_write = ?10, calls = ?11, cost = ?12, cost_provenance = ?13,
                 context_at = ?14, context = ?15, context_limit = ?16 WHERE job = ?1 AND at = ?2",
            )?
            .execute(params![
                id(job),
                pack_at(at),
                self.recorded,
                self.duration_ms.map(db),
                id(self.labels),
                pack_facts(self.status, self.reason, self.delivery, self.provenance),
                self.usage.input.map(db),
                self.usage.output.map(db),
                self.usage.cache_read.map(db),
                self.usage.cache_write.map(db),
                (self.calls.count != 0).then_some(self.calls.count),
                charged.map(|calls| calls.cost),
                charged.map(Calls::packed),
                self.context.map(|(at, _)| at),
                self.context.map(|(_, tokens)| db(tokens)),
                self.context_limit.map(db),
            ])?;
        Ok(())
    }

    /// Returns what the run counts under its own labels.
    pub const fn own(&self) -> Part {
        Part { labels: self.labels, usage: self.usage, calls: self.calls }
    }

    /// Returns what the run counts: `others` only if its usage is that of its calls.
    pub fn parts(&self, others: Vec<Part>) -> Vec<Part> {
        let mut parts = vec![self.own()];
        if self.provenance == UsageProvenance::Transcript {
            parts.extend(others);
        }
        parts
    }

    pub fn load_parts(&self, connection: &Connection, job: usize, at: RunAt) -> rusqlite::Result<Vec<Part>> {
        if self.provenance != UsageProvenance::Transcript {
            return Ok(self.parts(Vec::new()));
        }
        Ok(self.parts(load_usage(connection, job, at)?))
    }

    /// Adds or takes away a call.
    pub fn add(
        &mut self,
        connection: &Connection,
        (job, at): (usize, RunAt),
        labels: usize,
        sign: i64,
        (tokens, calls): ([u64; 4], Calls),
    ) -> rusqlite::Result<()> {
        if self.provenance == UsageProvenance::Transcript && labels == self.labels {
            let mut own = Part { labels, usage: self.usage, calls: self.calls };
            own.add(sign, tokens, calls);
            (self.usage, self.calls) = (own.usage, own.calls);
            return Ok(());
        }
        let mut parts = load_usage(connection, job, at)?;
        let known = parts.iter().position(|part| part.labels == labels);
        let new = Part { labels, usage: Usage::default(), calls: Calls::default() };
        let mut part = known.map_or(new, |known| parts.swap_remove(known));
        part.add(sign, tokens, calls);
        save_usage(connection, job, at, &part)?;
        parts.push(part);
        if self.provenance != UsageProvenance::Transcript && self.is_covered(&parts) {
            self.provenance = UsageProvenance::Transcript;
            self.take_own(connection, job, at, &parts)?;
        }
        Ok(())
    }

    /// Takes the first record of a run that only calls told of, whose usage stands if they do not cover it.
    pub fn take_record(
        &mut self,
        connection: &Connection,
        job: usize,
        at: RunAt,
        run: &Run<&str>,
    ) -> rusqlite::Result<()> {
        self.recorded = run.recorded_at.since(at.time());
        let parts = self.load_parts(connection, job, at)?;
        let own = parts[0];
        let record = Self { usage: run.usage, ..self.clone() };
        if self.provenance == UsageProvenance::Transcript && !record.is_covered(&parts) {
            save_usage(connection, job, at, &own)?;
            (self.usage, self.provenance, self.calls) = (run.usage, run.provenance, Calls::default());
        }
        Ok(())
    }

    /// Makes what the calls under some labels are charged the sum of what each of them is.
    pub fn recharge(
        &mut self,
        connection: &Connection,
        (job, at): (usize, RunAt),
        labels: usize,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT cost, cost_provenance FROM call WHERE job = ?1 AND at = ?2 AND labels = ?3 ORDER BY key",
        )?;
        let mut rows = statement.query(params![id(job), pack_at(at), id(labels)])?;
        let mut sum = Calls::default();
        while let Some(row) = rows.next()? {
            sum.add(Calls::unpacked(1, row.get(0)?, row.get(1)?));
        }
        if self.provenance == UsageProvenance::Transcript && labels == self.labels {
            self.calls = sum;
            return Ok(());
        }
        let parts = load_usage(connection, job, at)?;
        let part = parts.into_iter().find(|part| part.labels == labels);
        part.map_or(Ok(()), |part| save_usage(connection, job, at, &Part { calls: sum, ..part }))
    }

    /// Returns whether calls tell at least what the record does, so that none of those that it counts is missing.
    fn is_covered(&self, parts: &[Part]) -> bool {
        [TokenKind::Input, TokenKind::Output].into_iter().all(|kind| {
            let sum: u64 = parts.iter().filter_map(|part| part.usage.get(kind)).sum();
            sum >= self.usage.get(kind).unwrap_or(0)
        })
    }

    /// Moves the calls under the run's own labels into its own row.
    fn take_own(
        &mut self,
        connection: &Connection,
        job: usize,
        at: RunAt,
        parts: &[Part],
    ) -> rusqlite::Result<()> {
        let own = parts.iter().find(|part| part.labels == self.labels);
        let none = Usage { input: Some(0), output: Some(0), cache_read: Some(0), cache_write: Some(0) };
        self.usage = own.map_or(none, |own| own.usage);
        self.calls = own.map_or_else(Calls::default, |own| own.calls);
        if own.is_some() {
            connection
                .prepare_cached("DELETE FROM run_usage WHERE job = ?1 AND at = ?2 AND labels = ?3")?
                .execute(params![id(job), pack_at(at), id(self.labels)])?;
        }
        Ok(())
    }

    /// Gives the run other labels; what its calls came to stays under those of the calls.
    pub fn relabel(
        &mut self,
        connection: &Connection,
        job: usize,
        at: RunAt,
        labels: usize,
    ) -> rusqlite::Result<()> {
        if labels == self.labels {
            return Ok(());
        }
        let own = self.own();
        self.labels = labels;
        if self.provenance == UsageProvenance::Transcript {
            if own.calls.count != 0 {
                save_usage(connection, job, at, &own)?;
            }
            self.take_own(connection, job, at, &load_usage(connection, job, at)?)?;
        }
        Ok(())
    }
}

/// Loads the rows of `run_usage` of a run.
pub(super) fn load_usage(connection: &Connection, job: usize, at: RunAt) -> rusqlite::Result<Vec<Part>> {
    let mut statement = connection.prepare_cached(
        "SELECT labels, input, output, cache_read, cache_write, calls, cost, cost_provenance
         FROM run_usage WHERE job = ?1 AND at = ?2",
    )?;
    let rows = statement.query_map(params![id(job), pack_at(at)], |row| {
        Ok(Part { labels: index(row.get(0)?), usage: usage(row, 1)?, calls: calls(row, 5)? })
    })?;
    rows.collect()
}

/// Writes a row of `run_usage`, or removes one that no call is left of.
pub(super) fn save_usage(
    connection: &Connection,
    job: usize,
    at: RunAt,
    part: &Part,
) -> rusqlite::Result<()> {
    let key = (id(job), pack_at(at), id(part.labels));
    if part.calls.count == 0 {
        connection
            .prepare_cached("DELETE FROM run_usage WHERE job = ?1 AND at = ?2 AND labels = ?3")?
            .execute(key)?;
        return Ok(());
    }
    let tokens = TokenKind::ALL.map(|kind| db(part.usage.get(kind).unwrap_or(0)));
    connection
        .prepare_cached(
            "INSERT INTO run_usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO UPDATE SET
             input = ?4, output = ?5, cache_read = ?6, cache_write = ?7, calls = ?8, cost = ?9, cost_provenance = ?10",
        )?
        .execute(params![
            key.0,
            key.1,
            key.2,
            tokens[0],
            tokens[1],
            tokens[2],
            tokens[3],
            part.calls.count,
            part.calls.cost,
            part.calls.packed()
        ])?;
    Ok(())
}

fn calls(row: &Row<'_>, from: usize) -> rusqlite::Result<Calls> {
    let get = |offset| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(from + offset)?.unwrap_or(0));
    Ok(Calls::unpacked(get(0)?, get(1)?, get(2)?))
}

/// Returns the index that a number in the database stands for.
pub(super) fn index(id: i64) -> usize {
    usize::try_from(id - 1).unwrap_or(usize::MAX)
}
