//! The table `cron_jobs`: the job list of the versions with a database.
//!
//! Jobs that another gateway left in the table go with the first list. What a job is stands in `job_json`, what became of it in `state_json`; 2026.6.11 repeats both in columns.

use super::super::jobs::Job;
use super::super::store::{Definition, definition};
use super::super::{Error, Generation};
use super::StateDatabase;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::named_params;
use std::collections::BTreeMap;
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

/// What the table holds of each job, so that only changes are written.
#[derive(Debug, Default)]
pub(in super::super) struct JobTable {
    written: BTreeMap<String, (Definition, usize)>,
    emptied: bool,
}

impl JobTable {
    /// Brings the table up to the list.
    pub(in super::super) fn persist(&mut self, database: &StateDatabase, jobs: &[Job]) -> Result<(), Error> {
        let generation = database.generation;
        let list = jobs.iter().zip(0..);
        let list: BTreeMap<String, (Definition, usize)> = list
            .map(|(job, place)| Ok((job.id.clone(), (definition(job, generation)?, place))))
            .collect::<Result<_, Error>>()?;
        database.atomically("write the jobs of", |database| {
            if !self.emptied {
                database.execute_batch("DELETE FROM cron_jobs")?;
            }
            for (_, row) in list.iter().filter(|(id, row)| self.written.get(*id) != Some(*row)) {
                upsert(database, &row.0, row.1)?;
            }
            let mut delete = database.connection.prepare_cached("DELETE FROM cron_jobs WHERE job_id = ?1")?;
            let mut gone = self.written.keys().filter(|id| !list.contains_key(*id));
            gone.try_for_each(|id| delete.execute([id]).map(drop))
        })?;
        (self.written, self.emptied) = (list, true);
        Ok(())
    }
}

fn upsert(database: &StateDatabase, job: &Definition, place: usize) -> rusqlite::Result<()> {
    let place = i64::try_from(place).unwrap_or(i64::MAX);
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
