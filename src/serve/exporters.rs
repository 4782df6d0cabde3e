//! Who metrics are pushed to, as a configuration says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::core::Wake;
use super::files;
use super::state::Shared;
use super::tasks::{Begin, Tasks};
use crate::clock::Clock;
use crate::config::EndpointConfig;
use crate::export::{self, Feed, Persist, Target};
use crate::ledger::{Ledger, LedgerError};
use crate::model::EndpointState;
use crate::telemetry::Resource;

/// Pause before the ledger is asked again that could not answer.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What every endpoint's task needs.
#[derive(Clone)]
pub struct Exporters {
    pub shared: Arc<Shared>,
    pub clock: Clock,
    /// The newest revision of the totals.
    pub revisions: watch::Receiver<u64>,
    /// Stores states durably.
    pub persist: mpsc::Sender<Persist>,
    /// Turns true once everything on disk was looked at.
    pub looked: watch::Receiver<bool>,
    /// The core, which owns the ledger.
    pub core: Core,
}

/// The way to ask the core.
#[derive(Clone)]
pub struct Core(pub std::sync::mpsc::Sender<Wake>);

impl Core {
    /// Asks the ledger until it has an answer; `None`: the core has ended.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Ledger) -> Result<T, LedgerError> + Clone + Send + 'static,
    ) -> Option<T> {
        loop {
            let (tell, answer) = oneshot::channel();
            let question = question.clone();
            let ask = move |ledger: &mut Ledger| _ = tell.send(question(ledger));
            self.0.send(Wake::Ask(Box::new(ask))).ok()?;
            match answer.await.ok()? {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!("{error}"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl Exporters {
    /// Pushes to these endpoints from now on. `known` are states that need not be asked for. Returns whether that changed
    /// anything.
    pub fn set(
        &self,
        tasks: &mut Tasks<Target>,
        endpoints: &[EndpointConfig],
        resource: &Resource,
        known: &[EndpointState],
    ) -> bool {
        let changed = tasks.set(targets(endpoints, resource), |begin| {
            let known = known.iter().find(|state| state.name == begin.name).cloned();
            self.clone().run(begin, known)
        });
        self.shared.set_endpoints(tasks.stats());
        changed
    }

    async fn run(mut self, begin: Begin<Target>, known: Option<EndpointState>) {
        let Begin { name, targets, stats, mut stopped } = begin;
        let work = async {
            // The core ends before its first look only if the ledger is damaged: there is nothing to push then.
            self.looked.wait_for(|looked| *looked).await.ok()?;
            match known {
                Some(state) => Some(state),
                None => self.core.ask(move |ledger| ledger.endpoint(&name)).await,
            }
        };
        let state = tokio::select! {
            state = work => state,
            // Nothing was pushed yet, and nothing can be.
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        let Some(state) = state else { return };
        let (shared, clock) = (Arc::clone(&self.shared), self.clock.clone());
        let feed = Feed {
            snapshot: Arc::new(move |now| shared.snapshot(now)),
            changed: self.revisions.clone(),
            persist: self.persist.clone(),
            stats,
            now: Arc::new(move || clock.now()),
            resource: targets.borrow().resource.clone(),
        };
        export::run(targets, feed, state, stopped).await;
    }
}

/// Returns where to push or tell, by name.
pub fn targets(endpoints: &[EndpointConfig], resource: &Resource) -> Vec<(String, Target)> {
    let target = |endpoint: &EndpointConfig| Target {
        files: files::certificates(endpoint),
        endpoint: endpoint.clone(),
        resource: resource.clone(),
    };
    endpoints.iter().map(|endpoint| (endpoint.name.clone(), target(endpoint))).collect()
}
