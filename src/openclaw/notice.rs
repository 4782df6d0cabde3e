//! What a gateway posts to a webhook when a run has finished: the run's record without the time at which it was written.
//!
//! From 2026.8.1 on the job stands in it too, and cache tokens that are not written were none. Before, nothing tells
//! 2026.6.6 to 7.x, whose totals are sums, from the versions whose totals mean something else: cache tokens of theirs are
//! not known until the record itself is read. A notice says that it was delivered before it was; that it is here proves
//! it. Source: notices of 2026.2.17 and 2026.9.6 as they were received.

use super::jobs::definition;
use super::raw::{RawRecord, deserialize};
use super::record::{CacheRule, record_to_run, trim};
use crate::model::{Delivery, JobDefinition, Notice, RejectReason, UnixMs};

/// Reads the body of a notice.
///
/// # Errors
/// It is no JSON, not of a finished run, or impossible.
pub fn read_notice(body: &[u8], now: UnixMs) -> Result<Notice, RejectReason> {
    let body = trim(body);
    let mut raw = RawRecord::default();
    let used = deserialize(body, &mut raw).map_err(|_| RejectReason::InvalidJson)?;
    if used != body.len() || body.is_empty() {
        return Err(RejectReason::InvalidJson);
    }
    let rule = if raw.job.is_some() { CacheRule::NoneUnlessWritten } else { CacheRule::AsWritten };
    let mut run = record_to_run(&raw, rule, now)?;
    let job = raw.job.and_then(|job| job_of(job, run.key.job_id));
    run.delivery = Delivery::WebhookDelivered;
    run.job_name = job.as_ref().map(|job| job.name.as_str()).filter(|name| !name.is_empty());
    run.agent = run.agent.or_else(|| job.as_ref().and_then(|job| job.agent.as_deref()));
    let run = run.owned();
    Ok(Notice { gateway: String::new(), summary: None, run_id: raw.run_id.to_owned_text(), run, job })
}

/// What stands there of another job than the notice's is no word on it.
fn job_of(text: &str, job_id: &str) -> Option<JobDefinition> {
    let job = definition(&serde_json::from_str(text).ok()?, None)?;
    (job.job_id == job_id).then_some(job)
}
