//! The task of a sink, with what is kept in memory; what a closed or blocked output does; a server that refuses.

use std::io::{self, Write};
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::time::{Instant, timeout};

use super::*;
use crate::config::Protocol;
use crate::export::Target;
use crate::export::tests::fake::{FakeServer, Reply};
use crate::export::tests::{config, resource};

/// What is kept, and a task that gives it out as the core does.
struct Kept {
    events: Arc<Mutex<Vec<StoredEvent>>>,
    progress: Arc<Mutex<SinkProgress>>,
    newest: watch::Sender<u64>,
    now: Arc<AtomicI64>,
    feed: EventFeed,
}

impl Kept {
    fn new() -> Self {
        let (outbox, mut questions) = mpsc::channel::<TakeEvents>(4);
        let (newest, news) = watch::channel(0);
        let (events, progress) = (Arc::<Mutex<Vec<StoredEvent>>>::default(), Arc::<Mutex<_>>::default());
        let (kept, told) = (Arc::clone(&events), Arc::clone(&progress));
        tokio::spawn(async move {
            while let Some(TakeEvents { progress, limit, done }) = questions.recv().await {
                let position = progress.position;
                *told.lock().unwrap() = progress;
                let next: Vec<StoredEvent> = kept
                    .lock()
                    .unwrap()
                    .iter()
                    .filter(|event| event.seq > position)
                    .take(limit)
                    .cloned()
                    .collect();
                _ = done.send(Some(next));
            }
        });
        let now = Arc::new(AtomicI64::new(1_771_300_800_000));
        let clock = Arc::clone(&now);
        let feed = EventFeed {
            newest: news,
            outbox,
            stats: Arc::default(),
            now: Arc::new(move || UnixMs(clock.load(Ordering::Relaxed))),
        };
        Self { events, progress, newest, now, feed }
    }

    fn add(&self, contents: impl IntoIterator<Item = String>) {
        let mut events = self.events.lock().unwrap();
        for content in contents {
            let seq = u64::try_from(events.len()).unwrap() + 1;
            events.push(StoredEvent { seq, stored: UnixMs(0), content });
        }
        self.newest.send_replace(u64::try_from(events.len()).unwrap());
    }

    fn progress(&self) -> SinkProgress {
        self.progress.lock().unwrap().clone()
    }

