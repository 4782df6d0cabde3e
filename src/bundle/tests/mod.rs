//! What rules must hold to, whoever writes them.

use std::path::PathBuf;

use super::*;

/// Set to write the files instead of comparing them.
const UPDATE: &str = "UPDATE_ALERTS";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The committed files are what `bundle` writes; runbooks and dashboards are its sources.
#[test]
fn committed_files_are_those_of_a_bundle() {
    let files = files(&Settings::default()).unwrap();
    let rendered: Vec<&BundleFile> = files
        .iter()
        .filter(|file| {
            ["prometheus/", "grafana/", "loki/"].iter().any(|folder| file.path.starts_with(folder))
        })
        .collect();
    assert!(rendered.len() >= 4, "{}", rendered.len());
    for folder in ["prometheus", "grafana", "loki"] {
        for entry in std::fs::read_dir(repository().join("alerts").join(folder)).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            assert!(rendered.iter().any(|file| file.path == path), "alerts/{path} is in no bundle");
        }
    }
    for file in rendered {
        let path = repository().join("alerts").join(&file.path);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &file.text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == file.text,
            "alerts/{} is out of date; renew it with {UPDATE}=1 cargo test --lib bundle",
            file.path
        );
    }
}

/// So are those of deploy/kubernetes/monitoring; its test says that dashboards are too.
#[test]
fn committed_objects_of_kubernetes_are_those_of_a_bundle() {
    let files = files(&Settings { kubernetes: true, ..Settings::default() }).unwrap();
    let rules: Vec<&BundleFile> = files
        .iter()
        .filter(|file| {
            file.path.starts_with("kubernetes/prometheusrule-")
                || file.path == "kubernetes/configmap-openclaw-usage-loki.yaml"
        })
        .collect();
    assert!(rules.len() >= 3, "{}", rules.len());
    for file in rules {
        let name = file.path.rsplit('/').next().unwrap();
        let path = repository().join("deploy/kubernetes/monitoring").join(name);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&path, &file.text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == file.text,
            "{name} is out of date; renew it with {UPDATE}=1 cargo test --lib bundle"
        );
    }
}

mod files;
mod loki;
mod rules;
mod runbooks;
