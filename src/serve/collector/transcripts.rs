//! Session transcripts into the ledger: which were changed, what was billed in them, and for which run.
//!
//! A call is the same call wherever its transcript is read, so that a transcript may be read again at any time: after a
//! restart, after it was renamed, beside its copy in a database. What is kept of a transcript in memory is how far it was
//! read and the calls whose run is not known yet. Sessions of no job are left after their first message.
//!
//! Deliberately absent: what lines mean and whose a call is (`openclaw::transcript`), and the sum of a run (`ledger`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::agent_files::{AgentFiles, Read};
use super::agent_tables::AgentTables;
use super::scope::Scope;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{
    Batch, BilledCall, FailedCall, FilePosition, NanoUsd, Position, Reject, RejectReason, RunAt, RunKey,
    Runs, SourceId, UnixMs,
};
use crate::openclaw::transcript::{Attributor, Call, CallKey, End, KnownRun, Owner, SessionLink};

/// What the attribute `openclaw.source` says of transcripts.
pub const SOURCE: &str = "transcript";

/// How long after its last word a session without a record counts as one that gets none: 10 min in milliseconds.
/// OpenClaw 2026.4.15 writes records up to a minute late.
const UNRECORDED_MS: i64 = 600_000;
/// The same while the scheduler says that the job is running, which a gateway that was killed says for ever: 24 h.
const RUNNING_MS: i64 = 86_400_000;
/// Records older than this are looked up in the ledger when they are needed: 15 min in milliseconds. A long history must
/// not be held in memory.
const REMEMBER_MS: i64 = 900_000;
/// Ends of runs, and sessions, that are older than this are forgotten: 2 days, and four times that, in milliseconds.
const RECENT_MS: i64 = 2 * 86_400_000;
/// How often old sessions and runs are forgotten: hourly.
const FORGET_MS: i64 = 3_600_000;
/// Runs of a job that are looked at for the one that a call belongs to.
const CANDIDATES: usize = 8;
/// Calls that are committed at once.
const BATCH_CALLS: usize = 1_000;
/// Calls that may come in before those are committed whose run is known.
const FRESH_CALLS: usize = 4_000;

/// All that is held of the sessions of a gateway.
#[derive(Default)]
pub(super) struct Transcripts {
    files: AgentFiles,
    tables: AgentTables,
    sessions: Sessions,
    /// When old sessions and runs were last forgotten.
    forgot: Option<UnixMs>,
}

/// What is known of sessions, wherever their transcripts are.
#[derive(Default)]
pub(super) struct Sessions {
    pub attributor: Attributor,
    /// Calls whose run has no record yet, by session.
    held: BTreeMap<String, Group>,
    /// Sessions to ask about again.
    dirty: BTreeSet<String>,
    /// Jobs whose runs came in.
    news: BTreeSet<String>,
    /// The last call of each run in sessions that are not done with.
    last: HashMap<RunKey, (UnixMs, End)>,
    /// What is to be committed: it stays until it was.
    pending: Vec<BilledCall>,
    failed: BTreeMap<RunKey, Option<FailedCall>>,
    rejects: Vec<Reject>,
    /// Calls that came in since it was last asked whose they are.
    fresh: usize,
    /// What was committed in between changed something.
    changed: bool,
    /// Grows with every link that says something new, since it may tell whose a session is that was none's.
    pub links: u64,
    /// What is to be read.
    pub scope: Scope,
}

/// The calls of one session that wait for their run.
#[derive(Default)]
struct Group {
    /// The job whose they are, once that is known.
    job: Option<String>,
    calls: Vec<Held>,
}

struct Held {
    key: CallKey,
    call: Call,
    agent: String,
    /// The run without a record that it was counted in.
    counted: Option<RunKey>,
    seen: UnixMs,
}

impl Sessions {
    /// Takes what an index or a database says of a session.
    pub fn link(&mut self, link: SessionLink, now: UnixMs) {
        self.attributor.add_link(link, now);
        self.links = self.attributor.links();
    }

    /// Takes a call; most transcripts are read while their run is not recorded yet.
    pub fn call(&mut self, session: &str, agent: &str, key: CallKey, call: Call, now: UnixMs) {
        let group = self.held.entry(session.to_owned()).or_default();
        if group.calls.iter().any(|held| held.key == key) {
            return;
        }
        group.calls.push(Held { key, call, agent: agent.to_owned(), counted: None, seen: now });
        self.fresh += 1;
        self.dirty.insert(session.to_owned());
    }

    /// Drops what is held of a session that is no job's; it is read anew if it turns out to be one's.
    pub fn forget(&mut self, session: &str) {
        self.held.remove(session);
        self.dirty.remove(session);
    }

    /// Returns whether a session may be a job's: what is none's is not read.
    pub fn is_wanted(&self, session: &str, at: UnixMs) -> bool {
        self.attributor.owner(session, at) != Owner::None
    }

