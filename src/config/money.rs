//! Prices, aliases, billing and budgets: from the texts of the file to plain values.

use jiff::Timestamp;
use jiff::civil::Date;

use super::tables::Table;
use super::value::{Name, Raw};
use super::{ConfigError, Explained, Origin};
use crate::model::{
    Billing, BudgetDefinition, BudgetMatch, NanoUsd, PerMillion, Period, PriceAlias, PriceEntry, PriceSource,
    RateSet, Rates, Tier, TokenKind, UnixMs,
};
use crate::price::BudgetClock;

/// Longest pattern of a provider or model, in bytes.
const MAX_PATTERN: usize = 256;

impl Table {
    fn line(&self) -> usize {
        match self.origin {
            Origin::File { line, .. } => line,
            _ => 0,
        }
    }

    /// Returns the text of a value that must be there and is a name or a pattern.
    fn name(&self, kind: &str, key: &str, example: &str) -> Result<String, ConfigError> {
        let Some(raw) = self.values.get(key) else {
            let problem = format!("a {kind} needs its {key}; add {key} = {example}");
            return Err(Raw::new("", self.origin.clone()).conflict(&format!("{kind}.{key}"), problem));
        };
        pattern(&format!("{kind}.{key}"), raw)
    }

    fn optional(&self, kind: &str, key: &str) -> Result<Option<String>, ConfigError> {
        self.values.get(key).map(|raw| pattern(&format!("{kind}.{key}"), raw)).transpose()
    }

    /// Returns the rates that a table holds. `of` names the price that they belong to.
    fn rates(&self, of: &str) -> Result<RateSet, ConfigError> {
        let mut set = RateSet::default();
        for kind in TokenKind::ALL {
            let Some(raw) = self.values.get(kind.as_str()) else { continue };
            let rate = PerMillion::parse(&raw.text).map_err(|problem| {
                let problem = format!("{problem}; give dollars per million tokens, from 0 to 10000");
                raw.invalid(&format!("{of}: {}", kind.as_str()), problem)
            })?;
            set.set(kind, Some(rate));
        }
        Ok(set)
    }
}

fn pattern(key: &str, raw: &Raw) -> Result<String, ConfigError> {
    let text = raw.text.trim();
    if text.is_empty() || text.len() > MAX_PATTERN || text.chars().any(char::is_control) {
        return Err(raw.invalid(key, "expected a name or a pattern with * and ?, at most 256 bytes"));
    }
    Ok(text.to_owned())
}

/// Returns the prices of the `[[price]]` tables.
pub(super) fn prices(tables: &[Table], rows: &mut Vec<Explained>) -> Result<Vec<PriceEntry>, ConfigError> {
    let mut prices: Vec<PriceEntry> = Vec::new();
    for table in tables {
        let entry = price(table)?;
        let of = format!("price of {}/{}", entry.provider, entry.model);
        let same = |known: &PriceEntry| {
            let key = |e: &PriceEntry| (e.provider.to_ascii_lowercase(), e.model.clone(), e.from);
            key(known) == key(&entry)
        };
        if prices.iter().any(same) {
            let problem = "given twice; remove one of them or give it another `from`";
            return Err(Raw::new("", table.origin.clone()).conflict(&of, problem));
        }
        let since = table.values.get("from").map(|raw| format!(" since {}", raw.text)).unwrap_or_default();
        rows.push(Explained {
            key: format!("price.{}/{}", entry.provider, entry.model),
            value: format!("{}{since}", entry.rates),
            origin: table.origin.clone(),
        });
        prices.push(entry);
    }
    Ok(prices)
}

