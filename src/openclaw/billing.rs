//! What a provider's dollars mean, as far as the gateway's configuration tells.
//!
//! Source: OpenClaw 2026.6.11 and 2026.9.6: `models.providers.*.auth`, `auth.profiles.*.mode` and `auth.order`, which
//! hold no secrets. Files of credentials are not read, so a login that only they know of is not seen.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::model::Billing;

/// Providers that are sold as a subscription, however one logs in.
const PLANS: [&str; 15] = [
    "byteplus-plan",
    "claude-cli",
    "codex",
    "codex-cli",
    "copilot-proxy",
    "github-copilot",
    "google-antigravity",
    "google-gemini-cli",
    "kimi-coding",
    "minimax-portal",
    "openai-codex",
    "qwen-portal",
    "stepfun-plan",
    "volcengine-plan",
    "xiaomi-token-plan",
];
/// Servers that run models on own machines.
const LOCAL_SERVERS: [&str; 5] = ["llama-cpp", "lmstudio", "ollama", "sglang", "vllm"];

/// How a provider is logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Login {
    /// A key that is billed by use, or a cloud's own credentials.
    Key,
    /// A token, which for some providers stands for a subscription.
    Token,
    /// A person's account.
    OAuth,
}

impl Login {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "api-key" | "api_key" | "aws-sdk" => Some(Self::Key),
            "token" => Some(Self::Token),
            "oauth" => Some(Self::OAuth),
            _ => None,
        }
    }
}

/// What a configuration says of a provider; holds neither its URL nor its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderFacts {
    /// How it is logged in to, if that is said.
    pub login: Option<Login>,
    /// Its URL leads to this machine or a private network.
    pub local: bool,
    /// One of its models has a price above 0.
    pub paid: bool,
}

impl ProviderFacts {
    fn with(&mut self, other: &Self) {
        self.login = self.login.or(other.login);
        self.local |= other.local;
        self.paid |= other.paid;
    }
}

/// The default meaning of each provider's dollars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillingDefaults(BTreeMap<String, ProviderFacts>);

impl BillingDefaults {
    /// Puts together what several files say; the first one wins.
    pub fn new<'a>(facts: impl IntoIterator<Item = &'a BTreeMap<String, ProviderFacts>>) -> Self {
        let mut all = Self::default();
        for (provider, facts) in facts.into_iter().flatten() {
            all.0.entry(provider.to_ascii_lowercase()).or_default().with(facts);
        }
        all
    }

    /// Returns what a provider's dollars mean.
    ///
    /// A proxy on this machine has a local URL too; a price above 0 tells that its tokens are paid for.
    #[must_use]
    pub fn of(&self, provider: &str) -> Billing {
        let provider = provider.trim().to_ascii_lowercase();
        let facts = self.0.get(&provider);
        let login = facts.and_then(|facts| facts.login);
        if login == Some(Login::OAuth) || PLANS.contains(&provider.as_str()) {
            return Billing::Subscription;
        }
        match login {
            // Only a setup token of a Claude subscription comes that way.
            Some(Login::Token) if provider == "anthropic" => return Billing::Subscription,
            Some(Login::Token | Login::Key) => return Billing::Metered,
            _ => {}
        }
        match facts {
            Some(facts) if facts.local && !facts.paid && provider != "litellm" => Billing::Local,
            None if LOCAL_SERVERS.contains(&provider.as_str()) => Billing::Local,
            _ => Billing::Metered,
        }
    }
}

/// Returns whether a provider of this name at a local URL runs models itself, so that a price of 0 is one.
pub(super) fn is_local_server(provider: &str) -> bool {
    LOCAL_SERVERS.iter().any(|known| provider.eq_ignore_ascii_case(known))
}

