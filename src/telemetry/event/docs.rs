//! `docs/events.md`, written from the table of events.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{COMMON, event_key, types};
use crate::model::{CostProvenance, DeliveryProblem, Reason, Status, UsageProvenance};
use crate::telemetry::catalogue::key;
use crate::telemetry::names::label;

/// Set to write the file instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

const INTRODUCTION: &str = "\
# Events

<!-- Written by a test from src/telemetry/event/types.rs; to renew it: UPDATE_DOCS=1 cargo test --lib docs -->

With `serve --events stdout` every event is one line of JSON on standard output; with `serve --events URL`, or a table
`[[events.otlp]]` in the configuration file, it is a log record that is sent by OTLP, to Loki from version 3 on
(`http://HOST:3100/otlp`) or to an OpenTelemetry Collector. Both say the same:

| Field of the line | OTLP | What |
|---|---|---|
| `timestamp` | time | When it happened, in UTC. |
| `severity` | severity | `INFO`, `WARN` or `ERROR`. |
| `message` | body | For people. Of what the gateway's log said, its own fixed words. No name is in it. |
| all others | attributes | As below. OTLP's own field for the name of an event is set too. |

In Loki, dots become underscores: attributes of OTLP are structured metadata such as `openclaw_job_id`, and `| json`
makes the same names of a line of standard output. So

```logql
{service_name=\"openclaw-usage\"} | event_name=\"openclaw.cron.run\" | openclaw_status=\"error\"
```

finds failed runs that came by OTLP, and `{namespace=\"openclaw\"} | json | event_name=\"openclaw.cron.run\" |
openclaw_status=\"error\"` those from the output of a pod. `{namespace=\"openclaw\"} |= \"webhook delivery failed\"` finds
webhooks that were not delivered: the gateway itself writes that line to a file only.
";

const RULES: &str = "\
What is not known is left out. No prompt, summary, error text, URL or credential is in an event; names and ids are cut to
200 characters.

## Once, and in order

- A run is told of once, when its usage is known from its session, or 10 s after its record was read. A run that only its
  session tells of is told of after a day, as `unrecorded`.
- Each sink gets events in their order and at least once: after a crash, what it was told last may be told again, the
  same in every character. Loki drops such a record, since time and message are equal; no two events have the same
  message. Behind standard output that takes a `timestamp` stage in what collects it, so that Loki is given the event's
  own time.
- A sink that does not take events holds up no other. For it, the newest `max_events` (100,000) of the last `max_age` (7
  days) are kept in the ledger; `openclaw_usage_events_dropped_total` counts what was not. What a server refuses for good
  is counted there too.
- A sink that is new in the configuration begins at the oldest event that is kept for any other; the first of all begins
  with what is counted from then on, of the last 7 days. One that is taken out is forgotten. Without a sink nothing is
  kept.
";

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Types\n\n| `event.name` | Attributes | What |\n|---|---|---|\n");
    _ = writeln!(text, "| all | {} | |", list(&COMMON));
    for kind in types::ALL {
        _ = writeln!(text, "| `{}` | {} | {} |", kind.name, list(kind.attributes), kind.help);
    }
    text.push_str("\n## Attributes\n\n| Attribute | What |\n|---|---|\n");
    for (key, what) in explained() {
        _ = writeln!(text, "| `{key}` | {what} |");
    }
    format!("{text}\n{RULES}")
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

fn words(words: impl IntoIterator<Item = &'static str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn explained() -> Vec<(&'static str, String)> {
    let problems = [
        DeliveryProblem::Network,
        DeliveryProblem::HttpStatus,
        DeliveryProblem::PrivateAddress,
        DeliveryProblem::InvalidUrl,
        DeliveryProblem::Other,
    ];
    let [input, output, cache_read, cache_write] = event_key::TOKENS;
    vec![
        (event_key::NAME, "The type of the event.".into()),
        (
            event_key::ID,
            "What it is known by: a hash of the run's key, or of the line in the gateway's log.".into(),
        ),
        (event_key::GATEWAY, "The gateway's name.".into()),
        (key::JOB_ID, "OpenClaw's id of the job, also of one-shot jobs.".into()),
        (key::JOB_NAME, "The job's name when the event was written.".into()),
        (key::AGENT, "Agent id.".into()),
        (key::PROVIDER, "Provider id of the run's main model.".into()),
        (key::MODEL, "The run's main model.".into()),
        (
            event_key::RUN_AT,
            "When the run started, in milliseconds since 1970: with the job's id, the run's key.".into(),
        ),
        (key::STATUS, format!("{}.", words(Status::ALL.map(Status::as_str)))),
        (
            key::REASON,
            format!(
                "Of a run: {}. Of a webhook: {}.",
                words(Reason::ALL.map(Reason::as_str)),
                words(problems.map(types::of_problem))
            ),
        ),
        (
            event_key::DELIVERY,
            "What became of the run's result: `delivered`, `not_delivered`, `not_requested`, or of its webhook `blocked` and `skipped`.".into(),
        ),
        (event_key::DURATION, "How long the run took, in milliseconds.".into()),
        (input, "Prompt tokens outside any cache, of all models of the run and of its sub-agents.".into()),
        (output, "Generated tokens, likewise.".into()),
        (cache_read, "Prompt tokens read from a cache, likewise.".into()),
        (cache_write, "Prompt tokens written to a cache, likewise.".into()),
        (
            key::PROVENANCE,
            format!("How these are known: {}.", words(UsageProvenance::ALL.map(UsageProvenance::as_str))),
        ),
        (
            event_key::COST,
            "What the run cost in US dollars, to the last digit; left out if nothing is known.".into(),
        ),
        (
            event_key::COST_PROVENANCE,
            format!("How that is known: {}.", words(CostProvenance::ALL.map(CostProvenance::as_str))),
        ),
        (event_key::HTTP_STATUS, "What the webhook's receiver answered.".into()),
        (event_key::ATTEMPT, "Which attempt is made next.".into()),
        (event_key::ATTEMPTS, "How many attempts are made at most.".into()),
    ]
}

#[test]
fn docs_tell_what_the_table_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
    let expected = document();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let first = expected.lines().zip(committed.lines().chain(std::iter::repeat(""))).find(|(a, b)| a != b);
    assert!(
        committed == expected,
        "docs/events.md is out of date; renew it with {UPDATE}=1 cargo test --lib docs\nfirst difference: {first:#?}"
    );
}

#[test]
fn docs_explain_every_attribute_that_an_event_has() {
    let explained: Vec<&str> = explained().into_iter().map(|(key, _)| key).collect();
    let used = types::ALL.iter().flat_map(|kind| kind.attributes).chain(&COMMON);
    for key in used {
        assert!(explained.contains(key), "{key} is not explained");
    }
    let of_loki: Vec<String> = explained.iter().map(|key| label(key)).collect();
    let distinct: std::collections::BTreeSet<&String> = of_loki.iter().collect();
    assert_eq!(distinct.len(), of_loki.len(), "no two attributes are one in Loki");
}
