//! One real request, and what it tells about an endpoint.
//!
//! The request is valid and holds no points: it changes nothing on the server. Deliberately absent: printing,
//! and checks of the configuration itself.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::connect::SetupError;
use super::error::NetworkError;
use super::grpc::CallError;
use super::outcome::{self, Outcome};
use super::remedy::{remedy, tls_remedy};
use super::transport::Client;
use crate::config::{EndpointConfig, Protocol};
use crate::model::UnixMs;
use crate::telemetry::{ExportFailure, Point, Resource, otlp};

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
pub async fn probe(config: &EndpointConfig, resource: &Resource, now: UnixMs) -> ProbeResult {
    let client = match Client::new(config) {
        Ok(client) => client,
        Err(error) => return of_setup(&error),
    };
    let request = otlp::request(std::iter::empty::<&Point>(), resource, now, now);
    let (status, outcome) = match send(&client, request, now).await {
        Ok(answered) => answered,
        Err(error) => return of_network(&error, config.protocol),
    };
    match outcome {
        Outcome::Taken => ProbeResult::Ok { status, partial: None },
        Outcome::Partial { message, .. } => ProbeResult::Ok { status, partial: Some(message) },
        Outcome::Retry { failure, message, .. } | Outcome::Refuse { failure, message } => {
            ProbeResult::Problem { failure, remedy: advice(failure, &message, config), what: message }
        }
    }
}

async fn send(
    client: &Client,
    request: ExportMetricsServiceRequest,
    now: UnixMs,
) -> Result<(u16, Outcome), NetworkError> {
    match client {
        Client::Http(client) => {
            let answer = client.post(request.encode_to_vec()).await?;
            Ok((answer.status, outcome::of_http(&answer, now)))
        }
        Client::Grpc(client) => match client.export(request).await {
            Ok(response) => Ok((0, outcome::of_response(response))),
            Err(CallError::Status(status)) => {
                Ok((u16::try_from(i32::from(status.code())).unwrap_or(u16::MAX), outcome::of_grpc(&status)))
            }
            Err(CallError::Network(error)) => Err(error),
        },
    }
}

/// Returns the remedy; for a missing page, one that fits what answered and where.
fn advice(failure: ExportFailure, message: &str, config: &EndpointConfig) -> String {
    let general = remedy(failure, config.protocol);
    if failure != ExportFailure::NotFound || config.protocol != Protocol::Http {
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

fn of_network(error: &NetworkError, protocol: Protocol) -> ProbeResult {
    let (failure, remedy) = match error {
        NetworkError::Tls { problem, .. } => (ExportFailure::Tls, tls_remedy(*problem)),
        NetworkError::Timeout { .. } => (ExportFailure::Timeout, remedy(ExportFailure::Timeout, protocol)),
        NetworkError::Refused { .. } | NetworkError::Unreachable { .. } | NetworkError::Broken { .. } => {
            (ExportFailure::Connection, remedy(ExportFailure::Connection, protocol))
        }
    };
    ProbeResult::Problem { failure, what: error.to_string(), remedy: remedy.into() }
}
