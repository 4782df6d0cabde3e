//! How much of a state directory is read: all of it, for whoever counts; what one question needs, for whoever asks.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::UnixMs;
use crate::openclaw::run_log::{self, SLACK_MS};
use crate::openclaw::{Layout, transcript};

/// What is to be read, and how far that got.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    since: Option<UnixMs>,
    bytes: Arc<AtomicU64>,
}

impl Scope {
    /// Reads what runs that started at `since` or later need, or everything.
    ///
    /// A record is written when its run has ended, and a transcript grows until then: what is older by an hour, for
    /// which the gateway's clock may have been set back, is left out.
    #[must_use]
    pub fn since(since: Option<UnixMs>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Returns the time before which nothing need be read.
    pub(super) fn begin(&self) -> Option<UnixMs> {
        self.since.map(|since| since.plus(-SLACK_MS))
    }

    /// Returns whether nothing that was last written to then is needed.
    pub(super) fn is_past(&self, modified_ms: i64) -> bool {
        self.begin().is_some_and(|begin| modified_ms < begin.0)
    }

    pub(super) fn note(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how many bytes of files were done with so far.
    #[must_use]
    pub fn bytes_done(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many bytes there are to be done with: the sizes of all files that may hold what is asked for.
    #[must_use]
    pub fn bytes_in(&self, state_dir: &Path, home: Option<&Path>) -> u64 {
        let layout = Layout::read(state_dir, home).0;
        let runs_dir = sizes(&layout.runs_dir, |name| run_log::classify(name) != run_log::Name::Other);
        let agents = std::fs::read_dir(state_dir.join("agents")).into_iter().flatten().flatten();
        let is_read = |name: &std::ffi::OsStr| {
            matches!(
                transcript::classify(name),
                transcript::Name::Transcript | transcript::Name::Archive { .. }
            )
        };
        let sessions: u64 = agents
            .map(|agent| {
                let sessions = agent.path().join("sessions");
                let files = sizes(&sessions, is_read);
                files.filter(|file| !self.is_past(modified_ms(file))).map(|file| file.len()).sum::<u64>()
            })
            .sum();
        let database = layout.database.metadata().map_or(0, |file| file.len());
        runs_dir.map(|file| file.len()).sum::<u64>() + sessions + database
    }
}

fn sizes(directory: &Path, is_read: impl Fn(&std::ffi::OsStr) -> bool) -> impl Iterator<Item = Metadata> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(move |entry| is_read(&entry.file_name())).filter_map(|entry| entry.metadata().ok())
}

fn modified_ms(file: &Metadata) -> i64 {
    file.mtime().saturating_mul(1_000).saturating_add(file.mtime_nsec() / 1_000_000)
}
