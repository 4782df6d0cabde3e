//! What stands where, and whose it is.

use std::fs;

use tempfile::TempDir;

use super::super::write::{Change, write};
use super::*;

fn file(path: &str, text: &str) -> BundleFile {
    BundleFile { path: path.into(), text: text.into() }
}

fn changes(result: Result<Vec<(String, Change)>, BundleError>) -> Vec<(String, Change)> {
    result.unwrap()
}

#[test]
fn a_bundle_has_rules_alerts_and_runbooks() {
    let paths = |kubernetes| {
        let settings = Settings { kubernetes, ..Settings::default() };
        files(&settings).unwrap().into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    for expected in [
        "prometheus/alerts.yaml",
        "prometheus/recording.yaml",
        "grafana/openclaw-usage.yaml",
        "loki/openclaw-usage.yaml",
        "runbooks/OpenClawJobFailing.md",
        "dashboards/openclaw-cron-job.json",
    ] {
        assert!(paths(false).iter().any(|path| path == expected), "{expected}");
    }
    for expected in [
        "kubernetes/prometheusrule-openclaw-usage-alerts.yaml",
        "kubernetes/prometheusrule-openclaw-usage-recording.yaml",
        "kubernetes/configmap-openclaw-usage-alerts.yaml",
        "kubernetes/configmap-openclaw-usage-loki.yaml",
        "kubernetes/configmap-openclaw-cron-job.yaml",
        "runbooks/OpenClawJobFailing.md",
    ] {
        assert!(paths(true).iter().any(|path| path == expected), "{expected}");
    }
}

#[test]
fn kubernetes_holds_the_same_rules() {
    let plain = files(&Settings::default()).unwrap();
    let kubernetes = files(&Settings { kubernetes: true, ..Settings::default() }).unwrap();
    let text =
        |files: &[BundleFile], path: &str| files.iter().find(|file| file.path == path).unwrap().text.clone();
    let inside = |text: &str, below: &str| {
        let (_, rest) = text.split_once(below).unwrap();
        rest.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned() + "\n").collect::<String>()
    };
    for name in ["alerts", "recording"] {
        let rule = text(&kubernetes, &format!("kubernetes/prometheusrule-openclaw-usage-{name}.yaml"));
        assert!(rule.contains("kind: PrometheusRule\n"), "{rule}");
        let (_, expected) = text(&plain, &format!("prometheus/{name}.yaml"))
            .split_once('\n')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert_eq!(inside(&rule, "spec:\n"), expected);
    }
    let map = text(&kubernetes, "kubernetes/configmap-openclaw-usage-alerts.yaml");
    assert!(map.contains("kind: ConfigMap\n") && map.contains("grafana_alert: \"1\"\n"), "{map}");
    let alerts = inside(&inside(&map, "  openclaw-usage.yaml: |\n"), "");
    assert_eq!(alerts, text(&plain, "grafana/openclaw-usage.yaml"));
}

#[test]
fn kubernetes_has_dashboards_for_sidecar_operator_and_volume() {
    let made = files(&Settings { kubernetes: true, ..Settings::default() }).unwrap();
    let text = |path: &str| &made.iter().find(|file| file.path == path).unwrap().text;
    let patch = text("kubernetes/kube-prometheus/grafana-patch.yaml");
    assert!(patch.contains("mountPath: /grafana-dashboard-definitions/0/openclaw-app\n"), "{patch}");
    let mut dashboards = 0;
    for entry in fs::read_dir(repository().join("dashboards")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let map = text(&format!("kubernetes/configmap-{stem}.yaml"));
        assert!(
            map.contains("grafana_dashboard: \"1\"\n") && map.contains(&format!("  {name}: |\n")),
            "{stem}"
        );
        let object = text(&format!("kubernetes/grafana-operator/grafanadashboard-{stem}.yaml"));
        let refers = format!("  configMapRef:\n    name: {stem}\n    key: {name}\n");
        assert!(object.contains("kind: GrafanaDashboard\n") && object.contains(&refers), "{object}");
        assert!(patch.contains(&format!("name: {stem}\n")), "{patch}");
        dashboards += 1;
    }
    assert_eq!(dashboards, 4);
}

