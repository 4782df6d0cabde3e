//! One real request, and what it tells about an endpoint.
//!
//! The request is valid and holds no points: it changes nothing on the server. Deliberately absent: printing,
//! and checks of the configuration itself.

use prost::Message;

use super::connect::SetupError;
use super::error::NetworkError;
use super::grpc::CallError;
use super::outcome::{self, Outcome};
use super::remedy::{Signal, remedy, tls_remedy};
use super::transport::Client;
use crate::config::{EndpointConfig, Protocol};
use crate::model::UnixMs;
use crate::telemetry::{ExportFailure, Point, Resource, event, otlp};

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The endpoint takes metrics.
    Ok {
        /// HTTP status, or the gRPC status 0.
        status: u16,
        /// The server's words if it reports that points were left out.
        partial: Option<String>,
    },
    /// It does not.
    Problem {
        /// Kind of problem.
        failure: ExportFailure,
        /// What happened, on which host and port, with the server's words.
        what: String,
        /// What to do.
        remedy: String,
    },
}

/// Sends one empty request to the endpoint, which takes at most its timeout.
pub async fn probe(config: &EndpointConfig, signal: Signal, resource: &Resource, now: UnixMs) -> ProbeResult {
    let client = match Client::new(config) {
        Ok(client) => client,
        Err(error) => return of_setup(&error),
    };
    let (status, outcome) = match send(&client, signal, resource, now).await {
        Ok(answered) => answered,
        Err(error) => return of_network(&error, config.protocol, signal),
    };
    match outcome {
        Outcome::Taken => ProbeResult::Ok { status, partial: None },
        Outcome::Partial { message, .. } => ProbeResult::Ok { status, partial: Some(message) },
        Outcome::Retry { failure, message, .. } | Outcome::Refuse { failure, message } => {
            ProbeResult::Problem { failure, remedy: advice(failure, &message, config, signal), what: message }
        }
    }
}

async fn send(
    client: &Client,
    signal: Signal,
    resource: &Resource,
    now: UnixMs,
) -> Result<(u16, Outcome), NetworkError> {
    let metrics = || otlp::request(std::iter::empty::<&Point>(), resource, now, now);
    let logs = || event::logs_request([], resource);
    let answered = match (client, signal) {
        (Client::Http(client), signal) => {
            let body = match signal {
                Signal::Metrics => metrics().encode_to_vec(),
                Signal::Events => logs().encode_to_vec(),
            };
            let answer = client.post(body).await?;
            return Ok((answer.status, outcome::of_http(&answer, now)));
        }
        (Client::Grpc(client), Signal::Metrics) => client.export(metrics()).await.map(outcome::of_response),
        (Client::Grpc(client), Signal::Events) => {
            client.export_logs(logs()).await.map(outcome::of_logs_response)
        }
    };
    match answered {
        Ok(outcome) => Ok((0, outcome)),
        Err(CallError::Status(status)) => {
            Ok((u16::try_from(i32::from(status.code())).unwrap_or(u16::MAX), outcome::of_grpc(&status)))
        }
        Err(CallError::Network(error)) => Err(error),
    }
}

/// Returns the remedy; for a missing page, one that fits what answered and where.
fn advice(failure: ExportFailure, message: &str, config: &EndpointConfig, signal: Signal) -> String {
    let general = remedy(failure, config.protocol, signal);
    let of_prometheus = signal == Signal::Metrics && config.protocol == Protocol::Http;
    if failure != ExportFailure::NotFound || !of_prometheus {
        return general.into();
    }
    // Prometheus has a page for the disabled receiver, which names it.
    if message.to_ascii_lowercase().contains("otlp") {
        return format!("enable the server's OTLP receiver: {general}");
    }
    let path = config.url.split(['?', '#']).next().unwrap_or_default();
    if path.ends_with("/v1/metrics") {
        format!("the receiver is not enabled, or the path is another: {general}")
    } else {
        format!("the url's path does not end in /v1/metrics, so it is likely wrong: {general}")
    }
}

fn of_setup(error: &SetupError) -> ProbeResult {
    let (failure, remedy) = match error {
        SetupError::Url { .. } => (ExportFailure::Connection, "correct the endpoint's url"),
        SetupError::Header { .. } => (ExportFailure::Connection, "correct the endpoint's headers"),
        SetupError::Pem { .. } => (ExportFailure::Tls, "correct the path, the file's mode or its content"),
        SetupError::Tls { .. } => (ExportFailure::Tls, "set ca_file or install the system's CA certificates"),
    };
    ProbeResult::Problem { failure, what: error.to_string(), remedy: remedy.into() }
}

fn of_network(error: &NetworkError, protocol: Protocol, signal: Signal) -> ProbeResult {
    let (failure, remedy) = match error {
        NetworkError::Tls { problem, .. } => (ExportFailure::Tls, tls_remedy(*problem)),
        NetworkError::Timeout { .. } => {
            (ExportFailure::Timeout, remedy(ExportFailure::Timeout, protocol, signal))
        }
        NetworkError::Refused { .. } | NetworkError::Unreachable { .. } | NetworkError::Broken { .. } => {
            (ExportFailure::Connection, remedy(ExportFailure::Connection, protocol, signal))
        }
    };
    ProbeResult::Problem { failure, what: error.to_string(), remedy: remedy.into() }
}
