//! `/metrics`, `/healthz` and `/readyz`.
//!
//! Invariants: nothing in a request is ever a path or a name; headers, connections and times are bounded.
//! Deliberately absent: TLS and authentication; the default address is this machine only.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::state::Shared;
use crate::clock::Clock;
use crate::telemetry::text::{self, Format};

/// Connections served at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// Largest request head in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole connection, so that an idle one does not hold its place for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; free the port, or give another with --listen (now from {origin})"
)]
pub struct ListenError {
    address: SocketAddr,
    origin: String,
    source: std::io::Error,
}

/// Binds the address.
///
/// # Errors
/// The port is taken, or the address is not this machine's.
pub async fn bind(address: SocketAddr, origin: &str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError {
        address,
        origin: origin.to_owned(),
        source,
    })
}

/// Serves until `shutdown` turns true.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    clock: Clock,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (shared, clock) = (Arc::clone(&shared), clock.clone());
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let response = respond(&request, &shared, &clock);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no event.
            _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
        });
    }
}

fn respond(request: &Request<Incoming>, shared: &Shared, clock: &Clock) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => metrics(request, shared, clock),
        "/healthz" => plain(StatusCode::OK, "alive\n".into()),
        "/readyz" => ready(shared),
        "/" => plain(StatusCode::OK, "openclaw-usage: /metrics /healthz /readyz\n".into()),
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".into()),
    }
}

fn metrics(request: &Request<Incoming>, shared: &Shared, clock: &Clock) -> Response<Full<Bytes>> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(header(ACCEPT));
    let body = text::render(&shared.snapshot(clock.now()), format).into_bytes();
    let wants_gzip = header(ACCEPT_ENCODING).is_some_and(|accept| accept.contains("gzip"));
    let zipped = if wants_gzip { gzip(&body) } else { None };
    let mut response = Response::new(Full::new(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if zipped.is_some() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *response.body_mut() = Full::new(zipped.unwrap_or(body).into());
    response
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

fn ready(shared: &Shared) -> Response<Full<Bytes>> {
    let readiness = shared.readiness();
    let problems: Vec<String> = [readiness.source, readiness.ledger].into_iter().flatten().collect();
    let note = readiness.note.map(|note| format!("note: {note}\n")).unwrap_or_default();
    if problems.is_empty() {
        plain(StatusCode::OK, format!("ready\n{note}"))
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n{note}", problems.join("; ")))
    }
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
