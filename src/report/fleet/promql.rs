//! The questions, in PromQL that every server with Prometheus's API understands.

use super::super::{Dimension, Selection};
use super::{Identity, Span};
use crate::telemetry::catalogue::{self, Metric, key};
use crate::telemetry::names;

/// Before the window, the newest sample of a counter is looked for this far back: an outage may last that long.
const TOLERANCE: &str = "1d";

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Tokens by kind.
    Tokens,
    /// Dollars by billing.
    Cost,
    /// Runs by status.
    Runs,
    /// Tokens of failed runs by status and kind.
    WastedTokens,
    /// Dollars of failed runs by status.
    WastedCost,
    /// Runs that took no longer than `le`.
    Durations,
    /// Tokens without a price.
    Unpriced,
    /// Dollars that are lower bounds, by gateway.
    LowerBound,
    /// When a job last ran, in seconds since 1970.
    LastRun,
}

impl Family {
    /// Returns what is asked for, for whoever reads an error.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Cost => "dollars",
            Self::Runs => "runs",
            Self::WastedTokens => "tokens of failed runs",
            Self::WastedCost => "dollars of failed runs",
            Self::Durations => "durations",
            Self::Unpriced => "tokens without a price",
            Self::LowerBound => "lower bounds",
            Self::LastRun => "last runs",
        }
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub family: Family,
    /// The expression, to be evaluated at the end of the window.
    pub promql: String,
}

/// Returns an attribute's label.
#[must_use]
pub fn label(key: &str) -> String {
    names::label(key)
}

/// Whose series.
#[derive(Clone, Debug)]
struct Selector<'a> {
    identity: Identity,
    service: &'a str,
    span: Span,
}

impl Selector<'_> {
    fn series(&self, name: &str, more: &str) -> String {
        self.identity.series(name, self.service, more)
    }

    /// The exact growth of a counter; see `docs/metrics.md`.
    fn growth(&self, name: &str, more: &str) -> String {
        let (x, w) = (self.series(name, more), self.span.seconds);
        format!(
            "last_over_time({x}[{w}s]) - (last_over_time({x}[{TOLERANCE}] offset {w}s) or min_over_time({x}[{w}s]))"
        )
    }

    /// The growth of a gauge that appears with its first value: before that it was 0.
    fn risen(&self, name: &str) -> String {
        let (x, w) = (self.series(name, ""), self.span.seconds);
        format!(
            "last_over_time({x}[{w}s]) - (last_over_time({x}[{TOLERANCE}] offset {w}s) or 0 * last_over_time({x}[{w}s]))"
        )
    }
}

/// Returns the labels that rows and filters need.
fn needed(identity: Identity, by: &[Dimension], selection: &Selection) -> Vec<String> {
    let job = [key::JOB_ID, key::JOB_NAME];
    let mut labels = Vec::new();
    let mut need = |wanted: bool, keys: &[&str]| {
        for label in keys.iter().filter(|_| wanted).map(|key| label(key)) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
    };
    need(by.contains(&Dimension::Gateway) || !selection.gateways.is_empty(), &[identity.gateway()]);
    need(by.contains(&Dimension::Job) || !selection.jobs.is_empty(), &job);
    need(by.contains(&Dimension::Agent) || !selection.agents.is_empty(), &[key::AGENT]);
    let models = !selection.models.is_empty();
    need(by.contains(&Dimension::Provider) || !selection.providers.is_empty() || models, &[key::PROVIDER]);
    need(by.contains(&Dimension::Model) || models, &[key::MODEL]);
    labels
}

/// Returns whether a job's last run can be told for these rows and filters: its gauge knows no model.
pub(super) fn tells_last_run(selection: &Selection) -> bool {
    selection.models.is_empty() && selection.providers.is_empty()
}

