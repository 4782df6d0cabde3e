//! Everything is held against the general reader.

use std::io::Read;
use std::path::Path;

use fastrand::Rng;

use super::*;
use crate::openclaw::raw::deserialize_any;

/// Holds one text against the general reader. Returns whether it was read here.
fn agrees(bytes: &[u8]) -> bool {
    let mut raw = RawRecord::default();
    let Some(used) = record(bytes, &mut raw, &mut Gaps::default()) else { return false };
    match deserialize_any(bytes) {
        Ok(expected) => assert_eq!((raw, used), expected, "{}", bytes.escape_ascii()),
        Err(error) => panic!("{error}: {}", bytes.escape_ascii()),
    }
    true
}

/// Records as versions write them, and what else a record may hold.
const RECORDS: [&str; 9] = [
    r#"{"ts":1795234098780,"jobId":"075e-a1","action":"finished","status":"ok","summary":"All quiet,\n\"3\" items \u00e9.","deliveryStatus":"not-requested","delivery":{"intended":{"channel":"last","to":"http://127.0.0.1:1/hook?token=s","source":"last"},"resolved":{"ok":false,"to":null,"error":"no \\ target"},"fallbackUsed":false,"delivered":false},"sessionId":"ce82","sessionKey":"agent:main:cron:075e:run:ce82","runAtMs":1795234089199,"durationMs":9564,"nextRunAtMs":1795234149199,"model":"mock-ok","provider":"mock","usage":{"input_tokens":1200,"output_tokens":34,"total_tokens":1200}}"#,
    r#"{"kind":"cron-run","status":"ok","completionStatus":"failed","error":null,"summary":"日本語 und mehr","storeKey":"/home/node/jobs.json","deliveryStatus":"not-delivered","deliveryError":"Webhook request failed with HTTP 503","sessionId":"7","runAtMs":1795234089199,"runId":"r7","durationMs":4000,"model":"m","provider":"p","usage":{"input_tokens":2000,"output_tokens":65,"total_tokens":3865,"cache_read_tokens":1800,"cache_write_tokens":0}} behind"#,
    r#"{"ts":1,"jobId":"j","summary":" \n \t\r\n\u00e9 Done.","runAtMs":5}"#,
    r#"{"ts":1,"jobId":"j","summary":"\"✅\" is what it said","runAtMs":5}"#,
    r#"{"ts":1,"jobId":"j","action":"finished","status":"error","error":"500 exploded","errorReason":"server_error","delivery":null,"usage":null,"model":null,"runAtMs":null}"#,
    r#"{"ts":1,"new":[1,[],{},{"a":[true,false,null,"x\ty"],"b":{"c":7}}],"another":{"deep":[[[["]"]]]]},"jobId":"j","usage":{"input_tokens":0,"odd":[1,{}],"output_tokens":7,"input_tokens":12}}"#,
    r#"{"jobId":"first","jobId":"last","delivery":{"to":"HTTPS://x"},"delivery":{"resolved":{"to":"here"},"intended":null}}"#,
    r#"{"ts":1}{"ts":2,"jobId":"glued"}"#,
    r#"{"ts":"12","jobId":7,"usage":{"input_tokens":1.5e3,"output_tokens":-1},"model":"a\u0062c","x":1e5, "runAtMs" : 5}"#,
];

#[test]
fn what_is_read_is_what_the_general_reader_reads() {
    let read: Vec<bool> = RECORDS.iter().map(|text| agrees(text.as_bytes())).collect();
    assert_eq!(read, [true, true, true, true, true, true, true, true, false]);
}

#[test]
fn what_takes_more_is_left_to_the_general_reader() {
    for text in [
        "",
        "{",
        "{}",
        "[]",
        "null",
        r#"{"ts":1"#,
        r#"{"ts":1,}"#,
        r#"{"ts":01}"#,
        r#"{"ts":1.0}"#,
        r#"{"ts":1e3}"#,
        r#"{"ts":-1}"#,
        r#"{"ts":1234567890123456789}"#,
        r#"{"ts":}"#,
        r#"{"ts" :1}"#,
        r#"{ "ts":1}"#,
        r#"{"ts":"1"}"#,
        r#"{"jobId":"a\"b"}"#,
        r#"{"jobId":7}"#,
        r#"{"jobId":true}"#,
        r#"{"job\u0049d":"j"}"#,
        r#"{"usage":[]}"#,
        r#"{"usage":{}}"#,
        r#"{"delivery":"x"}"#,
        r#"{"summary":"\q"}"#,
        r#"{"summary":""}"#,
        r#"{"summary":" \n\t "}"#,
        "{\"summary\":\" \u{3000}a\"}",
        r#"{"summary":"\n"}"#,
        r#"{"summary":null}"#,
        r#"{"summary":7}"#,
        r#"{"job":{}}"#,
        r#"{"summary":"\u12g4"}"#,
        r#"{"summary":"open}"#,
        r#"{"naïve":1}"#,
        "{\"summary\":\"a\tb\"}",
        "{\"summary\":\"0123456789abcdef0123456789abcde\u{1f}f\"}",
        "\u{feff}{\"ts\":1}",
    ] {
        assert!(!agrees(text.as_bytes()), "{text}");
    }
    assert!(!agrees(b"{\"jobId\":\"\xff\"}"), "a text that is asked for must be one");
    assert!(agrees(b"{\"ts\":1,\"summary\":\"a\xff\",\"x\":\"\xff\"}"), "what nobody asks for need not be");
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    assert!(!agrees(deep.as_bytes()));
}

