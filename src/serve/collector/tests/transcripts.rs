//! What befalls a session's transcript on its way into the count.

use std::fs::{self, File};
use std::io::Write;

use super::*;
use crate::ledger::SeriesKind;
use crate::model::{Reason, Status, TokenKind, UsageProvenance};

/// A run of job `a` starts here, and its session is opened a second later.
const START: i64 = T0 + 60_000;
const MINUTE_MS: i64 = 60_000;

fn head(session: &str) -> String {
    format!(
        "{{\"type\":\"session\",\"version\":3,\"id\":\"{session}\",\"timestamp\":\"2026-11-21T04:27:41.000Z\"}}\n"
    )
}

fn user(at: i64, text: &str) -> String {
    format!(
        "{{\"type\":\"message\",\"message\":{{\"role\":\"user\",\"content\":\"{text}\",\"timestamp\":{at}}}}}\n"
    )
}

fn call(at: i64, input: u64) -> String {
    ended_call(at, input, "stop", "")
}

fn ended_call(at: i64, input: u64, stop: &str, error: &str) -> String {
    format!(
        "{{\"type\":\"message\",\"message\":{{\"role\":\"assistant\",\"provider\":\"p\",\"model\":\"m\",\
         \"usage\":{{\"input\":{input},\"output\":0,\"cacheRead\":1}},\"stopReason\":\"{stop}\",\
         \"errorMessage\":\"{error}\",\"timestamp\":{at}}}}}\n"
    )
}

/// The whole session of the run: one call.
fn session(id: &str, input: u64) -> String {
    head(id) + &user(START + 1_000, "[cron:a name of a] go") + &call(START + 2_000, input)
}

