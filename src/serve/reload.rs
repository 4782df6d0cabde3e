//! From one configuration to another, while everything runs.
//!
//! [`compare`] is the one place that says what a change means: which parts take it up, and what needs a restart of the
//! process. Invariants: what did not change is not disturbed; a configuration that cannot be used leaves everything as it
//! is; a change that was cut short is made again as a whole. Deliberately absent: how a configuration is read, and when.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::budgets::Budgets;
use super::collector::{Collector, PriceSettings};
use super::core::{Core, Wake};
use super::daemon::{self, LAST_PUSH, Running, ServeError};
use super::outbox;
use super::relay::{RelayDesk, Relays};
use super::tasks;
use super::watching::Watching;
use super::webhook::Access;
use crate::config::{Config, EventsConfig, GatewayLog, LedgerConfig, Synchronous, WebhookConfig};
use crate::ledger::{LedgerError, OutboxSettings};
use crate::telemetry::Resource;

/// A part of the daemon that takes up a change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Which gateway is read: everything on disk is looked at anew.
    StateDir,
    /// How changes are noticed.
    Watch,
    /// Where the gateway's log is.
    GatewayLog,
    /// What things cost.
    Prices,
    /// What may be spent.
    Budgets,
    /// Labels, retention and safety of the ledger.
    Ledger,
    /// Who metrics are pushed to.
    Endpoints,
    /// Who is told of events, and what is kept for them.
    Events,
    /// Which tokens the receiver of webhooks takes.
    Webhook,
    /// Who is told of runs in chats, and when of whole periods.
    Relays,
    /// Our own diagnostics.
    Log,
}

impl Part {
    /// Returns the keys of the configuration that it follows.
    const fn keys(self) -> &'static str {
        match self {
            Self::StateDir => "state_dir",
            Self::Watch => "watch, poll_interval",
            Self::GatewayLog => "gateway_log",
            Self::Prices => "price, alias, billing, catalogue",
            Self::Budgets => "budget",
            Self::Ledger => "max_jobs, ledger.keep, ledger.synchronous",
            Self::Endpoints => "otlp",
            Self::Events => "events",
            Self::Webhook => "webhook",
            Self::Relays => "relay, digest",
            Self::Log => "log",
        }
    }
}

/// What a new configuration changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The parts that take it up.
    pub parts: BTreeSet<Part>,
    /// The keys whose new value is not taken up before the process is started again.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Returns the keys of the parts that changed, for people.
    #[must_use]
    pub fn keys(&self) -> String {
        let keys: Vec<&str> = self.parts.iter().map(|part| part.keys()).collect();
        if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
    }
}

/// Says what has to be done to go from one configuration to another. Every key is named here: a new one does not
/// compile before it is decided what a change of it means.
#[must_use]
pub fn compare(old: &Config, new: &Config) -> Changes {
    let Config {
        file: _,
        state_dir,
        // The ledger says whether it can be another.
        gateway: _,
        ledger: LedgerConfig { path, synchronous, keep_days },
        listen,
        watch,
        poll_interval_ms,
        max_jobs,
        gateway_log,
        catalogue,
        resource,
        otlp,
        events,
        prices,
        aliases,
        billing,
        budgets,
        relays,
        digests,
        webhook,
        log,
        own_telemetry,
        warnings: _,
        explained: _,
    } = new;
    let parts = [
        (Part::StateDir, *state_dir != old.state_dir),
        (Part::Watch, (*watch, *poll_interval_ms) != (old.watch, old.poll_interval_ms)),
        (Part::GatewayLog, *gateway_log != old.gateway_log),
        (
            Part::Prices,
            (prices, aliases, billing, catalogue)
                != (&old.prices, &old.aliases, &old.billing, &old.catalogue),
        ),
        (Part::Budgets, *budgets != old.budgets),
        (
            Part::Ledger,
            (*max_jobs, *synchronous, *keep_days)
                != (old.max_jobs, old.ledger.synchronous, old.ledger.keep_days),
        ),
        (Part::Endpoints, (otlp, resource) != (&old.otlp, &old.resource)),
        (Part::Events, (events, resource) != (&old.events, &old.resource)),
        (
            Part::Relays,
            (relays, digests) != (&old.relays, &old.digests)
                // A digest tells of budgets, too.
                || (!digests.is_empty() && *budgets != old.budgets),
        ),
        (
            Part::Webhook,
            matches!((webhook, &old.webhook), (Some(new), Some(old)) if admitted(new) != admitted(old)),
        ),
        (Part::Log, *log != old.log),
    ];
    let restart = [
        ("listen", *listen != old.listen),
        ("ledger.path", *path != old.ledger.path),
        ("webhook", webhook.as_ref().map(bound) != old.webhook.as_ref().map(bound)),
        // They come from the environment, which does not change.
        ("OTEL_*", *own_telemetry != old.own_telemetry),
    ];
    Changes {
        parts: parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect(),
        restart: restart.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect(),
    }
}

/// What a receiver of webhooks is bound to as long as it runs. Its certificate is read again by itself.
fn bound(webhook: &WebhookConfig) -> impl PartialEq + '_ {
    let WebhookConfig { listen, tokens: _, query_token: _, url, tls } = webhook;
    (listen, url, tls)
}

/// Who is let in.
fn admitted(webhook: &WebhookConfig) -> impl PartialEq + '_ {
    (&webhook.tokens, webhook.query_token)
}

