//! Which run a call belongs to.
//!
//! A call has a session and a time. The session's job is, in this order: that of a record which names the session; the
//! one in the session's key; the one that a user's message names (the last before the call, and if the key is not
//! known either, the first of the session). A sub-agent's session has the job of the session that spawned it, however
//! many lie between, and a fork without a key that of the session it was copied from.
//!
//! The run is then found by the *opening*, the last message before the call that names the job: the scheduler sends one
//! as soon as a run starts, also where a session serves many runs (2026.2.17), while a call may come long after the
//! run's end (an announce turn). The run is the last one of the job that started before the opening, unless its record
//! names another session or it had ended by then: such an opening belongs to a run without a record.
//!
//! In 600 recorded runs of 2026.2.17 to 2026.9.6 the opening came 24 ms to 45 s after the run's start, and at most
//! 51 ms after its end (a time limit that passed meanwhile); the next opening without a record came 25 s after it.
//!
//! Deliberately absent: matching by agent, model or usage. What is not told by ids and times is not guessed.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Opening, SessionHeader};
use super::sessions::{SessionKey, SessionLink};
use crate::model::{RunAt, RunKey, UnixMs};

/// How much later than its opening or the time in its key a run may have started, in milliseconds.
const START_TOLERANCE_MS: i64 = 1_000;
/// How long after its end a run may still be opened, in milliseconds.
const END_TOLERANCE_MS: i64 = 5_000;
/// How many sessions may have spawned or been copied from each other in a row.
const MAX_DEPTH: usize = 16;

/// What a run record says of where its calls are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRun {
    /// The run.
    pub key: RunKey,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Its session. Many records have none: those of runs that timed out or were interrupted, for one.
    pub session_id: Option<String>,
    /// Its session's key.
    pub session_key: Option<String>,
}

/// Whose a call is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A run's.
    Run {
        /// The run.
        key: RunKey,
        /// A sub-agent made the call on the run's behalf.
        sub_agent: bool,
    },
    /// A run's that has no record, yet or ever: it was killed, or its job was removed meanwhile.
    Unrecorded {
        /// The job.
        job_id: String,
        /// When the run was opened; not before it started.
        started_at: UnixMs,
        /// A sub-agent made the call on the run's behalf.
        sub_agent: bool,
    },
    /// No job's: a chat, or a job that works in the main session and leaves no trace there.
    None,
}

impl Owner {
    fn of_sub_agent(self) -> Self {
        match self {
            Self::Run { key, .. } => Self::Run { key, sub_agent: true },
            Self::Unrecorded { job_id, started_at, .. } => {
                Self::Unrecorded { job_id, started_at, sub_agent: true }
            }
            Self::None => Self::None,
        }
    }
}

#[derive(Debug)]
struct RunFacts {
    key: RunKey,
    /// `None`: the record does not say how long it took.
    end: Option<UnixMs>,
    session_id: Option<String>,
    /// The time behind `:run:` in its session's key.
    token: Option<UnixMs>,
}

#[derive(Debug, Default)]
struct SessionFacts {
    key: Option<String>,
    parent: Option<String>,
    created_at: Option<UnixMs>,
    /// In the order of time. Of messages in a row that name no job only the first is here.
    openings: BTreeMap<UnixMs, Option<String>>,
    seen_at: UnixMs,
}

/// All that is known of sessions and runs; see the module's description for how it is used bit by bit.
#[derive(Debug, Default)]
pub struct Attributor {
    /// By job and start.
    runs: BTreeMap<String, BTreeMap<UnixMs, RunFacts>>,
    /// The jobs of the sessions that records name.
    jobs_of_records: BTreeMap<String, BTreeSet<String>>,
    sessions: BTreeMap<String, SessionFacts>,
    /// By job: the sessions in which it was opened, and when.
    openings: BTreeMap<String, BTreeSet<(UnixMs, String)>>,
    /// The keys of the sessions that spawned those with these keys, and when that was seen.
    spawners: BTreeMap<String, (String, UnixMs)>,
    /// Links that said something new.
    links: u64,
}

