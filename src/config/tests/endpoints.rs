//! Which endpoints there are, their URLs, and that their secrets show nowhere.

use super::*;

#[test]
fn urls_of_endpoints() {
    for (given, url, name) in [
        ("http://p:9090/api/v1/otlp", "http://p:9090/api/v1/otlp/v1/metrics", "p:9090/api/v1/otlp"),
        ("http://p:9090/api/v1/otlp/", "http://p:9090/api/v1/otlp/v1/metrics", "p:9090/api/v1/otlp"),
        (
            "http://p:9090/api/v1/otlp/v1/metrics",
            "http://p:9090/api/v1/otlp/v1/metrics",
            "p:9090/api/v1/otlp",
        ),
        ("https://[::1]:4318", "https://[::1]:4318/v1/metrics", "[::1]:4318"),
        ("http://p/x?org=1", "http://p/x/v1/metrics?org=1", "p/x"),
    ] {
        let config = Case::endpoints(&[given]).resolve().unwrap();
        assert_eq!((config.otlp[0].url.as_str(), config.otlp[0].name.as_str()), (url, name), "{given}");
    }
    for (given, shown, remedy) in [
        ("p:9090", "p:9090", "http:// or https://"),
        ("ftp://p", "ftp://p", "http:// or https://"),
        ("http://", "http://", "expected a URL"),
        ("http://p:99999", "http://p:99999", "expected a port"),
        ("http://u:hunter2@p:1/x", "http://***@p:1/x", "basic_auth_file"),
        ("http://u:hunt/er2@p:1", "http://***@p:1", "expected a"),
        ("ftp://p?token=hunter2", "ftp://p?***", "http:// or https://"),
    ] {
        let message = Case::endpoints(&[given]).error();
        let start = format!("otlp.endpoint = \"{shown}\" (flag --otlp-endpoint): ");
        assert!(message.starts_with(&start) && message.contains(remedy), "{message}");
        assert!(!message.contains("hunt"), "{message}");
    }
    let twice = Case::endpoints(&["http://p/", "http://p/v1/metrics"]).error();
    assert!(twice.starts_with("otlp.name = \"p\" (flag --otlp-endpoint): two endpoints have this name"));
}

#[test]
fn flags_else_file_else_environment_say_which_endpoints() {
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1/base"), ("OTEL_EXPORTER_OTLP_HEADERS", "k=v")];
    let urls = |case: &Case| {
        let config = case.resolve().unwrap();
        config.otlp.iter().map(|e| (e.url.clone(), e.headers.0.len())).collect::<Vec<_>>()
    };
    let mut case = Case::env(&env);
    assert_eq!(urls(&case), [("http://env:1/base/v1/metrics".to_owned(), 1)]);
    case.file = Some("[[otlp]]\nendpoint = 'http://file'\n[[otlp]]\nendpoint = 'http://file:2'".into());
    let from_file = [("http://file/v1/metrics".to_owned(), 0), ("http://file:2/v1/metrics".to_owned(), 0)];
    assert_eq!(urls(&case), from_file, "the environment's credentials stay away from the file's endpoints");
    assert_eq!(case.resolve().unwrap().warnings.len(), 1);
    case.flags = Case::endpoints(&["http://flag"]).flags;
    assert_eq!(urls(&case), [("http://flag/v1/metrics".to_owned(), 1)]);
}

#[test]
fn opentelemetry_variables() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
    let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:1");
    let url = |env: &[(&'static str, &'static str)]| {
        Case::env(env).resolve().unwrap().otlp.first().map(|endpoint| endpoint.url.clone())
    };
    for (env, expected) in [
        (vec![base], Some("http://c:4318/v1/metrics")),
        (vec![base, own], Some("http://m:1")),
        (vec![base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Some("http://c:4318/")),
        (vec![base, ("OTEL_METRICS_EXPORTER", "none")], None),
        (vec![("OTEL_METRICS_EXPORTER", "otlp")], Some("http://localhost:4318/v1/metrics")),
        (
            vec![("OTEL_METRICS_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")],
            Some("http://localhost:4317"),
        ),
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None),
    ] {
        assert_eq!(url(&env).as_deref(), expected, "{env:?}");
    }
    let config = Case::env(&[
        base,
        ("OTEL_EXPORTER_OTLP_HEADERS", "ignored=1"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", " Authorization=Basic%20dTpw== , x-a=b%2Cc,"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60000"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "~/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "c.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "c.key"),
    ])
    .resolve()
    .unwrap();
    let endpoint = &config.otlp[0];
    let headers: Vec<_> = endpoint.headers.iter().collect();
    assert_eq!(headers, [("Authorization", "Basic dTpw=="), ("x-a", "b,c")]);
    assert_eq!((endpoint.compression, endpoint.timeout_ms), (Compression::None, 2_500));
    assert_eq!((endpoint.interval_ms, endpoint.protocol), (60_000, Protocol::Http));
    assert_eq!(endpoint.ca_file.as_deref(), Some(Path::new("/h/ca.pem")));
    assert_eq!(endpoint.client_cert_file.as_deref(), Some(Path::new("c.pem")));
    assert_eq!(endpoint.client_key_file.as_deref(), Some(Path::new("c.key")));
    for (name, value, message) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "protocol = \"http/json\" (environment variable OTEL_EXPORTER_OTLP_PROTOCOL): expected one of http/protobuf, http, grpc",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10s",
            "timeout = \"10s\" (environment variable OTEL_EXPORTER_OTLP_TIMEOUT): expected whole milliseconds without a unit, such as 10000",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "hunter2",
            "headers = \"***\" (environment variable OTEL_EXPORTER_OTLP_HEADERS): expected name=value pairs with commas between, special characters as %XX",
        ),
    ] {
        assert_eq!(Case::env(&[base, (name, value)]).error(), message);
    }
}

