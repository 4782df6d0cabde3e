//! Samples to rows.

use std::collections::{BTreeMap, HashMap};

use super::super::query::{before, order};
use super::super::text::tokens_unpriced;
use super::super::{Cell, Dimension, Query, Report, Row, Selection, Sums};
use super::promql::tells_last_run;
use super::span::whole;
use super::{Family, Identity, Sample, label};
use crate::ledger::Window;
use crate::model::{Billing, NanoUsd, Status, TokenKind, UnixMs};
use crate::price::Pattern;
use crate::telemetry::catalogue::key;

/// The id that OpenClaw's own jobs share; their names tell them apart.
const SHARED: &str = "system";

/// Sums of one window in the making. Samples of a family are added in the order of [`super::questions`].
pub struct Gathering<'a> {
    query: &'a Query,
    identity: Identity,
    groups: BTreeMap<Vec<Cell>, Sums>,
    totals: Sums,
    /// Of each job the name under which it ran last, and when that was.
    names: HashMap<String, (f64, String)>,
    /// Tokens without a price by model.
    unpriced: BTreeMap<String, u64>,
}

impl<'a> Gathering<'a> {
    /// Begins with nothing.
    #[must_use]
    pub fn new(query: &'a Query, identity: Identity) -> Self {
        Self {
            query,
            identity,
            groups: BTreeMap::new(),
            totals: Sums::of_counters(),
            names: HashMap::new(),
            unpriced: BTreeMap::new(),
        }
    }

    /// Adds the samples of one question about one piece of the window; `periods` are the labels of its day, week and
    /// month, in the order in which rows are made by them.
    pub fn add(&mut self, family: Family, samples: &[Sample], piece: Window, periods: &[String]) {
        for sample in samples.iter().filter(|sample| sample.value.is_finite()) {
            if fits(&self.query.selection, self.identity, sample) {
                self.add_sample(family, sample, piece, periods);
            }
        }
    }

    fn add_sample(&mut self, family: Family, sample: &Sample, piece: Window, periods: &[String]) {
        self.note_name(family, sample);
        let status = sample.label(&label(key::STATUS)).and_then(status);
        let by_status = self.query.by.contains(&Dimension::Status);
        let (tokens, cost) =
            (count(sample.value), NanoUsd::from_float(sample.value.max(0.0)).unwrap_or_default());
        let kind = sample
            .label(&label(key::TOKEN))
            .and_then(|kind| TokenKind::ALL.iter().position(|known| known.as_str() == kind));
        match family {
            Family::Tokens => {
                let Some(kind) = kind else { return };
                self.each(sample, periods, Status::Ok, |sums| sums.tokens[kind] += tokens);
            }
            Family::Cost => {
                let metered =
                    sample.label(&label(key::BILLING)).is_none_or(|is| is == Billing::Metered.as_str());
                self.each(sample, periods, Status::Ok, |sums| {
                    sums.cost.0 += cost.0;
                    sums.not_billed.0 += if metered { 0 } else { cost.0 };
                });
            }
            Family::Runs => {
                let status = status.unwrap_or_default();
                self.each(sample, periods, status, |sums| sums.add_runs(status, tokens));
            }
            Family::WastedTokens => {
                let (Some(kind), Some(status)) = (kind, status) else { return };
                self.group(sample, periods, status).tokens[kind] += tokens;
                let rest = &mut self.group(sample, periods, Status::Ok).tokens[kind];
                *rest = rest.saturating_sub(tokens);
            }
            Family::WastedCost => {
                self.totals.wasted.0 += cost.0;
                let failed = self.group(sample, periods, status.unwrap_or_default());
                failed.wasted.0 += cost.0;
                if by_status {
                    failed.cost.0 += cost.0;
                    let rest = &mut self.group(sample, periods, Status::Ok).cost.0;
                    *rest = (*rest - cost.0).max(0);
                }
            }
            Family::Durations => {
                let Some(bound) = sample.label("le").and_then(bound) else { return };
                self.totals.add_bucket(bound, tokens);
                if !by_status {
                    self.group(sample, periods, Status::Ok).add_bucket(bound, tokens);
                }
            }
            Family::Unpriced if tokens > 0 => {
                self.totals.unpriced_tokens += tokens;
                let model = sample.label(&label(key::MODEL)).unwrap_or_default().to_owned();
                *self.unpriced.entry(model).or_default() += tokens;
                self.group(sample, periods, Status::Ok).unpriced_tokens += tokens;
            }
            Family::Unpriced => {}
            Family::LowerBound => self.add_lower_bound(sample, periods, cost),
            Family::LastRun => self.add_last_run(sample, piece, periods),
        }
    }

