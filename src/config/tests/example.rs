//! The example file tells the truth: every key, and the defaults.

use super::super::file::{FileLayer, SCALAR_KEYS};
use super::super::otlp::Receives;
use super::super::tables::{Inner, SCHEMAS, Schema, Table};
use super::*;

const EXAMPLE: &str = include_str!("../../../docs/config.example.toml");

/// The line that turns the receiver of webhooks on.
const WEBHOOK: &str = "listen = \"0.0.0.0:9465\"";

/// Returns the example with every key in force but those that begin with one of `without`.
fn example_in_force(without: &[&str]) -> String {
    let is_key = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase() || "[\"".contains(c));
    let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix('#')).filter(is_key);
    lines.filter(|line| !without.iter().any(|w| line.starts_with(w))).collect::<Vec<_>>().join("\n")
}

/// The files that its relay names.
fn with_secrets(case: Case) -> Case {
    case.with_secret("/etc/secrets/team-url", "https://example.com/hook")
        .with_secret("/etc/secrets/team-token", "token")
        .with_secret("/etc/secrets/team-key", "key")
}

#[test]
fn the_example_as_it_stands_changes_nothing() {
    let config = Case::file(EXAMPLE).resolve().unwrap();
    assert_eq!(Config { file: None, ..config }, Case::default().resolve().unwrap());
}

#[test]
fn the_example_lists_every_key() {
    let layer = FileLayer::parse(Path::new("example"), &example_in_force(&[])).unwrap();
    let mut scalars = SCALAR_KEYS.to_vec();
    scalars.sort_unstable();
    assert_eq!(layer.scalars.keys().copied().collect::<Vec<_>>(), scalars);
    for (receives, endpoints) in
        [(Receives::Metrics, &layer.endpoints), (Receives::Events, &layer.event_endpoints)]
    {
        let mut keys = receives.keys().to_vec();
        keys.sort_unstable();
        let [endpoint] = endpoints.as_slice() else { panic!("one [[{}]]", receives.table()) };
        let given: Vec<_> = endpoint.values.keys().copied().collect();
        if receives == Receives::Metrics {
            assert_eq!((given, endpoint.headers.len()), (keys, 1));
        } else {
            assert!(given.iter().all(|key| keys.contains(key)) && given.contains(&"endpoint"));
        }
    }
    for schema in SCHEMAS {
        let [table] = layer.tables[schema.name].as_slice() else { panic!("one [[{}]]", schema.name) };
        lists_every_key(schema, table);
    }
    assert_eq!(layer.billing.len(), 2);
}

fn lists_every_key(schema: &Schema, table: &Table) {
    let mut keys = schema.keys.to_vec();
    keys.sort_unstable();
    assert_eq!(table.values.keys().copied().collect::<Vec<_>>(), keys, "{}", schema.name);
    let mut lists = schema.lists.to_vec();
    lists.sort_unstable();
    assert_eq!(table.lists.keys().copied().collect::<Vec<_>>(), lists, "{}", schema.name);
    if let Some(Inner::One(inner) | Inner::Many(inner) | Inner::Any(inner)) = schema.inner {
        lists_every_key(inner, &table.inner[0]);
    }
}

#[test]
fn the_example_s_prices_and_budgets_are_in_force() {
    let without = ["profile", "headers", "bearer", "basic", "ca_file", "client_", "chat", WEBHOOK];
    let config = with_secrets(Case::file(&example_in_force(&without)));
    let rows = config.resolve().unwrap().explain();
    let rows: Vec<(&str, &str)> = rows.iter().map(|row| (row.key.as_str(), row.value.as_str())).collect();
    let from = rows.iter().position(|(key, _)| key.starts_with("price.")).unwrap();
    assert_eq!(
        rows[from..from + 5],
        [
            (
                "price.anthropic/claude-opus-*",
                "input 5.00, output 25.00, cache_read 0.50, cache_write 6.25; from 200001 prompt tokens: input 10.00, \
                 output 37.50, cache_read 1.00, cache_write 12.50 since 2026-07-01"
            ),
            ("alias.litellm/smart", "anthropic/claude-opus-4-6"),
            ("billing.ollama*", "local"),
            ("billing.openai-codex", "subscription"),
            (
                "budget.digests",
                "50.00 a month (UTC), job daily *, agent ops, model claude-*, provider anthropic"
            ),
        ]
    );
    assert!(rows.contains(&("catalogue", "/etc/model_prices_and_context_window.json")));
}

#[test]
fn the_example_gives_the_defaults() {
    let examples = [
        "profile",
        "catalogue",
        "service_namespace",
        "headers",
        "bearer",
        "basic",
        "ca_file",
        "client_",
        WEBHOOK,
    ];
    let shown = |case: Case| -> Vec<(String, String)> {
        case.resolve().unwrap().explain().into_iter().map(|row| (row.key, row.value)).collect()
    };
    let mut expected = Case::endpoints(&["http://127.0.0.1:9090/api/v1/otlp"]);
    expected.flags.events = vec!["http://127.0.0.1:3100/otlp".into()];
    expected.flags.gateway = Some("openclaw".into());
    let mut given = shown(with_secrets(Case::file(&example_in_force(&[&examples[..], &["chat"]].concat()))));
    let tables = ["price.", "alias.", "billing.", "budget.", "relay.", "digest."];
    given.retain(|(key, _)| !tables.iter().any(|table| key.starts_with(table)));
    assert_eq!(given, shown(expected));
}
