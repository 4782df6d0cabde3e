//! One table for what a line may look like.

use super::*;
use crate::model::Reason;

const NOW: UnixMs = UnixMs(1_795_240_000_000);

fn parse(line: &[u8]) -> Vec<Result<Run, RejectReason>> {
    let mut all = Vec::new();
    parse_line(line, NOW, |parsed| {
        all.push(parsed.map(|run| run.owned()));
    });
    all
}

fn run(line: &str) -> Run {
    match parse(line.as_bytes()).as_slice() {
        [Ok(run)] => run.clone(),
        other => panic!("{line}: {other:?}"),
    }
}

fn rejects(line: &str, reason: RejectReason) {
    assert_eq!(parse(line.as_bytes()), [Err(reason)], "{line}");
}

const HEAD: &str = r#"{"ts":1795234064351,"jobId":"j1","action":"finished""#;

#[test]
fn a_recorded_line_becomes_a_run() {
    let run = run(concat!(
        r#"{"ts":1795234064352,"jobId":"1cbd856f","action":"finished","status":"ok","summary":"Cached.","#,
        r#""deliveryStatus":"not-requested","delivery":{"intended":{"to":"http://x/?token=s"}},"#,
        r#""sessionId":"ca34","sessionKey":"agent:ops:cron:1cbd856f:run:ca34","runAtMs":1795234055159,"#,
        r#""durationMs":9040,"nextRunAtMs":1795234085159,"model":"mock-cache","provider":"mock","#,
        r#""usage":{"input_tokens":904,"output_tokens":60,"total_tokens":5000}}"#
    ));
    assert_eq!(run.key, RunKey { job_id: "1cbd856f".into(), at: RunAt::Started(UnixMs(1_795_234_055_159)) });
    assert_eq!((run.status, run.reason, run.duration_ms), (Status::Ok, Reason::None, Some(9040)));
    assert_eq!((run.agent.as_deref(), run.provider.as_deref()), (Some("ops"), Some("mock")));
    assert_eq!(run.model.as_deref(), Some("mock-cache"));
    assert_eq!((run.usage.input, run.usage.output, run.usage.cache_read), (Some(904), Some(60), None));
    assert_eq!((run.provenance, run.delivery), (UsageProvenance::Partial, Delivery::NotRequested));
}

