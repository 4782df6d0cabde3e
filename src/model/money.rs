//! Money, and how it is known.

use std::fmt;

use super::decimal::{DecimalError, parse_scaled};

/// An amount of US dollars in billionths (nano-USD); 64 bits hold nine billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Decimal places of a dollar that are kept.
    pub const DECIMALS: u8 = 9;

    /// Returns the amount that a number in a text stands for, in dollars, rounded half to even.
    ///
    /// # Errors
    /// See [`DecimalError`].
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        parse_scaled(text, Self::DECIMALS).map(Self)
    }

    /// Returns the amount that a float stands for, in dollars; `None` if it is not finite or too large.
    ///
    /// A transcript's cost is a float that was computed from decimals. Its shortest decimal that reads back as the
    /// same float is what was written into the file; that decimal is rounded, half to even.
    #[must_use]
    pub fn from_float(usd: f64) -> Option<Self> {
        usd.is_finite().then(|| Self::parse(&format!("{usd:e}")).ok()).flatten()
    }

    /// Returns the sum unless it overflows.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Returns the difference unless it overflows.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Returns this amount `times` over unless that overflows.
    #[must_use]
    pub fn checked_mul(self, times: u64) -> Option<Self> {
        i64::try_from(i128::from(self.0) * i128::from(times)).ok().map(Self)
    }

    /// Returns dollars as metrics carry them. Exact up to 9 million dollars (2^53 nano-USD), and to a relative
    /// 2^-53 beyond.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "floats are for encoding only; the loss is stated above")]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// Dollars to the last digit, without a sign of currency and with at least two decimals: `0.0048408`, `12.50`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let fraction = format!("{:09}", nanos % 1_000_000_000);
        let (cents, rest) = fraction.split_at(2);
        let text = format!("{}.{cents}{}", nanos / 1_000_000_000, rest.trim_end_matches('0'));
        f.pad_integral(self.0 >= 0, "", &text)
    }
}

/// How a cost is known, worst first, so that `>` reads "better than".
///
/// Five values, because each asks something else of the reader. `Unpriced` and `LowerBound` are mended by a price,
/// `None` is not: there no tokens are known. A run that used no tokens needs no value of its own: it costs nothing
/// at any price, so it is `Priced`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CostProvenance {
    /// No source says anything about tokens or money.
    #[default]
    None = 0,
    /// Tokens are known, a price is not: the amount is 0 and means nothing.
    Unpriced = 1,
    /// At least this much: a kind of tokens, a rate, or the size of single prompts is not known.
    LowerBound = 2,
    /// A price for every token.
    Priced = 3,
    /// What the gateway itself noted for each call.
    Recorded = 4,
}

impl CostProvenance {
    /// All values, worst first.
    pub const ALL: [Self; 5] = [Self::None, Self::Unpriced, Self::LowerBound, Self::Priced, Self::Recorded];

    /// Returns the value of the `openclaw.provenance` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unpriced => "unpriced",
            Self::LowerBound => "lower_bound",
            Self::Priced => "priced",
            Self::Recorded => "recorded",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Returns how the sum of two amounts is known; the order does not matter.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let (worse, better) = if self < other { (self, other) } else { (other, self) };
        if worse >= Self::Priced {
            worse
        } else if better <= Self::Unpriced {
            better
        } else {
            Self::LowerBound
        }
    }
}

/// An amount and how it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cost {
    /// The amount; 0 where nothing is known.
    pub usd: NanoUsd,
    /// How it is known.
    pub provenance: CostProvenance,
}

impl Cost {
    /// Returns both together, in either order the same; `None` if the amount overflows.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let usd = self.usd.checked_add(other.usd)?;
        Some(Self { usd, provenance: self.provenance.with(other.provenance) })
    }
}

/// What a provider's dollars mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Billing {
    /// Tokens are billed: the dollars are money.
    #[default]
    Metered = 0,
    /// A flat fee is: the dollars are what the tokens would cost.
    Subscription = 1,
    /// The model runs on an own machine.
    Local = 2,
}

impl Billing {
    /// All values in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Metered, Self::Subscription, Self::Local];

    /// Returns the value of the `openclaw.billing` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Subscription => "subscription",
            Self::Local => "local",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What something cost, and what its dollars mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Charge {
    /// The amount, and how it is known.
    pub cost: Cost,
    /// What the provider's dollars mean.
    pub billing: Billing,
    /// Size of the model's context in tokens, if any source says.
    pub context_limit: Option<u64>,
}

/// A usage to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Priceable<'a> {
    /// The provider.
    pub provider: &'a str,
    /// The model, without the provider.
    pub model: &'a str,
    /// When it was used.
    pub at: super::UnixMs,
    /// What was used.
    pub usage: &'a super::Usage,
    /// Whether it is that of one model call, so that the size of its prompt is known.
    pub one_call: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_show_every_digit() {
        for (nanos, text) in [
            (0, "0.00"),
            (1, "0.000000001"),
            (-1, "-0.000000001"),
            (4_840_800, "0.0048408"),
            (12_500_000_000, "12.50"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(NanoUsd(nanos).to_string(), text);
            assert_eq!(NanoUsd::parse(text), Ok(NanoUsd(nanos)));
        }
        assert_eq!(format!("{:>8}", NanoUsd(12_500_000_000)), "   12.50");
    }

    #[test]
    fn floats_are_rounded_by_their_shortest_decimal() {
        for (float, nanos) in [
            (0.1 + 0.2, Some(300_000_000)),
            (0.004_840_8, Some(4_840_800)),
            (1.5e-9, Some(2)),
            (2.5e-9, Some(2)),
            (1e10, None),
            (f64::NAN, None),
            (f64::NEG_INFINITY, None),
        ] {
            assert_eq!(NanoUsd::from_float(float).map(|usd| usd.0), nanos, "{float}");
        }
    }

    #[test]
    fn arithmetic_is_checked() {
        let most = NanoUsd(i64::MAX);
        assert_eq!(most.checked_add(NanoUsd(1)), None);
        assert_eq!(NanoUsd(i64::MIN).checked_sub(NanoUsd(1)), None);
        assert_eq!(NanoUsd(3).checked_mul(u64::MAX), None);
        assert_eq!(NanoUsd(-3).checked_mul(5), Some(NanoUsd(-15)));
    }

    #[test]
    fn a_sum_is_known_as_well_as_its_worst_part_allows() {
        use CostProvenance::{LowerBound, None, Priced, Recorded, Unpriced};
        for (one, other, expected) in [
            (Recorded, Recorded, Recorded),
            (Recorded, Priced, Priced),
            (Priced, LowerBound, LowerBound),
            (Priced, Unpriced, LowerBound),
            (Recorded, None, LowerBound),
            (Unpriced, None, Unpriced),
            (None, None, None),
        ] {
            assert_eq!((one.with(other), other.with(one)), (expected, expected), "{one:?} {other:?}");
        }
        for a in CostProvenance::ALL {
            for b in CostProvenance::ALL {
                for c in CostProvenance::ALL {
                    assert_eq!(a.with(b).with(c), a.with(b.with(c)), "{a:?} {b:?} {c:?}");
                }
            }
        }
    }
}
