//! Relays and digests: from the texts of the file to plain values, and their secrets from files or the environment.
//!
//! Invariant: a relay's URL, token and key appear in no error, in no row of `check` and in no `Debug` output.

use std::fmt;
use std::path::PathBuf;

use http::Uri;

use super::resolve::Paths;
use super::secret::{ReadFile, SecretFile};
use super::tables::Table;
use super::value::{Millis, Name, Raw, Switch, Value, keyword};
use super::{ConfigError, Environment, Explained, Origin};
use crate::model::{NanoUsd, Period, Status};
use crate::price::BudgetClock;

/// Longest template, in bytes.
const MAX_TEMPLATE: usize = 64 << 10;
/// The variables of relays begin so; the relay's name and the secret's follow.
pub(super) const VARIABLES: &str = "OPENCLAW_USAGE_RELAY_";

keyword! {
    /// The service that a relay posts to.
    RelayKind {
        /// Discord's webhooks.
        Discord = "discord",
        /// Slack's incoming webhooks.
        Slack = "slack",
        /// The method `sendMessage` of Telegram's bots.
        Telegram = "telegram",
        /// Workflows of Microsoft Teams that take a card.
        Teams = "teams",
        /// A topic of ntfy.
        Ntfy = "ntfy",
        /// Mattermost's incoming webhooks.
        Mattermost = "mattermost",
        /// Any endpoint that takes JSON.
        Http = "http",
    }
}

/// A text that nobody is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text itself, for whoever sends it to where it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A service that is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// Its name in metrics, logs and the ledger; unique and stable.
    pub name: String,
    /// What it is.
    pub kind: RelayKind,
    /// Where messages are posted to.
    pub url: Secret,
    /// Sent as `Authorization: Bearer`; `None` = not at all.
    pub token: Option<Secret>,
    /// Signs bodies with HMAC-SHA256; `None` = they are not signed.
    pub hmac_key: Option<Secret>,
    /// PEM file with the certificate authorities to trust; `None` = the system's.
    pub ca_file: Option<PathBuf>,
    /// Telegram's chat; there exactly for that kind.
    pub chat: Option<String>,
    /// Template of the body, for the kind [`RelayKind::Http`] only.
    pub template: Option<String>,
    /// Whether messages hold what runs say.
    pub include_summary: bool,
    /// Longest wait for an answer, in milliseconds; 100 ms to 1 min.
    pub timeout_ms: u64,
    /// Local times between which nothing is sent.
    pub quiet: Option<QuietHours>,
    /// The IANA time zone of these, and of times in messages.
    pub timezone: String,
    /// How long a message may wait before it is given up, in milliseconds; 1 min to 31 days.
    pub give_up_ms: u64,
    /// Patterns of the types of events that are passed on, without `openclaw.cron.`; none = no events at all.
    pub events: Vec<String>,
    /// What a run must be like to be passed on: like one of these; empty = any.
    pub matches: Vec<RelayMatch>,
}

/// What a run must be like, all of it together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayMatch {
    /// Patterns of the job's name or id, of which one must fit; empty = any.
    pub jobs: Vec<String>,
    /// How it ended; empty = anyhow.
    pub status: Vec<Status>,
    /// It cost more than this.
    pub cost_above: Option<NanoUsd>,
    /// It took longer than this, in milliseconds.
    pub duration_above_ms: Option<u64>,
}

/// Local times between which nothing is sent, in minutes since midnight; they differ, and midnight may lie between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// The first quiet minute.
    pub from: u16,
    /// The first minute that is not.
    pub until: u16,
}

/// A report that is posted at a local time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestConfig {
    /// Its name in the ledger; unique and stable.
    pub name: String,
    /// The relay that posts it.
    pub relay: String,
    /// What it tells of: [`Period::Day`] or [`Period::Week`].
    pub every: Period,
    /// The local time at which it is posted, in minutes since midnight; of a week on Monday.
    pub at: u16,
    /// The IANA time zone of that time and of its days.
    pub timezone: String,
}

/// What tables are resolved with.
pub(super) struct Surroundings<'a> {
    pub env: &'a Environment,
    pub paths: &'a Paths,
    pub read: ReadFile<'a>,
}

/// Returns the `[[relay]]` tables.
pub(super) fn relays(
    tables: &[Table],
    with: &Surroundings<'_>,
    rows: &mut Vec<Explained>,
) -> Result<Vec<RelayConfig>, ConfigError> {
    let mut relays: Vec<RelayConfig> = Vec::new();
    for table in tables {
        let relay = Relay::new(table, with, rows)?.resolve()?;
        if relays.iter().any(|known| known.name == relay.name) {
            let problem = "two relays have this name; give each its own";
            return Err(conflict(table, &format!("relay.{}", relay.name), problem));
        }
        relays.push(relay);
    }
    Ok(relays)
}

