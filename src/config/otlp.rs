//! One OTLP endpoint: from the texts of a layer to an [`EndpointConfig`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Uri};

use super::resolve::Paths;
use super::secret::{ReadFile, SecretFile};
use super::value::{Millis, Name, Raw, Value};
use super::{Compression, ConfigError, EndpointConfig, Explained, Headers, Origin, Protocol};

/// Keys of an `[[otlp]]` table besides `headers`.
pub(super) const ENDPOINT_KEYS: [&str; 12] = [
    "endpoint",
    "name",
    "protocol",
    "headers_file",
    "bearer_token_file",
    "basic_auth_file",
    "compression",
    "timeout",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    // Last, since endpoints of events have none.
    "interval",
];
const SECRET_FILES: [&str; 3] = ["headers_file", "bearer_token_file", "basic_auth_file"];

/// What an endpoint receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receives {
    Metrics,
    Events,
}

impl Receives {
    /// Returns the name of its tables in the file.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Metrics => "otlp",
            Self::Events => "events.otlp",
        }
    }

    /// Returns the keys of its tables, besides `headers`: events are sent when they happen, at no interval.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Metrics => &ENDPOINT_KEYS,
            Self::Events => &ENDPOINT_KEYS[..ENDPOINT_KEYS.len() - 1],
        }
    }

    /// Returns what is appended to the base URL for HTTP.
    const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Events => "/v1/logs",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Metrics => "http://HOST:9090/api/v1/otlp",
            Self::Events => "http://HOST:3100/otlp",
        }
    }
}

/// What one layer says of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct EndpointTable {
    /// The table as a whole.
    pub origin: Origin,
    /// By key of [`ENDPOINT_KEYS`].
    pub values: BTreeMap<&'static str, Raw>,
    /// Name and value.
    pub headers: Vec<(String, Raw)>,
    /// The endpoint is the metrics signal's own full URL.
    pub as_is: bool,
    pub receives: Receives,
}

impl EndpointTable {
    /// Returns a table that says nothing.
    pub(super) const fn of(receives: Receives) -> Self {
        Self { origin: Origin::Default, values: BTreeMap::new(), headers: Vec::new(), as_is: false, receives }
    }

    /// Returns this table with the given endpoint.
    pub(super) fn at(&self, endpoint: Raw, as_is: bool) -> Self {
        let mut table = Self { origin: endpoint.origin.clone(), as_is, ..self.clone() };
        table.values.insert("endpoint", endpoint);
        table
    }

    /// Returns the endpoint and, appended to `explained`, where each of its values came from.
    pub(super) fn resolve(
        &self,
        paths: &Paths,
        read: ReadFile<'_>,
        explained: &mut Vec<Explained>,
    ) -> Result<EndpointConfig, ConfigError> {
        let (table, path) = (self.receives.table(), self.receives.path());
        let endpoint = self.values.get("endpoint").ok_or_else(|| {
            let example = self.receives.example();
            let problem = format!("an endpoint needs its URL; add endpoint = \"{example}\"");
            Raw::new("", self.origin.clone()).conflict(&format!("{table}.endpoint"), problem)
        })?;
        let uri = check_url(&format!("{table}.endpoint"), endpoint)?;
        let name = match self.values.get("name") {
            Some(raw) => raw.parse::<Name>(&format!("{table}.name"))?.0,
            None => derived_name(&uri, path),
        };
        let mut rows = Rows { prefix: format!("{table}.{name}"), table: self, rows: explained };
        let protocol = rows.value("protocol", Protocol::Http)?;
        let url = match protocol {
            Protocol::Http if self.as_is || uri.path().trim_end_matches('/').ends_with(path) => {
                endpoint.text.clone()
            }
            Protocol::Http => with_path(&uri, path),
            Protocol::Grpc => endpoint.text.clone(),
        };
        rows.push("endpoint", mask_url(&url), endpoint.origin.clone());
        let headers = rows.headers(paths, read)?;
        let config = EndpointConfig {
            protocol,
            compression: rows.value("compression", Compression::Gzip)?,
            timeout_ms: rows.value("timeout", Millis::<100, 600_000>(10_000))?.0,
            interval_ms: rows.interval()?,
            ca_file: rows.path("ca_file", "the system's authorities", paths)?,
            client_cert_file: rows.path("client_cert_file", "none", paths)?,
            client_key_file: rows.path("client_key_file", "none", paths)?,
            name,
            url,
            headers,
        };
        self.check_client_pair()?;
        Ok(config)
    }

    fn check_client_pair(&self) -> Result<(), ConfigError> {
        for (one, other) in [("client_cert_file", "client_key_file"), ("client_key_file", "client_cert_file")]
        {
            if let (Some(raw), None) = (self.values.get(one), self.values.get(other)) {
                let problem = format!("a client certificate needs both files; give {other} too");
                return Err(raw.invalid(&format!("{}.{one}", self.receives.table()), problem));
            }
        }
        Ok(())
    }
}

/// Reads values of a table and notes each with its origin.
struct Rows<'a> {
    prefix: String,
    table: &'a EndpointTable,
    rows: &'a mut Vec<Explained>,
}

