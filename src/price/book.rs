//! The price book: which price applies to a model at a time.
//!
//! Order: `[[price]]` of our configuration, the gateway's `openclaw.json`, agents' `models.json`, the catalogue. Within
//! each the exact name, then the pattern that says most. A price whose date is not reached makes room for the next
//! one in that order. A name with an alias is looked up under its own name in the configuration, then as what it
//! stands for everywhere, then under its own name in the rest.
//!
//! Providers are compared without regard to case, and `PROVIDER/` in front of a model's name is dropped: OpenClaw
//! does both.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use super::pattern::{Pattern, is_wild};
use super::{CostTooLarge, Extent, MAX_NAMED, cost};
use crate::model::{ContextWindow, Cost, PriceAlias, PriceEntry, PriceSource, Rates, UnixMs, Usage};

/// Most models that [`Lookups`] remembers; a gateway uses dozens.
const MAX_CACHED: usize = 4096;

type ByName<T> = HashMap<String, HashMap<String, T>>;

/// All prices.
#[derive(Clone, Debug, Default)]
pub struct PriceBook {
    sections: [Section; PriceSource::RANKS],
    /// The most specific first.
    aliases: Vec<(Pattern, Pattern, PriceAlias)>,
    windows: ByName<(usize, u64)>,
    conflicts: Vec<Conflict>,
}

/// The prices of one rank.
#[derive(Clone, Debug, Default)]
struct Section {
    exact: ByName<Dated>,
    /// The most specific first.
    globs: Vec<(Pattern, Pattern, Dated)>,
}

/// The prices of one name, the latest first.
#[derive(Clone, Debug, Default)]
struct Dated(Vec<PriceEntry>);

impl Dated {
    fn at(&self, at: UnixMs) -> Option<&PriceEntry> {
        self.0.iter().find(|entry| entry.from.is_none_or(|from| from <= at))
    }
}

/// Two prices of one rank for one name and time; the first is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Provider of both.
    pub provider: String,
    /// Model of both.
    pub model: String,
    /// Whose price is in force.
    pub kept: PriceSource,
    /// Whose is not.
    pub dropped: PriceSource,
}

/// A price that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce<'b> {
    /// The price, with the pattern, date and source that it stands under.
    pub entry: &'b PriceEntry,
    /// Whether an alias led there.
    pub aliased: bool,
}

/// What a model costs, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective<'b> {
    /// Provider as it was asked for.
    pub provider: String,
    /// Model as it was asked for.
    pub model: String,
    /// Its price; `None`: there is none.
    pub price: Option<InForce<'b>>,
    /// Size of its context in tokens, if any source says.
    pub context: Option<u64>,
}

/// A provider and model in the form in which they are compared.
struct Name<'a> {
    provider: Cow<'a, str>,
    model: &'a str,
}

impl<'a> Name<'a> {
    fn new(provider: &'a str, model: &'a str) -> Self {
        let provider = provider.trim();
        let provider = if provider.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(provider.to_ascii_lowercase())
        } else {
            Cow::Borrowed(provider)
        };
        let model = model.trim();
        // What follows `PROVIDER/`, unless that is all there is.
        let own = model.split_once('/').filter(|(first, rest)| {
            first.eq_ignore_ascii_case(&provider) && !provider.is_empty() && !rest.is_empty()
        });
        Self { provider, model: own.map_or(model, |(_, rest)| rest) }
    }
}

fn specific(provider: &Pattern, model: &Pattern) -> Reverse<(bool, usize, usize)> {
    let exact = !is_wild(provider.as_str()) && !is_wild(model.as_str());
    Reverse((exact, provider.weight() + model.weight(), model.weight()))
}

impl PriceBook {
    /// Returns the book of these prices, which may come in any order and from any number of files.
    #[must_use]
    pub fn new(
        entries: impl IntoIterator<Item = PriceEntry>,
        aliases: impl IntoIterator<Item = PriceAlias>,
        windows: impl IntoIterator<Item = ContextWindow>,
    ) -> Self {
        let mut book = Self::default();
        let mut entries: Vec<PriceEntry> = entries.into_iter().collect();
        // Of several agents the first by name counts, whichever file was read first.
        entries.sort_by(|a, b| a.source.cmp(&b.source));
        entries.into_iter().for_each(|entry| book.add(entry));
        for section in &mut book.sections {
            section.globs.sort_by_key(|(provider, model, _)| specific(provider, model));
        }
        for alias in aliases {
            let name = Name::new(&alias.provider, &alias.model);
            let (provider, model) = (Pattern::new(&name.provider), Pattern::new(name.model));
            book.aliases.push((provider, model, alias));
        }
        book.aliases.sort_by_key(|(provider, model, _)| specific(provider, model));
        let mut windows: Vec<ContextWindow> = windows.into_iter().collect();
        windows.sort_by(|a, b| a.source.cmp(&b.source));
        for window in windows {
            let name = Name::new(&window.provider, &window.model);
            let models = book.windows.entry(name.provider.into_owned()).or_default();
            models.entry(name.model.to_owned()).or_insert((window.source.rank(), window.tokens));
        }
        book
    }

