//! Messages to services: queued with the event that they tell of, given out in order, kept when they are given up.
//!
//! An event becomes a message of every relay that wants it in the transaction that writes the event; so does a digest in
//! the one that notes its period. Invariants: a relay's messages are given out by their numbers, one at a time, and again
//! until it is said what became of them; what a relay does not take holds up no other; queues and dead letters are
//! bounded, and what goes beyond is counted. A run's own words are kept only while a message of a relay that passes them
//! on waits or can be put back. Deliberately absent: what a message looks like, when it is sent, and to where.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::book::Book;
use super::store::{count, db, id, pack_at};
use super::{Ledger, LedgerError, LedgerReader};
use crate::model::{DeadLetter, DeadReason, RelayFacts, RelayMessage, RunAt, RunKey, Settled, UnixMs};

/// Most messages that wait for a relay; the oldest of more are given up.
const MAX_WAITING: u64 = 10_000;
/// Most dead letters that are kept of a relay, the newest.
const MAX_DEAD: u64 = 1_000;
/// How long a dead letter is kept, in milliseconds: 30 days.
const DEAD_MS: i64 = 30 * 86_400_000;

/// Tells whether a relay wants an event, given its line.
pub type Wants = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the caller decides about a relay.
#[derive(Clone)]
pub struct RelayRule {
    /// Its stable name.
    pub name: String,
    /// Which events it wants.
    pub wants: Wants,
    /// Whether it passes on what runs say.
    pub summaries: bool,
    /// How long a message may wait before it is given up, in milliseconds.
    pub give_up_ms: i64,
}

/// A relay of the configuration.
#[derive(Clone)]
pub(super) struct Relay {
    rule: RelayRule,
    /// When it was first in the configuration: it is not told what was before.
    since: UnixMs,
}

/// An event as it is written.
pub(super) struct Written<'a> {
    pub content: &'a str,
    /// When it happened.
    pub at: UnixMs,
    /// The run that it tells of.
    pub run: Option<(usize, RunAt)>,
}

impl Ledger {
    /// Queues messages for these relays from now on, and for no others: those are forgotten with all their messages.
    ///
    /// # Errors
    /// What SQLite says; nothing has changed then.
    pub fn set_relays(&mut self, rules: Vec<RelayRule>, now: UnixMs) -> Result<(), LedgerError> {
        self.relays = self.register_relays(rules, now).map_err(|error| self.failed(error))?;
        let summaries = self.relays.iter().any(|relay| relay.rule.summaries);
        self.summaries.store(summaries, Ordering::Relaxed);
        self.decide_telling();
        Ok(())
    }

    fn register_relays(&mut self, rules: Vec<RelayRule>, now: UnixMs) -> rusqlite::Result<Vec<Relay>> {
        let has_sinks = self.outbox.as_ref().is_some_and(|settings| !settings.sinks.is_empty());
        let is_told = has_sinks || !rules.is_empty();
        // What was deleted is overwritten: texts of runs are not to be found in the file later.
        let secure = rules.iter().any(|rule| rule.summaries);
        self.connection.pragma_update(None, "secure_delete", "ON")?;
        let transaction = self.connection.transaction()?;
        let mut statement = transaction.prepare("SELECT name FROM relay")?;
        let known: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        drop(statement);
        for gone in known.iter().filter(|name| rules.iter().all(|rule| rule.name != **name)) {
            transaction.execute("DELETE FROM relay WHERE name = ?1", [gone])?;
            transaction.execute("DELETE FROM relay_message WHERE relay = ?1", [gone])?;
        }
        let mut relays = Vec::new();
        for rule in rules {
            transaction.execute(
                "INSERT INTO relay (name, since_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![rule.name, now.0],
            )?;
            let since =
                transaction.query_row("SELECT since_ms FROM relay WHERE name = ?1", [&rule.name], |row| {
                    row.get(0).map(UnixMs)
                })?;
            relays.push(Relay { rule, since });
        }
        if !is_told {
            transaction.execute_batch("DELETE FROM outbox_run")?;
        }
        transaction.execute_batch(if secure {
            "DELETE FROM relay_summary WHERE NOT EXISTS
                 (SELECT 1 FROM relay_message m WHERE m.job = relay_summary.job AND m.at = relay_summary.at)
             AND NOT EXISTS
                 (SELECT 1 FROM outbox_run r WHERE r.job = relay_summary.job AND r.at = relay_summary.at)"
        } else {
            "DELETE FROM relay_summary"
        })?;
        transaction.commit()?;
        self.connection.pragma_update(None, "secure_delete", if secure { "ON" } else { "OFF" })?;
        Ok(relays)
    }

