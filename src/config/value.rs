//! From the text of a value to the value: one parser per kind, shared by every layer.

use std::net::SocketAddr;

use super::{ConfigError, Origin};

/// The text of a value with its origin, as every layer gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub text: String,
    pub origin: Origin,
}

impl Raw {
    pub(super) fn new(text: impl Into<String>, origin: Origin) -> Self {
        Self { text: text.into(), origin }
    }

    /// Returns the value that the text stands for.
    pub(super) fn parse<T: Value>(&self, key: &str) -> Result<T, ConfigError> {
        T::parse(self.text.trim()).ok_or_else(|| self.invalid(key, format!("expected {}", T::expected())))
    }

    /// Returns the error that this value, which is no secret, has the given problem.
    pub(super) fn invalid(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid {
            key: key.to_owned(),
            value: self.text.clone(),
            origin: self.origin.clone(),
            problem: problem.into(),
        }
    }

    /// Returns the error that this value does not go with another; the value is not shown.
    pub(super) fn conflict(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Conflict { key: key.to_owned(), origin: self.origin.clone(), problem: problem.into() }
    }
}

/// A value that every layer gives as text.
pub(super) trait Value: Sized {
    /// What the text must be, for an error's remedy: "an address and port, such as …".
    fn expected() -> String;
    /// Returns the value, or nothing if the text is not one.
    fn parse(text: &str) -> Option<Self>;
    /// Returns the text that `check` shows.
    fn show(&self) -> String;
}

/// Declares a closed set of words: the enum, its `as_str`, and its [`Value`].
macro_rules! keyword {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every accepted word, the canonical one of each value first.
            pub const WORDS: &'static [&'static str] = &[$($word $(, $alias)*),+];

            /// Returns the canonical word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::config::value::Value for $name {
            fn expected() -> String { format!("one of {}", Self::WORDS.join(", ")) }
            fn parse(text: &str) -> Option<Self> {
                let text = text.to_ascii_lowercase();
                match text.as_str() { $($word $(| $alias)* => Some(Self::$variant),)+ _ => None }
            }
            fn show(&self) -> String { self.as_str().to_owned() }
        }
    };
}
pub(super) use keyword;

/// Units of a duration with their milliseconds; a longer unit comes before the one that ends it.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Returns the milliseconds of a duration: a whole number with the unit `ms`, `s`, `m`, `h`, `d` or `w`.
///
/// # Errors
/// A text that is none, or too long for 64 bits, gives back a sentence that says so.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    UNITS
        .iter()
        .find_map(|(unit, ms)| {
            let number = text.trim().strip_suffix(unit)?.trim_end();
            let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(*ms)
        })
        .ok_or_else(|| "expected a whole number with a unit: 250ms, 60s, 5m, 1h, 7d".to_owned())
}

/// Returns a duration in its largest whole unit.
pub(super) fn show_duration(ms: u64) -> String {
    let (unit, size) =
        UNITS.iter().rev().find(|(_, size)| ms > 0 && ms.is_multiple_of(*size)).unwrap_or(&("ms", 1));
    format!("{}{unit}", ms / size)
}

/// A duration in milliseconds between two bounds, both included.
pub(super) struct Millis<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Value for Millis<MIN, MAX> {
    fn expected() -> String {
        let (min, max) = (show_duration(MIN), show_duration(MAX));
        format!("a duration from {min} to {max} with its unit, such as 10s")
    }
    fn parse(text: &str) -> Option<Self> {
        parse_duration_ms(text).ok().filter(|ms| (MIN..=MAX).contains(ms)).map(Self)
    }
    fn show(&self) -> String {
        show_duration(self.0)
    }
}

/// How long single runs are kept: a number of days, or for ever.
pub(super) struct KeepDays(pub Option<u32>);

impl Value for KeepDays {
    fn expected() -> String {
        "`unlimited` or whole days from 1d, such as 400d".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        const DAY_MS: u64 = 86_400_000;
        if text.eq_ignore_ascii_case("unlimited") {
            return Some(Self(None));
        }
        let ms = parse_duration_ms(text).ok().filter(|ms| *ms > 0 && ms.is_multiple_of(DAY_MS))?;
        u32::try_from(ms / DAY_MS).ok().map(|days| Self(Some(days)))
    }
    fn show(&self) -> String {
        self.0.map_or_else(|| "unlimited".to_owned(), |days| format!("{days}d"))
    }
}

impl Value for SocketAddr {
    fn expected() -> String {
        "an IP address and port, such as 127.0.0.1:9464 or [::]:9464".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// Number of job ids that get series of their own.
pub(super) struct MaxJobs(pub usize);

impl Value for MaxJobs {
    fn expected() -> String {
        "a whole number from 1 to 100000".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n| (1..=100_000).contains(n)).map(Self)
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Number of events that are kept.
pub(super) struct MaxEvents(pub u64);

impl Value for MaxEvents {
    fn expected() -> String {
        "a whole number from 1 to 10000000".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n| (1..=10_000_000).contains(n)).map(Self)
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Yes or no.
pub(super) struct Switch(pub bool);

impl Value for Switch {
    fn expected() -> String {
        "true or false".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A name that becomes a label value: 1–63 characters, none of them a control character.
pub(super) struct Name(pub String);

impl Value for Name {
    fn expected() -> String {
        "1 to 63 printable characters without spaces at the ends, such as office".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        let fits = (1..=63).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(is_unprintable);
        fits.then(|| Self(text.to_owned()))
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Control characters, and the invisible ones that reorder or break a terminal's line.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A profile of OpenClaw's, which becomes part of a directory's name.
pub(super) struct Profile(pub String);

impl Value for Profile {
    fn expected() -> String {
        "a profile's name of 1 to 64 letters, digits, `-` and `_`, such as work".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (plain && (1..=64).contains(&text.len())).then(|| Self(text.to_owned()))
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("250ms", Some(250)),
            ("60s", Some(60_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("400d", Some(34_560_000_000)),
            ("2w", Some(1_209_600_000)),
            (" 3 s ", Some(3_000)),
            ("0s", Some(0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5h", None),
            ("1h30m", None),
            ("99999999999999999w", None),
        ] {
            assert_eq!(parse_duration_ms(text).ok(), ms, "{text:?}");
        }
        for (ms, text) in [(0, "0ms"), (250, "250ms"), (10_000, "10s"), (90_000, "90s"), (604_800_000, "1w")]
        {
            assert_eq!(show_duration(ms), text);
        }
    }

    #[test]
    fn names_are_printable_and_short() {
        for good in ["office", "Büro 2", &"x".repeat(63)] {
            assert!(Name::parse(good).is_some(), "{good:?}");
        }
        for bad in ["", " office", "a\nb", "a\u{202e}b", &"x".repeat(64)] {
            assert!(Name::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn keep_is_unlimited_or_whole_days() {
        for (text, keep) in [
            ("unlimited", Some(None)),
            ("400d", Some(Some(400))),
            ("48h", Some(Some(2))),
            ("2w", Some(Some(14))),
        ] {
            assert_eq!(KeepDays::parse(text).map(|k| k.0), keep, "{text:?}");
        }
        for bad in ["0d", "12h", "400", "none"] {
            assert!(KeepDays::parse(bad).is_none(), "{bad:?}");
        }
    }
}
