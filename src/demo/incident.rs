//! What goes wrong at a gateway when a script says so, for alerts to be seen firing.
//!
//! Each incident is one change at one moment; what follows is the gateway's own doing. Deliberately absent: an end of
//! it, and any word to whoever counts.

use std::fs;

use super::jobs::Job;
use super::plan::Plan;
use super::provider::Profile;
use super::store::Change;
use super::{Error, Gateway};
use crate::model::UnixMs;

/// How long a job that is not run any more has been due, in ms.
const MISSED_MS: i64 = 3_600_000;
/// Where a job posts its results that did not post them before.
const WEBHOOK: &str = "http://127.0.0.1:1/hook/dead?token=s3cr3t";

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Incident {
    /// A job has been due for an hour and is not run.
    Missed,
    /// The runs of a job fail, one after another: its provider refuses the key.
    Failing,
    /// Each run of a job uses a thousand times its tokens.
    Burn,
    /// A job's webhook is not delivered any more.
    Webhook,
    /// The state directory is gone.
    Vanished,
}

impl Incident {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Missed, Self::Failing, Self::Burn, Self::Webhook, Self::Vanished];

    /// Returns its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Failing => "failing",
            Self::Burn => "burn",
            Self::Webhook => "webhook",
            Self::Vanished => "vanished",
        }
    }

    /// Returns what somebody sees who looks at the gateway.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Missed => "has been due for an hour and is not run",
            Self::Failing => "fails at each run: its provider refuses the key",
            Self::Burn => "uses a thousand times its tokens at each run",
            Self::Webhook => "finishes its runs, but its webhook is not delivered",
            Self::Vanished => "the state directory is gone",
        }
    }

    /// Returns the alert that tells of it first.
    #[must_use]
    pub const fn alert(self) -> &'static str {
        match self {
            Self::Missed => "OpenClawJobMissedSchedule",
            Self::Failing => "OpenClawJobFailing",
            Self::Burn => "OpenClawCostBurnFast",
            Self::Webhook => "OpenClawWebhookFailing",
            Self::Vanished => "OpenClawUsageSourceGone",
        }
    }
}

impl Gateway {
    /// Lets something go wrong at `now`, and returns the id of the job that it happens to, if it is one job's. After
    /// [`Incident::Vanished`] nothing ever happens again.
    ///
    /// # Errors
    /// The file system's and SQLite's, with the path; [`Error::NoJob`].
    pub fn suffer(&mut self, incident: Incident, now: UnixMs) -> Result<Option<String>, Error> {
        if incident == Incident::Vanished {
            self.vanish(now)?;
            return Ok(None);
        }
        let index = self.victim(incident).ok_or(Error::NoJob { incident: incident.as_str() })?;
        let job = &mut self.jobs[index];
        // It shows with the next run, and that is now.
        job.state.next_run_at_ms = Some(now.0);
        match incident {
            Incident::Missed => {
                job.held = true;
                job.state.next_run_at_ms = Some(now.0 - MISSED_MS);
            }
            Incident::Failing => job.profile = Profile::BadKey,
            Incident::Burn => job.profile = Profile::Runaway,
            Incident::Webhook => {
                job.webhook.get_or_insert_with(|| WEBHOOK.to_owned());
                job.webhook_works = false;
            }
            Incident::Vanished => {}
        }
        (job.updated_at, job.dirty) = (now.0, true);
        let id = job.id.clone();
        self.persist(Change::Jobs)?;
        Ok(Some(id))
    }

    /// Returns the job that it happens to: the first that comes round again, calls a model and is idle; for a webhook, one
    /// that has one.
    fn victim(&self, incident: Incident) -> Option<usize> {
        let fits = |job: &Job| {
            let calls = !matches!(job.profile, Profile::Event | Profile::Heartbeat);
            calls && job.enabled && !job.is_one_shot() && !job.is_running() && job.declaration.is_none()
        };
        let posts = |job: &Job| incident != Incident::Webhook || job.webhook.is_some();
        let first = self.jobs.iter().position(|job| fits(job) && posts(job));
        first.or_else(|| self.jobs.iter().position(fits))
    }

    fn vanish(&mut self, now: UnixMs) -> Result<(), Error> {
        self.database = None;
        self.plan = Plan::new(now.0, None);
        self.jobs.iter_mut().for_each(|job| job.held = true);
        let gone = self.state_dir.with_extension("gone");
        fs::rename(&self.state_dir, &gone).map_err(Error::io("move away", &self.state_dir))
    }
}
