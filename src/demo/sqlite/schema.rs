//! The tables of `state/openclaw.sqlite` that scheduled runs touch, as each version creates them.
//!
//! Columns, types and indices are those of recorded databases. Deliberately absent: the dozens of other tables.

use super::super::Generation;

const META: &str = "
    CREATE TABLE IF NOT EXISTS schema_meta (
        meta_key TEXT NOT NULL PRIMARY KEY, role TEXT NOT NULL, schema_version INTEGER NOT NULL, agent_id TEXT,
        app_version TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS migration_runs (
        id TEXT NOT NULL PRIMARY KEY, started_at INTEGER NOT NULL, finished_at INTEGER, status TEXT NOT NULL,
        report_json TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS idx_migration_runs_started ON migration_runs(started_at DESC, id);";

pub(super) const CRON_RUN_LOGS: &str = "
    CREATE TABLE IF NOT EXISTS cron_run_logs (
        store_key TEXT NOT NULL, job_id TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, status TEXT,
        error TEXT, summary TEXT, diagnostics_summary TEXT, delivery_status TEXT, delivery_error TEXT,
        delivered INTEGER, session_id TEXT, session_key TEXT, run_id TEXT, run_at_ms INTEGER, duration_ms INTEGER,
        next_run_at_ms INTEGER, model TEXT, provider TEXT, total_tokens INTEGER, entry_json TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (store_key, job_id, seq)
    );
    CREATE INDEX IF NOT EXISTS idx_cron_run_logs_store_ts ON cron_run_logs(store_key, ts DESC, seq DESC);
    CREATE INDEX IF NOT EXISTS idx_cron_run_logs_job_status
        ON cron_run_logs(store_key, job_id, status, ts DESC, seq DESC);
    CREATE INDEX IF NOT EXISTS idx_cron_run_logs_delivery
        ON cron_run_logs(store_key, delivery_status, ts DESC, seq DESC) WHERE delivery_status IS NOT NULL;";

const CRON_JOBS_6: &str = "
    CREATE TABLE IF NOT EXISTS cron_jobs (
        store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT,
        enabled INTEGER NOT NULL, delete_after_run INTEGER, created_at_ms INTEGER NOT NULL, agent_id TEXT,
        session_key TEXT, schedule_kind TEXT NOT NULL, schedule_expr TEXT, schedule_tz TEXT, every_ms INTEGER,
        anchor_ms INTEGER, at TEXT, stagger_ms INTEGER, session_target TEXT NOT NULL, wake_mode TEXT NOT NULL,
        payload_kind TEXT NOT NULL, payload_message TEXT, payload_model TEXT, payload_fallbacks_json TEXT,
        payload_thinking TEXT, payload_timeout_seconds INTEGER, payload_allow_unsafe_external_content INTEGER,
        payload_external_content_source_json TEXT, payload_light_context INTEGER, payload_tools_allow_json TEXT,
        delivery_mode TEXT, delivery_channel TEXT, delivery_to TEXT, delivery_thread_id TEXT,
        delivery_account_id TEXT, delivery_best_effort INTEGER, delivery_completion_mode TEXT,
        delivery_completion_to TEXT, failure_delivery_mode TEXT, failure_delivery_channel TEXT,
        failure_delivery_to TEXT, failure_delivery_account_id TEXT, failure_alert_disabled INTEGER,
        failure_alert_after INTEGER, failure_alert_channel TEXT, failure_alert_to TEXT,
        failure_alert_cooldown_ms INTEGER, failure_alert_include_skipped INTEGER, failure_alert_mode TEXT,
        failure_alert_account_id TEXT, next_run_at_ms INTEGER, running_at_ms INTEGER, last_run_at_ms INTEGER,
        last_run_status TEXT, last_error TEXT, last_duration_ms INTEGER, consecutive_errors INTEGER,
        consecutive_skipped INTEGER, schedule_error_count INTEGER, last_delivery_status TEXT,
        last_delivery_error TEXT, last_delivered INTEGER, last_failure_alert_at_ms INTEGER,
        job_json TEXT NOT NULL, state_json TEXT NOT NULL DEFAULT '{}', runtime_updated_at_ms INTEGER,
        schedule_identity TEXT, sort_order INTEGER NOT NULL DEFAULT 0, updated_at INTEGER NOT NULL,
        PRIMARY KEY (store_key, job_id)
    );
    CREATE INDEX IF NOT EXISTS idx_cron_jobs_store_updated
        ON cron_jobs(store_key, sort_order ASC, updated_at DESC, job_id);
    CREATE INDEX IF NOT EXISTS idx_cron_jobs_store_order
        ON cron_jobs(store_key, sort_order ASC, updated_at ASC, job_id);
    CREATE INDEX IF NOT EXISTS idx_cron_jobs_enabled_next_run
        ON cron_jobs(store_key, enabled, next_run_at_ms, job_id) WHERE next_run_at_ms IS NOT NULL;
    CREATE INDEX IF NOT EXISTS idx_cron_jobs_agent_session
        ON cron_jobs(agent_id, session_key, updated_at DESC, job_id)
        WHERE agent_id IS NOT NULL OR session_key IS NOT NULL;";

const CRON_JOBS_9: &str = "
    CREATE TABLE IF NOT EXISTS cron_jobs (
        store_key TEXT NOT NULL, job_id TEXT NOT NULL, declaration_key TEXT, owner_agent_id TEXT,
        name TEXT NOT NULL, description TEXT, enabled INTEGER NOT NULL, agent_id TEXT, payload_kind TEXT NOT NULL,
        job_json TEXT NOT NULL, grant_definition_revision TEXT, grant_definition_generation INTEGER,
        grant_definition_updated_at INTEGER, state_json TEXT NOT NULL DEFAULT '{}', runtime_updated_at_ms INTEGER,
        schedule_identity TEXT, sort_order INTEGER NOT NULL DEFAULT 0, updated_at INTEGER NOT NULL,
        PRIMARY KEY (store_key, job_id)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS idx_cron_jobs_store_order
        ON cron_jobs(store_key, sort_order ASC, updated_at ASC, job_id);";

const TASK_RUNS_6: &str = "
    CREATE TABLE IF NOT EXISTS task_runs (
        task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT, source_id TEXT,
        requester_session_key TEXT, owner_key TEXT NOT NULL, scope_kind TEXT NOT NULL, child_session_key TEXT,
        parent_flow_id TEXT, parent_task_id TEXT, agent_id TEXT, requester_agent_id TEXT, run_id TEXT, label TEXT,
        task TEXT NOT NULL, status TEXT NOT NULL, delivery_status TEXT NOT NULL, notify_policy TEXT NOT NULL,
        created_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER, last_event_at INTEGER,
        cleanup_after INTEGER, error TEXT, progress_summary TEXT, terminal_summary TEXT, terminal_outcome TEXT
    );";

const TASK_RUNS_9: &str = "
    CREATE TABLE IF NOT EXISTS task_runs (
        task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT, source_id TEXT,
        requester_session_key TEXT, owner_key TEXT NOT NULL, scope_kind TEXT NOT NULL, child_session_key TEXT,
        parent_flow_id TEXT, parent_task_id TEXT, agent_id TEXT, requester_agent_id TEXT, run_id TEXT,
        execution_owner_host TEXT, execution_owner_pid INTEGER, execution_owner_start_identity INTEGER,
        label TEXT, task TEXT NOT NULL, status TEXT NOT NULL, delivery_status TEXT NOT NULL,
        notify_policy TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER,
        last_event_at INTEGER, cleanup_after INTEGER, tool_use_count INTEGER, last_tool_name TEXT, error TEXT,
        progress_summary TEXT, terminal_summary TEXT, terminal_outcome TEXT, detail_json TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS idx_task_runs_requester_session_key ON task_runs(requester_session_key);
    CREATE INDEX IF NOT EXISTS idx_task_runs_runtime_source_ended
        ON task_runs(runtime, source_id, ended_at, created_at, task_id);
    CREATE INDEX IF NOT EXISTS idx_task_runs_runtime_ended ON task_runs(runtime, ended_at, created_at, task_id);";

const TASK_RUNS: &str = "
    CREATE TABLE IF NOT EXISTS task_delivery_state (
        task_id TEXT NOT NULL PRIMARY KEY, requester_origin_json TEXT, last_notified_event_at INTEGER,
        FOREIGN KEY (task_id) REFERENCES task_runs(task_id) ON DELETE CASCADE
    );
    CREATE INDEX IF NOT EXISTS idx_task_runs_run_id ON task_runs(run_id);
    CREATE INDEX IF NOT EXISTS idx_task_runs_status ON task_runs(status);
    CREATE INDEX IF NOT EXISTS idx_task_runs_runtime_status ON task_runs(runtime, status);
    CREATE INDEX IF NOT EXISTS idx_task_runs_cleanup_after ON task_runs(cleanup_after);
    CREATE INDEX IF NOT EXISTS idx_task_runs_last_event_at ON task_runs(last_event_at);
    CREATE INDEX IF NOT EXISTS idx_task_runs_owner_key ON task_runs(owner_key);
    CREATE INDEX IF NOT EXISTS idx_task_runs_parent_flow_id ON task_runs(parent_flow_id);
    CREATE INDEX IF NOT EXISTS idx_task_runs_child_session_key ON task_runs(child_session_key);";

/// Returns what creates the tables that are missing.
pub(super) fn create(generation: Generation) -> String {
    match generation {
        Generation::V2026_9_6 => [META, CRON_JOBS_9, TASK_RUNS_9, TASK_RUNS].concat(),
        _ => [META, CRON_JOBS_6, CRON_RUN_LOGS, TASK_RUNS_6, TASK_RUNS].concat(),
    }
}

/// Returns what turns the tables of 2026.6.11, its `cron_run_logs` already imported, into those of 2026.9.6.
pub(super) fn upgrade() -> String {
    let columns = "task_id, runtime, task_kind, source_id, requester_session_key, owner_key, scope_kind,
        child_session_key, parent_flow_id, parent_task_id, agent_id, requester_agent_id, run_id, label, task, status,
        delivery_status, notify_policy, created_at, started_at, ended_at, last_event_at, cleanup_after, error,
        progress_summary, terminal_summary, terminal_outcome";
    // The jobs are written anew from the list in memory.
    format!(
        "DROP TABLE cron_jobs; DROP TABLE task_delivery_state; ALTER TABLE task_runs RENAME TO task_runs_old;
         {TASK_RUNS_9} INSERT INTO task_runs ({columns}) SELECT {columns} FROM task_runs_old;
         DROP TABLE task_runs_old; {CRON_JOBS_9} {TASK_RUNS}"
    )
}
