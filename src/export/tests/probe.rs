use tokio::net::TcpListener;

use super::fake::{FakeServer, Reply};
use super::tls::Certificates;
use super::{NOW, config, resource};
use crate::config::Protocol;
use crate::export::{ProbeResult, Signal, probe};
use crate::telemetry::ExportFailure;

/// Probes a server that answers like this; returns the failure, what happened and what to do.
async fn problem(path: &str, reply: Reply) -> (ExportFailure, String, String) {
    let server = FakeServer::start(move |_| reply.clone()).await;
    let mut config = config(format!("http://{}{path}", server.address), Protocol::Http);
    config.timeout_ms = 500;
    match probe(&config, Signal::Metrics, &resource(), NOW).await {
        ProbeResult::Problem { failure, what, remedy } => (failure, what, remedy),
        ok => panic!("{ok:?}"),
    }
}

#[tokio::test]
async fn a_working_endpoint_gets_one_valid_request_without_points() {
    let server = FakeServer::start(|_| Reply::of(200, "")).await;
    let result = probe(&config(server.url(), Protocol::Http), Signal::Metrics, &resource(), NOW).await;
    assert_eq!(result, ProbeResult::Ok { status: 200, partial: None });
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].points.is_empty());
}

#[tokio::test]
async fn each_problem_has_its_remedy() {
    let path = "/api/v1/otlp/v1/metrics";
    let rows = [
        (path, Reply::of(404, "404 page not found"), ExportFailure::NotFound, "--web.enable-otlp-receiver"),
        (path, Reply::of(404, "404 page not found"), ExportFailure::NotFound, "Debian"),
        (
            path,
            Reply::of(404, "otlp write receiver needs to be enabled with --enable-feature"),
            ExportFailure::NotFound,
            "--enable-feature=otlp-write-receiver",
        ),
        ("/api/v1/otlp", Reply::of(404, ""), ExportFailure::NotFound, "does not end in /v1/metrics"),
        (path, Reply::of(401, "Unauthorized"), ExportFailure::Unauthorized, "headers"),
        (path, Reply::of(403, ""), ExportFailure::Unauthorized, "headers"),
        (path, Reply::of(400, "no"), ExportFailure::Refused, "server's words"),
        (path, Reply::of(200, "<html>login"), ExportFailure::BadAnswer, "login"),
        (path, Reply::of(302, ""), ExportFailure::BadAnswer, "redirect"),
        (path, Reply { hang: true, ..Reply::of(200, "") }, ExportFailure::Timeout, "timeout"),
    ];
    for (path, reply, expected, advice) in rows {
        let (failure, what, remedy) = problem(path, reply).await;
        assert_eq!(failure, expected, "{what}");
        assert!(remedy.contains(advice), "{what}: {remedy}");
    }
}

#[tokio::test]
async fn the_servers_words_are_shown() {
    let (_, what, _) = problem("/", Reply::of(400, "out of\nbounds")).await;
    assert_eq!(what, "HTTP 400: out of bounds");
}

#[tokio::test]
async fn no_server_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let config = config(format!("http://{address}/x?token=secret"), Protocol::Http);
    let ProbeResult::Problem { failure, what, .. } = probe(&config, Signal::Metrics, &resource(), NOW).await
    else {
        panic!("nothing listens there");
    };
    assert_eq!(failure, ExportFailure::Connection);
    assert_eq!(what, format!("connection to {address} refused"));
}

#[tokio::test]
async fn an_unknown_authority_asks_for_ca_file() {
    let (ours, foreign) = (Certificates::new(), Certificates::new());
    let server = FakeServer::start_tls(ours.acceptor("server", false, &[]), |_| Reply::of(200, "")).await;
    let mut config = config(format!("https://{}/v1/metrics", server.address), Protocol::Http);
    config.ca_file = Some(foreign.path("ca.pem"));
    let ProbeResult::Problem { failure, remedy, .. } =
        probe(&config, Signal::Metrics, &resource(), NOW).await
    else {
        panic!("that authority is unknown");
    };
    assert_eq!(failure, ExportFailure::Tls);
    assert!(remedy.contains("ca_file"), "{remedy}");

    config.ca_file = Some(ours.path("missing.pem"));
    let ProbeResult::Problem { failure, what, .. } = probe(&config, Signal::Metrics, &resource(), NOW).await
    else {
        panic!("there is no such file");
    };
    assert_eq!(failure, ExportFailure::Tls);
    assert!(what.contains("missing.pem"), "{what}");
}
