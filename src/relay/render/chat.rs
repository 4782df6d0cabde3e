//! Services that show text: Telegram, ntfy, Mattermost.
//!
//! Sources: Telegram's Bot API (`sendMessage`, `MessageEntity`), ntfy's "Publish as JSON", Mattermost's "Incoming
//! webhooks".

use serde_json::{Value, json};

use super::super::card::{Card, Tone};
use super::super::text::{Unit, code, fit, fit_lines, markdown, plain, verbatim};

/// Longest text of Telegram's, in UTF-16 code units.
const TELEGRAM: usize = 4_096;
/// Longest message of ntfy's, in bytes; a longer one becomes a file.
const NTFY: usize = 4_096;
/// Longest post of Mattermost's since version 5.0, and what all versions take.
const MATTERMOST: usize = 16_383;
const MATTERMOST_SHORT: usize = 4_000;

/// Body of Telegram's `sendMessage`. What is bold or of one width is said beside the text, which holds no markup.
pub fn telegram(card: &Card, chat: &str) -> Value {
    let units = |text: &str| text.encode_utf16().count();
    let title = fit(&card.title, 256, Unit::Utf16, plain);
    let mut text = title.clone();
    let mut entities = vec![json!({ "type": "bold", "offset": 0, "length": units(&title) })];
    for (name, value) in &card.facts {
        text.push('\n');
        text.push_str(&fit(&format!("{name}: {value}"), 200, Unit::Utf16, plain));
    }
    let footer = fit(&card.footer, 200, Unit::Utf16, plain);
    let room = TELEGRAM - units(&text) - units(&footer) - 4;
    if let Some((table, _)) = &card.table {
        let table = fit_lines(table, room, Unit::Utf16, plain);
        let (offset, length) = (units(&text) + 2, units(&table));
        entities.push(json!({ "type": "pre", "offset": offset, "length": length }));
        text.push_str(&format!("\n\n{table}"));
    } else if let Some(summary) = &card.summary {
        text.push_str(&format!("\n\n{}", fit(summary, room, Unit::Utf16, plain)));
    }
    text.push_str(&format!("\n\n{footer}"));
    json!({
        "chat_id": chat,
        "text": text,
        "entities": entities,
        "link_preview_options": { "is_disabled": true },
    })
}

/// Body of ntfy, posted to the server's root.
pub fn ntfy(card: &Card, topic: &str) -> Value {
    let facts: Vec<String> = card.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut message = facts.join("\n");
    if let Some((table, _)) = &card.table {
        message.push_str(&fit_lines(table, NTFY - 600, Unit::Bytes, verbatim));
    } else if let Some(summary) = &card.summary {
        message.push_str(&format!("\n\n{summary}"));
    }
    message = fit(message.trim(), NTFY - 300, Unit::Bytes, verbatim);
    message.push_str(&format!("\n\n{}", fit(&card.footer, 250, Unit::Bytes, verbatim)));
    let priority = if card.tone == Tone::Bad { 4 } else { 3 };
    json!({
        "topic": topic,
        "title": fit(&card.title, 250, Unit::Bytes, verbatim),
        "message": message.trim_start(),
        "priority": priority,
    })
}

/// Body of Mattermost's incoming webhooks.
pub fn mattermost(card: &Card) -> Value {
    let mut text = format!("**{}**", fit(&card.title, 250, Unit::Utf16, markdown));
    for (name, value) in &card.facts {
        text.push_str(&format!("\n{name}: {}", fit(value, 200, Unit::Utf16, markdown)));
    }
    let footer = fit(&card.footer, 200, Unit::Utf16, markdown);
    let left = |limit: usize, text: &str| limit - text.encode_utf16().count() - 210;
    if let Some((_, table)) = &card.table {
        // It is Markdown already.
        text.push_str(&format!("\n\n{}", fit_lines(table, left(MATTERMOST, &text), Unit::Utf16, plain)));
    } else if let Some(summary) = &card.summary {
        let summary = fit(summary, left(MATTERMOST_SHORT, &text), Unit::Utf16, code);
        text.push_str(&format!("\n```text\n{summary}\n```"));
    }
    text.push_str(&format!("\n\n{footer}"));
    json!({ "text": text })
}
