//! Notices of both generations and of several gateways, through to a real Prometheus: pushed, and scraped.

use crate::common::daemon::Sandbox;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::Count;
use crate::common::servers::{Prometheus, Version};
use crate::webhooks::{Receiving, TOKEN, recorded::Recorded};

#[test]
fn notices_of_both_generations_reach_prometheus_by_gateway() {
    let prometheus = Prometheus::start(Version::V3, &[]);
    let endpoint = prometheus.otlp_endpoint();
    let receiving =
        Receiving::start(Sandbox::new(), true, &["--gateway", "home", "--otlp-endpoint", &endpoint], |_| {});
    // Recorded when nobody counted them yet: history to a server, but for what is posted after it began to look.
    let generations = [("old", "whole-2026.2.17"), ("new", "whole-2026.9.6")];
    for (gateway, recording) in generations {
        for request in Recorded::of(recording) {
            let status =
                receiving.post(&format!("/webhook/cron/{gateway}"), TOKEN, &request.body.to_string());
            assert_eq!(status, 202, "{recording}");
        }
    }
    for (gateway, recording) in generations {
        let truth = Recorded::count(&Recorded::of(recording));
        let job = format!(r#"job="openclaw-usage",instance="{gateway}""#);
        until(&format!("{truth:?} of {gateway}"), || (super::last(&prometheus, &job) == truth).then_some(()));
    }
    let homes = prometheus.query(r#"count(openclaw_tokens_total{instance="home"})"#, Some(now_ms()));
    assert!(homes.is_empty(), "nothing was posted as the ledger's own: {homes:?}");
    let receivers =
        prometheus.query(r#"sum(openclaw_webhook_received_total{instance="home"})"#, Some(now_ms()));
    assert_eq!(receivers.len(), 1, "the receiver is the ledger's own: {receivers:?}");
}

/// With `honor_labels` a scrape tells them apart just so.
#[test]
fn a_scrape_tells_gateways_apart() {
    let receiving = Receiving::start(Sandbox::new(), true, &["--gateway", "home"], |_| {});
    for request in Recorded::of("whole-2026.9.6") {
        receiving.post("/webhook/cron/north", TOKEN, &request.body.to_string());
    }
    let truth = Recorded::count(&Recorded::of("whole-2026.9.6"));
    let config = format!(
        "scrape_configs: [{{job_name: openclaw-usage, scrape_interval: 1s, honor_labels: true, static_configs: \
         [{{targets: ['{}'], labels: {{instance: home}}}}]}}]\n",
        receiving.daemon().address()
    );
    let prometheus = Prometheus::start_with_config(Version::V2, &config, &[]);
    let none = Count::default();
    for (gateway, truth) in [("north", truth), ("home", none)] {
        let job = format!(r#"job="openclaw-usage",instance="{gateway}""#);
        until(&format!("{truth:?} of {gateway}"), || (super::last(&prometheus, &job) == truth).then_some(()));
    }
}
