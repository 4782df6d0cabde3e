//! JSON values as loosely as OpenClaw's own readers take them.
//!
//! A number may come as an integer, a float or a string; `null` is as good as absent; anything else under
//! a known key is noted and skipped, so that a field that changes its type never breaks the record around it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A number as it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Number {
    /// Absent or `null`.
    #[default]
    Absent,
    /// An integer, whichever way it was written.
    Integer(i64),
    /// A fraction, rounded towards zero.
    Fraction(i64),
    /// No number, or beyond what 64 bits hold.
    Impossible,
}

/// Doubles from here on are no longer exact integers, and casts from there on are not exact either.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Number {
    #[expect(clippy::cast_possible_truncation, reason = "checked against the exact range of doubles")]
    fn from_f64(value: f64) -> Self {
        if !(-EXACT..=EXACT).contains(&value) {
            Self::Impossible
        } else if value.fract() == 0.0 {
            Self::Integer(value as i64)
        } else {
            Self::Fraction(value as i64)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(i64::try_from(value).map_or(Number::Impossible, Number::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number::from_f64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Number, E> {
        let value = value.trim();
        Ok(match value.parse::<i64>() {
            Ok(integer) => Number::Integer(integer),
            Err(_) if value.is_empty() => Number::Absent,
            Err(_) => value.parse::<f64>().map_or(Number::Impossible, Number::from_f64),
        })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number::Impossible)
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number::Impossible)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number::Impossible)
    }
}

/// A text; anything that is none is as good as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl Text<'_> {
    /// Returns the text unless it is blank.
    #[inline]
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref().and_then(filled)
    }

    /// Returns the text as its own copy unless it is blank.
    pub fn to_owned_text(&self) -> Option<String> {
        self.get().map(ToOwned::to_owned)
    }
}

/// Returns a text unless it is blank.
#[inline]
pub fn filled(text: &str) -> Option<&str> {
    // Nearly all texts begin with something that is seen at once.
    let is_filled = text.as_bytes().first().is_some_and(u8::is_ascii_graphic)
        || text.contains(|c: char| !c.is_whitespace());
    is_filled.then_some(text)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_owned())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Whether there is a text with anything in it, which itself is not looked at: it may be long, or hold half a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled(pub bool);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        let mut rest = text.trim_start();
        while let Some(more) = ["\\n", "\\t", "\\r"].iter().find_map(|blank| rest.strip_prefix(blank)) {
            rest = more.trim_start();
        }
        Ok(Self(!rest.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_filled_if_anything_but_blanks_is_in_it() {
        for (json, filled) in [
            (r#""""#, false),
            (r#"" \n\t ""#, false),
            ("null", false),
            ("17", false),
            (r#""a""#, true),
            (r#""\n \ud83d""#, true),
        ] {
            assert_eq!(serde_json::from_str::<Filled>(json).unwrap(), Filled(filled), "{json}");
        }
    }
}
