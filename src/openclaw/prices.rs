//! Prices and sizes of contexts: `openclaw.json` and agents' `models.json`.
//!
//! Source: OpenClaw 2026.2.17 to 2026.9.6. `models.providers.<provider>.models[]` holds `id`, `cost` in dollars per
//! million tokens (`input`, `output`, `cacheRead`, `cacheWrite`, any of them absent, and `tieredPricing` of ranges of
//! the prompt's size), `contextWindow` and `contextTokens`, the cap that OpenClaw itself sets. `models.json` is
//! written by the gateway, which puts 0 where no price is known; only there a 0 therefore says nothing, except for
//! servers on own machines. In `openclaw.json` a 0 means free, but the gateway's set-up of an own provider writes zeros
//! too, so a remote model without any other rate is noted.
//!
//! These files hold keys and URLs: nothing but names, numbers and the kind of login leaves this file, and neither an
//! error nor a note quotes a value.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::billing::{Login, ProviderFacts, is_local_server, is_local_url, logins};
use super::config_file::{PricesError, read_config, read_json5};
use crate::model::{
    ContextWindow, MAX_JSON_INTEGER, PerMillion, PriceEntry, PriceSource, RateSet, Rates, Tier, TokenKind,
};

/// Largest `models.json` that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Most agents whose `models.json` is read.
const MAX_AGENTS: usize = 1000;
/// Longest provider or model, in bytes, that is taken for a name.
const MAX_NAME: usize = 256;
/// How many notes are kept; the rest are only counted.
const MAX_NOTES: usize = 100;

const FIELDS: [(TokenKind, &str); 4] = [
    (TokenKind::Input, "input"),
    (TokenKind::Output, "output"),
    (TokenKind::CacheRead, "cacheRead"),
    (TokenKind::CacheWrite, "cacheWrite"),
];

/// What was left out of the prices or is doubtful, and why; holds no value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceNote {
    /// A price makes no sense.
    BadPrice {
        /// Who says it.
        source: PriceSource,
        /// Its provider.
        provider: String,
        /// Its model.
        model: String,
        /// What is wrong.
        problem: String,
    },
    /// All rates are 0: the model is free, or was set up without its price. In use all the same.
    Free {
        /// Who says it.
        source: PriceSource,
        /// Its provider.
        provider: String,
        /// Its model.
        model: String,
    },
    /// A name that is none: empty, too long, a placeholder of the environment, a URL.
    BadName(PriceSource),
    /// An include leads out of the configuration's directory.
    Outside(PathBuf),
}

impl fmt::Display for PriceNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPrice { source, provider, model, problem } => {
                write!(
                    f,
                    "the price of {provider}/{model} in {source} is not used: {problem}; correct it there"
                )
            }
            Self::Free { source, provider, model } => write!(
                f,
                "{provider}/{model} is free according to {source}, where the gateway's set-up also writes 0 for a price \
                 that it does not know; if it is not free, give its price as [[price]]"
            ),
            Self::BadName(source) => write!(
                f,
                "a model in {source} has no usable name (empty, an environment placeholder or a URL) and is left out; \
                 give its price as [[price]]"
            ),
            Self::Outside(file) => write!(
                f,
                "an $include in {} leads out of its directory and is not followed; give prices that stand there as \
                 [[price]]",
                file.display()
            ),
        }
    }
}

/// What one file, with those it includes, says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundPrices {
    /// Prices.
    pub entries: Vec<PriceEntry>,
    /// Sizes of contexts.
    pub windows: Vec<ContextWindow>,
    /// What is said of each provider, for [`BillingDefaults`](super::BillingDefaults).
    pub providers: BTreeMap<String, ProviderFacts>,
    /// What was left out or is doubtful, the first hundred.
    pub notes: Vec<PriceNote>,
    /// Number of all that was left out.
    pub left_out: usize,
    /// The files that were read: prices change when one of them does.
    pub files: Vec<PathBuf>,
}

