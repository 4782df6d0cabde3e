//! Notices that should come: missing once, and only if they are.

use std::collections::BTreeSet;

use super::notices::notice;
use super::*;
use crate::model::{
    GatewayEvent, GatewayEventKind, Happening, JobDefinition, Receipt, ScheduleKind, Severity,
    WebhookOutcome, WebhookUrl,
};

const PATIENCE_MS: i64 = 120_000;
const MISSING: SeriesKind = SeriesKind::Deliveries(WebhookOutcome::Missing);

impl Bench {
    /// A ledger that awaits the notices of the job `a`, and not those of `b`, which posts elsewhere.
    fn witness() -> Self {
        let mut bench = Self::new();
        bench.now = T0;
        bench.begin_witness();
        bench
    }

    fn begin_witness(&mut self) {
        let now = self.now;
        self.ledger().set_witness(Some(Arc::new(|url: &WebhookUrl| url.0 == "ours")), now).unwrap();
        self.ledger().set_jobs(&[posting("a", "ours"), posting("b", "elsewhere")]).unwrap();
        let sinks: BTreeSet<String> = ["s".to_owned()].into();
        let describe = |happening: Happening<'_>| match happening {
            Happening::Missing(missing) => format!("{} {}", missing.job_id, missing.due.since(T0)),
            _ => String::new(),
        };
        let describe = Arc::new(describe);
        let settings = OutboxSettings { sinks, max_events: 100, max_age_ms: 86_400_000, describe };
        self.ledger().set_outbox(settings).unwrap();
    }

    /// Settles what is due then. Returns how many are counted, and what was told.
    fn settled(&mut self, at: UnixMs) -> (u64, Vec<String>) {
        self.ledger().settle_missing(at).unwrap();
        let progress = crate::model::SinkProgress { name: "s".into(), ..Default::default() };
        let told = self.ledger().take_events(&progress, 100).unwrap();
        let told = told.into_iter().map(|event| event.content).filter(|text| !text.is_empty());
        (self.sum(MISSING).1, told.collect())
    }
}

fn posting(job_id: &str, url: &str) -> JobDefinition {
    JobDefinition {
        job_id: job_id.into(),
        name: job_id.into(),
        agent: None,
        schedule: ScheduleKind::Recurring,
        enabled: true,
        next_run_at: None,
        running: false,
        system: false,
        webhook: Some(WebhookUrl(url.into())),
    }
}

fn announced(job: &str, minute: i64) -> Run {
    Run { is_announced: true, ..run(job, minute) }
}

#[test]
fn a_run_without_its_notice_is_missing_once_also_over_a_restart() {
    let mut bench = Bench::witness();
    bench.apply(vec![announced("a", 0), announced("a", 1), announced("b", 0), run("a", 2)]);
    assert_eq!(bench.notify(&notice("a", 1)), Receipt::New);
    let due = announced("a", 0).recorded_at.plus(PATIENCE_MS);
    assert_eq!(bench.ledger().next_missing().unwrap(), Some(due));
    assert_eq!(bench.settled(due.plus(-1)), (0, vec![]));
    bench.reopen();
    bench.begin_witness();
    let once = (1, vec![format!("a {}", due.since(T0))]);
    assert_eq!(bench.settled(due), once);
    bench.reopen();
    bench.begin_witness();
    bench.apply(vec![announced("a", 0)]);
    assert_eq!(bench.settled(due.plus(PATIENCE_MS)), once);
    assert_eq!(bench.ledger().next_missing().unwrap(), None);
    // A late one counts as what it is, and stays counted as missing.
    assert_eq!(bench.notify(&notice("a", 0)), Receipt::New);
    assert_eq!(bench.settled(due.plus(PATIENCE_MS)), once);
    assert_eq!(bench.sum(SeriesKind::Deliveries(WebhookOutcome::Delivered)), (2, 2));
}

#[test]
fn a_notice_that_came_before_its_record_is_not_awaited() {
    let mut bench = Bench::witness();
    bench.notify(&notice("a", 0));
    bench.apply(vec![announced("a", 0)]);
    assert_eq!(bench.ledger().next_missing().unwrap(), None);
}

#[test]
fn what_the_gateway_says_that_it_did_not_deliver_is_not_missing() {
    let mut bench = Bench::witness();
    let told = [Delivery::WebhookFailed, Delivery::WebhookBlocked, Delivery::WebhookSkipped];
    let told = told.into_iter().zip(0..).map(|(delivery, at)| Run { delivery, ..announced("a", at) });
    bench.apply(told.collect());
    assert_eq!(bench.ledger().next_missing().unwrap(), None);
    // Of these two the log says that one was not delivered; each line stands for one.
    bench.apply(vec![announced("a", 10), announced("a", 11)]);
    let said = |at: i64| GatewayEvent {
        at: T0.plus(at * MINUTE_MS + 440),
        kind: GatewayEventKind::WebhookDeliveryFailed,
        severity: Severity::Warn,
        job_id: Some("a".into()),
        job_name: None,
        problem: None,
        http_status: None,
        delivery: Some(WebhookOutcome::Failed),
        attempt: None,
        message: String::new(),
        mark: at.cast_unsigned(),
    };
    let batch = Batch { events: vec![said(10)], ..bench.batch(Vec::new()) };
    let now = bench.now;
    bench.ledger().apply(&batch, now).unwrap();
    let due = |minute| announced("a", minute).recorded_at.plus(PATIENCE_MS);
    let missing = (1, vec![format!("a {}", due(11).since(T0))]);
    assert_eq!(bench.settled(due(11)), missing);
}

/// What ran before anybody listened, and what a lost ledger had told of, is not missing.
#[test]
fn history_is_not_awaited() {
    let mut bench = Bench::new();
    bench.now = T0.plus(10 * MINUTE_MS);
    bench.begin_witness();
    bench.apply(vec![announced("a", 9), announced("a", 10)]);
    let due = announced("a", 10).recorded_at.plus(PATIENCE_MS);
    assert_eq!(bench.settled(due).0, 1);
    // Switched off, it forgets.
    bench.apply(vec![announced("a", 20)]);
    bench.ledger().set_witness(None, due).unwrap();
    assert_eq!(bench.ledger().next_missing().unwrap(), None);
    bench.now = T0.plus(30 * MINUTE_MS);
    bench.begin_witness();
    bench.apply(vec![announced("a", 29)]);
    assert_eq!(bench.ledger().next_missing().unwrap(), None);
}

#[test]
fn a_job_that_is_told_elsewhere_or_gone_is_not_awaited_any_more() {
    let mut bench = Bench::witness();
    bench.ledger().set_jobs(&[posting("a", "elsewhere")]).unwrap();
    bench.apply(vec![announced("a", 0)]);
    bench.ledger().set_jobs(&[posting("a", "ours")]).unwrap();
    bench.ledger().set_jobs(&[]).unwrap();
    bench.apply(vec![announced("a", 1)]);
    assert_eq!(bench.ledger().next_missing().unwrap(), None);
}
