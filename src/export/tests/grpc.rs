use std::sync::{Arc, Mutex};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::fake::{Arrived, points};
use super::tls::Certificates;
use super::{NOW, config, counter, resource};
use crate::config::{EndpointConfig, Headers, Protocol};
use crate::export::transport::{Client, Deliver};
use crate::export::{Outcome, ProbeResult, Signal, probe};
use crate::telemetry::{ExportFailure, SeriesFacts, otlp};

type Rule = dyn Fn() -> Result<i64, Status> + Send + Sync;

#[derive(Clone)]
struct Collector {
    rule: Arc<Rule>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        if request.metadata().get("authorization").is_none_or(|value| value != "Bearer secret") {
            return Err(Status::unauthenticated("who are you?"));
        }
        if request.metadata().get("grpc-encoding").is_none_or(|value| value != "gzip") {
            return Err(Status::internal("not compressed"));
        }
        let rejected_data_points = (self.rule)()?;
        self.arrived.lock().expect("no panic").extend(points(&request.into_inner()));
        let error_message = "left out".into();
        let partial_success = Some(ExportMetricsPartialSuccess { rejected_data_points, error_message });
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

/// Starts a Collector, returns its URL and what arrives.
async fn start(
    tls: Option<TlsAcceptor>,
    rule: impl Fn() -> Result<i64, Status> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Arrived>>>) {
    let collector = Collector { rule: Arc::new(rule), arrived: Arc::default() };
    let arrived = Arc::clone(&collector.arrived);
    let service = MetricsServiceServer::new(collector).accept_compressed(CompressionEncoding::Gzip);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, service) = (tls.clone(), service.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let mut service = service.clone();
                    async move { tonic::codegen::Service::call(&mut service, request).await }
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // A client that goes away ends it with an error.
                let _ = match tls {
                    None => http.serve_connection(TokioIo::new(stream), service).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
                        Err(_) => return,
                    },
                };
            });
        }
    });
    (url, arrived)
}

fn authorized(url: &str) -> EndpointConfig {
    let headers = Headers(vec![("authorization".into(), "Bearer secret".into())]);
    EndpointConfig { headers, ..config(url, Protocol::Grpc) }
}

async fn send(config: &EndpointConfig) -> Outcome {
    let series = SeriesFacts { seq: 1, start: NOW, live: true, revision: 1 };
    let request = otlp::request([&counter("job", series, 7)], &resource(), NOW, NOW);
    Client::new(config).expect("valid").deliver(request, NOW).await
}

#[tokio::test]
async fn points_arrive_compressed_and_authorized() {
    let (url, arrived) = start(None, || Ok(0)).await;
    assert_eq!(send(&authorized(&url)).await, Outcome::Taken);
    let stamp_ms = NOW.as_unix_nano() / 1_000_000;
    assert_eq!(*arrived.lock().expect("no panic"), [Arrived { job: "job".into(), value: 7, stamp_ms }]);

    let stranger = send(&config(&url, Protocol::Grpc)).await;
    assert_eq!(stranger.failure(), Some(ExportFailure::Unauthorized), "{stranger:?}");
}

#[tokio::test]
async fn what_the_collector_says_is_understood() {
    let (url, _) = start(None, || Ok(3)).await;
    assert_eq!(send(&authorized(&url)).await, Outcome::Partial { rejected: 3, message: "left out".into() });
    let (url, _) = start(None, || Err(Status::invalid_argument("bad point"))).await;
    let outcome = send(&authorized(&url)).await;
    let Outcome::Refuse { message, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(message.contains("bad point"), "{message}");
    let (url, _) = start(None, || Err(Status::unavailable("starting"))).await;
    let outcome = send(&authorized(&url)).await;
    assert!(matches!(outcome, Outcome::Retry { failure: ExportFailure::Unavailable, .. }), "{outcome:?}");
}

#[tokio::test]
async fn failures_of_the_network_are_not_taken_for_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    // Accepts connections in the kernel and never speaks.
    let mut silent = authorized(&format!("http://{address}"));
    silent.timeout_ms = 100;
    let outcome = send(&silent).await;
    assert!(matches!(outcome, Outcome::Retry { failure: ExportFailure::Timeout, .. }), "{outcome:?}");
    drop(listener);
    let outcome = send(&silent).await;
    assert!(matches!(outcome, Outcome::Retry { failure: ExportFailure::Connection, .. }), "{outcome:?}");
}

#[tokio::test]
async fn tls_with_an_authority_and_a_client_certificate() {
    let (ours, foreign) = (Certificates::new(), Certificates::new());
    let (url, arrived) = start(Some(ours.acceptor("server", true, &[b"h2"])), || Ok(0)).await;
    let mut config = authorized(&url);
    config.ca_file = Some(ours.path("ca.pem"));
    config.client_cert_file = Some(ours.path("client.pem"));
    config.client_key_file = Some(ours.path("client.key"));
    assert_eq!(send(&config).await, Outcome::Taken);
    assert_eq!(arrived.lock().expect("no panic").len(), 1);
    assert_eq!(
        probe(&config, Signal::Metrics, &resource(), NOW).await,
        ProbeResult::Ok { status: 0, partial: None }
    );

    config.ca_file = Some(foreign.path("ca.pem"));
    let outcome = send(&config).await;
    assert!(matches!(outcome, Outcome::Retry { failure: ExportFailure::Tls, .. }), "{outcome:?}");
}