    fn add(&mut self, entry: PriceEntry) {
        let name = Name::new(&entry.provider, &entry.model);
        let section = &mut self.sections[entry.source.rank()];
        // Only people write patterns; elsewhere an asterisk is a character.
        let pattern = matches!(entry.source, PriceSource::Override(_));
        let dated = if pattern && (is_wild(&name.provider) || is_wild(name.model)) {
            let (provider, model) = (Pattern::new(&name.provider), Pattern::new(name.model));
            let known = section.globs.iter().position(|(p, m, _)| (p, m) == (&provider, &model));
            let at = known.unwrap_or_else(|| {
                section.globs.push((provider, model, Dated::default()));
                section.globs.len() - 1
            });
            &mut section.globs[at].2
        } else {
            let models = section.exact.entry(name.provider.clone().into_owned()).or_default();
            models.entry(name.model.to_owned()).or_default()
        };
        if let Some(kept) = dated.0.iter().find(|known| known.from == entry.from) {
            if kept.rates != entry.rates && self.conflicts.len() < MAX_NAMED {
                self.conflicts.push(Conflict {
                    provider: entry.provider.clone(),
                    model: entry.model.clone(),
                    kept: kept.source.clone(),
                    dropped: entry.source.clone(),
                });
            }
            return;
        }
        let at = dated.0.partition_point(|known| known.from > entry.from);
        dated.0.insert(at, entry);
    }

    /// Returns the contradictions that were found, at most [`MAX_NAMED`] of them.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Returns the price of a model at a time, usually a run's start; see [`Lookups`] for many.
    #[must_use]
    pub fn in_force(&self, provider: &str, model: &str, at: UnixMs) -> Option<InForce<'_>> {
        first_at(&self.candidates(provider, model), at)
    }

    /// Returns a reader of this book that is fast for the models that come again and again.
    #[must_use]
    pub fn lookups(&self) -> Lookups<'_> {
        Lookups { book: self, cache: HashMap::new(), cached: 0 }
    }

    /// Returns what each model costs at a time and who says so, in the order of the question.
    #[must_use]
    pub fn effective<'m>(
        &self,
        models: impl IntoIterator<Item = (&'m str, &'m str)>,
        at: UnixMs,
    ) -> Vec<Effective<'_>> {
        let effective = |(provider, model): (&str, &str)| Effective {
            provider: provider.to_owned(),
            model: model.to_owned(),
            price: self.in_force(provider, model, at),
            context: self.context_window(provider, model),
        };
        models.into_iter().map(effective).collect()
    }

    /// Returns the size of a model's context in tokens, by the strongest source that says it.
    #[must_use]
    pub fn context_window(&self, provider: &str, model: &str) -> Option<u64> {
        let name = Name::new(provider, model);
        let of = |name: &Name<'_>| {
            self.windows.get(name.provider.as_ref())?.get(name.model).map(|(_, size)| *size)
        };
        of(&name).or_else(|| self.alias(&name).and_then(|target| of(&target)))
    }

    fn alias<'n>(&'n self, name: &Name<'n>) -> Option<Name<'n>> {
        let fits = |(provider, model, _): &&(Pattern, Pattern, PriceAlias)| {
            provider.matches(&name.provider) && model.matches(name.model)
        };
        let (_, _, alias) = self.aliases.iter().find(fits)?;
        Some(Name::new(&alias.to_provider, alias.to_model.as_deref().unwrap_or(name.model)))
    }

    /// Returns everything that can price a model at some time, the strongest first.
    fn candidates(&self, provider: &str, model: &str) -> Vec<Candidate<'_>> {
        let name = Name::new(provider, model);
        let mut found = Vec::new();
        let [overrides, others @ ..] = &self.sections;
        overrides.collect(&name, false, &mut found);
        if let Some(target) = self.alias(&name) {
            self.sections.iter().for_each(|section| section.collect(&target, true, &mut found));
        }
        others.iter().for_each(|section| section.collect(&name, false, &mut found));
        found
    }
}

impl Section {
    fn collect<'b>(&'b self, name: &Name<'_>, aliased: bool, into: &mut Vec<Candidate<'b>>) {
        let exact = self.exact.get(name.provider.as_ref()).and_then(|models| models.get(name.model));
        into.extend(exact.map(|dated| Candidate { dated, aliased }));
        let globs = self
            .globs
            .iter()
            .filter(|(provider, model, _)| provider.matches(&name.provider) && model.matches(name.model));
        into.extend(globs.map(|(_, _, dated)| Candidate { dated, aliased }));
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate<'b> {
    dated: &'b Dated,
    aliased: bool,
}

fn first_at<'b>(candidates: &[Candidate<'b>], at: UnixMs) -> Option<InForce<'b>> {
    candidates.iter().find_map(|candidate| {
        candidate.dated.at(at).map(|entry| InForce { entry, aliased: candidate.aliased })
    })
}

/// A reader of a book that remembers which prices can apply to a model.
#[derive(Debug)]
pub struct Lookups<'b> {
    book: &'b PriceBook,
    cache: ByName<Vec<Candidate<'b>>>,
    cached: usize,
}

impl<'b> Lookups<'b> {
    /// Returns the price of a model at a time.
    pub fn in_force(&mut self, provider: &str, model: &str, at: UnixMs) -> Option<InForce<'b>> {
        if let Some(known) = self.cache.get(provider).and_then(|models| models.get(model)) {
            return first_at(known, at);
        }
        let candidates = self.book.candidates(provider, model);
        let found = first_at(&candidates, at);
        if self.cached >= MAX_CACHED {
            self.cache.clear();
            self.cached = 0;
        }
        self.cache.entry(provider.to_owned()).or_default().insert(model.to_owned(), candidates);
        self.cached += 1;
        found
    }

    /// Returns what a usage of a model cost that began at a time.
    ///
    /// # Errors
    /// The cost does not fit.
    pub fn cost(
        &mut self,
        provider: &str,
        model: &str,
        at: UnixMs,
        usage: &Usage,
        extent: Extent,
    ) -> Result<Cost, CostTooLarge> {
        let rates: Option<&Rates> = self.in_force(provider, model, at).map(|found| &found.entry.rates);
        cost(usage, rates, extent)
    }
}
