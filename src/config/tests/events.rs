//! Who is told of events: flags over the file, and what is refused.

use super::*;

fn endpoints(case: &Case) -> Vec<(String, String)> {
    let events = case.resolve().unwrap().events;
    events.otlp.into_iter().map(|sink| (sink.name, sink.url)).collect()
}

fn sinks(sinks: &[&str]) -> Overrides {
    flag(|flags| flags.events = sinks.iter().map(|sink| (*sink).to_owned()).collect())
}

#[test]
fn nobody_is_told_unless_asked_for() {
    let events = Case::default().resolve().unwrap().events;
    assert_eq!((events.stdout, events.otlp.len()), (false, 0));
    assert_eq!((events.max_events, events.max_age_ms), (100_000, 7 * 86_400_000));
}

#[test]
fn the_flag_names_standard_output_or_urls() {
    let mut case = Case::file(
        "[events]\nstdout = false\nmax_events = 5\nmax_age = '2d'\n[[events.otlp]]\nendpoint = 'http://loki:3100/otlp'\nname = 'l'",
    );
    assert_eq!(endpoints(&case), [("l".into(), "http://loki:3100/otlp/v1/logs".into())]);
    assert_eq!(case.shown("events.otlp.l.endpoint").1, "/etc/ocu.toml:6");
    assert_eq!(case.shown("events.max_age"), ("2d".into(), "/etc/ocu.toml:4".into()));
    case.flags = sinks(&["stdout"]);
    assert!(case.resolve().unwrap().events.stdout);
    assert_eq!(case.shown("events.stdout"), ("true".into(), "flag --events".into()));
    assert_eq!(endpoints(&case).len(), 1, "the file's endpoints stay");
    case.flags = sinks(&["http://a/otlp/", "stdout", "https://b/v1/logs"]);
    let expected = [("a/otlp", "http://a/otlp/v1/logs"), ("b", "https://b/v1/logs")];
    assert_eq!(endpoints(&case), expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    let env = Case::env(&[("OPENCLAW_USAGE_EVENTS_STDOUT", "true")]);
    assert!(env.resolve().unwrap().events.stdout);
}

#[test]
fn endpoints_of_events_have_the_options_of_endpoints() {
    let case = Case::file(
        "[[events.otlp]]\nendpoint = 'http://c:4317'\nprotocol = 'grpc'\nbearer_token_file = 't'\ncompression = 'none'",
    );
    let sink = case.with_secret("/etc/t", "hunter2").resolve().unwrap().events.otlp.remove(0);
    assert_eq!((sink.url.as_str(), sink.protocol), ("http://c:4317", Protocol::Grpc));
    assert_eq!(sink.headers.0, [("Authorization".to_owned(), "Bearer hunter2".to_owned())]);
    let mut case = Case::env(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=v"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "700"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "800"),
    ]);
    case.flags = sinks(&["http://a"]);
    let sink = case.resolve().unwrap().events.otlp.remove(0);
    assert_eq!((sink.headers.0.len(), sink.timeout_ms), (1, 700), "those of logs and of all signals");
}

#[test]
fn what_is_refused() {
    for (text, message) in [
        (
            "[events]\nstdot = true",
            "/etc/ocu.toml:2: unknown key `events.stdot`; did you mean `events.stdout`?",
        ),
        ("[events]\nstdout = 1", "events.stdout = \"1\" (/etc/ocu.toml:2): expected true or false"),
        (
            "[events]\nmax_events = 0",
            "events.max_events = \"0\" (/etc/ocu.toml:2): expected a whole number from 1 to 10000000",
        ),
        (
            "[events]\nmax_age = '1y'",
            "events.max_age = \"1y\" (/etc/ocu.toml:2): expected a duration from 1m to 31d with its unit, such as 10s",
        ),
        (
            "[[events.otlp]]\nname = 'a'",
            "events.otlp.endpoint (/etc/ocu.toml:1): an endpoint needs its URL; add endpoint = \"http://HOST:3100/otlp\"",
        ),
        (
            "[events.otlp]\nname = 'a'",
            "events.otlp = \"table\" (/etc/ocu.toml:1): expected one [[events.otlp]] table for each endpoint, with two brackets",
        ),
        (
            "[[events.otlp]]\nendpoint = 'http://a'\nname = 'stdout'",
            "events.otlp.name = \"stdout\" (/etc/ocu.toml:1): two endpoints have this name; remove one or give each its own `name` in [[events.otlp]]",
        ),
    ] {
        assert_eq!(Case::file(text).error(), message, "{text}");
    }
    let interval = Case::file("[[events.otlp]]\nendpoint = 'http://a'\ninterval = '1s'").error();
    assert!(interval.starts_with("/etc/ocu.toml:3: unknown key `events.otlp.interval`"), "{interval}");
    let mut case = Case { flags: sinks(&["stdot"]), ..Case::default() };
    assert!(
        case.error().starts_with("events.otlp.endpoint = \"stdot\" (flag --events): "),
        "{}",
        case.error()
    );
    case.flags = sinks(&["http://u:hunter2@p:1/x"]);
    assert!(!case.error().contains("hunter2"));
}
