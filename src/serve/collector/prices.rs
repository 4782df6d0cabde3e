//! What things cost: the gateway's own prices, those of the operator and of a catalogue, brought together.
//!
//! A file that cannot be read keeps the prices that it gave before, and says so. Deliberately absent: what a price does
//! to what was counted (`ledger`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Stamp, stamp_of};
use crate::config::Config;
use crate::ledger::Pricing;
use crate::model::{
    Billing, Charge, ContextWindow, Cost, CostProvenance, PerMillion, PriceAlias, PriceEntry, PriceSource,
    Priceable, Rates, TokenKind, UnixMs,
};
use crate::openclaw::{
    BillingDefaults, FoundPrices, ProviderFacts, agent_model_files, read_agent_prices, read_config_prices,
};
use crate::price::{BillingRules, Extent, PriceBook, cost, read_catalogue};
use crate::telemetry::PriceState;

/// What the operator says of prices.
#[derive(Clone, Debug, Default)]
pub struct PriceSettings {
    /// Prices that win over all others.
    pub entries: Vec<PriceEntry>,
    /// Models that are others under names of their own.
    pub aliases: Vec<PriceAlias>,
    /// Patterns of providers with what their dollars mean.
    pub billing: Vec<(String, Billing)>,
    /// A file in LiteLLM's format.
    pub catalogue: Option<PathBuf>,
}

impl PriceSettings {
    /// Returns what a configuration says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            entries: config.prices.clone(),
            aliases: config.aliases.clone(),
            billing: config.billing.clone(),
            catalogue: config.catalogue.clone(),
        }
    }
}

/// The prices in force, and where they come from.
#[derive(Default)]
pub(super) struct Prices {
    settings: PriceSettings,
    /// By the file that is asked for: what it gave last, and how the files that it consists of looked then.
    sources: BTreeMap<PathBuf, Source>,
    /// All of it, read at least once.
    read: bool,
    book: Arc<PriceBook>,
    problem: Option<String>,
    catalogue: Option<CatalogueUse>,
}

/// What of a catalogue is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueUse {
    /// In one sentence: how many prices, how many entries without one.
    pub summary: String,
    /// Number of entries that were left out because they make no sense.
    pub left_out: usize,
    /// Which those are and why, the first hundred by name.
    pub notes: Vec<String>,
}

#[derive(Default)]
struct Source {
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    entries: Vec<PriceEntry>,
    windows: Vec<ContextWindow>,
    providers: BTreeMap<String, ProviderFacts>,
    problem: Option<String>,
    notes: Vec<String>,
}

impl Source {
    fn is_unchanged(&self) -> bool {
        !self.stamps.is_empty() && self.stamps.iter().all(|(path, stamp)| stamp_of(path) == *stamp)
    }

    fn take(&mut self, found: FoundPrices) {
        self.notes = found.notes.iter().map(ToString::to_string).collect();
        (self.entries, self.windows, self.providers) = (found.entries, found.windows, found.providers);
    }
}

