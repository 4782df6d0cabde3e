//! Reading for one question: no more than it needs, and all of that.

use std::fs::{self, File};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::ledger::Window;
use crate::model::UsageProvenance;

fn options() -> OpenOptions {
    OpenOptions { gateway: None, max_jobs: usize::MAX, full_sync: false }
}

impl Bench {
    /// Reads for a question about runs that started at a minute or later, or about all. Returns the minutes at which the
    /// runs started that were read, with their input tokens, and the bytes that were done with and those in all.
    fn asked(&self, minute: Option<i64>) -> (Vec<(i64, u64)>, u64, u64) {
        let scope = Scope::since(minute.map(|minute| UnixMs(T0 + minute * 60_000)));
        let mut ledger = Ledger::in_memory(&options(), self.now).unwrap();
        Collector::new(&self.state(), None).within(scope.clone()).sweep(&mut ledger, self.now).unwrap();
        let mut runs = Vec::new();
        let window = Window { since: UnixMs(0), until: UnixMs(i64::MAX / 2) };
        let usage = ledger.usage().unwrap();
        let minute_of = |at: UnixMs| at.since(UnixMs(T0)).div_euclid(60_000);
        usage
            .for_each_run(
                window,
                |_| true,
                |run| {
                    let input = run.parts.iter().filter_map(|part| part.usage.input).sum();
                    runs.push((minute_of(run.at.time()), input));
                },
            )
            .unwrap();
        runs.sort_unstable();
        (runs, scope.bytes_done(), scope.bytes_in(&self.state(), None))
    }

    fn starts(&self, minute: Option<i64>) -> Vec<i64> {
        self.asked(minute).0.into_iter().map(|(at, _)| at).collect()
    }

    fn write(&self, path: &str, minute: i64, text: &str) {
        let path = self.state().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let written = u64::try_from(T0 + minute * 60_000).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(written)).unwrap();
    }
}

#[test]
fn rows_recorded_more_than_an_hour_before_a_window_are_left_out() {
    let bench = Bench::with(&[CRON_RUN_LOGS, TASK_RUNS]);
    for minute in [0, 100, 200, 300] {
        bench.task(&format!("t{minute}"), "j", minute);
        bench.log("k", minute, minute + 1);
    }
    // Without a time nothing tells that it is old.
    bench.sql("UPDATE task_runs SET ended_at = NULL WHERE task_id = 't0'");
    assert_eq!(bench.starts(None), [0, 1, 100, 101, 200, 201, 300, 301]);
    assert_eq!(bench.starts(Some(260)), [0, 200, 201, 300, 301]);
    assert_eq!(bench.starts(Some(262)), [0, 300, 301]);
}

#[test]
fn logs_and_transcripts_that_rested_for_more_than_an_hour_are_left_out() {
    let bench = Bench::new();
    for (job, minute) in [("a", 0), ("b", 100), ("c", 200)] {
        let at = T0 + minute * 60_000;
        let record = format!(
            "{{\"ts\":{},\"jobId\":\"{job}\",\"action\":\"finished\",\"status\":\"ok\",\"runAtMs\":{at},\
             \"sessionId\":\"s-{job}\",\"sessionKey\":\"agent:main:cron:{job}:run:s-{job}\",\"durationMs\":9000,\
             \"usage\":{{\"input_tokens\":1}}}}\n",
            at + 9_000
        );
        bench.write(&format!("cron/runs/{job}.jsonl"), minute + 1, &record);
        let transcript = format!(
            "{{\"type\":\"session\",\"version\":3,\"id\":\"s-{job}\"}}\n\
             {{\"type\":\"message\",\"message\":{{\"role\":\"user\",\"content\":\"[cron:{job} it] go\",\"timestamp\":{}}}}}\n\
             {{\"type\":\"message\",\"message\":{{\"role\":\"assistant\",\"provider\":\"p\",\"model\":\"m\",\
             \"usage\":{{\"input\":700,\"output\":0}},\"stopReason\":\"stop\",\"timestamp\":{}}}}}\n",
            at + 1_000,
            at + 2_000
        );
        bench.write(&format!("agents/main/sessions/s-{job}.jsonl"), minute + 1, &transcript);
    }
    let (runs, done, all) = bench.asked(None);
    assert_eq!(runs, [(0, 700), (100, 700), (200, 700)]);
    assert_eq!(done, all, "all was done with");
    let (runs, _, in_window) = bench.asked(Some(150));
    assert_eq!(runs, [(100, 700), (200, 700)]);
    assert!(in_window < all);
    assert_eq!(bench.starts(Some(162)), [200]);
    assert_eq!(bench.starts(Some(900)), [0_i64; 0]);
}

#[test]
fn a_ledger_in_memory_says_of_every_run_what_one_on_disk_says() {
    let mut bench = Bench::with(&[CRON_RUN_LOGS, TASK_RUNS]);
    for minute in 0..40 {
        bench.task(&format!("t{minute}"), "j", minute);
        // The same runs, told worse, and those of another job.
        bench.log(if minute % 3 == 0 { "j" } else { "k" }, minute, minute);
    }
    bench.sweep();
    let mut memory = Ledger::in_memory(&options(), bench.now).unwrap();
    Collector::new(&bench.state(), None).within(Scope::default()).sweep(&mut memory, bench.now).unwrap();
    let [on_disk, in_memory] = [bench.ledger.as_ref().unwrap(), &memory].map(|ledger| {
        let mut runs = Vec::new();
        let window = Window { since: UnixMs(0), until: UnixMs(i64::MAX / 2) };
        let usage = ledger.usage().unwrap();
        usage.for_each_run(window, |_| true, |run| runs.push(format!("{run:?}"))).unwrap();
        runs
    });
    assert_eq!(on_disk, in_memory);
    assert_eq!(on_disk.len(), 66);
    assert!(on_disk.iter().any(|run| run.contains(&format!("{:?}", UsageProvenance::Record))));
    assert!(memory.totals().lock().unwrap().series.is_empty(), "no series is made of it");
}
