//! A server that is asked in PromQL: from flags to a URL, headers and files.
//!
//! Invariant: neither the content of the header file nor a query string of the URL appears in an error.

use std::fmt;
use std::path::{Path, PathBuf};

use super::otlp::{check_url, mask_url, with_path};
use super::secret::ReadFile;
use super::value::Raw;
use super::{ConfigError, Headers, Origin};

/// What of a given URL belongs to the API and not to the server's prefix, the longest first.
const API_PATHS: [&str; 3] = ["/api/v1/query", "/api/v1/otlp", "/api/v1"];
/// Under the prefix of every server with Prometheus's API.
const QUERY_PATH: &str = "/api/v1/query";

/// Flags as they were given.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryFlags<'a> {
    /// `--prometheus`.
    pub url: &'a str,
    /// `--header-file`.
    pub header_file: Option<&'a str>,
    /// `--ca-file`.
    pub ca_file: Option<&'a str>,
    /// `--client-cert-file`.
    pub client_cert_file: Option<&'a str>,
    /// `--client-key-file`.
    pub client_key_file: Option<&'a str>,
}

/// Where and how to ask.
#[derive(Clone)]
pub struct QueryEndpoint {
    /// The full URL of instant queries.
    pub url: String,
    /// The server as a person may see it: without the API's path, the query string masked.
    pub shown: String,
    /// Headers of every request, credentials included.
    pub headers: Headers,
    /// PEM file with the authorities to trust; `None` = the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate chain.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with our private key; present exactly if the certificate is.
    pub client_key_file: Option<PathBuf>,
}

impl fmt::Debug for QueryEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("QueryEndpoint");
        shown.field("shown", &self.shown).field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// Returns where and how to ask.
///
/// # Errors
/// The URL or the header file is not one, or of certificate and key one is missing.
pub fn query_endpoint(flags: &QueryFlags<'_>, read: ReadFile<'_>) -> Result<QueryEndpoint, ConfigError> {
    let flag = "--prometheus";
    let raw = Raw::new(flags.url, Origin::Flag(flag));
    if flags.url.split_once("://").is_some_and(|(_, rest)| authority(rest).contains('@')) {
        let problem = "a URL must not hold user and password, which others can see; put a line `Authorization: \
                       Basic …` into a file and name it with --header-file";
        return Err(raw.conflict(flag, problem));
    }
    let uri = check_url(flag, &raw)?;
    let path = uri.path().trim_end_matches('/');
    let prefix = API_PATHS.iter().find_map(|api| path.strip_suffix(api)).unwrap_or(path);
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let base = format!("{}://{host}{prefix}", uri.scheme_str().unwrap_or_default());
    let full: http::Uri = format!("{base}{query}").parse().map_err(|_| raw.conflict(flag, "it is no URL"))?;
    if flags.client_cert_file.is_some() != flags.client_key_file.is_some() {
        let problem = "a client certificate needs both files; give --client-cert-file and --client-key-file";
        return Err(raw.conflict("--client-cert-file", problem));
    }
    let path = |text: Option<&str>| text.map(PathBuf::from);
    Ok(QueryEndpoint {
        url: with_path(&full, QUERY_PATH),
        shown: mask_url(&format!("{base}{query}")),
        headers: flags
            .header_file
            .map(|file| headers(Path::new(file), read))
            .transpose()?
            .unwrap_or_default(),
        ca_file: path(flags.ca_file),
        client_cert_file: path(flags.client_cert_file),
        client_key_file: path(flags.client_key_file),
    })
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn headers(path: &Path, read: ReadFile<'_>) -> Result<Headers, ConfigError> {
    let origin = Origin::Flag("--header-file");
    let text = read(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        origin: origin.clone(),
        source,
        remedy: "check the path and that this user may read the file",
    })?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let headers = lines.map(|(at, line)| {
        let (name, value) = line.split_once(':').ok_or_else(|| ConfigError::SecretFile {
            key: "--header-file".to_owned(),
            path: path.to_owned(),
            origin: origin.clone(),
            problem: format!("expected `Name: value` in line {} of the file", at + 1),
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    Ok(Headers(headers.collect::<Result<_, ConfigError>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &Path) -> std::io::Result<String> {
        Ok("# a comment\n\nAuthorization: Bearer a:b\nX-Scope-OrgID:team\n".to_owned())
    }

    fn asked(url: &str) -> Result<QueryEndpoint, ConfigError> {
        query_endpoint(&QueryFlags { url, ..QueryFlags::default() }, &none)
    }

    #[test]
    fn a_server_may_lie_under_a_prefix() {
        for (url, full, shown) in [
            ("http://h:9090", "http://h:9090/api/v1/query", "http://h:9090"),
            ("http://h:9090/", "http://h:9090/api/v1/query", "http://h:9090"),
            ("https://m/prometheus/", "https://m/prometheus/api/v1/query", "https://m/prometheus"),
            (
                "http://v/select/0/prometheus",
                "http://v/select/0/prometheus/api/v1/query",
                "http://v/select/0/prometheus",
            ),
            ("http://h:9090/api/v1/query", "http://h:9090/api/v1/query", "http://h:9090"),
            ("http://h:9090/api/v1/otlp", "http://h:9090/api/v1/query", "http://h:9090"),
            ("http://h/p/api/v1?tenant=x", "http://h/p/api/v1/query?tenant=x", "http://h/p?***"),
        ] {
            let found = asked(url).unwrap();
            assert_eq!((found.url.as_str(), found.shown.as_str()), (full, shown), "{url}");
        }
    }

    #[test]
    fn what_is_no_server_is_said() {
        for (url, said) in [
            ("h:9090", "expected "),
            ("ftp://h", "expected http:// or https://"),
            ("http://h:0", "expected a port"),
            ("http://me:secret@h", "must not hold user and password"),
        ] {
            let error = asked(url).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("--prometheus"), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let one = QueryFlags { url: "http://h", client_cert_file: Some("c"), ..QueryFlags::default() };
        assert!(query_endpoint(&one, &none).unwrap_err().to_string().contains("needs both files"));
    }

    #[test]
    fn headers_come_from_a_file_and_are_masked() {
        let flags = QueryFlags { url: "http://h", header_file: Some("f"), ..QueryFlags::default() };
        let found = query_endpoint(&flags, &none).unwrap();
        let headers: Vec<(&str, &str)> = found.headers.iter().collect();
        assert_eq!(headers, [("Authorization", "Bearer a:b"), ("X-Scope-OrgID", "team")]);
        assert!(!format!("{found:?}").contains("Bearer"), "{found:?}");
        let bad = query_endpoint(&flags, &|_| Ok("secret".to_owned())).unwrap_err().to_string();
        assert!(bad.contains("in line 1 of the file") && !bad.contains("secret"), "{bad}");
    }
}