    /// Returns whether a relay passes on what runs say, so that batches are to hold it.
    #[must_use]
    pub fn wants_summaries(&self) -> bool {
        self.summaries.load(Ordering::Relaxed)
    }

    /// Returns what tells that to others, also when it changes.
    #[must_use]
    pub fn summary_switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.summaries)
    }

    /// Returns the message that a relay is to send next.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn next_message(&self, relay: &str) -> Result<Option<RelayMessage>, LedgerError> {
        let Some(known) = self.relays.iter().find(|known| known.rule.name == relay) else { return Ok(None) };
        let sql = "SELECT id, queued_ms, tries, content, text FROM relay_message
             LEFT JOIN relay_summary USING (job, at)
             WHERE relay = ?1 AND dead_ms IS NULL ORDER BY id LIMIT 1";
        let message = |row: &Row<'_>| {
            Ok(RelayMessage {
                id: count(row.get(0)?),
                queued: UnixMs(row.get(1)?),
                tries: row.get(2)?,
                content: row.get(3)?,
                summary: row.get::<_, Option<String>>(4)?.filter(|_| known.rule.summaries),
            })
        };
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.failed(error))?;
        statement.query_row([relay], message).optional().map_err(|error| self.failed(error))
    }

    /// Notes what became of a message.
    ///
    /// # Errors
    /// What SQLite says; nothing was noted then, and the same can be told again.
    pub fn settle_message(&mut self, number: u64, settled: Settled, now: UnixMs) -> Result<(), LedgerError> {
        self.settle(number, settled, now).map_err(|error| self.failed(error))
    }

    fn settle(&mut self, number: u64, settled: Settled, now: UnixMs) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        match settled {
            Settled::Failed => {
                transaction
                    .prepare_cached("UPDATE relay_message SET tries = tries + 1 WHERE id = ?1")?
                    .execute([db(number)])?;
            }
            Settled::Dead { reason, status } => bury(&transaction, db(number), reason, status, now)?,
            Settled::Sent => {
                // Nothing if it was told before, or the relay is gone.
                transaction
                    .prepare_cached(
                        "UPDATE relay SET sent = sent + 1
                         WHERE name = (SELECT relay FROM relay_message WHERE id = ?1 AND dead_ms IS NULL)",
                    )?
                    .execute([db(number)])?;
                remove(&transaction, db(number))?;
            }
        }
        transaction.commit()
    }

    /// Puts dead letters back at the end of their relays' queues: those with these numbers, or all. Returns how many.
    ///
    /// # Errors
    /// What SQLite says; nothing has changed then.
    pub fn revive(&mut self, numbers: Option<&[u64]>, now: UnixMs) -> Result<u64, LedgerError> {
        self.revive_some(numbers, now).map_err(|error| self.failed(error))
    }

    fn revive_some(&mut self, numbers: Option<&[u64]>, now: UnixMs) -> rusqlite::Result<u64> {
        let transaction = self.connection.transaction()?;
        let mut statement =
            transaction.prepare("SELECT id FROM relay_message WHERE dead_ms IS NOT NULL ORDER BY id")?;
        let dead: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        drop(statement);
        let mut revived = 0;
        for number in dead.into_iter().filter(|id| numbers.is_none_or(|asked| asked.contains(&count(*id)))) {
            transaction
                .prepare_cached(
                    "INSERT INTO relay_message (relay, queued_ms, tries, job, at, content)
                     SELECT relay, ?2, 0, job, at, content FROM relay_message WHERE id = ?1",
                )?
                .execute(params![number, now.0])?;
            transaction.prepare_cached("DELETE FROM relay_message WHERE id = ?1")?.execute([number])?;
            revived += 1;
        }
        transaction.commit()?;
        Ok(revived)
    }

    /// Returns how each relay stands, by name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn relays(&self) -> Result<Vec<RelayFacts>, LedgerError> {
        self.relay_facts().map_err(|error| self.failed(error))
    }

    fn relay_facts(&self) -> rusqlite::Result<Vec<RelayFacts>> {
        let mut statement = self.connection.prepare_cached(
            // The oldest is the first: numbers grow with time. All of it is read off the index but that one row.
            "SELECT name, sent, refused, failed, expired, overflowed,
                 (SELECT count(*) FROM relay_message WHERE relay = name AND dead_ms IS NULL),
                 (SELECT count(*) FROM relay_message WHERE relay = name AND dead_ms IS NOT NULL),
                 (SELECT queued_ms FROM relay_message WHERE relay = name AND dead_ms IS NULL ORDER BY id LIMIT 1),
                 (SELECT max(id) FROM relay_message WHERE relay = name AND dead_ms IS NULL)
             FROM relay ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(RelayFacts {
                name: row.get(0)?,
                sent: count(row.get(1)?),
                dead: [count(row.get(2)?), count(row.get(3)?), count(row.get(4)?), count(row.get(5)?)],
                waiting: count(row.get(6)?),
                kept: count(row.get(7)?),
                oldest: row.get::<_, Option<i64>>(8)?.map(UnixMs),
                newest: row.get::<_, Option<i64>>(9)?.map_or(0, count),
            })
        })?;
        rows.collect()
    }

    /// Returns the number of the local day that the last period of a digest ended with; `None`: there was none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn digest_day(&self, name: &str) -> Result<Option<i64>, LedgerError> {
        self.connection
            .prepare_cached("SELECT day FROM digest WHERE name = ?1")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .map_err(|error| self.failed(error))
    }

    /// Notes that the period of a digest that ends with a local day is done with, and queues its message, if there is
    /// one. Nothing happens if that period or a later one is done with already. Returns whether it was not.
    ///
    /// # Errors
    /// What SQLite says; nothing has changed then.
    pub fn post_digest(
        &mut self,
        name: &str,
        day: i64,
        message: Option<(&str, &str)>,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        self.post(name, day, message, now).map_err(|error| self.failed(error))
    }

    fn post(
        &mut self,
        name: &str,
        day: i64,
        message: Option<(&str, &str)>,
        now: UnixMs,
    ) -> rusqlite::Result<bool> {
        let transaction = self.connection.transaction()?;
        let is_new = transaction
            .prepare_cached(
                "INSERT INTO digest VALUES (?1, ?2) ON CONFLICT DO UPDATE SET day = ?2 WHERE day < ?2",
            )?
            .execute(params![name, day])?
            > 0;
        if let Some((relay, content)) = message.filter(|_| is_new) {
            insert(&transaction, relay, now, content, None)?;
        }
        transaction.commit()?;
        Ok(is_new)
    }

    /// Gives up what waited too long or is too much, and lets go of dead letters beyond their bounds.
    pub(super) fn trim_relays(&mut self, now: UnixMs) -> rusqlite::Result<()> {
        if self.relays.is_empty() {
            return Ok(());
        }
        let facts = self.relay_facts()?;
        let transaction = self.connection.transaction()?;
        for (relay, facts) in self.relays.iter().zip(facts_of(&self.relays, &facts)) {
            let name = &relay.rule.name;
            let cutoff = now.plus(-relay.rule.give_up_ms);
            if facts.oldest.is_some_and(|oldest| oldest < cutoff) {
                let sql =
                    "SELECT id FROM relay_message WHERE relay = ?1 AND dead_ms IS NULL AND queued_ms < ?2";
                for number in numbers(&transaction, sql, params![name, cutoff.0])? {
                    bury(&transaction, number, DeadReason::Expired, None, now)?;
                }
            }
            let first =
                "SELECT id FROM relay_message WHERE relay = ?1 AND dead_ms IS NULL ORDER BY id LIMIT ?2";
            for number in numbers(&transaction, first, params![name, beyond(facts.waiting, MAX_WAITING)])? {
                bury(&transaction, number, DeadReason::Overflow, None, now)?;
            }
            let old = "SELECT id FROM relay_message WHERE relay = ?1 AND dead_ms < ?2
                 UNION SELECT id FROM (SELECT id FROM relay_message WHERE relay = ?1 AND dead_ms IS NOT NULL
                     ORDER BY dead_ms, id LIMIT ?3)";
            let kept = params![name, now.plus(-DEAD_MS).0, beyond(facts.kept, MAX_DEAD)];
            for number in numbers(&transaction, old, kept)? {
                remove(&transaction, number)?;
            }
        }
        transaction.commit()
    }
}

