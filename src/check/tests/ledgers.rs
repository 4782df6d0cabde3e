//! Ledgers: at rest, in use, behind, ahead, and unusable.

use super::*;

const HERE: &str = "LEDGER";

#[test]
fn a_ledger_at_rest_that_has_counted_everything() {
    let case = Case::with_runs();
    drop(case.count());
    let report = case.check();
    assert!(report.ok);
    let content = report.ledger.content.as_ref().unwrap();
    assert_eq!((content.runs, content.not_counted_yet, content.no_longer_in_state_directory), (3, 0, 0));
    assert_eq!((report.names.job.as_str(), report.names.instance.as_str()), ("openclaw-usage", "office"));
    insta::assert_snapshot!("counted", without_size(&section(&report, HERE)));
}

#[test]
fn a_ledger_behind_and_one_ahead() {
    let case = Case::with_runs();
    drop(case.count());
    case.append("daily", &[record("daily", 3, Some((7, 7))), record("daily", 4, None)]);
    let behind = case.check();
    assert_eq!(behind.ledger.content.as_ref().unwrap().not_counted_yet, 2);
    drop(case.count());
    case.write("state/cron/runs/daily.jsonl", &(record("daily", 4, None) + "\n"));
    let ahead = case.check();
    assert_eq!(ahead.ledger.content.as_ref().unwrap().no_longer_in_state_directory, 3);
    std::fs::remove_file(case.path("state/cron/runs/gone.jsonl")).unwrap();
    case.write("state/cron/runs/daily.jsonl", &(record("daily", 8, None) + "\n"));
    let foreign = case.check();
    let all = [behind, ahead, foreign].map(|report| without_size(&section(&report, HERE))).join("\n\n");
    insta::assert_snapshot!("behind_ahead_foreign", all);
}

#[test]
fn a_ledger_in_use_is_read_beside_its_writer() {
    let case = Case::with_runs();
    let ledger = case.count();
    case.append("daily", &[record("daily", 3, None)]);
    let report = case.check();
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!(report.ledger.in_use_by, Some(i32::try_from(std::process::id()).unwrap()));
    let content = report.ledger.content.as_ref().unwrap();
    assert_eq!((content.runs, content.not_counted_yet), (3, 1));
    let said = found(&report, Section::Ledger);
    assert!(
        said.iter().any(|(level, text)| *level == Level::Note && text.contains("1 run of the state")),
        "{said:?}"
    );
    drop(ledger);
    assert_eq!(case.check().ledger.in_use_by, None);
}

#[test]
fn folded_runs_stay_counted() {
    let case = Case::with_runs();
    let mut ledger = case.count();
    assert_eq!(ledger.fold(NOW.plus(86_400_000)).unwrap(), 3);
    drop(ledger);
    let content = case.check().ledger.content.unwrap();
    assert_eq!((content.runs, content.not_counted_yet, content.no_longer_in_state_directory), (3, 0, 0));
}

#[test]
fn a_ledger_at_rest_is_read_where_nothing_may_be_written() {
    let case = Case::with_runs();
    drop(case.count());
    let directory = case.ledger_path().parent().unwrap().to_owned();
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&directory, permissions).unwrap();
    };
    mode(0o500);
    let report = case.check();
    mode(0o700);
    assert_eq!(report.ledger.content.map(|content| content.runs), Some(3));
}

#[test]
fn unusable_ledgers_say_what_to_do() {
    let mut case = Case::with_runs();
    drop(case.count());
    let path = case.ledger_path();
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..].fill(0x5a);
    let version = 60..64;
    let mut newer = whole.clone();
    newer[version].copy_from_slice(&99_u32.to_be_bytes());
    let cases = [
        (damaged, LedgerStatus::Corrupt, "serve"),
        (newer, LedgerStatus::Newer, "later"),
        (b"SQLite format 3\0 and no more".to_vec(), LedgerStatus::Corrupt, "serve"),
    ];
    for (content, status, remedy) in cases {
        std::fs::write(&path, content).unwrap();
        let report = case.check();
        assert_eq!((report.ok, report.ledger.status), (false, status));
        let finding = report.findings.iter().find(|finding| finding.section == Section::Ledger).unwrap();
        assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{finding:?}");
    }
    std::fs::write(&path, "").unwrap();
    assert_eq!(case.check().ledger.status, LedgerStatus::Missing, "as good as none");
    case.write(
        "notes.txt",
        "somebody's notes, which are long enough to hold a header of SQLite's, were there one",
    );
    case.flags.ledger = Some(case.path("notes.txt").to_str().unwrap().to_owned());
    assert_eq!(case.check().ledger.status, LedgerStatus::Foreign);
    case.flags.ledger = Some(path.to_str().unwrap().to_owned());
    case.flags.gateway = Some("another".into());
    std::fs::write(&path, whole).unwrap();
    let report = case.check();
    assert_eq!((report.ok, report.ledger.status), (false, LedgerStatus::OtherGateway));
    assert_eq!(report.names.instance, "another");
}

/// The size of a file depends on SQLite's version.
fn without_size(section: &str) -> String {
    let lines =
        section.lines().map(|line| if line.starts_with("  size") { "  size           (some)" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}