/// Returns the new configuration with what needs a restart as it was.
fn settled(old: &Config, new: Config) -> Config {
    Config {
        listen: old.listen,
        ledger: LedgerConfig { path: old.ledger.path.clone(), ..new.ledger },
        own_telemetry: old.own_telemetry.clone(),
        webhook: old.webhook.clone().map(|old| match new.webhook {
            Some(WebhookConfig { tokens, query_token, .. }) => WebhookConfig { tokens, query_token, ..old },
            None => old,
        }),
        ..new
    }
}

impl Running {
    /// Goes over to another configuration. Returns what changed.
    ///
    /// # Errors
    /// It cannot be used; what was in force still is, as far as it was not taken up: trying again completes it.
    pub async fn apply(&mut self, new: Config) -> Result<Changes, ServeError> {
        let mut changes = compare(&self.config, &new);
        let new = settled(&self.config, new);
        if let Some(given) = new.gateway.as_ref().filter(|given| **given != self.gateway) {
            let (path, found) = (self.config.ledger.path.clone(), self.gateway.clone());
            return Err(LedgerError::OtherGateway { path, found, given: given.clone() }.into());
        }
        let has = |part| changes.parts.contains(&part);
        let relays = has(Part::Relays).then(|| Relays::new(&new, &self.shared.relays())).transpose()?;
        let (relays, desk) = relays.unzip();
        let settings = Settings {
            collector: has(Part::StateDir).then(|| daemon::collector(&new)),
            watching: (has(Part::Watch) || has(Part::StateDir))
                .then(|| Watching::new(&new, self.core.0.clone(), self.clock.now())),
            gateway_log: new.gateway_log.clone(),
            moved_log: has(Part::GatewayLog),
            prices: PriceSettings::of(&new),
            repriced: has(Part::Prices),
            budgets: has(Part::Budgets).then(|| Budgets::new(&new.budgets)).transpose()?,
            outbox: has(Part::Events).then(|| self.outbox_of(&new.events)),
            relays: desk,
            max_jobs: new.max_jobs,
            keep_days: new.ledger.keep_days,
            full_sync: new.ledger.synchronous == Synchronous::Full,
        };
        if changes.parts.iter().any(|part| !matches!(part, Part::Endpoints | Part::Webhook | Part::Log)) {
            self.tell_core(settings).await?;
        }
        let resource = self.resource_of(&new);
        // Also where nothing but a file with certificates changed.
        if self.exporters.set(&mut self.endpoints, &new.otlp, &resource, &[]) {
            changes.parts.insert(Part::Endpoints);
        }
        let events = (&new.events, &resource);
        if self.sinks.set(&mut self.sink_tasks, events, None).map_err(ServeError::Stdout)? {
            changes.parts.insert(Part::Events);
        }
        if let (Some(receiver), Some(webhook)) = (&self.webhook, &new.webhook) {
            receiver.access.send_replace(Arc::new(Access::of(webhook)));
        }
        if let Some(relays) = relays {
            self.set_relays(relays).await;
        }
        self.config = new;
        Ok(changes)
    }

    /// Goes over to other relays. The old ones end first: two of one name would not keep its order.
    pub(super) async fn set_relays(&mut self, relays: Relays) {
        tasks::ended(self.relay_tasks.stop(), LAST_PUSH).await;
        self.shared.set_relays(relays.stats());
        self.relay_tasks = relays.spawn(&self.relay_wakes, &self.clock);
    }

    async fn tell_core(&self, settings: Settings) -> Result<(), ServeError> {
        let (done, answer) = oneshot::channel();
        // If the core has ended, whoever waits for its end knows what to do.
        if self.core.0.send(Wake::Reload(Box::new(settings), done)).is_ok()
            && let Ok(answer) = answer.await
        {
            answer?;
        }
        Ok(())
    }

    fn outbox_of(&self, events: &EventsConfig) -> OutboxSettings {
        outbox::settings(events, &self.gateway)
    }

    /// Returns as whom a configuration sends.
    pub(super) fn resource_of(&self, config: &Config) -> Resource {
        Resource {
            service_name: config.resource.service_name.clone(),
            service_namespace: config.resource.service_namespace.clone(),
            service_instance_id: self.gateway.clone(),
        }
    }
}

/// What the core takes up. `None`: as before.
pub struct Settings {
    collector: Option<Collector>,
    watching: Option<Watching>,
    gateway_log: GatewayLog,
    /// The log is to be found anew.
    moved_log: bool,
    prices: PriceSettings,
    /// Prices changed.
    repriced: bool,
    budgets: Option<Budgets>,
    outbox: Option<OutboxSettings>,
    relays: Option<RelayDesk>,
    max_jobs: usize,
    keep_days: Option<u32>,
    full_sync: bool,
}

impl Core {
    /// Takes up what changed. Nothing has if that fails.
    pub(super) fn reload(&mut self, new: Settings) -> Result<(), LedgerError> {
        if let Some(outbox) = new.outbox {
            self.ledger.set_outbox(outbox)?;
        }
        if let Some(mut relays) = new.relays {
            relays.prepare(&mut self.ledger, self.clock.now())?;
            self.relays = relays;
        }
        self.ledger.set_full_sync(new.full_sync)?;
        self.ledger.set_max_jobs(new.max_jobs);
        self.keep_days = new.keep_days;
        if let Some(collector) = new.collector {
            self.collector = collector;
        } else {
            if new.repriced {
                self.collector.set_prices(new.prices);
            }
            if new.moved_log {
                self.collector.set_gateway_log(new.gateway_log);
            }
        }
        if let Some(Watching { watcher, cadence }) = new.watching {
            (self.watcher, self.cadence) = (watcher, cadence);
        }
        if let Some(budgets) = new.budgets {
            self.budgets = budgets;
            self.shared.update(|process, _| process.budgets.clear());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
