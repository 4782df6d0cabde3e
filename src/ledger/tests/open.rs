//! What may lie where a ledger should be, and what becomes of it.

use std::fs;

use super::*;
use crate::model::TokenKind;

fn error(path: &Path, options: &OpenOptions) -> LedgerError {
    match open(path, options, T0) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

fn gateway(name: Option<&str>) -> OpenOptions {
    OpenOptions { gateway: name.map(ToOwned::to_owned), max_jobs: 500, full_sync: true }
}

fn inputs(bench: &Bench) -> (u64, u64) {
    (bench.summary().tokens[0], bench.sum(SeriesKind::Tokens(TokenKind::Input)).1)
}

#[test]
fn a_second_writer_is_refused_and_the_first_goes_on() {
    let mut bench = Bench::new();
    let refused = error(&bench.path(), &bench.options());
    assert!(matches!(refused, LedgerError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("give this one its own with --ledger"), "{refused}");
    bench.apply(vec![run("a", 0)]);
    assert_eq!(bench.reopen(), Origin::Existing, "a closed ledger can be opened again");
}

#[test]
fn a_newer_ledger_is_refused_untouched() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    bench.ledger = None;
    bench.sql("PRAGMA user_version = 999");
    let before = fs::read(bench.path()).unwrap();
    let refused = error(&bench.path(), &bench.options());
    let known = schema::known_version();
    assert!(matches!(refused, LedgerError::Newer { found: 999, known: k, .. } if k == known), "{refused}");
    let refused = LedgerReader::open(&bench.path()).err().unwrap();
    assert!(matches!(refused, LedgerError::Newer { found: 999, .. }), "{refused}");
    assert!(fs::read(bench.path()).unwrap() == before);
}

#[test]
fn what_belongs_to_somebody_else_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("other.sqlite");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1); PRAGMA user_version = 1").unwrap();
    drop(other);
    let marked = folder.path().join("marked.sqlite");
    let other = Connection::open(&marked).unwrap();
    other.execute_batch("CREATE TABLE t (a); PRAGMA application_id = 7").unwrap();
    drop(other);
    let unmarked = folder.path().join("unmarked.sqlite");
    let other = Connection::open(&unmarked).unwrap();
    other.execute_batch("CREATE TABLE job (a)").unwrap();
    drop(other);
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database at all\n").unwrap();
    let short = folder.path().join("short.txt");
    fs::write(&short, "x").unwrap();
    for path in [database, marked, unmarked, text, short] {
        let before = fs::read(&path).unwrap();
        let refused = error(&path, &gateway(None));
        assert!(matches!(refused, LedgerError::Foreign { .. }), "{}: {refused}", path.display());
        assert!(fs::read(&path).unwrap() == before, "{} was touched", path.display());
    }
    let names =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".lock")).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_place_that_cannot_be_written_says_so() {
    for path in ["/dev/null/ledger.sqlite", "/proc/ledger.sqlite"] {
        let refused = error(Path::new(path), &gateway(None));
        assert!(matches!(refused, LedgerError::NotWritable { .. }), "{refused}");
        assert!(refused.to_string().starts_with(&format!("cannot write the ledger {path}: ")), "{refused}");
    }
    let folder = tempfile::tempdir().unwrap();
    let refused = error(folder.path(), &gateway(None));
    assert!(matches!(refused, LedgerError::NotWritable { .. } | LedgerError::Foreign { .. }), "{refused}");
}

#[test]
fn the_gateway_s_name_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/ledger.sqlite");
    assert_eq!(open(&path, &gateway(Some("home")), T0).unwrap().ledger.gateway(), "home");
    for given in [None, Some("home")] {
        assert_eq!(open(&path, &gateway(given), T0).unwrap().ledger.gateway(), "home");
    }
    let refused = error(&path, &gateway(Some("office")));
    let said = refused.to_string();
    assert!(matches!(refused, LedgerError::OtherGateway { .. }), "{said}");
    assert!(said.contains(r#""home", not "office""#), "{said}");
    let unnamed = folder.path().join("unnamed.sqlite");
    assert_eq!(open(&unnamed, &gateway(None), T0).unwrap().ledger.gateway(), "openclaw");
}

#[test]
fn a_schema_that_is_up_to_date_is_left_alone() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    let connection = &mut bench.ledger().connection;
    for _ in 0..2 {
        let transaction = connection.transaction().unwrap();
        schema::migrate(&transaction).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(schema::version(connection).unwrap(), schema::known_version());
    assert_eq!(schema::application_id(connection).unwrap(), schema::APPLICATION_ID);
    assert_eq!(bench.summary().runs, 1);
}

/// A ledger of many runs that is closed, and damaged in the middle.
fn damaged() -> Bench {
    let mut bench = Bench::new();
    bench.apply((0..2_000).map(|minute| run("a", minute)).collect());
    bench.ledger = None;
    let mut bytes = fs::read(bench.path()).unwrap();
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 4096].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(bench.path(), bytes).unwrap();
    bench
}

