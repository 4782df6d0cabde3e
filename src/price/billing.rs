//! What the user says that a provider's dollars mean.

use super::Pattern;
use crate::model::Billing;

/// Patterns of providers with what their dollars mean: the exact name wins, then the longest pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillingRules {
    /// Best first.
    rules: Vec<(Pattern, Billing)>,
}

impl BillingRules {
    /// Returns the rules, in whatever order they are given; of equally long patterns the first wins.
    pub fn new<'a>(rules: impl IntoIterator<Item = (&'a str, Billing)>) -> Self {
        let rules = rules.into_iter();
        let mut rules: Vec<(Pattern, Billing)> = rules
            .map(|(pattern, billing)| (Pattern::new(&pattern.trim().to_ascii_lowercase()), billing))
            .collect();
        rules.sort_by_key(|(pattern, _)| {
            (super::pattern::is_wild(pattern.as_str()), std::cmp::Reverse(pattern.weight()))
        });
        Self { rules }
    }

    /// Returns what is said of a provider; `None`: nothing.
    #[must_use]
    pub fn of(&self, provider: &str) -> Option<Billing> {
        let provider = provider.trim().to_ascii_lowercase();
        self.rules.iter().find(|(pattern, _)| pattern.matches(&provider)).map(|(_, billing)| *billing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_rule_wins() {
        let rules = BillingRules::new([
            ("*", Billing::Subscription),
            ("ollama*", Billing::Local),
            ("Ollama-Cloud", Billing::Metered),
        ]);
        for (provider, billing) in [
            ("ollama", Billing::Local),
            ("OLLAMA-2", Billing::Local),
            ("ollama-cloud", Billing::Metered),
            ("openai", Billing::Subscription),
        ] {
            assert_eq!(rules.of(provider), Some(billing), "{provider}");
        }
        assert_eq!(BillingRules::default().of("openai"), None);
    }
}
