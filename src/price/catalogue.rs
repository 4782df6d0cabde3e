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

impl Catalogue {
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
mod tests {
    use super::*;
    use crate::model::UnixMs;
    use crate::price::PriceBook;

    fn parse(text: &str) -> Catalogue {
        parse_catalogue(text.as_bytes()).unwrap()
    }

    #[test]
    fn entries_of_every_shape() {
        let catalogue = parse(
            r#"{
            "sample_spec": {"input_cost_per_token": "what a prompt token costs", "litellm_provider": "one of"},
            "claude-a": {"litellm_provider": "anthropic", "input_cost_per_token": 3e-06,
                "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
                "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
                "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
                "max_input_tokens": 1000000, "max_tokens": 64000, "mode": "chat"},
            "gemini/gem": {"litellm_provider": "gemini", "input_cost_per_token": "1.25e-6",
                "output_cost_per_token": null, "input_cost_per_token_above_128k_tokens": 2e-6,
                "input_cost_per_token_above_1000k_tokens": 4e-6, "cache_read_input_token_cost": 1e-6,
                "cache_read_input_token_cost_above_128k_tokens": 3e-6, "max_tokens": "8192"},
            "openrouter/x/y:free": {"litellm_provider": "openrouter", "input_cost_per_token": 0,
                "output_cost_per_token": 0.0},
            "vertex_ai/gem": {"litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 1e-7},
            "no-provider/m": {"input_cost_per_token": 1e-7},
            "dashscope/q": {"litellm_provider": "dashscope", "tiered_pricing": [
                {"range": [0, 32000.0], "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6},
                {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-6, "output_cost_per_token": 7e-6}]},
            "dall": {"litellm_provider": "openai", "input_cost_per_pixel": 1e-8},
            "float-noise": {"litellm_provider": "openai", "input_cost_per_token": 4.9999999999999998e-08}
        }"#,
        );
        assert_eq!((catalogue.without_price, catalogue.bad, &catalogue.bad_names), (1, 0, &vec![]));
        let book = PriceBook::new(catalogue.entries, [], catalogue.windows);
        for (provider, model, price, context) in [
            (
                "anthropic",
                "claude-a",
                "input 3.00, output 15.00, cache_read 0.30, cache_write 3.75; from 200001 prompt tokens: \
                 input 6.00, output 22.50, cache_read 0.30, cache_write 3.75",
                Some(1_000_000),
            ),
            (
                "google",
                "gem",
                "input 1.25, cache_read 1.00; from 128001 prompt tokens: input 2.00, cache_read 3.00; from 1000001 \
                 prompt tokens: input 4.00, cache_read 1.00",
                Some(8192),
            ),
            ("openrouter", "x/y:free", "input 0.00, output 0.00", None),
            ("google-vertex", "gem", "input 0.10", None),
            ("no-provider", "m", "input 0.10", None),
            ("qwen", "q", "input 1.00, output 5.00; from 32001 prompt tokens: input 2.00, output 7.00", None),
            ("openai", "float-noise", "input 0.05", None),
        ] {
            let found =
                book.in_force(provider, model, UnixMs(0)).unwrap_or_else(|| panic!("{provider}/{model}"));
            assert_eq!(found.entry.rates.to_string(), price, "{provider}/{model}");
            assert_eq!(book.context_window(provider, model), context, "{provider}/{model}");
        }
        assert_eq!(book.in_force("openai", "dall", UnixMs(0)), None);
    }

    #[test]
    fn a_bad_entry_is_named_and_costs_no_other() {
        let mut text = String::from(r#"{"first": {"litellm_provider": "p", "input_cost_per_token": 1e-6}"#);
        for (n, bad) in [
            "17",
            "null",
            r#"{"input_cost_per_token": 1e-6}"#,
            r#"{"litellm_provider": "p", "input_cost_per_token": -1e-6}"#,
            r#"{"litellm_provider": "p", "input_cost_per_token": 0.5}"#,
            r#"{"litellm_provider": "p", "input_cost_per_token": "cheap"}"#,
            r#"{"litellm_provider": "p", "input_cost_per_token": 1e-6, "output_cost_per_token": [1]}"#,
            r#"{"litellm_provider": "p", "tiered_pricing": [{"input_cost_per_token": 1e-6}]}"#,
        ]
        .into_iter()
        .enumerate()
        {
            text.push_str(&format!(",\n\"bad{n}\": {bad}"));
        }
        for n in 0..3000 {
            text.push_str(&format!(
                ",\n\"p{}/m{n}\": {{\"litellm_provider\": \"p{}\", \"input_cost_per_token\": 1e-6, \
                 \"output_cost_per_token\": null, \"max_input_tokens\": null, \"mode\": null}}",
                n % 50,
                n % 50
            ));
        }
        text.push('}');
        let catalogue = parse(&text);
        assert_eq!((catalogue.entries.len(), catalogue.bad), (3001, 8));
        let named: Vec<String> =
            catalogue.bad_names.iter().map(|(name, problem)| format!("{name} {problem}")).collect();
        assert_eq!(
            named,
            [
                "bad0 is not an object",
                "bad1 is not an object",
                "bad2 has no litellm_provider",
                "bad3 input_cost_per_token is negative",
                "bad4 input_cost_per_token is above $10000 per million tokens",
                "bad5 input_cost_per_token is not a decimal number",
                "bad6 output_cost_per_token is no number",
                "bad7 tiered_pricing has no range",
            ]
        );
        let many: Vec<String> = (0..150).map(|n| format!("\"b{n}\": 1")).collect();
        let catalogue = parse(&format!("{{{}}}", many.join(",")));
        assert_eq!((catalogue.bad, catalogue.bad_names.len()), (150, MAX_NAMED));
    }

    #[test]
    fn what_is_no_catalogue_is_refused_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prices.json");
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_catalogue(&path).unwrap_err()
        };
        for text in ["", "[]", "{\n\"sk-secret\": {", "{\"a\": 1} sk-secret", &"[".repeat(100_000)] {
            let error = error(text);
            assert!(matches!(error, CatalogueError::Invalid { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("sk-secret"));
        }
        assert!(error("{\n\"a\": {").to_string().contains("line 2"));
        assert!(matches!(error(&" ".repeat((16 << 20) + 1)), CatalogueError::TooLarge(_)));
        assert!(matches!(read_catalogue(dir.path()), Err(CatalogueError::Unreadable(..))));
        assert!(matches!(read_catalogue(&dir.path().join("none")), Err(CatalogueError::Unreadable(..))));
    }
}
