//! `docs/metrics.md`, written from the catalogue and the constants that it tells of.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::catalogue::{self, Kind, Metric, key};
use super::names::{family, label, series};
use super::process::ExportFailure;
use super::webhook::{WEBHOOK_BOUNDS_MS, WebhookError};
use crate::ledger::{CONTEXT_BOUNDS, DURATION_BOUNDS_MS, Outcome, RUN_TOKENS_BOUNDS};
use crate::model::{DropReason, Reason, RejectReason, Status, TokenKind, UsageProvenance, WebhookOutcome};

/// Set to write the file instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

const INTRODUCTION: &str = "\
# Metrics

<!-- Written by a test from src/telemetry/catalogue.rs; to renew it: UPDATE_DOCS=1 cargo test --lib docs -->

The same families stand on `/metrics` and go out by OTLP. The second column is the name under which a Prometheus with
its default settings stores what is pushed, which is also the name on `/metrics`. In a label's name every dot becomes
an underscore: `openclaw.job.id` is `openclaw_job_id`.

What is pushed carries `job=\"openclaw-usage\"` (`service.name`, with `service.namespace` and a slash in front if there
is one) and `instance` = the gateway's name, and no other resource attribute. When scraped, both labels are what the
scrape configuration makes of them, but for series of gateways that post to a receiver of webhooks: those have the label
`instance`, which a scrape keeps with `honor_labels: true`.
";

const RULES: &str = "\
Labels that nothing is known for are left out. Rules that keep the number of series bounded:

- One-shot jobs (`at`) share `openclaw.job.id=\"one-shot\"` and have no name.
- OpenClaw's own jobs (heartbeats, reviews of skills, promotion of memories) share `openclaw.job.id=\"system\"` under
  their names.
- At most `max_jobs` (500) jobs appear under their own id; all further ones share `other`, and
  `openclaw_usage_jobs_over_limit` says how many those are. A job that was once counted under its own id keeps it.
- A counter or histogram of a job is sent while the scheduler knows the job, however seldom it runs, or something
  happened to it within 7 days; it resumes with its old total. So are the gauges of a job.
- No run id, path, URL, prompt, summary or error text is ever a label; an error text becomes a reason.

Counters never fall and keep their start time over restarts of this program. Those of `openclaw.usage.export.*`,
`openclaw.usage.clock.steps`, `openclaw.usage.events.attempts`, `openclaw.usage.events.failures`, `openclaw.webhook.*` and
`process.cpu.time` begin anew with each process.

## Exact usage over a window

`increase()` extrapolates, and loses a step that falls between two windows. This is exact for any window `W`, also
right after a restart and across an outage of up to a day (`1d`):

```promql
last_over_time(x[W]) - (last_over_time(x[1d] offset W) or min_over_time(x[W]))
```

For example, the tokens of the last day by job:

```promql
sum by (openclaw_job_name) (
    last_over_time(openclaw_tokens_total[1d])
  - (last_over_time(openclaw_tokens_total[1d] offset 1d) or min_over_time(openclaw_tokens_total[1d]))
)
```
";

const FAILURES: [ExportFailure; 10] = [
    ExportFailure::Connection,
    ExportFailure::Tls,
    ExportFailure::Timeout,
    ExportFailure::Unauthorized,
    ExportFailure::NotFound,
    ExportFailure::Refused,
    ExportFailure::Partial,
    ExportFailure::Throttled,
    ExportFailure::Unavailable,
    ExportFailure::BadAnswer,
];

