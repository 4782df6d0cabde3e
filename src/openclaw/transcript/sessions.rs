//! Which session has which key, and which one made which.
//!
//! Source: `sessions.json` of 2026.2.17 to 2026.6.11 (an object of entries by key, rewritten as a whole), the first line
//! of a trajectory file, and `subagents/runs.json`, as the published packages of 2026.2.17 to 2026.6.11 write it. Entries
//! hold prompts and addresses; ids and keys alone are read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::lenient::Text;

/// What one entry says of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionLink {
    /// The session's id, if the source has it.
    pub session_id: Option<String>,
    /// The session's key, verbatim.
    pub key: String,
    /// The key of the session that made this one, for a sub-agent's.
    pub spawned_by: Option<String>,
}

/// What a session's key says of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKey<'a> {
    /// `agent:<agent>:cron:<jobId>`, or with `:run:<token>` behind it. The token is the id of the run's session; in the
    /// main-session jobs of 2026.5.28 and 2026.6.11 it is the run's start in milliseconds.
    Cron {
        /// The job's id.
        job_id: &'a str,
        /// What stands behind `:run:`.
        run: Option<&'a str>,
    },
    /// A chat, a sub-agent, or anything else.
    Other,
}

impl<'a> SessionKey<'a> {
    /// Takes a key apart.
    #[must_use]
    pub fn of(key: &'a str) -> Self {
        let mut parts = key.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("agent"), Some(_), Some("cron"), Some(job_id)) if !job_id.is_empty() => {
                let run = if parts.next() == Some("run") { parts.next() } else { None };
                Self::Cron { job_id, run: run.filter(|token| !token.is_empty()) }
            }
            _ => Self::Other,
        }
    }
}

/// Reads `sessions.json`. An entry that makes no sense is left out.
///
/// # Errors
/// It is not JSON, or no object: half written, or no list of sessions.
pub fn parse_sessions_index(bytes: &[u8]) -> Result<Vec<SessionLink>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        #[serde(borrow, default)]
        session_id: Text<'a>,
        #[serde(borrow, default)]
        spawned_by: Text<'a>,
        /// Sessions that a compaction replaced under the same key (from 2026.6 on).
        #[serde(borrow, default)]
        usage_family_session_ids: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Index<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

    let Index(index) = serde_json::from_slice(bytes)?;
    let mut links = Vec::new();
    for (key, raw) in index {
        let Ok(entry) = serde_json::from_str::<Entry<'_>>(raw.get()) else { continue };
        let family = entry.usage_family_session_ids.map(RawValue::get).unwrap_or_default();
        let family: Vec<Text<'_>> = serde_json::from_str(family).unwrap_or_default();
        for id in family.iter().chain([&entry.session_id]).filter_map(Text::to_owned_text) {
            links.push(SessionLink {
                session_id: Some(id),
                key: key.clone().into_owned(),
                spawned_by: entry.spawned_by.to_owned_text(),
            });
        }
    }
    Ok(links)
}

/// Reads `subagents/runs.json`: the sub-agents of all agents. An entry that makes no sense is left out.
///
/// # Errors
/// It is not JSON, or no object: half written, or no list of sub-agents.
pub fn parse_subagents(bytes: &[u8]) -> Result<Vec<SessionLink>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        #[serde(borrow, default)]
        child_session_key: Text<'a>,
        #[serde(borrow, default)]
        requester_session_key: Text<'a>,
    }
    #[derive(Deserialize)]
    struct Registry<'a> {
        #[serde(borrow, default)]
        runs: BTreeMap<Cow<'a, str>, &'a RawValue>,
    }

    let registry: Registry<'_> = serde_json::from_slice(bytes)?;
    let link = |raw: &&RawValue| {
        let entry: Entry<'_> = serde_json::from_str(raw.get()).ok()?;
        Some(SessionLink {
            session_id: None,
            key: entry.child_session_key.to_owned_text()?,
            spawned_by: Some(entry.requester_session_key.to_owned_text()?),
        })
    };
    Ok(registry.runs.values().filter_map(link).collect())
}

