//! Where things stand in a state directory.
//!
//! Source: OpenClaw 2026.1.29 to 2026.5.28 put the run logs in `runs/` beside the job list, and the job list at
//! `cron.store` of `openclaw.json`, by default `cron/jobs.json`. But for that, `logging.file` and
//! `cron.webhookSsrfPolicy` nothing of that file is read here: it holds secrets.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Largest `openclaw.json` that is looked at, in bytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The paths of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The directory of the job list.
    pub cron_dir: PathBuf,
    /// The job list.
    pub jobs_file: PathBuf,
    /// The run logs.
    pub runs_dir: PathBuf,
    /// The database that holds jobs and runs from 2026.6.1 on. Its place follows the state directory alone.
    pub database: PathBuf,
    /// The gateway's own log, if its configuration names one (`logging.file`).
    pub log_file: Option<PathBuf>,
    /// Which private addresses it may post to (`cron.webhookSsrfPolicy`, from 2026.8.1 on).
    pub webhook_policy: WebhookPolicy,
}

/// Which private addresses a gateway may post to; none unless it is told so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookPolicy {
    dangerously_allow_private_network: bool,
    allowed_hostnames: Vec<String>,
}

impl WebhookPolicy {
    /// Returns whether a host may be posted to, were it private.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        self.dangerously_allow_private_network
            || self.allowed_hostnames.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// Why `openclaw.json` could not be used; the default places are then assumed.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It is there and could not be read.
    #[error("cannot read {0}: {1}; give this user read access, the default places are assumed meanwhile")]
    Unreadable(PathBuf, std::io::Error),
    /// It is not JSON5.
    #[error("{0} is not valid JSON5; mend it, the default places are assumed meanwhile")]
    Invalid(PathBuf),
    /// It is absurdly large.
    #[error("{0} is larger than 16 MiB and not read; the default places are assumed")]
    TooLarge(PathBuf),
}

#[derive(Deserialize)]
struct Config {
    cron: Option<Cron>,
    logging: Option<Logging>,
}

#[derive(Deserialize)]
struct Cron {
    store: Option<serde_json::Value>,
    #[serde(rename = "webhookSsrfPolicy")]
    webhook_policy: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Logging {
    file: Option<serde_json::Value>,
}

/// What a configuration says of places.
#[derive(Default)]
struct Places {
    store: Option<String>,
    log_file: Option<String>,
    webhook_policy: WebhookPolicy,
}

impl Layout {
    /// Returns the default places in `state_dir`.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self::with_jobs_file(state_dir, &state_dir.join("cron").join("jobs.json"))
    }

    /// Returns the places that the gateway in `state_dir` uses, with the problem if its configuration could
    /// not be read. `home` is what `~` stands for in it.
    pub fn read(state_dir: &Path, home: Option<&Path>) -> (Self, Option<LayoutError>) {
        let places = match configured_places(state_dir) {
            Ok(places) => places,
            Err(error) => return (Self::of(state_dir), Some(error)),
        };
        let in_place = |text: String| match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => state_dir.join(text),
        };
        let layout = places
            .store
            .map_or_else(|| Self::of(state_dir), |store| Self::with_jobs_file(state_dir, &in_place(store)));
        let (log_file, webhook_policy) = (places.log_file.map(in_place), places.webhook_policy);
        (Self { log_file, webhook_policy, ..layout }, None)
    }

    fn with_jobs_file(state_dir: &Path, jobs_file: &Path) -> Self {
        let cron_dir = jobs_file.parent().unwrap_or(state_dir).to_path_buf();
        Self {
            state_dir: state_dir.to_path_buf(),
            runs_dir: cron_dir.join("runs"),
            database: state_dir.join("state").join("openclaw.sqlite"),
            jobs_file: jobs_file.to_path_buf(),
            cron_dir,
            log_file: None,
            webhook_policy: WebhookPolicy::default(),
        }
    }
}

fn configured_places(state_dir: &Path) -> Result<Places, LayoutError> {
    let path = state_dir.join("openclaw.json");
    match path.metadata() {
        Ok(metadata) if metadata.len() > MAX_CONFIG_BYTES => return Err(LayoutError::TooLarge(path)),
        Ok(metadata) if metadata.is_file() => {}
        _ => return Ok(Places::default()),
    }
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Places::default()),
        Err(error) => return Err(LayoutError::Unreadable(path, error)),
    };
    let config: Config = super::config_file::parse_json5(&text).ok_or(LayoutError::Invalid(path))?;
    let text = |value: Option<serde_json::Value>| {
        value.and_then(|value| value.as_str().map(str::trim).filter(|s| !s.is_empty()).map(ToOwned::to_owned))
    };
    let (store, policy) = config.cron.map_or((None, None), |cron| (cron.store, cron.webhook_policy));
    Ok(Places {
        store: text(store),
        log_file: text(config.logging.and_then(|logging| logging.file)),
        // One that makes no sense keeps its gateway from starting.
        webhook_policy: policy.and_then(|policy| serde_json::from_value(policy).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_s_place_decides_where_the_run_logs_are() {
        let dir = tempfile::tempdir().unwrap();
        let home = Path::new("/home/somebody");
        for (config, expected) in [
            (None, dir.path().join("cron/runs")),
            (Some("{ cron: { /* none */ } }"), dir.path().join("cron/runs")),
            (Some("{ cron: { store: '/data/cron/jobs.json', }, }"), "/data/cron/runs".into()),
            (Some(r#"{"cron":{"store":"~/c/jobs.json"}}"#), "/home/somebody/c/runs".into()),
            (Some(r#"{"cron":{"store":7}}"#), dir.path().join("cron/runs")),
        ] {
            if let Some(text) = config {
                std::fs::write(dir.path().join("openclaw.json"), text).unwrap();
            }
            let (layout, problem) = Layout::read(dir.path(), Some(home));
            assert_eq!((layout.runs_dir, problem.is_none()), (expected, true), "{config:?}");
        }
        for (config, expected) in [
            ("{ logging: { file: '~/log/gateway.log' } }", Some("/home/somebody/log/gateway.log")),
            ("{ logging: { level: 'info' } }", None),
        ] {
            std::fs::write(dir.path().join("openclaw.json"), config).unwrap();
            let log_file = Layout::read(dir.path(), Some(home)).0.log_file;
            assert_eq!(log_file.as_deref(), expected.map(Path::new), "{config}");
        }
        std::fs::write(dir.path().join("openclaw.json"), "{ cron: ").unwrap();
        let (layout, problem) = Layout::read(dir.path(), None);
        assert_eq!(layout, Layout::of(dir.path()));
        assert!(matches!(problem, Some(LayoutError::Invalid(_))));
    }
}