/// Returns the whole document.
fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str(
        "\n## Families\n\n| OpenTelemetry name | Prometheus name | Kind | Unit | Labels | What |\n",
    );
    text.push_str("|---|---|---|---|---|---|\n");
    for metric in catalogue::ALL {
        text.push_str(&row(metric));
    }
    text.push_str("\n## Labels\n\n");
    _ = writeln!(text, "*base* is {}; *job* is {}.\n", list(BASE), list(catalogue::JOB_INFO.attributes));
    text.push_str("| Label | Values |\n|---|---|\n");
    for (key, values) in labels() {
        _ = writeln!(text, "| `{}` | {values} |", label(key));
    }
    _ = writeln!(text, "\n{RULES}");
    _ = writeln!(
        text,
        "## Buckets\n\nUpper bounds of durations in milliseconds: {}, +Inf.\n",
        bounds(&DURATION_BOUNDS_MS)
    );
    _ = writeln!(text, "Of contexts in tokens: {}, +Inf.\n", bounds(&CONTEXT_BOUNDS));
    _ = writeln!(text, "Of whole runs in tokens: {}, +Inf.\n", bounds(&RUN_TOKENS_BOUNDS));
    _ = writeln!(
        text,
        "Of requests to the receiver of webhooks in milliseconds: {}, +Inf.",
        bounds(&WEBHOOK_BOUNDS_MS)
    );
    text
}

/// The attributes of runs.
const BASE: &[&str] = catalogue::RUN_DURATION.attributes;

fn row(metric: &Metric) -> String {
    let (kind, stored) = match metric.kind {
        Kind::Sum => ("counter", format!("`{}`", series(metric))),
        Kind::Gauge => ("gauge", format!("`{}`", series(metric))),
        Kind::Histogram => ("histogram", format!("`{}` with `_bucket`, `_sum`, `_count`", family(metric))),
    };
    let unit = if metric.unit.is_empty() { "–".to_owned() } else { format!("`{}`", metric.unit) };
    format!(
        "| `{}` | {stored} | {kind} | {unit} | {} | {} |\n",
        metric.name,
        attributes(metric.attributes),
        metric.help
    )
}

