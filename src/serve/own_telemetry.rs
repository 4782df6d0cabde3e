//! The daemon's own spans and logs over OTLP, when the environment asks for them; off by default.
//!
//! OpenTelemetry's SDK batches and encodes; the requests go out through the same HTTP client as the metrics.
//! Deliberately absent: metrics of our own, which come from the ledger and never through the SDK.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::config::{Compression, Config};
use crate::export::{HttpClient, TlsFiles};

const TIMEOUT_MS: u64 = 10_000;
/// Longest wait at the end for what is still in the batches.
const FLUSH: Duration = Duration::from_secs(1);

/// Why spans or logs cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot send the daemon's own {signal} to {endpoint}: {detail}; mend the endpoint, or unset its OTEL_* variable"
)]
pub struct OwnTelemetryError {
    signal: &'static str,
    endpoint: String,
    detail: String,
}

/// Sends the daemon's own spans and logs.
#[derive(Default)]
pub struct OwnTelemetry {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl OwnTelemetry {
    /// Starts what the configuration asks for; requests are sent on the runtime behind `handle`.
    ///
    /// # Errors
    /// An endpoint cannot be used.
    pub fn start(config: &Config, handle: &Handle) -> Result<Self, OwnTelemetryError> {
        let resource = Resource::builder().with_service_name(config.resource.service_name.clone()).build();
        let own = &config.own_telemetry;
        let traces = own.traces_endpoint.as_deref().map(|endpoint| {
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(Client::new(handle))
                .with_endpoint(endpoint)
                .with_protocol(Protocol::HttpBinary)
                .build()
                .map_err(|error| failed("spans", endpoint, &error))?;
            Ok(SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(exporter)
                .build())
        });
        let logs = own.logs_endpoint.as_deref().map(|endpoint| {
            let exporter = LogExporter::builder()
                .with_http()
                .with_http_client(Client::new(handle))
                .with_endpoint(endpoint)
                .with_protocol(Protocol::HttpBinary)
                .build()
                .map_err(|error| failed("logs", endpoint, &error))?;
            Ok(SdkLoggerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(exporter)
                .build())
        });
        Ok(Self { traces: traces.transpose()?, logs: logs.transpose()? })
    }

    /// Returns where spans go.
    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.traces.as_ref().map(|provider| provider.tracer("openclaw-usage"))
    }

    /// Returns where log records go.
    pub(super) fn bridge(
        &self,
    ) -> Option<OpenTelemetryTracingBridge<SdkLoggerProvider, opentelemetry_sdk::logs::SdkLogger>> {
        self.logs.as_ref().map(OpenTelemetryTracingBridge::new)
    }

    /// Sends what is still in the batches.
    pub async fn stop(self) {
        // Flushing waits for requests that this runtime carries out, so it must not wait on this thread.
        let flush = tokio::task::spawn_blocking(move || {
            // What cannot be sent at the end is lost, like any log line of a process that is killed.
            _ = self.traces.map(|provider| provider.shutdown_with_timeout(FLUSH));
            _ = self.logs.map(|provider| provider.shutdown_with_timeout(FLUSH));
        });
        _ = tokio::time::timeout(FLUSH * 2, flush).await;
    }
}

fn failed(signal: &'static str, endpoint: &str, error: &dyn fmt::Display) -> OwnTelemetryError {
    // The query of a URL may hold a secret.
    let endpoint = endpoint.split('?').next().unwrap_or_default().to_owned();
    OwnTelemetryError { signal, endpoint, detail: error.to_string() }
}

/// Carries the SDK's requests out on our runtime: the SDK asks from threads of its own.
struct Client {
    handle: Handle,
    client: Arc<OnceLock<Result<HttpClient, String>>>,
}

impl Client {
    fn new(handle: &Handle) -> Self {
        Self { handle: handle.clone(), client: Arc::default() }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let client = Arc::clone(&self.client);
        let exchange = async move {
            // URL and headers are the same for every request of a signal.
            let client = client.get_or_init(|| {
                let headers: BTreeMap<&str, &str> = parts
                    .headers
                    .iter()
                    .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
                    .collect();
                HttpClient::new(
                    &parts.uri.to_string(),
                    headers,
                    Compression::Gzip,
                    TIMEOUT_MS,
                    &TlsFiles::default(),
                )
                .map_err(|error| error.to_string())
            });
            let client = client.as_ref().map_err(Clone::clone)?;
            client.post(body.to_vec()).await.map_err(|error| error.to_string())
        };
        let answer = self.handle.spawn(exchange).await??;
        Ok(Response::builder().status(answer.status).body(Bytes::from(answer.body))?)
    }
}
