//! What messages look like, and that nothing in them is more than text.

use super::super::card::{Tone, duration};
use super::super::matcher::Matcher;
use super::super::sender::sign;
use super::super::text::{Unit, fit, fit_lines, markdown, mrkdwn, one_line, plain, readable, verbatim};
use super::*;
use crate::model::{NanoUsd, Status};

const EVERY: [RelayKind; 7] = [
    RelayKind::Discord,
    RelayKind::Slack,
    RelayKind::Telegram,
    RelayKind::Teams,
    RelayKind::Ntfy,
    RelayKind::Mattermost,
    RelayKind::Http,
];

#[test]
fn a_run_is_told_for_people() {
    let card = Card::new(&run_line(&json!({})), None);
    assert_eq!((card.tone, card.title.as_str()), (Tone::Good, "✅ daily digest: ok"));
    assert_eq!(
        card.facts_line(),
        "Status: ok · Duration: 1 min 32 s · Tokens: 12,345 (12,000 in, 345 out) · Cost: $0.42 · Model: anthropic/claude-opus-4-6"
    );
    assert_eq!(card.footer, "office · 2026-11-21 08:00 UTC");
    for (changes, title) in [
        (
            json!({"severity": "ERROR", "openclaw.status": "error", "openclaw.reason": "timeout"}),
            "❌ daily digest: failed (timeout)",
        ),
        (json!({"openclaw.status": "skipped"}), "✅ daily digest: was skipped"),
        (json!({"severity": "WARN", "openclaw.status": "unrecorded"}), "⚠️ daily digest: left no record"),
        (json!({"openclaw.job.name": ""}), "✅ j-1: ok"),
        (json!({"openclaw.job.name": "two\nlines\r\n\u{1b}[31mred\u{202e}"}), "✅ two lines [31mred: ok"),
    ] {
        assert_eq!(Card::new(&run_line(&changes), None).title, title);
    }
    let least = Card::new(&run_line(&json!({"openclaw.cost.provenance": "lower_bound"})), None);
    assert!(least.facts_line().contains("Cost: at least $0.42"));
    let incident = json!({
        "timestamp": "2026-11-21T08:00:01.500Z", "severity": "WARN", "event.name": "openclaw.cron.job_auto_disabled",
        "message": "cron: job disabled after repeated errors [00000000000000ab]", "openclaw.job.name": "daily",
    });
    let card = Card::new(&incident.to_string(), None);
    assert_eq!(card.title, "⚠️ cron: job disabled after repeated errors");
    assert_eq!(card.facts_line(), "Job: daily");
    assert_eq!(Card::new("no JSON", None).facts.len(), 0, "and nothing breaks");
}

#[test]
fn durations_are_short() {
    for (ms, text) in
        [(0, "0 ms"), (999, "999 ms"), (4_250, "4.2 s"), (60_000, "1 min 0 s"), (7_500_000, "2 h 5 min")]
    {
        assert_eq!(duration(ms), text);
    }
}

#[test]
fn texts_are_cut_where_they_may_be() {
    for (text, limit, unit, expected) in [
        ("abc", 3, Unit::Utf16, "abc"),
        ("abcd", 3, Unit::Utf16, "ab…"),
        ("a😀b", 4, Unit::Utf16, "a😀b"),
        ("a😀bc", 4, Unit::Utf16, "a😀…"),
        ("a😀bc", 3, Unit::Utf16, "a…"),
        ("äöü", 6, Unit::Bytes, "äöü"),
        ("äöüa", 6, Unit::Bytes, "ä…"),
        ("abc", 0, Unit::Utf16, ""),
        ("", 0, Unit::Utf16, ""),
    ] {
        assert_eq!(fit(text, limit, unit, verbatim), expected, "{text:?} {limit}");
    }
    assert_eq!(fit("a<b", 5, Unit::Utf16, mrkdwn), "a…", "no escape is torn");
    assert_eq!(fit("**", 3, Unit::Utf16, markdown), "\\*…");
    assert_eq!(fit_lines("one\ntwo\nthree", 10, Unit::Utf16, verbatim), "one\ntwo\n…");
    assert_eq!(fit("@everyone", 20, Unit::Utf16, plain), "@\u{200b}everyone");
    assert_eq!(one_line(" a\u{0}b \n\t c\u{202e}d\u{feff} "), "a b c d");
    assert_eq!(readable("a\r\nb\u{1b}[2J\u{200b}@x\tz\n"), "a\nb[2J@x\tz");
}