impl LedgerReader {
    /// Returns the messages that were given up and can be put back, oldest number first.
    ///
    /// # Errors
    /// [`LedgerError::Older`], and what SQLite says.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, LedgerError> {
        self.check_schema()?;
        self.read_dead_letters().map_err(|error| LedgerError::of(self.path(), error))
    }

    fn read_dead_letters(&self) -> rusqlite::Result<Vec<DeadLetter>> {
        let mut statement = self.connection().prepare(
            "SELECT id, relay, queued_ms, dead_ms, reason, status, content FROM relay_message
             WHERE dead_ms IS NOT NULL ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(DeadLetter {
                id: count(row.get(0)?),
                relay: row.get(1)?,
                queued: UnixMs(row.get(2)?),
                died: UnixMs(row.get(3)?),
                reason: DeadReason::from_code(row.get(4)?).unwrap_or(DeadReason::Refused),
                status: row.get(5)?,
                content: row.get(6)?,
            })
        })?;
        rows.collect()
    }
}

/// Puts an event into the queues of the relays that want it; the transaction is the caller's.
pub(super) fn queue(
    connection: &Connection,
    relays: &[Relay],
    now: UnixMs,
    event: &Written<'_>,
) -> rusqlite::Result<()> {
    let told = |relay: &&Relay| event.at >= relay.since && (relay.rule.wants)(event.content);
    for relay in relays.iter().filter(told) {
        insert(connection, &relay.rule.name, now, event.content, event.run)?;
    }
    Ok(())
}

