//! The gateway's own prunes, as they were recorded: a rename over the log, read without reading it again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;

use openclaw_usage::model::{Batch, FilePosition, Runs};
use openclaw_usage::openclaw::run_log::Reader;
use openclaw_usage::openclaw::run_log::{self, Begin};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::common::fixtures::Fixture;

const LOG: &str = "job.jsonl";

/// One log in a directory, looked at directly so that what a look costs is seen.
struct Log {
    folder: TempDir,
    reader: Reader,
    position: Option<FilePosition>,
    runs: BTreeMap<i64, Counted>,
    gaps: u64,
}

impl Log {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        Self { folder, reader: Reader::default(), position: None, runs: BTreeMap::new(), gaps: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(LOG)
    }

    /// Puts a new file in the log's place.
    fn rename_over(&self, content: &[u8]) {
        let temporary = self.folder.path().join("job.jsonl.28921.cf2ebc4f45dc78.tmp");
        fs::write(&temporary, content).expect("a temporary file");
        fs::rename(temporary, self.path()).expect("a rename");
    }

    /// Looks until nothing new is left. Returns the bytes that it took and the records that it found.
    fn look(&mut self) -> (u64, usize) {
        let (mut bytes, mut found) = (0, 0);
        loop {
            let name = OsStr::new(LOG);
            let begin = Begin::Behind(self.position);
            let poll =
                run_log::poll(&mut self.reader, self.folder.path(), name, begin, (false, Runs::new()), NOW)
                    .expect("a look");
            bytes += poll.bytes_read;
            if let Some(Batch { to, runs, rejects, gap, .. }) = poll.batch {
                assert!(rejects.is_empty(), "{rejects:?}");
                self.gaps += u64::from(gap);
                self.position = to.file();
                found += runs.len();
                for run in runs.iter() {
                    let usage = (1, run.usage.input.unwrap_or(0), run.usage.output.unwrap_or(0));
                    self.runs.entry(run.key.at.time().0).or_insert(usage);
                }
            }
            if !poll.more {
                return (bytes, found);
            }
        }
    }
}

fn keys(text: &str, into: &mut BTreeMap<i64, Counted>) {
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect("a record is JSON");
        let usage = &record["usage"];
        let tokens = |key: &str| usage[key].as_u64().unwrap_or(0);
        let run_at = record["runAtMs"].as_i64().expect("runAtMs");
        into.entry(run_at).or_insert((1, tokens("input_tokens"), tokens("output_tokens")));
    }
}

#[test]
fn a_recorded_prune_loses_nothing_and_costs_what_was_appended() {
    let fixture = Fixture::unpack("cut-2026.2.17");
    let text = |name: &str| fs::read_to_string(fixture.path(name)).expect("a recorded log");
    let (before, after) = (text("prune/before.jsonl"), text("prune/after.jsonl"));
    let mut log = Log::new();
    fs::write(log.path(), &before).expect("a log");
    assert_eq!(log.look().1, before.lines().count());
    log.rename_over(after.as_bytes());
    let (bytes, found) = log.look();
    let old: std::collections::BTreeSet<&str> = before.lines().collect();
    let new = after.lines().filter(|line| !old.contains(line)).count();
    assert_eq!((found, new, log.gaps), (4, 4, 0));
    assert!(bytes < 32_000, "{bytes} B read of {}", after.len());
    let mut expected = BTreeMap::new();
    keys(&before, &mut expected);
    keys(&after, &mut expected);
    assert_eq!(log.runs, expected);

    // The same through the collector and the ledger, which count each run key once.
    let state = TempDir::new().expect("a temporary directory");
    let runs_dir = state.path().join("cron/runs");
    fs::create_dir_all(&runs_dir).expect("cron/runs");
    let mut counting = Counting::of(state.path());
    for content in [&before, &after] {
        fs::write(runs_dir.join("a.tmp"), content).expect("a temporary file");
        fs::rename(runs_dir.join("a.tmp"), runs_dir.join(LOG)).expect("a rename");
        counting.sweep();
    }
    let sum = |of: fn(&Counted) -> u64| expected.values().map(of).sum::<u64>();
    assert_eq!(exported(&counting.totals()), (sum(|c| c.0), sum(|c| c.1), sum(|c| c.2)));
    assert_eq!(counting.totals().counters.sources["run-log"].gaps, 0);
}

/// A record of exactly this many bytes, newline included.
fn record(number: i64, bytes: usize) -> String {
    let ts = 1_795_149_000_000 + number;
    let begin = format!(r#"{{"ts":{ts},"jobId":"j","action":"finished","status":"ok","runAtMs":{ts},"#);
    let end = r#""usage":{"input_tokens":1200,"output_tokens":34,"total_tokens":1200}}"#;
    let padding = bytes - 1 - begin.len() - end.len() - r#""summary":"","#.len();
    format!("{begin}\"summary\":\"{}\",{end}\n", "x".repeat(padding))
}

/// A log with lines above 1,000 B, whose every append is followed by a rename: the recorded sequence of sizes,
/// with a look after every single event.
#[test]
fn a_log_that_every_append_renames_is_counted_as_it_was_recorded() {
    let fixture = Fixture::unpack("cut-2026.2.17");
    let trace = fs::read_to_string(fixture.path("prune/events-long.jsonl")).expect("the recorded events");
    let events: Vec<Value> =
        trace.lines().map(|line| serde_json::from_str(line).expect("an event is JSON")).collect();
    let size =
        |event: &Value| usize::try_from(event["stat"]["size"].as_u64().expect("a size")).expect("a size");
    let is = |event: &Value, kind: &str| event["ev"][0] == kind && !event["name"].to_string().contains("tmp");
    // The log as it was filled for the recording: equal lines of 2,457 B.
    let filled = events.iter().position(|event| is(event, "CLOSE_WRITE")).expect("the end of the filling");
    let records = size(&events[filled]) / 2_457;
    assert_eq!((records, size(&events[filled]) % 2_457), (2_010, 0));
    let mut lines: Vec<String> = (0..2_010).map(|number| record(number, 2_457)).collect();
    let mut log = Log::new();
    fs::write(log.path(), lines.concat()).expect("a log");
    log.look();

    let (mut appends, mut renames) = (0, 0);
    for event in &events[filled..] {
        let now = fs::metadata(log.path()).expect("a log").len();
        if is(event, "MODIFY") {
            let bytes = size(event) - usize::try_from(now).expect("a size");
            let number = 2_010 + i64::from(appends);
            lines.push(record(number, bytes));
            let mut file = File::options().append(true).open(log.path()).expect("a log");
            file.write_all(lines.last().expect("a line").as_bytes()).expect("an append");
            appends += 1;
        } else if is(event, "MOVED_TO") {
            lines.drain(..lines.len() - 2_000);
            log.rename_over(lines.concat().as_bytes());
            renames += 1;
        } else {
            continue;
        }
        assert_eq!(fs::metadata(log.path()).expect("a log").len(), size(event) as u64, "as recorded");
        // An event may also be missed: the rename is then all that is seen.
        if is(event, "MOVED_TO") || renames % 2 == 0 {
            let (bytes, _) = log.look();
            assert!(bytes < 64_000, "{bytes} B read of {}", size(event));
        }
        assert!(log.gaps == 0);
    }
    log.look();
    assert_eq!((appends, renames), (4, 4));
    assert_eq!(log.runs.len(), 2_014);
    assert_eq!(log.runs.values().map(|counted| counted.1).sum::<u64>(), 2_014 * 1_200);
}
