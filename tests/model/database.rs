//! What can happen to the gateway's database and to its version, as data.

use fastrand::Rng;
use openclaw_usage::demo::Generation;

/// One thing that happens. Those for which the gateway has no table at the time are nothing.
#[derive(Clone, Debug)]
pub enum Database {
    /// A newer gateway on the same directory; it imports what the older one left.
    Upgrade {
        to: Generation,
    },
    /// An older one that was there before.
    Rollback {
        to: Generation,
    },
    /// A run starts whose row is there from then on.
    Begins {
        job: usize,
    },
    /// One of the running runs ends, whichever it is.
    Ends {
        which: usize,
        failed: bool,
    },
    /// A run of days ago is written down now.
    Late {
        job: usize,
        days: i64,
    },
    /// A row that says something impossible.
    Bad {
        job: usize,
    },
    /// Rows go, but for the newest of each job and those of a week.
    Retention {
        keep: usize,
    },
    /// The gateway begins to write in a transaction that stays open.
    Begin {
        job: usize,
        rows: usize,
    },
    Commit {
        kept: bool,
    },
    Vacuum,
    Truncate,
    /// The gateway stops: the log and its index go.
    Stop,
    /// It starts, with the database in its place.
    Start,
    /// Remembers a copy.
    Copy,
    /// The remembered copy in place of the database: written over it, or as another file.
    Restore {
        in_place: bool,
    },
    /// The same content in another file.
    Replace,
    /// The gateway stops and its database goes, or is overwritten with garbage.
    Goes {
        garbage: bool,
    },
    Look,
}

impl Database {
    pub fn draw(rng: &mut Rng, jobs: usize) -> Self {
        let job = rng.usize(..jobs);
        match rng.u32(..1000) {
            0..80 => {
                Self::Upgrade { to: if rng.bool() { Generation::V2026_6_11 } else { Generation::V2026_9_6 } }
            }
            80..120 => Self::Rollback { to: *rng.choice(&Generation::ALL[..3]).expect("three") },
            120..230 => Self::Begins { job },
            230..350 => Self::Ends { which: rng.usize(..8), failed: rng.u8(..4) == 0 },
            350..390 => Self::Late { job, days: rng.i64(1..20) },
            390..410 => Self::Bad { job },
            410..470 => Self::Retention { keep: *rng.choice(&[1, 3, 12, 2_000]).expect("four") },
            470..510 => Self::Begin { job, rows: rng.usize(1..6) },
            510..640 => Self::Commit { kept: rng.u8(..4) > 0 },
            640..655 => Self::Vacuum,
            655..675 => Self::Truncate,
            675..695 => Self::Stop,
            695..770 => Self::Start,
            770..790 => Self::Copy,
            790..815 => Self::Restore { in_place: rng.bool() },
            815..830 => Self::Replace,
            830..850 => Self::Goes { garbage: rng.bool() },
            _ => Self::Look,
        }
    }
}
