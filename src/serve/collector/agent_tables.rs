//! The sessions of agents in databases, `agents/<agent>/agent/openclaw-agent.sqlite` from 2026.8.1 on.
//!
//! Rows are numbered in the order in which they were inserted, so that what is new lies behind the last number; a
//! database that was rebuilt is read again from the start, since every call is known by what it is.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::transcripts::Sessions;
use crate::ledger::Ledger;
use crate::model::{FileId, RejectReason, UnixMs};
use crate::openclaw::transcript::{
    Event, EventHead, Transcript, last_event, new_heads, read_archives, read_events, read_links,
};
use crate::openclaw::{Database, DatabaseError, DatabaseStamp};

const NAME: &str = "openclaw-agent.sqlite";
/// A change within this time of a look may bear the same time as what was seen.
const TICK_MS: i64 = 2_000;

/// The databases of all agents.
#[derive(Default)]
pub(super) struct AgentTables {
    databases: BTreeMap<PathBuf, AgentDatabase>,
}

#[derive(Default)]
struct AgentDatabase {
    seen: Option<DatabaseStamp>,
    unsettled: bool,
    file: FileId,
    schema: i64,
    /// The last row that was seen.
    row: i64,
    sessions: HashMap<String, Session>,
    /// What was known of sessions when those of no job were last thought over.
    links: u64,
    problem: Option<String>,
}

struct Session {
    transcript: Transcript,
    /// Number of the last event that was read; -1: none.
    seq: i64,
    opened: Option<UnixMs>,
    foreign: bool,
}

impl AgentTables {
    /// Returns the database that a path belongs to: itself, or its log.
    pub fn database_of(path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?.to_str()?;
        let rest = name.strip_prefix(NAME)?;
        ["", "-wal"].contains(&rest).then(|| path.with_file_name(NAME))
    }

    /// Looks at every database that changed.
    pub fn sweep(&mut self, sessions: &mut Sessions, ledger: &mut Ledger, agents: &Path, now: UnixMs) {
        for entry in std::fs::read_dir(agents).into_iter().flatten().flatten() {
            let path = entry.path().join("agent").join(NAME);
            let known = self.databases.get(&path);
            let stamp = DatabaseStamp::of(&path);
            let changed = known.map_or(stamp.is_some(), |known| known.seen != stamp || known.unsettled);
            if changed || known.is_some_and(|known| known.links != sessions.links) {
                self.look(sessions, ledger, &path, now);
            }
        }
    }

    /// Reads what is new in one database.
    pub fn look(&mut self, sessions: &mut Sessions, ledger: &mut Ledger, path: &Path, now: UnixMs) {
        let database = self.databases.entry(path.to_path_buf()).or_default();
        let stamp = DatabaseStamp::of(path);
        let agent =
            path.ancestors().nth(2).and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default();
        let outcome = database.read((sessions, ledger), path, agent, now);
        database.seen = stamp;
        database.unsettled =
            stamp.is_some_and(|stamp| now.0 - stamp.modified_ms() < TICK_MS) || outcome.is_err();
        database.links = sessions.links;
        match outcome {
            Ok(()) | Err(DatabaseError::Absent(_) | DatabaseError::Busy(_)) => database.problem = None,
            Err(error) => {
                let text = error.to_string();
                if database.problem.as_ref() != Some(&text) {
                    tracing::warn!("{text}");
                    sessions.reject(error.reason().unwrap_or(RejectReason::Unreadable), "a database");
                }
                database.problem = Some(text);
            }
        }
    }
}

impl AgentDatabase {
    fn read(
        &mut self,
        (sessions, ledger): (&mut Sessions, &mut Ledger),
        path: &Path,
        agent: &str,
        now: UnixMs,
    ) -> Result<(), DatabaseError> {
        let mut database = Database::open(path)?;
        let file = database.file();
        let (links, schema) = database.read(|transaction| {
            let schema: i64 = transaction.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
            Ok((read_links(transaction)?, schema))
        })?;
        links.into_iter().for_each(|link| sessions.link(link, now));
        let first = (self.file, self.schema) != (file, schema);
        if first {
            (self.file, self.schema, self.row) = (file, schema, 0);
            self.sessions.clear();
            let archived = database.read(|transaction| {
                let mut transcripts: HashMap<String, Transcript> = HashMap::new();
                read_archives(transaction, now, |id, event| {
                    let transcript = transcripts.entry(id.to_owned()).or_insert_with(|| Transcript::new(id));
                    take(sessions, transcript, agent, event, now);
                })
            })?;
            archived.into_iter().for_each(|link| sessions.link(link, now));
        }
        let (row, heads) = database.read(|transaction| new_heads(transaction, self.row))?;
        let is_new =
            |head: &EventHead| self.sessions.get(&head.session_id).is_none_or(|known| known.is_behind(head));
        let mut changed: Vec<String> = heads.into_iter().filter(is_new).map(|head| head.session_id).collect();
        if self.links != sessions.links {
            let reconsidered = self.sessions.iter().filter(|(id, session)| {
                session.foreign && sessions.is_wanted(id, session.opened.unwrap_or(now))
            });
            changed.extend(reconsidered.map(|(id, _)| id.clone()));
        }
        for id in changed {
            let session = self.sessions.entry(id.clone()).or_insert_with(|| Session {
                transcript: Transcript::new(&id),
                seq: -1,
                opened: None,
                foreign: false,
            });
            session.read(sessions, &mut database, &id, agent, now)?;
            sessions.relieve(ledger, now);
        }
        // Only now, so that a failure reads them again.
        self.row = row;
        Ok(())
    }
}

impl Session {
    /// Returns whether there are events that were not read. A session with fewer than were read was rewritten.
    const fn is_behind(&self, head: &EventHead) -> bool {
        self.seq != head.last_seq
    }

    fn read(
        &mut self,
        sessions: &mut Sessions,
        database: &mut Database,
        id: &str,
        agent: &str,
        now: UnixMs,
    ) -> Result<(), DatabaseError> {
        // The key tells before a line was read; without one the first message does.
        let known = self.opened.or(sessions.attributor.has_key(id).then_some(now));
        self.foreign = known.is_some_and(|at| !sessions.is_wanted(id, at));
        if self.foreign {
            return Ok(());
        }
        let last: Option<i64> = database.read(|transaction| last_event(transaction, id))?;
        let after = if last.is_some_and(|last| last < self.seq) { -1 } else { self.seq };
        let mut seq = after;
        database.read(|transaction| {
            read_events(transaction, id, after, now, |number, event| {
                if let Event::Opening(opening) = &event {
                    self.opened.get_or_insert(opening.at);
                }
                seq = seq.max(number);
                take(sessions, &mut self.transcript, agent, event, now);
            })
        })?;
        self.seq = seq;
        self.foreign = self.opened.is_some_and(|opened| !sessions.is_wanted(id, opened));
        if self.foreign {
            // Read anew if it turns out to be a job's.
            self.seq = -1;
            sessions.forget(id);
        }
        Ok(())
    }
}

/// Takes one event of a session.
fn take(sessions: &mut Sessions, transcript: &mut Transcript, agent: &str, event: Event, now: UnixMs) {
    let key = transcript.observe(&event);
    let session = transcript.header().id.as_str();
    match event {
        Event::Session(header) => sessions.attributor.add_header(&header, now),
        Event::Opening(opening) => sessions.attributor.add_opening(session, opening),
        Event::Call(call) => {
            if let Some(key) = key {
                sessions.call(session, agent, key, call, now);
            }
        }
        Event::Reject(reason) => sessions.reject(reason, "a row"),
        Event::Other => {}
    }
}
