//! A transaction that fails moves nothing, and the same batch counts once when it is given again.

use super::*;
use crate::model::{JobDefinition, Reject, RejectReason, ScheduleKind};

/// Every row of every table, as text.
fn dump(bench: &Bench) -> Vec<String> {
    let connection = Connection::open(bench.path()).unwrap();
    let tables = ["meta", "job", "labels", "run", "position", "series", "histogram", "counter", "reject"];
    let rows_of = |table: &str| -> Vec<String> {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
            Ok(format!("{table} {:?}", values.collect::<rusqlite::Result<Vec<_>>>()?))
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    tables.into_iter().flat_map(rows_of).collect()
}

fn definition(job: &str) -> JobDefinition {
    JobDefinition {
        job_id: job.to_owned(),
        name: "named".to_owned(),
        agent: None,
        schedule: ScheduleKind::Recurring,
        enabled: true,
        next_run_at: None,
        running: false,
        system: false,
        webhook: None,
    }
}

/// A ledger with some history, and a batch that touches every table.
fn history() -> (Bench, Batch) {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0), failed("a", 1)]);
    let better = Run { provenance: UsageProvenance::Record, ..run("a", 0) };
    let new_model = Run { model: Some("mock-2".into()), ..run("b", 2) };
    let mut batch = bench.batch(vec![run("a", 2), better, new_model, failed("a", -1)]);
    batch.rejects = vec![Reject::new(RejectReason::InvalidJson, "a line".into())];
    batch.gap = true;
    (bench, batch)
}

/// Applies the batch while something stands in its way, which must move nothing, and then without that.
fn fails_then_counts_once(
    bench: &mut Bench,
    batch: &Batch,
    hinder: impl FnOnce(&mut Bench),
    heal: impl FnOnce(&mut Bench),
) -> LedgerError {
    let (totals, position, rows) =
        (bench.totals(), bench.ledger().position(&batch.source).cloned(), dump(bench));
    hinder(bench);
    let error = bench.ledger().apply(batch, T0).unwrap_err();
    assert_eq!(bench.totals(), totals, "{error}");
    assert_eq!(bench.ledger().position(&batch.source), position.as_ref(), "{error}");
    // What is hindered again stays where it was.
    bench.ledger().apply(batch, T0).unwrap_err();
    assert_eq!(lasting(bench.totals()), lasting(totals), "{error}");
    heal(bench);
    assert_eq!(dump(bench), rows, "{error}");

    let applied = bench.ledger().apply(batch, T0).unwrap();
    assert_eq!(applied.outcomes, [(Outcome::Inserted, 3), (Outcome::Updated, 1)].into(), "{error}");
    assert!(matches!(bench.ledger().apply(batch, T0), Err(LedgerError::Position { .. })));
    let summary = bench.summary();
    assert_eq!((summary.runs, summary.tokens), (5, [3_000, 60, 0, 0]), "{error}");
    let after = bench.totals();
    assert_eq!(after.counters.rejects, [(RejectReason::InvalidJson, 1)].into());
    bench.reopen();
    assert_eq!(lasting(bench.totals()), lasting(after), "{error}");
    error
}

#[test]
fn a_failure_at_any_table_moves_nothing() {
    for table in ["run", "labels", "job", "series", "histogram", "counter", "reject", "position"] {
        for action in ["INSERT", "UPDATE"] {
            // Labels and rejects of this batch are new.
            if action == "UPDATE" && matches!(table, "labels" | "reject") {
                continue;
            }
            let (mut bench, batch) = history();
            let trigger = format!(
                "CREATE TRIGGER disk BEFORE {action} ON {table} BEGIN SELECT RAISE(ABORT, 'disk'); END"
            );
            let error = fails_then_counts_once(
                &mut bench,
                &batch,
                |bench| bench.sql(&trigger),
                |bench| bench.sql("DROP TRIGGER disk"),
            );
            assert!(matches!(error, LedgerError::Sqlite { .. }), "{table} {action}: {error}");
        }
    }
}

#[test]
fn a_full_disk_moves_nothing() {
    let (mut bench, mut batch) = history();
    // More than the pages at hand can take.
    batch.rejects[0].sample = "x".repeat(100_000);
    let error = fails_then_counts_once(
        &mut bench,
        &batch,
        |bench| {
            let connection = &bench.ledger().connection;
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        },
        |bench| {
            let connection = &bench.ledger().connection;
            connection.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).unwrap();
        },
    );
    assert!(matches!(error, LedgerError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("the disk is full; free some space"), "{error}");
}

