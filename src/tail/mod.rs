//! Files of lines that grow, are rewritten, renamed over, cut and deleted.
//!
//! A look at a file goes in these steps:
//! 1. open it without blocking and without leaving its directory ([`open_regular`]);
//! 2. same file as last time, at least as long, and the last consumed line still where it was: go on there;
//! 3. else look for that line backwards from the end, since a prune keeps the newest lines: go on behind it;
//! 4. else read all of it and report a gap; whoever counts must know a line that it has counted before;
//! 5. hand out whole lines; leave an unfinished last line for the next look; step over a line above 1 MiB
//!    without holding it.
//!
//! Known losses: lines written and cut off again between two looks (a gap tells of it, unless nothing but
//! whole rewrites happened since the first look).
//! Invariants: memory is bounded by one line; a position always lies behind a consumed line; nothing is
//! written, locked or touched. Deliberately absent: what a line means.

mod lines;
mod open;
mod search;
mod watch;

pub use lines::{Line, MAX_LINE_BYTES, Outcome, Reader};
pub use open::{OpenError, Regular, open_regular};
pub use search::Age;
pub use watch::{Cadence, Change, WatchMethod, Watcher, is_remote};
