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

/// Returns a dashboard in a `ConfigMap` as Grafana's operator takes it. In a folder of its own: a cluster without the operator
/// refuses it.
pub fn grafana_dashboard(name: &str, key: &str) -> BundleFile {
    let choose = Node::Map(vec![("matchLabels", Node::Map(vec![("dashboards", Node::plain("grafana"))]))]);
    let map = Node::Map(vec![("name", Node::plain(name)), ("key", Node::plain(key))]);
    let node = Node::Map(vec![
        ("apiVersion", Node::plain("grafana.integreatly.org/v1beta1")),
        ("kind", Node::plain("GrafanaDashboard")),
        ("metadata", metadata(name, None)),
        ("spec", Node::Map(vec![("instanceSelector", choose), ("configMapRef", map)])),
    ]);
    BundleFile {
        path: format!("kubernetes/grafana-operator/grafanadashboard-{name}.yaml"),
        text: yaml::document(&node),
    }
}

/// Returns the patch of the Deployment of Grafana in kube-prometheus that mounts the dashboards' `ConfigMap`s where its
/// provider looks. In a folder of its own: it is no object to apply, but to patch with.
pub fn kube_prometheus_patch(names: &[String]) -> BundleFile {
    const VOLUME: &str = "openclaw-app";
    let source = |name: &String| Node::Map(vec![("configMap", Node::Map(vec![("name", Node::plain(name))]))]);
    let volume = Node::Map(vec![
        ("name", Node::plain(VOLUME)),
        ("projected", Node::Map(vec![("sources", Node::List(names.iter().map(source).collect()))])),
    ]);
    let mount = Node::Map(vec![
        ("name", Node::plain(VOLUME)),
        ("mountPath", Node::plain("/grafana-dashboard-definitions/0/openclaw-app")),
        ("readOnly", Node::plain(true)),
    ]);
    let container =
        Node::Map(vec![("name", Node::plain("grafana")), ("volumeMounts", Node::List(vec![mount]))]);
    let pod =
        Node::Map(vec![("containers", Node::List(vec![container])), ("volumes", Node::List(vec![volume]))]);
    let template = Node::Map(vec![("template", Node::Map(vec![("spec", pod)]))]);
    BundleFile {
        path: "kubernetes/kube-prometheus/grafana-patch.yaml".into(),
        text: yaml::document(&Node::Map(vec![("spec", template)])),
    }
}

/// Without a namespace: that is for who applies it to say.
fn metadata(name: &str, sidecar: Option<&'static str>) -> Node {
    let mut labels = vec![("app.kubernetes.io/name", Node::plain("openclaw-usage"))];
    labels.extend(sidecar.map(|label| (label, Node::text("1"))));
    Node::Map(vec![("name", Node::plain(name)), ("labels", Node::Map(labels))])
}
