//! Notices beside a state directory: one run each, whichever tells of it first; and those that never come.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use super::{Receiving, TOKEN};
use crate::common::daemon::now;
use crate::common::real_time::until;

const PATH: &str = "/webhook/cron";

impl Receiving {
    /// A state directory of 2026.5.28 whose job `a` posts here.
    fn with_job(arguments: &[&str]) -> Self {
        let url = "http://usage.test:9465";
        let receiving = Self::beside_a_state_dir(&[]);
        let cron = receiving.sandbox.state_dir().join("cron");
        fs::create_dir_all(cron.join("runs")).expect("a state directory");
        let job = json!({"id": "a", "name": "a", "enabled": true, "schedule": {"kind": "every", "everyMs": 60000},
            "delivery": {"mode": "webhook", "to": format!("{url}{PATH}?token=s3cret-word")}});
        fs::write(cron.join("jobs.json"), json!({"version": 1, "jobs": [job]}).to_string())
            .expect("a list of jobs");
        receiving.again(arguments, &[("OPENCLAW_USAGE_WEBHOOK_URL", url)])
    }

    fn append(&self, record: &serde_json::Value) {
        let path = self.sandbox.state_dir().join("cron/runs/a.jsonl");
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{before}{record}\n")).expect("a run log");
    }

    fn deliveries(&self, outcome: &str) -> f64 {
        let labels = [("openclaw_outcome", outcome), ("openclaw_job_id", "a")];
        self.daemon().scrape().sum("openclaw_cron_webhook_deliveries_total", &labels)
    }
}

/// The record of a run that was written down so many milliseconds ago, and its notice.
fn told(ago_ms: i64) -> (serde_json::Value, String) {
    let ts = now().0 - ago_ms;
    let mut record = json!({"ts": ts, "jobId": "a", "action": "finished", "status": "ok", "summary": "s3cret-word",
        "deliveryStatus": "not-requested", "runAtMs": ts - 500, "durationMs": 400, "nextRunAtMs": ts + 60_000,
        "model": "m", "provider": "p", "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}});
    let whole = record.clone();
    record.as_object_mut().expect("an object").remove("ts");
    (whole, record.to_string())
}

#[test]
fn notice_and_record_are_one_run() {
    let receiving = Receiving::with_job(&[]);
    let runs = |receiving: &Receiving| receiving.daemon().scrape().sum("openclaw_cron_runs_total", &[]);
    let ((first, posted_first), (second, posted_second)) = (told(5_000), told(3_000));
    assert_eq!(receiving.post(PATH, TOKEN, &posted_first), 202);
    receiving.append(&first);
    receiving.append(&second);
    until("both runs", || (runs(&receiving) == 2.0).then_some(()));
    assert_eq!(receiving.post(PATH, TOKEN, &posted_second), 202, "the first notice of a known run");
    assert_eq!(receiving.post(PATH, TOKEN, &posted_second), 200);
    let samples = receiving.daemon().scrape();
    assert_eq!(samples.sum("openclaw_cron_runs_total", &[]), 2.0);
    assert_eq!(samples.sum("openclaw_tokens_total", &[("openclaw_token", "input")]), 200.0);
    assert_eq!(samples.sum("openclaw_usage_records_total", &[("openclaw_outcome", "conflict")]), 0.0);
    assert_eq!(receiving.deliveries("delivered"), 2.0);
    assert_eq!(samples.sum("openclaw_usage_source_up", &[("openclaw_source", "webhook")]), 1.0);
}

/// Two minutes are not waited for: the run was recorded before, and the ledger is told that it listened by then.
#[test]
fn a_notice_that_never_came_is_told_once() {
    let receiving = Receiving::with_job(&[]);
    let (url, events) = ([("OPENCLAW_USAGE_WEBHOOK_URL", "http://usage.test:9465")], ["--events", "stdout"]);
    let (lost, posted_late) = told(121_000);
    let receiving = receiving.meanwhile(
        |sandbox| {
            let ledger = Connection::open(sandbox.ledger()).expect("the ledger");
            let changed =
                ledger.execute("UPDATE meta SET value = value - 600000 WHERE name = 'witness_since_ms'", []);
            assert_eq!(changed.expect("a time"), 1);
        },
        &events,
        &url,
    );
    receiving.append(&lost);
    // By its version no notice is posted of this one, and of the next it will be in time.
    let (mut silent, _) = told(122_000);
    silent.as_object_mut().expect("an object").remove("summary");
    receiving.append(&silent);
    receiving.append(&told(1_000).0);
    let event = until("the event", || {
        let log = receiving.daemon().log();
        let line = log.lines().find(|line| line.contains("webhook_delivery_missing")).map(str::to_owned);
        line.filter(|line| line.ends_with('}'))
    });
    assert!(event.contains(r#""openclaw.job.id":"a""#) && !event.contains("s3cret-word"), "{event}");
    assert_eq!(receiving.deliveries("missing"), 1.0);
    let receiving = receiving.again(&events, &url);
    until("the runs", || {
        (receiving.daemon().scrape().sum("openclaw_cron_runs_total", &[]) == 3.0).then_some(())
    });
    assert_eq!(receiving.post(PATH, TOKEN, &posted_late), 202, "late, and counted");
    assert_eq!((receiving.deliveries("missing"), receiving.deliveries("delivered")), (1.0, 1.0));
    let log = receiving.stop();
    assert!(!log.contains("webhook_delivery_missing"), "told a second time: {log}");
}
