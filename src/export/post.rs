//! One client that posts to one URL which is a secret.
//!
//! Invariants: no error holds any part of the URL, of what was sent or of what was answered; redirects are not followed,
//! wherever they lead; no proxy is used, whatever the environment says; at most [`ANSWER_MAX`] bytes of an answer are
//! read. Deliberately absent: retries, cookies, compression.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use super::connect::{SetupError, TlsFiles, header_map, http1_client, parse_url};
use super::error::{NetworkError, TlsProblem};
use super::http::read;
use crate::telemetry::ExportFailure;

/// Most bytes of an answer that are read.
const ANSWER_MAX: usize = 16 << 10;
/// Stands for host and port in errors.
const PEER: &str = "its server";

/// What a server answered.
#[derive(Clone, Debug, Default)]
pub struct Posted {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body's first bytes.
    pub body: Vec<u8>,
}

impl Posted {
    /// Returns a header that is plain text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// No answer came. The words are always ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PostError {
    /// What kind of failure it is.
    pub failure: ExportFailure,
    text: &'static str,
}

impl PostError {
    fn of(error: &NetworkError) -> Self {
        let (failure, text) = match error {
            NetworkError::Refused { .. } => (ExportFailure::Connection, "the connection was refused"),
            NetworkError::Unreachable { .. } => (
                ExportFailure::Connection,
                "its server cannot be reached: the host is not known, or there is no way to it",
            ),
            NetworkError::Broken { .. } => (ExportFailure::Connection, "the connection broke off"),
            NetworkError::Timeout { .. } => (ExportFailure::Timeout, "no answer came in time"),
            NetworkError::Tls { problem, .. } => (ExportFailure::Tls, tls_text(*problem)),
        };
        Self { failure, text }
    }
}

const fn tls_text(problem: TlsProblem) -> &'static str {
    match problem {
        TlsProblem::UnknownAuthority => {
            "TLS failed: the server's certificate is of an authority that is not trusted here"
        }
        TlsProblem::WrongName => "TLS failed: the server's certificate is for another name",
        TlsProblem::Expired => "TLS failed: the server's certificate is not valid now",
        TlsProblem::ClientCertificate => "TLS failed: the server wants a client certificate",
        TlsProblem::NotTls => "TLS failed: the server does not speak it on that port",
        TlsProblem::Other => "TLS failed",
    }
}

/// Posts to one URL.
pub struct PostClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

impl PostClient {
    /// Makes a client for `url`. It connects at the first request and keeps the connection.
    ///
    /// # Errors
    /// When the URL, a header or a PEM file cannot be used.
    pub fn new<'a>(
        url: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        timeout_ms: u64,
        tls: &TlsFiles,
    ) -> Result<Self, SetupError> {
        let uri = parse_url(url)?;
        let mut headers = header_map(headers)?;
        // We read answers as they come.
        headers.remove(ACCEPT_ENCODING);
        let client = http1_client(&uri, tls, Duration::from_secs(30))?;
        Ok(Self { client, uri, headers, timeout: Duration::from_millis(timeout_ms) })
    }

    /// Posts a body with further headers, and returns the answer, whatever its status.
    ///
    /// # Errors
    /// When no complete answer came in time.
    pub async fn post(
        &self,
        body: Vec<u8>,
        content_type: &'static str,
        further: &[(&'static str, String)],
    ) -> Result<Posted, PostError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in further {
            // What cannot be a header's value is left out: there is none such.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let answer = match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(NetworkError::Timeout { peer: PEER.into(), after_ms: 0 }),
        };
        answer.map_err(|error| PostError::of(&error))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Posted, NetworkError> {
        let response = self.client.request(request).await.map_err(|error| NetworkError::of(&error, PEER))?;
        let (head, body) = response.into_parts();
        let body = read(body, ANSWER_MAX).await.map_err(|error| NetworkError::of(&error, PEER))?;
        Ok(Posted { status: head.status.as_u16(), headers: head.headers, body })
    }
}
