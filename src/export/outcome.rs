//! What an answer means for the data that was sent.
//!
//! Pure. Sources: the OpenTelemetry protocol specification (retryable codes of both protocols), and what
//! Prometheus really answers: a refusal of one sample rolls back the whole request, also when it comes as 500.
//! Deliberately absent: how often to retry, and what to do about a refusal (see `endpoint.rs`).

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::{Code, Status};

use super::connect::SetupError;
use super::error::{NetworkError, clean};
use super::http::Answer;
use crate::model::UnixMs;
use crate::telemetry::ExportFailure;

/// Wait before the next attempt when an operator must act first: a minute.
pub const LONG_MS: u64 = 60_000;

/// Longest wait that a server can ask for: 15 minutes.
pub const ASKED_MAX_MS: u64 = 15 * 60 * 1000;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was taken.
    Taken,
    /// It was taken, but for some points.
    Partial {
        /// Points that were not taken.
        rejected: u64,
        /// The server's words.
        message: String,
    },
    /// Not taken for a reason outside of its content: try again later, with a fresh snapshot.
    Retry {
        /// Wait in milliseconds; `None` = as the usual backoff says.
        after_ms: Option<u64>,
        /// Why.
        failure: ExportFailure,
        /// What happened, for people.
        message: String,
    },
    /// Not taken because of its content: never send it again as it is.
    Refuse {
        /// Why.
        failure: ExportFailure,
        /// The server's words.
        message: String,
    },
}

impl Outcome {
    /// Returns why the request was not taken as a whole; `None` if it was.
    #[must_use]
    pub const fn failure(&self) -> Option<ExportFailure> {
        match self {
            Self::Taken => None,
            Self::Partial { .. } => Some(ExportFailure::Partial),
            Self::Retry { failure, .. } | Self::Refuse { failure, .. } => Some(*failure),
        }
    }
}

/// Classifies an answer over HTTP that came at `now`. Answers to metrics and to logs have the same bytes: in both, a
/// number of what was left out and a message.
#[must_use]
pub fn of_http(answer: &Answer, now: UnixMs) -> Outcome {
    let message = || describe(answer);
    let retry = |after_ms, failure| Outcome::Retry { after_ms, failure, message: message() };
    match answer.status {
        200..=299 => of_success(answer),
        400 if speaks_tls(&answer.body) => retry(Some(LONG_MS), ExportFailure::Tls),
        401 | 403 | 407 => retry(Some(LONG_MS), ExportFailure::Unauthorized),
        404 | 405 | 501 => retry(Some(LONG_MS), ExportFailure::NotFound),
        408 => retry(None, ExportFailure::Timeout),
        429 => retry(retry_after_ms(answer, now), ExportFailure::Throttled),
        502..=504 => retry(retry_after_ms(answer, now), ExportFailure::Unavailable),
        400..=599 => Outcome::Refuse { failure: ExportFailure::Refused, message: message() },
        // Redirects are not followed: a POST would become a GET, and credentials would travel.
        _ => retry(Some(LONG_MS), ExportFailure::BadAnswer),
    }
}

/// Classifies a gRPC status other than `OK`.
#[must_use]
pub fn of_grpc(status: &Status) -> Outcome {
    let message = clean(&format!("gRPC {:?}: {}", status.code(), status.message()));
    let after_ms = retry_info_ms(status.details());
    let retry = |after_ms, failure| Outcome::Retry { after_ms, failure, message: message.clone() };
    match status.code() {
        Code::Ok => Outcome::Taken,
        Code::Unavailable | Code::Aborted | Code::OutOfRange | Code::DataLoss | Code::Cancelled => {
            retry(after_ms, ExportFailure::Unavailable)
        }
        Code::DeadlineExceeded => retry(after_ms, ExportFailure::Timeout),
        // Without RetryInfo the specification forbids to send the request again. We never do: the next
        // attempt is a fresh snapshot, and a long wait later.
        Code::ResourceExhausted => retry(after_ms.or(Some(LONG_MS)), ExportFailure::Throttled),
        Code::Unauthenticated | Code::PermissionDenied => retry(Some(LONG_MS), ExportFailure::Unauthorized),
        Code::Unimplemented | Code::NotFound => retry(Some(LONG_MS), ExportFailure::NotFound),
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::Internal
        | Code::Unknown => Outcome::Refuse { failure: ExportFailure::Refused, message },
    }
}