/// Returns a warning for each variable that is none of these relays' secrets.
pub(super) fn unknown_variables(env: &Environment, relays: &[RelayConfig]) -> Vec<String> {
    let known: Vec<String> =
        relays.iter().flat_map(|relay| SECRETS.map(|(_, suffix, _)| variable(&relay.name, suffix))).collect();
    env.names()
        .filter(|name| name.starts_with(VARIABLES) && !known.iter().any(|known| known == name))
        .map(|name| {
            format!(
                "environment variable {name} belongs to no [[relay]]; give a relay that name, or remove the variable"
            )
        })
        .collect()
}

/// Keys that name files with secrets, the ends of the variables that hold the same, and what is in them.
const SECRETS: [(&str, &str, &str); 3] = [
    ("url_file", "URL", "one line with the URL"),
    ("token_file", "TOKEN", "one line with the token"),
    ("hmac_key_file", "HMAC_KEY", "one line with the key"),
];

fn variable(relay: &str, suffix: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{VARIABLES}{}_{suffix}", relay.chars().map(plain).collect::<String>())
}

/// A table while it is resolved.
struct Relay<'a> {
    table: &'a Table,
    with: &'a Surroundings<'a>,
    rows: &'a mut Vec<Explained>,
    name: String,
    kind: RelayKind,
}

impl<'a> Relay<'a> {
    fn new(
        table: &'a Table,
        with: &'a Surroundings<'a>,
        rows: &'a mut Vec<Explained>,
    ) -> Result<Self, ConfigError> {
        let required = |key: &str, example: &str| {
            let problem = format!("a relay needs its {key}; add {key} = {example}");
            table.values.get(key).ok_or_else(|| conflict(table, &format!("relay.{key}"), &problem))
        };
        let name = required("name", "\"team\"")?.parse::<Name>("relay.name")?.0;
        let raw = required("kind", "\"slack\"")?;
        let kind: RelayKind = raw.parse("relay.kind")?;
        rows.push(Explained {
            key: format!("relay.{name}.kind"),
            value: kind.show(),
            origin: raw.origin.clone(),
        });
        Ok(Self { table, with, rows, name, kind })
    }

    fn resolve(mut self) -> Result<RelayConfig, ConfigError> {
        let url = self.url()?;
        let token = self.secret("token_file")?;
        let hmac_key = self.secret("hmac_key_file")?;
        if hmac_key.is_some() && self.kind != RelayKind::Http {
            return Err(self.refuse("hmac_key", "only the kind http signs bodies; leave it out"));
        }
        let template = self.only_for("template", RelayKind::Http)?;
        let chat = self.only_for("chat", RelayKind::Telegram)?;
        if self.kind == RelayKind::Telegram && chat.is_none() {
            let problem = "Telegram needs the chat that messages go to; add chat = \"-1001234567890\"";
            return Err(self.refuse("chat", problem));
        }
        if template.as_ref().is_some_and(|text| text.len() > MAX_TEMPLATE) {
            return Err(self.refuse("template", "the template is longer than 64 KiB; shorten it"));
        }
        let ca_file = self.table.values.get("ca_file");
        let ca_file = ca_file.map(|raw| self.with.paths.expand("relay.ca_file", raw)).transpose()?;
        let include_summary = self.value("include_summary", Switch(false))?.0;
        let timeout_ms = self.value("timeout", Millis::<100, 60_000>(10_000))?.0;
        let quiet =
            self.table.values.get("quiet_hours").map(|raw| raw.parse("relay.quiet_hours")).transpose()?;
        let timezone = timezone(self.table, "relay.timezone")?;
        self.note("quiet_hours", quiet.as_ref().map_or_else(|| "none".to_owned(), QuietHours::show));
        self.note("timezone", timezone.clone());
        let give_up_ms = self.value("give_up_after", Millis::<60_000, 2_678_400_000>(86_400_000))?.0;
        let events = match self.table.lists.get("events") {
            Some(raws) => raws.iter().map(|raw| raw.text.clone()).collect(),
            None => vec!["run".to_owned()],
        };
        self.note("events", if events.is_empty() { "none".to_owned() } else { events.join(", ") });
        let matches = self.table.inner.iter().map(run_match).collect::<Result<Vec<_>, _>>()?;
        let shown: Vec<String> = matches.iter().map(RelayMatch::show).collect();
        self.note("match", if shown.is_empty() { "every run".to_owned() } else { shown.join("; or ") });
        Ok(RelayConfig {
            name: self.name,
            kind: self.kind,
            url,
            token,
            hmac_key,
            ca_file,
            chat,
            template,
            include_summary,
            timeout_ms,
            quiet,
            timezone,
            give_up_ms,
            events,
            matches,
        })
    }

