//! The receiver from its configuration to its task.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::tls::Tls;
use super::{Access, Listening, Parts, Receiver, is_ours};
use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::ledger::IsOurs;
use crate::serve::core::Wake;
use crate::serve::daemon::{RunningReceiver, ServeError};
use crate::telemetry::WebhookStats;

/// A bound address behind which nobody is yet.
pub struct Door {
    listening: Listening,
    address: SocketAddr,
    access: Access,
    /// What gateways call it.
    url: Option<String>,
    /// What is counted.
    pub stats: Arc<Mutex<WebhookStats>>,
}

impl Door {
    /// Binds the address and reads the certificate.
    ///
    /// # Errors
    /// The port is taken, the address is not this machine's, or the certificate cannot be used.
    pub async fn open(config: &WebhookConfig) -> Result<Self, ServeError> {
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::WebhookListen { address, source })?;
        let tls = config.tls.as_ref().map(|(cert, key)| Tls::load(cert.clone(), key.clone())).transpose()?;
        let address = listener.local_addr().unwrap_or(address);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let bound = (!address.ip().is_unspecified()).then(|| format!("{scheme}://{address}"));
        Ok(Self {
            listening: Listening { listener, tls },
            address,
            access: Access::of(config),
            url: config.url.clone().or(bound),
            stats: Arc::default(),
        })
    }

    /// Returns what tells which webhooks lead here, if it is known what gateways call it.
    pub fn is_ours(&self) -> Option<IsOurs> {
        let url = self.url.clone()?;
        Some(Arc::new(move |webhook| is_ours(&url, webhook)))
    }

    /// Begins to serve.
    pub fn serve(
        self,
        (own_gateway, summaries): (String, Arc<AtomicBool>),
        wakes: Sender<Wake>,
        clock: &Clock,
        stopped: watch::Receiver<bool>,
        parts: &mut JoinSet<()>,
    ) -> RunningReceiver {
        let (tell, access) = watch::channel(Arc::new(self.access));
        let (stats, clock) = (self.stats, clock.clone());
        let receiver = Receiver::new(Parts { access, own_gateway, summaries, wakes, stats, clock });
        parts.spawn(self.listening.serve(receiver, stopped));
        tracing::info!(address = %self.address, "taking webhooks");
        RunningReceiver { address: self.address, access: tell }
    }
}
