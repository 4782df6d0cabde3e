//! The example file tells the truth: every key, and the defaults.

use super::super::file::{FileLayer, SCALAR_KEYS};
use super::super::otlp::ENDPOINT_KEYS;
use super::*;

const EXAMPLE: &str = include_str!("../../../docs/config.example.toml");

/// Returns the example with every key in force but those that begin with one of `without`.
fn example_in_force(without: &[&str]) -> String {
    let is_key = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix('#')).filter(is_key);
    lines.filter(|line| !without.iter().any(|w| line.starts_with(w))).collect::<Vec<_>>().join("\n")
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
    let mut keys = ENDPOINT_KEYS.to_vec();
    keys.sort_unstable();
    assert_eq!(layer.endpoints.len(), 1);
    assert_eq!(layer.endpoints[0].values.keys().copied().collect::<Vec<_>>(), keys);
    assert_eq!(layer.endpoints[0].headers.len(), 1);
}

#[test]
fn the_example_gives_the_defaults() {
    let examples = ["profile", "service_namespace", "headers", "bearer", "basic", "ca_file", "client_"];
    let shown = |case: Case| -> Vec<(String, String)> {
        case.resolve().unwrap().explain().into_iter().map(|row| (row.key, row.value)).collect()
    };
    let mut expected = Case::endpoints(&["http://127.0.0.1:9090/api/v1/otlp"]);
    expected.flags.gateway = Some("openclaw".into());
    assert_eq!(shown(Case::file(&example_in_force(&examples))), shown(expected));
}
