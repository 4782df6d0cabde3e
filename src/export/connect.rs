//! TLS settings and connectors that both protocols share.
//!
//! Invariants: certificates are verified, always; a given CA file replaces the system's authorities; the
//! system's are read only for `https` URLs. Deliberately absent: a switch that turns verification off.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper::body::Body;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::clean;
use crate::config::EndpointConfig;

/// How this program names itself to servers.
pub(crate) const USER_AGENT: &str = concat!("openclaw-usage/", env!("CARGO_PKG_VERSION"));

/// A client that cannot be made from its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The URL has no scheme or host that can be connected to.
    #[error("the URL cannot be used: {problem}; give one like http://localhost:9090/api/v1/otlp/v1/metrics")]
    Url {
        /// What is wrong; never the URL itself, which may hold a secret.
        problem: String,
    },
    /// A header that HTTP cannot carry.
    #[error("the header {name:?} cannot be sent: its name or value holds characters that HTTP forbids")]
    Header {
        /// Its name.
        name: String,
    },
    /// A PEM file that cannot be used.
    #[error("cannot read {what} from {}: {text}; it must be a readable PEM file", path.display())]
    Pem {
        /// What was expected in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        text: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {text}; set ca_file, or install the system's CA certificates")]
    Tls {
        /// What went wrong.
        text: String,
    },
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate chain.
    pub client_cert_file: Option<PathBuf>,
    /// Our private key.
    pub client_key_file: Option<PathBuf>,
}

impl From<&EndpointConfig> for TlsFiles {
    fn from(config: &EndpointConfig) -> Self {
        Self {
            ca_file: config.ca_file.clone(),
            client_cert_file: config.client_cert_file.clone(),
            client_key_file: config.client_key_file.clone(),
        }
    }
}

/// HTTP version to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Returns the URL as a [`Uri`] with host and a scheme that we can connect to.
pub(crate) fn parse_url(url: &str) -> Result<Uri, SetupError> {
    let uri: Uri = url.parse().map_err(|_| SetupError::Url { problem: "it is not a URL".into() })?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("http" | "https"), _) => Err(SetupError::Url { problem: "it names no host".into() }),
        _ => Err(SetupError::Url { problem: "it must begin with http:// or https://".into() }),
    }
}

/// Returns host and port of a URL, for messages.
pub(crate) fn peer(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}

/// Returns these headers, each name and value checked.
pub(crate) fn header_map<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<HeaderMap, SetupError> {
    let mut map = HeaderMap::new();
    map.insert(hyper::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for (name, value) in headers {
        let error = || SetupError::Header { name: clean(name) };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| error())?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

/// Returns a client that speaks HTTP/1 to `uri`, on one connection that stays for so long between two requests.
pub(crate) fn http1_client<B>(
    uri: &Uri,
    files: &TlsFiles,
    idle: Duration,
) -> Result<Client<HttpsConnector<HttpConnector>, B>, SetupError>
where
    B: Body + Send,
    B::Data: Send,
{
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(1)
        .build(connector(uri, files, Version::Http1)?))
}

/// Returns what opens connections to `uri`.
pub(crate) fn connector(
    uri: &Uri,
    files: &TlsFiles,
    version: Version,
) -> Result<HttpsConnector<HttpConnector>, SetupError> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let config = client_config(files, uri.scheme_str() == Some("https"))?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    Ok(match version {
        Version::Http1 => builder.enable_http1().wrap_connector(tcp),
        Version::Http2 => builder.enable_http2().wrap_connector(tcp),
    })
}

fn client_config(files: &TlsFiles, https: bool) -> Result<ClientConfig, SetupError> {
    let tls = |error: &dyn std::fmt::Display| SetupError::Tls { text: clean(&error.to_string()) };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?;
    let builder = match &files.ca_file {
        _ if !https => builder.with_root_certificates(RootCertStore::empty()),
        Some(path) => builder.with_root_certificates(authorities(path)?),
        None => builder.with_native_roots().map_err(|error| tls(&error))?,
    };
    match (&files.client_cert_file, &files.client_key_file) {
        (Some(cert_file), Some(key_file)) if https => {
            let chain = certificates(cert_file, "our certificate chain")?;
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|error| pem(key_file, "our private key", &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| pem(cert_file, "a certificate that fits the private key", &error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, SetupError> {
    let what = "CA certificates";
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, what)? {
        store.add(certificate).map_err(|error| pem(path, what, &error))?;
    }
    Ok(store)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| pem(path, what, &error))?.collect();
    let certificates = read.map_err(|error| pem(path, what, &error))?;
    if certificates.is_empty() {
        return Err(pem(path, what, &"there is no certificate in it"));
    }
    Ok(certificates)
}

fn pem(path: &Path, what: &'static str, error: &dyn std::fmt::Display) -> SetupError {
    SetupError::Pem { what, path: path.to_owned(), text: clean(&error.to_string()) }
}
