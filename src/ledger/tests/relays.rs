//! Messages of relays: queued with their events, given out in order until they are settled, bounded, put back.

use super::*;
use crate::model::{DeadReason, Happening, RelayFacts, RelayMessage, Settled};

const DAY_MS: i64 = 86_400_000;

fn rule(name: &str, wants: &'static str, summaries: bool) -> RelayRule {
    RelayRule {
        name: name.to_owned(),
        wants: Arc::new(move |content| content.contains(wants)),
        summaries,
        give_up_ms: DAY_MS,
    }
}

fn describe(happening: Happening<'_>) -> String {
    match happening {
        Happening::Run(run) => format!("{} {}", run.job_id, run.status.as_str()),
        Happening::Gateway(event) => event.message.clone(),
        Happening::Missing(missing) => missing.job_id.to_owned(),
    }
}

impl Bench {
    fn relaying(rules: Vec<RelayRule>) -> Self {
        let mut bench = Self::new();
        bench.relay(rules);
        bench
    }

    fn relay(&mut self, rules: Vec<RelayRule>) {
        let now = self.now;
        let settings = OutboxSettings {
            sinks: std::collections::BTreeSet::new(),
            max_events: 100,
            max_age_ms: 7 * DAY_MS,
            describe: Arc::new(describe),
        };
        self.ledger().set_outbox(settings).unwrap();
        self.ledger().set_relays(rules, now).unwrap();
    }

    /// Counts runs and writes their events.
    fn happen(&mut self, runs: Vec<Run>) {
        self.happen_saying(runs, Vec::new());
    }

    fn happen_saying(&mut self, runs: Vec<Run>, summaries: Vec<(RunKey, String)>) {
        let batch = Batch { summaries, ..self.batch(runs) };
        let now = self.now;
        self.ledger().apply(&batch, now).unwrap();
        self.pass_relays(10_000);
    }

    fn pass_relays(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
        let now = self.now;
        self.ledger().seal_events(now).unwrap();
    }

    fn next(&mut self, relay: &str) -> Option<RelayMessage> {
        self.ledger().next_message(relay).unwrap()
    }

    fn settle(&mut self, message: &RelayMessage, settled: Settled) {
        let now = self.now;
        self.ledger().settle_message(message.id, settled, now).unwrap();
    }

