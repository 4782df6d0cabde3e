//! A catalogue of prices in the format of LiteLLM's `model_prices_and_context_window.json`.
//!
//! Source: the published file. An object of models; prices in dollars per single token, `null` where not known, now
//! and then as strings; `…_above_200k_tokens` for larger prompts, or `tiered_pricing` with ranges; an entry
//! `sample_spec` that describes the format. Prices of images, seconds, batches and priority service are not read.
//!
//! An entry that makes no sense is left out and named; it never costs the others.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::model::{ContextWindow, PerMillion, PriceEntry, PriceSource, RateSet, Rates, Tier, TokenKind};

/// Largest catalogue that is read, in bytes; the published one has two million.
const MAX_BYTES: u64 = 16 << 20;
/// Longest provider or model, in bytes, that is taken for a name.
const MAX_NAME: usize = 256;
/// How many bad entries are named; the rest are only counted.
pub const MAX_NAMED: usize = 100;

const SAMPLE: &str = "sample_spec";
const FIELDS: [(TokenKind, &str); 4] = [
    (TokenKind::Input, "input_cost_per_token"),
    (TokenKind::Output, "output_cost_per_token"),
    (TokenKind::CacheRead, "cache_read_input_token_cost"),
    (TokenKind::CacheWrite, "cache_creation_input_token_cost"),
];
/// Providers that OpenClaw calls otherwise; of the rest `_` becomes `-`.
const PROVIDERS: [(&str, &str); 12] = [
    ("bedrock", "amazon-bedrock"),
    ("bedrock_converse", "amazon-bedrock"),
    ("codestral", "mistral"),
    ("cohere_chat", "cohere"),
    ("dashscope", "qwen"),
    ("fireworks_ai", "fireworks"),
    ("gemini", "google"),
    ("hosted_vllm", "vllm"),
    ("lm_studio", "lmstudio"),
    ("nvidia_nim", "nvidia"),
    ("text-completion-openai", "openai"),
    ("together_ai", "together"),
];

/// What a catalogue holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Its prices.
    pub entries: Vec<PriceEntry>,
    /// Sizes of contexts.
    pub windows: Vec<ContextWindow>,
    /// Number of entries without a price of tokens: images, speech, embeddings by the second.
    pub without_price: usize,
    /// Number of entries that make no sense.
    pub bad: usize,
    /// Which those are and what is wrong with each, the first [`MAX_NAMED`].
    pub bad_names: Vec<(String, String)>,
}

/// Why a catalogue cannot be used at all; the prices of the one read before stay in force.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It cannot be read.
    #[error("cannot read the catalogue {0}: {1}; check the path and that this user may read the file")]
    Unreadable(PathBuf, io::Error),
    /// It is absurdly large.
    #[error("the catalogue {0} is larger than 16 MiB and not read; give one in LiteLLM's format")]
    TooLarge(PathBuf),
    /// It is half written or something else.
    #[error(
        "the catalogue {path} is not a JSON object of models (line {line}); give one in LiteLLM's format, prices \
         known so far stay in force"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense, from 1.
        line: usize,
    },
}

/// Reads a catalogue from a file.
///
/// # Errors
/// See [`CatalogueError`].
pub fn read_catalogue(path: &Path) -> Result<Catalogue, CatalogueError> {
    let unreadable = |error| CatalogueError::Unreadable(path.into(), error);
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(CatalogueError::TooLarge(path.into()));
    }
    parse_catalogue(&bytes).map_err(|error| CatalogueError::Invalid { path: path.into(), line: error.line() })
}

/// Reads the text of a catalogue.
///
/// # Errors
/// It is not a JSON object. The error may quote the text: show its line alone.
pub fn parse_catalogue(text: &[u8]) -> Result<Catalogue, serde_json::Error> {
    let Entries(mut catalogue) = serde_json::from_slice(text)?;
    catalogue.entries.shrink_to_fit();
    catalogue.windows.shrink_to_fit();
    Ok(catalogue)
}

