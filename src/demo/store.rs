//! The files beside the run logs: `openclaw.json`, `cron/jobs.json`, `cron/jobs-state.json`.
//!
//! Key order and layout (two spaces, no newline at the end) are OpenClaw's.

use super::jobs::{EVENT_TEXT, Job, JobState, Schedule};
use super::provider::{MODELS, Profile, TIMEOUT_SECONDS};
use super::{Error, Generation};
use fastrand::Rng;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct JobList<'a> {
    version: u8,
    jobs: Vec<JobEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobEntry<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    declaration_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_after_run: Option<bool>,
    created_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at_ms: Option<i64>,
    schedule: &'a Schedule,
    session_target: &'static str,
    wake_mode: &'static str,
    payload: Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_tool_policy: Option<ToolPolicy>,
    state: JobState,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Payload {
    AgentTurn {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tools_allow: Option<[&'static str; 1]>,
    },
    Heartbeat,
    SystemEvent {
        text: &'static str,
    },
}

#[derive(Serialize)]
struct ToolPolicy {
    version: u8,
    mode: &'static str,
}

#[derive(Serialize)]
struct Delivery<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

#[derive(Serialize)]
struct StateList<'a> {
    version: u8,
    jobs: BTreeMap<&'a str, StateEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateEntry<'a> {
    updated_at_ms: i64,
    schedule_identity: String,
    state: &'a JobState,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScheduleIdentity<'a> {
    version: u8,
    enabled: bool,
    schedule: &'a Schedule,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_trigger: Option<bool>,
}

/// What gave rise to writing the job list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Runs started or ended.
    State,
    /// Jobs were added, removed or edited.
    Jobs,
}

/// Writes the job list.
#[derive(Debug)]
pub(super) struct JobStore {
    cron_dir: PathBuf,
    generation: Generation,
    pid: u32,
    rng: Rng,
}

impl JobStore {
    pub(super) fn new(state_dir: &Path, generation: Generation, mut rng: Rng) -> Self {
        Self { cron_dir: state_dir.join("cron"), generation, pid: rng.u32(300..40_000), rng }
    }

    /// Writes as another version from now on.
    pub(super) const fn adopt(&mut self, generation: Generation) {
        self.generation = generation;
    }

    /// Writes what this version writes after such a change.
    pub(super) fn persist(&mut self, jobs: &[Job], change: Change) -> Result<(), Error> {
        let (generation, late) = (self.generation, self.generation.is_late());
        if late {
            let list = StateList {
                version: 1,
                jobs: jobs.iter().map(|j| state_entry(j, generation)).collect::<Result<_, _>>()?,
            };
            self.replace("jobs-state.json", &pretty("jobs-state.json", &list)?)?;
        }
        if !late || change == Change::Jobs {
            let list = JobList { version: 1, jobs: jobs.iter().map(|j| entry(j, generation)).collect() };
            let bytes = pretty("jobs.json", &list)?;
            self.replace("jobs.json", &bytes)?;
            let backup = self.cron_dir.join("jobs.json.bak");
            fs::write(&backup, &bytes).map_err(Error::io("write", &backup))?;
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let temporary =
            self.cron_dir.join(format!("{name}.{}.{:014x}.tmp", self.pid, self.rng.u64(..1 << 56)));
        let target = self.cron_dir.join(name);
        fs::write(&temporary, bytes).map_err(Error::io("write", &temporary))?;
        if self.generation.is_late() {
            set_mode(&temporary, 0o600)?;
        }
        fs::rename(&temporary, &target).map_err(Error::io("replace", &target))
    }
}

/// Sets the permission bits of a file or directory.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("change the mode of", path))
}

fn pretty(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(value).map_err(Error::json(what))
}

fn state_entry(job: &Job, generation: Generation) -> Result<(&str, StateEntry<'_>), Error> {
    let schedule_identity = identity(job, generation)?;
    Ok((&job.id, StateEntry { updated_at_ms: job.updated_at, schedule_identity, state: &job.state }))
}

fn identity(job: &Job, generation: Generation) -> Result<String, Error> {
    let newest = generation == Generation::V2026_9_6;
    let identity = ScheduleIdentity {
        version: if newest { 2 } else { 1 },
        enabled: job.enabled,
        schedule: &job.schedule,
        has_trigger: newest.then_some(false),
    };
    serde_json::to_string(&identity).map_err(Error::json("a schedule"))
}

/// A job as a row of `cron_jobs` holds it, in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) job: String,
    pub(super) state: String,
    pub(super) identity: String,
    pub(super) updated_at: i64,
}

