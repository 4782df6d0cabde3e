//! The `demo` command as its user runs it.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::common::daemon::PROGRAM;
use crate::common::process::Process;
use crate::common::real_time::until;

struct Demo {
    folder: TempDir,
    process: Process,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(PROGRAM);
        command.arg("demo").args(arguments).env("TMPDIR", folder.path());
        let process = Process::spawn("demo", &mut command, folder.path().join("output"));
        Self { folder, process }
    }

    fn end(&mut self) -> (ExitStatus, String) {
        let status = until("the end of the demo", || self.process.ended());
        (status, self.process.log())
    }

    fn left_behind(&self) -> Vec<PathBuf> {
        let entries = self.folder.path().read_dir().expect("the folder of temporary files");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect()
    }
}

/// The number of runs in a line of the conclusion.
fn runs(output: &str, line: &str) -> u64 {
    let line = output.lines().find_map(|found| found.strip_prefix(line)).expect("a line of the conclusion");
    let number = line.split_whitespace().next().expect("a number").replace(',', "");
    number.parse().expect("a number of runs")
}

#[test]
fn what_is_billed_is_counted_and_nothing_is_left_behind() {
    for generation in ["run-log", "cron-run-logs", "task-runs", "upgrade"] {
        let mut demo =
            Demo::start(&["--generation", generation, "--duration", "1s", "--speed", "40", "--seed", "3"]);
        let (status, output) = demo.end();
        assert!(status.success(), "{status}: {output}");
        assert!(output.lines().last().expect("output").starts_with("equal, over "), "{output}");
        assert!(output.lines().all(|line| line.chars().count() <= 80), "{output}");
        let billed = runs(&output, "billed by the provider");
        assert_eq!(billed, runs(&output, "exported on /metrics"));
        assert_eq!(billed, runs(&output, "held in the ledger"));
        assert_eq!(demo.left_behind(), Vec::<PathBuf>::new());
    }
}

#[test]
fn an_upgrade_goes_through_every_store() {
    let mut demo = Demo::start(&["--generation", "upgrade", "--duration", "900ms", "--seed", "3"]);
    let (_, output) = demo.end();
    let place = |what: &str| output.find(what).unwrap_or_else(|| panic!("no {what:?}: {output}"));
    let first = place("history          2026.5.28 (cron/runs/*.jsonl)");
    let second = place("upgraded to 2026.6.11 (cron_run_logs in state/openclaw.sqlite)");
    let third = place("upgraded to 2026.9.6 (task_runs in state/openclaw.sqlite)");
    assert!(first < second && second < third, "{output}");
    assert!(runs(&output, "billed by the provider") > 5_000, "{output}");
}

#[test]
fn a_signal_ends_gateway_and_daemon_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = Demo::start(&["--generation", "run-log", "--keep-dir"]);
        let first_line =
            |log: &str| log.lines().any(|line| line.trim_start().starts_with("0s ")).then_some(());
        demo.process.wait_for_log("the first line of figures", first_line).expect("a running demo");
        kill_process(demo.process.pid(), signal).expect("our own child");
        let (status, output) = demo.end();
        assert!(status.success(), "{status}: {output}");
        assert!(output.contains("\nequal, over "), "{output}");
        let kept =
            output.lines().last().and_then(|line| line.strip_prefix("kept: ")).expect("the kept directory");
        assert_eq!(demo.left_behind(), [PathBuf::from(kept)]);
    }
}

/// Whatever goes wrong, what was billed is counted, and somebody who watches is told.
#[test]
fn an_incident_is_announced_happens_and_is_told_of() {
    for (word, alert, said) in [
        ("missed", "OpenClawJobMissedSchedule", "daily-ok has been due for an hour and is not run"),
        ("webhook", "OpenClawWebhookFailing", "hook-ok finishes its runs, but its webhook is not delivered"),
        ("vanished", "OpenClawUsageSourceGone", "the state directory is gone"),
    ] {
        let mut demo = Demo::start(&["--incident", word, "--duration", "900ms", "--speed", "100"]);
        let (status, output) = demo.end();
        assert!(status.success(), "{status}: {output}");
        let announced = format!("incident         {word} after 0.3 s; it is for {alert}\n");
        assert!(output.contains(&announced), "{output}");
        assert!(output.contains(&format!("\n        {said}\n")), "{output}");
        let narrow = |line: &str| line.chars().count() <= 80 || line.contains(" WARN ");
        assert!(output.lines().all(narrow), "{output}");
        assert_eq!(demo.left_behind(), Vec::<PathBuf>::new());
    }
}

#[test]
fn bad_usage_is_told_from_failure() {
    for arguments in [
        &["--speed", "0"][..],
        &["--duration", "0s"],
        &["--otlp-endpoint", "ftp://x"],
        &["--incident", "burn", "--generation", "upgrade"],
    ] {
        let (status, output) = Demo::start(arguments).end();
        assert_eq!(status.code(), Some(64), "{arguments:?}: {output}");
    }
}

#[cfg(feature = "e2e")]
#[test]
fn it_pushes_to_a_real_prometheus() {
    use crate::common::servers::{Prometheus, Version};
    let prometheus = Prometheus::start(Version::V3, &[]);
    let endpoint = prometheus.otlp_endpoint();
    let generation = ["--generation", "run-log"];
    let flags = ["--duration", "1s", "--speed", "40", "--otlp-endpoint", &endpoint];
    let mut demo = Demo::start(&[&generation[..], &flags[..]].concat());
    let (status, output) = demo.end();
    assert!(status.success(), "{status}: {output}");
    let stored = prometheus.query("sum(openclaw_cron_runs_total)", None);
    #[expect(clippy::cast_precision_loss, reason = "a small number of runs")]
    let billed = runs(&output, "billed by the provider") as f64;
    assert_eq!(stored.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [billed]);
}

#[cfg(feature = "e2e")]
#[test]
fn it_tells_a_real_loki_of_a_webhook_that_fails() {
    use crate::common::servers::Loki;
    let loki = Loki::start();
    let endpoint = loki.otlp_endpoint();
    let incident = ["--incident", "webhook", "--duration", "3s", "--speed", "50"];
    let mut demo = Demo::start(&[&incident[..], &["--events", &endpoint]].concat());
    let (status, output) = demo.end();
    assert!(status.success() && output.contains(&format!("events to        {endpoint}\n")), "{output}");
    let query = r#"{service_name="openclaw-usage"} | event_name="openclaw.cron.webhook_delivery_failed" |= "webhook delivery failed""#;
    assert!(!loki.lines(query).is_empty(), "{output}");
}
