//! What is read by the form of a record before is what is read of each record alone.

use fastrand::Rng;

use super::super::record::{Records, parse_line};
use super::*;
use crate::model::{RejectReason, Run, Runs, UnixMs};

const NOW: UnixMs = UnixMs(1_795_240_000_000);

type Read = Vec<Result<Run, RejectReason>>;

fn alone(line: &[u8]) -> Read {
    let mut all = Vec::new();
    parse_line(line, NOW, |parsed| all.push(parsed.map(|run| run.owned())));
    all
}

fn next(records: &mut Records, line: &[u8]) -> Read {
    let mut all = Vec::new();
    records.parse_line(line, NOW, |parsed, _| all.push(parsed.map(|run| run.owned())));
    all
}

/// A record in the form of OpenClaw 2026.5.28 with what differs from run to run.
fn record(random: &mut Rng) -> String {
    let at = 1_795_234_000_000_i64 + random.i64(0..100_000_000_000) / 1_000;
    let summaries = ["Done.", "日本語 und mehr", " \\n \\u00e9 \\\"so\\\"", "\\\\", "x"];
    let agent = *random.choice(&["main", "ops"]).unwrap();
    let [session, input, total] = [60, 31, 50].map(|bits| {
        let bits = random.u32(1..bits);
        random.u64(..1 << bits)
    });
    format!(
        concat!(
            r#"{{"ts":{ts},"jobId":"075e-a1","action":"finished","status":"ok","summary":"{summary}","#,
            r#""deliveryStatus":"not-requested","delivery":{{"intended":{{"to":"http://h/?t=s"}},"delivered":false}},"#,
            r#""sessionId":"{session:x}","sessionKey":"agent:{agent}:cron:075e-a1:run:{session:x}","runAtMs":{at},"#,
            r#""durationMs":{ms},"nextRunAtMs":{next},"new":{other},"model":"m/c:1","provider":"p","#,
            r#""usage":{{"input_tokens":{input},"output_tokens":{output},"total_tokens":{total}}}}}"#
        ),
        ts = at + 5_000,
        summary = random.choice(summaries).unwrap(),
        session = session,
        agent = agent,
        at = at,
        ms = random.u32(..20_000),
        next = at + 60_000,
        other = random.choice(["7", "[1,{\"a\":\"b\"}]", "\"text\"", "true"]).unwrap(),
        input = input,
        output = random.u8(..),
        total = total,
    )
}

fn form_of(line: &str) -> Option<Form> {
    let mut records = Records::default();
    assert_eq!(next(&mut records, line.as_bytes()), alone(line.as_bytes()));
    assert_eq!(next(&mut records, line.as_bytes()), alone(line.as_bytes()));
    let form = records.into_form();
    form.fill(line.as_bytes()).is_some().then_some(form)
}

