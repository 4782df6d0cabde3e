//! Reading a log from its end: nothing of what is asked for is missed, and little else is read.

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// A record of a run of some minutes, of about `bytes` bytes.
fn record(ts: i64, lasted: i64, bytes: usize) -> String {
    let run_at = ts - lasted;
    let summary = "s".repeat(bytes.saturating_sub(100));
    format!(
        r#"{{"ts":{ts},"jobId":"j","action":"finished","status":"ok","runAtMs":{run_at},"summary":"{summary}"}}"#
    ) + "\n"
}

/// A log that was last written to at a time, whatever the clock of this machine says.
fn written(text: &str, written_ms: i64) -> Log {
    let log = Log::new(text);
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(written_ms.cast_unsigned());
    File::options().write(true).open(&log.path).unwrap().set_modified(at).unwrap();
    log
}

impl Log {
    /// Returns the starts at `since` or later of the runs that are found from where a question about those begins, and
    /// the bytes read for them.
    fn since(&mut self, since: i64) -> (Vec<i64>, u64) {
        let dir = self.path.parent().unwrap().to_path_buf();
        let begin = UnixMs(since - SLACK_MS);
        let log = open_regular(&dir, Path::new("j.jsonl")).unwrap();
        self.position = Some(position_since(&mut self.reader.lines, &log, begin, self.now).unwrap());
        self.starts(since)
    }

    fn starts(&mut self, since: i64) -> (Vec<i64>, u64) {
        let (mut starts, mut bytes) = (Vec::new(), 0);
        loop {
            let poll = self.poll();
            bytes += poll.bytes_read;
            let runs = poll
                .batch
                .into_iter()
                .flat_map(|batch| batch.runs.iter().map(|run| run.key.at.time().0).collect::<Vec<_>>());
            starts.extend(runs.filter(|at| *at >= since));
            if !poll.more {
                return (starts, bytes);
            }
        }
    }
}

/// Random logs of a clock that is set forth and back within an hour, with runs of up to five hours, torn lines, records
/// without `ts` and lines of many lengths.
#[test]
fn a_question_about_the_end_finds_what_a_full_scan_finds() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut at, mut offset, mut text) = (T0 - 400 * HOUR_MS, 0, String::new());
        let span = if rng.bool() { 60_000 } else { 4 * HOUR_MS };
        let least = if rng.bool() { 0 } else { -HOUR_MS };
        for _ in 0..rng.usize(1..400) {
            at += rng.i64(0..span);
            if rng.u8(0..20) == 0 {
                offset = rng.i64(least..=least + HOUR_MS);
            }
            let lasted = if rng.u8(0..9) == 0 { rng.i64(0..5 * HOUR_MS) } else { rng.i64(0..90_000) };
            let line = record(at + offset, lasted, rng.usize(100..3_000));
            match rng.u8(0..30) {
                0 => text.push_str(&line[..line.len() / 2]),
                1 => text
                    .push_str(&line.replace("{\"ts\"", "{\"when\"").replace("}\n", ",\"durationMs\":5}\n")),
                2 => text.push_str("\r\n\n"),
                _ => text.push_str(&line),
            }
        }
        let mut log = written(&text, at.max(NOW.0));
        let all = log.starts(0).0;
        for _ in 0..8 {
            let since = if rng.u8(0..4) == 0 {
                *rng.choice(&all).unwrap_or(&T0)
            } else {
                rng.i64(T0 - 400 * HOUR_MS..=at)
            };
            let expected: Vec<i64> = all.iter().copied().filter(|at| *at >= since).collect();
            assert_eq!(log.since(since).0, expected, "seed {seed}, since {since}");
        }
    }
}

#[test]
fn little_more_is_read_than_is_asked_for() {
    let hourly: String = (0..5_000).map(|n| record(T0 - (5_000 - n) * HOUR_MS, 60_000, 1_000)).collect();
    let mut log = written(&hourly, NOW.0);
    let (starts, bytes) = log.since(T0 - 24 * HOUR_MS);
    assert_eq!(starts.len(), 23);
    assert!(bytes < 64 << 10, "{bytes} bytes for 23 records");
    assert_eq!(log.since(T0 + 2 * HOUR_MS), (Vec::new(), 0), "nothing is that new");
    assert_eq!(log.since(0).0.len(), 5_000, "all is asked for");
    log.append(&record(T0 + HOUR_MS, 60_000, 1_000));
    log.look();
    assert!(log.position.unwrap().last.is_some(), "and goes on from there as ever");
}

#[test]
fn a_record_from_the_future_and_a_clock_that_was_set_right_hide_nothing() {
    // A clock that was a year ahead for a while, and one more record of it at the very end.
    let year = 365 * 24 * HOUR_MS;
    let ahead = |n: i64| record(T0 - n * HOUR_MS + year, 1_000, 900);
    let right = |n: i64| record(T0 - n * HOUR_MS, 1_000, 900);
    let text: String =
        (0..300).rev().map(|n| if (10..40).contains(&n) { ahead(n) } else { right(n) }).collect();
    let mut log = written(&(text + &ahead(0)), NOW.0);
    let expected = 1 + 30 + 10;
    assert_eq!(log.since(T0 - 20 * HOUR_MS).0.len(), expected);
    // What was set back by more than the slack, and for longer than is looked beyond, hides what was before.
    let hidden: String = (0..300).rev().map(|n| right(n + if n < 100 { 200 } else { 0 })).collect();
    assert_eq!(written(&hidden, NOW.0).since(T0 - 150 * HOUR_MS).0.len(), 0);
}

#[test]
fn a_log_that_was_not_written_to_since_is_not_read() {
    let text: String = (0..9).map(|n| record(T0 + n, 0, 200)).collect();
    assert_eq!(written(&text, T0 - SLACK_MS - 2_000).since(T0), (Vec::new(), 0));
    assert_eq!(written(&text, T0 - SLACK_MS).since(T0).0.len(), 9, "within the slack");
}