#[test]
fn links_thresholds_and_selectors_are_what_was_asked_for() {
    let settings = Settings {
        selector: Selector::parse(r#"cluster="prod""#).unwrap(),
        runbook_base: "https://wiki.example.com/runbooks/".into(),
        thresholds: "failing_runs = 7\nburn_fast_usd = 2.5\n".into(),
        ..Settings::default()
    };
    let files = files(&settings).unwrap();
    let alerts = &files.iter().find(|file| file.path == "prometheus/alerts.yaml").unwrap().text;
    for expected in [
        r#"openclaw_cron_job_consecutive_errors{cluster="prod"} >= 7"#,
        "> 2.5\n",
        "in the last hour, more than 2.5.",
        "runbook_url: \"https://wiki.example.com/runbooks/OpenClawJobFailing.md\"",
    ] {
        assert!(alerts.contains(expected), "{expected}");
    }
}

#[test]
fn thresholds_that_cannot_be_are_named() {
    for (text, expected) in [
        ("failing_run = 3", "did you mean \"failing_runs\"?"),
        ("failing_runs = \"3\"", "the threshold \"failing_runs\" is not a number"),
        ("failing_runs = -1", "the threshold \"failing_runs\" is not a number"),
        ("failing_runs", "cannot use the thresholds"),
    ] {
        let error = files(&Settings { thresholds: text.into(), ..Settings::default() }).unwrap_err();
        assert!(error.to_string().contains(expected) && error.is_usage(), "{error}");
    }
}

#[test]
fn dashboards_get_the_selector_in_their_queries() {
    let text = r#"{"panels":[{"title":"openclaw_x","targets":[
        {"expr":"sum(openclaw_x)"},{"datasource":{"type":"loki"},"expr":"{x=\"y\"} | openclaw_z=\"1\""}
        ]}],"templating":[{"query":{"query":"label_values(openclaw_x{b=\"c\"}, openclaw_y)"}}]}"#;
    let settings = Settings { selector: Selector::parse("a='b'").unwrap(), ..Settings::default() };
    let made = grafana::dashboard("jobs.json", text, &settings).unwrap();
    assert_eq!(made.path, "dashboards/jobs.json");
    for expected in [
        r#""expr": "sum(openclaw_x{a='b'})""#,
        r#""title": "openclaw_x""#,
        r#""expr": "{x=\"y\"} | openclaw_z=\"1\"""#,
        r#""query": "label_values(openclaw_x{a='b', b=\"c\"}, openclaw_y)""#,
    ] {
        assert!(made.text.contains(expected), "{expected} in {}", made.text);
    }
    let plain = grafana::dashboard("jobs.json", text, &Settings::default()).unwrap();
    assert_eq!(plain.text, text);
}

#[test]
fn what_an_earlier_bundle_wrote_is_renewed_and_removed() {
    let folder = TempDir::new().unwrap();
    let at = |path: &str| fs::read_to_string(folder.path().join(path)).ok();
    let first = [file("a/one", "1"), file("a/two", "2"), file("b", "3")];
    assert!(
        changes(write(folder.path(), &first, false)).iter().all(|(_, change)| *change == Change::Written)
    );
    let second = [file("a/one", "1"), file("a/two", "new")];
    let seen = changes(write(folder.path(), &second, false));
    let expected = [("a/one", Change::Unchanged), ("a/two", Change::Written), ("b", Change::Removed)];
    assert_eq!(seen, expected.map(|(path, change)| (path.to_owned(), change)));
    assert_eq!((at("a/two").as_deref(), at("b")), (Some("new"), None));
}

#[test]
fn nothing_of_somebody_else_is_written_over() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(folder.path(), &[file("ours", "1"), file("old", "1")], false).unwrap();
    fs::write(path("ours"), "edited").unwrap();
    fs::write(path("old"), "edited").unwrap();
    fs::write(path("theirs"), "x").unwrap();
    let files = [file("new", "2"), file("ours", "2"), file("theirs", "2")];
    let error = write(folder.path(), &files, false).unwrap_err().to_string();
    assert!(error.contains("ours") && error.contains("theirs") && error.contains("--force"), "{error}");
    assert!(!path("new").exists(), "all or nothing");
    write(folder.path(), &files, true).unwrap();
    assert_eq!(fs::read_to_string(path("theirs")).unwrap(), "2");
    assert_eq!(fs::read_to_string(path("old")).unwrap(), "edited", "a file that was changed is not removed");
}

#[test]
fn a_bundle_without_flags_is_what_is_committed() {
    let words = ["openclaw-usage", "bundle", "--out", "x"].map(std::ffi::OsString::from);
    let crate::cli::Command::Bundle(args) = crate::cli::parse(words).unwrap().command else {
        panic!("no bundle")
    };
    assert_eq!((args.runbook_base.as_str(), args.datasource.as_str()), (RUNBOOK_BASE, DATASOURCE));
}