#[test]
fn a_damaged_ledger_is_moved_aside_and_rebuilt_without_exporting_history_again() {
    let mut bench = damaged();
    let before = fs::read(bench.path()).unwrap();
    let refused = error(&bench.path(), &bench.options());
    assert!(matches!(refused, LedgerError::Corrupt { .. }), "{refused}");
    let aside = set_aside(&bench.path(), T0).unwrap();
    assert_eq!(aside, bench.folder.path().join(format!("ledger.sqlite.corrupt-{}", T0.0)));
    assert!(fs::read(&aside).unwrap() == before, "the damaged one is kept as it was");

    bench.now = T0.plus(60 * MINUTE_MS);
    assert_eq!(bench.reopen(), Origin::Rebuilt);
    let history: Vec<Run> = (0..60).map(|minute| run("a", minute)).collect();
    bench.apply(history);
    assert_eq!(bench.summary().runs, 60, "the rows are rebuilt");
    assert_eq!(bench.totals().series, [], "servers have that history already");
    // A correction of what is not exported is not exported either.
    bench.outcome(Run { provenance: UsageProvenance::Record, ..run("a", 0) });
    assert_eq!(bench.totals().series, []);
    bench.apply(vec![run("a", 59), run("a", 60), run("a", 61)]);
    assert_eq!((bench.summary().runs, inputs(&bench)), (62, (62_000, 2_000)));
    assert_eq!(bench.reopen(), Origin::Existing);
    bench.apply(vec![run("b", 30), run("a", 62)]);
    assert_eq!(inputs(&bench), (64_000, 3_000), "the rule outlives a restart");
}

#[test]
fn a_rebuild_that_was_cut_short_is_still_a_rebuild() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    bench.ledger = None;
    fs::remove_file(bench.path()).unwrap();
    // As far as it got: the file is there and its journal mode is set, and nothing was committed.
    let connection = Connection::open(bench.path()).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(connection);
    assert!(bench.path().metadata().unwrap().len() > 0);
    bench.now = T0.plus(MINUTE_MS);
    assert_eq!(bench.reopen(), Origin::Rebuilt);
    bench.apply(vec![run("a", 0)]);
    assert_eq!((bench.summary().runs, bench.totals().series.len()), (1, 0));
}

#[test]
fn text_in_a_ledger_s_place_counts_as_damage() {
    let mut bench = Bench::new();
    bench.ledger = None;
    fs::write(bench.path(), "overwritten by mistake, and more than sixteen bytes of it").unwrap();
    let refused = error(&bench.path(), &bench.options());
    assert!(matches!(refused, LedgerError::Corrupt { .. }), "{refused}");
    set_aside(&bench.path(), T0).unwrap();
    assert_eq!(bench.reopen(), Origin::Rebuilt);
}

#[test]
fn a_ledger_deleted_while_closed_is_rebuilt_and_while_open_restored() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    assert!(!bench.ledger().restore_if_deleted().unwrap(), "it is there");
    for with_log in [true, false] {
        let before = bench.totals();
        fs::remove_file(bench.path()).unwrap();
        if with_log {
            fs::remove_file(bench.folder.path().join("ledger.sqlite-wal")).unwrap();
        }
        // What is committed before anybody notices is not lost.
        let minute = i64::from(with_log) + 1;
        bench.apply(vec![run("a", minute)]);
        assert!(bench.ledger().restore_if_deleted().unwrap());
        assert!(!bench.ledger().restore_if_deleted().unwrap());
        bench.apply(vec![run("a", minute + 10)]);
        let after = bench.totals();
        assert_eq!(
            after.counters.outcomes[&Outcome::Inserted],
            before.counters.outcomes[&Outcome::Inserted] + 2
        );
        // A copy is what is on disk at this moment: as after a SIGKILL.
        let copy = bench.folder.path().join("copy.sqlite");
        for suffix in ["", "-wal"] {
            let name = |stem: &Path| PathBuf::from(format!("{}{suffix}", stem.display()));
            fs::copy(name(&bench.path()), name(&copy)).unwrap();
        }
        let Opened { ledger, origin } = open(&copy, &gateway(None), T0).unwrap();
        assert_eq!((origin, lasting(lock(&ledger.totals).clone())), (Origin::Existing, lasting(after)));
        drop(ledger);
        for entry in fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.to_string_lossy().contains("copy.sqlite") {
                fs::remove_file(entry).unwrap();
            }
        }
    }
    bench.ledger = None;
    fs::remove_file(bench.path()).unwrap();
    assert_eq!(bench.reopen(), Origin::Rebuilt);
    assert_eq!(bench.ledger().gateway(), "openclaw");
}

