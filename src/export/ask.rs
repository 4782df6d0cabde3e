//! One client that asks one URL, with parameters in the body as forms have them.
//!
//! Invariants: nothing is asked twice; more than [`ANSWER_MAX`] bytes of an answer are never held. Deliberately absent,
//! as for pushes: redirects, which would carry credentials elsewhere, proxies, cookies, compression.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::connect::{SetupError, TlsFiles, header_map, http1_client, parse_url, peer};
use super::error::NetworkError;
use super::http::{Answer, read};

/// Most bytes of an answer that are held: 64 MiB, some 200,000 series.
pub const ANSWER_MAX: usize = 64 << 20;

/// Asks one URL.
#[derive(Debug)]
pub struct QueryClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    peer: String,
    headers: HeaderMap,
    timeout: Duration,
}

impl QueryClient {
    /// Makes a client for `url`. It connects at the first question and keeps the connection.
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
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.remove(CONTENT_ENCODING);
        // We read answers as they come.
        headers.remove(ACCEPT_ENCODING);
        let client = http1_client(&uri, tls, Duration::from_secs(90))?;
        Ok(Self { client, peer: peer(&uri), uri, headers, timeout: Duration::from_millis(timeout_ms) })
    }

    /// Asks, and returns the answer, whatever its status. A body of one byte more than [`ANSWER_MAX`] was cut.
    ///
    /// # Errors
    /// When no complete answer came in time.
    pub async fn ask(&self, parameters: &[(&str, &str)]) -> Result<Answer, NetworkError> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut request = Request::new(Full::new(Bytes::from(form.join("&"))));
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
        let failed = |error: &(dyn std::error::Error + 'static)| NetworkError::of(error, &self.peer);
        let response = self.client.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let body = read(response.into_body(), ANSWER_MAX + 1).await.map_err(|error| failed(&error))?;
        Ok(Answer { status, retry_after: None, body })
    }
}
