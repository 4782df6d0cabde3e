//! `[webhook]`: where gateways may post notices of their runs, and with which tokens.
//!
//! Invariant: no token appears in an error, in `Debug` output or in what is explained.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::env::WEBHOOK_TOKEN;
use super::otlp::{check_url, mask_url};
use super::resolve::Resolver;
use super::secret::{ReadFile, SecretFile};
use super::value::Switch;
use super::{ConfigError, Origin};
use crate::model::is_gateway_name;

/// Our receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The tokens that it takes; at least one. Several are valid at once, so that they can be changed without a gap.
    pub tokens: Vec<Token>,
    /// Whether a token may also stand in the query as `?token=`, where proxies log it.
    pub query_token: bool,
    /// Its address as gateways know it, without a path of its own behind; `None`: not known, so that nobody can tell which
    /// jobs post here.
    pub url: Option<String>,
    /// PEM files with its certificate chain and its private key; `None`: it speaks plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// What a gateway shows to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The gateway that whoever shows it is; `None`: whichever it says.
    pub gateway: Option<String>,
    /// The secret itself.
    pub secret: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("gateway", &self.gateway).field("secret", &"***").finish()
    }
}

impl Resolver<'_> {
    pub(super) fn webhook(&mut self, read: ReadFile<'_>) -> Result<Option<WebhookConfig>, ConfigError> {
        const LISTEN: &str = "webhook.listen";
        let Some(listen) = self.optional::<SocketAddr>(LISTEN, "off")? else { return Ok(None) };
        let tokens = self.tokens(read)?;
        let query_token = self.value("webhook.query_token", Switch(false))?.0;
        let cert_file = self.optional_path("webhook.cert_file", "none")?;
        let key_file = self.optional_path("webhook.key_file", "none")?;
        for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            let (one, other) = (format!("webhook.{one}"), format!("webhook.{other}"));
            if let Some(raw) = self.raw(&one).filter(|_| self.raw(&other).is_none()) {
                return Err(
                    raw.invalid(&one, format!("a certificate needs its private key; give {other} too"))
                );
            }
        }
        let tls = cert_file.zip(key_file);
        let url = self.own_url(listen, tls.is_some())?;
        Ok(Some(WebhookConfig { listen, tokens, query_token, url, tls }))
    }

    fn tokens(&mut self, read: ReadFile<'_>) -> Result<Vec<Token>, ConfigError> {
        const KEY: &str = "webhook.token_file";
        let path = self.optional_path(KEY, "none")?;
        let mut tokens = Vec::new();
        if let Some((path, raw)) = path.zip(self.raw(KEY)) {
            tokens = (SecretFile { key: KEY, path, origin: &raw.origin }).tokens(read)?;
        }
        if let Some(raw) = self.inputs.env.get(WEBHOOK_TOKEN) {
            self.note("webhook.token", "***", raw.origin);
            tokens.push(Token { gateway: None, secret: raw.text });
        }
        match self.raw("webhook.listen") {
            Some(raw) if tokens.is_empty() => {
                let problem = format!(
                    "a receiver needs a token; give a file with webhook.token_file, or the token in {WEBHOOK_TOKEN}"
                );
                Err(raw.conflict("webhook.listen", problem))
            }
            _ => Ok(tokens),
        }
    }

    /// What gateways call us: what is configured, else the address if it is one that can be called.
    fn own_url(&mut self, listen: SocketAddr, is_tls: bool) -> Result<Option<String>, ConfigError> {
        const KEY: &str = "webhook.url";
        if let Some(raw) = self.raw(KEY) {
            check_url(KEY, &raw)?;
            self.note(KEY, mask_url(&raw.text), raw.origin);
            return Ok(Some(raw.text.trim_end_matches('/').to_owned()));
        }
        let scheme = if is_tls { "https" } else { "http" };
        let can_be_called = !listen.ip().is_unspecified() && listen.port() != 0;
        let url = can_be_called.then(|| format!("{scheme}://{listen}"));
        self.note(
            KEY,
            url.as_deref().unwrap_or("not known: missing notices are not noticed"),
            Origin::Default,
        );
        Ok(url)
    }
}

impl SecretFile<'_> {
    /// Returns the tokens of a file: one a line, with the gateway that it stands for before it if it stands for one.
    fn tokens(&self, read: ReadFile<'_>) -> Result<Vec<Token>, ConfigError> {
        let text = self.text(read)?;
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let tokens = lines.map(|(at, line)| {
            let (gateway, secret) = match line.split_once([' ', '\t']) {
                Some((gateway, secret)) => (Some(gateway), secret.trim_start()),
                None => (None, line),
            };
            let is_name = gateway.is_none_or(is_gateway_name);
            if !is_name || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                let wanted = "a token, or a gateway's name (a-z, 0-9, `.`, `_`, `-`), a space and its token";
                return Err(self.wrong(format!("expected {wanted} in line {} of the file", at + 1)));
            }
            Ok(Token { gateway: gateway.map(ToOwned::to_owned), secret: secret.to_owned() })
        });
        let tokens: Vec<Token> = tokens.collect::<Result<_, _>>()?;
        if tokens.is_empty() {
            return Err(self.wrong("expected at least one line with a token in the file".to_owned()));
        }
        Ok(tokens)
    }
}