/// What a hostile name or summary might hold.
const HOSTILE: &str = "@everyone @here <!channel> <!here> <@U123> <#C1|x> @channel @all [x](http://evil) ```code``` \
                       **bold** _it_ \u{202e}rtl \n\nnew & <script> {{ 7 * 7 }} {% for x in y %} \"quoted\" \\";

#[test]
fn nothing_of_others_is_markup_or_a_mention() {
    let line = run_line(
        &json!({"openclaw.job.name": HOSTILE, "openclaw.model": HOSTILE, "openclaw.gateway": HOSTILE}),
    );
    let card = Card::new(&line, Some(HOSTILE));
    for kind in EVERY {
        let text = body(kind, &card).to_string();
        let raw = kind == RelayKind::Http;
        if matches!(kind, RelayKind::Discord | RelayKind::Slack | RelayKind::Telegram | RelayKind::Mattermost)
        {
            for mention in ["@everyone", "@here", "@channel", "@all", "<@U123>"] {
                assert!(!text.contains(mention), "{mention} in {kind:?}: {text}");
            }
        }
        assert!(raw || !text.contains('\u{202e}'), "{kind:?}");
    }
    let discord = body(RelayKind::Discord, &card);
    assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
    let description = discord["embeds"][0]["description"].as_str().unwrap();
    assert!(
        description.contains("\\`\\`\\`code") && description.contains("\\[x\\]\\(http\\:"),
        "{description}"
    );
    let slack = body(RelayKind::Slack, &card);
    assert!(!slack["text"].as_str().unwrap().contains('<'));
    for block in slack["blocks"].as_array().unwrap() {
        assert_ne!(block["text"]["type"], "mrkdwn", "texts of others are plain");
    }
    let telegram = body(RelayKind::Telegram, &card);
    assert_eq!(telegram.get("parse_mode"), None);
    let teams = body(RelayKind::Teams, &card).to_string();
    assert!(!teams.contains("\"TextBlock\"") && !teams.contains("FactSet"), "these know markup");
    let post = body(RelayKind::Mattermost, &card)["text"].as_str().unwrap().to_owned();
    assert_eq!(post.matches("```").count(), 2, "the block of code is ours and whole: {post}");
}