/// Reads the prices of a gateway's configuration. `None`: there is no such file.
///
/// # Errors
/// See [`PricesError`]; a half-written file is one of them, and the prices read before should stay in force.
pub fn read_config_prices(openclaw_json: &Path) -> Result<Option<FoundPrices>, PricesError> {
    let Some(config) = read_config(openclaw_json)? else { return Ok(None) };
    let mut reader =
        Reader { source: PriceSource::Gateway, zero_is_known: true, found: FoundPrices::default() };
    reader.providers(config.models.get("providers"));
    for (provider, login) in logins(&config.auth) {
        reader.facts(&provider).login.get_or_insert(login);
    }
    config.outside.into_iter().for_each(|file| reader.note(PriceNote::Outside(file)));
    reader.found.files = config.files;
    Ok(Some(reader.found))
}

#[derive(Deserialize)]
struct ModelsFile {
    #[serde(default)]
    providers: Value,
}

/// Reads an agent's `models.json`. `None`: there is no such file.
///
/// # Errors
/// As [`read_config_prices`].
pub fn read_agent_prices(models_json: &Path, agent: &str) -> Result<Option<FoundPrices>, PricesError> {
    let Some(file) = read_json5::<ModelsFile>(models_json, MAX_BYTES, &mut { MAX_BYTES })? else {
        return Ok(None);
    };
    let source = PriceSource::Agent(agent.to_owned());
    let mut reader = Reader { source, zero_is_known: false, found: FoundPrices::default() };
    reader.providers(Some(&file.providers));
    reader.found.files = vec![models_json.to_path_buf()];
    Ok(Some(reader.found))
}

/// Returns agents and where their `models.json` would be, by name; at most 1,000 of them.
///
/// # Errors
/// The directory of agents is there and cannot be listed.
pub fn agent_model_files(state_dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folder = match std::fs::read_dir(state_dir.join("agents")) {
        Ok(folder) => folder,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut agents = Vec::new();
    for entry in folder.take(MAX_AGENTS) {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            let file = entry.path().join("agent").join("models.json");
            agents.push((name, file));
        }
    }
    agents.sort();
    Ok(agents)
}

struct Reader {
    source: PriceSource,
    /// A 0 was written by somebody who meant it.
    zero_is_known: bool,
    found: FoundPrices,
}

impl Reader {
    fn note(&mut self, note: PriceNote) {
        self.found.left_out += usize::from(!matches!(note, PriceNote::Free { .. }));
        if self.found.notes.len() < MAX_NOTES {
            self.found.notes.push(note);
        }
    }

    fn facts(&mut self, provider: &str) -> &mut ProviderFacts {
        self.found.providers.entry(provider.to_owned()).or_default()
    }

    fn providers(&mut self, providers: Option<&Value>) {
        for (name, provider) in providers.and_then(Value::as_object).into_iter().flatten() {
            if !is_name(name) {
                self.note(PriceNote::BadName(self.source.clone()));
                continue;
            }
            let local = provider.get("baseUrl").and_then(Value::as_str).is_some_and(is_local_url);
            let login = provider.get("auth").and_then(Login::of);
            *self.facts(name) = ProviderFacts { login, local, paid: false };
            let zero_is_known = self.zero_is_known || (local && is_local_server(name));
            let first = self.found.entries.len();
            for model in provider.get("models").and_then(Value::as_array).into_iter().flatten() {
                self.model(name, model, provider, zero_is_known);
            }
            self.keep_last_of_each(first);
        }
    }