#[test]
fn numbers_come_in_any_dress() {
    for usage in [
        r#"{"input_tokens":"12","output_tokens":3.0}"#,
        r#"{"input_tokens":1,"input_tokens":12,"output_tokens":3,"cache_read_tokens":null}"#,
        r#"{"input_tokens":1.2e1,"output_tokens":" 3 ","new_tokens":[1,{"a":2}]}"#,
    ] {
        let run = run(&format!(r#"{HEAD},"usage":{usage}}}"#));
        assert_eq!((run.usage.input, run.usage.output), (Some(12), Some(3)), "{usage}");
    }
}

#[test]
fn impossible_values_are_rejected_with_their_reason() {
    for (field, reason) in [
        (r#""usage":{"input_tokens":-1}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"input_tokens":1.5}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"input_tokens":9007199254740994}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"output_tokens":[1]}"#, RejectReason::ImpossibleCount),
        (r#""durationMs":-5"#, RejectReason::ImpossibleCount),
        (r#""runAtMs":86400000"#, RejectReason::ImpossibleTime),
        (r#""runAtMs":4102444800000"#, RejectReason::ImpossibleTime),
        (r#""runAtMs":{"x":1}"#, RejectReason::ImpossibleTime),
        (r#""action":"started""#, RejectReason::NotARun),
        (r#""jobId":"""#, RejectReason::NotARun),
        (r#""jobId":null"#, RejectReason::NotARun),
    ] {
        rejects(&format!("{HEAD},{field}}}"), reason);
    }
    for line in ["null", "true", "17", "\"x\"", "[1]", "{}", r#"{"jobId":"a","action":"finished"}"#] {
        rejects(line, RejectReason::NotARun);
    }
    for line in ["{", "x", r#"{"ts":}"#, "{\"ts\":1,\"jobId\":\"a\u{0}b\"}", "1e999"] {
        rejects(line, RejectReason::InvalidJson);
    }
}

#[test]
fn absent_and_unknown_values_are_tolerated() {
    let run = run(&format!(
        r#"{HEAD},"status":"paused","usage":null,"model":null,"provider":{{"id":1}},"durationMs":12.7,"deliveryStatus":7}}"#
    ));
    assert_eq!((run.status, run.reason), (Status::Unknown, Reason::None));
    assert_eq!(run.key.at, RunAt::Logged(UnixMs(1_795_234_064_351)));
    assert_eq!((run.model, run.provider, run.duration_ms), (None, None, Some(12)));
    assert_eq!((run.provenance, run.delivery), (UsageProvenance::None, Delivery::Unknown));
}

#[test]
fn dirt_around_a_record_does_no_harm() {
    let record = format!("{HEAD}}}");
    for line in [format!("\u{feff}{record}"), format!("\0\0\0{record}\0\0"), format!("  {record}\r")] {
        assert!(matches!(parse(line.as_bytes()).as_slice(), [Ok(_)]), "{line:?}");
    }
    assert_eq!(parse(b"\0\0\0"), []);
    let mut invalid = format!(r#"{HEAD},"model":"m?","summary":"?"}}"#).into_bytes();
    invalid.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    assert!(matches!(parse(&invalid).as_slice(), [Ok(run)] if run.model.as_deref() == Some("m\u{fffd}")));
}

#[test]
fn a_record_glued_to_a_torn_one_is_found() {
    let record = format!("{HEAD}}}");
    assert!(matches!(parse(format!("{record}{record}").as_bytes()).as_slice(), [Ok(_), Ok(_)]));
    let torn = format!(r#"{{"ts":1795234064000,"jobId":"j0","summ{record}"#);
    assert!(matches!(
        parse(torn.as_bytes()).as_slice(),
        [Err(RejectReason::InvalidJson), Ok(run)] if run.key.job_id == "j1"
    ));
}

#[test]
fn only_a_whole_record_may_do_without_its_newline() {
    let record = format!("{HEAD}}}");
    assert!(is_whole_record(record.as_bytes(), NOW));
    assert!(!is_whole_record(&record.as_bytes()[..record.len() - 1], NOW));
    assert!(!is_whole_record(format!("{record}{{").as_bytes(), NOW));
}

#[test]
fn a_wrong_clock_of_ours_rejects_nothing() {
    let mut all = Vec::new();
    let line = format!("{HEAD}}}");
    parse_line(line.as_bytes(), UnixMs(0), |parsed| all.push(parsed.is_ok()));
    assert_eq!(all, [true]);
}

/// What a record's usage and key are by a general JSON parser: the reference for the hand-written one.
fn by_serde_json(line: &[u8]) -> Option<(String, Option<i64>, Option<i64>)> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number, as far as it is compared")]
    let whole = |number: &serde_json::Value| {
        number.as_i64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64))
    };
    let integer = |pointer: &str| value.pointer(pointer).and_then(whole);
    let finished = value.get("action")?.as_str()? == "finished";
    let job_id = value.get("jobId")?.as_str()?.to_owned();
    (finished && integer("/ts").is_some()).then_some(())?;
    Some((job_id, integer("/usage/input_tokens"), integer("/usage/output_tokens")))
}

#[test]
fn damaged_lines_never_panic_and_undamaged_ones_read_as_any_parser_reads_them() {
    let line = concat!(
        r#"{"ts":1795234064352,"jobId":"1cbd","action":"finished","status":"ok","summary":"a \"b\" \u00e9 {[","#,
        r#""sessionKey":"agent:ops:cron:1cbd:run:ca34","runAtMs":1795234055159,"durationMs":9040,"x":[1,{"y":null}],"#,
        r#""model":"m/c:1","provider":"mock","usage":{"input_tokens":904,"output_tokens":60,"total_tokens":5000}}"#
    )
    .as_bytes();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut agreed = 0;
    for _ in 0..20_000 {
        let mut bytes = line.to_vec();
        for _ in 0..rng.usize(0..3) {
            let at = rng.usize(0..bytes.len());
            match rng.u8(0..4) {
                0 => bytes[at] = rng.u8(..),
                1 => _ = bytes.remove(at),
                2 => bytes.insert(at, *rng.choice(b"\"\\{}[]:,0-9e\0\xff ").unwrap()),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let parsed = parse(&bytes);
        let Some((job_id, input, output)) = by_serde_json(&bytes) else { continue };
        match parsed.as_slice() {
            [Ok(run)] => {
                let tokens = |n: Option<u64>| n.and_then(|n| i64::try_from(n).ok());
                assert_eq!((run.key.job_id.as_str(), tokens(run.usage.output)), (job_id.as_str(), output));
                assert_eq!(tokens(run.usage.input), input, "{}", String::from_utf8_lossy(&bytes));
                agreed += 1;
            }
            [Err(RejectReason::ImpossibleCount | RejectReason::ImpossibleTime)] => {}
            other => panic!("{other:?} for {}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert!(agreed > 5_000, "only {agreed} lines were whole");
}
