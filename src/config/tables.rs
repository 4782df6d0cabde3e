//! Tables that may come several times, such as `[[price]]`: from TOML to the text of each value, with its line.
//!
//! Invariant: as in the rest of the file layer, an unknown key is refused and nothing is interpreted.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Key, Reader};
use super::value::Raw;
use super::{ConfigError, Origin};

/// What a table may hold.
pub(super) struct Schema {
    pub name: &'static str,
    /// Keys with one value.
    pub keys: &'static [&'static str],
    /// Keys with a list of texts.
    pub lists: &'static [&'static str],
    /// A key with tables of its own.
    pub inner: Option<Inner>,
}

/// Tables within a table.
#[derive(Clone, Copy)]
pub(super) enum Inner {
    /// `key = [{ … }, { … }]`
    Many(&'static Schema),
    /// `key = { … }`
    One(&'static Schema),
    /// Either.
    Any(&'static Schema),
}

pub(super) const PRICE: Schema = Schema {
    name: "price",
    keys: &["provider", "model", "from", "input", "output", "cache_read", "cache_write"],
    lists: &[],
    inner: Some(Inner::Many(&TIERS)),
};
const TIERS: Schema = Schema {
    name: "tiers",
    keys: &["above", "input", "output", "cache_read", "cache_write"],
    lists: &[],
    inner: None,
};
pub(super) const ALIAS: Schema =
    Schema { name: "alias", keys: &["provider", "model", "to"], lists: &[], inner: None };
pub(super) const BUDGET: Schema = Schema {
    name: "budget",
    keys: &["name", "usd", "period", "timezone"],
    lists: &[],
    inner: Some(Inner::One(&MATCH)),
};
const MATCH: Schema =
    Schema { name: "match", keys: &["job", "agent", "model", "provider"], lists: &[], inner: None };
pub(super) const RELAY: Schema = Schema {
    name: "relay",
    keys: &[
        "name",
        "kind",
        "url_file",
        "token_file",
        "hmac_key_file",
        "ca_file",
        "chat",
        "template",
        SWITCH,
        "timeout",
        "quiet_hours",
        "timezone",
        "give_up_after",
    ],
    lists: &["events"],
    inner: Some(Inner::Any(&RELAY_MATCH)),
};
const RELAY_MATCH: Schema = Schema {
    name: "match",
    keys: &["cost_above_usd", "duration_above"],
    lists: &["job", "status"],
    inner: None,
};
pub(super) const DIGEST: Schema =
    Schema { name: "digest", keys: &["name", "relay", "every", "at", "timezone"], lists: &[], inner: None };
/// The one key that is true or false.
const SWITCH: &str = "include_summary";

/// Every kind of table that may come several times.
pub(super) const SCHEMAS: [&Schema; 5] = [&PRICE, &ALIAS, &BUDGET, &RELAY, &DIGEST];

impl Inner {
    const fn name(self) -> &'static str {
        match self {
            Self::Many(schema) | Self::One(schema) | Self::Any(schema) => schema.name,
        }
    }
}

/// What one table says.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The table as a whole.
    pub origin: Origin,
    /// By key of its schema.
    pub values: BTreeMap<&'static str, Raw>,
    /// Lists by key of its schema.
    pub lists: BTreeMap<&'static str, Vec<Raw>>,
    /// The tables within it.
    pub inner: Vec<Table>,
}

impl Schema {
    /// Reads all tables of this kind.
    pub(super) fn read(
        &self,
        reader: &Reader<'_>,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<Table>, ConfigError> {
        let wanted = format!("one [[{0}]] table for each {0}, with two brackets", self.name);
        self.many(reader, self.name, &wanted, key, value)
    }

    fn many(
        &self,
        reader: &Reader<'_>,
        path: &str,
        wanted: &str,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<Table>, ConfigError> {
        let refused = |value: &Spanned<DeValue<'_>>| {
            Raw::new(value.get_ref().type_str(), reader.origin(key))
                .invalid(path, format!("expected {wanted}"))
        };
        let tables = value.get_ref().as_array().ok_or_else(|| refused(value))?;
        let one = |value: &Spanned<DeValue<'_>>| {
            let table = value.get_ref().as_table().ok_or_else(|| refused(value))?;
            self.one(reader, path, reader.origin_at(value.span().start), table)
        };
        tables.iter().map(one).collect()
    }

    fn one(
        &self,
        reader: &Reader<'_>,
        path: &str,
        origin: Origin,
        table: &DeTable<'_>,
    ) -> Result<Table, ConfigError> {
        let mut found = Table { origin, values: BTreeMap::new(), lists: BTreeMap::new(), inner: Vec::new() };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let full = format!("{path}.{name}");
            match self.inner {
                Some(Inner::Any(inner)) if inner.name == name && value.get_ref().is_table() => {
                    let table = reader.table(key, value, "a table")?;
                    found.inner = vec![inner.one(reader, &full, reader.origin(key), table)?];
                }
                Some(Inner::Many(inner) | Inner::Any(inner)) if inner.name == name => {
                    found.inner =
                        inner.many(reader, &full, "a list of tables [{ key = value }]", key, value)?;
                }
                Some(Inner::One(inner)) if inner.name == name => {
                    let table = reader.table(key, value, "a table { key = \"value\" }")?;
                    found.inner = vec![inner.one(reader, &full, reader.origin(key), table)?];
                }
                inner => {
                    if let Some(known) = self.lists.iter().find(|known| **known == name) {
                        found.lists.insert(known, list_of(reader, &full, key, value)?);
                        continue;
                    }
                    let Some(known) = self.keys.iter().find(|known| **known == name) else {
                        let inner = inner.map(Inner::name);
                        let known = self.keys.iter().chain(self.lists).copied().chain(inner).collect();
                        return Err(reader.unknown(&format!("{path}."), key, known, None));
                    };
                    found.values.insert(known, text_of(reader, &full, key, value)?);
                }
            }
        }
        Ok(found)
    }
}

/// Returns the text of a value as it is written: prices are decimals, and no float comes between.
fn text_of(
    reader: &Reader<'_>,
    full: &str,
    key: &Key<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Result<Raw, ConfigError> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Boolean(yes) if key.get_ref() == SWITCH => yes.to_string(),
        other => {
            let problem = "expected a string in quotes, a decimal number or a date";
            return Err(Raw::new(other.type_str(), reader.origin(key)).invalid(full, problem));
        }
    };
    Ok(Raw::new(text, reader.origin(key)))
}

/// Returns the texts of a list; one alone needs no brackets.
fn list_of(
    reader: &Reader<'_>,
    full: &str,
    key: &Key<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<Raw>, ConfigError> {
    let one = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Ok(Raw::new(text.to_string(), reader.origin(key))),
        other => Err(Raw::new(other.type_str(), reader.origin(key))
            .invalid(full, "expected a list of strings in quotes, such as [\"a\", \"b\"]")),
    };
    match value.get_ref() {
        DeValue::Array(values) => values.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}
