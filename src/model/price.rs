//! Prices as plain values: what a source says that a model's tokens cost.

use std::fmt;

use super::decimal::{DecimalError, parse_scaled};
use super::{NanoUsd, TokenKind, UnixMs};

/// A rate: nano-USD for a million tokens, from 0 to 10,000 dollars.
///
/// Providers publish dollars per million tokens with at most six decimals, so that nine hold every rate exactly; one
/// token then costs a whole number of 10^-15 USD. What a catalogue writes with more digits is the noise of floats
/// and is rounded, half to even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerMillion(NanoUsd);

/// Why a number is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is no decimal number.
    #[error("is not a decimal number")]
    NotANumber,
    /// Nobody pays for being served.
    #[error("is negative")]
    Negative,
    /// Above what any model costs: usually dollars per token or cents were mistaken for dollars per million.
    #[error("is above $10000 per million tokens")]
    Absurd,
}

impl PerMillion {
    /// The highest rate that is believed.
    pub const MAX: Self = Self(NanoUsd(10_000_000_000_000));

    /// Returns the rate for a number of dollars per million tokens.
    ///
    /// # Errors
    /// See [`RateError`].
    pub fn parse(text: &str) -> Result<Self, RateError> {
        Self::scaled(text, NanoUsd::DECIMALS)
    }

    /// Returns the rate for a number of dollars per single token.
    ///
    /// # Errors
    /// See [`RateError`].
    pub fn parse_per_token(text: &str) -> Result<Self, RateError> {
        Self::scaled(text, NanoUsd::DECIMALS + 6)
    }

    fn scaled(text: &str, scale: u8) -> Result<Self, RateError> {
        let negative = text.trim_start().starts_with('-');
        match parse_scaled(text, scale) {
            Err(DecimalError::NotANumber) => Err(RateError::NotANumber),
            Err(DecimalError::TooLarge) if negative => Err(RateError::Negative),
            Err(DecimalError::TooLarge) => Err(RateError::Absurd),
            Ok(0) => Ok(Self(NanoUsd::ZERO)),
            Ok(..0) => Err(RateError::Negative),
            Ok(nanos) if nanos > Self::MAX.0.0 => Err(RateError::Absurd),
            Ok(nanos) => Ok(Self(NanoUsd(nanos))),
        }
    }

    /// Returns what a million tokens cost.
    #[must_use]
    pub const fn usd(self) -> NanoUsd {
        self.0
    }
}

/// One rate for each kind of tokens; `None` = not known, which is not the same as free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RateSet {
    /// Prompt tokens outside any cache.
    pub input: Option<PerMillion>,
    /// Generated tokens.
    pub output: Option<PerMillion>,
    /// Prompt tokens read from a cache.
    pub cache_read: Option<PerMillion>,
    /// Prompt tokens written to a cache.
    pub cache_write: Option<PerMillion>,
}

impl RateSet {
    /// Returns the rate of one kind.
    #[must_use]
    pub const fn get(&self, kind: TokenKind) -> Option<PerMillion> {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::Output => self.output,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite => self.cache_write,
        }
    }

    /// Sets the rate of one kind.
    pub const fn set(&mut self, kind: TokenKind, rate: Option<PerMillion>) {
        match kind {
            TokenKind::Input => self.input = rate,
            TokenKind::Output => self.output = rate,
            TokenKind::CacheRead => self.cache_read = rate,
            TokenKind::CacheWrite => self.cache_write = rate,
        }
    }

    /// Returns whether no rate is known at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        TokenKind::ALL.iter().all(|kind| self.get(*kind).is_none())
    }

    /// Returns these rates with those of `base` where they say nothing.
    #[must_use]
    pub fn or(mut self, base: &Self) -> Self {
        for kind in TokenKind::ALL {
            self.set(kind, self.get(kind).or(base.get(kind)));
        }
        self
    }
}

/// `input 3.00, output 15.00` in dollars per million; kinds without a rate are left out.
impl fmt::Display for RateSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for kind in TokenKind::ALL {
            if let Some(rate) = self.get(kind) {
                write!(f, "{comma}{} {}", kind.as_str(), rate.usd())?;
                comma = ", ";
            }
        }
        Ok(())
    }
}

/// The rates of all tokens of a call whose prompt has at least so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tier {
    /// Smallest prompt, in tokens of input and both caches together.
    pub from_prompt: u64,
    /// Its rates.
    pub rates: RateSet,
}

/// What a model costs: one tier, or several by the size of a call's prompt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Ascending; the first begins at 0.
    tiers: Vec<Tier>,
}

/// Most tiers that a price may have; published ones have two or three.
pub const MAX_TIERS: usize = 16;

/// Why rates do not make a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// No rate at all.
    #[error("has no rate")]
    Empty,
    /// Two tiers begin at the same size.
    #[error("has two tiers from {0} tokens")]
    SameTier(u64),
    /// More than [`MAX_TIERS`].
    #[error("has more than {MAX_TIERS} tiers")]
    TooManyTiers,
}

