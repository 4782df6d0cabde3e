//! The task of a relay against a queue and a service that are scripted, on a clock that runs as fast as the test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::super::answer::Verdict;
use super::super::sender::Deliver;
use super::super::task::{NextMessage, RelayFeed, run};
use crate::config::QuietHours;
use crate::model::Period;
use crate::model::{DeadReason, RelayMessage, Settled, UnixMs};
use crate::price::BudgetClock;
use crate::telemetry::{ExportFailure, RelayStats};

/// 2026-11-21T10:00:00Z.
const START: i64 = 1_795_255_200_000;

/// What was sent, and when: message, and ms since the start.
type Sent = Arc<Mutex<Vec<(u64, u64)>>>;

struct Service<F> {
    begin: Instant,
    sent: Sent,
    script: F,
}

impl<F: FnMut(u64, u64) -> Verdict + Send> Deliver for Service<F> {
    async fn deliver(&mut self, message: &RelayMessage, _: UnixMs) -> Verdict {
        let ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap();
        self.sent.lock().unwrap().push((message.id, ms));
        (self.script)(message.id, ms)
    }
}

/// The ledger's part: messages in order, and what became of them.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<RelayMessage>,
    settled: Vec<(u64, Settled)>,
}

impl Queue {
    fn answer(&mut self, question: NextMessage) {
        if let Some((id, settled)) = question.settled {
            self.settled.push((id, settled));
            match settled {
                Settled::Failed => self.waiting.iter_mut().filter(|m| m.id == id).for_each(|m| m.tries += 1),
                _ => self.waiting.retain(|message| message.id != id),
            }
        }
        question.done.send(Some(self.waiting.front().cloned())).unwrap();
    }
}

fn message(id: u64) -> RelayMessage {
    RelayMessage { id, queued: UnixMs(START), tries: 0, content: "{}".into(), summary: None }
}

fn later(after_ms: Option<u64>, failure: ExportFailure, counts: bool) -> Verdict {
    Verdict::Later { after_ms, failure, counts, text: "told".into() }
}

/// Runs a relay with `messages` until all are settled, or for a day. Returns what was sent, what became of it, and how
/// the relay fared.
async fn play(
    messages: u64,
    quiet: Option<QuietHours>,
    script: impl FnMut(u64, u64) -> Verdict + Send + 'static,
) -> (Vec<(u64, u64)>, Vec<(u64, Settled)>, RelayStats) {
    let begin = Instant::now();
    let (queue, mut questions) = mpsc::channel(1);
    let (_news, listener) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let stats = Arc::<Mutex<RelayStats>>::default();
    let zone = BudgetClock::new(Period::Day, "UTC").unwrap().zone().clone();
    let feed = RelayFeed {
        name: "r".into(),
        quiet: quiet.map(|quiet| (quiet, zone)),
        news: listener,
        queue,
        stats: Arc::clone(&stats),
        now: Arc::new(move || UnixMs(START + i64::try_from(begin.elapsed().as_millis()).unwrap())),
    };
    let sent = Sent::default();
    let service = Service { begin, sent: Arc::clone(&sent), script };
    let task = tokio::spawn(run(service, feed, stopped));
    let mut ledger = Queue { waiting: (1..=messages).map(message).collect(), settled: Vec::new() };
    let day = tokio::time::sleep(Duration::from_secs(86_400));
    tokio::pin!(day);
    while !ledger.waiting.is_empty() {
        tokio::select! {
            () = &mut day => break,
            question = questions.recv() => ledger.answer(question.expect("a relay that asks")),
        }
    }
    stop.send_replace(true);
    drop(questions);
    task.await.unwrap();
    let (sent, stats) = (sent.lock().unwrap().clone(), stats.lock().unwrap().clone());
    (sent, ledger.settled, stats)
}

fn order(sent: &[(u64, u64)]) -> Vec<u64> {
    let mut order: Vec<u64> = sent.iter().map(|(id, _)| *id).collect();
    order.dedup();
    order
}

const HOUR: u64 = 3_600_000;

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_for_an_hour_gets_everything_in_order() {
    let (sent, settled, stats) = play(50, None, |_, ms| {
        if ms < HOUR { later(None, ExportFailure::Connection, false) } else { Verdict::Taken(0) }
    })
    .await;
    assert_eq!(order(&sent), (1..=50).collect::<Vec<_>>());
    assert!(settled.iter().all(|(_, settled)| *settled == Settled::Sent) && settled.len() == 50);
    let tries = sent.iter().filter(|(_, ms)| *ms < HOUR).count();
    assert!((60..600).contains(&tries), "{tries} tries: with backoff, a minute apart at most");
    let last = sent.last().unwrap().1;
    assert!(last < HOUR + 61_000, "a minute after it is up again at the latest: {last}");
    assert_eq!((stats.retries, stats.attempts), (tries as u64, tries as u64 + 50));
}

#[tokio::test(start_paused = true)]
async fn what_a_service_asks_for_is_waited() {
    let mut asked = false;
    let (sent, _, _) = play(3, None, move |id, _| match (id, asked) {
        (2, false) => {
            asked = true;
            later(Some(64_570), ExportFailure::Throttled, false)
        }
        _ => Verdict::Taken(1_000),
    })
    .await;
    let times: Vec<u64> = sent.iter().map(|(_, ms)| *ms).collect();
    assert_eq!(order(&sent), [1, 2, 3]);
    assert_eq!(times, [0, 1_000, 65_570, 66_570], "and a pause between messages is kept");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_service_fails_at_is_given_up_after_a_while() {
    let (sent, settled, _) = play(3, None, |id, _| match id {
        1 => Verdict::Refused { status: Some(400), failure: ExportFailure::Refused, text: "HTTP 400".into() },
        2 => later(None, ExportFailure::Unavailable, true),
        _ => Verdict::Taken(0),
    })
    .await;
    assert_eq!(order(&sent), [1, 2, 3]);
    assert_eq!(settled[0], (1, Settled::Dead { reason: DeadReason::Refused, status: Some(400) }));
    assert_eq!(settled[1..30], [(2, Settled::Failed); 29]);
    assert_eq!(settled[30], (2, Settled::Dead { reason: DeadReason::Failed, status: None }));
    assert_eq!(settled[31], (3, Settled::Sent));
}

#[tokio::test(start_paused = true)]
async fn quiet_hours_hold_messages_back_and_lose_none() {
    // From 09:30 to 12:00; it begins at 10:00.
    let quiet = QuietHours { from: 9 * 60 + 30, until: 12 * 60 };
    let (sent, settled, _) = play(5, Some(quiet), |_, _| Verdict::Taken(0)).await;
    assert_eq!((order(&sent), settled.len()), ((1..=5).collect::<Vec<_>>(), 5));
    let first = sent[0].1;
    assert!((2 * HOUR..2 * HOUR + 60_000).contains(&first), "{first}");
}
