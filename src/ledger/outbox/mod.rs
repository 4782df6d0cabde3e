//! Events until every sink has them: written once, never changed, given out in order, bounded.
//!
//! What happened is noted in the transaction that counts it. A run's event is written a little later, since what the
//! run used is often known only when its session was read; from then on it says the same for ever, so that a sink that
//! is told twice can tell. Invariants: a sink's position moves only forwards; what every sink has is deleted; what was
//! deleted before a sink had it is counted for that sink. Without a sink nothing is kept. Deliberately absent: what an
//! event says, which is the caller's, and how it is sent.

mod seal;

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::book::Book;
use super::relays::{self, Relay, Written};
use super::store::{count, db};
use super::{Ledger, LedgerError};
use crate::model::{
    GatewayEvent, Happening, MissingNotice, OutboxFacts, SinkFacts, SinkProgress, StoredEvent, UnixMs,
};

/// Puts something that happened into the words that are kept and sent.
pub type Describe = Arc<dyn Fn(Happening<'_>) -> String + Send + Sync>;

/// What the caller decides about events.
#[derive(Clone)]
pub struct OutboxSettings {
    /// The stable names of those who are told.
    pub sinks: BTreeSet<String>,
    /// Most events that are kept for a sink that does not take them.
    pub max_events: u64,
    /// How long they are, in milliseconds; nor is told what was older when it was first seen.
    pub max_age_ms: i64,
    /// What events say.
    pub describe: Describe,
}

impl Ledger {
    /// Tells of events from now on like this. A sink that is new begins at the oldest event that is kept; one that is
    /// not named any more is forgotten, and without any so is all that was kept.
    ///
    /// # Errors
    /// What SQLite says; nothing has changed then.
    pub fn set_outbox(&mut self, settings: OutboxSettings) -> Result<(), LedgerError> {
        self.register(&settings).map_err(|error| self.failed(error))?;
        self.outbox = Some(settings);
        self.decide_telling();
        Ok(())
    }

    /// Decides whether events are written at all: if a sink or a relay is told of them.
    pub(super) fn decide_telling(&mut self) {
        let told = |settings: &&OutboxSettings| !settings.sinks.is_empty() || !self.relays.is_empty();
        let age = self.outbox.as_ref().filter(told).map(|settings| settings.max_age_ms);
        self.book.settings.event_age_ms = age;
    }

    fn register(&mut self, settings: &OutboxSettings) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let known = sinks(&transaction)?;
        for gone in known.iter().filter(|sink| !settings.sinks.contains(&sink.name)) {
            transaction.execute("DELETE FROM sink WHERE name = ?1", [&gone.name])?;
        }
        let first = oldest(&transaction)?.map_or(newest(&transaction)?, |(seq, _)| seq.saturating_sub(1));
        for new in settings.sinks.iter().filter(|name| known.iter().all(|sink| sink.name != **name)) {
            transaction.execute("INSERT INTO sink VALUES (?1, ?2, 0, 0, 0, 0)", params![new, db(first)])?;
        }
        if settings.sinks.is_empty() {
            // A relay of before may be told of runs whose event is still to be written: `set_relays` decides.
            transaction.execute_batch(
                "DELETE FROM outbox; DELETE FROM outbox_run WHERE NOT EXISTS (SELECT 1 FROM relay)",
            )?;
        } else {
            delete_taken(&transaction)?;
        }
        transaction.commit()
    }

    /// Returns whether anybody is told of events.
    #[must_use]
    pub const fn tells(&self) -> bool {
        self.book.settings.event_age_ms.is_some()
    }

    /// Notes how far a sink has come, and returns the next events for it, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says; nothing was noted then, and the same can be told again.
    pub fn take_events(
        &mut self,
        progress: &SinkProgress,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, LedgerError> {
        self.take(progress, limit).map_err(|error| self.failed(error))
    }

    fn take(&mut self, progress: &SinkProgress, limit: usize) -> rusqlite::Result<Vec<StoredEvent>> {
        let position: Option<i64> = self
            .connection
            .prepare_cached("SELECT position FROM sink WHERE name = ?1")?
            .query_row([&progress.name], |row| row.get(0))
            .optional()?;
        let Some(position) = position.map(count) else { return Ok(Vec::new()) };
        if progress.position > position {
            let transaction = self.connection.transaction()?;
            transaction
                .prepare_cached(
                    "UPDATE sink SET position = ?2, delivered = max(delivered, ?3), refused = max(refused, ?4)
                     WHERE name = ?1",
                )?
                .execute(params![
                    progress.name,
                    db(progress.position),
                    db(progress.delivered),
                    db(progress.refused)
                ])?;
            delete_taken(&transaction)?;
            transaction.commit()?;
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, stored_ms, content FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let after = db(position.max(progress.position));
        let rows = statement.query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(StoredEvent { seq: count(row.get(0)?), stored: UnixMs(row.get(1)?), content: row.get(2)? })
        })?;
        rows.collect()
    }

    /// Returns how much is kept, and for whom.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn outbox(&self) -> Result<OutboxFacts, LedgerError> {
        self.load_outbox().map_err(|error| self.failed(error))
    }

    fn load_outbox(&self) -> rusqlite::Result<OutboxFacts> {
        let (newest, oldest) = (newest(&self.connection)?, oldest(&self.connection)?);
        Ok(OutboxFacts {
            size: oldest.map_or(0, |(seq, _)| (newest + 1).saturating_sub(seq)),
            oldest: oldest.map(|(_, stored)| stored),
            newest,
            sinks: sinks(&self.connection)?,
        })
    }

    /// Deletes what is beyond the bounds, and counts it for those who did not have it.
    fn trim(&mut self, settings: &OutboxSettings, now: UnixMs) -> rusqlite::Result<()> {
        let Some((first, stored)) = oldest(&self.connection)? else { return Ok(()) };
        let newest = newest(&self.connection)?;
        let overflow = newest.saturating_sub(settings.max_events);
        let cutoff = now.plus(-settings.max_age_ms);
        if first > overflow && stored >= cutoff {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        let fresh: Option<i64> = transaction
            .prepare_cached("SELECT seq FROM outbox WHERE stored_ms >= ?1 ORDER BY seq LIMIT 1")?
            .query_row([cutoff.0], |row| row.get(0))
            .optional()?;
        let expired = fresh.map_or(db(newest), |seq| seq - 1);
        transaction
            .prepare_cached(
                "UPDATE sink SET expired = expired + ?1 - position, position = ?1 WHERE position < ?1",
            )?
            .execute([expired])?;
        transaction
            .prepare_cached(
                "UPDATE sink SET overflowed = overflowed + ?1 - position, position = ?1 WHERE position < ?1",
            )?
            .execute([db(overflow)])?;
        delete_taken(&transaction)?;
        transaction.commit()
    }
}