/// Returns the questions about one window. Tokens come before those of failed runs, and dollars too.
#[must_use]
pub fn questions(
    identity: Identity,
    service: &str,
    span: Span,
    by: &[Dimension],
    selection: &Selection,
) -> Vec<Question> {
    let of = Selector { identity, service, span };
    let labels = needed(identity, by, selection);
    let mut questions = Vec::new();
    let mut ask = |family: Family, own: &[&str], expression: String| {
        let own = own.iter().map(|key| label(key)).filter(|label| !labels.contains(label));
        let labels: Vec<String> = labels.iter().cloned().chain(own).collect();
        let promql = format!("sum by ({}) ({expression})", labels.join(", "));
        questions.push(Question { family, promql });
    };
    let growth = |metric: &Metric, suffix: &str| of.growth(&(names::series(metric) + suffix), "");
    ask(Family::Tokens, &[key::TOKEN], growth(&catalogue::TOKENS, ""));
    ask(Family::Cost, &[key::BILLING], growth(&catalogue::COST, ""));
    ask(Family::Runs, &[key::STATUS], growth(&catalogue::RUNS, ""));
    if by.contains(&Dimension::Status) {
        ask(Family::WastedTokens, &[key::STATUS, key::TOKEN], growth(&catalogue::WASTED_TOKENS, ""));
    }
    ask(Family::WastedCost, &[key::STATUS], growth(&catalogue::WASTED_COST, ""));
    ask(Family::Durations, &["le"], growth(&catalogue::RUN_DURATION, "_bucket"));
    let unpriced = of.risen(&names::series(&catalogue::UNPRICED_TOKENS));
    ask(Family::Unpriced, &[key::PROVIDER, key::MODEL], unpriced);
    let gateway = identity.gateway();
    let unfiltered = tells_last_run(selection) && selection.jobs.is_empty() && selection.agents.is_empty();
    if unfiltered {
        let bound = format!(r#",{}="lower_bound""#, label(key::PROVENANCE));
        let growth = of.growth(&names::series(&catalogue::COST_BY_PROVENANCE), &bound);
        let promql = format!("sum by ({gateway}) ({growth})");
        questions.push(Question { family: Family::LowerBound, promql });
    }
    if tells_last_run(selection) {
        let x = of.series(&names::series(&catalogue::JOB_LAST_RUN), "");
        let labels = [gateway, key::AGENT, key::JOB_ID, key::JOB_NAME].map(label).join(", ");
        let promql = format!("max by ({labels}) (last_over_time({x}[{}s]))", span.seconds);
        questions.push(Question { family: Family::LastRun, promql });
    }
    questions
}

/// Returns the question for tokens that counters already held when the server first saw them in the window: how much of
/// each gateway's history it does not know.
#[must_use]
pub fn seen_late(identity: Identity, service: &str, span: Span) -> String {
    let x = Selector { identity, service, span }.series(&names::series(&catalogue::TOKENS), "");
    let (w, gateway) = (span.seconds, identity.gateway());
    format!(
        "sum by ({gateway}) (min_over_time({x}[{w}s]) unless last_over_time({x}[{TOLERANCE}] offset {w}s)) > 0"
    )
}

/// Returns the question for counters that fell: a gateway whose ledger was lost, or two under one name.
#[must_use]
pub fn fallen(identity: Identity, service: &str, span: Span) -> String {
    let x = Selector { identity, service, span }.series(&names::series(&catalogue::RUNS), "");
    format!("sum by ({}) (resets({x}[{}s])) > 0", identity.gateway(), span.seconds)
}

/// Returns the labels of a sample under the attributes' keys, for tests.
#[cfg(test)]
pub(super) fn labelled(labels: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (label(key), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::Pattern;

    const DAY: Span = Span { until_s: 1_800_000_000, seconds: 86_400 };

    fn asked(by: &[Dimension], selection: &Selection) -> Vec<(Family, String)> {
        let all = questions(Identity::Prometheus, "openclaw-usage", DAY, by, selection);
        all.into_iter().map(|question| (question.family, question.promql)).collect()
    }

    fn labels_of(by: &[Dimension], selection: &Selection) -> String {
        let all = asked(by, selection);
        let (_, tokens) = &all[0];
        tokens.strip_prefix("sum by (").unwrap().split(')').next().unwrap().to_owned()
    }

    #[test]
    fn a_window_is_asked_for_exactly() {
        let all = asked(&[Dimension::Gateway], &Selection::default());
        let x = r#"openclaw_tokens_total{job="openclaw-usage"}"#;
        assert_eq!(
            all[0],
            (
                Family::Tokens,
                format!(
                    "sum by (instance, openclaw_token) (last_over_time({x}[86400s]) - (last_over_time({x}[1d] offset \
                     86400s) or min_over_time({x}[86400s])))"
                )
            )
        );
        let of = |family| &all.iter().find(|(known, _)| *known == family).unwrap().1;
        assert!(of(Family::Durations).starts_with(
            "sum by (instance, le) (last_over_time(openclaw_run_duration_ms_milliseconds_bucket{"
        ));
        assert!(
            of(Family::LowerBound).contains(r#"{job="openclaw-usage",openclaw_provenance="lower_bound"}"#)
        );
        assert!(of(Family::Unpriced).contains(" or 0 * last_over_time("));
        assert_eq!(
            of(Family::LastRun),
            "max by (instance, openclaw_agent, openclaw_job_id, openclaw_job_name) \
             (last_over_time(openclaw_cron_job_last_run_timestamp_seconds{job=\"openclaw-usage\"}[86400s]))"
        );
        assert!(!all.iter().any(|(family, _)| *family == Family::WastedTokens));
    }

    #[test]
    fn only_labels_that_rows_and_filters_need_are_asked_for() {
        let none = Selection::default();
        let models = Selection { models: vec![Pattern::new("m*")], ..Selection::default() };
        let jobs = Selection { jobs: vec![Pattern::new("daily")], ..Selection::default() };
        for (by, selection, expected) in [
            (&[Dimension::Job][..], &none, "openclaw_job_id, openclaw_job_name, openclaw_token"),
            (&[Dimension::Day], &none, "openclaw_token"),
            (&[Dimension::Status], &none, "openclaw_token"),
            (&[Dimension::Agent, Dimension::Model], &none, "openclaw_agent, openclaw_model, openclaw_token"),
            (&[Dimension::Model], &models, "openclaw_provider, openclaw_model, openclaw_token"),
            (&[Dimension::Gateway], &jobs, "instance, openclaw_job_id, openclaw_job_name, openclaw_token"),
        ] {
            assert_eq!(labels_of(by, selection), expected, "{by:?}");
        }
        let families = |selection| asked(&[Dimension::Job], selection).into_iter().map(|(family, _)| family);
        assert!(!families(&models).any(|family| matches!(family, Family::LastRun | Family::LowerBound)));
        assert!(families(&jobs).any(|family| family == Family::LastRun));
        assert!(!families(&jobs).any(|family| family == Family::LowerBound));
        assert!(asked(&[Dimension::Status], &none).iter().any(|(family, _)| *family == Family::WastedTokens));
    }
}