impl Bench {
    fn sessions(&self, agent: &str) -> PathBuf {
        let directory = self.state().join("agents").join(agent).join("sessions");
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn append(&self, name: &str, text: &str) -> PathBuf {
        let path = self.sessions("main").join(name);
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    /// Writes the record of the run of job `a`, which took 5 s.
    fn record(&self, usage: &str) {
        let runs = self.state().join("cron/runs");
        fs::create_dir_all(&runs).unwrap();
        let line = format!(
            "{{\"ts\":{},\"jobId\":\"a\",\"action\":\"finished\",\"status\":\"ok\",\"runAtMs\":{START},\
             \"durationMs\":5000,\"provider\":\"p\",\"model\":\"m\",{usage}\"nextRunAtMs\":{}}}\n",
            START + 5_000,
            START + 99_000
        );
        fs::write(runs.join("a.jsonl"), line).unwrap();
    }

    /// Writes the list of jobs; `state` is that of job `a`.
    fn jobs(&self, state: &str) {
        fs::create_dir_all(self.state().join("cron")).unwrap();
        let list = format!(
            r#"{{"jobs":[{{"id":"a","name":"a","enabled":true,"schedule":{{"kind":"every","everyMs":60000}},"state":{{{state}}}}}]}}"#
        );
        fs::write(self.state().join("cron/jobs.json"), list).unwrap();
    }

    fn index(&self, text: &str) {
        fs::write(self.sessions("main").join("sessions.json"), text).unwrap();
    }

    /// Looks at once, and `minutes` later.
    fn after(&mut self, minutes: i64) -> (u64, u64, u64) {
        self.now = self.now.plus(minutes * MINUTE_MS);
        self.counted()
    }

    /// Input tokens, and runs with and without a record.
    fn counted(&mut self) -> (u64, u64, u64) {
        self.sweep();
        (
            self.input(),
            self.runs_of(|status| status != Status::Unrecorded),
            self.runs_of(|status| status == Status::Unrecorded),
        )
    }

    fn input(&self) -> u64 {
        self.sum(|kind| kind == SeriesKind::Tokens(TokenKind::Input))
    }

    fn runs_of(&self, fits: fn(Status) -> bool) -> u64 {
        self.sum(|kind| matches!(kind, SeriesKind::Runs(status, _) if fits(status)))
    }

    fn sum(&self, fits: impl Fn(SeriesKind) -> bool) -> u64 {
        let totals = self.totals();
        totals.series.iter().filter(|series| fits(series.kind)).map(|series| series.true_total).sum()
    }
}

#[test]
fn calls_from_before_the_record_and_behind_it_are_its_run_s() {
    let mut bench = Bench::new();
    bench.append("s.jsonl", &session("s", 100));
    assert_eq!(bench.counted(), (0, 0, 0), "whose it is turns out with the record");
    bench.record("");
    assert_eq!(bench.counted(), (100, 1, 0));
    // An announce turn.
    bench.append("s.jsonl", &(user(START + 60_000, "announce") + &call(START + 61_000, 30)));
    assert_eq!(bench.counted(), (130, 1, 0));
    // The same after a start, when nothing of the session's beginning is in memory.
    bench.restart();
    assert_eq!(bench.counted(), (130, 1, 0));
    bench.append("s.jsonl", &(user(START + 90_000, "announce") + &call(START + 91_000, 7)));
    assert_eq!(bench.counted(), (137, 1, 0));
    assert_eq!(bench.after(20), (137, 1, 0));
    let provenance = bench.totals().counters.provenance;
    assert_eq!(provenance.get(&UsageProvenance::Transcript), Some(&1));
    assert_eq!(bench.totals().excess(), 0);
}

#[test]
fn a_session_without_a_record_is_a_run_after_ten_minutes_and_turns_into_it() {
    let mut bench = Bench::new();
    bench.jobs("");
    bench.append("s.jsonl", &session("s", 100));
    assert_eq!(bench.counted(), (0, 0, 0));
    assert_eq!(bench.after(10), (0, 0, 0));
    assert_eq!(bench.after(1), (100, 0, 1));
    assert_eq!(bench.sum(|kind| matches!(kind, SeriesKind::Wasted(Status::Unrecorded, _))), 101);
    bench.restart();
    assert_eq!(bench.after(11), (100, 0, 1));
    bench.record("\"usage\":{\"input_tokens\":100,\"output_tokens\":0},");
    assert_eq!(bench.counted(), (100, 1, 0));
    assert_eq!(bench.sum(|kind| matches!(kind, SeriesKind::Wasted(..))), 0);
    assert_eq!(bench.after(30), (100, 1, 0));
}

#[test]
fn while_the_job_is_running_a_session_waits_for_its_record() {
    let mut bench = Bench::new();
    bench.jobs(&format!("\"runningAtMs\":{START}"));
    bench.append("s.jsonl", &session("s", 100));
    bench.sweep();
    assert_eq!(bench.after(60), (0, 0, 0));
    bench.jobs("");
    assert_eq!(bench.after(1), (100, 0, 1));
    // A gateway that was killed says so for ever.
    let mut bench = Bench::new();
    bench.jobs(&format!("\"runningAtMs\":{START}"));
    bench.append("s.jsonl", &session("s", 100));
    bench.sweep();
    assert_eq!(bench.after(25 * 60), (100, 0, 1));
}

#[test]
fn a_torn_line_counts_once_when_it_is_whole() {
    let mut bench = Bench::new();
    bench.record("");
    let (text, cuts) = (session("s", 100), [3, 150, 290, session("s", 100).len() - 30]);
    let mut written = 0;
    for cut in cuts {
        bench.append("s.jsonl", &text[written..cut]);
        written = cut;
        assert_eq!(bench.counted(), (0, 1, 0));
    }
    // All but the newline.
    bench.append("s.jsonl", &text[written..text.len() - 1]);
    assert_eq!(bench.counted(), (100, 1, 0));
    bench.append("s.jsonl", "\n");
    assert_eq!(bench.counted(), (100, 1, 0));
    assert_eq!(bench.rejects(), []);
    // A crash tore the last line, and the next stands behind it.
    bench.append("s.jsonl", &call(START + 3_000, 7)[..60]);
    bench.append("s.jsonl", &call(START + 4_000, 20));
    assert_eq!(bench.counted(), (120, 1, 0));
    assert_eq!(bench.rejects(), [(RejectReason::InvalidJson, 1)]);
    bench.restart();
    assert_eq!(bench.counted(), (120, 1, 0));
    bench.append("s.jsonl", &call(START + 4_500, 1));
    assert_eq!(bench.counted(), (121, 1, 0));
    assert_eq!(bench.rejects(), [(RejectReason::InvalidJson, 1)], "counted once, though read again");
}

#[test]
fn a_replaced_file_is_read_from_its_start() {
    let mut bench = Bench::new();
    bench.record("");
    let path = bench.append("s.jsonl", &session("s", 100));
    assert_eq!(bench.counted(), (100, 1, 0));
    let next = bench.append("next", &(session("s", 100) + &call(START + 3_000, 20)));
    fs::rename(next, &path).unwrap();
    assert_eq!(bench.counted(), (120, 1, 0));
    // In place, shorter.
    fs::write(&path, head("s") + &user(START + 1_000, "[cron:a x] go") + &call(START + 4_000, 3)).unwrap();
    assert_eq!(bench.counted(), (123, 1, 0));
}

#[test]
fn one_call_in_many_places_counts_once() {
    let mut bench = Bench::new();
    bench.record("");
    let path = bench.append("s.jsonl", &session("s", 100));
    assert_eq!(bench.counted(), (100, 1, 0));
    // A copy, a fork, and the file itself under another name.
    fs::copy(&path, path.with_file_name("s.jsonl.bak.2026-11-21T04-30-00.000Z")).unwrap();
    let fork = "{\"type\":\"session\",\"id\":\"f\",\"parentSession\":\"/x/2026_s.jsonl\",\"timestamp\":\"2026-11-21T06:00:00.000Z\"}\n";
    let copied: String = session("s", 100).split_inclusive('\n').skip(1).collect();
    bench.append("f.jsonl", &(fork.to_owned() + &copied));
    fs::rename(&path, path.with_file_name("s.jsonl.deleted.2026-11-21T04-31-00.000Z")).unwrap();
    let packed = zstd::encode_all(session("s", 100).as_bytes(), 1).unwrap();
    fs::write(path.with_file_name("s.jsonl.reset.2026-11-21T04-32-00.000Z.zst"), packed).unwrap();
    assert_eq!(bench.counted(), (100, 1, 0));
    // Imported into a database.
    let agent = bench.state().join("agents/main/agent");
    fs::create_dir_all(&agent).unwrap();
    let database = Connection::open(agent.join("openclaw-agent.sqlite")).unwrap();
    database
        .execute_batch("CREATE TABLE transcript_events (session_id TEXT, seq INTEGER, event_json TEXT, PRIMARY KEY (session_id, seq))")
        .unwrap();
    let text = session("s", 100) + &call(START + 3_000, 20);
    for (seq, line) in text.lines().enumerate() {
        let seq = i64::try_from(seq).unwrap();
        database.execute("INSERT INTO transcript_events VALUES ('s', ?1, ?2)", (seq, line)).unwrap();
    }
    assert_eq!(bench.counted(), (120, 1, 0), "what is new counts, what was imported does not");
    bench.restart();
    assert_eq!(bench.after(20), (120, 1, 0));
}

#[test]
fn a_chat_is_left_after_its_first_message_and_read_when_it_turns_out_to_be_a_job_s() {
    let mut bench = Bench::new();
    bench.record("");
    bench.append("s.jsonl", &session("s", 100));
    let chat = head("c") + &user(START + 1_500, "hello") + &call(START + 1_600, 40);
    bench.append("c.jsonl", &(chat + "no JSON\n"));
    assert_eq!(bench.counted(), (100, 1, 0));
    bench.append("c.jsonl", &call(START + 1_700, 2));
    assert_eq!(bench.counted(), (100, 1, 0));
    bench.index("{\"agent:main:subagent:u\":{\"sessionId\":\"c\",\"spawnedBy\":\"agent:main:cron:a\"");
    assert_eq!(bench.counted(), (100, 1, 0), "half written");
    bench.now = bench.now.plus(2_000);
    bench.index("{\"agent:main:subagent:u\":{\"sessionId\":\"c\",\"spawnedBy\":\"agent:main:cron:a\"}}");
    assert_eq!(bench.counted(), (142, 1, 0));
}

#[test]
fn a_trajectory_names_a_session_that_the_index_has_forgotten() {
    let mut bench = Bench::new();
    bench.record("");
    bench.append(
        "t.trajectory.jsonl",
        "{\"sessionId\":\"t\",\"sessionKey\":\"agent:main:cron:a:run:t\",\"data\":{}}\n",
    );
    bench.append("t.jsonl", &(head("t") + &user(START + 1_000, "[heartbeat]") + &call(START + 2_000, 9)));
    assert_eq!(bench.counted(), (9, 1, 0));
}

#[test]
fn a_record_that_says_ok_of_a_failed_call_is_an_error() {
    let mut bench = Bench::new();
    bench.record("");
    let failed = ended_call(START + 2_500, 0, "error", "500 upstream");
    bench.append("s.jsonl", &(session("s", 100) + &failed));
    bench.sweep();
    let errors =
        |bench: &Bench| bench.sum(|kind| kind == SeriesKind::Runs(Status::Error, Reason::ServerError));
    assert_eq!((errors(&bench), bench.runs_of(|status| status == Status::Ok)), (1, 0));
    assert_eq!(bench.sum(|kind| kind == SeriesKind::Wasted(Status::Error, TokenKind::Input)), 100);
    bench.restart();
    bench.sweep();
    assert_eq!(errors(&bench), 1);
    // A retry that went well makes it good.
    let mut bench = Bench::new();
    bench.record("");
    bench.append("s.jsonl", &(session("s", 100) + &failed + &call(START + 2_700, 1)));
    bench.sweep();
    assert_eq!((errors(&bench), bench.runs_of(|status| status == Status::Ok)), (0, 1));
}

#[test]
fn an_agent_that_appears_later_is_read() {
    let mut bench = Bench::new();
    bench.record("");
    assert_eq!(bench.counted(), (0, 1, 0));
    fs::create_dir_all(bench.state().join("agents/later")).unwrap();
    assert_eq!(bench.counted(), (0, 1, 0));
    fs::write(bench.sessions("later").join("s.jsonl"), session("s", 100)).unwrap();
    assert_eq!(bench.counted(), (100, 1, 0));
    assert!(bench.collector.transcript_directories().contains(&bench.state().join("agents/later/sessions")));
}

#[test]
fn calls_that_could_not_be_committed_are_tried_again() {
    let mut bench = Bench::new();
    bench.record("");
    assert_eq!(bench.counted(), (0, 1, 0));
    bench.append("s.jsonl", &(session("s", 100) + "no JSON\n"));
    let ledger = Connection::open(bench.folder.path().join("ledger.sqlite")).unwrap();
    ledger
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON call BEGIN SELECT RAISE(ABORT, 'full'); END")
        .unwrap();
    for _ in 0..2 {
        bench.collector.sweep(bench.ledger.as_mut().unwrap(), bench.now).unwrap_err();
        assert_eq!(bench.input(), 0);
    }
    ledger.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(bench.counted(), (100, 1, 0));
    assert_eq!(bench.rejects(), [(RejectReason::InvalidJson, 1)]);
}

#[test]
fn a_settled_transcript_is_not_read_again_after_a_start() {
    let mut bench = Bench::new();
    bench.record("");
    let path = bench.append("s.jsonl", &session("s", 100));
    assert_eq!(bench.counted(), (100, 1, 0));
    // Of the same length: what is not read cannot be refused.
    let garbage = "x\n".repeat(session("s", 100).len() / 2);
    let mut file = File::options().write(true).open(&path).unwrap();
    file.write_all(garbage.as_bytes()).unwrap();
    bench.restart();
    assert_eq!((bench.counted(), bench.rejects()), ((100, 1, 0), vec![]));
    file.write_all(b"xxxx\n").unwrap();
    assert_eq!(bench.counted(), (100, 1, 0));
    assert_eq!(bench.rejects(), [(RejectReason::InvalidJson, 1)], "what was appended is read");
}

#[test]
fn what_is_refused_is_no_change_with_every_sweep() {
    let mut bench = Bench::new();
    bench.record("");
    let sessions = bench.sessions("main");
    let outside = bench.folder.path().join("outside.jsonl");
    fs::write(&outside, session("s", 100)).unwrap();
    std::os::unix::fs::symlink(&outside, sessions.join("out.jsonl")).unwrap();
    std::os::unix::fs::symlink("nowhere", sessions.join("dangling.jsonl")).unwrap();
    fs::create_dir(sessions.join("directory.jsonl")).unwrap();
    fs::write(sessions.join("in.txt"), session("i", 7)).unwrap();
    std::os::unix::fs::symlink("in.txt", sessions.join("in.jsonl")).unwrap();
    bench.sweep();
    let rejects = bench.rejects();
    assert_eq!(
        rejects.iter().find(|(reason, _)| *reason == RejectReason::SymlinkOutside),
        Some(&(RejectReason::SymlinkOutside, 1))
    );
    for _ in 0..2 {
        // The directory's listing is read again, too.
        fs::write(sessions.join("other"), "").unwrap();
        assert_eq!(
            bench.sweep().found,
            Vec::<PathBuf>::new(),
            "else the watch would pass for one without events"
        );
        fs::remove_file(sessions.join("other")).unwrap();
        assert_eq!(bench.sweep().found, Vec::<PathBuf>::new());
    }
    assert_eq!((bench.input(), bench.rejects()), (7, rejects));
}
