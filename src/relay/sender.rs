//! One message to one service, and what became of it.

use ring::hmac;

use super::RelayError;
use super::answer::{Verdict, verdict};
use super::card::Card;
use super::render::{Body, Place, render};
use super::template::Template;
use crate::config::{RelayConfig, RelayKind};
use crate::export::{PostClient, TlsFiles};
use crate::model::{RelayMessage, UnixMs};
use crate::telemetry::ExportFailure;

/// The header with what a message is known by, the same however often it is sent.
pub const ID_HEADER: &str = "x-openclaw-usage-id";
/// The header with the time of sending, in seconds since 1970.
pub const TIME_HEADER: &str = "x-openclaw-usage-timestamp";
/// The header with the signature: `sha256=` and the HMAC of `TIMESTAMP.BODY` in hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-openclaw-usage-signature";

/// Sends messages.
pub trait Deliver: Send {
    /// Sends a message at `now`, and returns what became of it.
    fn deliver(&mut self, message: &RelayMessage, now: UnixMs) -> impl Future<Output = Verdict> + Send;
}

/// Sends messages to the service of one relay.
pub struct Sender {
    config: RelayConfig,
    /// Where to, and ntfy's topic.
    url: String,
    topic: String,
    template: Option<Template>,
    client: Option<PostClient>,
}

impl Sender {
    /// Prepares a relay. It connects when there is something to send.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub fn new(config: RelayConfig) -> Result<Self, RelayError> {
        let template = config.template.as_deref().map(Template::new).transpose();
        let template =
            template.map_err(|problem| RelayError::Template { relay: config.name.clone(), problem })?;
        let (url, topic) = match config.kind {
            RelayKind::Ntfy => {
                topic(config.url.reveal()).ok_or_else(|| RelayError::Topic { relay: config.name.clone() })?
            }
            _ => (config.url.reveal().to_owned(), String::new()),
        };
        Ok(Self { config, url, topic, template, client: None })
    }

    fn client(&mut self) -> Result<&PostClient, String> {
        if self.client.is_none() {
            let token = self.config.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
            let headers = token.iter().map(|token| ("authorization", token.as_str()));
            let tls = TlsFiles { ca_file: self.config.ca_file.clone(), ..TlsFiles::default() };
            let client = PostClient::new(&self.url, headers, self.config.timeout_ms, &tls);
            self.client = Some(client.map_err(|error| error.to_string())?);
        }
        self.client.as_ref().ok_or_else(String::new)
    }

    /// Returns the headers of a body of one's own that is sent at `now`.
    fn headers(&self, id: &str, body: &Body, now: UnixMs) -> Vec<(&'static str, String)> {
        if self.config.kind != RelayKind::Http {
            return Vec::new();
        }
        let seconds = now.0.div_euclid(1_000).to_string();
        let mut headers = vec![(ID_HEADER, id.to_owned())];
        if let Some(key) = &self.config.hmac_key {
            headers.push((SIGNATURE_HEADER, sign(key.reveal(), &seconds, &body.bytes)));
        }
        headers.push((TIME_HEADER, seconds));
        headers
    }
}

impl Deliver for Sender {
    async fn deliver(&mut self, message: &RelayMessage, now: UnixMs) -> Verdict {
        let kind = self.config.kind;
        let card = Card::new(&message.content, message.summary.as_deref());
        let chat = self.config.chat.clone().unwrap_or_default();
        let place = Place { chat: &chat, topic: &self.topic };
        let body = match render(kind, &card, place, self.template.as_ref()) {
            Ok(body) => body,
            Err(problem) => {
                let text = format!("the template failed: {problem}");
                return Verdict::Refused { status: None, failure: ExportFailure::Refused, text };
            }
        };
        let headers = self.headers(&card.id, &body, now);
        let client = match self.client() {
            Ok(client) => client,
            // Files can be put right under a running program.
            Err(text) => {
                let failure = ExportFailure::Tls;
                return Verdict::Later { after_ms: Some(60_000), failure, counts: false, text };
            }
        };
        match client.post(body.bytes, body.content_type, &headers).await {
            Ok(answer) => verdict(kind, &answer, now),
            Err(error) => {
                if matches!(error.failure, ExportFailure::Timeout | ExportFailure::Tls) {
                    // A dead connection is not used again, and renewed certificates are read.
                    self.client = None;
                }
                let text = error.to_string();
                Verdict::Later { after_ms: None, failure: error.failure, counts: false, text }
            }
        }
    }
}

/// Returns the value of the signature's header.
#[must_use]
pub fn sign(key: &str, seconds: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    context.update(seconds.as_bytes());
    context.update(b".");
    context.update(body);
    let digits = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256={digits}")
}

/// Splits the URL of a topic into that of its server and its name.
fn topic(url: &str) -> Option<(String, String)> {
    let (server, topic) = url.trim_end_matches('/').rsplit_once('/')?;
    let plain = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let has_host = server.split_once("://").is_some_and(|(_, host)| !host.is_empty());
    (has_host && plain && !topic.is_empty()).then(|| (format!("{server}/"), topic.to_owned()))
}
