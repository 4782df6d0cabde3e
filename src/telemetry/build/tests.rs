use std::sync::Arc;

use super::*;
use crate::model::TokenKind;

const DAY_MS: i64 = 86_400_000;

fn series(labels: usize, changed: UnixMs) -> Series {
    Series {
        seq: labels as u64 + 1,
        labels,
        kind: SeriesKind::Tokens(TokenKind::Input),
        start: UnixMs(0),
        live: true,
        changed,
        revision: 1,
        true_total: 7,
        exported_total: 7,
        histogram: None,
    }
}

/// A job that runs once a month must not look new to a server each time.
#[test]
fn what_is_idle_is_sent_as_long_as_its_job_is_there() {
    let labels = |job_id: &str| Arc::new(Labels { job_id: job_id.into(), ..Labels::default() });
    let job = |job_id: &str, label, defined| JobFacts {
        job_id: job_id.into(),
        label,
        defined,
        ..JobFacts::default()
    };
    let totals = Totals {
        jobs: vec![
            job("monthly", JobLabel::Own, true),
            job("gone", JobLabel::Own, false),
            job("once", JobLabel::OneShot, false),
        ],
        labels: ["monthly", "gone", "one-shot"].map(labels).to_vec(),
        series: (0..3).map(|at| series(at, UnixMs(0))).collect(),
        ..Totals::default()
    };
    let sent = |days: i64| {
        let snapshot =
            SnapshotBuilder::default().build(&totals, &ProcessState::default(), UnixMs(days * DAY_MS));
        let of = |metric: &'static Metric| {
            snapshot.points.iter().filter(move |point| std::ptr::eq(point.metric, metric)).collect::<Vec<_>>()
        };
        let jobs: Vec<String> = of(&metrics::TOKENS)
            .iter()
            .filter_map(|point| point.attributes().find(|(key, _)| *key == key::JOB_ID))
            .map(|(_, id)| id.to_owned())
            .collect();
        (jobs, of(&metrics::SERIES_IDLE)[0].value.clone())
    };
    assert_eq!(sent(7), (["monthly", "gone", "one-shot"].map(Into::into).to_vec(), Value::Gauge(0.0)));
    assert_eq!(sent(31), (["monthly", "one-shot"].map(Into::into).to_vec(), Value::Gauge(1.0)));
}
