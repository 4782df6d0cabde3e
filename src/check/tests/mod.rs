//! Whole checks of small gateways, as text and as JSON. Times are fixed; the place of the temporary directory is
//! replaced by `/t` before anything is rendered, so that lines break alike everywhere.

mod databases;
mod endpoints;
mod ledgers;
mod states;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;

use super::*;
use crate::config::{self, Inputs, Overrides};
use crate::ledger::{Ledger, OpenOptions};
use crate::serve::Collector;

/// 2026-05-28T12:00:00Z.
const NOW: UnixMs = UnixMs(1_779_969_600_000);

/// A gateway, a home directory and flags.
struct Case {
    folder: tempfile::TempDir,
    flags: Overrides,
    gateway_log: &'static str,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state").to_str().unwrap().to_owned();
        Self {
            folder,
            flags: Overrides { state_dir: Some(state_dir), ..Overrides::default() },
            gateway_log: "off",
        }
    }

    /// With three runs of two jobs, one of them deleted since, and a job that never ran.
    fn with_runs() -> Self {
        let case = Self::new();
        case.write(
            "state/cron/jobs.json",
            r#"{"version":1,"jobs":[
                {"id":"daily","name":"Daily report","schedule":{"kind":"cron"}},
                {"id":"idle","name":"","enabled":false,"schedule":{"kind":"at"}}
            ]}"#,
        );
        case.append("daily", &[record("daily", 0, Some((1_200, 34))), record("daily", 1, None)]);
        case.append("gone", &[record("gone", 2, Some((5, 1)))]);
        case
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn append(&self, job: &str, lines: &[String]) {
        let inside = format!("state/cron/runs/{job}.jsonl");
        let before = std::fs::read_to_string(self.path(&inside)).unwrap_or_default();
        self.write(&inside, &format!("{before}{}\n", lines.join("\n")));
    }

    fn ledger_path(&self) -> PathBuf {
        self.path(".local/state/openclaw-usage/ledger.sqlite")
    }

    /// Counts what is there, as `serve` does, and leaves the ledger open.
    fn count(&self) -> Ledger {
        let options = OpenOptions { gateway: Some("office".into()), max_jobs: 10, full_sync: false };
        let mut ledger = Ledger::open(&self.ledger_path(), &options, NOW).unwrap().ledger;
        Collector::new(&self.path("state"), None).sweep(&mut ledger, NOW).unwrap();
        ledger
    }

    fn config(&self) -> Config {
        let home = self.folder.path().to_str().unwrap();
        let env = [("HOME", home), ("OPENCLAW_USAGE_GATEWAY_LOG", self.gateway_log)].into_iter().collect();
        let inputs = Inputs { flags: self.flags.clone(), env, file: None };
        config::resolve(&inputs, &config::read_small_file).unwrap()
    }

    fn check(&self) -> Report {
        let before = self.files();
        let clock = crate::clock::Clock::Manual(std::sync::Arc::new(AtomicI64::new(NOW.0)));
        let surroundings = Surroundings {
            home: Some(self.folder.path()),
            now: &|| clock.now(),
            progress: &|text| panic!("no time has passed: {text}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let report = runtime.block_on(check(&self.config(), &surroundings));
        assert_eq!(self.files(), before, "a check leaves no trace");
        self.at_fixed_place(&report)
    }

    /// The report as it would be if this case lay in `/t`; the JSON holds all of it.
    fn at_fixed_place(&self, report: &Report) -> Report {
        let mut json = Vec::new();
        write(report, true, &mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), *report, "the JSON holds everything");
        serde_json::from_str(&json.replace(self.folder.path().to_str().unwrap(), "/t")).unwrap()
    }

    /// Every file with its size, its time of change and its content.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut open) = (Vec::new(), vec![self.folder.path().to_owned()]);
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                // What SQLite shares among the processes that have the ledger open is no content.
                if path.to_str().unwrap().ends_with("-shm") {
                    found.push((path, Vec::new()));
                } else if path.is_dir() {
                    open.push(path);
                } else {
                    let content = std::fs::read(&path).unwrap_or_default();
                    found.push((path, content));
                }
            }
        }
        found.sort();
        found
    }
}

