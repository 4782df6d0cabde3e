//! SIGTERM at the worst moments.

use std::fmt::Write as _;
use std::fs;

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::{Pace, until};
use crate::common::receiver::{Answer, Receiver};
use crate::common::samples::Count;

/// What Kubernetes grants, in microseconds.
const GRACE: u64 = 10_000_000;

/// Ends it, in time and with status 0. Returns its log.
fn terminate_in_time(daemon: Daemon) -> String {
    let mut log = String::new();
    let took = Pace::new(1).micros(|| log = daemon.terminate());
    assert!(took < GRACE, "took {took} µs: {log}");
    log
}

/// One endpoint is amid a push that it never answers, one is not there at all, one takes: that one has everything.
#[test]
fn during_a_push_and_with_a_dead_endpoint() {
    let sandbox = Sandbox::new();
    let (silent, willing) = (Receiver::start(|_| Answer::Never), Receiver::willing());
    let absent = Receiver::willing().url();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 95, now(), false);
    simulation.run(0);
    let urls = [silent.url(), willing.url(), absent];
    let arguments: Vec<&str> = urls.iter().flat_map(|url| ["--otlp-endpoint", url.as_str()]).collect();
    let daemon = sandbox.serve(&arguments);
    until("a push that is not answered", || (!silent.seen().requests.is_empty()).then_some(()));
    until("the totals", || (willing.seen().count() == simulation.truth()).then_some(()));
    // Nothing tells whether these are read yet.
    (0..3).for_each(|job| simulation.run(job));
    let log = terminate_in_time(daemon);
    assert_eq!(willing.seen().count(), simulation.truth(), "the last totals are pushed: {log}");
    assert_eq!(log.matches("the last push at shutdown was not taken").count(), 2, "{log}");
    sandbox.serve(&[]).until_counted(simulation.truth());
}

/// A history so long that it is still being read. What was committed stays, the rest is read at the next start, and no
/// part of it was shown.
#[test]
fn during_catch_up() {
    const RUNS: u64 = 250_000;
    let sandbox = Sandbox::new();
    let runs = sandbox.state_dir().join("cron/runs");
    fs::create_dir_all(&runs).unwrap();
    let end = now().0 - 3_600_000;
    let mut lines = String::new();
    for at in 0..RUNS {
        let started = end - i64::try_from(RUNS - at).unwrap() * 1_000;
        let ended = started + 500;
        writeln!(
            lines,
            // The blank is nothing that OpenClaw writes, so that reading takes longer.
            r#"{{"ts": {ended},"jobId":"long","action":"finished","status":"ok","runAtMs":{started},"durationMs":500,"nextRunAtMs":{ended},"model":"m","provider":"p","usage":{{"input_tokens":2,"output_tokens":1,"total_tokens":3}}}}"#
        )
        .unwrap();
    }
    fs::write(runs.join("long.jsonl"), lines).unwrap();
    let willing = Receiver::willing();
    let url = willing.url();
    let daemon = sandbox.serve(&["--otlp-endpoint", &url]);
    let log = terminate_in_time(daemon);
    assert!(log.contains("stopped amid reading"), "the history is long enough: {log}");
    assert_eq!(willing.seen().taken, 0, "half a history is not pushed");
    let truth = Count { runs: RUNS, input: 2 * RUNS, output: RUNS };
    let daemon = sandbox.serve(&["--otlp-endpoint", &url]);
    daemon.until_readiness(200, "ready");
    daemon.until_counted(truth);
    terminate_in_time(daemon);
    assert_eq!(willing.seen().count(), truth);
}