    /// Sends all that waits, and returns what it said.
    fn send_all(&mut self, relay: &str) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(message) = self.next(relay) {
            self.settle(&message, Settled::Sent);
            said.push(message.content);
        }
        said
    }

    fn facts(&mut self, relay: &str) -> RelayFacts {
        let facts = self.ledger().relays().unwrap();
        facts.into_iter().find(|facts| facts.name == relay).unwrap()
    }

    fn count_rows(&self, table: &str) -> i64 {
        let connection = Connection::open(self.path()).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

const REFUSED: Settled = Settled::Dead { reason: DeadReason::Refused, status: Some(404) };

#[test]
fn each_relay_gets_what_it_wants_in_order_until_it_is_settled() {
    let mut bench = Bench::relaying(vec![rule("all", "", false), rule("errors", "error", false)]);
    // The clock begins a second behind the first run; what was recorded before is not told.
    bench.happen((0..3).map(|minute| run("a", minute)).chain([failed("b", 1)]).collect());
    let first = bench.next("all").unwrap();
    assert_eq!((first.content.as_str(), first.tries), ("a ok", 0), "the run of minute 0 is from before");
    bench.settle(&first, Settled::Failed);
    bench.reopen();
    bench.relay(vec![rule("all", "", false), rule("errors", "error", false)]);
    assert_eq!(bench.next("all").unwrap(), RelayMessage { tries: 1, ..first }, "and it stays the first");
    assert_eq!(bench.send_all("all"), ["a ok", "b error", "a ok"]);
    assert_eq!(bench.send_all("errors"), ["b error"]);
    assert_eq!((bench.facts("all").sent, bench.facts("errors").sent, bench.facts("all").waiting), (3, 1, 0));
    assert_eq!(bench.count_rows("outbox"), 0, "nothing is kept for sinks that are not there");
    bench.settle(&RelayMessage { id: 1, ..bench_message() }, Settled::Sent);
    assert_eq!(bench.facts("all").sent, 3, "what is told twice counts once");
}

fn bench_message() -> RelayMessage {
    RelayMessage { id: 0, queued: T0, tries: 0, content: String::new(), summary: None }
}

#[test]
fn dead_letters_hold_up_nothing_and_come_back_at_the_end() {
    let mut bench = Bench::relaying(vec![rule("r", "", false)]);
    bench.happen(vec![run("a", 1), run("b", 2), run("c", 3)]);
    let first = bench.next("r").unwrap();
    bench.settle(&first, REFUSED);
    let letters = LedgerReader::open(&bench.path()).unwrap().dead_letters().unwrap();
    let letter = &letters[0];
    assert_eq!(
        (letter.content.as_str(), letter.reason, letter.status),
        ("a ok", DeadReason::Refused, Some(404))
    );
    assert_eq!((letter.relay.as_str(), letter.died, letters.len()), ("r", bench.now, 1));
    let now = bench.now;
    assert_eq!(bench.ledger().revive(Some(&[77]), now).unwrap(), 0, "of another number");
    assert_eq!(bench.ledger().revive(Some(&[first.id]), now).unwrap(), 1);
    assert_eq!(bench.ledger().revive(None, now).unwrap(), 0, "it is none any more");
    assert_eq!(bench.send_all("r"), ["b ok", "c ok", "a ok"]);
    assert_eq!(
        (bench.facts("r").dead, bench.facts("r").kept),
        ([1, 0, 0, 0], 0),
        "what died once was counted"
    );
}

#[test]
fn what_waits_too_long_or_is_too_much_is_given_up_and_counted() {
    let mut bench = Bench::relaying(vec![rule("r", "", false)]);
    bench.happen(vec![run("a", 1)]);
    bench.pass_relays(DAY_MS);
    bench.happen(vec![run("b", 24 * 60 + 1)]);
    assert_eq!(bench.send_all("r"), ["b ok"]);
    assert_eq!(bench.facts("r").dead, [0, 0, 1, 0]);
    bench.pass_relays(31 * DAY_MS);
    assert_eq!(bench.facts("r").kept, 0, "dead letters are kept for 30 days");
    bench.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11500)
         INSERT INTO relay_message (relay, queued_ms, tries, content) SELECT 'r', 9000000000000, 0, i FROM n",
    );
    bench.pass_relays(1);
    assert_eq!((bench.facts("r").waiting, bench.facts("r").dead[3]), (10_000, 1_500));
    bench.pass_relays(1);
    assert_eq!(bench.facts("r").kept, 1_000);
    assert_eq!(bench.next("r").unwrap().content, "1501", "the oldest went");
}

#[test]
fn what_a_run_said_is_kept_as_long_as_a_message_passes_it_on() {
    let said = |minute| (run("a", minute).key, format!("secret words {minute}"));
    let mut bench = Bench::relaying(vec![rule("with", "ok", true), rule("without", "", false)]);
    assert!(bench.ledger().wants_summaries());
    bench.happen_saying(vec![run("a", 1), failed("a", 2)], vec![said(1), said(2)]);
    assert_eq!(bench.count_rows("relay_summary"), 2, "both runs have messages");
    assert_eq!(bench.next("without").unwrap().summary, None);
    bench.send_all("without");
    assert_eq!(bench.count_rows("relay_summary"), 1, "nobody passes on what the failed run said");
    let message = bench.next("with").unwrap();
    assert_eq!(message.summary.as_deref(), Some("secret words 1"));
    bench.settle(&message, REFUSED);
    let now = bench.now;
    bench.ledger().revive(None, now).unwrap();
    assert_eq!(bench.next("with").unwrap().summary.as_deref(), Some("secret words 1"), "until it is sent");
    bench.send_all("with");
    assert_eq!(bench.count_rows("relay_summary"), 0);
    bench.happen_saying(vec![run("a", 3)], vec![said(3), said(1), (run("z", 3).key, "of no run".into())]);
    assert_eq!(bench.count_rows("relay_summary"), 1, "of new runs only");
    bench.relay(vec![rule("without", "", false)]);
    assert_eq!(bench.count_rows("relay_summary"), 0, "nobody asks for it any more");
    bench.ledger = None;
    let file = std::fs::read(bench.path()).unwrap();
    let found = file.windows(12).any(|bytes| bytes == b"secret words");
    assert!(!found, "what is forgotten is not in the file");
}

