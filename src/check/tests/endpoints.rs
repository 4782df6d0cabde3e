//! How the answers of endpoints are shown. What a server answers when is the probe's business and its tests'.

use super::super::endpoints::judge;
use super::super::names;
use super::*;
use crate::export::{ProbeResult, Signal};
use crate::telemetry::{ExportFailure, catalogue};

/// A report with one endpoint of which the probe found this.
fn report(result: ProbeResult) -> Report {
    let mut case = Case::new();
    case.write("state/openclaw.json", "{}");
    let mut report = case.check();
    case.flags.otlp_endpoints = vec!["http://metrics.example:9090/api/v1/otlp".to_owned()];
    let (state, finding) = judge(&case.config().otlp[0], Signal::Metrics, result);
    report.findings.retain(|finding| finding.section != Section::Endpoints);
    report.ok = state.ok;
    report.endpoints = vec![state];
    report.findings.push(finding);
    report
}

fn problem(failure: ExportFailure, what: &str, remedy: &str) -> ProbeResult {
    ProbeResult::Problem { failure, what: what.into(), remedy: remedy.into() }
}

#[test]
fn each_answer_is_shown_with_its_remedy() {
    let disabled = "enable the server's OTLP receiver: Prometheus 3.x needs the flag --web.enable-otlp-receiver, 2.47 \
                    to 2.55 need --enable-feature=otlp-write-receiver; Debian's packages have it removed";
    let answers = [
        ProbeResult::Ok { status: 200, partial: None },
        ProbeResult::Ok { status: 200, partial: Some("some words \u{202e}of the server".into()) },
        problem(
            ExportFailure::Connection,
            "connection to metrics.example:9090 refused",
            "check that it runs",
        ),
        problem(ExportFailure::NotFound, "HTTP 404: otlp write receiver needs to be enabled", disabled),
        problem(ExportFailure::Unauthorized, "HTTP 401: Unauthorized", "check the token"),
        problem(ExportFailure::Tls, "TLS with metrics.example:9090 failed: unknown issuer", "set ca_file"),
        problem(ExportFailure::Refused, "HTTP 400: out of bounds", "read the server's words"),
    ];
    let shown: Vec<String> = answers.map(|answer| section(&report(answer), "ENDPOINTS")).to_vec();
    insta::assert_snapshot!("endpoints", shown.join("\n\n"));
}

#[test]
fn a_refusing_endpoint_is_a_problem_in_the_verdict_and_in_the_json() {
    let report = report(problem(ExportFailure::Connection, "refused", "start it"));
    assert!(
        text::render(&report)
            .ends_with("\n1 problem (ENDPOINTS), 2 notes. What to do stands behind the arrows (->).\n")
    );
    let state = &report.endpoints[0];
    assert_eq!((state.ok, state.failure.as_deref(), state.status), (false, Some("connection"), None));
}

#[test]
fn a_real_request_is_sent_to_each_endpoint() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut case = Case::with_runs();
    case.flags.otlp_endpoints = ["a", "b"].map(|path| format!("http://{address}/{path}")).to_vec();
    let report = case.check();
    assert!(!report.ok);
    let said = found(&report, Section::Endpoints);
    assert_eq!(said.len(), 2);
    for ((level, text), path) in said.into_iter().zip(["a", "b"]) {
        assert_eq!(level, Level::Problem);
        let expected =
            format!("http://{address}/{path}/v1/metrics (http/protobuf): connection to {address} refused");
        assert_eq!(text, expected);
    }
}

#[test]
fn no_endpoint_is_a_note_that_names_the_scrape() {
    let mut case = Case::with_runs();
    case.flags.listen = Some("127.0.0.1:1234".into());
    let report = case.check();
    let [(Level::Note, text)] = found(&report, Section::Endpoints)[..] else { panic!("one note") };
    assert!(text.contains("http://127.0.0.1:1234/metrics"), "{text}");
}

#[test]
fn every_family_is_listed_under_the_names_that_prometheus_stores() {
    let mut case = Case::new();
    case.flags.gateway = Some("office".into());
    let mut config = case.config();
    config.resource.service_namespace = Some("home".into());
    let names = names::of(&names::resource(&config, "office"));
    assert_eq!((names.job.as_str(), names.instance.as_str()), ("home/openclaw-usage", "office"));
    assert_eq!(names.families.len(), catalogue::ALL.len());
    let duration = names.families.iter().find(|family| family.kind == "histogram").unwrap();
    let base = "openclaw_run_duration_ms_milliseconds";
    assert_eq!(duration.series, ["_bucket", "_sum", "_count"].map(|suffix| format!("{base}{suffix}")));
}
