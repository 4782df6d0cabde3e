//! What can happen, as data: drawn by seed, printed when a sequence fails, and left out one by one to shrink it.

use fastrand::Rng;

pub use super::database::Database;

/// One thing that happens. `job` is an index into the gateway's jobs.
#[derive(Clone, Debug)]
pub enum Op {
    /// Runs end and are recorded.
    Runs {
        job: usize,
        count: usize,
    },
    /// A record of which `cut` bytes are written.
    Torn {
        job: usize,
        cut: usize,
    },
    /// A record without its newline.
    NoNewline {
        job: usize,
    },
    /// The rest of a torn record, whatever has happened to the file since.
    Complete {
        which: usize,
    },
    Garbage {
        job: usize,
        bytes: Vec<u8>,
    },
    /// A line above 1 MiB, with or without its end.
    Oversized {
        job: usize,
        ended: bool,
    },
    Prune {
        job: usize,
    },
    Truncate {
        job: usize,
    },
    Delete {
        job: usize,
    },
    /// Remembers a log's content.
    Backup {
        job: usize,
    },
    /// A new file under the name: the remembered content, or nothing.
    Recreate {
        job: usize,
    },
    /// The remembered content written over the file in place.
    Overwrite {
        job: usize,
    },
    Migrate {
        job: usize,
    },
    SwapDirectory,
    DirectoryGoes,
    DirectoryReturns,
    Jobs {
        list: JobList,
    },
    Look {
        job: usize,
        migrated: bool,
    },
    Sweep,
    Restart,
    /// SIGKILL: on with a copy of the ledger's files.
    Crash,
    /// Remembers the ledger's files.
    Checkpoint,
    /// Power loss: on with the remembered files.
    PowerLoss,
    /// Every commit that touches this table fails from here on.
    DiskFails {
        table: &'static str,
    },
    DiskHeals,
    LedgerDeleted {
        log_too: bool,
    },
    Clock {
        step_ms: i64,
    },
    /// What happens to the gateway's database and its version.
    Database(Database),
}

/// What happens to `jobs.json`.
#[derive(Clone, Copy, Debug)]
pub enum JobList {
    Whole,
    HalfWritten,
    Missing,
}

/// Every batch that holds a run touches each of these.
pub const TABLES: [&str; 5] = ["run", "series", "position", "counter", "job"];

const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;

/// Draws a sequence; without databases the one that a seed stood for before there were any.
pub fn sequence(seed: u64, jobs: usize, databases: bool) -> Vec<Op> {
    let mut rng = Rng::with_seed(seed);
    let length = rng.usize(40..80);
    (0..length).map(|_| draw(&mut rng, jobs, databases)).collect()
}

fn draw(rng: &mut Rng, jobs: usize, databases: bool) -> Op {
    let job = rng.usize(..jobs);
    if databases && rng.u8(..100) < 45 {
        return Op::Database(Database::draw(rng, jobs));
    }
    match rng.u32(..1000) {
        0..250 => Op::Runs { job, count: if rng.u8(..4) == 0 { rng.usize(2..16) } else { 1 } },
        250..290 => Op::Torn { job, cut: if rng.bool() { rng.usize(..30) } else { rng.usize(30..900) } },
        290..330 => Op::NoNewline { job },
        330..370 => Op::Complete { which: rng.usize(..4) },
        370..410 => Op::Garbage { job, bytes: garbage(rng) },
        410..413 => Op::Oversized { job, ended: rng.bool() },
        413..450 => Op::Prune { job },
        450..475 => Op::Truncate { job },
        475..500 => Op::Delete { job },
        500..515 => Op::Backup { job },
        515..530 => Op::Recreate { job },
        530..540 => Op::Overwrite { job },
        540..560 => Op::Migrate { job },
        560..575 => Op::SwapDirectory,
        575..585 => Op::DirectoryGoes,
        585..605 => Op::DirectoryReturns,
        605..625 => Op::Jobs {
            list: *rng.choice(&[JobList::Whole, JobList::HalfWritten, JobList::Missing]).expect("three"),
        },
        625..765 => Op::Look { job, migrated: rng.u8(..8) == 0 },
        765..865 => Op::Sweep,
        865..885 => Op::Restart,
        885..905 => Op::Crash,
        905..912 => Op::Checkpoint,
        912..920 => Op::PowerLoss,
        920..930 => Op::DiskFails { table: rng.choice(&TABLES).expect("five") },
        930..950 => Op::DiskHeals,
        950..955 => Op::LedgerDeleted { log_too: rng.bool() },
        _ => Op::Clock {
            step_ms: match rng.u8(..6) {
                0 => YEAR_MS,
                1 | 2 => -HOUR_MS,
                3 => 25 * HOUR_MS,
                _ => rng.i64(1..10_000),
            },
        },
    }
}

/// No two pieces of garbage are alike: of equal lines a rewritten file cannot say which was read.
fn garbage(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = match rng.u8(..8) {
        0 => vec![0; rng.usize(1..40)],
        1 => b"\n\r\n\n"[..rng.usize(1..=4)].to_vec(),
        2 => return b"\n"[..].to_vec(),
        3 => format!("\u{feff}[{}]", rng.u64(..)).into_bytes(),
        4 => vec![0xff, 0xfe, rng.u8(128..), rng.u8(128..), rng.u8(128..)],
        5 => format!(r#"{{"action":"started","n":{}}}"#, rng.u64(..)).into_bytes(),
        6 => format!(r#"{{"open":"{}"#, rng.u64(..)).into_bytes(),
        _ => format!("  {} ", rng.u64(..)).into_bytes(),
    };
    if rng.bool() {
        bytes.push(b'\n');
    }
    bytes
}