impl Prices {
    pub fn new(settings: PriceSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Brings together anew, with what the operator says now.
    pub fn set(&mut self, settings: PriceSettings) {
        if settings.catalogue != self.settings.catalogue {
            self.catalogue = None;
        }
        (self.settings, self.read) = (settings, false);
    }

    /// Returns the book in force.
    pub fn book(&self) -> Arc<PriceBook> {
        Arc::clone(&self.book)
    }

    /// Returns why a file's prices of before are still in force, if one cannot be read.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Returns what was left out of the prices, or is doubtful.
    pub fn notes(&self) -> Vec<String> {
        self.sources.values().flat_map(|source| source.notes.iter().cloned()).collect()
    }

    /// Returns what of the catalogue is used, if there is one that could be read.
    pub const fn catalogue(&self) -> Option<&CatalogueUse> {
        self.catalogue.as_ref()
    }

    /// Returns provider and model of all that is named, but by a catalogue or a pattern.
    pub fn models(&self) -> BTreeSet<(String, String)> {
        let sources = self.sources.values();
        let entries = sources.clone().flat_map(|source| &source.entries).chain(&self.settings.entries);
        let windows = sources.flat_map(|source| &source.windows);
        let priced = entries.map(|entry| (&entry.provider, &entry.model, &entry.source));
        let known = windows.map(|window| (&window.provider, &window.model, &window.source));
        let named = |(provider, model, source): &(&String, &String, &PriceSource)| match source {
            PriceSource::Catalogue => false,
            PriceSource::Override(_) => !format!("{provider}{model}").contains(['*', '?']),
            PriceSource::Gateway | PriceSource::Agent(_) => true,
        };
        let all = priced.chain(known).filter(named);
        all.map(|(provider, model, _)| (provider.clone(), model.clone())).collect()
    }

    /// Returns what these models cost now, those without a price left out.
    pub fn in_force<'m>(
        &self,
        models: impl IntoIterator<Item = (&'m str, &'m str)>,
        now: UnixMs,
    ) -> Vec<PriceState> {
        let priced = self.book.effective(models, now).into_iter().filter_map(|model| {
            let rates = model.price?.entry.rates.tiers().first()?.rates;
            let usd_per_million = TokenKind::ALL.map(|kind| rates.get(kind).map(PerMillion::usd));
            Some(PriceState { provider: model.provider, model: model.model, usd_per_million })
        });
        priced.take(MAX_KNOWN).collect()
    }

    /// Looks at the files of prices. Returns how to price from now on, if that changed.
    pub fn refresh(&mut self, state_dir: &Path) -> Option<Pricing> {
        let config = state_dir.join("openclaw.json");
        let mut changed = !self.read;
        self.read = true;
        changed |= self.read(config.clone(), |path| {
            let found = read_config_prices(path).map_err(|error| error.to_string())?;
            Ok(found.unwrap_or_default())
        });
        let agents = agent_model_files(state_dir).unwrap_or_default();
        for (agent, file) in &agents {
            changed |= self.read(file.clone(), |path| {
                let found = read_agent_prices(path, agent).map_err(|error| error.to_string())?;
                Ok(found.unwrap_or_default())
            });
        }
        let catalogue = self.settings.catalogue.clone();
        if let Some(file) = &catalogue {
            let mut used = None;
            changed |= self.read(file.clone(), |path| {
                let found = read_catalogue(path).map_err(|error| error.to_string())?;
                let (summary, left_out, notes) = (found.to_string(), found.bad, found.notes());
                used = Some(CatalogueUse { summary, left_out, notes });
                Ok(FoundPrices { entries: found.entries, windows: found.windows, ..FoundPrices::default() })
            });
            self.catalogue = used.or_else(|| self.catalogue.take());
        }
        let is_known = |path: &PathBuf| {
            *path == config || Some(path) == catalogue.as_ref() || agents.iter().any(|(_, file)| file == path)
        };
        let before = self.sources.len();
        self.sources.retain(|path, _| is_known(path));
        changed |= self.sources.len() != before;
        self.settle();
        changed.then(|| self.pricing())
    }

    /// Reads one file if it changed. Returns whether its prices may have.
    fn read(&mut self, path: PathBuf, read: impl FnOnce(&Path) -> Result<FoundPrices, String>) -> bool {
        let source = self.sources.entry(path.clone()).or_default();
        if source.is_unchanged() {
            return false;
        }
        let stamp = stamp_of(&path);
        let known = source.stamps.iter().map(|(file, _)| file).filter(|file| **file != path);
        let known: Vec<_> = known.map(|file| (file.clone(), stamp_of(file))).collect();
        match read(&path) {
            Ok(found) => {
                let files = found.files.iter().filter(|file| **file != path);
                let included = files.map(|file| (file.clone(), stamp_of(file))).collect::<Vec<_>>();
                source.stamps = [vec![(path, stamp)], included].concat();
                source.problem = None;
                source.take(found);
                true
            }
            Err(problem) => {
                // Whichever of its files is mended, it is read again.
                source.stamps = [vec![(path, stamp)], known].concat();
                source.problem = Some(problem);
                false
            }
        }
    }