/// A line of a run log: the `n`th run of a job, some hours ago.
fn record(job: &str, n: i64, usage: Option<(u64, u64)>) -> String {
    let at = NOW.0 - (10 - n) * 3_600_000;
    let (status, usage) = match usage {
        Some((input, output)) => {
            ("ok", format!(r#","usage":{{"input_tokens":{input},"output_tokens":{output}}}"#))
        }
        None => ("error", String::new()),
    };
    let ts = at + 5_000;
    format!(
        r#"{{"ts":{ts},"jobId":"{job}","action":"finished","status":"{status}","runAtMs":{at},"durationMs":5000,"nextRunAtMs":{next},"model":"m","provider":"p"{usage}}}"#,
        next = at + 3_600_000
    )
}

/// The text from the section that is headed so to the next.
fn section(report: &Report, title: &str) -> String {
    let text = text::render(report);
    let lines = text.lines().skip_while(|line| *line != title);
    let section =
        lines.enumerate().take_while(|(n, line)| *n == 0 || line.starts_with("  ") || line.is_empty());
    let section: Vec<&str> = section.map(|(_, line)| line).collect();
    assert!(!section.is_empty(), "no section {title} in:\n{text}");
    section.join("\n").trim_end().to_owned()
}

/// Level and text of what was found in one section.
fn found(report: &Report, section: Section) -> Vec<(Level, &str)> {
    let of_section = report.findings.iter().filter(|finding| finding.section == section);
    of_section.map(|finding| (finding.level, finding.text.as_str())).collect()
}

#[test]
fn every_line_fits_a_terminal_of_80_columns() {
    let case = Case::with_runs();
    drop(case.count());
    let text = text::render(&case.check());
    for line in text.lines() {
        assert!(page::columns(line) <= 80, "{line:?}");
    }
}

#[test]
fn whoever_waits_hears_of_it_after_half_a_second() {
    let case = Case::with_runs();
    // Every look at the clock takes 300 ms.
    let time = RefCell::new(NOW.0);
    let now = || {
        *time.borrow_mut() += 300;
        UnixMs(*time.borrow())
    };
    let said = RefCell::new(Vec::new());
    let progress = |text: &str| said.borrow_mut().push(text.to_owned());
    let surroundings = Surroundings { home: None, now: &now, progress: &progress };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check(&case.config(), &surroundings));
    assert_eq!(said.into_inner(), ["reading the run logs: file 2 of 2, 3 runs so far"]);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let report = Case::new().check();
    assert!(write(&report, false, &mut Closed).is_ok());
    assert!(write(&report, true, &mut Full).is_err());
}

#[test]
fn warnings_and_secrets_of_the_configuration() {
    let case = Case::new();
    let mut flags = case.flags.clone();
    flags.otlp_endpoints = vec!["http://127.0.0.1:9/x?token=s3cr3t".to_owned()];
    let home = Path::new("/home/x").to_str().unwrap();
    let env = [("HOME", home), ("OPENCLAW_USAGE_GATEWY", "typo"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cr3t")];
    let inputs = Inputs { flags, env: env.into_iter().collect(), file: None };
    let config = config::resolve(&inputs, &config::read_small_file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let surroundings = Surroundings { home: None, now: &|| NOW, progress: &|_| {} };
    let report = runtime.block_on(check(&config, &surroundings));
    let warnings = found(&report, Section::Configuration);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].0 == Level::Note && warnings[0].1.contains("OPENCLAW_USAGE_GATEWY"), "{warnings:?}");
    let mut json = Vec::new();
    write(&report, true, &mut json).unwrap();
    for shown in [String::from_utf8(json).unwrap(), text::render(&report)] {
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
    }
}