/// Returns what a row of `cron_jobs` holds of a job.
pub(super) fn definition(job: &Job, generation: Generation) -> Result<Definition, Error> {
    let state = serde_json::to_string(&job.state).map_err(Error::json("the state of a job"))?;
    let text = serde_json::to_string(&entry(job, generation)).map_err(Error::json("a job"))?;
    Ok(Definition { job: text, state, identity: identity(job, generation)?, updated_at: job.updated_at })
}

fn payload(job: &Job, newest: bool) -> Payload {
    let (provider, model) = job.profile.model();
    match job.profile {
        Profile::Event => Payload::SystemEvent { text: EVENT_TEXT },
        Profile::Heartbeat => Payload::Heartbeat,
        _ => Payload::AgentTurn {
            message: format!("Produce the {} report.", job.name),
            // OpenClaw's own jobs leave the model to the agent.
            model: job.declaration.is_none().then(|| format!("{provider}/{model}")),
            timeout_seconds: (job.profile == Profile::Slow).then_some(TIMEOUT_SECONDS),
            tools_allow: newest.then_some(["*"]),
        },
    }
}

fn entry(job: &Job, generation: Generation) -> JobEntry<'_> {
    let (late, newest) = (generation.is_late(), generation == Generation::V2026_9_6);
    let main = matches!(job.profile, Profile::Event | Profile::Heartbeat);
    let mode = if job.webhook.is_some() { "webhook" } else { "none" };
    let system = job.declaration.as_ref();
    let beside_heartbeat = system.is_some_and(|system| system.display_name.is_some());
    JobEntry {
        id: &job.id,
        declaration_key: system.map(|system| system.key.as_str()),
        display_name: system.and_then(|system| system.display_name.as_deref()),
        agent_id: if job.profile == Profile::Event { newest.then_some("main") } else { job.agent },
        name: &job.name,
        description: system.and_then(|system| system.description),
        enabled: job.enabled,
        delete_after_run: job.is_one_shot().then_some(true),
        created_at_ms: job.created_at,
        updated_at_ms: (!late).then_some(job.updated_at),
        schedule: &job.schedule,
        session_target: if main { "main" } else { "isolated" },
        wake_mode: if beside_heartbeat { "next-heartbeat" } else { "now" },
        payload: payload(job, newest),
        delivery: (!main).then_some(Delivery { mode, to: job.webhook.as_deref() }),
        scheduled_tool_policy: (newest && !main).then_some(ToolPolicy { version: 1, mode: "trusted" }),
        state: if late { JobState::default() } else { job.state.clone() },
    }
}

/// Writes a minimal `openclaw.json`: providers, models with their prices, agents, and invented secrets.
pub(super) fn write_config(state_dir: &Path, run_log: Option<(u64, usize)>) -> Result<(), Error> {
    let models = |provider: &str| {
        let rows = MODELS.iter().filter(|(p, _, _)| *p == provider);
        rows.map(|(_, id, [input, output, read, write])| {
            json!({
                "id": id, "name": id, "reasoning": false, "input": ["text"],
                "cost": { "input": input, "output": output, "cacheRead": read, "cacheWrite": write },
                "contextWindow": 128_000, "maxTokens": 4096
            })
        })
        .collect::<Vec<_>>()
    };
    let provider = |name: &str, api: &str| json!({ "baseUrl": "http://127.0.0.1:1/v1", "apiKey": format!("sk-{name}"), "api": api, "models": models(name) });
    let mut config = json!({
        "gateway": { "mode": "local", "bind": "loopback", "auth": { "mode": "token", "token": "test-token" } },
        "models": { "mode": "replace", "providers": {
            "sim": provider("sim", "openai-completions"),
            "simbad": provider("simbad", "openai-completions"),
            "simant": provider("simant", "anthropic-messages"),
        } },
        "agents": {
            "defaults": { "model": { "primary": "sim/sim-ok" } },
            "list": [ { "id": "main", "default": true }, { "id": "ops", "model": { "primary": "sim/sim-cache" } } ]
        },
        "cron": { "enabled": true, "webhookToken": "hook-secret-token" }
    });
    if let Some((max_bytes, keep_lines)) = run_log {
        config["cron"]["runLog"] = json!({ "maxBytes": max_bytes, "keepLines": keep_lines });
    }
    let path = state_dir.join("openclaw.json");
    fs::write(&path, pretty("openclaw.json", &config)?).map_err(Error::io("write", &path))?;
    set_mode(&path, 0o600)
}