#[test]
fn every_form_keeps_its_service_s_limit() {
    let long = "wörds & <more> \"of\" them *_~`|\n".repeat(2_000);
    let name = "n@me😀<".repeat(50);
    let line =
        run_line(&json!({"openclaw.job.name": name, "openclaw.model": name, "openclaw.gateway": name}));
    let digest = json!({
        "timestamp": "2026-11-21T08:00:00.000Z", "severity": "INFO", "event.name": "openclaw.usage.digest",
        "message": name, "openclaw.gateway": name, "table": long, "markdown": long, "openclaw.event.id": "d",
    });
    let units = |value: &Value| value.as_str().unwrap().encode_utf16().count();
    for card in [Card::new(&line, Some(&long)), Card::new(&digest.to_string(), None)] {
        let discord = body(RelayKind::Discord, &card);
        let embed = &discord["embeds"][0];
        let description = units(&embed["description"]);
        assert!((3_000..4_096).contains(&description) && units(&discord["content"]) <= 2_000);
        let fields = embed["fields"].as_array().cloned().unwrap_or_default();
        let fields: usize = fields.iter().map(|field| units(&field["name"]) + units(&field["value"])).sum();
        assert!(description + fields + units(&embed["footer"]["text"]) <= 6_000);
        let slack = body(RelayKind::Slack, &card);
        let sections: Vec<usize> = slack["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|b| b.get("text").is_some())
            .map(|b| units(&b["text"]["text"]))
            .collect();
        assert!(sections[0] <= 150 && (2_500..=3_000).contains(&sections[1]), "{sections:?}");
        let telegram = body(RelayKind::Telegram, &card);
        assert!((3_500..=4_096).contains(&units(&telegram["text"])));
        for entity in telegram["entities"].as_array().unwrap() {
            let end = entity["offset"].as_u64().unwrap() + entity["length"].as_u64().unwrap();
            assert!(end <= units(&telegram["text"]) as u64);
        }
        let teams = body(RelayKind::Teams, &card).to_string();
        assert!((6_000..28 * 1024).contains(&teams.len()), "{}", teams.len());
        let ntfy = body(RelayKind::Ntfy, &card);
        assert!((2_500..=4_096).contains(&ntfy["message"].as_str().unwrap().len()));
        let mattermost = units(&body(RelayKind::Mattermost, &card)["text"]);
        let most = if card.table.is_some() { 16_383 } else { 4_000 };
        assert!((most * 3 / 4..=most).contains(&mattermost), "{mattermost}");
    }
}

#[test]
fn a_digest_is_a_table_where_markdown_has_none() {
    let digest = json!({
        "timestamp": "2026-11-21T08:00:00.000Z", "severity": "INFO", "event.name": "openclaw.usage.digest",
        "message": "Fri 2026-11-20: 12 runs, $1.20", "openclaw.gateway": "office", "openclaw.event.id": "d",
        "table": "job    cost\ndaily  $1.20", "markdown": "| job | cost |\n| --- | ---: |\n| daily | $1.20 |",
    });
    let card = Card::new(&digest.to_string(), None);
    assert_eq!(card.title, "Fri 2026-11-20: 12 runs, $1.20");
    let block = "```\njob    cost\ndaily  $1.20\n```";
    assert_eq!(body(RelayKind::Discord, &card)["embeds"][0]["description"], block);
    assert_eq!(body(RelayKind::Slack, &card)["blocks"][1]["text"]["text"], block);
    let telegram = body(RelayKind::Telegram, &card);
    let pre = &telegram["entities"][1];
    let at = usize::try_from(pre["offset"].as_u64().unwrap()).unwrap();
    assert!(telegram["text"].as_str().unwrap()[at..].starts_with("job    cost"), "{telegram}");
    let teams = body(RelayKind::Teams, &card)["attachments"][0]["content"]["body"].clone();
    assert_eq!(teams[1]["inlines"][0]["text"], "job    cost", "a line is a block");
    assert_eq!(
        (&teams[2]["inlines"][0]["text"], &teams[2]["spacing"]),
        (&json!("daily  $1.20"), &json!("none"))
    );
    let worst = "\"\n".repeat(5_000);
    assert!(
        body(RelayKind::Teams, &Card::new(&run_line(&json!({})), Some(&worst))).to_string().len() < 28 * 1024
    );
    let post = body(RelayKind::Mattermost, &card)["text"].as_str().unwrap().to_owned();
    assert!(post.contains("\n\n| job | cost |\n| --- | ---: |\n| daily | $1.20 |\n\n"), "{post}");
    assert_eq!(body(RelayKind::Http, &card)["event"]["markdown"], digest["markdown"]);
}

#[test]
fn templates_make_json_of_whatever_they_are_given() {
    let card = Card::new(&run_line(&json!({"openclaw.job.name": HOSTILE})), Some(HOSTILE));
    let text = r#"{"job": {{ job }}, "says": {{ summary }}, "usd": {{ cost_usd }}, "sum": {{ tokens.total }},
        "long": {{ duration_ms > 60000 }}, "raw": {{ event["openclaw.run.duration_ms"] }}, "kind": {{ kind }},
        "upper": {{ status|upper }}, "nothing": {{ agent }}}"#;
    let made: Value = serde_json::from_str(&from_template(text, &card).unwrap()).expect("JSON");
    assert_eq!(made["job"], HOSTILE, "as it is, and nothing of it is a template");
    assert_eq!(made["usd"], "0.42");
    assert_eq!((&made["sum"], &made["raw"], &made["kind"]), (&json!(12_345), &json!(92_000), &json!("run")));
    assert_eq!((&made["long"], &made["upper"], &made["nothing"]), (&json!(true), &json!("OK"), &json!("")));
    for (text, problem) in [
        ("{{ job", "unexpected end of input, expected end of variable block in line 1"),
        ("\n{% if %}", "unexpected end of block in line 2"),
        ("{{ job|nonsense }}", "unknown filter in line 1"),
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "engine ran out of fuel in line 1",
        ),
    ] {
        assert_eq!(from_template(text, &card).unwrap_err(), problem, "{text}");
    }
}