#[test]
fn secrets_come_from_files_and_show_nowhere() {
    let table = "[[otlp]]\nname = 'n'\nendpoint = 'http://p?key=hunter2'\n";
    let case = Case::file(&format!(
        "{table}headers = {{ X-Org = 'o' }}\nheaders_file = 'h'\nbearer_token_file = '~/t'"
    ))
    .with_secret("/etc/h", "# comment\nX-Key: hunter2\n\n")
    .with_secret("/h/t", "hunter2\n");
    let config = case.resolve().unwrap();
    let headers: Vec<_> = config.otlp[0].headers.iter().collect();
    assert_eq!(headers, [("X-Org", "o"), ("X-Key", "hunter2"), ("Authorization", "Bearer hunter2")]);
    let shown = format!("{config:?} {:#?} {}", config.otlp, config.otlp[0].headers);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(case.shown("otlp.n.headers.X-Key"), ("***".into(), "/etc/ocu.toml:5".into()));
    assert_eq!(case.shown("otlp.n.endpoint").0, "http://p/v1/metrics?***");

    let basic = Case::file(&format!("{table}basic_auth_file = '/b'")).with_secret("/b", "user:pass\n");
    let headers = basic.resolve().unwrap().otlp[0].headers.clone();
    assert_eq!(headers.0, [("Authorization".to_owned(), "Basic dXNlcjpwYXNz".to_owned())]);
}

#[test]
fn bad_secrets_are_refused_unseen() {
    let table = "[[otlp]]\nendpoint = 'http://p'\n";
    for (lines, secret, message) in [
        (
            "basic_auth_file = '/s'",
            "hunter2",
            "otlp.basic_auth_file = \"/s\" (/etc/ocu.toml:3): expected one line of the form user:password in the file",
        ),
        (
            "bearer_token_file = '/s'",
            "hunter2\nhunter2",
            "otlp.bearer_token_file = \"/s\" (/etc/ocu.toml:3): expected one line with the token in the file",
        ),
        (
            "bearer_token_file = '/s'",
            "hunter2ü",
            "otlp.headers (/etc/ocu.toml:3): the value of header Authorization is not printable ASCII; correct it",
        ),
        (
            "headers_file = '/s'",
            "a: b\nhunter2",
            "otlp.headers_file = \"/s\" (/etc/ocu.toml:3): expected `Name: value` in line 2 of the file",
        ),
        (
            "headers_file = '/s'",
            "hunter 2: b",
            "otlp.headers (/etc/ocu.toml:3): a header's name is not letters, digits and hyphens; correct it",
        ),
        (
            "headers_file = '/s'",
            "content-type: b",
            "otlp.headers (/etc/ocu.toml:3): header content-type is set by the exporter itself; leave it out",
        ),
        (
            "headers_file = '/s'\nbearer_token_file = '/s2'",
            "authorization: hunter2",
            "otlp.headers (/etc/ocu.toml:4): header Authorization is given twice for otlp.p; keep one",
        ),
        (
            "headers_file = '/absent'",
            "",
            "cannot read /absent (/etc/ocu.toml:3): entity not found; check the path and that this user may read the file",
        ),
        (
            "headers = { Authorization = 'hunter2' }",
            "",
            "otlp.headers (/etc/ocu.toml:3): header Authorization holds a secret, which does not belong into this file; use headers_file, bearer_token_file or basic_auth_file",
        ),
        (
            "client_key_file = 'k'",
            "",
            "otlp.client_key_file = \"k\" (/etc/ocu.toml:3): a client certificate needs both files; give client_cert_file too",
        ),
    ] {
        let case =
            Case::file(&format!("{table}{lines}")).with_secret("/s", secret).with_secret("/s2", "hunter2");
        assert_eq!(case.error(), message, "{lines}");
    }
}