/// Texts that are nearly records: pieces left out, doubled and moved, bytes changed into those that mean something.
#[test]
fn texts_that_are_nearly_records_are_read_alike() {
    const BYTES: &[u8] = b"{}[]\",:\\ \n\t\0\x1f\x7f\x80\xc3\xff0123456789-+.eEtfnu/abz";
    let mut random = Rng::with_seed(7);
    let mut read = 0;
    for _ in 0..60_000 {
        let mut text = random.choice(RECORDS).unwrap_or_default().as_bytes().to_vec();
        for _ in 0..random.u8(1..4) {
            let at = random.usize(..text.len());
            let end = text.len().min(at + random.usize(1..24));
            match random.u8(..5) {
                0 => text[at] = *random.choice(BYTES).unwrap_or(&0),
                1 => text.insert(at, *random.choice(BYTES).unwrap_or(&0)),
                2 => _ = text.drain(at..end),
                3 => {
                    let piece = text[at..end].to_vec();
                    let to = random.usize(..=text.len());
                    text.splice(to..to, piece);
                }
                _ => {
                    let other = random.choice(RECORDS).unwrap_or_default().as_bytes();
                    let from = random.usize(..other.len());
                    let piece = &other[from..other.len().min(from + 30)];
                    text.splice(at..end, piece.iter().copied());
                }
            }
            if text.is_empty() {
                break;
            }
        }
        read += u32::from(agrees(&text));
    }
    assert!((10_000..50_000).contains(&read), "{read}");
}

/// Records of real gateways are what this is for.
#[test]
fn recorded_lines_are_read() {
    for name in ["2026.2.17", "2026.5.28", "stage1-5.28"] {
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.tar.zst"));
        let file = std::fs::File::open(archive).unwrap();
        let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
        let (mut lines, mut read) = (0, 0);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            if !path.contains("cron/runs/") || !entry.header().entry_type().is_file() {
                continue;
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                lines += 1;
                read += usize::from(agrees(line));
            }
        }
        assert!(lines > 20 && read == lines, "{name}: {read} of {lines} lines");
    }
}

#[test]
fn digits_are_read_at_once_as_one_by_one() {
    let by_one = |bytes: [u8; 8]| {
        let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = bytes[..count].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        (value, count)
    };
    let mut random = Rng::with_seed(8);
    for _ in 0..2_000 {
        let number = random.i64(0..100_000_000);
        let mut text: [u8; 8] = format!("{number:08}").into_bytes().try_into().unwrap();
        assert_eq!(leading_digits(text), (number, 8));
        for byte in u8::MIN..=u8::MAX {
            // Two bytes that may be anything.
            text[random.usize(..8)] = byte;
            assert_eq!(leading_digits(text), by_one(text), "{text:?}");
        }
    }
}

#[test]
fn numbers_of_any_length_are_read() {
    for length in 0..=20 {
        for behind in ["", ",", "}", "},\"x\":1234567890}", "e5", "."] {
            let digits = &"91234567890123456789"[..length];
            let text = format!("{digits}{behind}");
            let mut rest = text.as_bytes();
            let read = number(&mut rest).map(|number| (number, rest));
            let value = digits.parse().ok().filter(|_| (1..=DIGITS).contains(&length));
            assert_eq!(read, value.map(|value| (Number::Integer(value), behind.as_bytes())), "{text}");
        }
    }
}

#[test]
fn control_characters_are_found_wherever_they_are() {
    let mut random = Rng::with_seed(9);
    for length in 0..100 {
        for _ in 0..50 {
            let least = *random.choice(&[0x20, 0x20, 0x1f, 0x00]).unwrap();
            let most = *random.choice(&[0x7f, 0x9f, 0xff]).unwrap();
            let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(0x20..=most)).collect();
            if length > 0 {
                bytes[random.usize(..length)] = least;
            }
            let expected = bytes.iter().any(|byte| *byte < 0x20);
            assert_eq!(holds_control(&bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
