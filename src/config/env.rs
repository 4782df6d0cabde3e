//! The environment layer: the variables that we read, and the OpenTelemetry specification's way of
//! writing lists, endpoints and exporters in them.
//!
//! As that specification demands, an empty variable counts as not set, and a variable of one signal beats
//! the one for all. Stricter than it: a value that cannot be understood is an error, never ignored.

use std::collections::BTreeMap;
use std::ffi::OsString;

use percent_encoding::percent_decode_str;

use super::file::{SCALAR_KEYS, nearest};
use super::otlp::{EndpointTable, Receives, check_url, mask_url, with_path};
use super::relay::VARIABLES as RELAYS;
use super::value::{Raw, Value};
use super::{ConfigError, Origin, Protocol};

const OWN_PREFIX: &str = "OPENCLAW_USAGE_";
/// Variables without a prefix of their own that decide where things are.
const PLACES: [&str; 4] = ["HOME", "OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "XDG_STATE_HOME"];
/// The token of our receiver, which no key of the file holds.
pub(super) const WEBHOOK_TOKEN: &str = "OPENCLAW_USAGE_WEBHOOK_TOKEN";
const EXTRA_OWN: [&str; 3] = ["OPENCLAW_USAGE_CONFIG", "OPENCLAW_USAGE_CONTAINER", WEBHOOK_TOKEN];

/// The environment variables that matter here, by name; those that are empty count as not set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes what matters from the process's environment (`std::env::vars_os()`).
    ///
    /// # Errors
    /// A variable that matters and is not UTF-8.
    pub fn collect(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut kept = BTreeMap::new();
        for (name, value) in vars {
            let Ok(name) = name.into_string() else { continue };
            if !(name.starts_with(OWN_PREFIX) || name.starts_with("OTEL_") || PLACES.contains(&&*name)) {
                continue;
            }
            let value = value.into_string().map_err(|_| ConfigError::Conflict {
                key: name.clone(),
                origin: Origin::Env(name.clone()),
                problem: "the value is not UTF-8; write it in UTF-8".to_owned(),
            })?;
            if !value.trim().is_empty() {
                kept.insert(name, value.trim().to_owned());
            }
        }
        Ok(Self(kept))
    }

    pub(super) fn get(&self, name: &str) -> Option<Raw> {
        self.0.get(name).map(|text| Raw::new(text, Origin::Env(name.to_owned())))
    }

    /// Returns the names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the value of one of our keys: `ledger.path` is `OPENCLAW_USAGE_LEDGER_PATH`.
    pub(super) fn setting(&self, key: &str) -> Option<Raw> {
        variable_of(key).and_then(|name| self.get(&name))
    }

    pub(super) fn in_container(&self) -> bool {
        self.0.get("OPENCLAW_USAGE_CONTAINER").is_some_and(|v| v == "1")
    }

    /// Returns a warning for each variable with our prefix that means nothing. No error: Kubernetes puts
    /// `OPENCLAW_USAGE_SERVICE_HOST` and the like into every pod beside a Service of our name.
    pub(super) fn unknown(&self) -> Vec<String> {
        let known: Vec<String> =
            SCALAR_KEYS.iter().filter_map(|k| variable_of(k)).chain(EXTRA_OWN.map(str::to_owned)).collect();
        let service_link = |name: &str| {
            name.ends_with("_SERVICE_HOST")
                || name.contains("_SERVICE_PORT")
                || name.ends_with("_PORT")
                || name.contains("_PORT_")
        };
        self.0
            .keys()
            .filter(|name| name.starts_with(OWN_PREFIX) && !name.starts_with(RELAYS))
            .filter(|name| !known.contains(name) && !service_link(name))
            .map(|name| {
                let hint = nearest(name, known.iter().map(String::as_str))
                    .map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near}?"));
                format!("environment variable {name} means nothing to this program; {hint}")
            })
            .collect()
    }

    /// Returns a variable of the OTLP exporter: the signal's own, else the one for all signals.
    fn otlp(&self, signal: Signal, option: &str) -> Option<Raw> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{option}", signal.upper());
        self.get(&own).or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{option}")))
    }

    /// Returns what the environment says of every endpoint for metrics or events: all options but the URL.
    pub(super) fn otlp_options(&self, receives: Receives) -> Result<EndpointTable, ConfigError> {
        let mut table = EndpointTable::of(receives);
        let signal = match receives {
            Receives::Metrics => Signal::Metrics,
            Receives::Events => Signal::Logs,
        };
        for (key, option) in [
            ("protocol", "PROTOCOL"),
            ("compression", "COMPRESSION"),
            ("timeout", "TIMEOUT"),
            ("ca_file", "CERTIFICATE"),
            ("client_cert_file", "CLIENT_CERTIFICATE"),
            ("client_key_file", "CLIENT_KEY"),
        ] {
            if let Some(raw) = self.otlp(signal, option) {
                table.values.insert(key, raw);
            }
        }
        if let Some(raw) = self.get("OTEL_METRIC_EXPORT_INTERVAL").filter(|_| signal == Signal::Metrics) {
            table.values.insert("interval", raw);
        }
        for key in ["timeout", "interval"] {
            if let Some(raw) = table.values.get_mut(key) {
                if !raw.text.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(raw.invalid(key, "expected whole milliseconds without a unit, such as 10000"));
                }
                raw.text.push_str("ms");
            }
        }
        if let Some(raw) = self.otlp(signal, "HEADERS") {
            for (name, value) in pairs(&raw, "headers", true)? {
                table.headers.push((name, Raw::new(value, raw.origin.clone())));
            }
        }
        Ok(table)
    }

    /// Returns the full URL for a signal if the environment turns its export on: for metrics any endpoint
    /// does, for our own traces and logs only one of their own or `OTEL_…_EXPORTER=otlp`.
    pub(super) fn signal_url(&self, signal: Signal) -> Result<Option<Raw>, ConfigError> {
        let exporter = format!("OTEL_{}_EXPORTER", signal.upper());
        let asked = self.get(&exporter).map(|raw| raw.text.split(',').any(|word| word.trim() == "otlp"));
        let own = self.get(&format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.upper()));
        let base = self.get("OTEL_EXPORTER_OTLP_ENDPOINT");
        let on = asked.unwrap_or(own.is_some() || (signal == Signal::Metrics && base.is_some()));
        if !on {
            return Ok(None);
        }
        let protocol = self.protocol(signal)?;
        if let Some(own) = own {
            check_url("endpoint", &own)?;
            return Ok(Some(own));
        }
        let base = base.unwrap_or_else(|| {
            let port = if protocol == Protocol::Grpc { 4317 } else { 4318 };
            Raw::new(format!("http://localhost:{port}"), Origin::Env(exporter))
        });
        let uri = check_url("endpoint", &base)?;
        let url = if protocol == Protocol::Grpc { base.text } else { with_path(&uri, signal.path()) };
        Ok(Some(Raw::new(url, base.origin)))
    }

    fn protocol(&self, signal: Signal) -> Result<Protocol, ConfigError> {
        let Some(raw) = self.otlp(signal, "PROTOCOL") else { return Ok(Protocol::Http) };
        let protocol = raw.parse("protocol")?;
        if protocol == Protocol::Grpc && signal != Signal::Metrics {
            let own = format!("OTEL_EXPORTER_OTLP_{}_PROTOCOL", signal.upper());
            let problem =
                format!("our own traces and logs only go out over HTTP; set {own}={}", Protocol::Http.show());
            return Err(raw.invalid("protocol", problem));
        }
        Ok(protocol)
    }

    /// Returns the attributes of `OTEL_RESOURCE_ATTRIBUTES` by name.
    pub(super) fn resource_attributes(&self) -> Result<BTreeMap<String, Raw>, ConfigError> {
        let Some(raw) = self.get("OTEL_RESOURCE_ATTRIBUTES") else { return Ok(BTreeMap::new()) };
        let pairs = pairs(&raw, "resource", false)?;
        Ok(pairs.into_iter().map(|(name, value)| (name, Raw::new(value, raw.origin.clone()))).collect())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    /// As [`Environment::collect`], from text.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(vars: I) -> Self {
        let kept = vars.into_iter().filter(|(_, value)| !value.trim().is_empty());
        Self(kept.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }
}

/// Only the names: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A kind of telemetry as OpenTelemetry's variables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Traces,
    Logs,
}

impl Signal {
    const fn upper(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS",
            Self::Traces => "TRACES",
            Self::Logs => "LOGS",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }
}

/// Returns the environment variable of a key; the resource has OpenTelemetry's own variables instead.
fn variable_of(key: &str) -> Option<String> {
    let ours = !key.starts_with("resource.");
    ours.then(|| format!("{OWN_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase()))
}

/// Splits `name=value,name=value` with percent-encoded parts.
fn pairs(raw: &Raw, key: &str, secret: bool) -> Result<Vec<(String, String)>, ConfigError> {
    let decode = |part: &str| percent_decode_str(part.trim()).decode_utf8().ok().map(String::from);
    let split = |member: &str| {
        let (name, value) = member.split_once('=')?;
        Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
    };
    raw.text
        .split(',')
        .filter(|member| !member.trim().is_empty())
        .map(|member| {
            split(member).ok_or_else(|| {
                let shown = if secret { "***".to_owned() } else { mask_url(member) };
                Raw::new(shown, raw.origin.clone())
                    .invalid(key, "expected name=value pairs with commas between, special characters as %XX")
            })
        })
        .collect()
}