impl Attributor {
    /// Takes what an index, a trajectory or a database says of a session, seen at `now`.
    pub fn add_link(&mut self, link: SessionLink, now: UnixMs) {
        if let Some(session) = link.session_id.as_deref().map(|id| self.session(id, now)) {
            // One session may have two keys: `…:cron:<jobId>` and, more exactly, that with `:run:…` behind it.
            let rank = |key: &str| match SessionKey::of(key) {
                SessionKey::Cron { run: Some(_), .. } => 2,
                SessionKey::Cron { run: None, .. } => 1,
                SessionKey::Other => 0,
            };
            if session.key.as_deref().is_none_or(|known| rank(known) < rank(&link.key)) {
                session.key = Some(link.key.clone());
                self.links += 1;
            }
        }
        if let Some(spawner) = link.spawned_by.filter(|spawner| *spawner != link.key) {
            let is_new = self.spawners.get(&link.key).is_none_or(|(known, _)| *known != spawner);
            self.links += u64::from(is_new);
            self.spawners.insert(link.key, (spawner, now));
        }
    }

    /// Returns a number that grows with every link that says something new.
    #[must_use]
    pub const fn links(&self) -> u64 {
        self.links
    }

    /// Takes a session's header, seen at `now`.
    pub fn add_header(&mut self, header: &SessionHeader, now: UnixMs) {
        let session = self.session(&header.id, now);
        session.parent.clone_from(&header.parent);
        session.created_at = header.created_at;
    }

    /// Takes a message that calls follow.
    pub fn add_opening(&mut self, session_id: &str, opening: Opening) {
        let Opening { at, job_id } = opening;
        let session = self.session(session_id, at);
        let neighbour = |next: Option<(&UnixMs, &Option<String>)>| next.is_some_and(|(_, job)| job.is_none());
        if job_id.is_none() && neighbour(session.openings.range(..=at).next_back()) {
            return;
        }
        session.openings.insert(at, job_id.clone());
        if job_id.is_none() && neighbour(session.openings.range(at.plus(1)..).next()) {
            let later = session.openings.range(at.plus(1)..).next().map(|(at, _)| *at);
            later.map(|later| session.openings.remove(&later));
        }
        let copied = session.own().is_some_and(|own| at < own);
        if let Some(job_id) = job_id.filter(|_| !copied) {
            self.openings.entry(job_id).or_default().insert((at, session_id.to_owned()));
        }
    }

    /// Takes a run record; a later one of the same run replaces the earlier.
    pub fn add_run(&mut self, run: KnownRun) {
        let duration = run.duration_ms.and_then(|ms| i64::try_from(ms).ok());
        let (start, end) = match run.key.at {
            RunAt::Started(at) => (at, duration.map(|ms| at.plus(ms))),
            RunAt::Logged(at) => (at.plus(-duration.unwrap_or(0)), Some(at)),
        };
        let in_key = match run.session_key.as_deref().map(SessionKey::of) {
            Some(SessionKey::Cron { run: Some(token), .. }) => Some(token),
            _ => None,
        };
        let token = in_key.and_then(time_in);
        let session_id = run.session_id.or_else(|| in_key.filter(|_| token.is_none()).map(ToOwned::to_owned));
        if let Some(session_id) = &session_id {
            self.jobs_of_records.entry(session_id.clone()).or_default().insert(run.key.job_id.clone());
        }
        let runs = self.runs.entry(run.key.job_id.clone()).or_default();
        // The ledger, which is asked for runs of long ago, knows no sessions.
        let known = runs.get(&start);
        let session_id = session_id.or_else(|| known?.session_id.clone());
        let token = token.or_else(|| known?.token);
        runs.insert(start, RunFacts { key: run.key, end, session_id, token });
    }

    /// Forgets runs that started before `time`; a caller that keeps them elsewhere tells them again when they are needed.
    pub fn forget_runs_before(&mut self, time: UnixMs) {
        self.runs.values_mut().for_each(|runs| runs.retain(|start, _| *start >= time));
        self.runs.retain(|_, runs| !runs.is_empty());
        let named: BTreeSet<&String> =
            self.runs.values().flat_map(BTreeMap::values).filter_map(|run| run.session_id.as_ref()).collect();
        self.jobs_of_records.retain(|session, _| named.contains(session));
    }

