//! The simulated gateway, stepped by a test: its time runs as fast as the test says.

use std::path::Path;

use openclaw_usage::demo::{Gateway, Generation, Options};
use openclaw_usage::model::UnixMs;

use super::samples::Count;

/// A gateway and its own time, which ends up near that of the daemon that counts it.
pub struct Simulation {
    pub gateway: Gateway,
    pub now: UnixMs,
}

/// Logs are pruned early and most lines are long for them, so that files are renamed over at many appends.
const MAX_BYTES: u64 = 40_000;
/// More lines than any job writes between two looks of a test at the count.
const KEEP_LINES: usize = 40;

impl Simulation {
    /// A gateway in `dir` whose time begins at `start`. With `churn`, jobs come, go and are renamed.
    pub fn new(dir: &Path, seed: u64, start: UnixMs, churn: bool) -> Self {
        let options = Options {
            seed,
            start,
            churn,
            generation: Generation::V2026_5_28,
            max_bytes: MAX_BYTES,
            keep_lines: KEEP_LINES,
            ..Options::default()
        };
        Self { gateway: Gateway::new(dir, options).expect("a simulated gateway"), now: start }
    }

    /// Lets that much simulated time pass, which takes next to none.
    pub fn pass(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
        self.gateway.step(self.now).expect("a step of the simulated gateway");
    }

    /// Runs the job at that place of the list now.
    pub fn run(&mut self, job: usize) {
        let id = self.gateway.jobs()[job].id.clone();
        self.gateway.run_now(&id, self.now).expect("a run of the simulated gateway");
    }

    /// What the records hold that were written so far.
    pub fn truth(&self) -> Count {
        self.gateway.bill().into()
    }
}
