//! Pushing snapshots to OTLP endpoints, over HTTP and gRPC, and telling of events.
//!
//! Invariants: no snapshot is queued, since every one holds all totals: after a failure the next attempt
//! takes a fresh one, so an outage loses nothing. Endpoints are independent of each other. A refused request
//! is never sent again as it is. No value of a new series leaves before its zero point was taken and the
//! ledger knows that. Deliberately absent: OpenTelemetry's SDK, proxies, redirects, and wall clocks other
//! than the one in [`Feed`].
//!
//! Beside them stands [`QueryClient`], which asks a server what it holds, by the same TLS and the same rules.

mod ask;
pub mod backoff;
mod bisect;
mod connect;
mod endpoint;
mod error;
pub(crate) mod events;
mod grpc;
mod http;
pub mod outcome;
pub mod plan;
mod post;
mod probe;
mod push;
mod remedy;
pub mod stamp;
mod target;
mod transport;

#[cfg(test)]
pub(crate) mod tests;

pub use ask::{ANSWER_MAX, QueryClient};
pub use connect::{SetupError, TlsFiles};
pub use endpoint::run;
pub use error::{NetworkError, TlsProblem};
pub use grpc::GrpcClient;
pub use http::{Answer, HttpClient};
pub use outcome::Outcome;
pub use post::{PostClient, PostError, Posted};
pub use probe::{ProbeResult, probe};
pub use push::{Feed, Persist};
pub use remedy::Signal;
pub use target::{Target, Targets};