    /// Returns whether nothing of a session waits for its run.
    pub fn is_settled(&self, session: &str) -> bool {
        !self.held.contains_key(session)
    }

    /// Counts a piece of a transcript that makes no sense.
    pub fn reject(&mut self, reason: RejectReason, what: &str) {
        self.rejects.push(Reject::new(reason, format!("{SOURCE}: {what}")));
    }

    /// Takes records of runs, so that calls find them.
    fn runs(&mut self, runs: &Runs, now: UnixMs) {
        for job_id in runs.jobs() {
            if !self.news.contains(job_id) {
                self.news.insert(job_id.to_owned());
            }
        }
        for run in runs.recorded_since(now.plus(1 - REMEMBER_MS)) {
            let run = run.owned();
            if let Some(id) = run.session.id.as_ref().filter(|id| self.held.contains_key(*id)) {
                self.dirty.insert(id.clone());
            }
            self.attributor.add_run(KnownRun {
                key: run.key,
                duration_ms: run.duration_ms,
                session_id: run.session.id,
                session_key: run.session.key,
            });
        }
    }

    /// Asks whose the calls are that are not settled, and commits those whose run is known.
    fn resolve(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        self.ask(ledger, now);
        self.commit(ledger, true, now)?;
        Ok(std::mem::take(&mut self.changed))
    }

    /// Commits what is known already if a lot came in at once, so that no history has to fit into memory.
    pub fn relieve(&mut self, ledger: &mut Ledger, now: UnixMs) {
        if self.fresh < FRESH_CALLS {
            return;
        }
        self.ask(ledger, now);
        if let Err(error) = self.commit(ledger, false, now) {
            tracing::debug!("calls wait for the next commit: {error}");
        }
    }

    fn ask(&mut self, ledger: &Ledger, now: UnixMs) {
        self.fresh = 0;
        let news = std::mem::take(&mut self.news);
        let concerned = |group: &Group| group.job.as_ref().is_none_or(|job| news.contains(job));
        if !news.is_empty() {
            self.dirty
                .extend(self.held.iter().filter(|(_, group)| concerned(group)).map(|(id, _)| id.clone()));
        }
        for session in std::mem::take(&mut self.dirty) {
            let Some(group) = self.held.remove(&session) else { continue };
            let mut rest = Group { job: group.job, calls: Vec::new() };
            for mut one in group.calls {
                match self.owner(ledger, &session, one.call.asked_at) {
                    Owner::Run { key, sub_agent } => {
                        self.note_end(&key, &one.call, sub_agent);
                        self.pending.extend(billed(&one, key, sub_agent));
                    }
                    Owner::Unrecorded { job_id, started_at, sub_agent } => {
                        rest.job = Some(job_id.clone());
                        let run = RunKey { job_id, at: RunAt::Started(started_at) };
                        if one.counted.is_none() && is_over(ledger, &run.job_id, &one, now) {
                            self.pending.extend(billed(&one, run.clone(), sub_agent));
                            one.counted = Some(run);
                        }
                        rest.calls.push(one);
                    }
                    Owner::None => rest.calls.push(one),
                }
            }
            if !rest.calls.is_empty() {
                self.held.insert(session, rest);
            }
        }
    }

    /// Asks again about sessions that have been silent for so long that no record will come.
    fn close(&mut self, now: UnixMs) {
        let silent = |group: &Group| {
            group.job.is_some()
                && group.calls.iter().all(|one| now.since(one.seen) > UNRECORDED_MS)
                && group.calls.iter().any(|one| one.counted.is_none())
        };
        self.dirty.extend(self.held.iter().filter(|(_, group)| silent(group)).map(|(id, _)| id.clone()));
        self.last.retain(|_, (at, _)| now.since(*at) < RECENT_MS);
    }

    /// Returns whose a call is, with the help of the runs that the ledger holds of its job.
    fn owner(&mut self, ledger: &Ledger, session: &str, at: UnixMs) -> Owner {
        let Owner::Unrecorded { job_id, started_at, sub_agent } = self.attributor.owner(session, at) else {
            return self.attributor.owner(session, at);
        };
        // A failed look-up is one that finds nothing: it is asked again with the next news.
        let known = ledger.recorded_runs(&job_id, started_at.plus(1_000), CANDIDATES).unwrap_or_default();
        for (key, duration_ms) in known {
            self.attributor.add_run(KnownRun { key, duration_ms, session_id: None, session_key: None });
        }
        match self.attributor.owner(session, at) {
            Owner::None => Owner::Unrecorded { job_id, started_at, sub_agent },
            owner => owner,
        }
    }

