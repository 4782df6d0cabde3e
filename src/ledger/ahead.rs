//! What runs used, read on one thread and added up on another, which takes longer: the first adds up too while it is ahead.
//!
//! Invariant: each run is handed out once, and on either thread runs come in the order in which they are read.

use std::sync::mpsc::{TrySendError, channel, sync_channel};

use super::LedgerError;
use super::segments::Segment;
use super::usage::{UsedPart, UsedRun};

/// Some runs of a job.
pub(super) enum Piece<'p> {
    /// One of them.
    Run(&'p UsedRun<'p>),
    /// Of those in the bytes of a segment, those from the first packed time to before the second.
    Segment { job: usize, bytes: &'p [u8], range: (i64, i64) },
}

impl Piece<'_> {
    /// Hands out the runs. `parts` is room that may be used.
    pub fn hand_out(&self, parts: &mut Vec<UsedPart>, on_run: &mut impl FnMut(&UsedRun<'_>)) {
        match *self {
            Self::Run(run) => on_run(run),
            Self::Segment { job, bytes, range } => {
                if let Some(segment) = Segment::trusted(bytes) {
                    segment.for_each(job, range, parts, on_run);
                }
            }
        }
    }
}

/// Bytes of segments, and runs, that are handed over at once, about: waking a thread costs as much as adding up a hundred
/// runs.
const BYTES: usize = 128 << 10;
const RUNS: usize = 2_048;
/// How many times as many wait to be added up at most: bounds memory.
const LOADS_AHEAD: usize = 3;

/// What is handed over at once. It goes back and forth, so that its room is used again.
#[derive(Default)]
struct Load {
    order: Vec<Next>,
    bytes: Vec<u8>,
    /// Each without its parts, and how many of those it has.
    runs: Vec<(UsedRun<'static>, usize)>,
    parts: Vec<UsedPart>,
}

/// What comes next of a load.
enum Next {
    Runs(usize),
    Segment { job: usize, length: usize, range: (i64, i64) },
}

impl Load {
    fn add(&mut self, piece: &Piece<'_>) {
        match *piece {
            Piece::Run(run) => {
                self.runs.push((UsedRun { parts: &[], ..*run }, run.parts.len()));
                self.parts.extend_from_slice(run.parts);
                match self.order.last_mut() {
                    Some(Next::Runs(count)) => *count += 1,
                    _ => self.order.push(Next::Runs(1)),
                }
            }
            Piece::Segment { job, bytes, range } => {
                self.bytes.extend_from_slice(bytes);
                self.order.push(Next::Segment { job, length: bytes.len(), range });
            }
        }
    }

    const fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES || self.runs.len() >= RUNS
    }

    fn hand_out(&self, room: &mut Vec<UsedPart>, on_run: &mut impl FnMut(&UsedRun<'_>)) {
        let (mut bytes, mut runs, mut parts) =
            (self.bytes.as_slice(), self.runs.iter(), self.parts.as_slice());
        for next in &self.order {
            match *next {
                Next::Runs(count) => {
                    for (run, count) in runs.by_ref().take(count) {
                        let own;
                        (own, parts) = parts.split_at_checked(*count).unwrap_or_default();
                        on_run(&UsedRun { parts: own, ..*run });
                    }
                }
                Next::Segment { job, length, range } => {
                    let own;
                    (own, bytes) = bytes.split_at_checked(length).unwrap_or_default();
                    Piece::Segment { job, bytes: own, range }.hand_out(room, on_run);
                }
            }
        }
    }

    fn clear(&mut self) {
        self.order.clear();
        self.bytes.clear();
        self.runs.clear();
        self.parts.clear();
    }
}

/// Hands out the runs in the pieces that `read` finds meanwhile: to `beside` on a thread of its own, and to `here` on this one
/// what that thread is behind with. Without a `here` all go there, in the order in which they are read.
pub(super) fn read_ahead(
    mut beside: impl FnMut(&UsedRun<'_>) + Send,
    mut here: Option<impl FnMut(&UsedRun<'_>)>,
    read: impl FnOnce(&mut dyn FnMut(Piece<'_>)) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let (sender, loads) = sync_channel::<Load>(LOADS_AHEAD);
    // No more than are underway come back.
    let (back, done) = channel::<Load>();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut room = Vec::new();
            for mut load in loads {
                load.hand_out(&mut room, &mut beside);
                load.clear();
                _ = back.send(load);
            }
        });
        let (mut load, mut room) = (Load::default(), Vec::new());
        let outcome = read(&mut |piece| {
            load.add(&piece);
            if !load.is_full() {
                return;
            }
            // Nobody listens only after a panic, which ends the program.
            if let Err(TrySendError::Full(full)) = sender.try_send(std::mem::take(&mut load)) {
                if let Some(here) = &mut here {
                    full.hand_out(&mut room, here);
                    load = full;
                    load.clear();
                    return;
                }
                _ = sender.send(full);
            }
            load = done.try_recv().unwrap_or_default();
        });
        _ = sender.send(load);
        drop(sender);
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reason, RunAt, Status, UnixMs, UsageProvenance};

    /// The other thread waits until more lies ahead of it than waits for it.
    #[test]
    fn each_run_is_handed_out_once_whoever_has_time() {
        let runs = i64::try_from(RUNS * (LOADS_AHEAD + 9)).unwrap();
        let run = |n: i64| UsedRun {
            job: 1,
            at: RunAt::Started(UnixMs(n)),
            recorded_at: UnixMs(n),
            duration_ms: None,
            status: Status::Ok,
            reason: Reason::None,
            provenance: UsageProvenance::None,
            parts: &[],
        };
        for shared in [true, false] {
            let (begin, begun) = channel();
            let (mut first, mut second, mut waits) = (Vec::new(), Vec::new(), shared);
            let all = &mut first;
            let beside = move |run: &UsedRun<'_>| {
                if std::mem::take(&mut waits) {
                    begun.recv().unwrap();
                }
                all.push(run.at.time().0);
            };
            let here = shared.then_some(|run: &UsedRun<'_>| second.push(run.at.time().0));
            read_ahead(beside, here, |on_piece| {
                (0..runs).for_each(|n| on_piece(Piece::Run(&run(n))));
                _ = begin.send(());
                Ok(())
            })
            .unwrap();
            assert!(first.is_sorted() && second.is_sorted());
            // The other thread holds one load, if it has begun at all, and three wait for it.
            let left = if shared { RUNS * 8..=RUNS * 9 } else { 0..=0 };
            assert!(left.contains(&second.len()), "{} of {left:?}", second.len());
            first.append(&mut second);
            first.sort_unstable();
            assert_eq!(first, (0..runs).collect::<Vec<_>>());
        }
    }
}
