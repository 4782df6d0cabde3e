//! What runs used, read on one thread and added up on another: half of a report is reading.
//!
//! Invariant: runs are handed out in the order in which they are read, as on one thread.

use std::sync::mpsc::sync_channel;

use super::LedgerError;
use super::segments::Segment;
use super::usage::{UsedPart, UsedRun};

/// Some runs of a job.
pub(super) enum Piece<'p> {
    /// One of them.
    Run(&'p UsedRun<'p>),
    /// Of a segment, those from the first packed time to before the second.
    Segment { job: usize, segment: Segment<'p>, range: (i64, i64) },
}

impl Piece<'_> {
    /// Hands out the runs. `parts` is room that may be used.
    pub fn hand_out(self, parts: &mut Vec<UsedPart>, on_run: &mut impl FnMut(&UsedRun<'_>)) {
        match self {
            Self::Run(run) => on_run(run),
            Self::Segment { job, segment, range } => segment.for_each(job, range, parts, on_run),
        }
    }
}

/// Runs that are handed over at once, about: waking a thread costs as much as adding up a hundred of them.
const RUNS: usize = 8_192;
/// How many times as many wait to be added up at most: bounds memory.
const LOADS_AHEAD: usize = 3;

/// A piece that another thread can have.
enum Sent {
    Copies(Copies),
    Segment { job: usize, segment: Segment<'static>, range: (i64, i64) },
}

/// Runs that were read one by one.
#[derive(Default)]
struct Copies {
    /// Each without its parts, and how many of those it has.
    runs: Vec<(UsedRun<'static>, usize)>,
    parts: Vec<UsedPart>,
}

impl Copies {
    fn add(&mut self, run: &UsedRun<'_>) {
        self.runs.push((UsedRun { parts: &[], ..*run }, run.parts.len()));
        self.parts.extend_from_slice(run.parts);
    }

    fn hand_out(&self, on_run: &mut impl FnMut(&UsedRun<'_>)) {
        let mut rest = self.parts.as_slice();
        for (run, count) in &self.runs {
            let (parts, behind) = rest.split_at_checked(*count).unwrap_or_default();
            on_run(&UsedRun { parts, ..*run });
            rest = behind;
        }
    }
}

/// What is handed over at once.
#[derive(Default)]
struct Load {
    pieces: Vec<Sent>,
    runs: usize,
}

impl Load {
    fn add(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Run(run) => {
                if !matches!(self.pieces.last(), Some(Sent::Copies(_))) {
                    self.pieces.push(Sent::Copies(Copies::default()));
                }
                if let Some(Sent::Copies(copies)) = self.pieces.last_mut() {
                    copies.add(run);
                }
                self.runs += 1;
            }
            Piece::Segment { job, segment, range } => {
                self.runs += segment.entries();
                self.pieces.push(Sent::Segment { job, segment: segment.into_owned(), range });
            }
        }
    }

    fn hand_out(&self, parts: &mut Vec<UsedPart>, on_run: &mut impl FnMut(&UsedRun<'_>)) {
        for piece in &self.pieces {
            match piece {
                Sent::Copies(copies) => copies.hand_out(on_run),
                Sent::Segment { job, segment, range } => segment.for_each(*job, *range, parts, &mut *on_run),
            }
        }
    }
}

/// Hands out, on a thread of its own, the runs in the pieces that `read` finds meanwhile.
pub(super) fn read_ahead(
    mut on_run: impl FnMut(&UsedRun<'_>) + Send,
    read: impl FnOnce(&mut dyn FnMut(Piece<'_>)) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let (sender, receiver) = sync_channel::<Load>(LOADS_AHEAD);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut parts = Vec::new();
            receiver.into_iter().for_each(|load| load.hand_out(&mut parts, &mut on_run));
        });
        let mut load = Load::default();
        let outcome = read(&mut |piece| {
            load.add(piece);
            if load.runs >= RUNS {
                // Nobody listens only after a panic, which ends the program.
                _ = sender.send(std::mem::take(&mut load));
            }
        });
        _ = sender.send(load);
        drop(sender);
        outcome
    })
}
