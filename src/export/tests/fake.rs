//! A server on the loopback device that answers as a test tells it to, and remembers what it took.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A number point as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrived {
    pub(crate) job: String,
    pub(crate) value: i64,
    pub(crate) stamp_ms: u64,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) points: Vec<Arrived>,
    /// The bodies of log records.
    pub(crate) bodies: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// Never answers.
    pub(crate) hang: bool,
}

impl Reply {
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }
}

type Rule = dyn Fn(&Seen) -> Reply + Send + Sync;

pub(crate) struct FakeServer {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeServer {
    pub(crate) async fn start(rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::serve(listener, None, rule)
    }

    pub(crate) async fn start_tls(
        tls: TlsAcceptor,
        rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::serve(listener, Some(tls), rule)
    }

    pub(crate) fn serve(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("bound");
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let rule: Arc<Rule> = Arc::new(rule);
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, log, rule) = (tls.clone(), Arc::clone(&log), Arc::clone(&rule));
                tokio::spawn(async move {
                    match tls {
                        None => connection(stream, log, rule).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, log, rule).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v1/otlp/v1/metrics", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn connection<S>(stream: S, log: Arc<Mutex<Vec<Seen>>>, rule: Arc<Rule>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (log, rule) = (Arc::clone(&log), Arc::clone(&rule));
        async move {
            let seen = read(request).await;
            let reply = rule(&seen);
            log.lock().expect("no panic").push(seen);
            if reply.hang {
                std::future::pending::<()>().await;
            }
            let mut response = Response::builder().status(reply.status);
            if let Some(value) = reply.retry_after {
                response = response.header("retry-after", value);
            }
            let body = Full::new(Bytes::from(reply.body));
            Ok::<_, Infallible>(response.body(body).expect("a valid response"))
        }
    });
    // A client that goes away ends it with an error.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read(request: Request<Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let gzip = head.headers.get("content-encoding").is_some_and(|value| value == "gzip");
    let body = if gzip {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("valid gzip");
        plain
    } else {
        body.to_vec()
    };
    // Neither can be taken for the other: the first field of a record has another type in each.
    let request = ExportMetricsServiceRequest::decode(&*body).unwrap_or_default();
    let logs = ExportLogsServiceRequest::decode(&*body).unwrap_or_default();
    Seen {
        path: head.uri.path().into(),
        headers: head.headers,
        points: points(&request),
        bodies: bodies(&logs),
    }
}

fn bodies(request: &ExportLogsServiceRequest) -> Vec<String> {
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    let bodies = scopes.flat_map(|scope| &scope.log_records).map(|record| record.body.clone());
    bodies
        .map(|body| match body.and_then(|body| body.value) {
            Some(any_value::Value::StringValue(text)) => text,
            other => panic!("a body that is no text: {other:?}"),
        })
        .collect()
}

/// The number points of a request, in its order.
pub(crate) fn points(request: &ExportMetricsServiceRequest) -> Vec<Arrived> {
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics);
    metrics
        .flat_map(|metric| match metric.data.as_ref().expect("data") {
            metric::Data::Sum(sum) => &sum.data_points[..],
            metric::Data::Gauge(gauge) => &gauge.data_points[..],
            _ => &[],
        })
        .map(|point| {
            let attributes: BTreeMap<&str, &str> = point
                .attributes
                .iter()
                .map(|pair| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                    Some(any_value::Value::StringValue(text)) => (pair.key.as_str(), text.as_str()),
                    other => panic!("an attribute that is no string: {other:?}"),
                })
                .collect();
            Arrived {
                job: attributes.get("openclaw.job.id").copied().unwrap_or_default().to_owned(),
                value: match point.value {
                    Some(number_data_point::Value::AsInt(value)) => value,
                    _ => -1,
                },
                stamp_ms: point.time_unix_nano / 1_000_000,
            }
        })
        .collect()
}
