//! The TOML layer: from the text of the file to the text of each value, with its line.
//!
//! Invariant: what is not a known key at its place is refused; nothing is interpreted here.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::otlp::{EndpointTable, Receives};
use super::tables::{SCHEMAS, Table};
use super::value::Raw;
use super::{ConfigError, Origin};

/// Every key with one value, dotted as in `[ledger] path`, in the order of the documentation.
pub(super) const SCALAR_KEYS: [&str; 26] = [
    "state_dir",
    "no_state_dir",
    "profile",
    "gateway",
    "listen",
    "watch",
    "poll_interval",
    "max_jobs",
    "gateway_log",
    "catalogue",
    "ledger.path",
    "ledger.synchronous",
    "ledger.keep",
    "log.level",
    "log.format",
    "resource.service_name",
    "resource.service_namespace",
    "events.stdout",
    "events.max_events",
    "events.max_age",
    "webhook.listen",
    "webhook.token_file",
    "webhook.query_token",
    "webhook.url",
    "webhook.cert_file",
    "webhook.key_file",
];
const TABLES: [&str; 5] = ["ledger", "log", "resource", EVENTS, "webhook"];
const EVENTS: &str = "events";
/// The keys that are true or false.
const SWITCHES: [&str; 3] = ["no_state_dir", "events.stdout", "webhook.query_token"];
const ENDPOINTS: &str = "otlp";
const HEADERS: &str = "headers";
const BILLING: &str = "billing";

/// What a configuration file says.
#[derive(Debug, Default)]
pub(super) struct FileLayer {
    pub scalars: BTreeMap<&'static str, Raw>,
    pub endpoints: Vec<EndpointTable>,
    /// Endpoints of events.
    pub event_endpoints: Vec<EndpointTable>,
    /// Providers with what their dollars mean.
    pub billing: Vec<(String, Raw)>,
    /// By the name of their schema.
    pub tables: BTreeMap<&'static str, Vec<Table>>,
}

impl FileLayer {
    /// Reads the text of the file; `path` is for origins only.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader { path, text };
        let root = reader.root()?;
        let mut layer = Self::default();
        for (key, value) in root.get_ref() {
            let name = key.get_ref().as_ref();
            if name == ENDPOINTS {
                layer.endpoints = reader.endpoints(Receives::Metrics, key, value)?;
            } else if let Some(schema) = SCHEMAS.into_iter().find(|schema| schema.name == name) {
                layer.tables.insert(schema.name, schema.read(&reader, key, value)?);
            } else if name == BILLING {
                for (provider, value) in reader.table(key, value, "a [table]")? {
                    let raw =
                        reader.text_of(&format!("{BILLING}.{}", provider.get_ref()), provider, value)?;
                    layer.billing.push((provider.get_ref().to_string(), raw));
                }
            } else if TABLES.contains(&name) {
                for (inner, value) in reader.table(key, value, "a [table]")? {
                    if name == EVENTS && inner.get_ref() == ENDPOINTS {
                        layer.event_endpoints = reader.endpoints(Receives::Events, inner, value)?;
                        continue;
                    }
                    layer.scalar(&reader, &format!("{name}."), inner, value)?;
                }
            } else {
                layer.scalar(&reader, "", key, value)?;
            }
        }
        Ok(layer)
    }

    fn scalar(
        &mut self,
        reader: &Reader<'_>,
        table: &str,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let full = format!("{table}{}", key.get_ref());
        let known = SCALAR_KEYS.iter().find(|known| **known == full);
        let known = known.ok_or_else(|| reader.unknown_scalar(table, key))?;
        self.scalars.insert(known, reader.text_of(known, key, value)?);
        Ok(())
    }
}

/// Returns what the file says of `listen`, whatever else it says.
pub(super) fn listen(path: &Path, text: &str) -> Result<Option<Raw>, ConfigError> {
    const KEY: &str = "listen";
    let reader = Reader { path, text };
    let root = reader.root()?;
    let found = root.get_ref().iter().find(|(key, _)| key.get_ref() == KEY);
    found.map(|(key, value)| reader.text_of(KEY, key, value)).transpose()
}

/// Returns the candidate that was probably meant, if one is near.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

pub(super) type Key<'i> = Spanned<DeString<'i>>;

