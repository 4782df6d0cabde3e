//! Copies, what is found wrong with a ledger, and how counters go on when a copy is brought back.

use super::*;
use crate::model::{Happening, SinkProgress, TokenKind};

const INPUT: SeriesKind = SeriesKind::Tokens(TokenKind::Input);

fn audit(path: &Path) -> Vec<(&'static str, String)> {
    let checks = LedgerReader::open(path).unwrap().audit().unwrap();
    checks.into_iter().filter_map(|check| Some((check.name, check.problem?))).collect()
}

fn restore_as(bench: &mut Bench, from: &Path, nothing_since: bool) -> Restored {
    let options = RestoreOptions { nothing_since, ..RestoreOptions::default() };
    bench.ledger = None;
    bench.now = bench.now.plus(MINUTE_MS);
    let restored = restore(from, &bench.path(), &options, bench.now).unwrap();
    assert_eq!(audit(&bench.path()), []);
    assert_eq!(bench.reopen(), Origin::Existing);
    restored
}

/// A ledger with runs of two jobs, one of them folded, and a copy of it, made while it is open.
fn backed_up() -> (Bench, PathBuf) {
    let mut bench = Bench::new();
    bench.apply(vec![run("old", -3 * 24 * 60), failed("old", -3 * 24 * 60 + 1), run("a", 0)]);
    assert_eq!(bench.ledger().fold(T0.plus(-2 * 86_400_000)).unwrap(), 2);
    let copy = bench.folder.path().join("copy.sqlite");
    let summary = back_up(&bench.path(), &copy, false).unwrap();
    assert_eq!((summary.runs, summary.folded_runs), (3, 2));
    assert_eq!(audit(&bench.path()), []);
    assert_eq!(audit(&copy), []);
    (bench, copy)
}

/// Start times, and what is exported, by number.
fn exported(totals: &Totals) -> Vec<(u64, UnixMs, u64, Option<[u64; 15]>)> {
    let of = |s: &Series| (s.seq, s.start, s.exported_total, s.histogram.as_ref().map(|h| h.exported));
    totals.series.iter().map(of).collect()
}

#[test]
fn what_is_read_again_counts_once_where_the_replaced_ledger_is_at_hand() {
    let (mut bench, copy) = backed_up();
    let later = vec![run("a", 1), run("new", 2), failed("new", 3)];
    bench.now = bench.now.plus(5 * MINUTE_MS);
    bench.apply(later.clone());
    let before = bench.totals();
    let mut endpoint = bench.ledger().endpoint("prometheus").unwrap();
    endpoint.introduced_seq = before.newest_seq();
    bench.ledger().save_endpoint(&endpoint).unwrap();

    let restored = restore_as(&mut bench, &copy, false);
    assert_eq!((restored.continuation, restored.summary.runs), (Continuation::AsReplaced, 3));
    assert_eq!(LedgerReader::open(&restored.aside.unwrap()).unwrap().summary().unwrap().runs, 6);
    assert_eq!(exported(&bench.totals()), exported(&before), "nothing moves by the restore");
    assert_eq!(bench.ledger().endpoint("prometheus").unwrap(), endpoint);

    bench.apply(later);
    assert_eq!(exported(&bench.totals()), exported(&before), "nor by what is read again");
    assert_eq!(bench.sum(INPUT), (4_000, 4_000));
    bench.apply(vec![run("new", 4)]);
    assert_eq!(bench.sum(INPUT), (5_000, 5_000));
    assert_eq!(bench.summary().runs, 7);
    bench.ledger = None;
    assert_eq!(audit(&bench.path()), []);
}

/// The stores have forgotten a run meanwhile: what was exported stays exported.
#[test]
fn what_is_gone_from_the_stores_stays_exported() {
    let (mut bench, copy) = backed_up();
    bench.apply(vec![run("a", 1), run("a", 2)]);
    restore_as(&mut bench, &copy, false);
    bench.apply(vec![run("a", 2)]);
    assert_eq!(bench.sum(INPUT), (3_000, 4_000));
    assert_eq!(bench.totals().excess(), 1_000 + 20 + 1 + 420);
    bench.apply(vec![run("a", 3)]);
    assert_eq!(bench.sum(INPUT), (4_000, 4_000), "later growth absorbs it");
}