/// Keeps what runs said whose events are still to be written; the transaction is the caller's.
pub(super) fn keep_summaries(
    connection: &Connection,
    book: &Book,
    summaries: &[(RunKey, String)],
) -> rusqlite::Result<()> {
    for (key, text) in summaries {
        if let Some(job) = book.job_index.get("", &key.job_id) {
            keep_summary(connection, (job, key.at), text)?;
        }
    }
    Ok(())
}

/// Keeps what a run said if its event is still to be written; the transaction is the caller's.
pub(super) fn keep_summary(connection: &Connection, run: (usize, RunAt), text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO relay_summary SELECT job, at, ?3 FROM outbox_run WHERE job = ?1 AND at = ?2
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![id(run.0), pack_at(run.1), text])
        .map(|_| ())
}

/// Forgets what a run said unless a message or an event that is still to be written needs it.
pub(super) fn forget_summary(connection: &Connection, run: (i64, i64)) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM relay_summary WHERE job = ?1 AND at = ?2
             AND NOT EXISTS (SELECT 1 FROM relay_message WHERE job = ?1 AND at = ?2)
             AND NOT EXISTS (SELECT 1 FROM outbox_run WHERE job = ?1 AND at = ?2)",
        )?
        .execute(params![run.0, run.1])
        .map(|_| ())
}

fn insert(
    connection: &Connection,
    relay: &str,
    now: UnixMs,
    content: &str,
    run: Option<(usize, RunAt)>,
) -> rusqlite::Result<()> {
    let (job, at) = (run.map(|(job, _)| id(job)), run.map(|(_, at)| pack_at(at)));
    connection
        .prepare_cached(
            "INSERT INTO relay_message (relay, queued_ms, tries, job, at, content) VALUES (?1, ?2, 0, ?3, ?4, ?5)",
        )?
        .execute(params![relay, now.0, job, at, content])
        .map(|_| ())
}

/// Makes a message that waits a dead letter, and counts it.
fn bury(
    connection: &Connection,
    number: i64,
    reason: DeadReason,
    status: Option<u16>,
    now: UnixMs,
) -> rusqlite::Result<()> {
    let buried = connection
        .prepare_cached(
            "UPDATE relay_message SET dead_ms = ?2, reason = ?3, status = ?4 WHERE id = ?1 AND dead_ms IS NULL",
        )?
        .execute(params![number, now.0, reason as u8, status])?;
    let sql = match reason {
        DeadReason::Refused => "UPDATE relay SET refused = refused + 1",
        DeadReason::Failed => "UPDATE relay SET failed = failed + 1",
        DeadReason::Expired => "UPDATE relay SET expired = expired + 1",
        DeadReason::Overflow => "UPDATE relay SET overflowed = overflowed + 1",
    };
    if buried > 0 {
        let sql = format!("{sql} WHERE name = (SELECT relay FROM relay_message WHERE id = ?1)");
        connection.prepare_cached(&sql)?.execute([number])?;
    }
    Ok(())
}

/// Deletes a message, and what its run said if nobody else passes that on.
fn remove(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let run: Option<(Option<i64>, Option<i64>)> = connection
        .prepare_cached("DELETE FROM relay_message WHERE id = ?1 RETURNING job, at")?
        .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match run {
        Some((Some(job), Some(at))) => forget_summary(connection, (job, at)),
        _ => Ok(()),
    }
}

fn numbers(connection: &Connection, sql: &str, with: &[&dyn ToSql]) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached(sql)?.query_map(with, |row| row.get(0))?.collect()
}

/// Returns how many there are too many.
fn beyond(number: u64, most: u64) -> i64 {
    db(number.saturating_sub(most))
}

/// Returns the facts of each relay, in the order of the relays.
fn facts_of(relays: &[Relay], facts: &[RelayFacts]) -> Vec<RelayFacts> {
    let of = |relay: &Relay| facts.iter().find(|facts| facts.name == relay.rule.name).cloned();
    relays.iter().map(|relay| of(relay).unwrap_or_default()).collect()
}
