//! The gateway's log: rotation, new days, rewrites, restarts; each with the time as a value.

use super::*;
use crate::config::GatewayLog as Setting;
use crate::ledger::SeriesKind;
use crate::model::WebhookOutcome;

fn line(at: i64, job: &str) -> String {
    let date = jiff::Timestamp::from_millisecond(at).unwrap();
    format!(
        r#"{{"0":"{{\"module\":\"cron\"}}","1":{{"err":"TypeError: fetch failed","jobId":"{job}","webhookUrl":"http://h/?token=s3cr3t"}},"2":"cron: webhook delivery failed","_meta":{{"logLevelName":"WARN","date":"{date}"}}}}"#
    ) + "\n"
}

/// Another part's line, of which there are many.
fn noise(bytes: usize) -> String {
    format!(r#"{{"0":"{{\"subsystem\":\"gateway\"}}","1":"{}"}}"#, "x".repeat(bytes)) + "\n"
}

/// A bench whose gateway logs into a directory of its own.
struct LogBench {
    bench: Bench,
    setting: Setting,
    at: i64,
}

impl LogBench {
    fn new(setting: impl Fn(&Path) -> Setting) -> Self {
        let bench = Bench::new();
        let log = bench.folder.path().join("log");
        std::fs::create_dir_all(&log).unwrap();
        let mut bench = Self { setting: setting(&log), bench, at: T0 };
        bench.restart();
        bench
    }

    fn dated() -> Self {
        Self::new(|log| Setting::At(log.to_path_buf()))
    }

    fn restart(&mut self) {
        self.bench.restart();
        let collector = Collector::new(&self.bench.state(), None);
        self.bench.collector = collector.with_gateway_log(self.setting.clone());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.folder.path().join("log").join(name)
    }

    fn append(&self, name: &str, text: &str) {
        use std::io::Write as _;
        let mut file = std::fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Appends `n` lines of failed webhooks.
    fn fail(&mut self, name: &str, n: i64) {
        for _ in 0..n {
            self.at += 1_000;
            self.append(name, &line(self.at, "job"));
        }
    }

    fn look(&mut self) {
        let Bench { collector, ledger, now, .. } = &mut self.bench;
        *now = now.plus(1_000);
        collector.sweep(ledger.as_mut().unwrap(), *now).unwrap();
    }

    fn totals(&mut self) -> Totals {
        self.look();
        let totals = self.bench.ledger.as_ref().unwrap().totals();
        let totals = totals.lock().unwrap();
        totals.clone()
    }

    fn failed(&mut self) -> u64 {
        let failed = SeriesKind::Deliveries(WebhookOutcome::Failed);
        self.totals()
            .series
            .iter()
            .filter(|series| series.kind == failed)
            .map(|series| series.exported_total)
            .sum()
    }

    fn gaps(&mut self) -> u64 {
        self.totals().counters.sources.get("gateway-log").map_or(0, |facts| facts.gaps)
    }

    fn up(&mut self) -> Option<bool> {
        self.look();
        let Bench { collector, ledger, now, .. } = &self.bench;
        let health = collector.health(ledger.as_ref().unwrap(), *now);
        health.sources.iter().find(|(name, _)| *name == "gateway-log").map(|(_, up)| *up)
    }
}

const DAY: &str = "openclaw-2026-11-21.log";

#[test]
fn every_line_counts_once_over_days_rotations_and_restarts() {
    let mut bench = LogBench::dated();
    assert_eq!((bench.up(), bench.failed()), (None, 0));
    bench.fail(DAY, 2);
    assert_eq!((bench.up(), bench.failed()), (Some(true), 2));
    bench.restart();
    bench.fail(DAY, 1);
    assert_eq!(bench.failed(), 3);
    // Written before the rotation and not read until after it, and a second rotation before that.
    bench.fail(DAY, 1);
    std::fs::rename(bench.path(DAY), bench.path("openclaw-2026-11-21.1.log")).unwrap();
    bench.fail(DAY, 1);
    std::fs::rename(bench.path("openclaw-2026-11-21.1.log"), bench.path("openclaw-2026-11-21.2.log"))
        .unwrap();
    std::fs::rename(bench.path(DAY), bench.path("openclaw-2026-11-21.1.log")).unwrap();
    bench.fail(DAY, 1);
    assert_eq!(bench.failed(), 6);
    bench.restart();
    assert_eq!((bench.failed(), bench.gaps()), (6, 0));
    // A new day, whose name is the gateway's to choose.
    bench.fail("openclaw-2026-11-22.log", 2);
    assert_eq!(bench.failed(), 8);
    for name in [DAY, "openclaw-2026-11-21.1.log", "openclaw-2026-11-21.2.log"] {
        std::fs::remove_file(bench.path(name)).unwrap();
    }
    bench.fail("openclaw-2026-11-22.log", 1);
    assert_eq!((bench.failed(), bench.gaps()), (9, 0));
    let ledger = bench.bench.ledger.as_ref().unwrap();
    let positions: Vec<_> =
        ledger.positions_under("gateway-log/").map(|(source, _)| source.0.clone()).collect();
    assert_eq!(positions, ["gateway-log/openclaw-2026-11-22.log"], "days that are gone leave nothing");
}

#[test]
fn a_log_that_is_cut_or_written_anew_gives_nothing_twice() {
    let mut bench = LogBench::new(|log| Setting::At(log.join("gateway.log")));
    bench.fail("gateway.log", 3);
    assert_eq!(bench.failed(), 3);
    let text = std::fs::read_to_string(bench.path("gateway.log")).unwrap();
    // Copied and cut, as logrotate does.
    std::fs::write(bench.path("gateway.log"), "").unwrap();
    bench.fail("gateway.log", 1);
    assert_eq!(bench.failed(), 4);
    // Put back from a copy: every line of it is known.
    std::fs::write(bench.path("gateway.log"), &text).unwrap();
    assert_eq!(bench.failed(), 4);
    bench.restart();
    std::fs::rename(bench.path("gateway.log"), bench.path("gateway.1.log")).unwrap();
    bench.fail("gateway.log", 1);
    assert_eq!(bench.failed(), 5);
    std::fs::remove_file(bench.path("gateway.log")).unwrap();
    std::fs::remove_file(bench.path("gateway.1.log")).unwrap();
    assert_eq!((bench.failed(), bench.up()), (5, Some(false)));
}

#[test]
fn what_was_said_more_than_seven_days_ago_is_history() {
    let mut bench = LogBench::dated();
    let day = 86_400_000;
    bench.append(DAY, &line(NOW.0 - 8 * day, "job"));
    bench.append(DAY, &line(NOW.0 - 6 * day, "job"));
    assert_eq!(bench.failed(), 1);
}

#[test]
fn a_line_that_is_not_finished_waits_and_a_bad_one_counts_once() {
    let mut bench = LogBench::dated();
    let whole = line(T0, "job");
    let (head, tail) = whole.split_at(40);
    bench.append(DAY, "{\"cron\n");
    bench.append(DAY, head);
    assert_eq!(bench.failed(), 0);
    bench.append(DAY, tail);
    assert_eq!(bench.failed(), 1);
    bench.restart();
    let totals = bench.totals();
    assert_eq!(totals.counters.rejects.get(&RejectReason::InvalidJson), Some(&1));
}

#[test]
fn a_busy_log_costs_no_commit_until_it_has_grown() {
    let mut bench = LogBench::dated();
    bench.append(DAY, &noise(100));
    bench.look();
    let offset = |bench: &LogBench| {
        let ledger = bench.bench.ledger.as_ref().unwrap();
        ledger.positions_under("gateway-log/").next().and_then(|(_, at)| at.file()).unwrap().offset
    };
    let first = offset(&bench);
    bench.append(DAY, &noise(1_000));
    bench.look();
    assert_eq!(offset(&bench), first, "nothing was found and little read");
    bench.fail(DAY, 1);
    assert_eq!(bench.failed(), 1);
    assert!(offset(&bench) > first + 1_000);
    bench.append(DAY, &noise(900_000));
    bench.append(DAY, &noise(900_000));
    bench.look();
    assert!(offset(&bench) > first + 1_800_000);
}

#[test]
fn the_gateway_s_own_configuration_says_where_it_logs() {
    let mut bench = LogBench::new(|_| Setting::Auto);
    let config = format!(r#"{{"logging":{{"file":"{}"}}}}"#, bench.path("own.log").display());
    std::fs::write(bench.bench.state().join("openclaw.json"), config).unwrap();
    bench.fail("own.log", 2);
    bench.fail("other.log", 2);
    assert_eq!(bench.failed(), 2);
    let totals = bench.totals();
    let labels = &totals.labels[totals.series[0].labels];
    assert_eq!((labels.job_id.as_str(), labels.provider.as_str(), labels.model.as_str()), ("job", "", ""));
}

fn unpack(archive: &str, into: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(archive);
    let plain = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(plain).unpack(into).unwrap();
}

/// How many posts of a recording were answered with a status.
fn answered(folder: &Path, name: &str, status: u64) -> u64 {
    let text = std::fs::read_to_string(folder.join(name).join("webhooks.jsonl")).unwrap();
    let posts = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    posts.filter(|post| post["answered"] == status).count() as u64
}

#[test]
fn recorded_webhooks_are_counted_as_the_receiver_saw_them() {
    let logs = tempfile::tempdir().unwrap();
    unpack("logs/recorded.tar.zst", logs.path());
    // Failed without an answer, blocked, and whether the version tells of answers at all.
    for (name, unanswered, blocked, tells) in [
        ("2026.2.17", 3, 0, false),
        ("2026.5.28", 0, 21, false),
        ("2026.6.11", 0, 22, false),
        ("2026.9.6", 4, 0, true),
        // One gateway through all of 2026.5.28, 2026.6.11 and 2026.9.6: records are imported, the log is one.
        ("stage3-9.6", 5, 21, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        unpack(&format!("{name}.tar.zst"), folder.path());
        let state = folder.path().join("state-dir");
        let options = OpenOptions { gateway: None, max_jobs: 99, full_sync: false };
        let mut counts = std::collections::BTreeMap::new();
        // The second time everything is there already.
        for _ in 0..2 {
            let mut ledger = Ledger::open(&folder.path().join("l.sqlite"), &options, NOW).unwrap().ledger;
            let log = Setting::At(logs.path().join(name).join("openclaw.log"));
            Collector::new(&state, None).with_gateway_log(log).sweep(&mut ledger, NOW).unwrap();
            let totals = ledger.totals();
            let totals = totals.lock().unwrap();
            counts.clear();
            for series in &totals.series {
                if let SeriesKind::Deliveries(outcome) = series.kind {
                    *counts.entry(outcome).or_insert(0) += series.exported_total;
                    let labels = &totals.labels[series.labels];
                    assert!(
                        labels.job_name.starts_with("hook-") && labels.model.is_empty(),
                        "{name}: {labels:?}"
                    );
                }
            }
        }
        let posted = |status| if tells { answered(logs.path(), name, status) } else { 0 };
        let expected = [
            (WebhookOutcome::Delivered, posted(200)),
            (WebhookOutcome::Failed, posted(500) + unanswered),
            (WebhookOutcome::Blocked, blocked),
        ];
        let expected = expected.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counts, expected, "{name}");
    }
}

#[test]
fn the_simulated_gateway_logs_as_each_version_does() {
    use crate::demo::{Gateway, Generation, Options, Said};
    for (generation, counted) in [
        (Generation::V2026_2_17, Some(WebhookOutcome::Failed)),
        (Generation::V2026_5_28, Some(WebhookOutcome::Blocked)),
        (Generation::V2026_6_11, Some(WebhookOutcome::Blocked)),
        // Its records tell of webhooks.
        (Generation::V2026_9_6, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let start = UnixMs(T0);
        let gateway = Gateway::new(&state, Options { generation, start, ..Options::default() }).unwrap();
        let jobs: Vec<String> = gateway.jobs().iter().map(|job| job.id.clone()).collect();
        for (at, job) in (1..).zip(&jobs) {
            for said in [Said::WebhookFailed, Said::WebhookAnswered(503), Said::JobFailed, Said::TimerFailed]
            {
                gateway.log(said, job, start.plus(at * 1_000)).unwrap();
            }
        }
        let options = OpenOptions { gateway: None, max_jobs: 99, full_sync: false };
        let mut ledger = Ledger::open(&folder.path().join("l.sqlite"), &options, NOW).unwrap().ledger;
        let log = Setting::At(gateway.log_file());
        Collector::new(&state, None).with_gateway_log(log).sweep(&mut ledger, NOW).unwrap();
        let totals = ledger.totals();
        let totals = totals.lock().unwrap();
        assert!(totals.counters.rejects.is_empty(), "{generation:?}: {:?}", totals.counters.rejects);
        let deliveries = |outcome| {
            let of = totals.series.iter().filter(|series| series.kind == SeriesKind::Deliveries(outcome));
            of.map(|series| series.exported_total).sum::<u64>()
        };
        let all: u64 = WebhookOutcome::ALL.into_iter().map(deliveries).sum();
        let expected = counted.map_or(0, |_| jobs.len() as u64);
        assert_eq!((counted.map_or(0, deliveries), all), (expected, expected), "{generation:?}");
    }
}
