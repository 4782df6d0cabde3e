//! What can happen to a run log between two looks.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::model::RunAt;

mod since;

const NOW: UnixMs = UnixMs(1_795_240_000_000);
const T0: i64 = 1_795_234_000_000;

/// A run log and a reader that remembers its position.
struct Log {
    _dir: tempfile::TempDir,
    path: PathBuf,
    position: Option<FilePosition>,
    reader: Reader,
    now: UnixMs,
}

fn line(n: i64) -> String {
    format!(r#"{{"ts":{ts},"jobId":"j","action":"finished","status":"ok","runAtMs":{ts}}}"#, ts = T0 + n)
}

impl Log {
    fn new(content: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.jsonl");
        fs::write(&path, content).unwrap();
        Self { _dir: dir, path, position: None, reader: Reader::default(), now: NOW }
    }

    fn append(&self, text: &str) {
        OpenOptions::new().append(true).open(&self.path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn replace(&self, text: &str) {
        let tmp = self.path.with_extension("jsonl.tmp");
        fs::write(&tmp, text).unwrap();
        fs::rename(tmp, &self.path).unwrap();
    }

    fn poll(&mut self) -> Poll {
        let dir = self.path.parent().unwrap().to_path_buf();
        let begin = Begin::Behind(self.position);
        let poll = poll(&mut self.reader, &dir, OsStr::new("j.jsonl"), begin, (false, Runs::new()), self.now)
            .unwrap();
        if let Some(batch) = &poll.batch {
            assert_eq!(batch.from, self.position.map(Position::File));
            self.position = batch.to.file();
        }
        poll
    }

    /// Returns the numbers of the runs that a look finds, whether it saw a gap, and the rejects.
    fn look(&mut self) -> (Vec<i64>, bool, Vec<RejectReason>) {
        let Some(batch) = self.poll().batch else { return (Vec::new(), false, Vec::new()) };
        let number = |run: crate::model::Run<&str>| match run.key.at {
            RunAt::Started(at) | RunAt::Logged(at) => at.0 - T0,
        };
        let rejects = batch.rejects.iter().map(|reject| reject.reason).collect();
        (batch.runs.iter().map(number).collect(), batch.gap, rejects)
    }
}

fn lines(numbers: impl IntoIterator<Item = i64>) -> String {
    numbers.into_iter().map(|n| line(n) + "\n").collect()
}

#[test]
fn an_append_is_read_once_and_costs_what_was_appended() {
    let mut log = Log::new(&lines(0..5_000));
    assert_eq!(log.look().0.len(), 5_000);
    assert!(log.poll().batch.is_none());
    log.append(&lines(5_000..5_001));
    let poll = log.poll();
    assert_eq!(poll.batch.unwrap().runs.len(), 1);
    assert!(poll.bytes_read < 400, "{} bytes for one line", poll.bytes_read);
}

#[test]
fn a_torn_line_waits_for_its_end() {
    let whole = line(1);
    let mut log = Log::new(&(lines([0]) + &whole[..30]));
    assert_eq!(log.look().0, [0]);
    log.append(&whole[30..]);
    assert_eq!(log.look().0, Vec::<i64>::new());
    log.append("\n");
    assert_eq!(log.look().0, [1]);
}

#[test]
fn a_last_line_without_newline_counts_with_the_next_line_or_after_a_day() {
    let mut log = Log::new(&(lines([0]) + &line(1)));
    assert_eq!(log.look().0, [0]);
    log.append(&lines([2]));
    assert_eq!(log.look().0, [1, 2], "glued to the next line");

    let mut log = Log::new(&(lines([0]) + &line(1)));
    assert_eq!(log.look().0, [0]);
    let written = log.path.metadata().unwrap().mtime() * 1000;
    log.now = UnixMs(written + UNFINISHED_MS - 1_000);
    assert_eq!(log.look().0, Vec::<i64>::new());
    log.now = UnixMs(written + UNFINISHED_MS);
    assert_eq!(log.look().0, [1]);
    log.append("\n");
    assert_eq!(log.look().0, Vec::<i64>::new());
    log.append(&lines([2]));
    assert_eq!(log.look(), (vec![2], false, vec![]));
}

#[test]
fn several_records_without_newlines_count_after_a_day() {
    let mut log = Log::new(&(lines([0]) + &line(1) + &line(2)));
    log.now = UnixMs(log.path.metadata().unwrap().mtime() * 1000 + UNFINISHED_MS);
    assert_eq!(log.look().0, [0, 1, 2]);
    log.append(&line(3));
    log.append(&line(4)[..20]);
    log.now = UnixMs(log.path.metadata().unwrap().mtime() * 1000 + UNFINISHED_MS);
    assert_eq!(log.look().0, Vec::<i64>::new(), "the last one is not whole yet");
    log.append(&(line(4)[20..].to_owned() + "\n"));
    assert_eq!(log.look(), (vec![3, 4], false, vec![]));
}

#[test]
fn a_prune_is_survived_without_reading_the_file_again() {
    let mut log = Log::new(&lines(0..4_000));
    log.look();
    log.append(&lines([4_000]));
    log.look();
    log.replace(&lines(2_001..4_002));
    let poll = log.poll();
    let batch = poll.batch.unwrap();
    assert_eq!((batch.runs.len(), batch.gap), (1, false));
    assert!(poll.bytes_read < 20_000, "{} bytes for one line", poll.bytes_read);
}

#[test]
fn every_append_may_rename_at_a_cost_that_the_file_s_size_does_not_change() {
    for size in [100, 10_000] {
        let mut log = Log::new(&lines(0..size));
        log.look();
        for n in 0..20 {
            log.replace(&lines(n + 1..size + n + 1));
            let poll = log.poll();
            assert_eq!(poll.batch.unwrap().runs.len(), 1);
            assert!(poll.bytes_read < 20_000, "{} bytes in a file of {size} lines", poll.bytes_read);
        }
    }
}

#[test]
fn a_log_whose_last_line_is_gone_is_read_whole_with_a_gap() {
    let mut log = Log::new(&lines(0..10));
    log.look();
    log.replace(&lines(20..25));
    assert_eq!(log.look(), (vec![20, 21, 22, 23, 24], true, vec![]));
}

#[test]
fn a_log_cut_in_place_or_overwritten_is_noticed() {
    let mut log = Log::new(&lines(0..10));
    log.look();
    File::create(&log.path).unwrap();
    assert_eq!(log.look(), (vec![], true, vec![]));
    log.append(&lines(30..32));
    assert_eq!(log.look(), (vec![30, 31], false, vec![]));
    // Same file, longer than before, other content.
    fs::write(&log.path, lines(40..60)).unwrap();
    assert_eq!(log.look().0.len(), 20);
}

#[test]
fn the_first_of_two_equal_lines_is_told_from_the_second() {
    let mut log = Log::new(&lines([0, 1]));
    log.look();
    log.replace(&lines([0, 1, 2, 1]));
    assert_eq!(log.look(), (vec![2, 1], false, vec![]));
}

#[test]
fn a_line_above_a_mebibyte_is_stepped_over_in_bounded_memory() {
    let mut log = Log::new(&lines([0]));
    log.append(&"x".repeat(3 << 20));
    assert_eq!(log.look(), (vec![0], false, vec![]));
    assert_eq!(log.position.unwrap().skipped, 3 << 20);
    log.append(&"x".repeat(1 << 20));
    assert!(log.poll().bytes_read < (1 << 20) + 200, "what was skipped is not read again");
    log.append(&format!("\n{}", lines([1])));
    assert_eq!(log.look(), (vec![1], false, vec![RejectReason::LineTooLong]));
    log.append(&lines([2]));
    assert_eq!(log.look(), (vec![2], false, vec![]));
    // A rewrite is found again across such a line as well.
    log.replace(&(lines([1, 2]) + &"y".repeat(5 << 20) + "\n" + &lines([3])));
    assert_eq!(log.look(), (vec![3], false, vec![RejectReason::LineTooLong]));
}

#[test]
fn a_position_behind_no_line_does_not_outlive_its_file() {
    let long = "x".repeat((1 << 20) + 1) + "\n";
    for (first, rejects) in [("\n".to_owned(), vec![]), (long, vec![RejectReason::LineTooLong])] {
        let mut log = Log::new(&first);
        assert_eq!(log.look(), (vec![], false, rejects));
        log.append(&lines([0]));
        assert_eq!(log.look(), (vec![0], false, vec![]), "the same file goes on");

        let mut log = Log::new(&first);
        log.look();
        // Overwritten in place, and longer than before: the same inode, as after a deletion and a new file.
        let records = i64::try_from(first.len() / line(0).len()).unwrap() + 2;
        fs::write(&log.path, lines(0..records)).unwrap();
        let mut numbers = Vec::new();
        while let Some(batch) = log.poll().batch {
            numbers.extend(batch.runs.iter().map(|run| run.key.at.time().0 - T0));
        }
        assert_eq!(numbers, (0..records).collect::<Vec<_>>());
    }
}

#[test]
fn blank_lines_and_line_ends_of_windows_belong_to_the_line_before() {
    let mut log = Log::new(&format!("{}\r\n\r\n\n", line(0)));
    assert_eq!(log.look().0, [0]);
    log.append(&lines([1]));
    assert_eq!(log.look().0, [1]);
    log.append("\n\n");
    log.look();
    log.replace(&lines([0, 1, 2]));
    assert_eq!(log.look(), (vec![2], false, vec![]));
}

#[test]
fn what_is_no_file_is_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("runs");
    fs::create_dir(&inside).unwrap();
    fs::create_dir(inside.join("dir.jsonl")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(inside.join("fifo.jsonl")).status().unwrap();
    assert!(fifo.success());
    fs::write(dir.path().join("secret"), lines([0])).unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), inside.join("out.jsonl")).unwrap();
    fs::write(inside.join("real.jsonl"), lines([0])).unwrap();
    std::os::unix::fs::symlink("real.jsonl", inside.join("in.jsonl")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket.jsonl")).unwrap();
    let begin = Begin::Behind(None);
    let look = |name: &str| {
        poll(&mut Reader::default(), &inside, OsStr::new(name), begin, (false, Runs::new()), NOW)
    };
    for name in ["dir.jsonl", "fifo.jsonl", "socket.jsonl"] {
        assert!(matches!(look(name), Err(PollError::Open(OpenError::NotAFile(_)))), "{name}");
    }
    assert!(matches!(look("out.jsonl"), Err(PollError::Open(OpenError::SymlinkOutside(_)))));
    assert!(matches!(look("none.jsonl"), Err(PollError::Open(OpenError::Vanished(_)))));
    assert_eq!(look("in.jsonl").unwrap().batch.unwrap().runs.len(), 1);
}

#[test]
fn names_tell_logs_from_what_a_prune_leaves() {
    for (name, expected) in [
        ("a.jsonl", Name::Log),
        ("a.jsonl.migrated", Name::Migrated),
        ("a.jsonl.123.ab.tmp", Name::Other),
        (".a.jsonl.0c.fallback.tmp", Name::Other),
        (".hidden.jsonl", Name::Other),
        ("jobs.json", Name::Other),
    ] {
        assert_eq!(classify(&OsString::from(name)), expected, "{name}");
    }
    assert_eq!(id_before_migration(OsStr::new("a.jsonl.migrated")), Some(source_id(OsStr::new("a.jsonl"))));
    assert_eq!(id_before_migration(OsStr::new("a.jsonl")), None);
}
