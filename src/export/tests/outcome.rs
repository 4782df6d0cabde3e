use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

use super::*;
use crate::export::TlsProblem;

/// 1994-11-06T08:49:37Z.
const NOW: UnixMs = UnixMs(784_111_777_000);

#[derive(Debug, PartialEq)]
enum Short {
    Taken,
    Partial(u64),
    Retry(Option<u64>, ExportFailure),
    Refuse(ExportFailure),
}

fn short(outcome: &Outcome) -> Short {
    match outcome {
        Outcome::Taken => Short::Taken,
        Outcome::Partial { rejected, .. } => Short::Partial(*rejected),
        Outcome::Retry { after_ms, failure, .. } => Short::Retry(*after_ms, *failure),
        Outcome::Refuse { failure, .. } => Short::Refuse(*failure),
    }
}

fn partial(rejected_data_points: i64) -> ExportMetricsServiceResponse {
    ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points,
            error_message: "too\nmany".into(),
        }),
    }
}

#[test]
fn http_answers() {
    use ExportFailure as F;
    let one_rejected = partial(1).encode_to_vec();
    let none_rejected = partial(0).encode_to_vec();
    let tls: &[u8] = b"Client sent an HTTP request to an HTTPS server.\n";
    let long = Some(LONG_MS);
    let rows: &[(u16, Option<&str>, &[u8], Short)] = &[
        (200, None, b"", Short::Taken),
        (200, None, &one_rejected, Short::Partial(1)),
        (200, None, &none_rejected, Short::Taken),
        (200, None, b"{}\n", Short::Taken),
        (200, None, b"<html>please log in</html>", Short::Retry(long, F::BadAnswer)),
        (202, None, b"", Short::Taken),
        (204, None, b"", Short::Taken),
        (301, None, b"", Short::Retry(long, F::BadAnswer)),
        (400, None, b"out of order sample", Short::Refuse(F::Refused)),
        (400, None, tls, Short::Retry(long, F::Tls)),
        (401, None, b"", Short::Retry(long, F::Unauthorized)),
        (403, None, b"", Short::Retry(long, F::Unauthorized)),
        (404, None, b"", Short::Retry(long, F::NotFound)),
        (405, None, b"", Short::Retry(long, F::NotFound)),
        (408, None, b"", Short::Retry(None, F::Timeout)),
        (413, None, b"", Short::Refuse(F::Refused)),
        (415, None, b"", Short::Refuse(F::Refused)),
        (429, None, b"", Short::Retry(None, F::Throttled)),
        (429, Some("7"), b"", Short::Retry(Some(7_000), F::Throttled)),
        (429, Some(" 0 "), b"", Short::Retry(Some(0), F::Throttled)),
        (429, Some("Sun, 06 Nov 1994 08:50:00 GMT"), b"", Short::Retry(Some(23_000), F::Throttled)),
        (429, Some("Sun, 06 Nov 1994 08:49:00 GMT"), b"", Short::Retry(Some(0), F::Throttled)),
        (429, Some("99999999999999999999"), b"", Short::Retry(None, F::Throttled)),
        (429, Some("86400"), b"", Short::Retry(Some(ASKED_MAX_MS), F::Throttled)),
        (429, Some("soon"), b"", Short::Retry(None, F::Throttled)),
        (500, None, b"too old sample", Short::Refuse(F::Refused)),
        (501, None, b"", Short::Retry(long, F::NotFound)),
        (502, None, b"", Short::Retry(None, F::Unavailable)),
        (503, Some("2"), b"", Short::Retry(Some(2_000), F::Unavailable)),
        (504, None, b"", Short::Retry(None, F::Unavailable)),
        (507, None, b"", Short::Refuse(F::Refused)),
    ];
    for (status, retry_after, body, expected) in rows {
        let answer =
            Answer { status: *status, retry_after: retry_after.map(str::to_owned), body: body.to_vec() };
        assert_eq!(short(&of_http(&answer, NOW)), *expected, "{status} {retry_after:?} {body:?}");
    }
}

