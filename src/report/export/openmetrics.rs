//! History as the counters that it would have made, in OpenMetrics 1.0 with times: what
//! `promtool tsdb create-blocks-from openmetrics` turns into blocks of a Prometheus.
//!
//! A counter is told when it changes, at the quarters of an hour on both sides: then differences between any two
//! quarters are exact by the expression for windows in `docs/metrics.md`, and local midnights of all zones are quarters.
//! In between it is repeated at midnight UTC, and for a week after its last change, so that a look back over a day
//! finds it. Series are told one after the other, each in the order of time, which the
//! format demands and promtool needs.

use std::io::{self, Write};

use super::{ExportError, Wanted};
use crate::ledger::{Counted, Growth, LedgerReader, SeriesKind, UsageReader};
use crate::model::TokenKind;
use crate::report::group::Names;
use crate::report::tally::Selected;
use crate::telemetry::catalogue::{self, Metric, key};
use crate::telemetry::text::{self, Format};
use crate::telemetry::{attributes, names};

/// A quarter of an hour in milliseconds.
const SLOT_MS: i64 = 900_000;
/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// A counter is repeated for this long after its last change: seven days.
const TAIL_MS: i64 = 7 * DAY_MS;

/// Under which names Prometheus knows the daemon's series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The label `job`.
    pub job: String,
    /// The label `instance`; `None`: the name of the ledger's gateway.
    pub instance: Option<String>,
}

/// Writes the counters; `on_sample` is told of each sample.
///
/// # Errors
/// The ledger's, and those of the receiver.
pub fn openmetrics(
    reader: &LedgerReader,
    wanted: &Wanted,
    identity: &Identity,
    out: &mut dyn Write,
    on_sample: impl FnMut(),
) -> Result<(), ExportError> {
    let usage = reader.usage()?;
    let names = Names::of(&usage);
    let selected = Selected::new(&names, &usage, &wanted.selection);
    let jobs: Vec<usize> = (0..usage.jobs.len()).filter(|job| selected.job(*job)).collect();
    let folded = (0..usage.labels.len()).filter(|labels| selected.job(names.job_of_labels(*labels)));
    let folded: Vec<usize> = folded.collect();
    let all = jobs.len() == usage.jobs.len() && folded.len() == usage.labels.len();
    let of = (!all).then_some((jobs.as_slice(), folded.as_slice()));
    let instance = identity.instance.as_deref().unwrap_or(&usage.gateway);
    let own = [("job", identity.job.as_str()), (key::INSTANCE, instance)];
    let mut samples = Samples { out, on_sample, until: wanted.window.until.0, series: None };
    let families: [(&Metric, &[Counted]); 3] = [
        (&catalogue::TOKENS, &TokenKind::ALL.map(Counted::Tokens)),
        (&catalogue::COST, &[Counted::Cost]),
        (&catalogue::RUNS, &[Counted::Runs]),
    ];
    for (metric, counts) in families {
        samples.out.write_all(text::header(metric, Format::OpenMetrics).as_bytes())?;
        for counted in counts {
            let mut failed = None;
            usage.for_each_growth(*counted, (wanted.window, SLOT_MS), of, |growth| {
                if failed.is_none() && selected.label(growth.labels) {
                    failed = samples.add(growth, || name(&usage, metric, growth, own)).err();
                }
            })?;
            failed.map_or_else(|| samples.end(), Err)?;
        }
    }
    samples.out.write_all(b"# EOF\n")?;
    samples.out.flush()?;
    Ok(())
}

/// Returns a series as its samples begin: name and labels.
fn name(usage: &UsageReader<'_>, metric: &Metric, growth: &Growth, own: [(&str, &str); 2]) -> String {
    let of_kind: [Option<(&str, &str)>; 2] = match growth.kind {
        SeriesKind::Tokens(kind) => [Some((key::TOKEN, kind.as_str())), None],
        SeriesKind::Cost(billing) => [Some((key::BILLING, billing.as_str())), None],
        SeriesKind::Runs(status, reason) => {
            [Some((key::STATUS, status.as_str())), Some((key::REASON, reason.as_str()))]
        }
        _ => [None, None],
    };
    let base = usage.labels.get(growth.labels).map(|labels| attributes(labels));
    // A gateway that posts is an instance of its own, and says so among its attributes.
    let is_other = usage.labels.get(growth.labels).is_some_and(|labels| !labels.gateway.is_empty());
    let own = own.into_iter().filter(|(key, _)| !(is_other && *key == key::INSTANCE));
    let base = base.iter().flat_map(|base| base.iter().map(|(key, value)| (*key, value.as_str())));
    // No label is as good as an empty one.
    let labels = own.chain(base).chain(of_kind.into_iter().flatten());
    let labels = text::labels(labels.filter(|(_, value)| !value.is_empty()));
    format!("{}{{{labels}}}", names::series(metric))
}

/// Writes samples.
struct Samples<'a, F> {
    out: &'a mut dyn Write,
    on_sample: F,
    /// No sample lies after this time.
    until: i64,
    series: Option<Series>,
}

/// The series at hand.
struct Series {
    of: (usize, SeriesKind),
    name: String,
    total: u64,
    /// When it was last told, and when it last changed.
    told: i64,
    changed: i64,
}

impl<F: FnMut()> Samples<'_, F> {
    fn add(&mut self, growth: &Growth, name: impl FnOnce() -> String) -> io::Result<()> {
        let of = (growth.labels, growth.kind);
        let begins = growth.slot.saturating_mul(SLOT_MS);
        let mut series = match self.series.take() {
            Some(series) if series.of == of => series,
            ended => {
                self.finish(ended)?;
                // The zero before the first value.
                let mut new = Series { of, name: name(), total: 0, told: i64::MIN, changed: begins };
                self.tell(&mut new, begins)?;
                new
            }
        };
        self.repeat(&mut series, begins)?;
        if series.told < begins {
            self.tell(&mut series, begins)?;
        }
        series.total = series.total.saturating_add(growth.amount);
        series.changed = begins.saturating_add(SLOT_MS).min(self.until);
        let at = series.changed;
        self.tell(&mut series, at)?;
        self.series = Some(series);
        Ok(())
    }

    /// Ends the series at hand.
    fn end(&mut self) -> io::Result<()> {
        let ended = self.series.take();
        self.finish(ended)
    }

    fn finish(&mut self, series: Option<Series>) -> io::Result<()> {
        let until = self.until;
        series.map_or(Ok(()), |mut series| {
            let end = until.min(series.changed.saturating_add(TAIL_MS));
            self.repeat(&mut series, end)
        })
    }

    /// Repeats a counter at every midnight before `end`.
    fn repeat(&mut self, series: &mut Series, end: i64) -> io::Result<()> {
        loop {
            let midnight = (series.told.div_euclid(DAY_MS) + 1).saturating_mul(DAY_MS);
            if midnight >= end {
                return Ok(());
            }
            self.tell(series, midnight)?;
        }
    }

    fn tell(&mut self, series: &mut Series, at: i64) -> io::Result<()> {
        series.told = at;
        (self.on_sample)();
        let value = match series.of.1 {
            SeriesKind::Cost(_) => text::whole(series.total),
            _ => series.total.to_string(),
        };
        let (seconds, ms) = (at.div_euclid(1_000), at.rem_euclid(1_000));
        writeln!(self.out, "{} {value} {seconds}.{ms:03}", series.name)
    }
}