fn price(table: &Table) -> Result<PriceEntry, ConfigError> {
    let provider = table.optional("price", "provider")?.unwrap_or_else(|| "*".to_owned());
    let model = table.name("price", "model", "\"claude-opus-*\"")?;
    let of = format!("price of {provider}/{model}");
    let from = table.values.get("from").map(|raw| instant(&of, raw)).transpose()?;
    let base = table.rates(&of)?;
    let mut tiers = Vec::new();
    for inner in &table.inner {
        let Some(raw) = inner.values.get("above") else {
            let problem = "a tier needs the size of the prompts above which it applies; add above = 200000";
            return Err(Raw::new("", inner.origin.clone()).conflict(&format!("{of}: tiers"), problem));
        };
        let above = raw.text.replace('_', "").parse::<u64>().ok().filter(|n| *n < 1_000_000_000_000);
        let above = above
            .ok_or_else(|| raw.invalid(&format!("{of}: tiers.above"), "expected a whole number of tokens"))?;
        tiers.push(Tier { from_prompt: above + 1, rates: inner.rates(&of)? });
    }
    // What a tier leaves out costs what it does in the one below.
    tiers.sort_by_key(|tier| tier.from_prompt);
    let mut below = base;
    for tier in &mut tiers {
        tier.rates = tier.rates.or(&below);
        below = tier.rates;
    }
    let rates = Rates::new(base, tiers).map_err(|problem| {
        let problem = format!("{problem}; give at least one of input, output, cache_read, cache_write");
        Raw::new("", table.origin.clone()).conflict(&of, problem)
    })?;
    Ok(PriceEntry { provider, model, rates, from, source: PriceSource::Override(table.line()) })
}

/// Returns the time that a text means: a day begins at midnight UTC.
fn instant(of: &str, raw: &Raw) -> Result<UnixMs, ConfigError> {
    let text = raw.text.trim();
    let at = match text.parse::<Timestamp>() {
        Ok(at) => Some(at.as_millisecond()),
        Err(_) => Some(text).filter(|text| text.len() == 10).and_then(|text| {
            let day: Date = text.parse().ok()?;
            Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
        }),
    };
    at.map(UnixMs).ok_or_else(|| {
        let problem = "expected a day, which begins at midnight UTC, or a time with its offset: 2026-07-01 or 2026-07-01T12:00:00Z";
        raw.invalid(&format!("{of}: from"), problem)
    })
}

/// Returns what the `[[alias]]` tables say.
pub(super) fn aliases(tables: &[Table], rows: &mut Vec<Explained>) -> Result<Vec<PriceAlias>, ConfigError> {
    let mut aliases: Vec<PriceAlias> = Vec::new();
    for table in tables {
        let provider = table.name("alias", "provider", "\"litellm\"")?;
        let model = table.name("alias", "model", "\"smart\"")?;
        let to = table.name("alias", "to", "\"anthropic/claude-opus-4-6\"")?;
        let key = format!("alias.{provider}/{model}");
        let parts = to.split_once('/').filter(|(provider, model)| {
            let plain = |text: &str| !text.is_empty() && !text.contains(['*', '?']);
            plain(provider) && (plain(model) || *model == "*")
        });
        let Some((to_provider, to_model)) = parts else {
            let problem = "expected PROVIDER/MODEL, or PROVIDER/* for the model of the same name";
            return Err(Raw::new(to, table.origin.clone()).invalid(&format!("{key}: to"), problem));
        };
        if aliases.iter().any(|known| (&known.provider, &known.model) == (&provider, &model)) {
            return Err(Raw::new("", table.origin.clone()).conflict(&key, "given twice; remove one of them"));
        }
        rows.push(Explained { key, value: to.clone(), origin: table.origin.clone() });
        let to_model = Some(to_model.to_owned()).filter(|model| model != "*");
        aliases.push(PriceAlias { provider, model, to_provider: to_provider.to_owned(), to_model });
    }
    Ok(aliases)
}