    /// Metrics tell lower bounds by gateway only.
    fn add_lower_bound(&mut self, sample: &Sample, periods: &[String], cost: NanoUsd) {
        self.totals.lower_bound.0 += cost.0;
        let told = |dimension: &Dimension| *dimension == Dimension::Gateway || dimension.is_period();
        if self.query.by.iter().all(told) {
            self.group(sample, periods, Status::Ok).lower_bound.0 += cost.0;
        }
    }

    fn add_last_run(&mut self, sample: &Sample, piece: Window, periods: &[String]) {
        let at = UnixMs(i64::try_from(count(sample.value * 1_000.0)).unwrap_or(i64::MAX));
        // The gauge tells the newest run, whenever that was.
        if !piece.contains(at) {
            return;
        }
        self.totals.last_run = self.totals.last_run.max(Some(at));
        let untold = [Dimension::Model, Dimension::Provider, Dimension::Status];
        if !self.query.by.iter().any(|dimension| untold.contains(dimension)) {
            let sums = self.group(sample, periods, Status::Ok);
            sums.last_run = sums.last_run.max(Some(at));
        }
    }

    fn note_name(&mut self, family: Family, sample: &Sample) {
        let (id, name) = (sample.label(&label(key::JOB_ID)), sample.label(&label(key::JOB_NAME)));
        if let (Some(id), Some(name)) = (id, name) {
            let ran = if family == Family::LastRun { sample.value } else { f64::NEG_INFINITY };
            let known = self.names.entry(id.to_owned()).or_insert_with(|| (ran, name.to_owned()));
            if ran > known.0 {
                *known = (ran, name.to_owned());
            }
        }
    }

    fn each(&mut self, sample: &Sample, periods: &[String], status: Status, add: impl Fn(&mut Sums)) {
        add(&mut self.totals);
        add(self.group(sample, periods, status));
    }

    fn group(&mut self, sample: &Sample, periods: &[String], status: Status) -> &mut Sums {
        let cell = |name: &str| sample.label(name).map_or(Cell::Unknown, |text| Cell::Text(text.to_owned()));
        let (mut group, mut periods) = (Vec::new(), periods.iter());
        for dimension in &self.query.by {
            match dimension {
                Dimension::Job => {
                    let id = cell(&label(key::JOB_ID));
                    // Any other name follows from the id, at the end.
                    let own = id.text() == Some(SHARED);
                    let name = if own { cell(&label(key::JOB_NAME)) } else { Cell::Unknown };
                    group.extend([id, name]);
                }
                Dimension::Model => group.push(cell(&label(key::MODEL))),
                Dimension::Provider => group.push(cell(&label(key::PROVIDER))),
                Dimension::Agent => group.push(cell(&label(key::AGENT))),
                Dimension::Gateway => group.push(cell(self.identity.gateway())),
                Dimension::Status => group.push(Cell::Text(status.as_str().to_owned())),
                Dimension::Day | Dimension::Week | Dimension::Month => {
                    group.push(periods.next().map_or(Cell::Unknown, |text| Cell::Text(text.clone())));
                }
                // Refused before anything is asked.
                Dimension::Run => {}
            }
        }
        self.groups.entry(group).or_insert_with(Sums::of_counters)
    }

    /// Puts the jobs' names into a group.
    fn named(&self, mut group: Vec<Cell>) -> Vec<Cell> {
        let mut at = 0;
        for dimension in &self.query.by {
            if *dimension == Dimension::Job && group.get(at + 1) == Some(&Cell::Unknown) {
                let name = group[at].text().and_then(|id| self.names.get(id));
                group[at + 1] = name.map_or(Cell::Unknown, |(_, name)| Cell::Text(name.clone()));
            }
            at += dimension.fields().len();
        }
        group
    }
}

