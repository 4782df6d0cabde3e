//! What the task of an endpoint works with, and that it may become another while the task runs.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::EndpointConfig;
use crate::telemetry::Resource;

/// Where to send, and as whom. A task is told of a new one only if it differs, so that one that did not change is not
/// disturbed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where and how.
    pub endpoint: EndpointConfig,
    /// Who we are.
    pub resource: Resource,
    /// Tells the files with certificates that the endpoint names from what they were: another number, and they are read
    /// again.
    pub files: u64,
}

/// A target that may be replaced.
pub type Targets = watch::Receiver<Arc<Target>>;

/// Waits until there is another target; for ever if there will be none.
pub(super) async fn replaced(targets: &mut Targets) {
    if targets.changed().await.is_err() {
        std::future::pending().await
    }
}