    fn refuse(&self, key: &str, problem: &str) -> ConfigError {
        conflict(self.table, &format!("relay {}: {key}", self.name), problem)
    }

    fn note(&mut self, key: &str, value: String) {
        let origin = self.table.values.get(key).map_or(Origin::Default, |raw| raw.origin.clone());
        let listed = self.table.lists.get(key).map(|_| self.table.origin.clone());
        let inner = self.table.inner.first().filter(|_| key == "match").map(|table| table.origin.clone());
        let origin = listed.or(inner).unwrap_or(origin);
        self.rows.push(Explained { key: format!("relay.{}.{key}", self.name), value, origin });
    }

    fn value<T: Value>(&mut self, key: &str, default: T) -> Result<T, ConfigError> {
        let raw = self.table.values.get(key);
        let value = raw.map_or(Ok(default), |raw| raw.parse(&format!("relay.{key}")))?;
        self.note(key, value.show());
        Ok(value)
    }

    fn only_for(&self, key: &str, kind: RelayKind) -> Result<Option<String>, ConfigError> {
        let Some(raw) = self.table.values.get(key) else { return Ok(None) };
        if self.kind != kind {
            let problem = format!("only the kind {} has it; leave it out", kind.as_str());
            return Err(raw.conflict(&format!("relay {}: {key}", self.name), problem));
        }
        let text = raw.text.trim();
        if text.is_empty() {
            return Err(raw.invalid(&format!("relay.{key}"), "expected a text"));
        }
        Ok(Some(text.to_owned()))
    }

    /// Returns a secret, and notes where it is from.
    fn secret(&mut self, key: &str) -> Result<Option<Secret>, ConfigError> {
        let Some((_, suffix, wanted)) = SECRETS.iter().find(|(known, ..)| *known == key) else {
            return Ok(None);
        };
        let full = format!("relay.{key}");
        let in_env = self.with.env.get(&variable(&self.name, suffix));
        let (text, origin) = match (in_env, self.table.values.get(key)) {
            // The environment is stronger, as everywhere.
            (Some(raw), _) => (raw.text, raw.origin),
            (None, Some(raw)) => {
                let path = self.with.paths.expand(&full, raw)?;
                let file = SecretFile { key: &full, path, origin: &raw.origin };
                (file.line(self.with.read, wanted)?, raw.origin.clone())
            }
            (None, None) => return Ok(None),
        };
        // A header's value, or part of a request's first line.
        if !text.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            let problem = format!("expected {wanted}, in printable ASCII without spaces");
            return Err(Raw::new("", origin).conflict(&full, problem));
        }
        let shown = format!("relay.{}.{}", self.name, key.trim_end_matches("_file"));
        self.rows.push(Explained { key: shown, value: "***".to_owned(), origin });
        Ok(Some(Secret(text)))
    }

    fn url(&mut self) -> Result<Secret, ConfigError> {
        let Some(url) = self.secret("url_file")? else {
            let problem = format!(
                "a relay needs its URL, which is a secret: add url_file = \"secrets/{}\", or set {}",
                self.name,
                variable(&self.name, "URL")
            );
            return Err(self.refuse("url_file", &problem));
        };
        // The URL itself is in no message.
        let problem = match url.0.parse::<Uri>() {
            Err(_) => Some("what it holds is no URL"),
            Ok(uri) => match (uri.scheme_str(), uri.authority()) {
                (_, Some(authority)) if authority.as_str().contains('@') => {
                    Some("the URL must not hold user and password; use token_file")
                }
                (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => None,
                _ => Some("the URL must begin with http:// or https:// and name a host"),
            },
        };
        match problem {
            Some(problem) => Err(self.refuse("url_file", &format!("{problem}; correct it"))),
            None => Ok(url),
        }
    }
}

impl Value for QuietHours {
    fn expected() -> String {
        "two local times, such as 22:00-07:00".to_owned()
    }
    fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let quiet = Self { from: minute_of_day(from.trim())?, until: minute_of_day(until.trim())? };
        (quiet.from != quiet.until).then_some(quiet)
    }
    fn show(&self) -> String {
        format!("{}-{}", show_minute(self.from), show_minute(self.until))
    }
}

/// Returns the minutes since midnight of `HH:MM`.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, below: u16| {
        let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| fits && *number < below)
    };
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