#[test]
fn somebody_else_s_lock_moves_nothing() {
    let (mut bench, batch) = history();
    let other = std::cell::OnceCell::new();
    let error = fails_then_counts_once(
        &mut bench,
        &batch,
        |bench| {
            bench.ledger().connection.busy_timeout(std::time::Duration::ZERO).unwrap();
            let connection = Connection::open(bench.path()).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            other.set(connection).unwrap();
        },
        |_| other.get().unwrap().execute_batch("ROLLBACK").unwrap(),
    );
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
}

#[test]
fn what_is_held_back_is_shown_without_what_failed_behind_it() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    bench.ledger().hold();
    bench.apply(vec![run("a", 1), run("b", 1)]);
    bench.sql("CREATE TRIGGER disk BEFORE INSERT ON position BEGIN SELECT RAISE(ABORT, 'disk'); END");
    let batch =
        bench.batch(vec![run("a", 2), run("c", 2), Run { model: Some("mock-2".into()), ..run("b", 2) }]);
    bench.ledger().apply(&batch, T0).unwrap_err();
    bench.ledger().release();
    let shown = bench.totals();
    assert_eq!(shown.counters.outcomes, [(Outcome::Inserted, 3)].into());
    let jobs: Vec<&str> = shown.jobs.iter().map(|job| job.job_id.as_str()).collect();
    assert_eq!((jobs, shown.labels.len(), shown.series.len()), (vec!["a", "b"], 2, 10));
    assert_eq!(shown.jobs[0].last_run, Some(T0.plus(MINUTE_MS)));
    bench.sql("DROP TRIGGER disk");
    bench.ledger().apply(&batch, T0).unwrap();
    let after = bench.totals();
    assert_eq!(after.labels[..2], shown.labels, "labels keep their places");
    bench.reopen();
    assert_eq!(lasting(bench.totals()), lasting(after));
    assert_eq!(bench.totals().counters.outcomes, [(Outcome::Inserted, 6)].into());
}

#[test]
fn what_is_held_back_stays_so_through_a_failure_and_a_list_of_jobs() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let shown = bench.totals();
    bench.ledger().hold();
    bench.apply(vec![run("a", 1)]);
    bench.sql("CREATE TRIGGER disk BEFORE INSERT ON position BEGIN SELECT RAISE(ABORT, 'disk'); END");
    let batch = bench.batch(vec![run("b", 2)]);
    bench.ledger().apply(&batch, T0).unwrap_err();
    bench.sql("DROP TRIGGER disk");
    bench.ledger().apply(&batch, T0).unwrap();
    bench.ledger().set_jobs(&[definition("a")]).unwrap();
    assert_eq!(bench.totals(), shown);
    bench.ledger().release();
    let after = bench.totals();
    assert!(after.revision > shown.revision);
    assert_eq!(after.counters.outcomes, [(Outcome::Inserted, 3)].into());
    assert_eq!((after.jobs[0].name.as_str(), after.jobs.len(), after.series.len()), ("named", 2, 10));
    bench.reopen();
    assert_eq!(lasting(bench.totals()), lasting(after));
}

#[test]
fn a_list_of_jobs_that_cannot_be_stored_is_not_shown_either() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let definition = definition("a");
    let before = bench.totals();
    bench.sql("CREATE TRIGGER disk BEFORE UPDATE ON job BEGIN SELECT RAISE(ABORT, 'disk'); END");
    bench.ledger().set_jobs(std::slice::from_ref(&definition)).unwrap_err();
    assert_eq!(bench.totals(), before);
    bench.sql("DROP TRIGGER disk");
    // The next batch must not bring the unstored name along.
    bench.apply(vec![run("a", 1)]);
    assert_eq!(bench.totals().jobs[0].name, "");
    assert!(bench.ledger().set_jobs(&[definition]).unwrap());
    assert_eq!(bench.totals().jobs[0].name, "named");
}

#[test]
fn a_failed_fold_moves_nothing() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0), run("b", 0)]);
    let before = dump(&bench);
    bench.sql("CREATE TRIGGER disk BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'disk'); END");
    bench.ledger().fold(T0.plus(2 * 86_400_000)).unwrap_err();
    bench.sql("DROP TRIGGER disk");
    assert_eq!(dump(&bench), before);
    assert_eq!(bench.outcome(run("a", 1)), Outcome::Inserted, "nothing has expired");
    assert_eq!(bench.ledger().fold(T0.plus(2 * 86_400_000)).unwrap(), 3);
}