/// What events say, and who is told of them.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub settings: &'a OutboxSettings,
    pub relays: &'a [Relay],
}

impl Telling<'_> {
    /// Writes events of a gateway's log that are not old; the transaction is the caller's.
    pub fn tell(
        self,
        connection: &Connection,
        book: &Book,
        fresh: &[&GatewayEvent],
        now: UnixMs,
    ) -> rusqlite::Result<()> {
        for event in fresh.iter().filter(|event| book.is_told(event.at, now)) {
            let content = (self.settings.describe)(Happening::Gateway(event));
            self.append(connection, now, &Written { content: &content, at: event.at, run: None })?;
        }
        Ok(())
    }

    /// Writes that an awaited notice did not come, unless that is old; the transaction is the caller's.
    pub fn tell_missing(
        self,
        connection: &Connection,
        book: &Book,
        missing: &MissingNotice<'_>,
        now: UnixMs,
    ) -> rusqlite::Result<()> {
        if !book.is_told(missing.due, now) {
            return Ok(());
        }
        let content = (self.settings.describe)(Happening::Missing(missing));
        self.append(connection, now, &Written { content: &content, at: missing.due, run: None })
    }

    /// Keeps an event for whoever is told of it.
    fn append(self, connection: &Connection, now: UnixMs, event: &Written<'_>) -> rusqlite::Result<()> {
        if !self.settings.sinks.is_empty() {
            connection
                .prepare_cached("INSERT INTO outbox (stored_ms, content) VALUES (?1, ?2)")?
                .execute(params![now.0, event.content])?;
        }
        relays::queue(connection, self.relays, now, event)
    }
}

/// Returns the number of the newest event that ever was; 0: none.
fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.map_or(0, count))
}

/// Returns number and time of the oldest event that is kept.
fn oldest(connection: &Connection) -> rusqlite::Result<Option<(u64, UnixMs)>> {
    connection
        .prepare_cached("SELECT seq, stored_ms FROM outbox ORDER BY seq LIMIT 1")?
        .query_row([], |row| Ok((count(row.get(0)?), UnixMs(row.get(1)?))))
        .optional()
}

fn sinks(connection: &Connection) -> rusqlite::Result<Vec<SinkFacts>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, position, delivered, refused, overflowed, expired FROM sink ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(SinkFacts {
            name: row.get(0)?,
            position: count(row.get(1)?),
            delivered: count(row.get(2)?),
            dropped: [count(row.get(3)?), count(row.get(4)?), count(row.get(5)?)],
        })
    })?;
    rows.collect()
}

fn delete_taken(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM outbox WHERE seq <= (SELECT min(position) FROM sink)")?
        .execute([])
        .map(|_| ())
}