/// Servers have larger totals than the copy, nobody knows how much: they are not to see smaller ones of the same series.
#[test]
fn counters_begin_anew_where_the_replaced_ledger_is_lost() {
    for damaged in [false, true] {
        let (mut bench, copy) = backed_up();
        bench.now = bench.now.plus(10 * MINUTE_MS);
        bench.apply(vec![run("a", 1)]);
        bench.ledger = None;
        if damaged {
            let mut bytes = std::fs::read(bench.path()).unwrap();
            bytes[4096..].fill(0x5a);
            std::fs::write(bench.path(), bytes).unwrap();
        } else {
            std::fs::remove_file(bench.path()).unwrap();
        }
        let restored = restore_as(&mut bench, &copy, false);
        assert_eq!(restored.continuation, Continuation::Anew);
        assert_eq!(restored.aside.is_some(), damaged);
        assert_eq!(bench.totals().series, [], "nothing is exported of what was before");
        assert_eq!(
            (bench.summary().runs, bench.summary().folded_runs),
            (3, 2),
            "and all is there for reports"
        );
        bench.apply(vec![run("a", 1)]);
        assert_eq!((bench.summary().runs, bench.totals().series.len()), (4, 0), "nor of what is read again");
        let start = bench.now;
        bench.apply(vec![run("a", 30)]);
        assert_eq!(bench.sum(INPUT), (1_000, 1_000));
        assert!(bench.totals().series.iter().all(|series| series.start == start.plus(-ZERO_LEAD_MS)));
        bench.ledger = None;
        assert_eq!(audit(&bench.path()), []);
    }
}

#[test]
fn a_ledger_that_moves_goes_on_where_it_stood() {
    let (bench, copy) = backed_up();
    let before = bench.totals();
    let mut elsewhere = Bench::new();
    elsewhere.ledger = None;
    std::fs::remove_dir_all(elsewhere.folder.path()).unwrap();
    let restored = restore_as(&mut elsewhere, &copy, true);
    assert_eq!((restored.continuation, restored.aside), (Continuation::AsBackedUp, None));
    assert_eq!(lasting(elsewhere.totals()), lasting(before));
    drop(elsewhere.ledger.take());
    std::fs::remove_file(elsewhere.path()).unwrap();
    assert_eq!(elsewhere.reopen(), Origin::Rebuilt, "from then on an absent ledger is a lost one");
}

/// A sink that has an event does not get it again.
#[test]
fn events_are_not_told_again() {
    fn told(bench: &mut Bench) -> Vec<String> {
        bench.ledger().set_outbox(settings()).unwrap();
        let later = bench.now.plus(11_000);
        bench.ledger().seal_events(later).unwrap();
        let position = bench.ledger().outbox().unwrap().sinks[0].position;
        let progress = SinkProgress { name: "sink".into(), position, ..SinkProgress::default() };
        let events = bench.ledger().take_events(&progress, 100).unwrap();
        let last = events.last().map_or(position, |event| event.seq);
        bench.ledger().take_events(&SinkProgress { position: last, ..progress }, 100).unwrap();
        events.into_iter().map(|event| event.content).collect()
    }
    fn settings() -> OutboxSettings {
        OutboxSettings {
            sinks: ["sink".to_owned()].into(),
            max_events: 100,
            max_age_ms: 86_400_000,
            describe: Arc::new(|happening| match happening {
                Happening::Run(run) => format!("{}", run.at.time().since(T0) / MINUTE_MS),
                Happening::Gateway(_) | Happening::Missing(_) => String::new(),
            }),
        }
    }
    for lost in [false, true] {
        let mut bench = Bench::new();
        bench.ledger().set_outbox(settings()).unwrap();
        bench.apply(vec![run("a", 0)]);
        assert_eq!(told(&mut bench), ["0"]);
        let copy = bench.folder.path().join("copy.sqlite");
        back_up(&bench.path(), &copy, false).unwrap();
        bench.apply(vec![run("a", 1)]);
        assert_eq!(told(&mut bench), ["1"]);
        if lost {
            bench.ledger = None;
            std::fs::remove_file(bench.path()).unwrap();
        }
        bench.now = T0.plus(5 * MINUTE_MS);
        restore_as(&mut bench, &copy, false);
        bench.ledger().set_outbox(settings()).unwrap();
        bench.apply(vec![run("a", 1), run("a", 20)]);
        assert_eq!(told(&mut bench), ["20"], "lost: {lost}");
    }
}