#[test]
fn records_of_a_job_have_one_form() {
    let mut random = Rng::with_seed(1);
    let form = form_of(&record(&mut random)).unwrap();
    for _ in 0..1_000 {
        let line = record(&mut random);
        let (_, used) = form.fill(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(used, line.len());
    }
}

/// Records with a change here and there, read one after another and each alone.
#[test]
fn what_is_nearly_alike_is_read_as_it_is_alone() {
    const BYTES: &[u8] = b"{}[]\",:\\ \n\t\0\x1f\x7f\x80\xc3\xff0123456789-+.eEtfnu/abz";
    let mut random = Rng::with_seed(2);
    let (mut records, mut whole, mut alike) = (Records::default(), 0, 0);
    let (mut runs, mut expected) = (Runs::new(), Vec::new());
    for _ in 0..40_000 {
        let mut line = record(&mut random).into_bytes();
        for _ in 0..random.u8(..3) {
            let at = random.usize(..line.len());
            let end = line.len().min(at + random.usize(1..24));
            match random.u8(..4) {
                0 => line[at] = *random.choice(BYTES).unwrap(),
                1 => line.insert(at, *random.choice(BYTES).unwrap()),
                2 => _ = line.drain(at..end),
                _ => {
                    let piece = line[at..end].to_vec();
                    let to = random.usize(..=line.len());
                    line.splice(to..to, piece);
                }
            }
        }
        let mut read = Vec::new();
        records.parse_line(&line, NOW, |parsed, is_alike| {
            match &parsed {
                Ok(run) if is_alike => runs.push_alike(run),
                Ok(run) => runs.push(run),
                Err(_) => {}
            }
            alike += u32::from(is_alike);
            read.push(parsed.map(|run| run.owned()));
        });
        assert_eq!(read, alone(&line), "{}", line.escape_ascii());
        whole += u32::from(matches!(read.as_slice(), [Ok(_)]));
        expected.extend(read.into_iter().flatten());
    }
    assert!((20_000..39_000).contains(&whole) && alike > 3_000, "{whole}, {alike} alike");
    assert_eq!(runs.len(), expected.len());
    for (run, expected) in runs.iter().zip(&expected) {
        assert_eq!(run.owned(), *expected);
    }
    assert!(runs == Runs::from(expected), "runs of one kind share their texts");
}

#[test]
fn what_a_gap_holds_is_of_its_kind() {
    let line = r#"{"ts":1795234000000,"jobId":"j","action":"finished","summary":"s","sessionId":"a","x":1}"#;
    let form = form_of(line).unwrap();
    for (from, to, fits) in [
        ("1795234000000", "1795234000001", true),
        ("1795234000000", "17", true),
        ("1795234000000", "1795234000000.5", false),
        ("1795234000000", "\"1795234000000\"", false),
        ("1795234000000", "null", false),
        ("\"s\"", "\"日\"", true),
        ("\"s\"", "\"a\\\"\"", true),
        ("\"s\"", "\"\"", false),
        ("\"s\"", "\" \\n\"", false),
        ("\"s\"", "\"a\tb\"", false),
        ("\"s\"", "null", false),
        ("\"a\"", "\"\"", true),
        ("\"a\"", "\"a\u{1}\"", false),
        ("\"a\"", "\"\\u0061\"", false),
        ("\"x\":1", "\"x\":{\"y\":[]}", true),
        ("\"x\":1", "\"y\":1", false),
        ("\"x\":1", "\"x\":", false),
        ("}", ",\"z\":1}", false),
        ("\"j\"", "\"k\"", false),
    ] {
        let other = line.replace(from, to);
        assert_eq!(form.fill(other.as_bytes()).is_some(), fits, "{other}");
        let mut records = Records::default();
        for line in [line, line, &other, line] {
            assert_eq!(next(&mut records, line.as_bytes()), alone(line.as_bytes()), "{line}");
        }
    }
    let glued = line.repeat(2);
    assert_eq!(form.fill(glued.as_bytes()).map(|(_, used)| used), Some(line.len()));
}

/// Of what stands twice the last counts, and with token counts all of the last.
#[test]
fn what_stands_twice_has_no_form() {
    for twice in [
        r#""runAtMs":1795234000001,"runAtMs":1795234000002"#,
        r#""usage":{"input_tokens":1},"usage":{"output_tokens":2}"#,
        r#""usage":{"input_tokens":1,"input_tokens":2}"#,
        r#""sessionId":"a","sessionId":"b""#,
    ] {
        let line = format!(r#"{{"ts":1795234000000,"jobId":"j","action":"finished",{twice}}}"#);
        assert!(form_of(&line).is_none(), "{line}");
    }
}

/// A form is for records, and one that is none leaves it.
#[test]
fn an_odd_record_leaves_the_form_of_the_others() {
    let mut random = Rng::with_seed(3);
    let lines: Vec<String> = (0..4).map(|_| record(&mut random)).collect();
    let odd = lines[0].replace("\"status\":\"ok\"", "\"status\":\"error\",\"error\":\"429\"");
    let mut records = Records::default();
    for line in [&lines[0], &lines[1], &odd, &lines[2], &odd] {
        assert_eq!(next(&mut records, line.as_bytes()), alone(line.as_bytes()));
    }
    let form = records.into_form();
    assert!(form.fill(lines[3].as_bytes()).is_some() && form.fill(odd.as_bytes()).is_none());
}
