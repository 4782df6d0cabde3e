//! The names under which Prometheus stores our metrics, by its default translation strategy.
//!
//! Source: Prometheus's OTLP translation, verified against real servers of both major versions by the
//! end-to-end tests. Deliberately absent: the other strategies, which the server's operator chooses.

use super::catalogue::{Kind, Metric};

/// Returns the family name without suffixes that depend on the sample (`_bucket`, `_total`…): what stands in
/// `# TYPE` of the OpenMetrics format.
#[must_use]
pub fn family(metric: &Metric) -> String {
    let mut name = label(metric.name);
    let unit = match (metric.unit, metric.kind) {
        ("s", _) => "seconds",
        ("ms", _) => "milliseconds",
        ("By", _) => "bytes",
        ("1", Kind::Gauge) => "ratio",
        _ => "",
    };
    if !unit.is_empty() && !name.ends_with(unit) {
        name.push('_');
        name.push_str(unit);
    }
    name
}

/// Returns the name of the series that Prometheus stores: with `_total` for a counter. A histogram's series
/// carry `_bucket`, `_sum` and `_count` behind it.
#[must_use]
pub fn series(metric: &Metric) -> String {
    let mut name = family(metric);
    if metric.kind == Kind::Sum {
        name.push_str("_total");
    }
    name
}

/// Returns an attribute key as a label name: every character that a label name cannot hold becomes `_`.
#[must_use]
pub fn label(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalogue;

    #[test]
    fn names_are_those_that_prometheus_stores() {
        for (metric, expected) in [
            (&catalogue::TOKENS, "openclaw_tokens_total"),
            (&catalogue::RUN_DURATION, "openclaw_run_duration_ms_milliseconds"),
            (&catalogue::RUNS, "openclaw_cron_runs_total"),
            (&catalogue::JOB_LAST_RUN, "openclaw_cron_job_last_run_timestamp_seconds"),
            (&catalogue::JOB_CONSECUTIVE_ERRORS, "openclaw_cron_job_consecutive_errors"),
            (&catalogue::SOURCE_UP, "openclaw_usage_source_up"),
            (&catalogue::LEDGER_SIZE, "openclaw_usage_ledger_size_bytes"),
        ] {
            assert_eq!(series(metric), expected);
        }
    }

    #[test]
    fn no_gauge_has_the_unit_one() {
        for metric in catalogue::ALL {
            assert!(metric.kind != Kind::Gauge || metric.unit != "1", "{} would end in _ratio", metric.name);
        }
    }
}
