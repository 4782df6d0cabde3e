//! OTLP over HTTP: one client for one URL.
//!
//! Invariants: the content type is exactly `application/x-protobuf` (Prometheus refuses any parameter);
//! the body is gzip or plain, without `Content-Encoding: identity`; at most [`BODY_MAX`] bytes of an answer
//! are read. Deliberately absent: retries, redirects, proxies, cookies.

use std::io::Write;
use std::time::Duration;

use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use super::connect::{SetupError, TlsFiles, header_map, http1_client, parse_url, peer};
use super::error::NetworkError;
use crate::config::Compression;

/// Most bytes of an answer that are read; the rest is cut off.
pub const BODY_MAX: usize = 64 * 1024;

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The `Retry-After` header as it came.
    pub retry_after: Option<String>,
    /// The body's first 64 KiB.
    pub body: Vec<u8>,
}

/// Posts protobuf bodies to one URL.
#[derive(Debug)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    peer: String,
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
}

impl HttpClient {
    /// Makes a client for `url`. It connects at the first request and keeps the connection.
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
        let mut headers = header_map(headers)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.remove(CONTENT_ENCODING);
        // We read answers as they come.
        headers.remove(ACCEPT_ENCODING);
        if compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = http1_client(&uri, tls, Duration::from_secs(90))?;
        let timeout = Duration::from_millis(timeout_ms);
        Ok(Self { client, peer: peer(&uri), uri, headers, compression, timeout })
    }

    /// Posts `body` and returns the answer, whatever its status.
    ///
    /// # Errors
    /// When no complete answer came in time.
    pub async fn post(&self, body: Vec<u8>) -> Result<Answer, NetworkError> {
        let body = match self.compression {
            Compression::Gzip => gzip(&body),
            Compression::None => body,
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let Ok(result) = tokio::time::timeout(self.timeout, self.exchange(request)).await else {
            let after_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
            return Err(NetworkError::Timeout { peer: self.peer.clone(), after_ms });
        };
        result
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, NetworkError> {
        let response =
            self.client.request(request).await.map_err(|error| NetworkError::of(&error, &self.peer))?;
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = read(response.into_body(), BODY_MAX)
            .await
            .map_err(|error| NetworkError::of(&error, &self.peer))?;
        Ok(Answer { status, retry_after, body })
    }
}

/// Returns the first `max` bytes of a body.
pub(super) async fn read(mut incoming: Incoming, max: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = max - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if body.len() == max {
            break;
        }
    }
    Ok(body)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), flate2::Compression::fast());
    #[expect(clippy::expect_used, reason = "writing to a Vec cannot fail")]
    {
        encoder.write_all(body).expect("a Vec takes all bytes");
        encoder.finish().expect("a Vec takes all bytes")
    }
}
