//! What can go wrong on the way to an endpoint, told apart.
//!
//! Invariant: no message holds a URL's path or query, a header or a body that we sent; the peer is named by
//! host and port. Deliberately absent: answers of a server, however bad (see [`super::outcome`]).

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Longest text of a peer or a library that goes into a message, in characters.
const TEXT_MAX: usize = 200;

/// No answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The host answered that nothing listens on that port.
    #[error("connection to {peer} refused")]
    Refused {
        /// Host and port.
        peer: String,
    },
    /// No connection for another reason: unknown host, no route.
    #[error("cannot connect to {peer}: {text}")]
    Unreachable {
        /// Host and port.
        peer: String,
        /// The chain of causes.
        text: String,
    },
    /// The TLS session did not come about or was ended by the peer.
    #[error("TLS with {peer} failed: {text}")]
    Tls {
        /// Host and port.
        peer: String,
        /// What is wrong, as far as it can be told.
        problem: TlsProblem,
        /// The chain of causes.
        text: String,
    },
    /// No complete answer in time.
    #[error("no answer from {peer} within {after_ms} ms")]
    Timeout {
        /// Host and port.
        peer: String,
        /// How long was waited.
        after_ms: u64,
    },
    /// The connection ended before the answer, or the peer speaks another protocol.
    #[error("connection to {peer} broke: {text}")]
    Broken {
        /// Host and port.
        peer: String,
        /// The chain of causes.
        text: String,
    },
}

/// Kinds of TLS failures that have different remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProblem {
    /// The server's certificate was issued by an authority that is not trusted here.
    UnknownAuthority,
    /// The certificate is for another name.
    WrongName,
    /// The certificate is expired or not yet valid; or our clock is wrong.
    Expired,
    /// The server wants a client certificate, or another one.
    ClientCertificate,
    /// The peer does not speak TLS on that port.
    NotTls,
    /// Anything else; see the text.
    Other,
}

impl NetworkError {
    /// Returns what the chain of causes of `error` amounts to.
    pub(crate) fn of(error: &(dyn Error + 'static), peer: &str) -> Self {
        let peer = peer.to_owned();
        let text = chain(error);
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::Tls { peer, problem: tls_problem(tls), text };
        }
        if find_io(error).any(|kind| kind == io::ErrorKind::ConnectionRefused) {
            return Self::Refused { peer };
        }
        if find::<hyper_util::client::legacy::Error>(error).is_some_and(|error| error.is_connect()) {
            return Self::Unreachable { peer, text };
        }
        Self::Broken { peer, text }
    }
}

fn tls_problem(error: &rustls::Error) -> TlsProblem {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            // A bad signature: an authority of the same name with another key, such as one made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired,
            _ => TlsProblem::Other,
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => TlsProblem::ClientCertificate,
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => TlsProblem::NotTls,
        _ => TlsProblem::Other,
    }
}

/// Returns an iterator over `error` and its causes, also those that an `io::Error` wraps without naming
/// them as its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn find_io<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = io::ErrorKind> + 'a {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let words = cause.to_string();
        // Many wrappers repeat what they wrap.
        if text.ends_with(&words) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&words);
    }
    clean(&text)
}

/// Returns foreign text as one line: control characters removed, blanks joined, cut after 200 characters.
#[must_use]
pub(crate) fn clean(text: &str) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= TEXT_MAX {
                line.push('…');
                return line;
            }
            line.push(c);
            length += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_bounded_line() {
        assert_eq!(clean("out of\torder\r\n\u{1b}[31msample\0 \n"), "out of order [31msample");
        assert_eq!(clean(""), "");
        let long = clean(&"é".repeat(1000));
        assert_eq!(long.chars().count(), TEXT_MAX + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_tls_failure_is_found_inside_io_errors() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        let NetworkError::Tls { problem, text, peer } = NetworkError::of(&error, "host:443") else {
            panic!("not recognised as TLS");
        };
        assert_eq!((problem, peer.as_str()), (TlsProblem::UnknownAuthority, "host:443"));
        assert!(text.contains("UnknownIssuer"), "{text}");
    }
}
