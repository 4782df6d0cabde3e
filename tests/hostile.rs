//! Transcripts that nobody should have written, through the real program: what makes no sense is refused and counted,
//! memory stays bounded, content stays where it is, and all else is counted.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::real_time::until;
use crate::common::samples::whole;

/// What no output may hold.
const SECRET: &str = "s3cr3t";
/// Most memory that the program may ever have resident, in KiB.
const MAX_RESIDENT_KIB: u64 = 64 << 10;

fn head(session: &str) -> String {
    format!("{{\"type\":\"session\",\"id\":\"{session}\",\"timestamp\":\"2026-11-21T04:27:41.000Z\"}}\n")
}

fn message(role: &str, at: i64, rest: &str) -> String {
    format!("{{\"type\":\"message\",\"message\":{{\"role\":\"{role}\",\"timestamp\":{at},{rest}}}}}\n")
}

/// A session up to where the scheduler asks for job `a`.
fn opened(session: &str, at: i64) -> String {
    head(session) + &message("user", at + 10, &format!("\"content\":\"[cron:a a] {SECRET}\""))
}

fn call(at: i64, input: &str) -> String {
    let rest = format!("\"content\":\"{SECRET}\",\"model\":\"m\",\"usage\":{{\"input\":{input}}}");
    message("assistant", at + 20, &rest)
}

/// The call of a model that said very much; its usage stands behind that.
fn long_call(file: &mut File, at: i64, megabytes: usize, input: u64) {
    let begin = message("assistant", at + 30, "\"model\":\"m\",\"content\":\"BEHIND");
    let (begin, _) = begin.split_once("BEHIND").expect("a beginning");
    file.write_all(begin.as_bytes()).expect("a line");
    let megabyte = vec![b'y'; 1 << 20];
    (0..megabytes).for_each(|_| file.write_all(&megabyte).expect("a line"));
    file.write_all(format!("\",\"usage\":{{\"input\":{input}}}}}}}\n").as_bytes()).expect("a line");
}

fn append(path: &Path, text: &[u8]) {
    let mut file = File::options().create(true).append(true).open(path).expect("a file");
    file.write_all(text).expect("an append");
}

/// `megabytes` of one letter, packed.
fn bomb(megabytes: u64) -> Vec<u8> {
    zstd::encode_all(std::io::repeat(b'a').take(megabytes << 20), 1).expect("a frame")
}

