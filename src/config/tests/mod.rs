//! Precedence and refusals of the whole resolution; endpoints and the example file in files of their own.

mod endpoints;
mod events;
mod example;
mod money;
mod relays;
mod webhook;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::*;

/// One case: layers, and secret files by path.
#[derive(Clone, Default)]
struct Case {
    flags: Overrides,
    env: Vec<(&'static str, &'static str)>,
    file: Option<String>,
    secrets: BTreeMap<&'static str, &'static str>,
}

impl Case {
    fn env(vars: &[(&'static str, &'static str)]) -> Self {
        Self { env: vars.to_vec(), ..Self::default() }
    }

    fn file(text: &str) -> Self {
        Self { file: Some(text.to_owned()), ..Self::default() }
    }

    fn endpoints(urls: &[&str]) -> Self {
        let otlp_endpoints = urls.iter().map(|url| (*url).to_owned()).collect();
        Self { flags: Overrides { otlp_endpoints, ..Overrides::default() }, ..Self::default() }
    }

    fn with_env(mut self, vars: &[(&'static str, &'static str)]) -> Self {
        self.env.extend(vars);
        self
    }

    fn with_secret(mut self, path: &'static str, text: &'static str) -> Self {
        self.secrets.insert(path, text);
        self
    }

    /// Resolves with HOME=/h unless the case sets it.
    fn resolve(&self) -> Result<Config, ConfigError> {
        let read = |path: &Path| {
            let text = path.to_str().and_then(|path| self.secrets.get(path));
            text.map(|text| (*text).to_owned()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        resolve(&self.inputs(), &read)
    }

    fn inputs(&self) -> Inputs {
        let home = Some(("HOME", "/h")).filter(|(home, _)| self.env.iter().all(|(name, _)| name != home));
        let env: Environment = home.into_iter().chain(self.env.iter().copied()).collect();
        let file = self.file.clone().map(|text| FileText { path: "/etc/ocu.toml".into(), text });
        Inputs { flags: self.flags.clone(), env, file }
    }

    fn error(&self) -> String {
        self.resolve().expect_err("must be refused").to_string()
    }

    /// Returns value and origin of a key, as `check` shows them.
    fn shown(&self, key: &str) -> (String, String) {
        let rows = self.resolve().unwrap().explain();
        let row = rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no {key} in {rows:?}"));
        (row.value.clone(), row.origin.to_string())
    }
}

fn flag(set: impl FnOnce(&mut Overrides)) -> Overrides {
    let mut flags = Overrides::default();
    set(&mut flags);
    flags
}

#[test]
fn the_stronger_layer_wins_and_is_named() {
    let mut case = Case::default();
    assert_eq!(case.shown("listen"), ("127.0.0.1:9464".into(), "default".into()));
    case.file = Some("gateway = 'g'\nlisten = '127.0.0.1:1'\n".into());
    assert_eq!(case.shown("listen"), ("127.0.0.1:1".into(), "/etc/ocu.toml:2".into()));
    case.env.push(("OPENCLAW_USAGE_LISTEN", "127.0.0.1:2"));
    let from_env = ("127.0.0.1:2".into(), "environment variable OPENCLAW_USAGE_LISTEN".into());
    assert_eq!(case.shown("listen"), from_env);
    case.flags.listen = Some("127.0.0.1:3".into());
    assert_eq!(case.shown("listen"), ("127.0.0.1:3".into(), "flag --listen".into()));
}

#[test]
fn defaults_are_plain_values() {
    let config = Case::default().resolve().unwrap();
    assert_eq!(config.state_dir, Path::new("/h/.openclaw"));
    assert_eq!(config.ledger.path, Path::new("/h/.local/state/openclaw-usage/ledger.sqlite"));
    assert_eq!((config.ledger.synchronous, config.ledger.keep_days), (Synchronous::Normal, None));
    assert_eq!((config.gateway, config.watch, config.poll_interval_ms), (None, WatchMode::Auto, 1_000));
    assert_eq!((config.max_jobs, config.otlp.len(), config.warnings.len()), (500, 0, 0));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!(config.resource.service_name, "openclaw-usage");
    assert_eq!(config.resource.service_namespace, None);
    let off = OwnTelemetryConfig { traces_endpoint: None, logs_endpoint: None };
    assert_eq!(config.own_telemetry, off);
}

#[test]
fn every_scalar_can_be_set_in_the_environment() {
    let case = Case::env(&[
        ("OPENCLAW_USAGE_STATE_DIR", "/s"),
        ("OPENCLAW_USAGE_GATEWAY", "office"),
        ("OPENCLAW_USAGE_LISTEN", "[::1]:1"),
        ("OPENCLAW_USAGE_WATCH", "POLL"),
        ("OPENCLAW_USAGE_POLL_INTERVAL", "2s"),
        ("OPENCLAW_USAGE_MAX_JOBS", "7"),
        ("OPENCLAW_USAGE_CATALOGUE", "~/prices.json"),
        ("OPENCLAW_USAGE_LEDGER_PATH", "~/l.sqlite"),
        ("OPENCLAW_USAGE_LEDGER_SYNCHRONOUS", "full"),
        ("OPENCLAW_USAGE_LEDGER_KEEP", "400d"),
        ("OPENCLAW_USAGE_LOG_LEVEL", "debug"),
        ("OPENCLAW_USAGE_LOG_FORMAT", "json"),
    ]);
    let config = case.resolve().unwrap();
    assert_eq!((config.state_dir.to_str(), config.gateway.as_deref()), (Some("/s"), Some("office")));
    assert_eq!((config.listen.port(), config.watch, config.poll_interval_ms), (1, WatchMode::Poll, 2_000));
    assert_eq!(config.catalogue.as_deref(), Some(Path::new("/h/prices.json")));
    assert_eq!((config.max_jobs, config.ledger.path.to_str()), (7, Some("/h/l.sqlite")));
    assert_eq!((config.ledger.synchronous, config.ledger.keep_days), (Synchronous::Full, Some(400)));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn state_directory() {
    let dir = || flag(|f| f.state_dir = Some("/flag".into()));
    let profile = |name: &str| flag(|f| f.profile = Some(name.into()));
    let all = [("OPENCLAW_USAGE_STATE_DIR", "/own"), ("OPENCLAW_STATE_DIR", "~/theirs")];
    let in_file = Some("state_dir = 'rel'".to_owned());
    let case = |flags: Overrides, env: &[(&'static str, &'static str)], file: &Option<String>| Case {
        flags,
        env: env.to_vec(),
        file: file.clone(),
        ..Case::default()
    };
    let none = Overrides::default;
    for (case, path, origin) in [
        (case(dir(), &all, &in_file), "/flag", "flag --state-dir"),
        (case(profile("work"), &all, &in_file), "/h/.openclaw-work", "flag --profile"),
        (case(profile("default"), &[], &None), "/h/.openclaw", "flag --profile"),
        (case(none(), &all, &in_file), "/own", "environment variable OPENCLAW_USAGE_STATE_DIR"),
        (case(none(), &all[1..], &in_file), "/etc/rel", "/etc/ocu.toml:1"),
        (case(none(), &all[1..], &None), "/h/theirs", "environment variable OPENCLAW_STATE_DIR"),
        (case(none(), &[("OPENCLAW_HOME", "~/o")], &None), "/h/o/.openclaw", "default, from OPENCLAW_HOME"),
        (case(none(), &[], &None), "/h/.openclaw", "default, from HOME"),
        (case(none(), &[("OPENCLAW_STATE_DIR", " ")], &None), "/h/.openclaw", "default, from HOME"),
    ] {
        assert_eq!(case.shown("state_dir"), (path.to_owned(), origin.to_owned()));
    }
    let both = Case::file("profile = 'a'\nstate_dir = '/b'").error();
    assert_eq!(
        both,
        "profile = \"a\" (/etc/ocu.toml:1): state_dir is given beside it and already says where; remove one of the two"
    );
    assert_eq!(
        Case::env(&[("HOME", "")]).error(),
        "cannot tell the default of state_dir: HOME is not set; set HOME or give --state-dir"
    );
    let traversal = case(profile("../x"), &[], &None).error();
    assert!(traversal.starts_with("profile = \"../x\" (flag --profile): expected a profile's name"));
}

#[test]
fn the_image_has_its_own_defaults() {
    let case = Case::env(&[("OPENCLAW_USAGE_CONTAINER", "1"), ("XDG_STATE_HOME", "/x")]);
    let from = "default, from OPENCLAW_USAGE_CONTAINER".to_owned();
    let path = "/var/lib/openclaw-usage/ledger.sqlite".to_owned();
    assert_eq!(case.shown("ledger.path"), (path, from.clone()));
    assert_eq!(case.shown("log.format"), ("json".into(), from.clone()));
    assert_eq!(case.shown("listen"), ("0.0.0.0:9464".into(), from));
    for (xdg, path) in
        [("/x", "/x/openclaw-usage/ledger.sqlite"), ("x", "/h/.local/state/openclaw-usage/ledger.sqlite")]
    {
        assert_eq!(Case::env(&[("XDG_STATE_HOME", xdg)]).shown("ledger.path").0, path);
    }
}

#[test]
fn a_bad_file_is_refused_with_line_and_remedy() {
    for (text, message) in [
        ("\nlisten_ = 1", "/etc/ocu.toml:2: unknown key `listen_`; did you mean `listen`?"),
        ("[ledger]\npth = ''", "/etc/ocu.toml:2: unknown key `ledger.pth`; did you mean `ledger.path`?"),
        (
            "[ledger]\nlisten = ''",
            "/etc/ocu.toml:2: unknown key `ledger.listen`; it belongs above the first [table]",
        ),
        ("level = 'warn'", "/etc/ocu.toml:1: unknown key `level`; it belongs into the table [log]"),
        ("[log]\ncolour = 1", "/etc/ocu.toml:2: unknown key `log.colour`; known here: level, format"),
        ("[leger]\npath = ''", "/etc/ocu.toml:1: unknown key `leger`; did you mean `ledger`?"),
        (
            "[[otlp]]\nendpont = ''",
            "/etc/ocu.toml:2: unknown key `otlp.endpont`; did you mean `otlp.endpoint`?",
        ),
        (
            "\n[otlp]\nname = ''",
            "otlp = \"table\" (/etc/ocu.toml:2): expected one [[otlp]] table for each endpoint, with two brackets",
        ),
        ("ledger = 'x'", "ledger = \"string\" (/etc/ocu.toml:1): expected a [table]"),
        (
            "listen = true",
            "listen = \"boolean\" (/etc/ocu.toml:1): expected a string in quotes or a whole number",
        ),
        (
            "\n\nlisten = 9464",
            "listen = \"9464\" (/etc/ocu.toml:3): expected an IP address and port, such as 127.0.0.1:9464 or [::]:9464",
        ),
        ("watch = 'never'", "watch = \"never\" (/etc/ocu.toml:1): expected one of auto, events, poll"),
        (
            "poll_interval = '0s'",
            "poll_interval = \"0s\" (/etc/ocu.toml:1): expected a duration from 50ms to 1h with its unit, such as 10s",
        ),
        ("max_jobs = 0", "max_jobs = \"0\" (/etc/ocu.toml:1): expected a whole number from 1 to 100000"),
        (
            "gateway = ''",
            "gateway = \"\" (/etc/ocu.toml:1): expected 1 to 63 printable characters without spaces at the ends, such as office",
        ),
        (
            "[ledger]\nkeep = '12h'",
            "ledger.keep = \"12h\" (/etc/ocu.toml:2): expected `unlimited` or whole days from 1d, such as 400d",
        ),
        (
            "\n[[otlp]]\nname = 'a'",
            "otlp.endpoint (/etc/ocu.toml:2): an endpoint needs its URL; add endpoint = \"http://HOST:9090/api/v1/otlp\"",
        ),
    ] {
        assert_eq!(Case::file(text).error(), message, "{text}");
    }
    for broken in ["a = ", "[ledger]\nkeep = '1d'\nkeep = '2d'", "x"] {
        let message = Case::file(broken).error();
        assert!(message.starts_with("/etc/ocu.toml:") && message.contains(": not valid TOML: "), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn own_traces_and_logs_are_off_unless_asked_for() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let own = |env: &[(&'static str, &'static str)]| {
        let own = Case::env(env).resolve().unwrap().own_telemetry;
        (own.traces_endpoint, own.logs_endpoint)
    };
    let some = |url: &str| Some(url.to_owned());
    assert_eq!(own(&[base]), (None, None));
    assert_eq!(own(&[base, ("OTEL_TRACES_EXPORTER", "otlp")]), (some("http://c/v1/traces"), None));
    assert_eq!(own(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://l/x")]), (None, some("http://l/x")));
    let grpc = [base, ("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    assert!(Case::env(&grpc).error().contains("set OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=http/protobuf"));
}

#[test]
fn resource_attributes_other_than_the_service_are_ignored_with_a_warning() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.namespace=n%201,k8s.pod.name=p");
    let mut case = Case::file("[resource]\nservice_name = 'file'").with_env(&[attributes]);
    let config = case.resolve().unwrap();
    assert_eq!(config.resource.service_name, "a");
    assert_eq!(config.resource.service_namespace.as_deref(), Some("n 1"));
    assert_eq!(
        config.warnings,
        [
            "resource attribute k8s.pod.name of OTEL_RESOURCE_ATTRIBUTES is not sent: any further one makes Prometheus store a target_info series; remove it"
        ]
    );
    case.env.push(("OTEL_SERVICE_NAME", "b"));
    assert_eq!(case.resolve().unwrap().resource.service_name, "b");
    assert_eq!(case.resolve().unwrap().warnings.len(), 1);
}

#[test]
fn unknown_variables_of_ours_are_warned_of_but_not_those_of_kubernetes() {
    let config = Case::env(&[
        ("OPENCLAW_USAGE_LISTN", "x"),
        ("OPENCLAW_USAGE_SERVICE_HOST", "10.0.0.1"),
        ("OPENCLAW_USAGE_PORT_9464_TCP_ADDR", "10.0.0.1"),
    ])
    .resolve()
    .unwrap();
    assert_eq!(
        config.warnings,
        [
            "environment variable OPENCLAW_USAGE_LISTN means nothing to this program; did you mean OPENCLAW_USAGE_LISTEN?"
        ]
    );
}

#[test]
fn load_reads_the_named_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, "gateway = 'office'\n[ledger]\npath = 'l.sqlite'\n").unwrap();
    let flags = flag(|f| f.config = Some(path.to_str().unwrap().to_owned()));
    let env: Environment = [("HOME", "/h"), ("OPENCLAW_USAGE_CONFIG", "/nowhere")].into_iter().collect();
    let config = load(&flags, &env).unwrap();
    assert_eq!((config.gateway.as_deref(), config.file), (Some("office"), Some(path)));
    assert_eq!(config.ledger.path, dir.path().join("l.sqlite"));
    let message = load(&Overrides::default(), &env).unwrap_err().to_string();
    assert!(message.starts_with("cannot read /nowhere (environment variable OPENCLAW_USAGE_CONFIG): "));
    let flags = flag(|f| f.config = Some(dir.path().to_str().unwrap().to_owned()));
    assert!(load(&flags, &env).unwrap_err().to_string().contains("not a regular file"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_refused_only_if_it_matters() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let bad = |name: &str| vec![(OsString::from(name), OsString::from_vec(vec![0xff]))];
    assert_eq!(Environment::collect(bad("LS_COLORS")).unwrap(), Environment::default());
    let message = Environment::collect(bad("OTEL_SERVICE_NAME")).unwrap_err().to_string();
    assert!(
        message.starts_with(
            "OTEL_SERVICE_NAME (environment variable OTEL_SERVICE_NAME): the value is not UTF-8"
        )
    );
}
