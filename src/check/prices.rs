//! `prices`: what each model costs that was seen, who says so, and which ones have no price.
//!
//! The models are those that the ledger has tokens of; without a ledger, those that the gateway's configuration names.
//! Invariants: as of `check`. Deliberately absent: what was spent.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::page::{Page, many, number};
use super::report::{Finding, Section};
use crate::config::Config;
use crate::ledger::{LedgerError, LedgerReader};
use crate::model::{Priceable, UnixMs, Usage};
use crate::serve::{Collector, PriceSettings};

/// Name and version of the document.
const SCHEMA: &str = "openclaw-usage/prices/1";

/// Prices of the models that were seen. Under its schema fields are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriceList {
    schema: &'static str,
    /// Whether every model has a price, and everything could be read: then the exit status is 0.
    pub ok: bool,
    /// The ledger that tells which models were used; `None`: those of the configuration are listed.
    ledger: Option<String>,
    /// Sorted by provider and model.
    pub models: Vec<ModelPrice>,
    /// Why something could not be read; then prices may be missing.
    pub problem: Option<String>,
    /// What was left out of the gateway's prices, or is doubtful.
    pub notes: Vec<String>,
    /// What of the catalogue is used; `None`: there is none, or it cannot be read.
    pub catalogue: Option<CatalogueFacts>,
}

/// What of a catalogue is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogueFacts {
    /// In one sentence: how many prices, how many entries without one.
    summary: String,
    /// Number of entries that were left out because they make no sense.
    left_out: u64,
    /// Which those are and why, the first hundred by name.
    notes: Vec<String>,
}

/// What one model costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelPrice {
    /// The provider, as OpenClaw names it.
    pub provider: String,
    /// The model, without its provider.
    pub model: String,
    /// US dollars for a million tokens of each kind, for people; `None`: there is no price.
    pub price: Option<String>,
    /// Who says so.
    pub source: Option<String>,
    /// Whether an alias leads there.
    pub aliased: bool,
    /// `metered`, `subscription` or `local`.
    pub billing: &'static str,
    /// Size of the context in tokens.
    pub context_tokens: Option<u64>,
    /// Tokens that were counted without a price.
    pub unpriced_tokens: u64,
}

/// Returns what the models that were seen cost at a time.
#[must_use]
pub fn prices(config: &Config, home: Option<&Path>, now: UnixMs) -> PriceList {
    let mut collector =
        Collector::new(&config.state_dir, home.map(Path::to_path_buf)).with_prices(PriceSettings::of(config));
    let pricing = collector.read_prices();
    let (ledger, mut seen, mut problem) = match used(config) {
        Ok(used) => (Some(config.ledger.path.display().to_string()), used, None),
        Err(LedgerError::Missing { .. }) => (None, BTreeMap::new(), None),
        Err(error) => (None, BTreeMap::new(), Some(error.to_string())),
    };
    if ledger.is_none() {
        seen = collector.configured_models().into_iter().map(|name| (name, 0)).collect();
    }
    if let Some(unreadable) = collector.problem() {
        problem = Some(unreadable.to_owned());
    }
    let book = collector.price_book();
    let names = seen.keys().map(|(provider, model)| (provider.as_str(), model.as_str()));
    let model = |found: crate::price::Effective<'_>| {
        let (provider, model) = (found.provider.as_str(), found.model.as_str());
        let asked = Priceable { provider, model, at: now, usage: &Usage::default(), one_call: true };
        let billing = pricing.as_ref().map(|pricing| pricing(asked).billing).unwrap_or_default();
        ModelPrice {
            price: found.price.map(|price| price.entry.rates.to_string()),
            source: found.price.map(|price| price.entry.source.to_string()),
            aliased: found.price.is_some_and(|price| price.aliased),
            billing: billing.as_str(),
            context_tokens: found.context,
            unpriced_tokens: seen.get(&(found.provider.clone(), found.model.clone())).copied().unwrap_or(0),
            provider: found.provider,
            model: found.model,
        }
    };
    let models: Vec<ModelPrice> = book.effective(names, now).into_iter().map(model).collect();
    PriceList {
        schema: SCHEMA,
        ok: problem.is_none() && models.iter().all(|model| model.price.is_some()),
        ledger,
        models,
        problem,
        notes: collector.price_notes(),
        catalogue: collector.catalogue().map(|used| CatalogueFacts {
            summary: used.summary.clone(),
            left_out: count(used.left_out),
            notes: used.notes.clone(),
        }),
    }
}