fn show_minute(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl RelayMatch {
    fn show(&self) -> String {
        let status: Vec<&str> = self.status.iter().map(|status| status.as_str()).collect();
        let parts = [
            (!self.jobs.is_empty()).then(|| format!("job {}", self.jobs.join(" or "))),
            (!status.is_empty()).then(|| format!("status {}", status.join(" or "))),
            self.cost_above.map(|usd| format!("cost above ${usd}")),
            self.duration_above_ms.map(|ms| format!("duration above {}", super::value::show_duration(ms))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn run_match(table: &Table) -> Result<RelayMatch, ConfigError> {
    let texts = |key| table.lists.get(key).map_or(&[][..], Vec::as_slice);
    let status = |raw: &Raw| {
        let found = Status::ALL.into_iter().find(|status| status.as_str() == raw.text.trim());
        let words = Status::ALL.map(Status::as_str).join(", ");
        found.ok_or_else(|| raw.invalid("relay.match.status", format!("expected one of {words}")))
    };
    let cost = |raw: &Raw| {
        let amount = NanoUsd::parse(&raw.text).ok().filter(|amount| *amount >= NanoUsd::ZERO);
        let problem = "expected dollars, 0 or more, such as 5 or 0.50";
        amount.ok_or_else(|| raw.invalid("relay.match.cost_above_usd", problem))
    };
    let duration = |raw: &Raw| raw.parse::<Millis<0, 2_678_400_000>>("relay.match.duration_above");
    let found = RelayMatch {
        jobs: texts("job").iter().map(|raw| raw.text.clone()).collect(),
        status: texts("status").iter().map(status).collect::<Result<_, _>>()?,
        cost_above: table.values.get("cost_above_usd").map(cost).transpose()?,
        duration_above_ms: table.values.get("duration_above").map(duration).transpose()?.map(|ms| ms.0),
    };
    if found == RelayMatch::default() {
        let problem =
            "it asks for nothing; give job, status, cost_above_usd or duration_above, or leave it out";
        return Err(conflict(table, "relay.match", problem));
    }
    Ok(found)
}

/// Returns the `[[digest]]` tables.
pub(super) fn digests(
    tables: &[Table],
    relays: &[RelayConfig],
    rows: &mut Vec<Explained>,
) -> Result<Vec<DigestConfig>, ConfigError> {
    let mut digests: Vec<DigestConfig> = Vec::new();
    for table in tables {
        let digest = digest(table, relays)?;
        let key = format!("digest.{}", digest.name);
        if digests.iter().any(|known| known.name == digest.name) {
            return Err(conflict(table, &key, "two digests have this name; give each its own `name`"));
        }
        let (every, at) = (digest.every.as_str(), show_minute(digest.at));
        let value = format!("every {every} at {at} ({}) to {}", digest.timezone, digest.relay);
        rows.push(Explained { key, value, origin: table.origin.clone() });
        digests.push(digest);
    }
    Ok(digests)
}

fn digest(table: &Table, relays: &[RelayConfig]) -> Result<DigestConfig, ConfigError> {
    let required = |key: &str, example: &str| {
        let problem = format!("a digest needs its {key}; add {key} = {example}");
        table.values.get(key).ok_or_else(|| conflict(table, &format!("digest.{key}"), &problem))
    };
    let relay = required("relay", "the name of a [[relay]]")?;
    if relays.iter().all(|known| known.name != relay.text) {
        return Err(relay.invalid("digest.relay", "no [[relay]] has this name; give the name of one"));
    }
    let every = required("every", "\"day\"")?;
    let period = [Period::Day, Period::Week].into_iter().find(|known| every.text.trim() == known.as_str());
    let period = period.ok_or_else(|| every.invalid("digest.every", "expected day or week"))?;
    let at = table.values.get("at");
    let minute = at.map_or(Some(8 * 60), |raw| minute_of_day(raw.text.trim()));
    let minute = minute.ok_or_else(|| {
        at.unwrap_or(every).invalid("digest.at", "expected a local time of two digits each, such as 08:00")
    })?;
    let name = match table.values.get("name") {
        Some(raw) => raw.parse::<Name>("digest.name")?.0,
        None => format!("{} {}", relay.text, period.as_str()),
    };
    Ok(DigestConfig {
        name,
        relay: relay.text.clone(),
        every: period,
        at: minute,
        timezone: timezone(table, "digest.timezone")?,
    })
}

fn timezone(table: &Table, key: &str) -> Result<String, ConfigError> {
    let raw = table.values.get("timezone");
    let zone = raw.map_or("UTC", |raw| raw.text.trim()).to_owned();
    match (raw, BudgetClock::new(Period::Day, &zone)) {
        (Some(raw), Err(problem)) => Err(raw.invalid(key, problem.to_string())),
        _ => Ok(zone),
    }
}

fn conflict(table: &Table, key: &str, problem: &str) -> ConfigError {
    Raw::new("", table.origin.clone()).conflict(key, problem)
}
