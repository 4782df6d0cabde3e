//! What happens to the daemon: restarts, and a ledger whose files are copied, deleted or refuse to be written.

use std::fs;
use std::path::{Path, PathBuf};

use openclaw_usage::ledger::{Ledger, Origin};
use openclaw_usage::model::{Position, SourceId};
use openclaw_usage::serve::Collector;
use openclaw_usage::telemetry::SnapshotBuilder;

use super::op::TABLES;
use super::world::{World, beside, equal, ledger_path, open};

impl World {
    pub(super) fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("an open ledger")
    }

    pub(super) fn restart(&mut self) -> Result<(), String> {
        let path = self.ledger().path().to_path_buf();
        let before = self.positions();
        self.go_on_with(&path)?;
        equal("positions after a restart", &self.positions(), &before)
    }

    /// Returns how far the tables and the logs have been read.
    fn positions(&self) -> Vec<Option<Position>> {
        let tables = ["cron-run-logs".to_owned(), "task-runs".to_owned()];
        let sources = self.jobs.iter().map(|id| format!("run-log/{id}.jsonl")).chain(tables);
        sources.map(|source| self.ledger().position(&SourceId(source)).cloned()).collect()
    }

    pub(super) fn go_on_with(&mut self, path: &Path) -> Result<(), String> {
        self.ledger = None;
        let opened = open(path, self.now);
        equal("origin of the ledger", &opened.origin, &Origin::Existing)?;
        self.ledger = Some(opened.ledger);
        self.snapshots = SnapshotBuilder::default();
        self.shown = self.truth.clone();
        self.caught_up = true;
        self.collector = Collector::new(&self.folder.path().join("state"), None);
        self.compare()
    }

    /// Copies the ledger as it lies on disk at this moment, while it is open.
    pub(super) fn copy_ledger(&mut self) -> PathBuf {
        self.ledgers += 1;
        let copy = ledger_path(self.ledger_folder.path(), self.ledgers);
        fs::create_dir_all(copy.parent().expect("a parent")).expect("a directory");
        for suffix in ["", "-wal", ".lock"] {
            let from = beside(self.ledger().path(), suffix);
            if from.exists() {
                fs::copy(&from, beside(&copy, suffix)).expect("a copy of the ledger");
            }
        }
        copy
    }

    pub(super) fn delete_ledger(&mut self, log_too: bool) -> Result<(), String> {
        let path = self.ledger().path().to_path_buf();
        fs::remove_file(&path).expect("a deleted ledger");
        if log_too {
            // It is not there before the first commit of a connection.
            _ = fs::remove_file(beside(&path, "-wal"));
        }
        let restored = self.ledger.as_mut().expect("an open ledger").restore_if_deleted();
        equal("restored", &restored.map_err(|error| error.to_string()), &Ok(true))?;
        self.compare()
    }

    /// Every commit that touches this table fails from here on.
    pub(super) fn break_disk(&mut self, table: &str) {
        if self.failing {
            return;
        }
        // Positions in files and positions in tables are kept apart.
        let tables = if table == "position" { vec![table, "table_position"] } else { vec![table] };
        for table in tables {
            self.execute(&format!(
                "CREATE TRIGGER disk_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk'); END"
            ));
        }
        self.failing = true;
    }

    pub(super) fn heal(&mut self) {
        if self.failing {
            for table in TABLES.into_iter().chain(["table_position"]) {
                self.execute(&format!("DROP TRIGGER IF EXISTS disk_{table}"));
            }
            self.failing = false;
        }
    }

    pub(super) fn execute(&self, sql: &str) {
        let other = rusqlite::Connection::open(self.ledger().path()).expect("a second connection");
        other.execute_batch(sql).expect("a change of the schema");
    }
}
