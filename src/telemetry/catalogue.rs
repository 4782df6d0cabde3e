//! Every metric that this program emits, declared once.
//!
//! Names and units of the `openclaw.*` families follow OpenClaw's own diagnostics plugin, so that its
//! dashboards work. `docs/metrics.md` is generated from this table, and a test compares the two.

/// The kind of an instrument, in OpenTelemetry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Monotonic cumulative sum: a Prometheus counter.
    Sum,
    /// Last value.
    Gauge,
    /// Explicit-bucket histogram.
    Histogram,
}

/// A metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// Instrument.
    pub kind: Kind,
    /// UCUM unit; empty for none. Never "1" on a gauge: Prometheus would append `_ratio`.
    pub unit: &'static str,
    /// Attribute keys that its points may carry.
    pub attributes: &'static [&'static str],
    /// What it counts; one line.
    pub help: &'static str,
}

/// Attribute keys.
pub mod key {
    /// The gateway, where it is not the one that the sender belongs to: pushed as `service.instance.id` of a resource of
    /// its own, which becomes this label; on `/metrics` this label.
    pub const INSTANCE: &str = "instance";
    /// How the model was reached; always `cron` here.
    pub const CHANNEL: &str = "openclaw.channel";
    /// Agent id.
    pub const AGENT: &str = "openclaw.agent";
    /// Provider id.
    pub const PROVIDER: &str = "openclaw.provider";
    /// Model id, without the provider.
    pub const MODEL: &str = "openclaw.model";
    /// Job id, or `one-shot`, or `system` for OpenClaw's own jobs, or `other` beyond the configured number of jobs.
    pub const JOB_ID: &str = "openclaw.job.id";
    /// Job name at the time of the run.
    pub const JOB_NAME: &str = "openclaw.job.name";
    /// `input`, `output`, `cache_read` or `cache_write`.
    pub const TOKEN: &str = "openclaw.token";
    /// `ok`, `error`, `skipped`, `unrecorded` (only its session tells of the run) or `unknown`.
    pub const STATUS: &str = "openclaw.status";
    /// Why; a closed list.
    pub const REASON: &str = "openclaw.reason";
    /// What became of a record, or of a webhook: `delivered`, `failed`, `blocked`, `skipped` or `missing`.
    pub const OUTCOME: &str = "openclaw.outcome";
    /// How usage is known.
    pub const PROVENANCE: &str = "openclaw.provenance";
    /// What the provider's dollars mean: `metered`, `subscription` or `local`.
    pub const BILLING: &str = "openclaw.billing";
    /// `used` or `limit`.
    pub const CONTEXT: &str = "openclaw.context";
    /// Name of a budget.
    pub const BUDGET: &str = "openclaw.budget";
    /// `day`, `week` or `month`.
    pub const PERIOD: &str = "openclaw.period";
    /// Kind of store.
    pub const SOURCE: &str = "openclaw.source";
    /// Name of a push endpoint.
    pub const ENDPOINT: &str = "openclaw.endpoint";
    /// Version of this program.
    pub const VERSION: &str = "openclaw.version";
    /// How changes are noticed: `events` or `poll`.
    pub const WATCH: &str = "openclaw.watch";
    /// Name of a receiver of events.
    pub const SINK: &str = "openclaw.sink";
    /// Name of a relay.
    pub const RELAY: &str = "openclaw.relay";

    /// Keys that only events have.
    pub mod event {
        /// The type of the event. OTLP has a field of its own for it, which not every server keeps.
        pub const NAME: &str = "event.name";
        /// What the event is known by: a hash of the run's key, or of the line of the gateway's log.
        pub const ID: &str = "openclaw.event.id";
        /// The gateway's name.
        pub const GATEWAY: &str = "openclaw.gateway";
        /// When the run started, or if that is not known was recorded, in milliseconds since 1970.
        pub const RUN_AT: &str = "openclaw.run.at_ms";
        /// How long the run took, in milliseconds.
        pub const DURATION: &str = "openclaw.run.duration_ms";
        /// What became of the run's result.
        pub const DELIVERY: &str = "openclaw.delivery";
        /// Tokens by kind, in the order of `TokenKind::ALL`.
        pub const TOKENS: [&str; 4] = [
            "openclaw.tokens.input",
            "openclaw.tokens.output",
            "openclaw.tokens.cache_read",
            "openclaw.tokens.cache_write",
        ];
        /// What the run cost in US dollars, to the last digit.
        pub const COST: &str = "openclaw.cost.usd";
        /// How the cost is known.
        pub const COST_PROVENANCE: &str = "openclaw.cost.provenance";
        /// What the receiver of a webhook answered: OpenTelemetry's own key for it.
        pub const HTTP_STATUS: &str = "http.response.status_code";
        /// Which attempt is made next.
        pub const ATTEMPT: &str = "openclaw.attempt";
        /// How many attempts are made at most.
        pub const ATTEMPTS: &str = "openclaw.attempts";
    }
}