/// Takes one entry after the other, so that the whole text never becomes a tree.
struct Entries(Catalogue);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor).map(Entries)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Catalogue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of models")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Catalogue, A::Error> {
        let mut catalogue = Catalogue::default();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if name != SAMPLE {
                catalogue.take(&name, &value);
            }
        }
        Ok(catalogue)
    }
}

impl fmt::Display for Catalogue {
    /// Says in one sentence what of it is used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, without_price, bad, .. } = self;
        write!(
            f,
            "{} prices of tokens, {without_price} entries without one (of images, speech and the like), {bad} left out \
             because they make no sense",
            entries.len()
        )
    }
}

impl Catalogue {
    /// Returns what was left out and why, the first [`MAX_NAMED`] by name.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let named = self.bad_names.iter();
        let mut notes: Vec<String> =
            named.map(|(name, why)| format!("the catalogue's entry {name} is left out: {why}")).collect();
        let more = self.bad - self.bad_names.len();
        if more > 0 {
            notes.push(format!("{more} more entries of the catalogue are left out"));
        }
        notes
    }

    fn take(&mut self, key: &str, value: &Value) {
        match self.entry(key, value) {
            Ok(()) => {}
            Err(problem) => {
                self.bad += 1;
                if self.bad_names.len() < MAX_NAMED {
                    self.bad_names.push((key.chars().take(MAX_NAME).collect(), problem));
                }
            }
        }
    }

    fn entry(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let fields = value.as_object().ok_or("is not an object")?;
        let provider = match fields.get("litellm_provider") {
            Some(Value::String(provider)) if !provider.trim().is_empty() => provider.trim(),
            _ => key.split_once('/').map(|(provider, _)| provider).ok_or("has no litellm_provider")?,
        };
        let model = key.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
        let model = model.or_else(|| unprefixed(provider, key)).unwrap_or(key);
        if model.is_empty() || model.len() > MAX_NAME || provider.len() > MAX_NAME {
            return Err("has no usable name".to_owned());
        }
        let provider = openclaw_name(provider);
        let name = || (provider.clone(), model.to_owned());
        if let Some(tokens) = window(fields) {
            let (provider, model) = name();
            self.windows.push(ContextWindow { provider, model, tokens, source: PriceSource::Catalogue });
        }
        match rates(fields)? {
            Some(rates) => {
                let (provider, model) = name();
                self.entries.push(PriceEntry {
                    provider,
                    model,
                    rates,
                    from: None,
                    source: PriceSource::Catalogue,
                });
            }
            None => self.without_price += 1,
        }
        Ok(())
    }
}

/// Some keys begin with the family of the provider: `vertex_ai/x` of `vertex_ai-language-models`.
fn unprefixed<'k>(provider: &str, key: &'k str) -> Option<&'k str> {
    let (prefix, rest) = key.split_once('/')?;
    let family = provider.strip_prefix(prefix)?;
    family.starts_with(['-', '_']).then_some(rest)
}

fn openclaw_name(provider: &str) -> String {
    let provider = provider.to_ascii_lowercase();
    if provider.starts_with("vertex_ai-anthropic") {
        return "anthropic-vertex".to_owned();
    }
    if provider.starts_with("vertex_ai") {
        return "google-vertex".to_owned();
    }
    let known = PROVIDERS.iter().find(|(theirs, _)| *theirs == provider);
    known.map_or_else(|| provider.replace('_', "-"), |(_, ours)| (*ours).to_owned())
}

fn window(fields: &Map<String, Value>) -> Option<u64> {
    let of = |key: &str| number(fields.get(key)?).ok().flatten()?.parse::<f64>().ok();
    let tokens = of("max_input_tokens").or_else(|| of("max_tokens"))?;
    // A float where an integer belongs is read as the integer that it stands for.
    let text = format!("{tokens:.0}");
    text.parse::<u64>().ok().filter(|tokens| (1..=crate::model::MAX_JSON_INTEGER).contains(tokens))
}