#[test]
fn what_must_not_be_replaced_is_not() {
    let (mut bench, copy) = backed_up();
    let options = RestoreOptions::default();
    let said = |result: Result<Restored, BackupError>| result.unwrap_err().to_string();
    let path = bench.path();
    let in_use = said(restore(&copy, &path, &options, bench.now));
    assert!(in_use.contains("is in use by another process"), "{in_use}");
    let exists = back_up(&path, &copy, false).unwrap_err().to_string();
    assert!(exists.contains("--force"), "{exists}");
    assert!(matches!(back_up(&path, &path, true), Err(BackupError::InUse { .. })));
    back_up(&path, &copy, true).unwrap();

    bench.ledger = None;
    let before = std::fs::read(&path).unwrap();
    let other = RestoreOptions { gateway: Some("other".into()), ..options.clone() };
    assert!(said(restore(&copy, &path, &other, T0)).contains("belongs to the gateway"));
    let text = bench.folder.path().join("text");
    std::fs::write(
        &text,
        "no ledger at all, but long enough to be mistaken for the head of one, if nobody looks",
    )
    .unwrap();
    assert!(said(restore(&text, &path, &options, T0)).contains("is no ledger"));
    assert!(said(restore(&copy, &text, &options, T0)).contains("is no ledger"));
    Connection::open(&copy)
        .unwrap()
        .execute_batch("UPDATE series SET true_total = 7, exported_total = 7 WHERE kind = 0")
        .unwrap();
    let unsound = said(restore(&copy, &path, &options, T0));
    assert!(unsound.contains("is not sound: totals: "), "{unsound}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let left = std::fs::read_dir(bench.folder.path()).unwrap().flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_contradiction_is_found() {
    for (sql, name) in [
        ("UPDATE job SET id = 9 WHERE id = 1", "numbers"),
        ("DELETE FROM series WHERE seq = 2", "numbers"),
        ("UPDATE run SET labels = 99", "references"),
        ("INSERT INTO call VALUES (1, 1, 1, 1, 0, 0)", "references"),
        ("INSERT INTO histogram VALUES (99, x'00')", "references"),
        ("UPDATE series SET exported_total = 0 WHERE seq = 1", "series"),
        ("DELETE FROM histogram", "series"),
        ("UPDATE run SET input = input + 1", "totals"),
        ("UPDATE daily SET output = 0", "totals"),
        ("UPDATE daily SET facts = facts + 1", "totals"),
        ("UPDATE run SET cost = 5", "totals"),
        ("UPDATE position SET byte_offset = -1", "positions"),
        ("UPDATE meta SET value = 0 WHERE name = 'folded_before_ms'", "retention"),
        ("INSERT INTO sink VALUES ('s', 5, 0, 0, 0, 0)", "outbox"),
    ] {
        let (mut bench, _) = backed_up();
        bench.ledger = None;
        bench.sql(sql);
        let found = audit(&bench.path());
        assert!(found.iter().any(|(found, _)| *found == name), "{sql}: {found:?}");
    }
    let (mut bench, copy) = backed_up();
    bench.ledger = None;
    // The root page of an index is overwritten; the header is not.
    let pages = std::fs::read(&copy).unwrap().len() / 4096;
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[(pages - 1) * 4096..].fill(0x5a);
    std::fs::write(&copy, bytes).unwrap();
    let found = LedgerReader::open(&copy).and_then(|reader| reader.verify().map(|()| reader));
    let is_told = match found {
        Ok(reader) => reader.audit().is_err() || audit(&copy).iter().any(|(name, _)| *name == "file"),
        Err(error) => matches!(error, LedgerError::Corrupt { .. }),
    };
    assert!(is_told);
}