/// Returns the attributes, those of every run or job by one word.
fn attributes(keys: &[&str]) -> String {
    let (shared, own) = if let Some(own) = keys.strip_prefix(BASE) {
        ("*base*", own)
    } else if let Some(own) = keys.strip_prefix(catalogue::JOB_INFO.attributes) {
        ("*job*", own)
    } else {
        ("", keys)
    };
    match (shared, own) {
        ("", []) => "–".to_owned(),
        ("", own) => list(own),
        (shared, []) => shared.to_owned(),
        (shared, own) => format!("{shared}, {}", list(own)),
    }
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{}`", label(key))).collect::<Vec<_>>().join(", ")
}

fn labels() -> [(&'static str, String); 21] {
    let words = |words: Vec<&str>| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    let reasons = words(Reason::ALL.map(Reason::as_str).to_vec());
    let rejects = words(RejectReason::ALL.map(RejectReason::as_str).to_vec());
    let failures = words(FAILURES.map(ExportFailure::as_str).to_vec());
    let refusals = words(WebhookError::ALL.map(WebhookError::as_str).to_vec());
    let webhooks = words(WebhookOutcome::ALL.map(WebhookOutcome::as_str).to_vec());
    let drops = words(DropReason::ALL.map(DropReason::as_str).to_vec());
    [
        (key::CHANNEL, "`cron`".into()),
        (key::AGENT, "The agent's id.".into()),
        (key::PROVIDER, "The provider's id.".into()),
        (key::MODEL, "The model's id, without the provider.".into()),
        (key::JOB_ID, "The job's id, or `one-shot`, `system` or `other`.".into()),
        (key::JOB_NAME, "The job's name at the time of the run, at most 200 characters of it.".into()),
        (key::TOKEN, format!("{}; disjoint.", words(TokenKind::ALL.map(TokenKind::as_str).to_vec()))),
        (key::STATUS, words(Status::ALL.map(Status::as_str).to_vec())),
        (
            key::REASON,
            format!(
                "Of a run: {reasons}. Of a reject: {rejects}. Of a failed push: {failures}. Of a dropped event: {drops}. Of a request to the receiver of webhooks: {refusals}."
            ),
        ),
        (
            key::OUTCOME,
            format!(
                "Of a record: {}. Of a webhook: {webhooks}. Of a notice that was received: `new`, `repeated`.",
                words(Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect())
            ),
        ),
        (
            key::PROVENANCE,
            format!(
                "Of usage: {}. Of cost: `recorded` by the gateway itself, `priced` by the price book, or a `lower_bound`.",
                words(UsageProvenance::ALL.map(UsageProvenance::as_str).to_vec())
            ),
        ),
        (
            key::BILLING,
            "What the dollars mean: `metered` are paid, `subscription` would have been, `local` cost nothing.".into(),
        ),
        (key::CONTEXT, "`used`: the prompt of a run's newest call. `limit`: what its model takes.".into()),
        (key::BUDGET, "The budget's name in the configuration.".into()),
        (key::PERIOD, "`day`, `week` or `month`, in the budget's time zone.".into()),
        (key::SOURCE, "Kind of store: `run-log`, `cron-run-logs`, `task-runs`; `gateway-log`; `webhook` if there is a receiver.".into()),
        (key::WATCH, "`events`, `poll`, or `none` before the first look and of notices.".into()),
        (key::ENDPOINT, "The endpoint's name in the configuration.".into()),
        (key::RELAY, "The relay's name in the configuration.".into()),
        (key::SINK, "`stdout`, or the name of an endpoint of events in the configuration.".into()),
        (key::VERSION, "This program's version.".into()),
    ]
}

fn bounds(bounds: &[u64]) -> String {
    bounds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn docs_tell_what_the_catalogue_says() {
    let path = repository().join("docs/metrics.md");
    let expected = document();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let first = expected.lines().zip(committed.lines().chain(std::iter::repeat(""))).find(|(a, b)| a != b);
    assert!(
        committed == expected,
        "docs/metrics.md is out of date; renew it with {UPDATE}=1 cargo test --lib docs\nfirst difference: {first:#?}"
    );
}

#[test]
fn docs_explain_every_label_that_a_family_has() {
    let explained = labels().map(|(key, _)| key);
    for metric in catalogue::ALL {
        for key in metric.attributes {
            assert!(explained.contains(key), "{key} of {} is not explained", metric.name);
        }
    }
}

/// Words that begin like our metrics: `openclaw_` and what may stand in a name.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // What the reference deployment's config-manager says of itself is its own.
    text.split(move |c| !is_name(c))
        .filter(|word| word.starts_with("openclaw_") && !word.starts_with("openclaw_config_manager_"))
}

/// Whether a metric, one of a histogram's series, or a label has this name.
fn exists(name: &str) -> bool {
    let is_of = |metric: &Metric| {
        let stored = series(metric);
        let of_histogram = metric.kind == Kind::Histogram
            && ["_bucket", "_sum", "_count"].iter().any(|suffix| name == format!("{stored}{suffix}"));
        name == stored || name == family(metric) || of_histogram
    };
    // The crate's own name as Rust spells it.
    name == "openclaw_usage"
        || catalogue::ALL.iter().any(|metric| is_of(metric))
        || labels().iter().any(|(key, _)| label(key) == name)
}

#[test]
fn docs_name_only_metrics_that_exist() {
    let mut documents = vec![repository().join("README.md"), repository().join("ARCHITECTURE.md")];
    for folder in ["docs", "docs/runbooks"] {
        let paths = std::fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        documents.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut names = 0;
    for path in documents.iter().map(PathBuf::as_path).filter(|path: &&Path| path.exists()) {
        let text = std::fs::read_to_string(path).unwrap();
        for name in mentioned(&text) {
            assert!(exists(name), "{} names {name}, which the catalogue does not have", path.display());
            names += 1;
        }
    }
    assert!(names > catalogue::ALL.len(), "the documents name metrics: {names}");
    assert!(!exists("openclaw_tokens_sum") && !exists("openclaw_run_seconds_total"));
}
