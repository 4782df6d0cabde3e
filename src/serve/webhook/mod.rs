//! The receiver of webhooks: `POST /webhook/cron`, on an address of its own.
//!
//! A notice goes to the core thread, which commits all that wait together, and is answered when it is on the disk: 202 if
//! it is the first of its run, else 200. Invariants: connections, bodies and notices that wait are bounded, each by
//! itself, and what is beyond is turned away at once (429, 503); every wait has its time-out; a body is read only for
//! whoever shows a valid token; no answer and no log line holds anything of a request. Deliberately absent: what a notice
//! means (`openclaw`), what is counted (`ledger`), and where notices go from here.

mod access;
mod address;
mod answer;
mod body;
mod door;
mod places;
mod tls;

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

use super::core::Wake;
use crate::clock::Clock;
use crate::model::{Notice, Receipt};
use crate::telemetry::{WebhookError, WebhookStats};

pub use access::Access;
pub use address::is_ours;
pub use door::Door;
pub use tls::CertificateError;

use places::Places;
use tls::Tls;

/// Largest request head in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// How long a head may take, and a connection between two requests be idle. Longer than clients keep idle connections
/// (4 s in Node.js), so that none is closed in the moment in which one is used again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long a connection takes no further request, and as much later it ends.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Notices that wait for the core at most: at 500 a second half a second's.
const MAX_WAITING: usize = 256;
/// All bodies that are being read together, in bytes.
const MAX_BODIES: usize = 4 << 20;
/// Connections that are being turned away with an answer; beyond, without.
const MAX_REFUSED: usize = 32;
/// How long a client that is turned away may take to hear it.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);
const REFUSAL: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A notice on its way to the core, and where its receipt goes: `None` if it could not be committed.
pub struct Delivery {
    /// The notice.
    pub notice: Notice,
    /// Told after the commit.
    pub done: oneshot::Sender<Option<Receipt>>,
}

/// What requests are answered with.
struct Receiver {
    access: watch::Receiver<Arc<Access>>,
    /// The name of the gateway that the ledger belongs to.
    own_gateway: String,
    /// Whether a relay passes on what runs say.
    summaries: Arc<AtomicBool>,
    wakes: Sender<Wake>,
    /// Notices that may still wait for the core.
    waiting: Semaphore,
    /// Bytes of bodies that may still be read.
    bodies: Arc<Semaphore>,
    stats: Arc<Mutex<WebhookStats>>,
    clock: Clock,
}

/// What a receiver is made of.
struct Parts {
    /// Who is let in; changes with the configuration.
    pub access: watch::Receiver<Arc<Access>>,
    /// The name of the gateway that the ledger belongs to.
    pub own_gateway: String,
    /// Whether a relay passes on what runs say; changes with the configuration.
    pub summaries: Arc<AtomicBool>,
    /// Where notices go.
    pub wakes: Sender<Wake>,
    /// What is counted.
    pub stats: Arc<Mutex<WebhookStats>>,
    /// The clock.
    pub clock: Clock,
}

impl Receiver {
    /// Brings the parts together.
    fn new(parts: Parts) -> Self {
        let Parts { access, own_gateway, summaries, wakes, stats, clock } = parts;
        let (waiting, bodies) = (Semaphore::new(MAX_WAITING), Arc::new(Semaphore::new(MAX_BODIES)));
        Self { access, own_gateway, summaries, wakes, waiting, bodies, stats, clock }
    }

    fn count(&self, change: impl FnOnce(&mut WebhookStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A bound address with what secures it.
struct Listening {
    listener: TcpListener,
    tls: Option<Tls>,
}

impl Listening {
    /// Serves until `shutdown` turns true.
    async fn serve(self, receiver: Receiver, mut shutdown: watch::Receiver<bool>) {
        let receiver = Arc::new(receiver);
        let places = Places::default();
        let refusals = Arc::new(Semaphore::new(MAX_REFUSED));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors: give others time to close theirs.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Some(place) = places.take(peer.ip()) else {
                receiver.count(|stats| stats.refused(WebhookError::TooMany));
                if let (None, Ok(permit)) = (&self.tls, Arc::clone(&refusals).try_acquire_owned()) {
                    tokio::spawn(async move {
                        let _permit = permit;
                        _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)).await;
                    });
                }
                continue;
            };
            // Answers are small: they must not wait for an acknowledgement.
            _ = stream.set_nodelay(true);
            let (receiver, tls, shutdown) = (Arc::clone(&receiver), self.tls.clone(), shutdown.clone());
            tokio::spawn(async move {
                let _place = place;
                let Some(tls) = tls else { return connection(stream, receiver, shutdown).await };
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    connection(stream, receiver, shutdown).await;
                }
            });
        }
    }
}

/// Says that there are too many, and lets the client hear it: what it has sent already must be taken off the line, since
/// a socket that is closed on unread bytes takes back what was written.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

async fn connection<S>(stream: S, receiver: Arc<Receiver>, mut shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let receiver = Arc::clone(&receiver);
        async move { Ok::<_, Infallible>(receiver.respond(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A client that goes away is no event.
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}