/// The file while it is read: turns positions into lines.
pub(super) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn root(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            origin: self.origin_at(error.span().map_or(0, |span| span.start)),
            message: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }

    pub(super) fn origin_at(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: self.path.to_owned(), line }
    }

    pub(super) fn origin(&self, key: &Key<'_>) -> Origin {
        self.origin_at(key.span().start)
    }

    fn text_of(&self, full: &str, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<Raw, ConfigError> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Boolean(yes) if SWITCHES.contains(&full) => yes.to_string(),
            other => {
                let problem = "expected a string in quotes or a whole number";
                return Err(Raw::new(other.type_str(), self.origin(key)).invalid(full, problem));
            }
        };
        Ok(Raw::new(text, self.origin(key)))
    }

    pub(super) fn table<'v, 'i>(
        &self,
        key: &Key<'_>,
        value: &'v Spanned<DeValue<'i>>,
        wanted: &str,
    ) -> Result<&'v DeTable<'i>, ConfigError> {
        value.get_ref().as_table().ok_or_else(|| {
            Raw::new(value.get_ref().type_str(), self.origin(key))
                .invalid(key.get_ref(), format!("expected {wanted}"))
        })
    }

    fn endpoints(
        &self,
        receives: Receives,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<EndpointTable>, ConfigError> {
        let table = receives.table();
        let wanted = &format!("one [[{table}]] table for each endpoint, with two brackets");
        let tables = value.get_ref().as_array().ok_or_else(|| {
            Raw::new(value.get_ref().type_str(), self.origin(key))
                .invalid(table, format!("expected {wanted}"))
        })?;
        tables
            .iter()
            .map(|value| {
                let table = self.table(key, value, wanted)?;
                self.endpoint(receives, self.origin_at(value.span().start), table)
            })
            .collect()
    }

    fn endpoint(
        &self,
        receives: Receives,
        origin: Origin,
        table: &DeTable<'_>,
    ) -> Result<EndpointTable, ConfigError> {
        let prefix = receives.table();
        let mut endpoint = EndpointTable { origin, ..EndpointTable::of(receives) };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if name == HEADERS {
                for (header, value) in self.table(key, value, "a table { Name = \"value\" }")? {
                    let raw = self.text_of(&format!("{prefix}.headers"), header, value)?;
                    endpoint.headers.push((header.get_ref().to_string(), raw));
                }
            } else if let Some(known) = receives.keys().iter().find(|known| **known == name) {
                endpoint.values.insert(known, self.text_of(&format!("{prefix}.{name}"), key, value)?);
            } else {
                let known = receives.keys().iter().copied().chain([HEADERS]);
                return Err(self.unknown(&format!("{prefix}."), key, known.collect(), None));
            }
        }
        Ok(endpoint)
    }

    fn unknown_scalar(&self, table: &str, key: &Key<'_>) -> ConfigError {
        let leaf = |full: &'static str| full.rsplit_once('.').map_or(full, |(_, leaf)| leaf);
        let here = SCALAR_KEYS.into_iter().filter(|full| full.len() == table.len() + leaf(full).len());
        let mut here: Vec<_> = here.filter(|full| full.starts_with(table)).map(leaf).collect();
        if table.is_empty() {
            here.extend(TABLES.into_iter().chain([ENDPOINTS, BILLING]));
            here.extend(SCHEMAS.map(|schema| schema.name));
        }
        if table == "events." {
            here.push(ENDPOINTS);
        }
        let elsewhere = SCALAR_KEYS.into_iter().find(|full| leaf(full) == key.get_ref().as_ref());
        self.unknown(table, key, here, elsewhere)
    }

    pub(super) fn unknown(
        &self,
        table: &str,
        key: &Key<'_>,
        here: Vec<&'static str>,
        elsewhere: Option<&'static str>,
    ) -> ConfigError {
        let name = key.get_ref().as_ref();
        let remedy = match (elsewhere, nearest(name, here.iter().copied())) {
            (Some(full), _) => match full.split_once('.') {
                Some((table, _)) => format!("it belongs into the table [{table}]"),
                None => "it belongs above the first [table]".to_owned(),
            },
            (None, Some(near)) => format!("did you mean `{table}{near}`?"),
            (None, None) => format!("known here: {}", here.join(", ")),
        };
        ConfigError::UnknownKey { origin: self.origin(key), key: format!("{table}{name}"), remedy }
    }
}
