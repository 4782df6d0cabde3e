use super::*;

const NOW: UnixMs = UnixMs(1_795_300_000_000);
const AT: i64 = 1_795_236_966_502;

fn one(line: &str) -> Event {
    let mut events = Vec::new();
    parse_line(line.as_bytes(), NOW, |event| events.push(event));
    assert_eq!(events.len(), 1, "{line}: {events:?}");
    events.remove(0)
}

fn assistant(rest: &str) -> String {
    format!(
        r#"{{"type":"message","id":"24d6cb85","timestamp":"2026-11-21T04:56:06.702Z","message":{{"role":"assistant",
        "content":[{{"type":"text","text":"secret"}}],"provider":"mock","model":"m/1:x",{rest}}}}}"#
    )
    .replace('\n', "")
}

fn call(rest: &str) -> Call {
    match one(&assistant(rest)) {
        Event::Call(call) => call,
        other => panic!("{rest}: {other:?}"),
    }
}

#[test]
fn a_call_says_what_it_cost() {
    let call = call(
        r#""usage":{"input":904,"output":60,"cacheRead":4096,"cacheWrite":5,"totalTokens":1,
           "cost":{"input":1,"total":0.004840799999999999}},"stopReason":"toolUse","timestamp":1795236966502"#,
    );
    let expected = Call {
        asked_at: UnixMs(AT),
        provider: Some("mock".to_owned()),
        model: Some("m/1:x".to_owned()),
        tokens: [904, 60, 4096, 5],
        cost: Some(4_840_800),
        end: End::Completed,
    };
    assert_eq!(call, expected);
    assert!(!format!("{call:?}").contains("secret"));
}

