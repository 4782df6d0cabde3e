//! The gateway's own log: what the scheduler says of runs and webhooks that fail, in the formats of each version.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::gateway::Finished;
use super::{Error, Gateway, Generation, Store};
use crate::model::{Status, UnixMs};

/// What the scheduler can be made to say of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its webhook was not delivered: as the version says that of an address that nobody answers at.
    WebhookFailed,
    /// Its webhook's receiver answered with this status. Versions before 2026.9.6 do not notice.
    WebhookAnswered(u16),
    /// A run of it failed.
    JobFailed,
    /// A run of it was interrupted by the gateway's end.
    RunInterrupted,
    /// It was switched off after too many errors.
    JobAutoDisabled,
    /// Something else went wrong in the scheduler.
    TimerFailed,
}

const FAILED: &str = "cron: webhook delivery failed";

impl Gateway {
    /// Returns where this gateway logs. The file is there once something was said.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.state_dir.join("logs").join("openclaw.log")
    }

    /// Makes the scheduler say something of a job.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn log(&self, said: Said, job_id: &str, at: UnixMs) -> Result<(), Error> {
        let job = self.jobs.iter().find(|job| job.id == job_id);
        let name = job.map(|job| job.name.as_str());
        // Its query is never logged.
        let url = job.and_then(|job| job.webhook.as_deref()).and_then(|url| url.split('?').next());
        let (level, fields, message) = match (said, self.generation()) {
            (Said::WebhookFailed, Generation::V2026_2_17) => {
                let error = "TypeError: fetch failed";
                ("WARN", json!({ "err": error, "jobId": job_id, "webhookUrl": url }), FAILED)
            }
            (Said::WebhookFailed, Generation::V2026_5_28 | Generation::V2026_6_11) => {
                let reason = "Blocked hostname or private/internal/special-use IP address";
                let fields = json!({ "jobId": job_id, "reason": reason, "webhookUrl": url });
                ("WARN", fields, "cron: webhook delivery blocked by SSRF guard")
            }
            (Said::WebhookFailed, Generation::V2026_9_6) => {
                for (attempt, wait, seconds) in [(2, 5, 0), (3, 10, 5), (4, 20, 15)] {
                    let text = format!(
                        "[cron:{job_id}] transient webhook delivery failure, retrying {attempt}/4 in {wait}s: fetch failed"
                    );
                    self.log_line("WARN", (json!(text), None, &text), at.plus(seconds * 1_000))?;
                }
                ("WARN", json!({ "jobId": job_id, "err": "fetch failed | bad port" }), FAILED)
            }
            (Said::WebhookAnswered(status), Generation::V2026_9_6) => {
                let error = format!("Webhook request failed with HTTP {status}");
                ("WARN", json!({ "jobId": job_id, "err": error }), FAILED)
            }
            (Said::WebhookAnswered(_), _) => return Ok(()),
            (Said::JobFailed, Generation::V2026_2_17) => {
                let fields = json!({ "jobId": job_id, "jobName": name, "timeoutMs": 12_000 });
                ("WARN", fields, "cron: job failed: Error: cron: job execution timed out")
            }
            (Said::JobFailed, _) => {
                let fields = json!({ "jobId": job_id, "jobName": name, "error": "500 upstream exploded" });
                ("WARN", fields, "cron: job run returned error status")
            }
            (Said::RunInterrupted, _) => {
                let fields = json!({ "jobId": job_id, "runningAtMs": at.0 });
                ("WARN", fields, "cron: marking interrupted running job failed on startup")
            }
            (Said::JobAutoDisabled, _) => {
                let fields = json!({ "jobId": job_id, "name": name, "errorCount": 3 });
                ("ERROR", fields, "cron: auto-disabled job after repeated schedule errors")
            }
            (Said::TimerFailed, _) => ("ERROR", json!({ "err": "Error: boom" }), "cron: timer tick failed"),
        };
        self.log_line(level, (json!(r#"{"module":"cron"}"#), Some(fields), message), at)
    }

    /// Says what is said of a finished run by itself.
    pub(super) fn log_run(&self, finished: &Finished) -> Result<(), Error> {
        let Finished { job_id, ts, status, .. } = finished;
        // 2026.2.17 says nothing of a failed model call.
        if *status == Status::Error && self.generation() != Generation::V2026_2_17 {
            self.log(Said::JobFailed, job_id, *ts)?;
        }
        let broken = |job: &super::Job| job.id == *job_id && job.webhook.is_some() && !job.webhook_works;
        if *status == Status::Ok && self.jobs.iter().any(broken) {
            self.log(Said::WebhookFailed, job_id, *ts)?;
        }
        Ok(())
    }

    fn log_line(
        &self,
        level: &str,
        (logger, fields, message): (Value, Option<Value>, &str),
        at: UnixMs,
    ) -> Result<(), Error> {
        let date = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        let date = date.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let meta = json!({ "runtime": "node", "hostname": "gateway", "name": logger, "date": date, "logLevelName": level });
        let mut line = json!({ "0": logger, "_meta": meta, "time": date });
        if let Some(fields) = fields {
            line["1"] = fields;
            line["2"] = json!(message);
        }
        if self.generation().store() != Store::RunLogs || self.generation() != Generation::V2026_2_17 {
            line["hostname"] = json!("gateway");
            line["message"] = json!(message);
        }
        let path = self.log_file();
        let dir = self.state_dir.join("logs");
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(Error::io("append to", &path))
    }
}