/// Returns the report. `notes` are what else has to be said about the numbers.
#[must_use]
pub fn fleet_report(mut now: Gathering<'_>, previous: Option<Gathering<'_>>, notes: Vec<String>) -> Report {
    let query = now.query;
    // What a gauge held before the server first saw it is no part of the window.
    for sums in now.groups.values_mut().chain([&mut now.totals]) {
        sums.unpriced_tokens = sums.unpriced_tokens.min(sums.total_tokens());
    }

    let window = Window { since: whole(query.window.since), until: whole(query.window.until) };
    let compared = previous.is_some();
    let previous_totals = previous.as_ref().map(|previous| previous.totals.clone());
    let mut names = now.names.clone();
    let mut before_groups = BTreeMap::new();
    if let Some(previous) = previous {
        before_groups = previous.groups;
        for (id, name) in previous.names {
            names.entry(id).or_insert(name);
        }
    }
    let mut notes = notes;
    notes.extend(own_notes(&now));
    let mut gathering = Gathering { names, ..now };
    let mut rows = Vec::new();
    for (group, sums) in std::mem::take(&mut gathering.groups) {
        let old = before_groups.remove(&group).filter(|_| compared);
        let previous = old.or_else(|| compared.then(Sums::of_counters));
        rows.push(Row { group: gathering.named(group), sums, previous });
    }
    for (group, sums) in before_groups {
        rows.push(Row { group: gathering.named(group), sums: Sums::of_counters(), previous: Some(sums) });
    }
    // A series whose counter stood still is no row.
    rows.retain(|row| moved(&row.sums) || row.previous.as_ref().is_some_and(moved));
    rows.sort_by(|a, b| order(query, a, b));
    let kept = query.top.unwrap_or(usize::MAX).min(rows.len());
    let left_out = (rows.len() - kept) as u64;
    rows.truncate(kept);
    Report {
        window,
        previous_window: compared.then(|| before(window)),
        zone: query.zone.clone(),
        by: query.by.clone(),
        rows,
        left_out,
        totals: gathering.totals,
        previous_totals,
        unpriced: Vec::new(),
        budgets: Vec::new(),
        notes,
        of_counters: true,
    }
}

fn moved(sums: &Sums) -> bool {
    sums.runs.total > 0 || sums.total_tokens() > 0 || sums.cost.0 != 0
}

/// Returns what follows from the numbers themselves.
fn own_notes(now: &Gathering<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if !now.unpriced.is_empty() {
        let mut models: Vec<(&str, u64)> =
            now.unpriced.iter().map(|(model, n)| (model.as_str(), *n)).collect();
        models.sort_by_key(|(model, n)| (std::cmp::Reverse(*n), *model));
        notes.push(tokens_unpriced(now.totals.unpriced_tokens, &models));
    }
    if now.query.by.contains(&Dimension::Status) {
        notes.push("Tokens and dollars of all runs that did not fail, and all tokens without a price, stand under ok.".to_owned());
    }
    if now.totals.lower_bound.0 == 0 && !told_lower_bound(&now.query.selection) {
        notes.push("Which costs are lower bounds is told without filters only.".to_owned());
    }
    notes.push(
        "Runs count when they were counted, shortly after their end; p50 and p95 are interpolated between the bounds \
         of buckets."
            .to_owned(),
    );
    notes
}

fn told_lower_bound(selection: &Selection) -> bool {
    tells_last_run(selection) && selection.jobs.is_empty() && selection.agents.is_empty()
}

/// Returns whether a sample is of those that are asked for.
fn fits(selection: &Selection, identity: Identity, sample: &Sample) -> bool {
    let of = |key: &str| sample.label(&label(key)).unwrap_or_default();
    let any = |patterns: &[Pattern], names: &[&str]| {
        patterns.is_empty() || patterns.iter().any(|pattern| names.iter().any(|name| pattern.matches(name)))
    };
    let (provider, model) = (of(key::PROVIDER), of(key::MODEL));
    any(&selection.gateways, &[sample.label(identity.gateway()).unwrap_or_default()])
        && any(&selection.jobs, &[of(key::JOB_ID), of(key::JOB_NAME)])
        && any(&selection.agents, &[of(key::AGENT)])
        && any(&selection.providers, &[provider])
        && any(&selection.models, &[model, &format!("{provider}/{model}")])
}

fn status(text: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.as_str() == text)
}

/// Returns the upper bound of a bucket in milliseconds; that of the last one is `u64::MAX`.
fn bound(le: &str) -> Option<u64> {
    let bound: f64 = le.parse().ok()?;
    if bound == f64::INFINITY { Some(u64::MAX) } else { Some(count(bound)) }
}

/// Returns the count that a float stands for; none is below 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, not negative, saturating"
)]
#[must_use]
pub fn count(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