/// Files that are no transcripts, and such with nonsense in them. Returns the input tokens that are there to count.
fn plant(sandbox: &Sandbox, at: i64) -> u64 {
    let sessions = sandbox.state_dir().join("agents/main/sessions");
    fs::create_dir_all(&sessions).expect("sessions/");
    let archive =
        |stem: &str, end: &str| sessions.join(format!("{stem}.jsonl.deleted.2026-11-21T04-30-00.000Z{end}"));
    // A line of 200 MB in the middle: its call counts, and the one behind it.
    let mut file = File::create(sessions.join("long.jsonl")).expect("a file");
    file.write_all((opened("long", at) + &call(at, "1")).as_bytes()).expect("lines");
    long_call(&mut file, at, 200, 2);
    file.write_all(call(at + 1, "4").as_bytes()).expect("a line");
    // 400 MB without a newline that take no space on disk, and a session behind them.
    let sparse = sessions.join("sparse.jsonl");
    File::create(&sparse).and_then(|file| file.set_len(400 << 20)).expect("a sparse file");
    append(&sparse, ("\n".to_owned() + &opened("sparse", at) + &call(at, "8")).as_bytes());
    // Lines that are no JSON, of NUL and of no text, and counts that cannot be.
    let bad = sessions.join("bad.jsonl");
    append(&bad, (opened("bad", at) + &format!("{{\"{SECRET}\":\n")).as_bytes());
    append(&bad, b"\0\0\0\n\xff\xfe\n");
    for impossible in ["-5", "1e300", "1152921504606846976", "0.5"] {
        append(&bad, call(at, impossible).as_bytes());
    }
    append(&bad, call(at, "16").as_bytes());
    // A session whose id leads elsewhere, and an index that agrees.
    let outside = sandbox.path("outside.jsonl");
    fs::write(&outside, opened("outside", at) + &call(at, "1000000")).expect("a file");
    append(&sessions.join("id.jsonl"), (opened("../../../../outside", at) + &call(at, "32")).as_bytes());
    let index = format!(
        "{{\"agent:main:cron:a:run:../../{SECRET}\":{{\"sessionId\":\"../../../../outside\"}},\"agent:main:cron:a\":{{\"sessionId\":\"/{SECRET}\"}}}}"
    );
    fs::write(sessions.join("sessions.json"), index).expect("an index");
    // What is no file, or lies elsewhere.
    mknodat(CWD, sessions.join("fifo.jsonl"), FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    fs::create_dir(sessions.join("directory.jsonl")).expect("a directory");
    std::os::unix::fs::symlink(&outside, sessions.join("link.jsonl")).expect("a link");
    // Archives that unpack to too much, and that do not unpack.
    fs::write(archive("bomb", ".zst"), bomb(1_100)).expect("an archive");
    fs::write(archive("broken", ".zst"), SECRET).expect("an archive");
    fs::write(archive("whole", ""), opened("whole", at) + &call(at, "64")).expect("an archive");
    // An event that unpacks to too much, beside one that does not.
    let agent = sandbox.state_dir().join("agents/main/agent");
    fs::create_dir_all(&agent).expect("agent/");
    let database = Connection::open(agent.join("openclaw-agent.sqlite")).expect("a database");
    let table =
        "CREATE TABLE transcript_events (session_id TEXT, seq INTEGER, event_json TEXT, event_zstd BLOB)";
    database.execute_batch(table).expect("a table");
    let rows = opened("../rows", at) + &call(at, "128");
    for (seq, line) in (0_i64..).zip(rows.lines()) {
        let packed = zstd::encode_all(line.as_bytes(), 1).expect("a frame");
        database
            .execute("INSERT INTO transcript_events VALUES ('../rows', ?1, NULL, ?2)", (seq, packed))
            .expect("a row");
    }
    let sql = "INSERT INTO transcript_events VALUES ('../rows', 9, NULL, ?1)";
    database.execute(sql, [bomb(65)]).expect("a row");
    255
}

fn resident_kib(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).expect("the status of a child");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn record(sandbox: &Sandbox, job: &str, at: i64) {
    let runs = sandbox.state_dir().join("cron/runs");
    fs::create_dir_all(&runs).expect("cron/runs");
    // Job `a` has many sessions at once here, so its record names none.
    let session = if job == "a" { String::new() } else { format!("\"sessionId\":\"/{SECRET}/..\",") };
    let line = format!(
        "{{\"ts\":{},\"jobId\":\"{job}\",\"action\":\"finished\",\"status\":\"ok\",\"runAtMs\":{at},\"durationMs\":900,\
         {session}\"summary\":\"{SECRET}\",\"nextRunAtMs\":{}}}\n",
        at + 900,
        at + 90_000
    );
    append(&runs.join(format!("{job}.jsonl")), line.as_bytes());
}

#[test]
fn hostile_transcripts_are_refused_and_all_else_is_counted() {
    let sandbox = Sandbox::new();
    let at = now().0 - 60_000;
    record(&sandbox, "a", at);
    let expected = plant(&sandbox, at);
    let daemon = sandbox.serve(&["--log-level", "debug"]);
    let counted = || whole(daemon.scrape().sum("openclaw_tokens_total", &[("openclaw_token", "input")]));
    until("the calls that make sense", || (counted() == expected).then_some(()));
    // Another source goes on.
    record(&sandbox, "b", at);
    let runs = || whole(daemon.scrape().sum("openclaw_cron_runs_total", &[]));
    until("the other job's run", || (runs() == 2).then_some(()));

    let samples = daemon.scrape();
    for (reason, count) in [
        ("line_too_long", 2),
        // A line of NUL is what a crash leaves of a file that was just made longer: an empty one.
        ("invalid_json", 2),
        ("impossible_count", 4),
        ("not_a_file", 2),
        ("symlink_outside", 1),
        ("unreadable", 2),
    ] {
        let refused = samples.sum("openclaw_usage_rejects_total", &[("openclaw_reason", reason)]);
        assert_eq!(whole(refused), count, "{reason}");
    }
    assert_eq!(counted(), expected);
    let resident = resident_kib(&daemon);
    assert!(resident < MAX_RESIDENT_KIB, "{resident} KiB");
    let page = daemon.get("/metrics").text();
    let mut outputs = vec![("/metrics".to_owned(), page.into_bytes())];
    for entry in fs::read_dir(sandbox.path("own")).expect("the ledger's directory") {
        let path = entry.expect("an entry").path();
        outputs.push((path.display().to_string(), fs::read(&path).expect("a file of the ledger's")));
    }
    outputs.push(("the log".to_owned(), daemon.terminate().into_bytes()));
    assert!(outputs.len() >= 4, "the ledger has its log beside it");
    for (what, bytes) in outputs {
        for text in [SECRET, "../outside", "../rows"] {
            assert!(memchr::memmem::find(&bytes, text.as_bytes()).is_none(), "{what} holds {text:?}");
        }
    }
}
