//! What the documents promise about the repository itself.

use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let reasons = read("CONTRIBUTING.md");
    let names = ["dependencies", "dev-dependencies"]
        .into_iter()
        .flat_map(|table| manifest[table].as_table().unwrap().keys());
    let missing: Vec<&String> = names.filter(|name| !reasons.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md gives no reason for {missing:?}");
}

#[test]
fn the_gate_runs_what_the_readme_names() {
    assert!(read("README.md").contains("make test"));
    let gate = read(".ci/run");
    assert!(gate.contains("make lint") && gate.contains("make test"));
}