    /// Forgets runs that started and sessions that were last seen before `time`.
    pub fn forget_before(&mut self, time: UnixMs) {
        self.forget_runs_before(time);
        self.sessions.retain(|_, session| session.seen_at >= time);
        self.spawners.retain(|_, (_, seen_at)| *seen_at >= time);
        let sessions = &self.sessions;
        self.openings.values_mut().for_each(|all| all.retain(|(_, id)| sessions.contains_key(id)));
        self.openings.retain(|_, all| !all.is_empty());
    }

    /// Returns whether a session's key is known: then that tells whose it is, and not its first message.
    #[must_use]
    pub fn has_key(&self, session_id: &str) -> bool {
        self.sessions.get(session_id).is_some_and(|session| session.key.is_some())
    }

    /// Returns whose a call in this session at this time is.
    #[must_use]
    pub fn owner(&self, session_id: &str, asked_at: UnixMs) -> Owner {
        self.owner_in(session_id, asked_at, 0)
    }

    fn session(&mut self, id: &str, seen_at: UnixMs) -> &mut SessionFacts {
        let session = self.sessions.entry(id.to_owned()).or_default();
        session.seen_at = session.seen_at.max(seen_at);
        session
    }

    fn owner_in(&self, id: &str, at: UnixMs, depth: usize) -> Owner {
        let session = self.sessions.get(id);
        let key = session.and_then(|session| session.key.as_deref());
        let shared = key.is_some_and(|key| SessionKey::of(key) == SessionKey::Other);
        for job_id in self.jobs_of_records.get(id).into_iter().flatten() {
            // A session that people use too is a run's only while that lasts.
            if !shared {
                return self.run_in(job_id, Some(id), None, at);
            }
            if let Some(run) = self.run_during(job_id, id, at) {
                return Owner::Run { key: run.key.clone(), sub_agent: false };
            }
        }
        if let Some(key) = key {
            if let SessionKey::Cron { job_id, run } = SessionKey::of(key) {
                return self.run_in(job_id, Some(id), run, at);
            }
            let opened_at = session.and_then(SessionFacts::first_opening).unwrap_or(at).min(at);
            if let Some(owner) = self.owner_of_spawner(key, opened_at) {
                return owner;
            }
        }
        let Some(session) = session else { return Owner::None };
        let turn = session.openings.range(..=at).next_back().and_then(|(_, job)| job.as_deref());
        // Where a person writes, one message that names a job says nothing of the next.
        let first = session.openings.values().next().and_then(Option::as_deref).filter(|_| key.is_none());
        if let Some(job_id) = turn.or(first) {
            return self.run_in(job_id, Some(id), None, at);
        }
        match &session.parent {
            Some(parent) if key.is_none() && depth < MAX_DEPTH => self.owner_in(parent, at, depth + 1),
            _ => Owner::None,
        }
    }

    /// Returns the owner of the session at the end of the chain of spawners, if that is a job's. `at`: when the first
    /// session of the chain was opened.
    fn owner_of_spawner(&self, key: &str, at: UnixMs) -> Option<Owner> {
        let mut key = key;
        for _ in 0..MAX_DEPTH {
            key = &self.spawners.get(key)?.0;
            let SessionKey::Cron { job_id, run } = SessionKey::of(key) else { continue };
            // Before 2026.7.1 the key does not name the run's session: it is the one that was opened last.
            let last = self
                .openings
                .get(job_id)
                .and_then(|all| all.range(..(at.plus(1), String::new())).next_back());
            let id = match run {
                Some(token) if time_in(token).is_none() => Some(token),
                _ => last.map(|(_, id)| id.as_str()),
            };
            return Some(self.run_in(job_id, id, run, at).of_sub_agent());
        }
        None
    }