/// Returns the text of a number, however it is given; `None` for null.
fn number(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err("is no number".to_owned()),
    }
}

fn rate(fields: &Map<String, Value>, key: &str) -> Result<Option<PerMillion>, String> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let named = |problem: String| format!("{key} {problem}");
    let Some(text) = number(value).map_err(named)? else { return Ok(None) };
    PerMillion::parse_per_token(&text).map(Some).map_err(|problem| named(problem.to_string()))
}

/// Returns the rates whose keys end in `suffix`.
fn rate_set(fields: &Map<String, Value>, suffix: &str) -> Result<RateSet, String> {
    let mut set = RateSet::default();
    for (kind, field) in FIELDS {
        set.set(kind, rate(fields, &format!("{field}{suffix}"))?);
    }
    Ok(set)
}

/// Returns the price; `None` if there is none for tokens.
fn rates(fields: &Map<String, Value>) -> Result<Option<Rates>, String> {
    let base = rate_set(fields, "")?;
    let mut tiers: Vec<Tier> = Vec::new();
    for key in fields.keys() {
        let Some((suffix, above)) = size_suffix(key) else { continue };
        // "Above" is more than; a tier begins at its first size.
        let from_prompt = above + 1;
        if tiers.iter().all(|tier| tier.from_prompt != from_prompt) {
            tiers.push(Tier { from_prompt, rates: rate_set(fields, suffix)? });
        }
    }
    tiers.extend(ranges(fields.get("tiered_pricing"))?);
    // What a tier does not say is as for all prompts, else as in the tier below.
    tiers.sort_by_key(|tier| tier.from_prompt);
    let mut below = base;
    for tier in &mut tiers {
        tier.rates = tier.rates.or(&base).or(&below);
        below = tier.rates;
    }
    if base.is_empty() && tiers.iter().all(|tier| tier.rates.is_empty()) {
        return Ok(None);
    }
    Rates::new(base, tiers).map(Some).map_err(|problem| problem.to_string())
}

/// Returns the suffix of a tier's key and its size in tokens: `…_above_200k_tokens`. Of other suffixes, such as
/// `_above_1hr` for the life of a cache, there is no price that a usage could be held against.
fn size_suffix(key: &str) -> Option<(&str, u64)> {
    let (_, field) = FIELDS.into_iter().find(|(_, field)| key.starts_with(field))?;
    let suffix = key.get(field.len()..)?;
    let thousands = suffix.strip_prefix("_above_")?.strip_suffix("k_tokens")?;
    let above = thousands.parse::<u64>().ok().filter(|k| (1..1_000_000).contains(k))? * 1000;
    Some((suffix, above))
}

/// Reads `tiered_pricing`: objects with the fields of an entry and `range: [above, to]`, where the first number is
/// still a prompt of the tier before.
fn ranges(value: Option<&Value>) -> Result<Vec<Tier>, String> {
    let Some(Value::Array(tiers)) = value else { return Ok(Vec::new()) };
    let tier = |value: &Value| {
        let fields = value.as_object().ok_or("tiered_pricing holds no object")?;
        let begin = fields.get("range").and_then(|range| range.get(0)).and_then(Value::as_f64);
        let begin = begin.filter(|begin| (0.0..1e12).contains(begin)).ok_or("tiered_pricing has no range")?;
        let from_prompt = format!("{begin:.0}").parse::<u64>().map_err(|_| "tiered_pricing has no range")?;
        // No prompt has 0 tokens, so the first tier begins there.
        let from_prompt: u64 = if from_prompt > 0 { from_prompt + 1 } else { 0 };
        Ok(Tier { from_prompt, rates: rate_set(fields, "")? })
    };
    tiers.iter().map(tier).collect()
}

#[cfg(test)]
mod tests;
