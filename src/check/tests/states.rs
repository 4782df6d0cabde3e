//! State directories: what is there and what is in the way.

use super::*;

const HERE: &str = "STATE DIRECTORY";

#[test]
fn a_gateway_with_runs_and_nothing_counted_yet() {
    insta::assert_snapshot!("all_of_it", text::render(&Case::with_runs().check()));
}

#[test]
fn nothing_is_found() {
    let case = Case::new();
    let missing = section(&case.check(), HERE);
    std::fs::create_dir(case.path("state")).unwrap();
    let empty = section(&case.check(), HERE);
    case.write("state/openclaw.json", "{}");
    let no_run_yet = section(&case.check(), HERE);
    case.write("state/cron/runs/a.jsonl", "");
    let no_line_yet = section(&case.check(), HERE);
    let all = [missing, empty, no_run_yet, no_line_yet].join("\n\n");
    insta::assert_snapshot!("nothing_found", all);
}

#[test]
fn only_what_is_wrong_makes_it_fail() {
    let case = Case::new();
    for (make, ok) in [
        (None, false),
        (Some("state/x/y"), false),
        (Some("state/cron/jobs.json.bak"), true),
        (Some("state/state/openclaw.sqlite"), false),
    ] {
        if let Some(file) = make {
            case.write(file, "");
        }
        assert_eq!(case.check().ok, ok, "{make:?}");
    }
    let file = Case::new();
    file.write("state", "");
    assert_eq!(found(&file.check(), Section::StateDirectory), [(Level::Problem, "/t/state is no directory")]);
}

#[test]
fn logs_that_cannot_be_listed_are_not_said_to_be_empty() {
    let case = Case::new();
    case.write("state/cron/runs", "");
    let report = case.check();
    let [(Level::Problem, text)] = found(&report, Section::StateDirectory)[..] else {
        panic!("one problem: {:?}", report.findings)
    };
    assert!(text.starts_with("cannot read /t/state/cron/runs: "), "{text}");
    assert!(report.state_directory.all_runs.is_none());
}

#[test]
fn hostile_names_and_damaged_files_are_shown_harmlessly() {
    let case = Case::with_runs();
    let name = "\\u001b[2J\\u202Eevil\\n日本語 very very long name of a job that does not fit at all";
    case.write(
        "state/cron/jobs.json",
        &format!(r#"{{"jobs":[{{"id":"daily","name":"{name}","schedule":{{"kind":"every"}}}}]}}"#),
    );
    case.append("daily", &["{not json".to_owned(), "x".repeat(1 << 21)]);
    std::fs::create_dir(case.path("state/cron/runs/folder.jsonl")).unwrap();
    let report = case.check();
    assert!(report.ok, "what cannot be counted is a note: {:?}", report.findings);
    let text = text::render(&report);
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    insta::assert_snapshot!("hostile", section(&report, HERE));
    let logs = report.state_directory.run_logs.unwrap();
    let reasons: Vec<(&str, u64)> = logs.sums.rejects.iter().map(|r| (r.reason.as_str(), r.count)).collect();
    assert_eq!(reasons, [("invalid_json", 1), ("line_too_long", 1), ("not_a_file", 1)]);
}

#[test]
fn a_run_with_several_records_counts_once() {
    let case = Case::with_runs();
    case.append("daily", &[record("daily", 0, Some((1_200, 34)))]);
    let again = std::fs::read(case.path("state/cron/runs/gone.jsonl")).unwrap();
    std::fs::write(case.path("state/cron/runs/gone.jsonl.migrated"), again).unwrap();
    let logs = case.check().state_directory.run_logs.unwrap();
    let sums = &logs.sums;
    assert_eq!((sums.runs, sums.duplicates, logs.files, logs.migrated_files), (3, 2, 2, 1));
    assert_eq!((sums.tokens["input"], sums.tokens["output"]), (1_205, 35));
    assert_eq!(sums.in_several_stores, 0, "a log and its migrated copy are one store");
    assert_eq!(sums.newest_record_ms, Some(NOW.0 - 8 * 3_600_000 + 5_000));
}

#[test]
fn a_damaged_list_of_jobs_is_a_problem_and_a_moved_one_is_found() {
    let case = Case::with_runs();
    case.write("state/cron/jobs.json", "{ half");
    let report = case.check();
    assert!(found(&report, Section::StateDirectory).iter().any(|(level, text)| {
        *level == Level::Problem && text.contains("/t/state/cron/jobs.json is not valid JSON5")
    }));
    case.write("state/openclaw.json", "{ cron: { store: 'elsewhere/jobs.json' } }");
    std::fs::rename(case.path("state/cron"), case.path("state/elsewhere")).unwrap();
    std::fs::remove_file(case.path("state/elsewhere/jobs.json")).unwrap();
    let report = case.check();
    assert_eq!(report.state_directory.run_logs.as_ref().unwrap().sums.runs, 3);
    assert!(report.state_directory.job_list.is_none());
    insta::assert_snapshot!("moved_jobs", section(&report, HERE));
}

#[test]
fn how_changes_are_noticed() {
    let mut case = Case::with_runs();
    for (watch, method, says) in [
        (None, "events", "by polling if events turn out not to come"),
        (Some("poll"), "poll", "by polling every 1000 ms"),
        (Some("events"), "events", "as `watch = \"events\"` says"),
    ] {
        case.flags.watch = watch.map(ToOwned::to_owned);
        let report = case.check();
        let [(Level::Ok, text)] = found(&report, Section::Watching)[..] else { panic!("one finding") };
        assert!(text.contains(says), "{text}");
        assert_eq!((report.watching.method.as_str(), report.watching.remote), (method, false));
    }
}

#[test]
fn says_which_log_is_read_and_how_to_have_one_that_can_be() {
    let log_findings = |case: &Case| {
        let findings =
            case.check().findings.into_iter().filter(|finding| finding.text.contains("gateway log"));
        let told = findings.map(|finding| (finding.level, finding.remedy.unwrap_or_default()));
        told.collect::<Vec<_>>()
    };
    let mut case = Case::with_runs();
    assert!(log_findings(&case).is_empty(), "off");
    case.gateway_log = "auto";
    case.write("state/openclaw.json", r#"{"logging":{"file":"/no/where/gateway.log"}}"#);
    let told = log_findings(&case);
    assert_eq!(told.len(), 1);
    assert!(told[0].0 == Level::Note && told[0].1.contains("gateway_log"), "{told:?}");
    let log = case.path("openclaw-2026-05-28.log");
    case.write("openclaw-2026-05-28.log", "{}\n");
    let config = format!(r#"{{"logging":{{"file":"{}"}}}}"#, log.display());
    case.write("state/openclaw.json", &config);
    let read =
        case.check().findings.into_iter().find(|finding| finding.text.contains("gateway's log")).unwrap();
    assert_eq!(read.level, Level::Ok);
    assert!(read.text.contains("openclaw-2026-05-28.log (1 file)"), "{}", read.text);
}