    /// Notes what cannot be read; logs it once.
    fn settle(&mut self) {
        let problem = self.sources.values().find_map(|source| source.problem.clone());
        if let Some(text) = problem.as_ref().filter(|_| self.problem != problem) {
            tracing::warn!("{text}");
        }
        self.problem = problem;
    }

    fn pricing(&mut self) -> Pricing {
        let settings = &self.settings;
        let sources = self.sources.values();
        let entries = sources.clone().flat_map(|source| source.entries.iter().cloned());
        let windows = sources.clone().flat_map(|source| source.windows.iter().cloned());
        let entries: Vec<PriceEntry> = settings.entries.iter().cloned().chain(entries).collect();
        let is_dated = entries.iter().any(|entry| entry.from.is_some());
        let book = Arc::new(PriceBook::new(entries, settings.aliases.clone(), windows));
        self.book = Arc::clone(&book);
        let rules =
            BillingRules::new(settings.billing.iter().map(|(pattern, billing)| (pattern.as_str(), *billing)));
        let defaults = BillingDefaults::new(self.sources.values().map(|source| &source.providers));
        let of = move |asked: &Priceable<'_>| ModelPrice {
            rates: book
                .in_force(asked.provider, asked.model, asked.at)
                .map(|found| found.entry.rates.clone()),
            billing: rules.of(asked.provider).unwrap_or_else(|| defaults.of(asked.provider)),
            context_limit: book.context_window(asked.provider, asked.model),
        };
        let known: Mutex<Remembered> = Mutex::default();
        Arc::new(move |asked| {
            if is_dated {
                return of(&asked).charge(&asked);
            }
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.price(&asked, &of).charge(&asked)
        })
    }
}

/// Prices of models that were asked for: the same few come again and again.
#[derive(Default)]
struct Remembered {
    /// By provider and model, where each is in `prices`.
    index: HashMap<String, HashMap<String, usize>>,
    prices: Vec<(String, String, ModelPrice)>,
    /// The one that was asked for last.
    last: usize,
}

impl Remembered {
    fn price(&mut self, asked: &Priceable<'_>, of: impl Fn(&Priceable<'_>) -> ModelPrice) -> &ModelPrice {
        let is_last = self
            .prices
            .get(self.last)
            .is_some_and(|(provider, model, _)| provider == asked.provider && model == asked.model);
        if !is_last {
            let known = self.index.get(asked.provider).and_then(|models| models.get(asked.model)).copied();
            self.last = known.unwrap_or_else(|| self.remember(asked, of(asked)));
        }
        &self.prices[self.last].2
    }

    fn remember(&mut self, asked: &Priceable<'_>, price: ModelPrice) -> usize {
        if self.prices.len() >= MAX_KNOWN {
            *self = Self::default();
        }
        let at = self.prices.len();
        let (provider, model) = (asked.provider.to_owned(), asked.model.to_owned());
        self.index.entry(provider.clone()).or_default().insert(model.clone(), at);
        self.prices.push((provider, model, price));
        at
    }
}

/// Models whose prices are remembered.
const MAX_KNOWN: usize = 1_000;

/// What is the same for every usage of a model, as long as no price has a date.
struct ModelPrice {
    rates: Option<Rates>,
    billing: Billing,
    context_limit: Option<u64>,
}

impl ModelPrice {
    fn charge(&self, asked: &Priceable<'_>) -> Charge {
        let extent = if asked.one_call { Extent::Call } else { Extent::Sum };
        // Nine billion dollars for one run: no price that somebody meant.
        let unpriced = Cost { provenance: CostProvenance::Unpriced, ..Cost::default() };
        let cost = cost(asked.usage, self.rates.as_ref(), extent).unwrap_or(unpriced);
        Charge { cost, billing: self.billing, context_limit: self.context_limit }
    }
}