#[test]
fn a_signature_is_that_of_time_and_body() {
    // printf '1.body' | openssl dgst -sha256 -hmac key
    let expected = "sha256=91b5374b153842ad05b2c4eab9349b8321b14703165bd3fb8b034dfb8be98ae5";
    assert_eq!(sign("key", "1", b"body"), expected);
}

#[test]
fn a_relay_passes_on_what_it_is_asked_to() {
    let failed = json!({"severity": "ERROR", "openclaw.status": "error"});
    let with =
        |matches: Vec<RelayMatch>| Matcher::new(&RelayConfig { matches, ..config(RelayKind::Http) }).unwrap();
    let status = RelayMatch { status: vec![Status::Error], ..RelayMatch::default() };
    let dear = RelayMatch { cost_above: Some(NanoUsd(420_000_000)), ..RelayMatch::default() };
    let long = RelayMatch { duration_above_ms: Some(91_999), ..RelayMatch::default() };
    let job = RelayMatch { jobs: vec!["x".into(), "daily *".into()], ..RelayMatch::default() };
    let both = RelayMatch { jobs: vec!["j-?".into()], status: vec![Status::Error], ..RelayMatch::default() };
    for (matches, changes, wanted) in [
        (vec![], json!({}), true),
        (vec![status.clone()], json!({}), false),
        (vec![status.clone()], failed.clone(), true),
        (vec![dear.clone()], json!({}), false),
        (vec![dear.clone()], json!({"openclaw.cost.usd": "0.420000001"}), true),
        (vec![dear.clone()], json!({"openclaw.cost.usd": ""}), false),
        (vec![long.clone()], json!({}), true),
        (vec![long], json!({"openclaw.run.duration_ms": null}), false),
        (vec![job], json!({}), true),
        (vec![both.clone()], json!({}), false),
        (vec![both], failed.clone(), true),
        (vec![status, dear], json!({"openclaw.cost.usd": "5"}), true),
    ] {
        assert_eq!(with(matches.clone()).wants(&run_line(&changes)), wanted, "{matches:?} {changes}");
    }
    let incident = json!({"event.name": "openclaw.cron.webhook_delivery_failed"}).to_string();
    let of = |events: &[&str]| RelayConfig {
        events: events.iter().map(|e| (*e).to_owned()).collect(),
        ..config(RelayKind::Http)
    };
    assert!(!with(vec![]).wants(&incident));
    assert!(Matcher::new(&of(&["webhook_*"])).unwrap().wants(&incident));
    assert!(!Matcher::new(&of(&[])).unwrap().wants(&run_line(&json!({}))), "digests only");
    let error = Matcher::new(&of(&["runs"])).unwrap_err().to_string();
    assert!(error.starts_with("relay r: events holds \"runs\", which fits no event"), "{error}");
}
