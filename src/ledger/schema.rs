//! The tables, as an append-only list of migrations counted by `user_version`.

use rusqlite::{Connection, Transaction};

/// Marks a database as a ledger of ours: "OCUS".
pub const APPLICATION_ID: i64 = 0x4f43_5553;

/// All tables as they are now: what a new ledger is made with. What [`MIGRATIONS`] make of an older one is the same, which a test
/// sees to.
const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID, STRICT;
    -- A job, whether or not the scheduler still knows it. gateway: the one whose webhooks told of it; empty: the one that the
    -- ledger belongs to. label: 0 not counted yet, 1 its own id, 2 one-shot, 3 other, 4 system.
    CREATE TABLE job (
        id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL DEFAULT '', agent TEXT,
        last_agent TEXT, schedule INTEGER NOT NULL DEFAULT 0, label INTEGER NOT NULL DEFAULT 0,
        defined INTEGER NOT NULL DEFAULT 0, enabled INTEGER NOT NULL DEFAULT 1, next_run_ms INTEGER,
        last_run_ms INTEGER, last_success_ms INTEGER, consecutive_errors INTEGER NOT NULL DEFAULT 0,
        UNIQUE (gateway, job_id)
    ) STRICT;
    -- A set of labels under which runs were counted.
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, job_id TEXT NOT NULL, job_name TEXT NOT NULL, agent TEXT NOT NULL,
        provider TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (gateway, job_id, job_name, agent, provider, model)
    ) STRICT;
    -- at: start in ms * 2, or the time of the record * 2 + 1. recorded: ms from there to the record.
    -- facts: status, reason, delivery and provenance, packed; see store.rs. calls, cost, cost_provenance: what its calls under its
    -- own labels came to (see rows.rs); cost in nano-USD, cost_provenance with what the provider's dollars mean in the bits above
    -- its three. context: prompt of the newest call in tokens, context_at: when it was asked, in ms after the time of the key.
    CREATE TABLE run (
        job INTEGER NOT NULL, at INTEGER NOT NULL, recorded INTEGER NOT NULL, duration_ms INTEGER,
        labels INTEGER NOT NULL, facts INTEGER NOT NULL, input INTEGER, output INTEGER, cache_read INTEGER,
        cache_write INTEGER, calls INTEGER, cost INTEGER, cost_provenance INTEGER, context_at INTEGER, context INTEGER,
        context_limit INTEGER, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX run_unpriced ON run (cost_provenance) WHERE cost_provenance & 7 = 1;
    -- What a run's calls under other labels came to: further models, sub-agents of other agents.
    CREATE TABLE run_usage (
        job INTEGER NOT NULL, at INTEGER NOT NULL, labels INTEGER NOT NULL, input INTEGER NOT NULL,
        output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, calls INTEGER NOT NULL,
        cost INTEGER NOT NULL, cost_provenance INTEGER NOT NULL, PRIMARY KEY (job, at, labels)
    ) WITHOUT ROWID, STRICT;
    -- The run that each call was counted in, by the hash of what is the same of it wherever it is copied to.
    CREATE TABLE call (
        key INTEGER PRIMARY KEY, job INTEGER NOT NULL, at INTEGER NOT NULL, labels INTEGER NOT NULL,
        cost INTEGER NOT NULL, cost_provenance INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX call_run ON call (job, at);
    -- What a call without a price asked for, and when, in ms: a price that turns up prices it as if it had been there.
    CREATE TABLE unpriced_call (
        job INTEGER NOT NULL, at INTEGER NOT NULL, key INTEGER NOT NULL, asked INTEGER NOT NULL, input INTEGER NOT NULL,
        output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL,
        PRIMARY KEY (job, at, key)
    ) WITHOUT ROWID, STRICT;
    -- Copies of all runs of a job from first to last, both as `at` of run: see segments/format.rs.
    CREATE TABLE segment (
        job INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, runs BLOB NOT NULL,
        PRIMARY KEY (job, first)
    ) WITHOUT ROWID, STRICT;
    -- Runs that retention has folded away, per UTC day.
    CREATE TABLE daily (
        day INTEGER NOT NULL, labels INTEGER NOT NULL, facts INTEGER NOT NULL, runs INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
        cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, cost INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (day, labels, facts)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE position (
        source TEXT PRIMARY KEY, dev INTEGER NOT NULL, ino INTEGER NOT NULL, byte_offset INTEGER NOT NULL,
        last_hash INTEGER, last_previous INTEGER, last_len INTEGER, skipped INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    -- How far a table of a gateway's database was read. open: numbers of unfinished rows, as little-endian integers.
    CREATE TABLE table_position (
        source TEXT PRIMARY KEY, dev INTEGER NOT NULL, ino INTEGER NOT NULL, schema INTEGER NOT NULL,
        row INTEGER NOT NULL, mark INTEGER NOT NULL, open BLOB NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE series (
        seq INTEGER PRIMARY KEY, labels INTEGER NOT NULL, kind INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        live INTEGER NOT NULL, changed_ms INTEGER NOT NULL, true_total INTEGER NOT NULL,
        exported_total INTEGER NOT NULL
    ) STRICT;
    -- Pairs of true and exported counts per bucket, as little-endian 64-bit integers.
    CREATE TABLE histogram (seq INTEGER PRIMARY KEY, buckets BLOB NOT NULL) STRICT;
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE reject (reason TEXT PRIMARY KEY, sample TEXT NOT NULL) WITHOUT ROWID, STRICT;
    -- What was rejected and may be met again, by hash.
    CREATE TABLE rejected (mark INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE endpoint (
        name TEXT PRIMARY KEY, registered_seq INTEGER NOT NULL, introduced_seq INTEGER NOT NULL,
        pending_zero_ms INTEGER, last_stamp_ms INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    -- What a gateway's log said lately, by the hash of its line: it may be met again. said_ms: when. job: the one of which it said
    -- that its webhook was not delivered, until a run is found that it explains.
    CREATE TABLE gateway_event (mark INTEGER PRIMARY KEY, said_ms INTEGER NOT NULL, job INTEGER) STRICT;
    CREATE INDEX gateway_event_said ON gateway_event (said_ms);
    CREATE INDEX gateway_event_job ON gateway_event (job) WHERE job IS NOT NULL;
    -- Events until every sink has them, numbered without gaps. content: what is sent, for ever the same.
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, stored_ms INTEGER NOT NULL, content TEXT NOT NULL
    ) STRICT;
    -- Runs whose event is not written yet: since when they are known, and when it will be.
    CREATE TABLE outbox_run (
        job INTEGER NOT NULL, at INTEGER NOT NULL, since_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE sink (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, delivered INTEGER NOT NULL, refused INTEGER NOT NULL,
        overflowed INTEGER NOT NULL, expired INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    -- Runs whose notice came by webhook lately. mark: hash of OpenClaw's own id of the run, where it told one.
    CREATE TABLE notice (
        job INTEGER NOT NULL, at INTEGER NOT NULL, mark INTEGER, received_ms INTEGER NOT NULL, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX notice_mark ON notice (mark) WHERE mark IS NOT NULL;
    CREATE INDEX notice_received ON notice (received_ms);
    -- Runs whose notice should come, and when it is missing.
    CREATE TABLE awaited (
        job INTEGER NOT NULL, at INTEGER NOT NULL, due_ms INTEGER NOT NULL, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX awaited_due ON awaited (due_ms);
    -- A service that is told of events: since when, and messages that it took, or that were given up by reason.
    CREATE TABLE relay (
        name TEXT PRIMARY KEY, since_ms INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0,
        overflowed INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID, STRICT;
    -- Messages that wait for their relay in the order of their numbers, or were given up (dead_ms, reason, and status:
    -- what the service answered). job and at: the run that they tell of.
    CREATE TABLE relay_message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, relay TEXT NOT NULL, queued_ms INTEGER NOT NULL, tries INTEGER NOT NULL,
        job INTEGER, at INTEGER, content TEXT NOT NULL, dead_ms INTEGER, reason INTEGER, status INTEGER
    ) STRICT;
    CREATE INDEX relay_message_next ON relay_message (relay, dead_ms, id);
    CREATE INDEX relay_message_run ON relay_message (job, at);
    -- What a run said, until all relays that pass it on are done with it.
    CREATE TABLE relay_summary (
        job INTEGER NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    -- The last period that each digest was made of: the number of the local day that it ends with, from 1970 on.
    CREATE TABLE digest (name TEXT PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID, STRICT;
";

/// How ledgers came to that: each entry takes the schema from its index to the next version. Never change one that was released.
const MIGRATIONS: [&str; 8] = [
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID, STRICT;
    CREATE TABLE job (
        id INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '', agent TEXT,
        last_agent TEXT, schedule INTEGER NOT NULL DEFAULT 0, label INTEGER NOT NULL DEFAULT 0,
        defined INTEGER NOT NULL DEFAULT 0, enabled INTEGER NOT NULL DEFAULT 1, next_run_ms INTEGER,
        last_run_ms INTEGER, last_success_ms INTEGER, consecutive_errors INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, job_name TEXT NOT NULL, agent TEXT NOT NULL,
        provider TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (job_id, job_name, agent, provider, model)
    ) STRICT;
    CREATE TABLE run (
        job INTEGER NOT NULL, at INTEGER NOT NULL, recorded INTEGER NOT NULL, duration_ms INTEGER,
        labels INTEGER NOT NULL, facts INTEGER NOT NULL, input INTEGER, output INTEGER, cache_read INTEGER,
        cache_write INTEGER, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE daily (
        day INTEGER NOT NULL, labels INTEGER NOT NULL, facts INTEGER NOT NULL, runs INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
        cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, PRIMARY KEY (day, labels, facts)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE position (
        source TEXT PRIMARY KEY, dev INTEGER NOT NULL, ino INTEGER NOT NULL, byte_offset INTEGER NOT NULL,
        last_hash INTEGER, last_previous INTEGER, last_len INTEGER, skipped INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE series (
        seq INTEGER PRIMARY KEY, labels INTEGER NOT NULL, kind INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        live INTEGER NOT NULL, changed_ms INTEGER NOT NULL, true_total INTEGER NOT NULL,
        exported_total INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE histogram (seq INTEGER PRIMARY KEY, buckets BLOB NOT NULL) STRICT;
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE reject (reason TEXT PRIMARY KEY, sample TEXT NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE endpoint (
        name TEXT PRIMARY KEY, registered_seq INTEGER NOT NULL, introduced_seq INTEGER NOT NULL,
        pending_zero_ms INTEGER, last_stamp_ms INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
",
    "
    CREATE TABLE table_position (
        source TEXT PRIMARY KEY, dev INTEGER NOT NULL, ino INTEGER NOT NULL, schema INTEGER NOT NULL,
        row INTEGER NOT NULL, mark INTEGER NOT NULL, open BLOB NOT NULL
    ) WITHOUT ROWID, STRICT;
",
    "
    ALTER TABLE run ADD COLUMN calls INTEGER;
    ALTER TABLE run ADD COLUMN cost INTEGER;
    ALTER TABLE run ADD COLUMN cost_provenance INTEGER;
    ALTER TABLE run ADD COLUMN context_at INTEGER;
    ALTER TABLE run ADD COLUMN context INTEGER;
    ALTER TABLE run ADD COLUMN context_limit INTEGER;
    UPDATE run SET cost = 0, cost_provenance = 1
        WHERE coalesce(input, 0) + coalesce(output, 0) + coalesce(cache_read, 0) + coalesce(cache_write, 0) > 0;
    CREATE INDEX run_unpriced ON run (cost_provenance) WHERE cost_provenance & 7 = 1;
    ALTER TABLE daily ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE run_usage (
        job INTEGER NOT NULL, at INTEGER NOT NULL, labels INTEGER NOT NULL, input INTEGER NOT NULL,
        output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, calls INTEGER NOT NULL,
        cost INTEGER NOT NULL, cost_provenance INTEGER NOT NULL, PRIMARY KEY (job, at, labels)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE call (
        key INTEGER PRIMARY KEY, job INTEGER NOT NULL, at INTEGER NOT NULL, labels INTEGER NOT NULL,
        cost INTEGER NOT NULL, cost_provenance INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX call_run ON call (job, at);
    CREATE TABLE rejected (mark INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE unpriced_call (
        job INTEGER NOT NULL, at INTEGER NOT NULL, key INTEGER NOT NULL, asked INTEGER NOT NULL, input INTEGER NOT NULL,
        output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL,
        PRIMARY KEY (job, at, key)
    ) WITHOUT ROWID, STRICT;
",
    "
    CREATE TABLE gateway_event (mark INTEGER PRIMARY KEY, said_ms INTEGER NOT NULL) STRICT;
    CREATE INDEX gateway_event_said ON gateway_event (said_ms);
",
    "
    CREATE TABLE segment (
        job INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, runs BLOB NOT NULL,
        PRIMARY KEY (job, first)
    ) WITHOUT ROWID, STRICT;
",
    "
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, stored_ms INTEGER NOT NULL, content TEXT NOT NULL
    ) STRICT;
    CREATE TABLE outbox_run (
        job INTEGER NOT NULL, at INTEGER NOT NULL, since_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE sink (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, delivered INTEGER NOT NULL, refused INTEGER NOT NULL,
        overflowed INTEGER NOT NULL, expired INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
",
    "
    CREATE TABLE job_of (
        id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL DEFAULT '', agent TEXT,
        last_agent TEXT, schedule INTEGER NOT NULL DEFAULT 0, label INTEGER NOT NULL DEFAULT 0,
        defined INTEGER NOT NULL DEFAULT 0, enabled INTEGER NOT NULL DEFAULT 1, next_run_ms INTEGER,
        last_run_ms INTEGER, last_success_ms INTEGER, consecutive_errors INTEGER NOT NULL DEFAULT 0,
        UNIQUE (gateway, job_id)
    ) STRICT;
    INSERT INTO job_of SELECT id, '', job_id, name, agent, last_agent, schedule, label, defined, enabled, next_run_ms,
        last_run_ms, last_success_ms, consecutive_errors FROM job;
    DROP TABLE job;
    ALTER TABLE job_of RENAME TO job;
    CREATE TABLE labels_of (
        id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, job_id TEXT NOT NULL, job_name TEXT NOT NULL, agent TEXT NOT NULL,
        provider TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (gateway, job_id, job_name, agent, provider, model)
    ) STRICT;
    INSERT INTO labels_of SELECT id, '', job_id, job_name, agent, provider, model FROM labels;
    DROP TABLE labels;
    ALTER TABLE labels_of RENAME TO labels;
    CREATE TABLE notice (
        job INTEGER NOT NULL, at INTEGER NOT NULL, mark INTEGER, received_ms INTEGER NOT NULL, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX notice_mark ON notice (mark) WHERE mark IS NOT NULL;
    CREATE INDEX notice_received ON notice (received_ms);
    CREATE TABLE awaited (
        job INTEGER NOT NULL, at INTEGER NOT NULL, due_ms INTEGER NOT NULL, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX awaited_due ON awaited (due_ms);
    ALTER TABLE gateway_event ADD COLUMN job INTEGER;
    CREATE INDEX gateway_event_job ON gateway_event (job) WHERE job IS NOT NULL;
",
    "
    CREATE TABLE relay (
        name TEXT PRIMARY KEY, since_ms INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0,
        overflowed INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE relay_message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, relay TEXT NOT NULL, queued_ms INTEGER NOT NULL, tries INTEGER NOT NULL,
        job INTEGER, at INTEGER, content TEXT NOT NULL, dead_ms INTEGER, reason INTEGER, status INTEGER
    ) STRICT;
    CREATE INDEX relay_message_next ON relay_message (relay, dead_ms, id);
    CREATE INDEX relay_message_run ON relay_message (job, at);
    CREATE TABLE relay_summary (
        job INTEGER NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (job, at)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE digest (name TEXT PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID, STRICT;
",
];

/// The version that this program writes.
pub fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Returns the schema version of a database; 0 for a new one.
pub fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Returns the mark of the program that a database belongs to; 0 if it carries none.
pub fn application_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// Returns whether a database has no tables at all.
pub fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Brings the schema up to date; the transaction is the caller's.
pub fn migrate(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    match usize::try_from(version(transaction)?).unwrap_or(0) {
        0 => transaction.execute_batch(SCHEMA)?,
        from => MIGRATIONS.iter().skip(from).try_for_each(|one| transaction.execute_batch(one))?,
    }
    transaction.pragma_update(None, "user_version", known_version())?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Makes a ledger of the first schema, as the first release wrote it.
#[cfg(test)]
pub fn make_first(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(MIGRATIONS[0])?;
    connection.pragma_update(None, "user_version", 1)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what makes a schema: tables with their columns, indexes with theirs.
    fn shape(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare(
                "SELECT 'table ' || t.name || ' strict ' || t.strict || ' wr ' || t.wr || ': ' || group_concat(concat_ws(' ', c.cid,
                     c.name, c.type, c.\"notnull\", coalesce(c.dflt_value, 'none'), c.pk, c.hidden), ', ')
                 FROM pragma_table_list t, pragma_table_xinfo(t.name) c WHERE t.schema = 'main' GROUP BY t.name
                 UNION ALL
                 SELECT 'index ' || i.name || ' of ' || t.name || ' unique ' || i.\"unique\" || ' partial ' || i.partial || ': ' ||
                     group_concat(concat_ws(' ', c.name, c.desc, c.coll, c.key), ', ')
                 FROM pragma_table_list t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) c
                 WHERE t.schema = 'main' GROUP BY i.name
                 UNION ALL
                 SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_new_ledger_is_what_an_old_one_becomes() {
        let [new, old] = [SCHEMA, &MIGRATIONS.concat()].map(|script| {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(script).unwrap();
            shape(&connection)
        });
        assert_eq!(new, old);
        assert!(new.len() > 40 && new.concat().contains("consecutive_errors"), "{new:?}");
    }
}
