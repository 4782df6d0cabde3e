//! What others find wrong with a dashboard: Grafana's linter, and the strict reader of the library that generates them.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::ask::{dashboards, folder};
use crate::common::servers::dashboard_linter;

/// The files are what `dashboards/source` gives, its library reads each of them strictly, uids are unique, no data source is
/// fixed; and each of these would be told if it were otherwise.
#[test]
fn the_generator_gives_what_is_committed_and_refuses_what_is_wrong() {
    let output = Command::new("go")
        .args(["test", "-count=1", "./..."])
        .current_dir(folder().join("source"))
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .output()
        .expect("run go, which the test servers need too");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.starts_with("ok"), "{said}");
}

#[test]
fn the_linter_has_nothing_against_the_dashboards() {
    for dashboard in dashboards() {
        let (status, said) = dashboard_linter(&folder().join(format!("{}.json", dashboard.uid)));
        assert!(status.success(), "{}: {said}", dashboard.uid);
    }
}

#[test]
fn the_linter_refuses_what_is_wrong() {
    let uid = "openclaw-usage-exporter";
    let committed = fs::read_to_string(folder().join(format!("{uid}.json"))).expect("a dashboard");
    for (what, from, to, rule) in [
        ("a missing unit", r#""unit": "bytes","#, "", "unit"),
        ("a hard-coded data source", "${prometheus_datasource}", "P1809F7CD0C75ACF3", "datasource"),
        ("a bad query", "sum by (instance) (", "sum by (instance) ((", "parse error"),
        ("a fixed interval", "$__rate_interval", "5m", "$__rate_interval"),
        ("a panel without a description", "Its size on disk.", "", "description"),
    ] {
        let broken = committed.replace(from, to);
        assert_ne!(broken, committed, "{what}");
        let (accepted, said) = lint(uid, &broken);
        assert!(!accepted && said.contains(rule), "{what}: {said}");
    }
    let (accepted, said) = lint(uid, &committed);
    assert!(accepted, "{said}");
}

/// With the exemptions of the repository.
fn lint(uid: &str, text: &str) -> (bool, String) {
    let scratch = TempDir::new().expect("a temporary directory");
    let path = |name: &str| -> Box<Path> { scratch.path().join(name).into() };
    fs::copy(folder().join(".lint"), path(".lint")).expect("the exemptions");
    let file = path(&format!("{uid}.json"));
    fs::write(&file, text).expect("write a dashboard");
    let (status, said) = dashboard_linter(&file);
    (status.success(), said)
}
