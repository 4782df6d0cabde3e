//! The ledger against the gateway's stores, run by run.

use std::collections::{BTreeMap, HashMap};

use super::{Against, Both, Comparison, Figures, Place, Reason, compared};
use crate::ledger::{LedgerError, LedgerReader, UsageReader, UsedRun, Window};
use crate::model::{RunAt, UnixMs};

/// What one run used, by place: its own first.
type Parts = Vec<(Place, Figures)>;

/// Counts of runs by what became of them, at one place.
#[derive(Default)]
struct Causes {
    pruned: u64,
    uncounted: u64,
    gone: u64,
    unread: u64,
    priced: u64,
    folded: u64,
}

#[derive(Default)]
struct Table {
    places: BTreeMap<Place, (Both, Causes)>,
}

impl Table {
    fn at(&mut self, place: &Place) -> &mut (Both, Causes) {
        self.places.entry(place.clone()).or_default()
    }

    /// A run that both sides know.
    fn both(&mut self, ledger: &Parts, source: &Parts) {
        let total = |parts: &Parts| parts.iter().map(|(_, figures)| figures.total()).sum::<u64>();
        let (here, there) = (total(ledger), total(source));
        let mut places: Vec<&Place> = ledger.iter().chain(source).map(|(place, _)| place).collect();
        places.sort();
        places.dedup();
        for place in places {
            let sum = |parts: &Parts| {
                let mut sum = Figures::default();
                parts.iter().filter(|(of, _)| of == place).for_each(|(_, figures)| sum.add(figures));
                sum
            };
            let (in_ledger, in_source) = (sum(ledger), sum(source));
            let (both, causes) = self.at(place);
            both.ledger.add(&in_ledger);
            both.other.add(&in_source);
            if in_ledger == in_source {
                continue;
            }
            if (in_ledger.tokens, in_ledger.runs) == (in_source.tokens, in_source.runs) {
                causes.priced += 1;
            } else if here >= there {
                causes.gone += 1;
            } else {
                causes.unread += 1;
            }
        }
    }
}

/// Holds a ledger against one that was made of the sources for the occasion, over the runs that started in a window.
/// `at` says where the sources are.
///
/// # Errors
/// What SQLite says.
pub fn against_sources(
    ledger: &LedgerReader,
    sources: &LedgerReader,
    window: Window,
    at: String,
) -> Result<Comparison, LedgerError> {
    let (ledger, sources) = (ledger.usage()?, sources.usage()?);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for job in sources.jobs.iter().chain(&ledger.jobs) {
        names.insert(job.job_id.clone(), job.name.clone());
    }
    let mut table = Table::default();
    let mut counted: HashMap<(String, RunAt), Parts> = HashMap::new();
    each(&ledger, window, |key, parts| _ = counted.insert(key, parts))?;
    ledger.for_each_folded(window, |folded| {
        let labels = ledger.labels.get(folded.labels);
        if labels.is_some_and(|labels| !labels.gateway.is_empty()) {
            return;
        }
        let place = labels.map_or_else(Place::default, |labels| Place {
            job_id: labels.job_id.clone(),
            provider: labels.provider.clone(),
            model: labels.model.clone(),
        });
        let (both, causes) = table.at(&place);
        both.ledger.add(&Figures { runs: folded.runs, tokens: folded.tokens, cost: folded.cost });
        causes.folded += folded.runs;
    })?;
    let folded_before = ledger.folded_before.unwrap_or(UnixMs(i64::MIN));
    each(&sources, window, |key, parts| match counted.remove(&key) {
        Some(known) => table.both(&known, &parts),
        None => {
            for (nth, (place, figures)) in parts.iter().enumerate() {
                let (both, causes) = table.at(place);
                both.other.add(figures);
                let cause =
                    if key.1.time() < folded_before { &mut causes.folded } else { &mut causes.uncounted };
                // Under a further model it is the same run; still that place needs a reason.
                *cause += u64::from(nth == 0 || figures.runs == 0);
            }
        }
    })?;
    for parts in counted.into_values() {
        for (place, figures) in parts {
            let (both, causes) = table.at(&place);
            both.ledger.add(&figures);
            causes.pruned += 1;
        }
    }
    let places = table.places.into_iter().map(|(place, (mut both, causes))| {
        both.reasons = reasons(&causes);
        (place, both)
    });
    Ok(compared(Against::Sources, at, places.collect(), &names))
}

fn reasons(causes: &Causes) -> Vec<Reason> {
    [
        (causes.pruned, Reason::PrunedUpstream(causes.pruned)),
        (causes.uncounted, Reason::NotYetCounted(causes.uncounted)),
        (causes.gone, Reason::SessionGone(causes.gone)),
        (causes.unread, Reason::SessionUnread(causes.unread)),
        (causes.priced, Reason::PricedOtherwise(causes.priced)),
        (causes.folded, Reason::Folded(causes.folded)),
    ]
    .into_iter()
    .filter_map(|(n, reason)| (n > 0).then_some(reason))
    .collect()
}

fn each(
    usage: &UsageReader<'_>,
    window: Window,
    mut on_run: impl FnMut((String, RunAt), Parts),
) -> Result<(), LedgerError> {
    usage.for_each_run(
        window,
        // What others posted is in no store here.
        |job| usage.jobs.get(job).is_some_and(|job| job.gateway.is_empty()),
        |run| {
            let job_id = usage.jobs.get(run.job).map(|job| job.job_id.clone()).unwrap_or_default();
            let parts = parts(usage, &job_id, run);
            on_run((job_id, run.at), parts);
        },
    )
}

fn parts(usage: &UsageReader<'_>, job_id: &str, run: &UsedRun<'_>) -> Parts {
    let part = |(nth, part): (usize, &crate::ledger::UsedPart)| {
        let labels = usage.labels.get(part.labels);
        let text = |of: fn(&crate::ledger::Labels) -> &String| {
            labels.map(|labels| of(labels)).cloned().unwrap_or_default()
        };
        let place = Place {
            job_id: job_id.to_owned(),
            provider: text(|labels| &labels.provider),
            model: text(|labels| &labels.model),
        };
        (place, Figures::of_part(part, u64::from(nth == 0)))
    };
    run.parts.iter().enumerate().map(part).collect()
}