/// Reads the first line of a trajectory file.
#[must_use]
pub fn parse_trajectory_head(line: &[u8]) -> Option<SessionLink> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'a> {
        #[serde(borrow, default)]
        session_id: Text<'a>,
        #[serde(borrow, default)]
        session_key: Text<'a>,
    }
    let head: Head<'_> = serde_json::from_slice(line).ok()?;
    Some(SessionLink {
        session_id: Some(head.session_id.to_owned_text()?),
        key: head.session_key.to_owned_text()?,
        spawned_by: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_jobs_and_runs() {
        let cron = |job_id, run| SessionKey::Cron { job_id, run };
        for (key, expected) in [
            ("agent:main:cron:j-1", cron("j-1", None)),
            ("agent:main:cron:j-1:run:s-1", cron("j-1", Some("s-1"))),
            ("agent:main:cron:j-1:run:1795236613213", cron("j-1", Some("1795236613213"))),
            ("agent:main:cron:j-1:run:", cron("j-1", None)),
            ("agent:main:cron:", SessionKey::Other),
            ("agent:main:main", SessionKey::Other),
            ("agent:main:subagent:cron:j-1", SessionKey::Other),
            ("cron:j-1", SessionKey::Other),
            ("", SessionKey::Other),
        ] {
            assert_eq!(SessionKey::of(key), expected, "{key}");
        }
    }

    #[test]
    fn an_index_yields_links_and_steps_over_what_makes_no_sense() {
        let index = br#"{"agent:main:main":{"sessionId":"a","skillsSnapshot":{"x":[1]}},
            "agent:main:cron:j":{"sessionId":"c2","usageFamilySessionIds":["c1",7]},
            "agent:main:subagent:u":{"sessionId":"b","spawnedBy":"agent:main:cron:j"},
            "null":null,"text":"x","none":{"updatedAt":5},"blank":{"sessionId":" "}}"#;
        let link = |id: &str, key: &str, by: Option<&str>| SessionLink {
            session_id: Some(id.to_owned()),
            key: key.to_owned(),
            spawned_by: by.map(ToOwned::to_owned),
        };
        let expected = vec![
            link("c1", "agent:main:cron:j", None),
            link("7", "agent:main:cron:j", None),
            link("c2", "agent:main:cron:j", None),
            link("a", "agent:main:main", None),
            link("b", "agent:main:subagent:u", Some("agent:main:cron:j")),
        ];
        assert_eq!(parse_sessions_index(index).unwrap(), expected);
        assert!(parse_sessions_index(&index[..50]).is_err());
        assert!(parse_sessions_index(b"[]").is_err());
    }

    #[test]
    fn a_registry_yields_sub_agents() {
        let registry = br#"{"version":2,"runs":{
            "1":{"runId":"1","childSessionKey":"agent:main:subagent:u","requesterSessionKey":"agent:main:cron:j","task":"x"},
            "2":{"childSessionKey":"agent:main:subagent:v"},"3":null}}"#;
        let link = SessionLink {
            session_id: None,
            key: "agent:main:subagent:u".to_owned(),
            spawned_by: Some("agent:main:cron:j".to_owned()),
        };
        assert_eq!(parse_subagents(registry).unwrap(), [link]);
        assert_eq!(parse_subagents(b"{}").unwrap(), []);
        assert!(parse_subagents(&registry[..40]).is_err());
    }

    #[test]
    fn a_trajectory_names_its_session() {
        let link = SessionLink {
            session_id: Some("s".to_owned()),
            key: "agent:main:cron:j".to_owned(),
            spawned_by: None,
        };
        let line =
            br#"{"type":"session.started","sessionId":"s","sessionKey":"agent:main:cron:j","data":{"a":1}}"#;
        assert_eq!(parse_trajectory_head(line), Some(link));
        for line in [&b"{}"[..], b"{\"sessionId\":\"s\"}", b"x"] {
            assert_eq!(parse_trajectory_head(line), None);
        }
    }
}