    /// Of two models with one id OpenClaw takes the last.
    fn keep_last_of_each(&mut self, first: usize) {
        let mut entries = self.found.entries.split_off(first);
        entries.reverse();
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert(entry.model.clone()));
        entries.reverse();
        self.found.entries.append(&mut entries);
    }

    fn model(&mut self, provider: &str, model: &Value, of: &Value, zero_is_known: bool) {
        let Some(id) = model.get("id").and_then(Value::as_str).filter(|id| is_name(id)) else {
            return self.note(PriceNote::BadName(self.source.clone()));
        };
        let size = |key: &str| model.get(key).and_then(size).or_else(|| of.get(key).and_then(size));
        if let Some(tokens) = size("contextTokens").or_else(|| size("contextWindow")) {
            let (provider, model) = (provider.to_owned(), id.to_owned());
            self.found.windows.push(ContextWindow { provider, model, tokens, source: self.source.clone() });
        }
        match rates(model.get("cost"), zero_is_known) {
            Ok(None) => {}
            Ok(Some(rates)) => {
                self.facts(provider).paid |= !rates.is_free();
                let (provider, model) = (provider.to_owned(), id.to_owned());
                let source = self.source.clone();
                if rates.is_free() && !self.facts(&provider).local {
                    let (provider, model) = (provider.clone(), model.clone());
                    self.note(PriceNote::Free { source: source.clone(), provider, model });
                }
                self.found.entries.push(PriceEntry { provider, model, rates, from: None, source });
            }
            Err(problem) => {
                let (provider, model) = (provider.to_owned(), id.to_owned());
                self.note(PriceNote::BadPrice { source: self.source.clone(), provider, model, problem });
            }
        }
    }
}

/// Names become labels and are shown, so what may be a secret or a placeholder is none.
fn is_name(text: &str) -> bool {
    let plain = !text.trim().is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    plain && !text.contains("${") && !text.contains("://")
}

fn size(value: &Value) -> Option<u64> {
    let tokens = match value.as_u64() {
        Some(tokens) => tokens,
        // A float where an integer belongs is read as the integer that it stands for.
        None => format!("{:.0}", value.as_f64()?).parse().ok()?,
    };
    (1..=MAX_JSON_INTEGER).contains(&tokens).then_some(tokens)
}

/// Returns the price; `None` if there is none. A problem names the field, never its value.
fn rates(cost: Option<&Value>, zero_is_known: bool) -> Result<Option<Rates>, String> {
    let fields = match cost {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err("cost is no object".to_owned()),
    };
    let base = rate_set(fields, "", zero_is_known)?;
    let tiers = match fields.get("tieredPricing") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(tiers)) => {
            tiers.iter().map(|value| tier(value, zero_is_known)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err("tieredPricing is no list".to_owned()),
    };
    if base.is_empty() && tiers.iter().all(|tier: &Tier| tier.rates.is_empty()) {
        return Ok(None);
    }
    // With tiers OpenClaw takes the smallest one for everything below it too.
    let smallest = tiers.iter().min_by_key(|tier| tier.from_prompt).map_or(base, |tier| tier.rates);
    Rates::new(smallest, tiers).map(Some).map_err(|problem| problem.to_string())
}

fn rate_set(fields: &Map<String, Value>, place: &str, zero_is_known: bool) -> Result<RateSet, String> {
    let mut set = RateSet::default();
    for (kind, key) in FIELDS {
        let text = match fields.get(key) {
            None => continue,
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.clone(),
            // JSON5's NaN and Infinity arrive as null.
            Some(_) => return Err(format!("{place}{key} is no number")),
        };
        let rate = PerMillion::parse(&text).map_err(|problem| format!("{place}{key} {problem}"))?;
        set.set(kind, Some(rate).filter(|rate| zero_is_known || *rate != PerMillion::default()));
    }
    Ok(set)
}

fn tier(value: &Value, zero_is_known: bool) -> Result<Tier, String> {
    const PLACE: &str = "tieredPricing: ";
    let fields = value.as_object().ok_or("tieredPricing: an entry is no object")?;
    let begin = fields.get("range").and_then(|range| range.get(0));
    let begin = begin.and_then(Value::as_f64).filter(|begin| (0.0..1e12).contains(begin));
    let begin = begin.ok_or("tieredPricing: an entry has no range")?;
    // The first whole number of tokens in the range.
    let from_prompt =
        format!("{:.0}", begin.ceil()).parse().map_err(|_| "tieredPricing: a range is no number")?;
    Ok(Tier { from_prompt, rates: rate_set(fields, PLACE, zero_is_known)? })
}

#[cfg(test)]
mod tests;