const BASE: [&str; 6] = [key::CHANNEL, key::AGENT, key::PROVIDER, key::MODEL, key::JOB_ID, key::JOB_NAME];
const JOB: &[&str] = &[key::CHANNEL, key::AGENT, key::JOB_ID, key::JOB_NAME];

macro_rules! metrics {
    ($($(#[$doc:meta])* $ident:ident = $kind:ident $name:literal, $unit:literal, $attributes:expr, $help:literal;)*) => {
        $($(#[$doc])* #[doc = $help]
        pub static $ident: Metric = Metric { name: $name, kind: Kind::$kind, unit: $unit, attributes: $attributes, help: $help };)*
        /// The whole catalogue, in the order in which families are emitted.
        pub static ALL: &[&Metric] = &[$(&$ident),*];
    };
}

metrics! {
    TOKENS = Sum "openclaw.tokens", "1",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5], key::TOKEN],
        "Tokens consumed by scheduled runs, by disjoint kind.";
    COST = Sum "openclaw.cost.usd", "1",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5], key::BILLING],
        "What scheduled runs cost in US dollars, as far as it is known.";
    RUN_DURATION = Histogram "openclaw.run.duration_ms", "ms", &BASE,
        "Duration of scheduled runs in milliseconds.";
    CONTEXT = Histogram "openclaw.context.tokens", "1",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5], key::CONTEXT],
        "Context of scheduled runs in tokens: the prompt of each run's newest call, and the size of its model's context.";
    RUN_TOKENS = Histogram "openclaw.run.tokens", "1", &BASE,
        "Tokens of each scheduled run, all kinds and models together, under the run's own model.";
    RUNS = Sum "openclaw.cron.runs", "1",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5], key::STATUS, key::REASON],
        "Finished scheduled runs by status and reason.";
    WEBHOOK_DELIVERIES = Sum "openclaw.cron.webhook.deliveries", "1",
        &[key::CHANNEL, key::AGENT, key::JOB_ID, key::JOB_NAME, key::OUTCOME],
        "Webhooks of scheduled runs by what became of them: as far as the gateway tells (before 2026.8.1 only in its log, and not of those that arrived or were answered with an error), and those to our own receiver, which knows which ones came and which are missing.";
    WASTED_TOKENS = Sum "openclaw.cron.wasted.tokens", "1",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5], key::STATUS, key::TOKEN],
        "Tokens of scheduled runs that ended in an error or were never recorded: they bought nothing.";
    WASTED_COST = Sum "openclaw.cron.wasted.cost.usd", "1",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5], key::STATUS],
        "US dollars of scheduled runs that ended in an error or were never recorded: they bought nothing.";
    UNPRICED_TOKENS = Gauge "openclaw.usage.unpriced.tokens", "",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], BASE[5]],
        "Tokens whose model has no price in any source. Falls when one turns up.";
    PRICE = Gauge "openclaw.usage.price.usd_per_million", "", &[key::PROVIDER, key::MODEL, key::TOKEN],
        "US dollars for a million tokens of this kind now, for each model that was used and has a price; of tiers the first.";
    PRICES_PROBLEM = Gauge "openclaw.usage.prices.problem", "", &[],
        "1 while a file of prices cannot be read: what it said before stays in force.";
    JOB_LAST_RUN = Gauge "openclaw.cron.job.last_run.timestamp", "s", JOB,
        "Start of the job's newest run, in seconds since the epoch.";
    JOB_LAST_SUCCESS = Gauge "openclaw.cron.job.last_success.timestamp", "s", JOB,
        "Start of the job's newest successful run, in seconds since the epoch.";
    JOB_NEXT_RUN = Gauge "openclaw.cron.job.next_run.timestamp", "s", JOB,
        "When the scheduler means to run the job next, in seconds since the epoch.";
    JOB_CONSECUTIVE_ERRORS = Gauge "openclaw.cron.job.consecutive_errors", "", JOB,
        "Failed runs since the job's last successful one.";
    JOB_INFO = Gauge "openclaw.cron.job.info", "", JOB,
        "1 for each job that the scheduler knows.";
    SOURCE_UP = Gauge "openclaw.usage.source.up", "", &[key::SOURCE],
        "1 while the store of this kind can be read, 0 when it is gone without another in its place, or refused.";
    SOURCE_LAST_RECORD = Gauge "openclaw.usage.source.last_record.timestamp", "s", &[key::SOURCE],
        "When OpenClaw wrote the newest record that was read, in seconds since the epoch.";
    SOURCE_GAPS = Sum "openclaw.usage.source.gaps", "1", &[key::SOURCE],
        "Files and tables whose newest records were gone: history may have been lost between two looks.";
    WATCH = Gauge "openclaw.usage.source.watch.info", "", &[key::SOURCE, key::WATCH],
        "1 for the way in which changes of the store are noticed: file events or polling.";
    INGEST_LAG = Gauge "openclaw.usage.ingest.lag", "s", &[key::SOURCE],
        "Seconds between the writing of the newest record and its commit to the ledger.";
    RECORDS = Sum "openclaw.usage.records", "1", &[key::OUTCOME],
        "Run records read, by what became of them.";
    REJECTS = Sum "openclaw.usage.rejects", "1", &[key::REASON],
        "Pieces of input that could not be counted, by reason.";
    RUNS_BY_PROVENANCE = Gauge "openclaw.usage.runs", "", &[key::PROVENANCE],
        "Runs in the ledger by how their usage is known.";
    COST_BY_PROVENANCE = Gauge "openclaw.usage.cost.usd", "", &[key::PROVENANCE],
        "US dollars in the ledger by how they are known: reckoned by the gateway itself, by the price book, or at least that much.";
    COUNTER_EXCESS = Gauge "openclaw.usage.counter.excess", "", &[],
        "Tokens and runs that exported counters show above the truth after corrections downwards.";
    COUNTER_EXCESS_USD = Gauge "openclaw.usage.counter.excess.usd", "", &[],
        "US dollars that exported counters show above the truth after corrections downwards.";
    SERIES = Gauge "openclaw.usage.series", "", &[],
        "Series that the ledger holds for export.";
    SERIES_IDLE = Gauge "openclaw.usage.series.idle", "", &[],
        "Series not sent because their job is gone and nothing happened to them for seven days.";
    JOBS_OVER_LIMIT = Gauge "openclaw.usage.jobs.over_limit", "", &[],
        "Jobs counted under the id `other` because there are more than the configured maximum.";
    JOBS_OVERDUE = Gauge "openclaw.usage.jobs.overdue", "", &[],
        "Enabled jobs whose next run passed by more than their own period without a run: the gateway or its scheduler stands still.";
    LEDGER_SIZE = Gauge "openclaw.usage.ledger.size", "By", &[],
        "What the ledger takes up on disk in bytes.";
    LEDGER_WRITABLE = Gauge "openclaw.usage.ledger.writable", "", &[],
        "1 while commits to the ledger succeed.";
    BUDGET_LIMIT = Gauge "openclaw.usage.budget.limit.usd", "", &[key::BUDGET, key::PERIOD],
        "US dollars that may be spent in the budget's period.";
    BUDGET_SPENT = Gauge "openclaw.usage.budget.spent.usd", "", &[key::BUDGET, key::PERIOD],
        "US dollars spent since the budget's period began.";
    BUDGET_REMAINING = Gauge "openclaw.usage.budget.remaining.usd", "", &[key::BUDGET, key::PERIOD],
        "US dollars left of the budget; below 0 when it is overspent.";
    BUDGET_PROJECTED = Gauge "openclaw.usage.budget.projected.usd", "", &[key::BUDGET, key::PERIOD],
        "US dollars that will have been spent when the budget's period ends, by the rhythm of its jobs.";
    EXPORT_ATTEMPTS = Sum "openclaw.usage.export.attempts", "1", &[key::ENDPOINT],
        "Requests sent to an OTLP endpoint since this process started.";
    EXPORT_FAILURES = Sum "openclaw.usage.export.failures", "1", &[key::ENDPOINT, key::REASON],
        "Requests that an OTLP endpoint did not take, by reason, since this process started.";
    EXPORT_DROPPED = Gauge "openclaw.usage.export.dropped_series", "", &[key::ENDPOINT],
        "Series that the endpoint refused in the last complete push.";
    EXPORT_LAST_SUCCESS = Gauge "openclaw.usage.export.last_success.timestamp", "s", &[key::ENDPOINT],
        "When an OTLP endpoint last took a complete push, in seconds since the epoch.";
    CLOCK_STEPS = Sum "openclaw.usage.clock.steps", "1", &[],
        "Steps of the system clock that pushes had to follow since this process started.";
    WEBHOOK_RECEIVED = Sum "openclaw.webhook.received", "1", &[key::CHANNEL, key::OUTCOME],
        "Notices that our own receiver of webhooks took since this process started: new ones, and repeated ones of runs of which one had come before.";
    WEBHOOK_ERRORS = Sum "openclaw.webhook.error", "1", &[key::CHANNEL, key::REASON],
        "Requests that our own receiver of webhooks did not take, by reason, since this process started.";
    WEBHOOK_DURATION = Histogram "openclaw.webhook.duration_ms", "ms", &[key::CHANNEL],
        "How long requests with a valid token took our own receiver of webhooks, in milliseconds, since this process started.";
    EVENTS_KEPT = Gauge "openclaw.usage.events.kept", "", &[],
        "Events that at least one sink has not taken yet.";
    EVENTS_OLDEST = Gauge "openclaw.usage.events.oldest.age", "s", &[],
        "Seconds since the oldest event was written down that at least one sink has not taken yet; 0 without any.";
    EVENTS_DELIVERED = Sum "openclaw.usage.events.delivered", "1", &[key::SINK],
        "Events that a sink took.";
    EVENTS_DROPPED = Sum "openclaw.usage.events.dropped", "1", &[key::SINK, key::REASON],
        "Events that a sink will never get: it refused them, or did not take them before others had to be kept.";
    EVENTS_ATTEMPTS = Sum "openclaw.usage.events.attempts", "1", &[key::SINK],
        "Requests sent or batches written to a sink since this process started.";
    EVENTS_FAILURES = Sum "openclaw.usage.events.failures", "1", &[key::SINK, key::REASON],
        "Requests or batches that a sink did not take, by reason, since this process started.";
    EVENTS_LAST_SUCCESS = Gauge "openclaw.usage.events.last_success.timestamp", "s", &[key::SINK],
        "When a sink last took events, in seconds since the epoch.";
    RELAY_SENT = Sum "openclaw.usage.relay.sent", "1", &[key::RELAY],
        "Messages that a relay's service took.";
    RELAY_DEAD = Sum "openclaw.usage.relay.dead", "1", &[key::RELAY, key::REASON],
        "Messages of a relay that were given up: its service refused them, failed at them again and again, could not be reached for too long, or too many waited.";
    RELAY_DEAD_KEPT = Gauge "openclaw.usage.relay.dead.kept", "", &[key::RELAY],
        "Messages that were given up and can be sent again by `openclaw-usage relay retry`.";
    RELAY_QUEUED = Gauge "openclaw.usage.relay.queued", "", &[key::RELAY],
        "Messages that wait for a relay.";
    RELAY_OLDEST = Gauge "openclaw.usage.relay.oldest.age", "s", &[key::RELAY],
        "Seconds since the oldest message that waits for a relay was put into its queue; 0 without any.";
    RELAY_ATTEMPTS = Sum "openclaw.usage.relay.attempts", "1", &[key::RELAY],
        "Requests sent to a relay's service since this process started.";
    RELAY_FAILURES = Sum "openclaw.usage.relay.failures", "1", &[key::RELAY, key::REASON],
        "Requests that a relay's service did not take, by reason, since this process started.";
    RELAY_RETRIES = Sum "openclaw.usage.relay.retries", "1", &[key::RELAY],
        "Requests to a relay's service that are made again, since this process started.";
    CONFIG_LOADED = Gauge "openclaw.usage.config.last_reload_successful", "", &[],
        "1 while the newest configuration is in force, 0 while a bad one was left out.";
    CONFIG_LOADED_AT = Gauge "openclaw.usage.config.last_reload.success.timestamp", "s", &[],
        "When a configuration was last put in force, in seconds since the epoch.";
    STARTED_AT = Gauge "openclaw.usage.start.timestamp", "s", &[],
        "When this process started, in seconds since the epoch.";
    CPU_TIME = Sum "process.cpu.time", "s", &[],
        "Processor time of this process in seconds, as OpenTelemetry's conventions name it.";
    MEMORY = Gauge "process.memory.usage", "By", &[],
        "Resident memory of this process in bytes.";
    BUILD_INFO = Gauge "openclaw.usage.build.info", "", &[key::VERSION],
        "1; the version of this program is in the label.";
}
