//! One way to send a request and learn what became of it, whatever the protocol.
//!
//! Invariant: a client that timed out or whose TLS failed is made anew, so that a dead connection is not used
//! again and renewed certificate files are read. Deliberately absent: retries.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::connect::{SetupError, TlsFiles};
use super::grpc::{CallError, GrpcClient};
use super::http::HttpClient;
use super::outcome::{self, Outcome};
use crate::config::{EndpointConfig, Protocol};
use crate::model::UnixMs;
use crate::telemetry::ExportFailure;

/// Sends requests of one signal.
pub(crate) trait Deliver<R = ExportMetricsServiceRequest>: Send + Sync {
    /// Sends `request` at `now` and returns what became of it.
    fn deliver(&self, request: R, now: UnixMs) -> impl Future<Output = Outcome> + Send;
}

/// A client of either protocol.
pub(crate) enum Client {
    Http(Box<HttpClient>),
    Grpc(Box<GrpcClient>),
}

impl Client {
    pub(crate) fn new(config: &EndpointConfig) -> Result<Self, SetupError> {
        let tls = TlsFiles::from(config);
        let (url, compression, timeout_ms) = (&config.url, config.compression, config.timeout_ms);
        Ok(match config.protocol {
            Protocol::Http => {
                let client = HttpClient::new(url, config.headers.iter(), compression, timeout_ms, &tls)?;
                Self::Http(Box::new(client))
            }
            Protocol::Grpc => {
                let client = GrpcClient::new(url, config.headers.iter(), compression, timeout_ms, &tls)?;
                Self::Grpc(Box::new(client))
            }
        })
    }
}

impl Deliver for Client {
    async fn deliver(&self, request: ExportMetricsServiceRequest, now: UnixMs) -> Outcome {
        match self {
            Self::Http(client) => post(client, &request, now).await,
            Self::Grpc(client) => of_call(client.export(request).await.map(outcome::of_response)),
        }
    }
}

impl Deliver<ExportLogsServiceRequest> for Client {
    async fn deliver(&self, request: ExportLogsServiceRequest, now: UnixMs) -> Outcome {
        match self {
            Self::Http(client) => post(client, &request, now).await,
            Self::Grpc(client) => of_call(client.export_logs(request).await.map(outcome::of_logs_response)),
        }
    }
}

async fn post(client: &HttpClient, request: &impl Message, now: UnixMs) -> Outcome {
    match client.post(request.encode_to_vec()).await {
        Ok(answer) => outcome::of_http(&answer, now),
        Err(error) => outcome::of_network(&error),
    }
}

fn of_call(result: Result<Outcome, CallError>) -> Outcome {
    match result {
        Ok(outcome) => outcome,
        Err(CallError::Status(status)) => outcome::of_grpc(&status),
        Err(CallError::Network(error)) => outcome::of_network(&error),
    }
}

/// A client that is made when it is needed.
pub(crate) struct Renewing {
    config: Arc<EndpointConfig>,
    client: Mutex<Option<Arc<Client>>>,
}

impl Renewing {
    pub(crate) fn new(config: Arc<EndpointConfig>) -> Self {
        Self { config, client: Mutex::new(None) }
    }

    fn client(&self) -> Result<Arc<Client>, SetupError> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = slot.as_ref() {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::new(&self.config)?);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }
}

impl<R: Send> Deliver<R> for Renewing
where
    Client: Deliver<R>,
{
    async fn deliver(&self, request: R, now: UnixMs) -> Outcome {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return outcome::of_setup(&error),
        };
        let outcome = client.deliver(request, now).await;
        if matches!(outcome.failure(), Some(ExportFailure::Timeout | ExportFailure::Tls)) {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }
}
