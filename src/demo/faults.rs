//! What can happen to a run log besides orderly appends, and to a gateway besides running: one operation each, for
//! model tests.
//!
//! Faults that need no record are [`RunLogWriter`](super::RunLogWriter)'s.

use super::gateway::Composed;
use super::{Error, Finished, Gateway, Store};
use crate::model::UnixMs;

/// A record of which only the beginning was written.
#[derive(Debug)]
#[must_use = "the record is in the bill only once it is completed"]
pub struct Torn {
    composed: Composed,
    rest: Vec<u8>,
    booked: bool,
}

impl Torn {
    /// Returns the run that the record tells of.
    #[must_use]
    pub const fn run(&self) -> &Finished {
        &self.composed.finished
    }

    /// Returns the bytes that are missing, newline included.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}

impl Gateway {
    /// Runs a job and writes the first `cut` bytes of its record (at most all but the newline). The run is
    /// in the bill once [`Self::complete_torn`] wrote the rest.
    ///
    /// # Errors
    /// The file system's, with the path; [`Error::UnknownJob`]; [`Error::NoRunLogs`].
    pub fn append_torn(&mut self, job_id: &str, cut: usize, now: UnixMs) -> Result<Torn, Error> {
        let generation = self.generation();
        if generation.store() != Store::RunLogs {
            return Err(Error::NoRunLogs { version: generation.version() });
        }
        let composed = self.compose_now(job_id, now)?;
        let mut rest = composed.line.clone();
        rest.push(b'\n');
        let rest = rest.split_off(cut.min(composed.line.len()));
        let written = composed.line.len() + 1 - rest.len();
        self.writer.append_raw(job_id, &composed.line[..written])?;
        Ok(Torn { composed, rest, booked: false })
    }

    /// Runs a job and writes its record without the newline. The run is in the bill at once: it is all there.
    ///
    /// # Errors
    /// As [`Self::append_torn`].
    pub fn append_without_newline(&mut self, job_id: &str, now: UnixMs) -> Result<Torn, Error> {
        let mut torn = self.append_torn(job_id, usize::MAX, now)?;
        torn.booked = true;
        self.book(&torn.composed);
        Ok(torn)
    }

    /// Writes what is missing of a record and puts the run in the bill if it is not there yet. Never prunes.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn complete_torn(&mut self, torn: Torn) -> Result<Finished, Error> {
        let Torn { composed, rest, booked } = torn;
        self.writer.append_raw(&composed.finished.job_id, &rest)?;
        if !booked {
            self.book(&composed);
        }
        Ok(composed.finished)
    }

    /// Closes the database, as a gateway does that stops: SQLite then removes its log (`-wal`) and the index of that
    /// (`-shm`). Nothing may be run until [`Self::open_again`].
    pub fn close(&mut self) {
        self.database = None;
    }

    /// Opens the database again, as the same version.
    ///
    /// # Errors
    /// The file system's and SQLite's, with the path.
    pub fn open_again(&mut self, now: UnixMs) -> Result<(), Error> {
        self.open_database(now.0)
    }
}
