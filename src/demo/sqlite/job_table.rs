//! The table `cron_jobs`: the job list of the versions with a database.
//!
//! Jobs that another gateway left in the table go with the first list. What a job is stands in `job_json`, what became of it in `state_json`; 2026.6.11 repeats both in columns.

use super::super::jobs::Job;
use super::super::store::{Change, Definition, definition};
use super::super::{Error, Generation};
use super::StateDatabase;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::named_params;
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_128_with_seed;

const UPSERT_6: &str = "
    INSERT OR REPLACE INTO cron_jobs (store_key, job_id, name, enabled, delete_after_run, created_at_ms, agent_id,
        schedule_kind, schedule_expr, schedule_tz, every_ms, anchor_ms, at, stagger_ms, session_target, wake_mode,
        payload_kind, payload_message, payload_model, payload_timeout_seconds, delivery_mode, delivery_to,
        next_run_at_ms, running_at_ms, last_run_at_ms, last_run_status, last_error, last_duration_ms,
        consecutive_errors, consecutive_skipped, last_delivery_status, last_delivery_error, last_delivered,
        job_json, state_json, runtime_updated_at_ms, schedule_identity, sort_order, updated_at)
    SELECT :store, j ->> '$.id', j ->> '$.name', j ->> '$.enabled', j ->> '$.deleteAfterRun', j ->> '$.createdAtMs',
        j ->> '$.agentId', j ->> '$.schedule.kind', j ->> '$.schedule.expr', j ->> '$.schedule.tz',
        j ->> '$.schedule.everyMs', j ->> '$.schedule.anchorMs', j ->> '$.schedule.at', j ->> '$.schedule.staggerMs',
        j ->> '$.sessionTarget', j ->> '$.wakeMode', j ->> '$.payload.kind',
        coalesce(j ->> '$.payload.message', j ->> '$.payload.text'), j ->> '$.payload.model',
        j ->> '$.payload.timeoutSeconds', j ->> '$.delivery.mode', j ->> '$.delivery.to', s ->> '$.nextRunAtMs',
        s ->> '$.runningAtMs', s ->> '$.lastRunAtMs', s ->> '$.lastRunStatus', s ->> '$.lastError',
        s ->> '$.lastDurationMs', s ->> '$.consecutiveErrors', s ->> '$.consecutiveSkipped',
        s ->> '$.lastDeliveryStatus', s ->> '$.lastDeliveryError', s ->> '$.lastDelivered',
        j, s, :updated, :identity, :place, :updated
    FROM (SELECT :job AS j, :state AS s)";

const UPSERT_9: &str = "
    INSERT OR REPLACE INTO cron_jobs (store_key, job_id, declaration_key, name, description, enabled, agent_id,
        payload_kind, job_json, grant_definition_revision, grant_definition_generation, grant_definition_updated_at,
        state_json, runtime_updated_at_ms, schedule_identity, sort_order, updated_at)
    SELECT :store, j ->> '$.id', j ->> '$.declarationKey', j ->> '$.name', j ->> '$.description', j ->> '$.enabled',
        j ->> '$.agentId', j ->> '$.payload.kind', j, :revision, 1, :updated, s, :updated, :identity, :place, :updated
    FROM (SELECT :job AS j, :state AS s)";

/// Which jobs the table holds.
#[derive(Debug, Default)]
pub(in super::super) struct JobTable {
    /// `None` before the first list, when it may hold those of another gateway.
    written: Option<BTreeSet<String>>,
}

impl JobTable {
    /// Brings the table up to the list: all of it, or only the jobs that runs have changed.
    pub(in super::super) fn persist(
        &mut self,
        database: &StateDatabase,
        jobs: &[Job],
        change: Change,
    ) -> Result<(), Error> {
        let all = change == Change::Jobs || self.written.is_none();
        let rows: Vec<(Definition, i64)> = jobs
            .iter()
            .zip(0..)
            .filter(|(job, _)| all || job.dirty)
            .map(|(job, place)| Ok((definition(job, database.generation)?, place)))
            .collect::<Result<_, Error>>()?;
        let ids: Option<BTreeSet<String>> = all.then(|| jobs.iter().map(|job| job.id.clone()).collect());
        database.atomically("write the jobs of", |database| {
            if self.written.is_none() {
                database.execute_batch("DELETE FROM cron_jobs")?;
            }
            rows.iter().try_for_each(|(row, place)| upsert(database, row, *place))?;
            let mut delete = database.connection.prepare_cached("DELETE FROM cron_jobs WHERE job_id = ?1")?;
            let (Some(before), Some(now)) = (&self.written, &ids) else { return Ok(()) };
            before.difference(now).try_for_each(|id| delete.execute([id]).map(drop))
        })?;
        if ids.is_some() {
            self.written = ids;
        }
        Ok(())
    }
}

fn upsert(database: &StateDatabase, job: &Definition, place: i64) -> rusqlite::Result<()> {
    let Definition { job, state, identity, updated_at } = job;
    if database.generation == Generation::V2026_9_6 {
        let mut insert = database.connection.prepare_cached(UPSERT_9)?;
        let inserted = insert.execute(named_params! {
            ":store": database.store_key, ":job": job, ":state": state, ":identity": identity,
            ":updated": updated_at, ":place": place, ":revision": revision(job),
        });
        return inserted.map(drop);
    }
    let mut insert = database.connection.prepare_cached(UPSERT_6)?;
    let inserted = insert.execute(named_params! {
        ":store": database.store_key, ":job": job, ":state": state, ":identity": identity,
        ":updated": updated_at, ":place": place,
    });
    inserted.map(drop)
}

/// Returns something that looks like the digest of a definition and changes with it.
fn revision(job: &str) -> String {
    let halves = [0, 1].map(|seed| xxh3_128_with_seed(job.as_bytes(), seed).to_be_bytes());
    format!("sha256:{}", URL_SAFE_NO_PAD.encode(halves.concat()))
}