#[test]
fn the_servers_words_are_kept_but_tamed() {
    let body = format!("out of\u{1b}[1m order\n{}", "x".repeat(5000)).into_bytes();
    let Outcome::Refuse { message, .. } = of_http(&Answer { status: 400, retry_after: None, body }, NOW)
    else {
        panic!("a 400 must be a refusal");
    };
    assert!(message.starts_with("HTTP 400: out of [1m order xxx"), "{message}");
    assert!(message.chars().count() < 220 && !message.chars().any(char::is_control));
}

#[test]
fn grpc_statuses() {
    use ExportFailure as F;
    let long = Some(LONG_MS);
    let rows = [
        (Code::Ok, Short::Taken),
        (Code::Cancelled, Short::Retry(None, F::Unavailable)),
        (Code::Unknown, Short::Refuse(F::Refused)),
        (Code::InvalidArgument, Short::Refuse(F::Refused)),
        (Code::DeadlineExceeded, Short::Retry(None, F::Timeout)),
        (Code::NotFound, Short::Retry(long, F::NotFound)),
        (Code::AlreadyExists, Short::Refuse(F::Refused)),
        (Code::PermissionDenied, Short::Retry(long, F::Unauthorized)),
        (Code::ResourceExhausted, Short::Retry(long, F::Throttled)),
        (Code::FailedPrecondition, Short::Refuse(F::Refused)),
        (Code::Aborted, Short::Retry(None, F::Unavailable)),
        (Code::OutOfRange, Short::Retry(None, F::Unavailable)),
        (Code::Unimplemented, Short::Retry(long, F::NotFound)),
        (Code::Internal, Short::Refuse(F::Refused)),
        (Code::Unavailable, Short::Retry(None, F::Unavailable)),
        (Code::DataLoss, Short::Retry(None, F::Unavailable)),
        (Code::Unauthenticated, Short::Retry(long, F::Unauthorized)),
    ];
    for (code, expected) in rows {
        assert_eq!(short(&of_grpc(&Status::new(code, "because"))), expected, "{code:?}");
    }
}

#[test]
fn grpc_retry_info_sets_the_wait() {
    let details = |type_url: &str| {
        let value = RetryInfo { retry_delay: Some(Delay { seconds: 3, nanos: 250_000_000 }) }.encode_to_vec();
        let other = AnyDetail { type_url: "type.googleapis.com/google.rpc.Help".into(), value: vec![1] };
        let info = AnyDetail { type_url: type_url.into(), value };
        RpcStatus { details: vec![other, info] }.encode_to_vec()
    };
    let info = "type.googleapis.com/google.rpc.RetryInfo";
    for (code, details, expected) in [
        (Code::ResourceExhausted, details(info), Some(3_250)),
        (Code::Unavailable, details(info), Some(3_250)),
        (Code::Unavailable, details("type.googleapis.com/google.rpc.Other"), None),
        (Code::Unavailable, vec![0xff; 9], None),
    ] {
        let outcome = of_grpc(&Status::with_details(code, "wait", details.into()));
        let Outcome::Retry { after_ms, .. } = outcome else { panic!("{code:?} must be retried") };
        assert_eq!(after_ms, expected, "{code:?}");
    }
}

#[test]
fn failures_without_an_answer_are_retried() {
    let peer = || "host:4318".to_owned();
    for (error, failure) in [
        (NetworkError::Refused { peer: peer() }, ExportFailure::Connection),
        (NetworkError::Unreachable { peer: peer(), text: "dns error".into() }, ExportFailure::Connection),
        (NetworkError::Broken { peer: peer(), text: "reset".into() }, ExportFailure::Connection),
        (NetworkError::Timeout { peer: peer(), after_ms: 10 }, ExportFailure::Timeout),
        (
            NetworkError::Tls { peer: peer(), problem: TlsProblem::Expired, text: "expired".into() },
            ExportFailure::Tls,
        ),
    ] {
        let outcome = of_network(&error);
        assert_eq!(short(&outcome), Short::Retry(None, failure), "{error}");
        assert_eq!(outcome.failure(), Some(failure));
    }
}