/// Returns what `[billing]` says of providers, by their names.
pub(super) fn billing(
    given: &[(String, Raw)],
    rows: &mut Vec<Explained>,
) -> Result<Vec<(String, Billing)>, ConfigError> {
    let mut billing = Vec::new();
    for (provider, raw) in given {
        let key = format!("billing.{provider}");
        let word = raw.text.trim();
        let meant = Billing::ALL.into_iter().find(|billing| word.eq_ignore_ascii_case(billing.as_str()));
        let meant = meant.ok_or_else(|| {
            let words: Vec<&str> = Billing::ALL.iter().map(|billing| billing.as_str()).collect();
            raw.invalid(&key, format!("expected one of {}", words.join(", ")))
        })?;
        let provider = pattern(&key, &Raw::new(provider, raw.origin.clone()))?;
        rows.push(Explained { key, value: meant.as_str().to_owned(), origin: raw.origin.clone() });
        billing.push((provider, meant));
    }
    Ok(billing)
}

/// Returns the `[[budget]]` tables.
pub(super) fn budgets(
    tables: &[Table],
    rows: &mut Vec<Explained>,
) -> Result<Vec<BudgetDefinition>, ConfigError> {
    let mut budgets: Vec<BudgetDefinition> = Vec::new();
    for table in tables {
        let budget = budget(table)?;
        let key = format!("budget.{}", budget.name);
        if budgets.iter().any(|known| known.name == budget.name) {
            let problem = "two budgets have this name; give each its own";
            return Err(Raw::new("", table.origin.clone()).conflict(&key, problem));
        }
        rows.push(Explained { key, value: shown(&budget), origin: table.origin.clone() });
        budgets.push(budget);
    }
    Ok(budgets)
}

fn budget(table: &Table) -> Result<BudgetDefinition, ConfigError> {
    let raw = table.values.get("name").ok_or_else(|| missing(table, "name", "\"all\""))?;
    let name = raw.parse::<Name>("budget.name")?.0;
    let key = |field: &str| format!("budget {name}: {field}");
    let usd = table.values.get("usd").ok_or_else(|| missing(table, "usd", "50"))?;
    let limit = NanoUsd::parse(&usd.text).ok().filter(|limit| *limit > NanoUsd::ZERO);
    let limit = limit.ok_or_else(|| {
        usd.invalid(&key("usd"), "expected dollars, more than 0 and less than 9 billion, such as 50 or 12.50")
    })?;
    let period = table.values.get("period").ok_or_else(|| missing(table, "period", "\"month\""))?;
    let period = [Period::Day, Period::Week, Period::Month]
        .into_iter()
        .find(|known| period.text.trim().eq_ignore_ascii_case(known.as_str()))
        .ok_or_else(|| period.invalid(&key("period"), "expected one of day, week, month"))?;
    let timezone = table.values.get("timezone");
    let zone = timezone.map_or("UTC", |raw| raw.text.trim()).to_owned();
    if let (Some(raw), Err(problem)) = (timezone, BudgetClock::new(period, &zone)) {
        return Err(raw.invalid(&key("timezone"), problem.to_string()));
    }
    let mut matches = BudgetMatch::default();
    if let Some(inner) = table.inner.first() {
        let get = |field| inner.optional("budget.match", field);
        matches = BudgetMatch {
            job: get("job")?,
            agent: get("agent")?,
            model: get("model")?,
            provider: get("provider")?,
        };
    }
    Ok(BudgetDefinition { name, limit, period, timezone: zone, matches })
}

fn missing(table: &Table, key: &str, example: &str) -> ConfigError {
    let problem = format!("a budget needs its {key}; add {key} = {example}");
    Raw::new("", table.origin.clone()).conflict(&format!("budget.{key}"), problem)
}

/// `50.00 a month (UTC), job daily*`
fn shown(budget: &BudgetDefinition) -> String {
    let BudgetMatch { job, agent, model, provider } = &budget.matches;
    let asked = [("job", job), ("agent", agent), ("model", model), ("provider", provider)];
    let asked = asked.into_iter().filter_map(|(key, value)| value.as_ref().map(|v| format!(", {key} {v}")));
    let asked: String = asked.collect();
    format!("{} a {} ({}){asked}", budget.limit, budget.period.as_str(), budget.timezone)
}