    async fn until(&self, position: u64) {
        let reached = async {
            while self.progress().position != position {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(600), reached)
            .await
            .unwrap_or_else(|_| panic!("at {:?}", self.progress()));
    }
}

fn lines(n: u64) -> impl Iterator<Item = String> {
    (1..=n).map(|n| format!("{{\"n\":{n}}}"))
}

/// Bytes that arrived, and what the next write does.
#[derive(Clone, Default)]
struct Output {
    written: Arc<Mutex<Vec<u8>>>,
    /// How many bytes are taken before a failure; `None`: all.
    room: Arc<Mutex<Option<usize>>>,
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let taken = room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if taken == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        *room = room.map(|room| room - taken);
        self.written.lock().unwrap().extend(&bytes[..taken]);
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn lines_come_in_order_and_at_once() {
    let (kept, output) = (Kept::new(), Output::default());
    let (stop, shutdown) = watch::channel(false);
    kept.add(lines(1_203));
    let sink = StdoutSink::start_on(output.clone()).unwrap();
    let task = tokio::spawn(run(sink, kept.feed.clone(), SinkProgress::default(), shutdown));
    kept.until(1_203).await;
    kept.add(["{\"late\":true}".to_owned()]);
    kept.until(1_204).await;
    let expected: String =
        lines(1_203).chain(["{\"late\":true}".to_owned()]).map(|line| line + "\n").collect();
    assert_eq!(output.text(), expected);
    assert_eq!(kept.progress().delivered, 1_204);
    kept.add(["{\"last\":true}".to_owned()]);
    stop.send_replace(true);
    task.await.unwrap();
    assert!(output.text().ends_with("{\"last\":true}\n"), "what is there at shutdown is told");
}

#[tokio::test]
async fn a_torn_line_is_told_again_on_a_line_of_its_own() {
    let (kept, output) = (Kept::new(), Output::default());
    let (_stop, shutdown) = watch::channel(false);
    kept.add(lines(3));
    *output.room.lock().unwrap() = Some(11);
    let sink = StdoutSink::start_on(output.clone()).unwrap();
    tokio::spawn(run(sink, kept.feed.clone(), SinkProgress::default(), shutdown));
    let failed = || kept.feed.stats.lock().unwrap().failures.values().sum::<u64>() > 0;
    while !failed() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(output.text(), "{\"n\":1}\n{\"n");
    *output.room.lock().unwrap() = None;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    kept.until(3).await;
    assert_eq!(output.text(), "{\"n\":1}\n{\"n\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    assert_eq!(kept.progress().delivered, 3);
}

/// Never returns from a write, as a pipe that nobody reads.
struct Blocked;

impl Write for Blocked {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_blocked_output_holds_up_neither_others_nor_the_end() {
    let (kept, other, output) = (Kept::new(), Kept::new(), Output::default());
    let (stop, shutdown) = watch::channel(false);
    kept.add(lines(3));
    other.add(lines(3));
    let blocked = StdoutSink::start_on(Blocked).unwrap();
    let task = tokio::spawn(run(blocked, kept.feed.clone(), SinkProgress::default(), shutdown.clone()));
    let sink = StdoutSink::start_on(output.clone()).unwrap();
    tokio::spawn(run(sink, other.feed.clone(), SinkProgress::default(), shutdown));
    other.until(3).await;
    assert_eq!(kept.progress().position, 0);
    tokio::time::pause();
    let asked = Instant::now();
    stop.send_replace(true);
    task.await.unwrap();
    assert!((LAST..LAST + Duration::from_millis(10)).contains(&asked.elapsed()), "and no longer");
}

fn otlp(server: &FakeServer) -> OtlpSink {
    let endpoint = config(format!("http://{}/otlp/v1/logs", server.address), Protocol::Http);
    OtlpSink::new(watch::channel(Arc::new(Target { endpoint, resource: resource(), files: 0 })).1)
}

fn worded(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("{{\"message\":\"{word}\",\"event.name\":\"x\"}}")).collect()
}

#[tokio::test]
async fn a_refused_event_is_given_up_and_all_others_arrive() {
    let server = FakeServer::start(|seen| {
        let status = if seen.bodies.iter().any(|body| body == "bad") { 400 } else { 204 };
        Reply::of(status, "too old")
    })
    .await;
    let kept = Kept::new();
    let (_stop, shutdown) = watch::channel(false);
    kept.add(worded(&["a", "b", "bad", "c", "d"]));
    tokio::spawn(run(otlp(&server), kept.feed.clone(), SinkProgress::default(), shutdown));
    kept.until(5).await;
    let progress = kept.progress();
    assert_eq!((progress.delivered, progress.refused), (4, 1));
    let taken: Vec<String> = server
        .seen()
        .into_iter()
        .filter(|seen| !seen.bodies.contains(&"bad".to_owned()))
        .flat_map(|seen| seen.bodies)
        .collect();
    assert_eq!(taken, ["a", "b", "c", "d"]);
    assert_eq!(server.seen()[0].path, "/otlp/v1/logs");
}

#[tokio::test]
async fn what_an_answer_left_out_is_counted() {
    // partial_success { rejected_log_records: 1, error_message: "no" }
    let server = FakeServer::start(|_| Reply::of(200, b"\x0a\x06\x08\x01\x12\x02no".as_slice())).await;
    let kept = Kept::new();
    let (_stop, shutdown) = watch::channel(false);
    kept.add(worded(&["a", "b", "c"]));
    tokio::spawn(run(otlp(&server), kept.feed.clone(), SinkProgress::default(), shutdown));
    kept.until(3).await;
    let progress = kept.progress();
    assert_eq!((progress.delivered, progress.refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_refuses_everything_is_asked_again_before_anything_is_given_up() {
    struct Refusing(Arc<Mutex<Vec<Instant>>>);
    impl Sink for Refusing {
        async fn tell(&mut self, events: &[StoredEvent], _: &EventFeed) -> Result<Told, Halt> {
            self.0.lock().unwrap().push(Instant::now());
            let refused = u64::try_from(events.len()).unwrap();
            Ok(Told { delivered: 0, refused, complaint: Some("no".into()) })
        }
        fn remedy(&self, _: &Halt) -> &'static str {
            ""
        }
    }
    let (kept, asked) = (Kept::new(), Arc::<Mutex<Vec<Instant>>>::default());
    let (_stop, shutdown) = watch::channel(false);
    kept.add(lines(2));
    tokio::spawn(run(Refusing(Arc::clone(&asked)), kept.feed.clone(), SinkProgress::default(), shutdown));
    for _ in 0..14 {
        sleep(Duration::from_secs(60)).await;
        kept.now.fetch_add(60_000, Ordering::Relaxed);
    }
    assert_eq!(kept.progress().position, 0);
    assert!((14..=15).contains(&asked.lock().unwrap().len()), "once a minute");
    kept.now.fetch_add(120_000, Ordering::Relaxed);
    kept.until(2).await;
    assert_eq!((kept.progress().delivered, kept.progress().refused), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_is_asked_less_and_less_and_then_gets_everything() {
    struct Down(u32, Arc<Mutex<Vec<String>>>);
    impl Sink for Down {
        async fn tell(&mut self, events: &[StoredEvent], _: &EventFeed) -> Result<Told, Halt> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(Halt {
                    after_ms: None,
                    failure: ExportFailure::Connection,
                    message: "down".into(),
                });
            }
            self.1.lock().unwrap().extend(events.iter().map(|event| event.content.clone()));
            Ok(Told { delivered: u64::try_from(events.len()).unwrap(), ..Told::default() })
        }
        fn remedy(&self, _: &Halt) -> &'static str {
            ""
        }
    }
    let (kept, got) = (Kept::new(), Arc::<Mutex<Vec<String>>>::default());
    let (_stop, shutdown) = watch::channel(false);
    kept.add(lines(700));
    tokio::spawn(run(Down(9, Arc::clone(&got)), kept.feed.clone(), SinkProgress::default(), shutdown));
    kept.until(700).await;
    assert_eq!(*got.lock().unwrap(), lines(700).collect::<Vec<_>>());
}
