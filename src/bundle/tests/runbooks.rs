//! Runbooks: one for each alert, with commands that work.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::loki::events;
use super::rules::{alerts, assert_named, rules};
use super::*;

const PARTS: [&str; 5] = ["## Meaning", "## Impact", "## Look", "## Causes, the likeliest first", "## Fix"];

/// Every alert: name, severity and description, those on metrics first.
fn all() -> Vec<[String; 3]> {
    let on_metrics = rules();
    let told =
        alerts(&on_metrics).map(|alert| [&alert.name, &alert.severity, &alert.description].map(Clone::clone));
    let on_events = events().alert.into_iter().map(|alert| [alert.name, alert.severity, alert.description]);
    told.chain(on_events).collect()
}

/// The blocks of code of a kind.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    text.split(fence.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .collect()
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let expected: BTreeSet<String> = all().iter().map(|[name, ..]| format!("{name}.md")).collect();
    let entries = std::fs::read_dir(repository().join("docs/runbooks")).unwrap();
    let there: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, expected);
}

#[test]
fn the_list_of_alerts_is_complete() {
    let text = std::fs::read_to_string(repository().join("docs/alerts.md")).unwrap();
    for [name, severity, _] in all() {
        let row = format!("| [{name}](runbooks/{name}.md) | {severity} | ");
        assert!(text.contains(&row), "docs/alerts.md has no row {row:?}");
    }
}

#[test]
fn runbooks_say_what_to_do_in_commands_that_work() {
    let rules = rules();
    for [name, _, description] in &all() {
        let text = std::fs::read_to_string(repository().join(format!("docs/runbooks/{name}.md"))).unwrap();
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        let at = PARTS.map(|part| text.find(part).unwrap_or_else(|| panic!("{name} has no {part}")));
        assert!(at.is_sorted(), "{name}: {at:?}");
        let (commands, queries) = (blocks(&text, "sh"), blocks(&text, "promql"));
        let on_logs = blocks(&text, "logql");
        assert_eq!(commands.len() + queries.len() + on_logs.len(), 3, "{name}: three commands to look with");
        for line in commands.iter().flat_map(|block| block.lines()) {
            assert!(line.starts_with("openclaw-usage "), "{name}: {line}");
            let words = line.split_whitespace().map(|word| OsString::from(word.trim_matches('\'')));
            assert!(crate::cli::parse(words).is_ok(), "{name}: our own command line refuses {line:?}");
        }
        for query in queries {
            assert!(assert_named(name, query, &rules) > 0 || query.trim() == "up == 0", "{name}: {query}");
        }
        assert!(!text.contains(description), "{name} restates its alert");
    }
}
