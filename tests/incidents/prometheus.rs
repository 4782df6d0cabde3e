//! Every incident, through the real daemon and a real Prometheus to a real Alertmanager, and a page.

use std::collections::BTreeSet;

use openclaw_usage::demo::{Gateway, Incident, Options};

use super::hurried;
use crate::common::daemon::{Sandbox, now};
use crate::common::real_time::until;
use crate::common::servers::{Alertmanager, Prometheus, Version};

const MINUTE: i64 = 60_000;

#[test]
fn every_incident_pages_somebody() {
    let alertmanager = Alertmanager::start();
    let rules = Sandbox::new();
    for file in ["recording.yaml", "alerts.yaml"] {
        std::fs::write(rules.path(file), hurried(&format!("prometheus/{file}"))).expect("write rules");
    }
    let config = format!(
        "rule_files: ['{}/*.yaml']\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
        rules.path("").display(),
        alertmanager.address()
    );
    let prometheus = Prometheus::start_with_config(Version::V3, &config, &["--rules.alert.resend-delay=1s"]);

    // A gateway for each, and one at which nothing goes wrong; all were healthy until twelve minutes ago.
    let start = now().plus(-40 * MINUTE);
    let mut gateways: Vec<_> = Incident::ALL
        .into_iter()
        .map(Some)
        .chain([None])
        .map(|incident| {
            let sandbox = Sandbox::new();
            let options = Options { start, seed: 23, ..Options::healthy() };
            let mut gateway = Gateway::new(&sandbox.state_dir(), options).expect("a simulated gateway");
            gateway.step(start.plus(28 * MINUTE)).expect("half an hour");
            let name = incident.map_or("none", Incident::as_str);
            let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint(), "--gateway", name]);
            daemon.until_counted(gateway.bill().into());
            (incident, gateway, daemon, sandbox)
        })
        .collect();
    let evaluated = || !prometheus.query("job:openclaw_usage_build_info:count == 6", None).is_empty();
    until("all of them in Prometheus's rules", || evaluated().then_some(()));
    let fired = || -> BTreeSet<(String, String)> {
        let firing =
            prometheus.query("last_over_time(ALERTS{alertstate=\"firing\",instance!=\"\"}[1h])", None);
        let label = |labels: &std::collections::BTreeMap<String, String>, key: &str| {
            labels.get(key).cloned().unwrap_or_default()
        };
        firing.iter().map(|(labels, _)| (label(labels, "alertname"), label(labels, "instance"))).collect()
    };
    assert_eq!(fired(), BTreeSet::new(), "nothing is wrong yet");

    for (incident, gateway, _, _) in &mut gateways {
        if let Some(incident) = incident {
            gateway.suffer(*incident, start.plus(28 * MINUTE)).expect("an incident");
        }
        gateway.step(start.plus(40 * MINUTE)).expect("twelve minutes more");
    }
    let expected: BTreeSet<_> = Incident::ALL
        .into_iter()
        .map(|incident| (incident.alert().to_owned(), incident.as_str().to_owned()))
        .collect();
    until(&format!("pages of {expected:?}, of which there are {:?}", alertmanager.paged("instance")), || {
        expected.is_subset(&alertmanager.paged("instance")).then_some(())
    });
    // Of the gateway at which nothing goes wrong, nobody is told.
    assert!(fired().iter().all(|(_, instance)| instance != "none"), "{:?}", fired());
    let told = alertmanager.annotations("OpenClawJobFailing");
    assert_eq!(told["summary"], "A scheduled job fails run after run.");
    assert!(told["description"].as_str().is_some_and(|text| text.contains("daily-ok")), "{told}");
    assert_eq!(told["runbook_url"], "docs/runbooks/OpenClawJobFailing.md");
    for (_, _, daemon, _) in gateways {
        daemon.terminate();
    }
}
