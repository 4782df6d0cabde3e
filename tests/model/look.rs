//! The gateway's database as the daemon reads it, and as the model does: all that is committed, every time.

use std::fs;
use std::os::unix::fs::MetadataExt;

use openclaw_usage::demo::Store;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::truth::Cache;
use super::world::{World, beside};

/// How much later than its record 2026.6.11 writes a row, in ms.
const NATIVE_MS: i64 = 17;

/// What was there when `cron_run_logs` was last read: file, schema cookie, newest row.
pub type Seen = (u64, i64, i64);

impl World {
    pub(super) fn look_at_database(&mut self) -> Result<(), String> {
        let Self { collector, ledger, now, .. } = self;
        match collector.look_at_database(ledger.as_mut().expect("an open ledger"), *now) {
            Ok(_) => {
                self.see_database();
                if self.caught_up {
                    self.shown = self.truth.clone();
                }
            }
            Err(error) if !self.failing => return Err(format!("a look at the database failed: {error}")),
            Err(_) => self.fail(),
        }
        self.compare()
    }

    /// The model looks at the database: at what is committed.
    pub(super) fn see_database(&mut self) {
        let path = self.database();
        if self.stores.away || !path.exists() {
            return;
        }
        // Without a log nobody has it open, and reading must not make one.
        let mode = if beside(&path, "-wal").exists() { "mode=ro" } else { "immutable=1" };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(format!("file:{}?{mode}", path.display()), flags);
        let connection = connection.expect("the gateway's database");
        let inode = fs::metadata(&path).expect("the gateway's database").ino();
        self.see_logs(&connection, inode);
        let Ok(mut select) = connection.prepare(
            "SELECT task_id, source_id, task_kind, detail_json FROM task_runs WHERE runtime = 'cron'
             AND detail_json IS NOT NULL",
        ) else {
            return;
        };
        let mut rows = select.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let text =
                |column: usize| row.get::<_, Option<String>>(column).expect("a text").unwrap_or_default();
            let record: Value = serde_json::from_str(&text(3)).expect("JSON");
            let cache = if text(2) == "automation_run" { Cache::None } else { Cache::Unknown };
            if record["bad"].is_i64() {
                self.truth.reject(text(0));
            } else if record["kind"] == "cron-run" {
                self.truth.take(&text(1), &record, cache);
            }
        }
    }

    fn see_logs(&mut self, connection: &Connection, inode: u64) {
        let sql = "SELECT rowid, job_id, created_at - ts, entry_json FROM cron_run_logs ORDER BY rowid";
        let Ok(mut select) = connection.prepare(sql) else { return };
        let schema =
            connection.pragma_query_value(None, "schema_version", |row| row.get(0)).expect("a cookie");
        let mut numbers = Vec::new();
        let mut rows = select.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            numbers.push(row.get::<_, i64>(0).expect("a number"));
            let job: String = row.get(1).expect("a job");
            let native = row.get::<_, i64>(2).expect("a time") == NATIVE_MS;
            let record: Value =
                serde_json::from_str(&row.get::<_, String>(3).expect("a text")).expect("JSON");
            if let Some(bad) = record["bad"].as_i64() {
                self.truth.reject(format!("bad-{bad}"));
            } else {
                self.truth.take(&job, &record, if native { Cache::InTotal } else { Cache::Unknown });
            }
        }
        let last = numbers.last().copied().unwrap_or(0);
        // Rows get consecutive numbers: one that is missing behind the last row that was seen went unread.
        if let Some((_, _, seen)) = self.seen.filter(|seen| (seen.0, seen.1) == (inode, schema) && seen.2 > 0)
        {
            let above = numbers.iter().filter(|number| **number > seen).count();
            if last > seen && usize::try_from(last - seen).expect("a count") > above {
                self.truth.tell_gap();
            }
        }
        self.seen = Some((inode, schema, last));
    }

    /// A database that can be read is read, whoever writes to it.
    pub(super) fn healthy(&self) -> Result<(), String> {
        let health = self.collector.health(self.ledger.as_ref().expect("an open ledger"), self.now);
        let in_use = self.gateway.generation().store() != Store::RunLogs && !self.stores.away;
        match health.problem {
            Some(problem) if in_use && !self.failing => {
                Err(format!("a problem with a good database: {problem}"))
            }
            _ => Ok(()),
        }
    }
}