    /// Returns the run of a job that its record puts in this session and at this time.
    fn run_during(&self, job_id: &str, session_id: &str, at: UnixMs) -> Option<&RunFacts> {
        let last = self.runs.get(job_id)?.range(..=at).next_back()?.1;
        let during = last.end.is_some_and(|end| at <= end);
        Some(last).filter(|facts| during && facts.session_id.as_deref() == Some(session_id))
    }

    /// Returns the session that this one was copied from, through any number of copies: a compaction may give a run's
    /// session a new id in the middle of the run.
    fn origin<'a>(&'a self, id: &'a str) -> &'a str {
        let parent = |id: &&str| self.sessions.get(*id)?.parent.as_deref();
        std::iter::successors(Some(id), parent).take(MAX_DEPTH).last().unwrap_or(id)
    }

    /// Returns the run of a job for a call at this time in this session, if that is known, whose key has this token.
    fn run_in(&self, job_id: &str, session_id: Option<&str>, token: Option<&str>, at: UnixMs) -> Owner {
        let runs = self.runs.get(job_id);
        let run = |facts: &RunFacts| Owner::Run { key: facts.key.clone(), sub_agent: false };
        let unrecorded =
            |started_at| Owner::Unrecorded { job_id: job_id.to_owned(), started_at, sub_agent: false };
        if let Some(start) = token.and_then(time_in) {
            // After a restart of the gateway the run may start later than its key says: 138 ms in a recording.
            let mut later = runs.into_iter().flat_map(|runs| runs.range(start..)).take(16);
            let named = later.clone().find(|(_, facts)| facts.token == Some(start));
            let near = || {
                let within = start.plus(START_TOLERANCE_MS);
                later.next().filter(|(at, facts)| facts.token.is_none() && **at <= within)
            };
            let found = named.or_else(near).map(|(_, facts)| facts);
            return found.map_or_else(|| unrecorded(start), run);
        }
        let session = session_id.and_then(|id| self.sessions.get(id));
        let marked = session.and_then(|session| session.opening_of(job_id, at));
        let opened_at =
            marked.or_else(|| session.and_then(SessionFacts::first_opening)).unwrap_or(at).min(at);
        let fits = |facts: &RunFacts| match (&facts.session_id, session_id) {
            (Some(known), Some(asked)) if self.origin(known) != self.origin(asked) => false,
            // Without the scheduler's message there is no telling when the run was opened, only where.
            (Some(_), Some(_)) if marked.is_none() => true,
            _ => facts.end.is_none_or(|end| opened_at <= end.plus(END_TOLERANCE_MS)),
        };
        let Some(runs) = runs else { return unrecorded(opened_at) };
        let before = runs.range(..=opened_at).rev().map(|(_, facts)| facts).find(|facts| fits(facts));
        let soon = opened_at.plus(1)..=opened_at.plus(START_TOLERANCE_MS);
        let after = || runs.range(soon).map(|(_, facts)| facts).find(|facts| fits(facts));
        before.or_else(after).map_or_else(|| unrecorded(opened_at), run)
    }
}

/// Returns the time behind `:run:` in a key, if it is one and no session's id.
fn time_in(token: &str) -> Option<UnixMs> {
    token.parse().ok().map(UnixMs)
}

impl SessionFacts {
    /// When a fork was made: what is older are copies of its parent's messages.
    fn own(&self) -> Option<UnixMs> {
        self.created_at.filter(|_| self.parent.is_some())
    }

    /// The first message of the session itself.
    fn first_opening(&self) -> Option<UnixMs> {
        self.openings.range(self.own().unwrap_or(UnixMs(i64::MIN))..).next().map(|(at, _)| *at)
    }

    /// When the scheduler last opened a run of this job here, at that time or before.
    fn opening_of(&self, job_id: &str, at: UnixMs) -> Option<UnixMs> {
        let mut openings = self.openings.range(..=at).rev();
        openings.find(|(_, job)| job.as_deref() == Some(job_id)).map(|(at, _)| *at)
    }
}

#[cfg(test)]
#[path = "tests/attribute.rs"]
mod tests;