#[test]
fn calls_that_failed_say_why_and_may_be_billed() {
    for (rest, tokens, end) in [
        (
            r#""usage":{"input":0,"output":0},"stopReason":"error","errorMessage":"500 mock exploded","#,
            [0; 4],
            End::Failed(Reason::ServerError),
        ),
        (r#""stopReason":"error","errorMessage":"401 no","#, [0; 4], End::Failed(Reason::Auth)),
        (r#""stopReason":"error","usage":null,"#, [0; 4], End::Failed(Reason::Other)),
        (r#""stopReason":"aborted","usage":{"input":"12"},"#, [12, 0, 0, 0], End::Aborted),
        (r#""usage":{"output":3},"#, [0, 3, 0, 0], End::Completed),
        (r#""usage":{"cacheRead":3},"#, [0, 0, 3, 0], End::Completed),
        (r#""usage":{"cacheWrite":3},"#, [0, 0, 0, 3], End::Completed),
        (r#""usage":"none","#, [0; 4], End::Completed),
    ] {
        let call = call(&format!(r#"{rest}"timestamp":{AT}"#));
        assert_eq!((call.tokens, call.end), (tokens, end), "{rest}");
        assert_eq!(call.is_billed(), tokens != [0; 4]);
    }
}

#[test]
fn a_missing_time_is_that_of_the_line() {
    assert_eq!(call(r#""usage":{"input":1}"#).asked_at, UnixMs(1_795_236_966_702));
}

#[test]
fn impossible_numbers_are_rejects_and_impossible_costs_are_none() {
    for (rest, expected) in [
        (r#""usage":{"input":-1}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"output":1.5}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"cacheRead":9007199254740993}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"cacheWrite":[1]}"#, RejectReason::ImpossibleCount),
        (r#""usage":{"input":1},"timestamp":5"#, RejectReason::ImpossibleTime),
        (r#""usage":{"input":1},"timestamp":9795236966502"#, RejectReason::ImpossibleTime),
    ] {
        assert_eq!(one(&assistant(rest)), Event::Reject(expected), "{rest}");
    }
    for cost in ["null", "7", "{}", r#"{"total":null}"#, r#"{"total":-3}"#, r#"{"total":"1"}"#] {
        let call = call(&format!(r#""usage":{{"input":1,"cost":{cost}}}"#));
        assert_eq!((call.tokens[0], call.cost), (1, None), "{cost}");
    }
}

#[test]
fn an_opening_names_its_job_whatever_the_job_s_name_holds() {
    for (content, expected) in [
        (r#"[{"type":"text","text":"[cron:19f2-a daily-ok] Do it"}]"#, Some("19f2-a")),
        (r#"[{"type":"text","text":"[cron:19f2-a \u001b[31m\n] [x]\"q\" ] Do it"}]"#, Some("19f2-a")),
        (r#"[{"type":"text","text":"[cron:19f2-a\nname] Do it"}]"#, Some("19f2-a")),
        (r#""[cron:19f2-a] Do it""#, Some("19f2-a")),
        (r#"[{"type":"image","data":"x"},{"type":"text","text":"[cron:j n]"}]"#, Some("j")),
        (r#"[{"type":"text","text":"see [cron:j n]"}]"#, None),
        (r#"[{"type":"text","text":"a"},{"type":"text","text":"[cron:j n]"}]"#, None),
        (r#"[{"type":"text","text":"[cron: n]"}]"#, None),
        (r#"[7]"#, None),
        ("[]", None),
        ("null", None),
    ] {
        let line = format!(
            r#"{{"type":"message","message":{{"role":"user","content":{content},"timestamp":{AT}}}}}"#
        );
        let job_id = expected.map(ToOwned::to_owned);
        assert_eq!(one(&line), Event::Opening(Opening { at: UnixMs(AT), job_id }), "{content}");
    }
}

#[test]
fn a_header_names_session_and_parent() {
    for (parent, expected) in [
        ("", None),
        (r#","parentSession":"/home/node/.openclaw/agents/main/sessions/a-b.jsonl""#, Some("a-b")),
        (r#","parentSession":"x/2026-11-21T04-52-22-733Z_a-b.jsonl""#, Some("a-b")),
        (r#","parentSession":"a-b.jsonl.reset.2026-11-21T04-52-22.733Z""#, Some("a-b")),
        (r#","parentSession":"a-b""#, Some("a-b")),
    ] {
        let line = format!(r#"{{"type":"session","id":"s","timestamp":"2026-11-21T04:56:06.444Z"{parent}}}"#);
        let header = SessionHeader {
            id: "s".to_owned(),
            parent: expected.map(ToOwned::to_owned),
            created_at: Some(UnixMs(1_795_236_966_444)),
        };
        assert_eq!(one(&line), Event::Session(header), "{parent}");
    }
}

#[test]
fn other_lines_are_other_and_broken_ones_say_so() {
    for line in [
        r#"{"type":"model_change","id":"x"}"#,
        r#"{"type":"message","message":{"role":"toolResult","usage":{"input":5}}}"#,
        r#"{"type":"message","message":"text"}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"session"}"#,
        "{}",
    ] {
        assert_eq!(one(line), Event::Other, "{line}");
    }
    for line in ["{", "7", "x", r#"{"type":"message","message":{"role":"#] {
        assert_eq!(one(line), Event::Reject(RejectReason::InvalidJson), "{line}");
    }
    parse_line(b" \0\0\r\n", NOW, |event| panic!("{event:?}"));
}

#[test]
fn what_follows_a_torn_line_is_read() {
    let whole = assistant(r#""usage":{"input":1}"#);
    let mut events = Vec::new();
    parse_line(format!("{}{whole}", &whole[..90]).as_bytes(), NOW, |event| events.push(event));
    assert!(
        matches!(&events[..], [Event::Reject(RejectReason::InvalidJson), Event::Call(call)] if call.tokens[0] == 1),
        "{events:?}"
    );
}

#[test]
fn invalid_utf_8_breaks_nothing() {
    let mut line = assistant(r#""usage":{"input":1}"#).into_bytes();
    let at = memchr::memmem::find(&line, b"secret").unwrap();
    line[at] = 0xff;
    let mut events = Vec::new();
    parse_line(&line, NOW, |event| events.push(event));
    assert!(matches!(&events[..], [Event::Call(_)]), "{events:?}");
}

#[test]
fn a_copy_has_the_key_of_its_original_and_a_fork_none() {
    let written = |id: &str, at: &str| {
        let line = assistant(&format!(r#""usage":{{"input":1}},"timestamp":{AT}"#));
        one(&line.replace("24d6cb85", id).replace("04:56:06.702Z", at))
    };
    let mut session = Transcript::new("s");
    let key = session.observe(&written("24d6cb85", "04:56:06.702Z")).unwrap();
    // Appended anew under another id when a tool result before it was cut.
    assert_eq!(session.observe(&written("ffffffff", "05:56:06.702Z")), Some(key));
    assert_ne!(session.observe(&one(&assistant(r#""usage":{"input":1}"#))), Some(key));
    assert_ne!(Transcript::new("t").observe(&written("24d6cb85", "04:56:06.702Z")), Some(key));
    // An attempt that failed within the millisecond must not hide the one that was billed.
    for rest in [r#""usage":{"input":0}"#, r#""usage":{"input":1,"cacheWrite":1}"#] {
        let other = one(&assistant(&format!("{rest},\"timestamp\":{AT}")));
        assert_ne!(session.observe(&other), Some(key), "{rest}");
    }

    let mut fork = Transcript::new("t");
    let header =
        r#"{"type":"session","id":"f","timestamp":"2026-11-21T05:00:00.000Z","parentSession":"s.jsonl"}"#;
    assert_eq!(fork.observe(&one(header)), None);
    assert_eq!((fork.header().id.as_str(), fork.header().parent.as_deref()), ("f", Some("s")));
    assert_eq!(fork.observe(&written("24d6cb85", "04:56:06.702Z")), None);
    let later = one(&assistant(r#""usage":{"input":1},"timestamp":1795237300000"#));
    assert!(fork.observe(&later).is_some());
}

#[test]
fn a_line_of_nothing_but_beginnings_is_given_up() {
    let line = r#"{"type":"message","a":["#.repeat(100_000);
    let mut rejects = 0;
    parse_line(line.as_bytes(), NOW, |event| {
        assert_eq!(event, Event::Reject(RejectReason::InvalidJson));
        rejects += 1;
    });
    assert_eq!(rejects, MAX_TORN);
}

#[test]
fn no_damage_to_a_line_makes_a_panic_or_an_impossible_bill() {
    let whole =
        assistant(r#""usage":{"input":904,"output":60,"cost":{"total":0.1}},"timestamp":1795236966502"#);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
            if bytes.is_empty() {
                break;
            }
        }
        parse_line(&bytes, NOW, |event| {
            if let Event::Call(call) = event {
                assert!(call.tokens.iter().all(|count| *count <= crate::model::MAX_JSON_INTEGER), "{call:?}");
            }
        });
    }
}

#[test]
fn times_are_those_of_the_calendar() {
    for (text, expected) in [
        ("1970-01-01T00:00:00.000Z", Some(0)),
        ("2026-11-21T04:56:06.444Z", Some(1_795_236_966_444)),
        ("2024-02-29T23:59:59.999Z", Some(1_709_251_199_999)),
        ("2024-03-01T00:00:00.000Z", Some(1_709_251_200_000)),
        ("2100-02-28T00:00:00.000Z", Some(4_107_456_000_000)),
        ("2100-03-01T00:00:00.000Z", Some(4_107_542_400_000)),
        ("2000-12-31T00:00:00.000Z", Some(978_220_800_000)),
        ("2026-11-21T04:56:06Z", None),
        ("2026-11-21T04:56:06.444+00:00", None),
        ("1795236966444", None),
        ("", None),
    ] {
        assert_eq!(unix_ms(text), expected, "{text}");
    }
}