#[test]
fn something_else_in_a_deleted_ledger_s_place_is_not_overwritten() {
    let mut bench = Bench::new();
    bench.apply(vec![run("a", 0)]);
    fs::remove_file(bench.path()).unwrap();
    fs::write(bench.path(), "somebody's").unwrap();
    let refused = bench.ledger().restore_if_deleted().unwrap_err();
    assert!(matches!(refused, LedgerError::Foreign { .. }), "{refused}");
    assert_eq!(fs::read(bench.path()).unwrap(), b"somebody's");
    fs::remove_file(bench.path()).unwrap();
    assert!(bench.ledger().restore_if_deleted().unwrap());
    assert_eq!(bench.summary().runs, 1);
}

#[test]
fn the_log_of_a_ledger_set_aside_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    for suffix in ["", "-wal", "-shm"] {
        fs::write(folder.path().join(format!("ledger.sqlite{suffix}")), suffix).unwrap();
    }
    let aside = set_aside(&path, T0).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        assert!(!folder.path().join(format!("ledger.sqlite{suffix}")).exists());
        assert_eq!(fs::read_to_string(format!("{}{suffix}", aside.display())).unwrap(), suffix);
    }
    assert!(set_aside(&path, T0).is_err(), "there is nothing left");
}

#[test]
fn a_reader_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let refused = LedgerReader::open(&path).err().unwrap();
    assert!(matches!(refused, LedgerError::Missing { .. }), "{refused}");
    assert!(!path.exists());
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(LedgerReader::open(&path).err().unwrap(), LedgerError::Foreign { .. }));
    fs::write(&path, "more than sixteen bytes that are no database").unwrap();
    assert!(matches!(LedgerReader::open(&path).err().unwrap(), LedgerError::Foreign { .. }));
    fs::write(folder.path().join("ledger.sqlite.lock"), "a ledger was here").unwrap();
    assert!(matches!(LedgerReader::open(&path).err().unwrap(), LedgerError::Corrupt { .. }));
}

#[test]
fn a_ledger_of_the_first_release_is_brought_up_to_date_with_all_that_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let connection = Connection::open(&path).unwrap();
    schema::make_first(&connection).unwrap();
    let at = T0.0 << 1;
    connection
        .execute_batch(&format!(
            "INSERT INTO meta VALUES ('gateway', 'old'), ('created_ms', {at});
             INSERT INTO job (id, job_id, name, label) VALUES (1, 'a', 'name', 1);
             INSERT INTO labels VALUES (1, 'a', 'name', 'main', 'mock', 'mock-1');
             INSERT INTO run VALUES (1, {at}, 5, 420, 1, 257, 1000, 20, NULL, NULL), (1, {at} + 2, 5, 1, 1, 2, NULL, NULL, NULL, NULL);
             INSERT INTO series VALUES (1, 1, 0, 0, 1, 0, 1000, 1000);
             INSERT INTO position VALUES ('run-log/a.jsonl', 1, 2, 3, NULL, NULL, NULL, 0);"
        ))
        .unwrap();
    drop(connection);
    let options = OpenOptions { gateway: None, max_jobs: 5, full_sync: false };
    let Opened { mut ledger, origin } = Ledger::open(&path, &options, T0).unwrap();
    assert_eq!((origin, ledger.gateway()), (Origin::Existing, "old"));
    let source = SourceId("run-log/a.jsonl".into());
    assert_eq!(ledger.position(&source).and_then(Position::file).map(|position| position.offset), Some(3));
    assert_eq!(ledger.totals().lock().unwrap().series[0].true_total, 1_000);
    // What was counted before there were prices is priced by the first that turn up.
    let cost = Cost { usd: crate::model::NanoUsd(7), provenance: CostProvenance::LowerBound };
    ledger.set_pricing(Arc::new(move |_| Charge { cost, ..Charge::default() }));
    ledger.price_unpriced(T0).unwrap();
    let spent = ledger.spent_between(T0, T0.plus(1)).unwrap();
    assert_eq!(spent.iter().map(|spent| spent.nano_usd).sum::<i64>(), 7);
    drop(ledger);
    let summary = LedgerReader::open(&path).unwrap().summary().unwrap();
    assert_eq!((summary.runs, summary.tokens), (2, [1_000, 20, 0, 0]));
}
