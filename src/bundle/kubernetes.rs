//! The same files as objects of Kubernetes.

use super::BundleFile;
use super::yaml::{self, Node};

/// Returns rules as the Prometheus operator takes them.
pub fn prometheus_rule(name: &str, groups: Node) -> BundleFile {
    let name = format!("openclaw-usage-{name}");
    let node = Node::Map(vec![
        ("apiVersion", Node::plain("monitoring.coreos.com/v1")),
        ("kind", Node::plain("PrometheusRule")),
        ("metadata", metadata(&name, None)),
        ("spec", groups),
    ]);
    BundleFile { path: format!("kubernetes/prometheusrule-{name}.yaml"), text: yaml::document(&node) }
}

/// Returns a file as a `ConfigMap` with the label by which Grafana's sidecar finds it.
pub fn config_map(name: &str, label: &'static str, key: &str, text: &str) -> BundleFile {
    let name = if name.starts_with("openclaw-") { name.to_owned() } else { format!("openclaw-usage-{name}") };
    let node = Node::Map(vec![
        ("apiVersion", Node::plain("v1")),
        ("kind", Node::plain("ConfigMap")),
        ("metadata", metadata(&name, Some(label))),
        ("data", Node::Entry(key.to_owned(), Box::new(Node::text(text)))),
    ]);
    BundleFile { path: format!("kubernetes/configmap-{name}.yaml"), text: yaml::document(&node) }
}

/// Without a namespace: that is for who applies it to say.
fn metadata(name: &str, sidecar: Option<&'static str>) -> Node {
    let mut labels = vec![("app.kubernetes.io/name", Node::plain("openclaw-usage"))];
    labels.extend(sidecar.map(|label| (label, Node::text("1"))));
    Node::Map(vec![("name", Node::plain(name)), ("labels", Node::Map(labels))])
}