impl Rates {
    /// Returns the price with these rates and, for larger prompts, those of `tiers`, in any order. A tier that begins
    /// at 0 stands for `base`.
    ///
    /// # Errors
    /// See [`RatesError`].
    pub fn new(base: RateSet, tiers: impl IntoIterator<Item = Tier>) -> Result<Self, RatesError> {
        let mut all: Vec<Tier> = tiers.into_iter().take(MAX_TIERS + 1).collect();
        if all.len() > MAX_TIERS {
            return Err(RatesError::TooManyTiers);
        }
        all.sort_by_key(|tier| tier.from_prompt);
        if all.first().is_none_or(|tier| tier.from_prompt > 0) {
            all.insert(0, Tier { from_prompt: 0, rates: base });
        }
        if let Some(pair) = all.windows(2).find(|pair| pair[0].from_prompt == pair[1].from_prompt) {
            return Err(RatesError::SameTier(pair[0].from_prompt));
        }
        if all.iter().all(|tier| tier.rates.is_empty()) {
            return Err(RatesError::Empty);
        }
        Ok(Self { tiers: all })
    }

    /// Returns the tiers, smallest prompts first; the first begins at 0.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// Returns whether every known rate is 0 in every tier.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let rates = self.tiers.iter().flat_map(|tier| TokenKind::ALL.map(|kind| tier.rates.get(kind)));
        rates.flatten().all(|rate| rate == PerMillion::default())
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tier in &self.tiers {
            if tier.from_prompt > 0 {
                write!(f, "; from {} prompt tokens: ", tier.from_prompt)?;
            }
            write!(f, "{}", tier.rates)?;
        }
        Ok(())
    }
}

/// Where a price stands, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceSource {
    /// `[[price]]` of our configuration, at this line.
    Override(usize),
    /// The gateway's `openclaw.json`.
    Gateway,
    /// `models.json` of this agent.
    Agent(String),
    /// The catalogue file.
    Catalogue,
}

impl PriceSource {
    /// How many ranks there are.
    pub const RANKS: usize = 4;

    /// Returns the rank, 0 the strongest.
    #[must_use]
    pub const fn rank(&self) -> usize {
        match self {
            Self::Override(_) => 0,
            Self::Gateway => 1,
            Self::Agent(_) => 2,
            Self::Catalogue => 3,
        }
    }
}

impl fmt::Display for PriceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Override(line) => write!(f, "[[price]] in line {line}"),
            Self::Gateway => f.write_str("openclaw.json"),
            Self::Agent(agent) => write!(f, "models.json of agent {agent}"),
            Self::Catalogue => f.write_str("catalogue"),
        }
    }
}

/// One price of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceEntry {
    /// Provider as OpenClaw names it; in an override `*` and `?` are wildcards.
    pub provider: String,
    /// Model without its provider; in an override `*` and `?` are wildcards.
    pub model: String,
    /// What it costs.
    pub rates: Rates,
    /// Since when; `None` = ever since.
    pub from: Option<UnixMs>,
    /// Who says so.
    pub source: PriceSource,
}

/// A model that is another one under a name of its own, as behind a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceAlias {
    /// Provider of the name; `*` and `?` are wildcards.
    pub provider: String,
    /// The name; `*` and `?` are wildcards.
    pub model: String,
    /// Provider of the model that it stands for.
    pub to_provider: String,
    /// The model that it stands for; `None` = the one of the same name.
    pub to_model: Option<String>,
}

/// How many tokens of context a model has, according to one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextWindow {
    /// Provider as OpenClaw names it.
    pub provider: String,
    /// Model without its provider.
    pub model: String,
    /// Size in tokens.
    pub tokens: u64,
    /// Who says so.
    pub source: PriceSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_believable_numbers() {
        for (text, expected) in [
            ("3", Ok(3_000_000_000)),
            ("0.3", Ok(300_000_000)),
            ("0", Ok(0)),
            ("-0.0", Ok(0)),
            ("10000", Ok(10_000_000_000_000)),
            ("10000.000000001", Err(RateError::Absurd)),
            ("1e300", Err(RateError::Absurd)),
            ("-1", Err(RateError::Negative)),
            ("-1e300", Err(RateError::Negative)),
            ("nan", Err(RateError::NotANumber)),
            ("inf", Err(RateError::NotANumber)),
            ("${PRICE}", Err(RateError::NotANumber)),
        ] {
            assert_eq!(PerMillion::parse(text).map(|rate| rate.usd().0), expected, "{text:?}");
        }
        assert_eq!(PerMillion::parse_per_token("1.5e-07"), PerMillion::parse("0.15"));
        assert_eq!(PerMillion::parse_per_token("0.02"), Err(RateError::Absurd));
    }

    fn set(input: &str) -> RateSet {
        RateSet { input: PerMillion::parse(input).ok(), ..RateSet::default() }
    }

    #[test]
    fn tiers_are_put_in_order_and_begin_at_zero() {
        let tier = |from_prompt, input| Tier { from_prompt, rates: set(input) };
        let rates = Rates::new(set("1"), [tier(500, "3"), tier(200, "2")]).unwrap();
        assert_eq!(
            rates.to_string(),
            "input 1.00; from 200 prompt tokens: input 2.00; from 500 prompt tokens: input 3.00"
        );
        assert_eq!(Rates::new(set("9"), [tier(0, "1")]).unwrap(), Rates::new(set("1"), []).unwrap());
        assert_eq!(Rates::new(set("1"), [tier(5, "1"), tier(5, "2")]), Err(RatesError::SameTier(5)));
        assert_eq!(Rates::new(RateSet::default(), []), Err(RatesError::Empty));
        assert_eq!(Rates::new(set("1"), (1..=17).map(|n| tier(n, "2"))), Err(RatesError::TooManyTiers));
        assert!(Rates::new(set("0"), []).unwrap().is_free() && !rates.is_free());
    }
}
