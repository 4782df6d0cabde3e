//! The endpoints: one real, empty request to each, and what came back.

use super::report::{EndpointState, Finding, Section};
use crate::config::{Config, EndpointConfig, Protocol};
use crate::export::{ProbeResult, Signal, probe};
use crate::model::UnixMs;
use crate::telemetry::Resource;

const HERE: Section = Section::Endpoints;

/// Probes one endpoint.
pub async fn inspect(
    endpoint: &EndpointConfig,
    signal: Signal,
    resource: &Resource,
    now: UnixMs,
    findings: &mut Vec<Finding>,
) -> EndpointState {
    let (state, finding) = judge(endpoint, signal, probe(endpoint, signal, resource, now).await);
    findings.push(finding);
    state
}

/// Says what a probe's result means.
pub fn judge(endpoint: &EndpointConfig, signal: Signal, result: ProbeResult) -> (EndpointState, Finding) {
    let kind = match signal {
        Signal::Metrics => "metrics",
        Signal::Events => "events",
    };
    let url = endpoint.shown_url();
    let protocol = endpoint.protocol.as_str();
    let mut state = EndpointState {
        name: endpoint.name.clone(),
        url: url.clone(),
        protocol: protocol.to_owned(),
        ok: false,
        status: None,
        failure: None,
        answer: None,
    };
    let finding = match result {
        ProbeResult::Ok { status, partial } => {
            (state.ok, state.status) = (true, Some(status));
            let answer = match endpoint.protocol {
                Protocol::Http => format!("HTTP {status}"),
                Protocol::Grpc => "OK".to_owned(),
            };
            let taken = format!("{url} takes {kind}: {answer} to an empty request");
            match partial {
                None => Finding::ok(HERE, taken),
                Some(words) => {
                    let finding = Finding::note(HERE, format!("{taken}, but with the words: {words}"));
                    state.answer = Some(words);
                    finding.with("read the server's words: it may leave some points out")
                }
            }
        }
        ProbeResult::Problem { failure, what, remedy } => {
            state.failure = Some(failure.as_str().to_owned());
            state.answer = Some(what.clone());
            Finding::problem(HERE, format!("{url} ({protocol}): {what}"), remedy)
        }
    };
    (state, finding)
}

/// Says what it means that there is no endpoint.
pub fn none(config: &Config) -> Finding {
    let text = format!(
        "no OTLP endpoint is configured, so nothing is pushed; a Prometheus can scrape http://{}/metrics",
        config.listen
    );
    Finding::note(HERE, text).with("to push to a Prometheus: --otlp-endpoint http://HOST:9090/api/v1/otlp")
}
