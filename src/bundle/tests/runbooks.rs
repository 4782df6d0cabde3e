//! Runbooks: one for each alert, with commands that work.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::rules::{alerts, assert_named, rules};
use super::*;

const PARTS: [&str; 5] = ["## Meaning", "## Impact", "## Look", "## Causes, the likeliest first", "## Fix"];

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
    let rules = rules();
    let expected: BTreeSet<String> = alerts(&rules).map(|alert| format!("{}.md", alert.name)).collect();
    let entries = std::fs::read_dir(repository().join("docs/runbooks")).unwrap();
    let there: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, expected);
}

#[test]
fn the_list_of_alerts_is_complete() {
    let text = std::fs::read_to_string(repository().join("docs/alerts.md")).unwrap();
    for alert in alerts(&rules()) {
        let row = format!("| [{0}](runbooks/{0}.md) | {1} | ", alert.name, alert.severity);
        assert!(text.contains(&row), "docs/alerts.md has no row {row:?}");
    }
}

#[test]
fn runbooks_say_what_to_do_in_commands_that_work() {
    let rules = rules();
    for alert in alerts(&rules) {
        let name = &alert.name;
        let text = std::fs::read_to_string(repository().join(format!("docs/runbooks/{name}.md"))).unwrap();
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        let at = PARTS.map(|part| text.find(part).unwrap_or_else(|| panic!("{name} has no {part}")));
        assert!(at.is_sorted(), "{name}: {at:?}");
        let (commands, queries) = (blocks(&text, "sh"), blocks(&text, "promql"));
        assert_eq!(commands.len() + queries.len(), 3, "{name}: three commands to look with");
        for line in commands.iter().flat_map(|block| block.lines()) {
            assert!(line.starts_with("openclaw-usage "), "{name}: {line}");
            let words = line.split_whitespace().map(|word| OsString::from(word.trim_matches('\'')));
            assert!(crate::cli::parse(words).is_ok(), "{name}: our own command line refuses {line:?}");
        }
        for query in queries {
            assert!(assert_named(name, query, &rules) > 0 || query.trim() == "up == 0", "{name}: {query}");
        }
        assert!(!text.contains(&alert.description), "{name} restates its alert");
    }
}