#[test]
fn a_digest_is_posted_once_for_each_period() {
    let mut bench = Bench::relaying(vec![rule("r", "", false)]);
    let now = bench.now;
    let mut post = |day, text| bench.ledger().post_digest("d", day, text, now).unwrap();
    assert!(post(10, None), "a period without a message");
    assert!(post(11, Some(("r", "eleven"))));
    assert!(!post(11, Some(("r", "again"))) && !post(9, Some(("r", "old"))));
    bench.reopen();
    bench.relay(vec![rule("r", "", false)]);
    assert_eq!(bench.ledger().digest_day("d").unwrap(), Some(11));
    assert_eq!(bench.ledger().digest_day("other").unwrap(), None);
    assert_eq!(bench.send_all("r"), ["eleven"]);
}

#[test]
fn what_is_still_to_be_told_is_told_after_a_restart() {
    let mut bench = Bench::relaying(vec![rule("r", "", true)]);
    let batch =
        Batch { summaries: vec![(run("a", 1).key, "words".into())], ..bench.batch(vec![run("a", 1)]) };
    let now = bench.now;
    bench.ledger().apply(&batch, now).unwrap();
    bench.reopen();
    bench.relay(vec![rule("r", "", true)]);
    bench.pass_relays(10_000);
    let message = bench.next("r").expect("the run that was noted before the restart");
    assert_eq!((message.content.as_str(), message.summary.as_deref()), ("a ok", Some("words")));
    bench.apply(vec![run("a", 2)]);
    bench.relay(Vec::new());
    assert_eq!(bench.count_rows("outbox_run"), 0, "nobody is told any more");
}

#[test]
fn a_relay_that_is_taken_out_is_forgotten() {
    let mut bench = Bench::relaying(vec![rule("r", "", false)]);
    bench.happen(vec![run("a", 1)]);
    bench.relay(Vec::new());
    assert!(!bench.ledger().tells());
    bench.now = bench.now.plus(DAY_MS);
    bench.relay(vec![rule("r", "", false)]);
    assert_eq!(bench.next("r"), None);
    bench.happen(vec![run("late", 2)]);
    assert_eq!(bench.next("r"), None, "what was recorded before the relay was there is not told");
}

/// What a backup that is brought back has waiting may have been sent since.
#[test]
fn a_restored_ledger_sends_nothing_again() {
    for lost in [false, true] {
        let rules = || vec![rule("team", "", false)];
        let mut bench = Bench::relaying(rules());
        bench.happen(vec![run("a", 1)]);
        let copy = bench.folder.path().join("copy.sqlite");
        back_up(&bench.path(), &copy, false).unwrap();
        bench.happen(vec![run("b", 2)]);
        assert_eq!(bench.send_all("team"), ["a ok", "b ok"]);
        bench.ledger = None;
        if lost {
            std::fs::remove_file(bench.path()).unwrap();
        }
        bench.now = bench.now.plus(5 * MINUTE_MS);
        restore(&copy, &bench.path(), &RestoreOptions::default(), bench.now).unwrap();
        bench.reopen();
        bench.relay(rules());
        bench.happen(vec![run("b", 2), run("c", 20)]);
        assert_eq!(bench.send_all("team"), ["c ok"], "lost: {lost}");
    }
}
