//! Services that show cards: Discord, Slack, Microsoft Teams.
//!
//! Sources: Discord's "Execute Webhook" and "Embed Limits", Slack's block kit reference, Microsoft's "Create incoming
//! webhooks with Workflows" and the schema of adaptive cards.

use serde_json::{Value, json};

use super::super::card::{Card, Tone};
use super::super::text::{Unit, code, fit, fit_lines, markdown, mrkdwn, mrkdwn_code, plain, verbatim};
use super::{colour, text};

/// Most of what a run said or of a table that goes into Discord's description, so that all texts of the embed together
/// stay below 6,000.
const DISCORD_TEXT: usize = 3_800;
/// The same for Teams, in bytes and in lines, each of which is a block of its own: even if every byte is escaped, the
/// card is below 28 KB.
const TEAMS_TEXT: usize = 6_000;
const TEAMS_LINES: usize = 80;

/// Body of Discord's webhooks.
pub fn discord(card: &Card) -> Value {
    let mut embed = json!({
        "color": colour(card.tone),
        "footer": { "text": fit(&card.footer, 200, Unit::Utf16, plain) },
    });
    let fields: Vec<Value> = card
        .facts
        .iter()
        .take(10)
        .map(|(name, value)| {
            json!({ "name": name, "value": fit(value, 120, Unit::Utf16, markdown), "inline": true })
        })
        .collect();
    if !fields.is_empty() {
        embed["fields"] = fields.into();
    }
    if let Some((table, _)) = &card.table {
        let table = fit_lines(table, DISCORD_TEXT - 8, Unit::Utf16, code);
        embed["description"] = format!("```\n{table}\n```").into();
    } else if let Some(summary) = &card.summary {
        embed["description"] = fit(summary, DISCORD_TEXT, Unit::Utf16, markdown).into();
    }
    json!({
        "content": fit(&card.title, 2_000, Unit::Utf16, markdown),
        "allowed_mentions": { "parse": [] },
        "embeds": [embed],
    })
}

/// Body of Slack's incoming webhooks.
pub fn slack(card: &Card) -> Value {
    let plain_text = |text: &str, limit| json!({ "type": "plain_text", "text": fit(text, limit, Unit::Utf16, plain), "emoji": false });
    let mut blocks = vec![json!({ "type": "header", "text": plain_text(&card.title, 150) })];
    if !card.facts.is_empty() {
        let field = |(name, value): &(&str, String)| plain_text(&format!("{name}: {value}"), 2_000);
        let fields: Vec<Value> = card.facts.iter().take(10).map(field).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some((table, _)) = &card.table {
        let table = fit_lines(table, 3_000 - 8, Unit::Utf16, mrkdwn_code);
        let text = json!({ "type": "mrkdwn", "text": format!("```\n{table}\n```"), "verbatim": true });
        blocks.push(json!({ "type": "section", "text": text }));
    } else if let Some(summary) = &card.summary {
        blocks.push(json!({ "type": "section", "text": plain_text(summary, 3_000) }));
    }
    blocks.push(json!({ "type": "context", "elements": [plain_text(&card.footer, 300)] }));
    json!({ "text": fit(&text(card), 1_000, Unit::Utf16, mrkdwn), "blocks": blocks })
}

/// Body of workflows of Microsoft Teams: one adaptive card. Its texts are runs, in which nothing is markup.
pub fn teams(card: &Card) -> Value {
    let run = |text: String, more: Value| {
        let mut run = json!({ "type": "TextRun", "text": text });
        if let (Value::Object(run), Value::Object(more)) = (&mut run, more) {
            run.extend(more);
        }
        json!({ "type": "RichTextBlock", "inlines": [run] })
    };
    let colour = match card.tone {
        Tone::Good => "good",
        Tone::Doubtful => "warning",
        Tone::Bad => "attention",
        Tone::Plain => "default",
    };
    let title = fit(&card.title, 500, Unit::Bytes, verbatim);
    let mut body = vec![run(title, json!({ "weight": "bolder", "size": "medium", "color": colour }))];
    for (name, value) in &card.facts {
        body.push(run(fit(&format!("{name}: {value}"), 500, Unit::Bytes, verbatim), json!({})));
    }
    let mut lines = |text: &str, look: &Value| {
        // A run of text knows no line breaks.
        let text = fit_lines(text, TEAMS_TEXT, Unit::Bytes, verbatim);
        let left_out = (text.lines().count() > TEAMS_LINES).then_some("…");
        for (at, line) in text.lines().take(TEAMS_LINES).chain(left_out).enumerate() {
            let mut block = run(line.to_owned(), look.clone());
            block["spacing"] = if at == 0 { "default" } else { "none" }.into();
            body.push(block);
        }
    };
    if let Some((table, _)) = &card.table {
        lines(table, &json!({ "fontType": "monospace", "size": "small" }));
    } else if let Some(summary) = &card.summary {
        lines(summary, &json!({}));
    }
    body.push(run(
        fit(&card.footer, 500, Unit::Bytes, verbatim),
        json!({ "isSubtle": true, "size": "small" }),
    ));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
            },
        }],
    })
}