impl Rows<'_> {
    fn push(&mut self, key: &str, value: String, origin: Origin) {
        self.rows.push(Explained { key: format!("{}.{key}", self.prefix), value, origin });
    }

    /// Returns the key for errors.
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.table.receives.table())
    }

    fn interval(&mut self) -> Result<u64, ConfigError> {
        const DEFAULT_MS: u64 = 15_000;
        match self.table.receives {
            Receives::Metrics => Ok(self.value("interval", Millis::<1_000, 3_600_000>(DEFAULT_MS))?.0),
            Receives::Events => Ok(DEFAULT_MS),
        }
    }

    fn value<T: Value>(&mut self, key: &str, default: T) -> Result<T, ConfigError> {
        let (value, origin) = match self.table.values.get(key) {
            Some(raw) => (raw.parse::<T>(&self.full(key))?, raw.origin.clone()),
            None => (default, Origin::Default),
        };
        self.push(key, value.show(), origin);
        Ok(value)
    }

    fn path(&mut self, key: &str, absent: &str, paths: &Paths) -> Result<Option<PathBuf>, ConfigError> {
        let raw = self.table.values.get(key);
        let path = raw.map(|raw| paths.expand(&self.full(key), raw)).transpose()?;
        let shown = path.as_ref().map_or_else(|| absent.to_owned(), |p| p.display().to_string());
        self.push(key, shown, raw.map_or(Origin::Default, |raw| raw.origin.clone()));
        Ok(path)
    }

    fn headers(&mut self, paths: &Paths, read: ReadFile<'_>) -> Result<Headers, ConfigError> {
        let mut headers = Vec::new();
        for (name, raw) in &self.table.headers {
            if matches!(raw.origin, Origin::File { .. }) {
                refuse_secret(&self.full("headers"), name, raw)?;
            }
            self.header(&mut headers, name, raw)?;
        }
        for key in SECRET_FILES {
            let Some(raw) = self.table.values.get(key) else { continue };
            let full = self.full(key);
            let path = paths.expand(&full, raw)?;
            for (name, raw) in (SecretFile { key: &full, path, origin: &raw.origin }).headers(read)? {
                self.header(&mut headers, &name, &raw)?;
            }
        }
        Ok(Headers(headers))
    }

    fn header(
        &mut self,
        headers: &mut Vec<(String, String)>,
        name: &str,
        raw: &Raw,
    ) -> Result<(), ConfigError> {
        const OURS: [&str; 7] = [
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "host",
            "te",
            "transfer-encoding",
        ];
        let full = self.full("headers");
        let refuse = |problem: String| Err(raw.conflict(&full, problem));
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return refuse("a header's name is not letters, digits and hyphens; correct it".to_owned());
        }
        if !HeaderValue::from_str(&raw.text).is_ok_and(|value| value.to_str().is_ok()) {
            return refuse(format!("the value of header {name} is not printable ASCII; correct it"));
        }
        if OURS.contains(&&*name.to_ascii_lowercase()) {
            return refuse(format!("header {name} is set by the exporter itself; leave it out"));
        }
        if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return refuse(format!("header {name} is given twice for {}; keep one", self.prefix));
        }
        headers.push((name.to_owned(), raw.text.clone()));
        self.push(&format!("headers.{name}"), "***".to_owned(), raw.origin.clone());
        Ok(())
    }
}

/// Refuses headers that carry secrets in the configuration file, which is often world-readable.
fn refuse_secret(full: &str, name: &str, raw: &Raw) -> Result<(), ConfigError> {
    const SECRET: [&str; 8] =
        ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "api_key"];
    let lower = name.to_ascii_lowercase();
    if SECRET.iter().any(|word| lower.contains(word)) {
        let problem = format!(
            "header {name} holds a secret, which does not belong into this file; use headers_file, bearer_token_file or basic_auth_file"
        );
        return Err(raw.conflict(full, problem));
    }
    Ok(())
}

/// Returns the URL if it can be used: http or https, with a host, without user and password.
pub(super) fn check_url(key: &str, raw: &Raw) -> Result<Uri, ConfigError> {
    let refuse = |problem: &str| Err(Raw::new(mask_url(&raw.text), raw.origin.clone()).invalid(key, problem));
    let Ok(uri) = raw.text.parse::<Uri>() else {
        return refuse("expected a URL such as http://127.0.0.1:9090/api/v1/otlp");
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refuse(
            "a URL must not hold user and password; put user:password into a file and name it as basic_auth_file in the endpoint's table",
        );
    }
    let port_is_number =
        uri.authority().is_some_and(|a| a.as_str() == a.host() || a.port_u16().is_some_and(|port| port > 0));
    match uri.scheme_str() {
        Some("http" | "https") if port_is_number => Ok(uri),
        Some("http" | "https") => refuse("expected a port from 1 to 65535 after the host"),
        _ => refuse("expected http:// or https:// in front, as in http://127.0.0.1:9090/api/v1/otlp"),
    }
}

/// Returns the URL with `path` appended to its path.
pub(super) fn with_path(uri: &Uri, path: &str) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{host}{}{path}{query}", uri.path().trim_end_matches('/'))
}

/// Returns host, port and path: the name of an endpoint that was given none, the same for the base URL
/// and for that of the signal, whose path is given.
fn derived_name(uri: &Uri, signal: &str) -> String {
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_suffix(signal).unwrap_or(path);
    format!("{}{path}", uri.authority().map_or("", |authority| authority.as_str()))
}

/// Returns the URL with user, password and query replaced by `***`.
pub(super) fn mask_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let separator = if url.contains("://") { "://" } else { "" };
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    format!("{scheme}{separator}{user}{rest}{query}")
}