/// Returns how each provider is logged in to, by the profiles of `auth`.
pub(super) fn logins(auth: &Value) -> BTreeMap<String, Login> {
    let mut logins: BTreeMap<String, Login> = BTreeMap::new();
    let profiles = auth.get("profiles").and_then(Value::as_object);
    let login = |profile: &Value| {
        Some((profile.get("provider")?.as_str()?.to_ascii_lowercase(), Login::of(profile.get("mode")?)?))
    };
    // Without an order OpenClaw takes accounts before tokens before keys.
    for (provider, login) in profiles.into_iter().flatten().filter_map(|(_, profile)| login(profile)) {
        let best = logins.entry(provider).or_insert(login);
        *best = login.max(*best);
    }
    for (provider, order) in auth.get("order").and_then(Value::as_object).into_iter().flatten() {
        let first = order.get(0).and_then(Value::as_str).and_then(|id| profiles?.get(id)).and_then(login);
        if let Some((_, login)) = first {
            logins.insert(provider.to_ascii_lowercase(), login);
        }
    }
    logins
}

/// Returns whether a URL leads to this machine or a private network.
pub(super) fn is_local_url(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            host == "localhost" || [".localhost", ".local", ".internal"].iter().any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn urls() {
        for (url, local) in [
            ("http://127.0.0.1:11434/v1", true),
            ("http://user:pass@localhost:4000?x#y", true),
            ("http://[::1]:80/", true),
            ("https://192.168.0.7", true),
            ("http://host.docker.internal:11434", true),
            ("http://box.local/v1", true),
            ("https://api.example.com/localhost", false),
            ("https://localhost.example.com", false),
            ("http://8.8.8.8", false),
            ("${BASE_URL}", false),
            ("localhost", false),
            ("", false),
        ] {
            assert_eq!(is_local_url(url), local, "{url:?}");
        }
    }

    #[test]
    fn logins_follow_the_order_else_the_person() {
        let auth = json!({
            "profiles": {
                "a:key": {"provider": "Anthropic", "mode": "api_key"},
                "a:me": {"provider": "anthropic", "mode": "oauth"},
                "o:key": {"provider": "openai", "mode": "api_key"},
                "o:me": {"provider": "openai", "mode": "oauth"},
                "x": {"provider": "x", "mode": "new-mode"}, "y": 7,
            },
            "order": {"openai": ["o:key", "o:me"], "x": [], "z": "?"},
        });
        let expected = [("anthropic".to_owned(), Login::OAuth), ("openai".to_owned(), Login::Key)];
        assert_eq!(logins(&auth), expected.into());
        assert_eq!(logins(&json!(null)), BTreeMap::new());
    }

    #[test]
    fn what_dollars_mean_by_default() {
        let facts = |login, local, paid| ProviderFacts { login, local, paid };
        for (provider, facts, billing) in [
            ("anthropic", None, Billing::Metered),
            ("anthropic", Some(facts(Some(Login::OAuth), false, true)), Billing::Subscription),
            ("anthropic", Some(facts(Some(Login::Token), false, true)), Billing::Subscription),
            ("amazon-bedrock", Some(facts(Some(Login::Token), false, false)), Billing::Metered),
            ("openai-codex", None, Billing::Subscription),
            ("kimi-coding", Some(facts(Some(Login::Key), false, true)), Billing::Subscription),
            ("ollama", None, Billing::Local),
            ("ollama", Some(facts(None, false, false)), Billing::Metered),
            ("mine", Some(facts(None, true, false)), Billing::Local),
            ("mock", Some(facts(None, true, true)), Billing::Metered),
            ("litellm", Some(facts(None, true, false)), Billing::Metered),
            ("mine", Some(facts(Some(Login::Key), true, false)), Billing::Metered),
        ] {
            let map: BTreeMap<String, ProviderFacts> =
                facts.clone().map(|facts| (provider.to_uppercase(), facts)).into_iter().collect();
            assert_eq!(BillingDefaults::new([&map]).of(provider), billing, "{provider} {facts:?}");
        }
    }
}
