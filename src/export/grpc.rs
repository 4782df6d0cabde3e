//! OTLP over gRPC.
//!
//! The generated client runs on the same connector as HTTP does, so TLS files and failures mean the same in
//! both. Invariants: one request at a time and per timeout; an answer is read up to 64 KiB. Deliberately
//! absent: load balancing, retries, and keep-alive pings (a client that timed out is thrown away).

use std::error::Error;
use std::time::Duration;

use hyper::HeaderMap;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::connect::{SetupError, TlsFiles, Version, connector, header_map, parse_url, peer};
use super::error::NetworkError;
use crate::config::Compression;

/// Largest answer that is decoded, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

type Http2Client = Client<HttpsConnector<HttpConnector>, tonic::body::Body>;

/// Why a call brought no response.
#[derive(Debug)]
pub enum CallError {
    /// No answer.
    Network(NetworkError),
    /// The server answered with a status other than `OK`.
    Status(Box<Status>),
}

/// Calls the services of one server.
#[derive(Debug)]
pub struct GrpcClient {
    metrics: MetricsServiceClient<Http2Client>,
    logs: LogsServiceClient<Http2Client>,
    peer: String,
    headers: HeaderMap,
    timeout: Duration,
}

impl GrpcClient {
    /// Makes a client for the server at `url` (scheme, host, port). It connects at the first call and keeps
    /// the connection.
    ///
    /// # Errors
    /// When the URL, a header or a PEM file cannot be used.
    pub fn new<'a>(
        url: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        compression: Compression,
        timeout_ms: u64,
        tls: &TlsFiles,
    ) -> Result<Self, SetupError> {
        let uri = parse_url(url)?;
        let headers = header_map(headers)?;
        let http2 = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .pool_timer(TokioTimer::new())
            .build(connector(&uri, tls, Version::Http2)?);
        let peer = peer(&uri);
        let mut metrics = MetricsServiceClient::with_origin(http2.clone(), uri.clone())
            .max_decoding_message_size(ANSWER_MAX);
        let mut logs = LogsServiceClient::with_origin(http2, uri).max_decoding_message_size(ANSWER_MAX);
        if compression == Compression::Gzip {
            let gzip = CompressionEncoding::Gzip;
            metrics = metrics.send_compressed(gzip).accept_compressed(gzip);
            logs = logs.send_compressed(gzip).accept_compressed(gzip);
        }
        Ok(Self { metrics, logs, peer, headers, timeout: Duration::from_millis(timeout_ms) })
    }

    /// Sends one request with metrics.
    ///
    /// # Errors
    /// When no answer came in time, or one with a status other than `OK`.
    pub async fn export(
        &self,
        request: ExportMetricsServiceRequest,
    ) -> Result<ExportMetricsServiceResponse, CallError> {
        let mut client = self.metrics.clone();
        self.answer(client.export(self.request(request))).await
    }

    /// Sends one request with logs.
    ///
    /// # Errors
    /// When no answer came in time, or one with a status other than `OK`.
    pub async fn export_logs(
        &self,
        request: ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, CallError> {
        let mut client = self.logs.clone();
        self.answer(client.export(self.request(request))).await
    }

    fn request<R>(&self, message: R) -> Request<R> {
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        request.set_timeout(self.timeout);
        request
    }

    async fn answer<R>(
        &self,
        call: impl Future<Output = Result<tonic::Response<R>, Status>>,
    ) -> Result<R, CallError> {
        let Ok(result) = tokio::time::timeout(self.timeout, call).await else {
            let after_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
            return Err(CallError::Network(NetworkError::Timeout { peer: self.peer.clone(), after_ms }));
        };
        match result {
            Ok(response) => Ok(response.into_inner()),
            // Only a status made on our side has a source; what the server sent has none.
            Err(status) => Err(match status.source() {
                Some(source) => CallError::Network(NetworkError::of(source, &self.peer)),
                None => CallError::Status(Box::new(status)),
            }),
        }
    }
}
