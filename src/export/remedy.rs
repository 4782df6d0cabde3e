//! What an operator can do about a failing endpoint.
//!
//! Pure. Sources: the flags of Prometheus's own help texts, and the changelog of Debian's package, which
//! removes the receiver. Deliberately absent: URLs and header values, which may hold secrets.

use super::error::TlsProblem;
use crate::config::Protocol;
use crate::telemetry::ExportFailure;

/// How to get a Prometheus that has an OTLP receiver.
const RECEIVER: &str = "Prometheus 3.x needs the flag --web.enable-otlp-receiver, 2.47 to 2.55 need \
     --enable-feature=otlp-write-receiver; Debian's packages of Prometheus have the receiver removed: use the \
     upstream binary or image; the full path is /api/v1/otlp/v1/metrics, without a slash at its end";

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Metrics.
    Metrics,
    /// Events, as logs.
    Events,
}

/// Returns what to do about `failure`, as an imperative clause.
pub(crate) fn remedy(failure: ExportFailure, protocol: Protocol, signal: Signal) -> &'static str {
    match (failure, protocol) {
        (ExportFailure::NotFound, Protocol::Http) if signal == Signal::Events => {
            "Loki takes logs by OTLP from version 3 on, at /otlp/v1/logs; Collectors with a pipeline of logs at /v1/logs"
        }
        (ExportFailure::NotFound, Protocol::Grpc) if signal == Signal::Events => {
            "enable the logs pipeline of the Collector's OTLP receiver; Loki takes OTLP by protocol = \"http\" only"
        }
        (ExportFailure::Connection, Protocol::Grpc) if signal == Signal::Events => {
            "check that a Collector with a gRPC receiver (usually port 4317) runs there"
        }
        (ExportFailure::Connection, Protocol::Http) => {
            "check that the server runs and that host and port of the endpoint's url are right"
        }
        (ExportFailure::Connection, Protocol::Grpc) => {
            "check that a Collector with a gRPC receiver (usually port 4317) runs there; Prometheus has none: \
             use protocol = \"http\" for it"
        }
        (ExportFailure::Tls, _) => {
            "check https or http in the url, and the endpoint's ca_file, client_cert_file and client_key_file"
        }
        (ExportFailure::Timeout, _) => {
            "check the server's load and any firewall on the way, or raise the endpoint's timeout"
        }
        (ExportFailure::Unauthorized, _) => {
            "check the token or password in the endpoint's headers, and that it may write"
        }
        (ExportFailure::NotFound, Protocol::Http) => RECEIVER,
        (ExportFailure::NotFound, Protocol::Grpc) => {
            "enable the metrics pipeline of the Collector's OTLP receiver, or use protocol = \"http\""
        }
        (ExportFailure::Refused, _) => "read the server's words: it will not take this content",
        (ExportFailure::Partial, _) => "read the server's words: it left some points out",
        (ExportFailure::Throttled, _) => "raise the server's limits or the endpoint's interval",
        (ExportFailure::Unavailable, _) => "look at the server's own log; pushes go on by themselves",
        (ExportFailure::BadAnswer, _) => {
            "check the endpoint's url: something other than an OTLP receiver answers there, such as a login \
             page or a redirect"
        }
    }
}

/// Returns what to do about a failure of TLS.
pub(crate) const fn tls_remedy(problem: TlsProblem) -> &'static str {
    match problem {
        TlsProblem::UnknownAuthority => {
            "set the endpoint's ca_file to the PEM file of the authority that issued the server's certificate"
        }
        TlsProblem::WrongName => "use a name in the url that the server's certificate holds, or reissue it",
        TlsProblem::Expired => "renew the server's certificate, or correct this machine's clock",
        TlsProblem::ClientCertificate => {
            "set the endpoint's client_cert_file and client_key_file to a certificate that the server trusts"
        }
        TlsProblem::NotTls => {
            "use http:// in the url, or enable TLS on the server: it speaks plain text there"
        }
        TlsProblem::Other => "read the text: it is the TLS library's",
    }
}
