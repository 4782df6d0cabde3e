//! Patterns of names: `*` stands for any characters, also none, and `?` for one.

/// A pattern, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    wild: bool,
}

impl Pattern {
    /// Returns the pattern that the text is. Every text is one; without wildcards it matches itself.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), wild: is_wild(text) }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns how much the pattern says: its characters that are no wildcards. The longest wins.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.text.chars().filter(|c| !matches!(c, '*' | '?')).count()
    }

    /// Returns whether the name fits. Takes at most length × length steps, whatever the pattern.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if !self.wild {
            return self.text == name;
        }
        let mut rest = name.chars();
        let mut pattern = self.text.chars();
        // Where to go on if the last `*` takes one character more.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            match pattern.next() {
                Some('*') => {
                    retry = Some((pattern.clone(), rest.clone()));
                    continue;
                }
                wanted => match (wanted, rest.next()) {
                    (None, None) => return true,
                    (Some(wanted), Some(c)) if wanted == '?' || wanted == c => continue,
                    _ => {}
                },
            }
            let Some((after_star, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            pattern = after_star.clone();
            rest = from.clone();
        }
    }
}

/// Returns whether a text has wildcards.
pub(super) fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_or_do_not() {
        for (pattern, name, fits) in [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*", "anthropic/claude:beta", true),
            ("claude-*", "claude-opus-4-6", true),
            ("claude-*", "claude", false),
            ("*-mini", "gpt-5-mini", true),
            ("*-mini", "gpt-5-mini-2026", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbX", false),
            ("gpt-?", "gpt-5", true),
            ("gpt-?", "gpt-", false),
            ("?", "ü", true),
            ("**a", "bba", true),
            ("*aab", "aaaab", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), fits, "{pattern:?} {name:?}");
        }
        let hostile = Pattern::new(&"*a".repeat(500));
        assert!(!hostile.matches(&"a".repeat(499)), "and this ends");
    }

    #[test]
    fn what_is_not_wild_weighs() {
        assert_eq!(Pattern::new("cl?ude-*").weight(), 6);
    }
}
