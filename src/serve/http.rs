//! `/metrics`, `/healthz` and `/readyz`.
//!
//! Invariants: nothing in a request is ever a path or a name; headers, connections and times are bounded.
//! Deliberately absent: TLS and authentication; the default address is this machine only.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use flate2::write::GzEncoder;
use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::state::Shared;
use crate::clock::Clock;
use crate::telemetry::text::{Format, Pieces};

/// Connections served at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// Largest request head in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole connection, so that an idle one does not hold its place for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a scrape waits for the first look at the sources: half of what Prometheus waits.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// What is served.
#[derive(Clone)]
pub struct Surface {
    /// Totals and readiness.
    pub shared: Arc<Shared>,
    /// The clock.
    pub clock: Clock,
    /// Turns true once everything on disk was looked at. No totals are shown before: those of a part of the
    /// history would grow, and that growth would pass for usage.
    pub first_look: watch::Receiver<bool>,
}

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
pub async fn serve(listener: TcpListener, surface: Surface, mut shutdown: watch::Receiver<bool>) {
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
        let surface = surface.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let surface = surface.clone();
                async move { Ok::<_, Infallible>(respond(&request, surface).await) }
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

async fn respond(request: &Request<Incoming>, mut surface: Surface) -> Response<Answer> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let looked = surface.first_look.wait_for(|looked| *looked);
            if !matches!(tokio::time::timeout(FIRST_LOOK, looked).await, Ok(Ok(_))) {
                return plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the sources are being read, try again\n".into(),
                );
            }
            metrics(request, &surface.shared, &surface.clock)
        }
        "/healthz" => plain(StatusCode::OK, "alive\n".into()),
        "/readyz" => ready(&surface.shared),
        "/" => plain(StatusCode::OK, "openclaw-usage: /metrics /healthz /readyz\n".into()),
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".into()),
    }
}

fn metrics(request: &Request<Incoming>, shared: &Shared, clock: &Clock) -> Response<Answer> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(header(ACCEPT));
    let wants_gzip = header(ACCEPT_ENCODING).is_some_and(|accept| accept.contains("gzip"));
    let zipped = wants_gzip.then(|| GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let page = Page { pieces: Pieces::new(shared.snapshot(clock.now()), format), zipped };
    let mut response = Response::new(Either::Right(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if wants_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A whole text, or the page of metrics.
type Answer = Either<Full<Bytes>, Page>;

/// The page of metrics, of which each piece is made when the one before it has gone.
struct Page {
    pieces: Pieces,
    zipped: Option<GzEncoder<Vec<u8>>>,
}

impl Page {
    fn piece(&mut self) -> Option<Bytes> {
        loop {
            let piece = self.pieces.next();
            let Some(encoder) = &mut self.zipped else { return piece.map(Bytes::from) };
            let Some(piece) = piece else {
                // Nothing is refused by memory.
                return self.zipped.take()?.finish().ok().map(Bytes::from);
            };
            encoder.write_all(piece.as_bytes()).ok()?;
            let bytes = std::mem::take(encoder.get_mut());
            if !bytes.is_empty() {
                return Some(bytes.into());
            }
        }
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().piece().map(|piece| Ok(Frame::data(piece))))
    }
}

fn ready(shared: &Shared) -> Response<Answer> {
    let readiness = shared.readiness();
    let problems: Vec<String> = [readiness.source, readiness.ledger].into_iter().flatten().collect();
    let note = readiness.note.map(|note| format!("note: {note}\n")).unwrap_or_default();
    if problems.is_empty() {
        plain(StatusCode::OK, format!("ready\n{note}"))
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n{note}", problems.join("; ")))
    }
}

fn plain(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