/// Returns what is to be said of prices and budgets.
pub(super) fn inspect(config: &Config, home: Option<&Path>, now: UnixMs) -> Vec<Finding> {
    let list = prices(config, home, now);
    let here = Section::Prices;
    let mut findings = Vec::new();
    let without: Vec<&ModelPrice> = list.models.iter().filter(|model| model.price.is_none()).collect();
    let priced = count(list.models.len() - without.len());
    findings.push(match (priced, without.first()) {
        (0, None) => Finding::ok(here, "no model was seen yet, so that there is nothing to price"),
        (_, None) => Finding::ok(here, format!("{} seen, each with a price", many(priced, "model"))),
        (_, Some(first)) => {
            let name = format!("{}/{}", first.provider, first.model);
            let without = many(count(without.len()), "model");
            let text = format!("{without} without a price, such as {name}, and {priced} with one");
            Finding::note(here, text).with(
                "their tokens are shown as unpriced; `openclaw-usage prices` lists them with a [[price]] to fill in",
            )
        }
    });
    if let Some(problem) = &list.problem {
        let remedy = "mend it; a running `serve` keeps the prices of before";
        findings.push(Finding::problem(here, problem, remedy));
    }
    if !list.notes.is_empty() {
        let entries = if list.notes.len() == 1 { "entry is" } else { "entries are" };
        let text = format!("{} {entries} left out or doubtful: {}", list.notes.len(), list.notes[0]);
        findings.push(Finding::note(here, text).with("`openclaw-usage prices` has them all"));
    }
    if let Some(catalogue) = &list.catalogue {
        let text = format!("the catalogue: {}", catalogue.summary);
        findings.push(match catalogue.notes.first() {
            None => Finding::ok(here, text),
            Some(first) => Finding::note(here, format!("{text}; {first}"))
                .with("`openclaw-usage prices` names them; the rest of the catalogue is used"),
        });
    }
    findings.extend(config.budgets.iter().map(|budget| {
        let (name, limit, zone) = (&budget.name, budget.limit, &budget.timezone);
        let period = budget.period.as_str();
        Finding::ok(
            here,
            format!("budget {name}: {limit} US dollars a {period}, which begins at midnight in {zone}"),
        )
    }));
    findings
}

type Used = BTreeMap<(String, String), u64>;

fn used(config: &Config) -> Result<Used, LedgerError> {
    let used = LedgerReader::open(&config.ledger.path)?.models()?;
    Ok(used.into_iter().map(|used| ((used.provider, used.model), used.unpriced_tokens)).collect())
}

impl PriceList {
    /// Returns the list as one JSON document.
    ///
    /// # Errors
    /// Those of the encoder, of which none is known.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Returns the list as text of 80 columns.
    #[must_use]
    pub fn text(&self) -> String {
        let mut page = Page::default();
        let of = match &self.ledger {
            Some(path) => format!("Models that {path} has tokens of, in US dollars for a million tokens"),
            None => {
                "Models that the gateway's configuration names (there is no ledger yet), in US dollars for a \
                     million tokens"
                    .to_owned()
            }
        };
        page.paragraph("", &of);
        for model in &self.models {
            page.gap();
            page.paragraph("", &format!("{}/{}", model.provider, model.model));
            page.paragraph("  ", model.price.as_deref().unwrap_or("NO PRICE"));
            page.paragraph("  ", &model.facts());
        }
        let without: Vec<&ModelPrice> = self.models.iter().filter(|model| model.price.is_none()).collect();
        if let Some(first) = without.first() {
            page.gap();
            page.paragraph("", &format!("WITHOUT A PRICE: {}", many(count(without.len()), "model")));
            page.paragraph(
                "  ",
                &format!("Their tokens are shown as unpriced, not as $0. {}", first.remedy()),
            );
            for line in first.example() {
                page.paragraph("      ", &line);
            }
        }
        if let Some(problem) = &self.problem {
            page.gap();
            page.paragraph("PROBLEM  ", problem);
        }
        if !self.notes.is_empty() {
            page.gap();
            page.paragraph("", "NOTES");
            self.notes.iter().for_each(|note| page.paragraph("  ", note));
        }
        if let Some(catalogue) = &self.catalogue {
            page.gap();
            page.paragraph("CATALOGUE  ", &catalogue.summary);
            catalogue.notes.iter().for_each(|note| page.paragraph("  ", note));
        }
        page.finish()
    }
}

impl ModelPrice {
    fn facts(&self) -> String {
        let mut facts = Vec::new();
        let through = if self.aliased { " through an alias" } else { "" };
        facts.extend(self.source.as_ref().map(|source| format!("by {source}{through}")));
        facts.push(self.billing.to_owned());
        facts.extend(self.context_tokens.map(|tokens| format!("context of {} tokens", number(tokens))));
        if self.unpriced_tokens > 0 {
            facts.push(format!("{} tokens not priced", number(self.unpriced_tokens)));
        }
        facts.join(", ")
    }

    fn remedy(&self) -> &'static str {
        "Give them one in the gateway's openclaw.json, in a --catalogue, or in the file of --config, such as:"
    }

    /// What prices this model, with rates to be filled in.
    fn example(&self) -> [String; 4] {
        let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
        [
            "[[price]]".to_owned(),
            format!("provider = {}", quoted(&self.provider)),
            format!("model = {}", quoted(&self.model)),
            "input = 3.0".to_owned(),
        ]
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
