//! The list of jobs: `cron/jobs.json` (JSON5), with the schedulers' state beside it from 2026.5.28 on.
//!
//! Source: recorded directories of 2026.2.17 (state inside each job) and 2026.5.28 (`jobs-state.json`).

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config_file::parse_json5;

use crate::model::{JobDefinition, ScheduleKind, UnixMs, WebhookUrl};

/// Largest list of jobs that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Why the list of jobs could not be used; what was known before stays known.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// It could not be read.
    #[error(
        "cannot read the list of jobs {0}: {1}; give this user read access, names known so far stay in use"
    )]
    Unreadable(PathBuf, io::Error),
    /// It is half written or not JSON5.
    #[error("the list of jobs {0} is not valid JSON5; names known so far stay in use until it is")]
    Invalid(PathBuf),
    /// It is absurdly large.
    #[error("the list of jobs {0} is larger than 64 MiB and not read")]
    TooLarge(PathBuf),
}

#[derive(Deserialize)]
struct JobsFile {
    #[serde(default)]
    jobs: Vec<Value>,
}

#[derive(Deserialize)]
struct StateFile {
    #[serde(default)]
    jobs: Map<String, Value>,
}

/// Reads the list of jobs. `None`: there is no such file.
///
/// An entry that makes no sense is left out; the state file is optional and only adds the next runs.
///
/// # Errors
/// See [`JobsError`].
pub fn read_jobs(jobs_file: &Path) -> Result<Option<Vec<JobDefinition>>, JobsError> {
    let Some(file) = read_json5::<JobsFile>(jobs_file)? else { return Ok(None) };
    let states = read_json5::<StateFile>(&state_file(jobs_file)).ok().flatten().map(|file| file.jobs);
    Ok(Some(file.jobs.iter().filter_map(|job| definition(job, states.as_ref())).collect()))
}

/// Returns the path of the state file that belongs to a list of jobs.
#[must_use]
pub fn state_file(jobs_file: &Path) -> PathBuf {
    let stem = jobs_file.file_stem().unwrap_or_default().to_string_lossy();
    jobs_file.with_file_name(format!("{stem}-state.json"))
}

fn read_json5<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, JobsError> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => return Ok(None),
        Ok(metadata) if metadata.len() > MAX_BYTES => return Err(JobsError::TooLarge(path.into())),
        _ => {}
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(JobsError::Invalid(path.into()));
        }
        Err(error) => return Err(JobsError::Unreadable(path.into(), error)),
    };
    parse_json5(&text).map(Some).ok_or_else(|| JobsError::Invalid(path.into()))
}

/// Reads one job; `states` are the scheduler's states by job id, where they are kept apart.
pub(super) fn definition(job: &Value, states: Option<&Map<String, Value>>) -> Option<JobDefinition> {
    let text = |key: &str| job.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let job_id = text("id").or_else(|| text("jobId"))?;
    let state = states.and_then(|states| states.get(job_id)).and_then(|entry| entry.get("state"));
    let next =
        |state: Option<&Value>| state.and_then(|state| state.get("nextRunAtMs")).and_then(Value::as_i64);
    Some(JobDefinition {
        job_id: job_id.to_owned(),
        name: text("name").unwrap_or_default().to_owned(),
        agent: text("agentId").map(ToOwned::to_owned),
        schedule: match job.pointer("/schedule/kind").and_then(Value::as_str) {
            Some("at") => ScheduleKind::OneShot,
            Some("cron" | "every") => ScheduleKind::Recurring,
            _ => ScheduleKind::Unknown,
        },
        enabled: job.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        next_run_at: next(state).or_else(|| next(job.get("state"))).map(UnixMs),
        running: [state, job.get("state")].into_iter().flatten().any(is_running),
        system: is_system(job),
        webhook: webhook(job),
    })
}

/// Returns where notices of the job's runs are posted.
fn webhook(job: &Value) -> Option<WebhookUrl> {
    let text = |pointer: &str| job.pointer(pointer).and_then(Value::as_str);
    (text("/delivery/mode") == Some("webhook"))
        .then(|| text("/delivery/to"))?
        .map(|url| WebhookUrl(url.trim().to_owned()))
}

fn is_running(state: &Value) -> bool {
    state.get("runningAtMs").is_some_and(Value::is_number)
}

/// Returns whether OpenClaw made the job for itself.
///
/// Source: the declaration keys and the payload kind that the published package 2026.9.6 gives to heartbeats, reviews
/// of skill collections and the promotion of memories, and the mark that the last carries in its description.
fn is_system(job: &Value) -> bool {
    let text = |pointer: &str| job.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let key = text("/declarationKey");
    ["heartbeat:", "skill-collection-review:", "memory-core:"].iter().any(|prefix| key.starts_with(prefix))
        || text("/payload/kind") == "heartbeat"
        || text("/description").starts_with("[managed-by=memory-core.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_the_list_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.json");
        assert_eq!(read_jobs(&path).unwrap(), None);
        std::fs::write(
            &path,
            r#"{ version: 1, jobs: [ // by hand
                {"id":"a","name":"x\ny","agentId":"ops","schedule":{"kind":"every","everyMs":5},"state":{"nextRunAtMs":7}},
                {"id":"b","name":"once","enabled":false,"schedule":{"kind":"at","at":"2026-01-01"}},
                {"name":"no id"}, 17,
            ]}"#,
        )
        .unwrap();
        let jobs = read_jobs(&path).unwrap().unwrap();
        assert_eq!(jobs.len(), 2);
        assert_eq!((jobs[0].name.as_str(), jobs[0].agent.as_deref()), ("x\ny", Some("ops")));
        assert_eq!((jobs[0].schedule, jobs[0].next_run_at), (ScheduleKind::Recurring, Some(UnixMs(7))));
        assert_eq!((jobs[1].schedule, jobs[1].enabled), (ScheduleKind::OneShot, false));

        std::fs::write(
            dir.path().join("jobs-state.json"),
            r#"{"version":1,"jobs":{"b":{"updatedAtMs":1,"state":{"nextRunAtMs":9}}}}"#,
        )
        .unwrap();
        assert_eq!(read_jobs(&path).unwrap().unwrap()[1].next_run_at, Some(UnixMs(9)));
    }

    #[test]
    fn a_half_written_list_is_an_error_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.json");
        std::fs::write(&path, r#"{"version":1,"jobs":[{"id":"#).unwrap();
        assert!(matches!(read_jobs(&path), Err(JobsError::Invalid(_))));
        std::fs::write(&path, "[".repeat(1 << 20)).unwrap();
        assert!(matches!(read_jobs(&path), Err(JobsError::Invalid(_))), "nested without end");
    }
}