    fn note_end(&mut self, run: &RunKey, call: &Call, sub_agent: bool) {
        if sub_agent {
            return;
        }
        let last = self.last.entry(run.clone()).or_insert((call.asked_at, call.end));
        if call.asked_at >= last.0 {
            *last = (call.asked_at, call.end);
        }
        let reason = if let (at, End::Failed(reason)) = *last { Some((at, reason)) } else { None };
        let entry = reason.map(|(at, reason)| FailedCall { run: run.clone(), at, reason });
        self.failed.insert(run.clone(), entry);
    }

    /// Commits what is to be. `all`: nothing more of these runs is about to come, so that their ends can be judged.
    fn commit(&mut self, ledger: &mut Ledger, all: bool, now: UnixMs) -> Result<(), LedgerError> {
        let source = SourceId(SOURCE.to_owned());
        self.failed.retain(|_, failed| failed.is_some() || !all);
        while !self.pending.is_empty() || !self.rejects.is_empty() || all && !self.failed.is_empty() {
            let part = self.pending.len().min(BATCH_CALLS);
            // A run's end is judged when all its calls are there.
            let ends = all && part == self.pending.len();
            let from = ledger.position(&source).cloned();
            let batch = Batch {
                calls: self.pending[..part].to_vec(),
                failed: self.failed.values().filter(|_| ends).flatten().cloned().collect(),
                rejects: self.rejects.clone(),
                ..Batch::new(source.clone(), from, Position::File(FilePosition::default()))
            };
            self.changed |= ledger.apply(&batch, now)?.changed;
            self.pending.drain(..part);
            self.rejects.clear();
            if ends {
                self.failed.clear();
            }
        }
        Ok(())
    }
}

/// Returns whether no record is to be expected any more.
fn is_over(ledger: &Ledger, job_id: &str, held: &Held, now: UnixMs) -> bool {
    let patience = if ledger.is_running(job_id) { RUNNING_MS } else { UNRECORDED_MS };
    now.since(held.seen) > patience
}

/// Returns a call as the ledger takes it; `None` if nothing was billed.
fn billed(held: &Held, run: RunKey, sub_agent: bool) -> Option<BilledCall> {
    let call = &held.call;
    call.is_billed().then(|| BilledCall {
        key: held.key.0,
        run,
        at: call.asked_at,
        agent: Some(held.agent.clone()),
        provider: call.provider.clone(),
        model: call.model.clone(),
        tokens: call.tokens,
        recorded: call.cost.and_then(|cost| i64::try_from(cost).ok()).map(NanoUsd),
        sub_agent,
    })
}

impl Transcripts {
    /// Reads no more than that.
    pub fn set_scope(&mut self, scope: &Scope) {
        self.sessions.scope = scope.clone();
    }

    /// Takes records of runs, so that calls find them.
    pub fn runs(&mut self, runs: &Runs, now: UnixMs) {
        self.sessions.runs(runs, now);
    }

    /// Takes sub-agents that the gateway's own database names.
    pub fn links(&mut self, links: Vec<SessionLink>, now: UnixMs) {
        links.into_iter().for_each(|link| self.sessions.link(link, now));
    }

    /// Looks at everything that changed. Returns the files that no event told of.
    ///
    /// # Errors
    /// The ledger's; the transcripts stay read.
    pub fn sweep(
        &mut self,
        ledger: &mut Ledger,
        state_dir: &Path,
        now: UnixMs,
    ) -> Result<Vec<PathBuf>, LedgerError> {
        let agents = state_dir.join("agents");
        let found = self.files.sweep(&mut self.sessions, ledger, &agents, now);
        self.tables.sweep(&mut self.sessions, ledger, &agents, now);
        self.files.reconsider(&mut self.sessions, ledger, now);
        self.sessions.close(now);
        self.sessions.attributor.forget_runs_before(now.plus(-4 * REMEMBER_MS));
        if self.forgot.is_none_or(|forgot| now.since(forgot).abs() >= FORGET_MS) {
            self.sessions.attributor.forget_before(now.plus(-4 * RECENT_MS));
            self.forgot = Some(now);
        }
        self.files.forget(ledger)?;
        Ok(found)
    }

    /// Looks at what an event told of. Returns whether there is more to read of it.
    pub fn look(&mut self, ledger: &mut Ledger, path: &Path, now: UnixMs) -> bool {
        if let Some(database) = AgentTables::database_of(path) {
            self.tables.look(&mut self.sessions, ledger, &database, now);
            return false;
        }
        self.files.look(&mut self.sessions, ledger, path, now) == Read::Part
    }

    /// Commits the calls whose run is known by now, and how far files were read. Returns whether anything changed.
    pub fn resolve(&mut self, ledger: &mut Ledger, now: UnixMs) -> Result<bool, LedgerError> {
        self.files.reconsider(&mut self.sessions, ledger, now);
        let changed = self.sessions.resolve(ledger, now)?;
        self.files.settle(&self.sessions, ledger, now)?;
        Ok(changed)
    }

    /// Returns the directories to watch.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.files.directories()
    }
}