/// Classifies a response that says success.
#[must_use]
pub fn of_response(response: ExportMetricsServiceResponse) -> Outcome {
    let partial =
        response.partial_success.map(|left_out| (left_out.rejected_data_points, left_out.error_message));
    of_partial(partial)
}

/// The same of a response to logs.
#[must_use]
pub fn of_logs_response(response: ExportLogsServiceResponse) -> Outcome {
    let partial =
        response.partial_success.map(|left_out| (left_out.rejected_log_records, left_out.error_message));
    of_partial(partial)
}

fn of_partial(partial: Option<(i64, String)>) -> Outcome {
    match partial {
        // A message without anything rejected is a warning of the server's.
        Some((rejected, message)) if rejected > 0 => {
            Outcome::Partial { rejected: rejected.unsigned_abs(), message: clean(&message) }
        }
        _ => Outcome::Taken,
    }
}

/// Classifies the lack of an answer.
#[must_use]
pub fn of_network(error: &NetworkError) -> Outcome {
    let failure = match error {
        NetworkError::Refused { .. } | NetworkError::Unreachable { .. } | NetworkError::Broken { .. } => {
            ExportFailure::Connection
        }
        NetworkError::Tls { .. } => ExportFailure::Tls,
        NetworkError::Timeout { .. } => ExportFailure::Timeout,
    };
    Outcome::Retry { after_ms: None, failure, message: error.to_string() }
}

/// Classifies settings that make no client. Files can be put right under a running program.
#[must_use]
pub fn of_setup(error: &SetupError) -> Outcome {
    let failure = match error {
        SetupError::Pem { .. } | SetupError::Tls { .. } => ExportFailure::Tls,
        SetupError::Url { .. } | SetupError::Header { .. } => ExportFailure::Connection,
    };
    Outcome::Retry { after_ms: Some(LONG_MS), failure, message: error.to_string() }
}

fn of_success(answer: &Answer) -> Outcome {
    if let Ok(response) = ExportMetricsServiceResponse::decode(answer.body.as_slice()) {
        return of_response(response);
    }
    // Some servers answer an empty JSON object to everything.
    if answer.body.trim_ascii() == b"{}" {
        return Outcome::Taken;
    }
    Outcome::Retry {
        after_ms: Some(LONG_MS),
        failure: ExportFailure::BadAnswer,
        message: format!("{}, which is no OTLP answer", describe(answer)),
    }
}

fn describe(answer: &Answer) -> String {
    let text = clean(&String::from_utf8_lossy(&answer.body));
    if text.is_empty() {
        format!("HTTP {}", answer.status)
    } else {
        format!("HTTP {}: {text}", answer.status)
    }
}

/// What Go's servers answer to plain HTTP on a TLS port.
fn speaks_tls(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("HTTP request to an HTTPS server")
}

/// Reads `Retry-After`: seconds, or an HTTP date that is compared with `now`.
fn retry_after_ms(answer: &Answer, now: UnixMs) -> Option<u64> {
    asked_wait_ms(answer.retry_after.as_deref()?, now)
}

/// Returns the milliseconds that the value of a `Retry-After` header asks for at `now`; [`ASKED_MAX_MS`] at most.
#[must_use]
pub fn asked_wait_ms(text: &str, now: UnixMs) -> Option<u64> {
    let text = text.trim();
    let ms = match text.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1000),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            u64::try_from(date.timestamp().as_millisecond().saturating_sub(now.0)).unwrap_or(0)
        }
    };
    Some(ms.min(ASKED_MAX_MS))
}

/// `google.rpc.Status`, as far as we read it.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyDetail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct AnyDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_info_ms(details: &[u8]) -> Option<u64> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let millis = u64::try_from(delay.nanos).unwrap_or(0) / 1_000_000;
    Some(seconds.saturating_mul(1000).saturating_add(millis).min(ASKED_MAX_MS))
}

#[cfg(test)]
#[path = "tests/outcome.rs"]
mod tests;
