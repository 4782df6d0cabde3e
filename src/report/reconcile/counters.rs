//! The ledger against a server's counters.
//!
//! Of each counter the server tells three values: the last one, the last one before the window, and, if there is none,
//! the first one in it. The ledger knows what its runs in the window come to, and what it exports now; so a difference is
//! divided into what was not pushed yet, what the server never saw grow, and what the window's begin cut.

use std::collections::{BTreeMap, BTreeSet};

use super::{Against, Both, Comparison, Figures, Place, Reason, compared};
use crate::ledger::{LedgerError, LedgerReader, SeriesKind, Window};
use crate::model::{NanoUsd, TokenKind, UnixMs};
use crate::report::fleet::{Identity, Sample, Span, count, label};
use crate::telemetry::catalogue::{self, Metric, key};
use crate::telemetry::names;

/// What of a counter is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Its last value in the window.
    Last,
    /// Its last value before the window, of those that have one in it.
    Before,
    /// Its first value in the window, of those that have none before.
    First,
}

/// Which counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountersOf {
    /// Tokens.
    Tokens,
    /// Runs.
    Runs,
    /// Dollars.
    Cost,
}

/// Returns the questions.
#[must_use]
pub fn counter_questions(
    identity: Identity,
    service: &str,
    span: Span,
) -> Vec<(CountersOf, Counter, String)> {
    let families: [(CountersOf, &Metric, Option<&str>); 3] = [
        (CountersOf::Tokens, &catalogue::TOKENS, Some(key::TOKEN)),
        (CountersOf::Runs, &catalogue::RUNS, None),
        (CountersOf::Cost, &catalogue::COST, None),
    ];
    let mut questions = Vec::new();
    for (of, metric, own) in families {
        let x = identity.series(&names::series(metric), service, "");
        let w = span.seconds;
        let keys = [identity.gateway(), key::JOB_ID, key::PROVIDER, key::MODEL];
        let labels: Vec<String> = keys.into_iter().chain(own).map(label).collect();
        let labels = labels.join(", ");
        for (counter, expression) in [
            (Counter::Last, format!("last_over_time({x}[{w}s])")),
            (Counter::Before, format!("last_over_time({x}[1d] offset {w}s) and last_over_time({x}[{w}s])")),
            (Counter::First, format!("min_over_time({x}[{w}s]) unless last_over_time({x}[1d] offset {w}s)")),
        ] {
            questions.push((of, counter, format!("sum by ({labels}) ({expression})")));
        }
    }
    questions
}

/// What a server has of one gateway's counters at one place.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    last: Figures,
    before: Figures,
    first: Figures,
}

/// What a server has.
#[derive(Clone, Debug)]
pub struct Counters {
    identity: Identity,
    by_gateway: BTreeMap<String, BTreeMap<Place, Values>>,
}

impl Counters {
    /// Begins with nothing.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity, by_gateway: BTreeMap::new() }
    }

    /// Adds the samples of a question.
    pub fn add(&mut self, of: CountersOf, counter: Counter, samples: &[Sample]) {
        for sample in samples.iter().filter(|sample| sample.value.is_finite()) {
            let text = |name: &str| sample.label(name).unwrap_or_default().to_owned();
            let place = Place {
                job_id: text(&label(key::JOB_ID)),
                provider: text(&label(key::PROVIDER)),
                model: text(&label(key::MODEL)),
            };
            let gateway = self.by_gateway.entry(text(self.identity.gateway())).or_default();
            let values = gateway.entry(place).or_default();
            let figures = match counter {
                Counter::Last => &mut values.last,
                Counter::Before => &mut values.before,
                Counter::First => &mut values.first,
            };
            match of {
                CountersOf::Runs => figures.runs += count(sample.value),
                CountersOf::Cost => {
                    figures.cost.0 += NanoUsd::from_float(sample.value).unwrap_or_default().0;
                }
                CountersOf::Tokens => {
                    let kind = text(&label(key::TOKEN));
                    let kind = TokenKind::ALL.iter().position(|known| known.as_str() == kind);
                    kind.into_iter().for_each(|kind| figures.tokens[kind] += count(sample.value));
                }
            }
        }
    }
}

/// What the ledger exports at one place now, and when that last changed.
#[derive(Clone, Copy, Debug)]
struct Exported {
    figures: Figures,
    changed: UnixMs,
}

/// A push is late after so many milliseconds: a few intervals.
const LATE_MS: i64 = 60_000;

