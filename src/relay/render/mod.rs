//! A message in the form of each service: pure, and within the service's documented limits.
//!
//! | Service | Limit that is kept | Mentions |
//! |---|---|---|
//! | Discord | `content` 2,000, embed 6,000 in all, its title 256, description 4,096, field 1,024 | `allowed_mentions` empty, `@` broken |
//! | Slack | text of a block 3,000, header 150, field 2,000 | all texts are `plain_text` or escaped, `@` broken |
//! | Telegram | 4,096 | no `parse_mode`, `@` broken |
//! | Microsoft Teams | 28 KB for all | texts are `TextRun`s, which know no markup |
//! | ntfy | 4,096 bytes | there are none |
//! | Mattermost | 4,000, a digest 16,383 | escaped, `@` broken |

mod cards;
mod chat;

use serde_json::{Value, json};

use super::card::{Card, Tone};
use super::template::Template;
use super::text::one_line;
use crate::config::RelayKind;

/// A body that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their type.
    pub content_type: &'static str,
}

/// Where within a service a message goes, for those that take that in the body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Telegram's chat.
    pub chat: &'a str,
    /// ntfy's topic.
    pub topic: &'a str,
}

/// Returns the body of a message. `template` is that of a relay of kind `http`.
///
/// # Errors
/// What is wrong with the template, for people; nothing else can go wrong.
pub fn render(
    kind: RelayKind,
    card: &Card,
    place: Place<'_>,
    template: Option<&Template>,
) -> Result<Body, String> {
    let value = match kind {
        RelayKind::Discord => cards::discord(card),
        RelayKind::Slack => cards::slack(card),
        RelayKind::Teams => cards::teams(card),
        RelayKind::Telegram => chat::telegram(card, place.chat),
        RelayKind::Ntfy => chat::ntfy(card, place.topic),
        RelayKind::Mattermost => chat::mattermost(card),
        RelayKind::Http => match template {
            Some(template) => {
                let bytes = template.render(card)?.into_bytes();
                return Ok(Body { bytes, content_type: "application/json" });
            }
            None => plain(card),
        },
    };
    Ok(Body { bytes: value.to_string().into_bytes(), content_type: "application/json" })
}

/// The body of a relay of kind `http` without a template: the event as it is, and the message as text.
fn plain(card: &Card) -> Value {
    json!({
        "id": card.id,
        "text": text(card),
        "summary": card.summary,
        "event": card.event,
    })
}

/// Returns title and facts in one line.
pub fn text(card: &Card) -> String {
    let facts = card.facts_line();
    if facts.is_empty() { card.title.clone() } else { one_line(&format!("{} · {facts}", card.title)) }
}

/// Returns the colour of a message as a number.
const fn colour(tone: Tone) -> u32 {
    match tone {
        Tone::Good => 0x002e_a44f,
        Tone::Doubtful => 0x00db_ab09,
        Tone::Bad => 0x00d7_3a49,
        Tone::Plain => 0x0058_65f2,
    }
}