/// Holds a ledger against a server, over a window that ends `now`. `at` says where the server is.
///
/// # Errors
/// What SQLite says.
pub fn against_counters(
    ledger: &LedgerReader,
    counters: &Counters,
    window: Window,
    now: UnixMs,
    at: String,
) -> Result<Comparison, LedgerError> {
    let usage = ledger.usage()?;
    let place = |labels: usize| {
        usage.labels.get(labels).map_or_else(Place::default, |labels| Place {
            job_id: labels.job_id.clone(),
            provider: labels.provider.clone(),
            model: labels.model.clone(),
        })
    };
    // What other gateways posted is told of by themselves.
    let is_own = |labels: usize| usage.labels.get(labels).is_some_and(|labels| labels.gateway.is_empty());
    let names = usage.labels.iter().map(|labels| (labels.job_id.clone(), labels.job_name.clone())).collect();
    let mut places: BTreeMap<Place, Both> = BTreeMap::new();
    usage.for_each_run(
        window,
        |job| usage.jobs.get(job).is_some_and(|job| job.gateway.is_empty()),
        |run| {
            for (nth, part) in run.parts.iter().enumerate() {
                let figures = Figures::of_part(part, u64::from(nth == 0));
                places.entry(place(part.labels)).or_default().ledger.add(&figures);
            }
        },
    )?;
    usage.for_each_folded(window, |folded| {
        if !is_own(folded.labels) {
            return;
        }
        let figures = Figures { runs: folded.runs, tokens: folded.tokens, cost: folded.cost };
        places.entry(place(folded.labels)).or_default().ledger.add(&figures);
    })?;
    let mut exported: BTreeMap<Place, Exported> = BTreeMap::new();
    for series in usage.series()?.into_iter().filter(|series| is_own(series.labels)) {
        let none = Exported { figures: Figures::default(), changed: UnixMs(0) };
        let entry = exported.entry(place(series.labels)).or_insert(none);
        match series.kind {
            SeriesKind::Tokens(kind) => entry.figures.tokens[kind as usize] += series.exported_total,
            SeriesKind::Runs(..) => entry.figures.runs += series.exported_total,
            SeriesKind::Cost(_) => {
                entry.figures.cost.0 += i64::try_from(series.exported_total).unwrap_or(i64::MAX);
            }
            _ => continue,
        }
        entry.changed = entry.changed.max(series.changed);
    }
    let nothing = BTreeMap::new();
    let ours = counters.by_gateway.get(&usage.gateway).unwrap_or(&nothing);
    for place in ours.keys() {
        places.entry(place.clone()).or_default();
    }
    for (place, both) in &mut places {
        let values = ours.get(place).copied().map(|mut values| {
            let exports = exported.get(place).map_or(NanoUsd::ZERO, |exported| exported.figures.cost);
            values.last.cost = unrounded(values.last.cost, exports, values.last.cost);
            values
        });
        both.other = values.as_ref().map_or_else(Figures::default, grown);
        if let Some(values) = &values {
            both.other.cost = unrounded(both.other.cost, both.ledger.cost, values.last.cost);
        }
        if both.ledger != both.other {
            both.reasons = match &values {
                Some(values) => divided(both, values, exported.get(place)),
                None => vec![absent(place, counters, exported.get(place), now)],
            };
        }
    }
    // What neither side counted in the window is nothing to compare.
    places.retain(|_, both| both.ledger != Figures::default() || both.other != Figures::default());
    Ok(compared(Against::Prometheus, at, places, &names))
}

/// A difference of one part in so many of a counter's value may be rounding at both ends of a window.
const ROUNDED: u64 = 500_000_000_000;

/// Returns the truth if what a server keeps differs from it by no more than the rounding of a counter that is at `value`, else
/// what it keeps. VictoriaMetrics rounds dollars to some 12 digits, so above 1,000 US dollars it loses nano-dollars.
pub(super) const fn unrounded(kept: NanoUsd, truth: NanoUsd, value: NanoUsd) -> NanoUsd {
    if kept.0.abs_diff(truth.0) <= value.0.unsigned_abs() / ROUNDED { truth } else { kept }
}

/// Returns what was added in the window, as far as the server saw it.
fn grown(values: &Values) -> Figures {
    let grown = |of: fn(&Figures) -> u64| {
        of(&values.last).saturating_sub(of(&values.before)).saturating_sub(of(&values.first))
    };
    let mut tokens = [0; 4];
    for (nth, tokens) in tokens.iter_mut().enumerate() {
        *tokens = values.last.tokens[nth]
            .saturating_sub(values.before.tokens[nth])
            .saturating_sub(values.first.tokens[nth]);
    }
    let cost = values.last.cost.0 - values.before.cost.0 - values.first.cost.0;
    Figures { runs: grown(|figures| figures.runs), tokens, cost: NanoUsd(cost.max(0)) }
}

/// Returns the size of figures that says most: tokens, else runs, else nano-dollars.
fn size(figures: &Figures) -> u64 {
    match (figures.total(), figures.runs) {
        (0, 0) => u64::try_from(figures.cost.0).unwrap_or(0),
        (0, runs) => runs,
        (tokens, _) => tokens,
    }
}

/// Returns by how much one exceeds the other, figure by figure.
fn above(more: &Figures, less: &Figures) -> Figures {
    let mut tokens = more.tokens;
    tokens.iter_mut().zip(less.tokens).for_each(|(tokens, less)| *tokens = tokens.saturating_sub(less));
    let cost = NanoUsd(more.cost.0.saturating_sub(less.cost.0).max(0));
    Figures { runs: more.runs.saturating_sub(less.runs), tokens, cost }
}

fn divided(both: &Both, values: &Values, exported: Option<&Exported>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let nothing = Figures::default();
    let exports = exported.map_or(nothing, |exported| exported.figures);
    let (behind, ahead) = (above(&exports, &values.last), above(&values.last, &exports));
    if behind != nothing {
        reasons.push(Reason::NotYetPushed(size(&behind)));
    }
    if ahead != nothing {
        reasons.push(Reason::ForeignCount(size(&ahead)));
    }
    if values.first != nothing {
        reasons.push(Reason::SeenLate(size(&values.first)));
    }
    // What these explain together.
    let mut explained = both.other;
    explained.add(&behind);
    explained.add(&values.first);
    if reasons.is_empty() || ahead == nothing && above(&both.ledger, &explained) != nothing {
        reasons.push(Reason::WindowEdge);
    }
    reasons
}

fn absent(place: &Place, counters: &Counters, exported: Option<&Exported>, now: UnixMs) -> Reason {
    let others = counters.by_gateway.iter().filter(|(_, places)| places.contains_key(place));
    let others: BTreeSet<String> = others.map(|(gateway, _)| gateway.clone()).collect();
    if !others.is_empty() {
        return Reason::OtherInstance(others.into_iter().collect());
    }
    match exported {
        Some(exported) if now.since(exported.changed) < LATE_MS => {
            Reason::NotYetPushed(size(&exported.figures))
        }
        _ => Reason::Absent,
    }
}
