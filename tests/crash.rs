//! SIGKILL of the real process at random moments and within commits: after each restart the totals equal what the
//! gateway wrote, and no counter fell or was made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::samples::Samples;

/// How far back the gateway's time begins, so that it does not overtake the real one: half an hour.
const BEHIND_MS: i64 = 1_800_000;

#[test]
fn killed_at_a_growth_of_the_write_ahead_log() {
    let (mut crashes, mut rng) = (Crashes::new(11), fastrand::Rng::with_seed(11));
    for _ in 0..40 {
        // The commit is under way when its first frame is seen; a few turns later it is elsewhere in it, or past it.
        let (growth, turns) = (rng.u32(1..12), rng.u32(0..400));
        crashes.once(|daemon, simulation, wal| kill_at_growth(daemon, simulation, wal, growth, turns));
    }
    let Crashes { in_commit, kills, .. } = crashes;
    eprintln!("{kills} kills, {in_commit} of them with a commit in the log that readers had not seen");
    assert!(kills == 40 && in_commit > 0, "{kills} kills, {in_commit} within commits");
}

#[test]
fn killed_at_random() {
    let (mut crashes, mut rng) = (Crashes::new(12), fastrand::Rng::with_seed(12));
    for _ in 0..20 {
        let (steps, scrapes) = (rng.u32(1..5), rng.u32(0..20));
        crashes.once(|daemon, simulation, _| {
            for _ in 0..steps {
                simulation.pass(700);
            }
            for _ in 0..scrapes {
                daemon.scrape();
            }
            daemon.kill();
            false
        });
    }
    eprintln!("{} kills at random", crashes.kills);
}

/// Kills as it starts: while it opens the ledger, catches up, or is not even there yet.
#[test]
fn killed_during_starts() {
    let (mut crashes, mut rng) = (Crashes::new(13), fastrand::Rng::with_seed(13));
    for _ in 0..25 {
        let mut process = crashes.sandbox.spawn(&mut crashes.sandbox.command(&[]));
        let wal = wal_of(&crashes.sandbox.ledger());
        let (before, patience) = (size(&wal), rng.u32(0..20_000));
        let mut turns = 0;
        while turns < patience && (size(&wal) == before || rng.bool()) {
            turns += 1;
            assert!(process.ended().is_none(), "it ended by itself: {}", process.log());
        }
        drop(process);
        crashes.simulation.pass(1_500);
    }
    crashes.once(|daemon, _, _| {
        daemon.kill();
        false
    });
}

/// One ledger that lives through many processes.
struct Crashes {
    sandbox: Sandbox,
    simulation: Simulation,
    seen: Samples,
    kills: u32,
    in_commit: u32,
}

impl Crashes {
    fn new(seed: u64) -> Self {
        let sandbox = Sandbox::new();
        let mut simulation = Simulation::new(&sandbox.state_dir(), seed, now().plus(-BEHIND_MS), true);
        simulation.pass(5_000);
        Self { sandbox, simulation, seen: Samples::default(), kills: 0, in_commit: 0 }
    }

    /// Starts a daemon, has it killed, and holds its successor against the truth. `kill` returns whether the log had
    /// grown.
    fn once(&mut self, kill: impl FnOnce(Daemon, &mut Simulation, &Path) -> bool) {
        let wal = wal_of(&self.sandbox.ledger());
        let grown = kill(self.sandbox.serve(&[]), &mut self.simulation, &wal);
        (self.kills, self.in_commit) = (self.kills + 1, self.in_commit + u32::from(grown));

        let successor = self.sandbox.serve(&[]);
        let at_start = successor.scrape();
        at_start.assert_continues(&self.seen);
        let settled = successor.until_counted(self.simulation.truth());
        settled.assert_continues(&at_start);
        let outcomes =
            |outcome| settled.sum("openclaw_usage_records_total", &[("openclaw_outcome", outcome)]);
        assert_eq!(outcomes("conflict"), 0.0, "no record was ever seen with another content");
        assert_eq!(settled.sum("openclaw_usage_source_gaps_total", &[]), 0.0, "nothing was pruned unread");
        self.seen = settled;
    }
}

/// Lets runs happen, and kills at the given growth of the log and some turns of a loop later. Returns whether it was
/// killed there; if not, the commits of these runs came in fewer growths, and it is killed afterwards.
fn kill_at_growth(daemon: Daemon, simulation: &mut Simulation, wal: &Path, growth: u32, turns: u32) -> bool {
    let (pid, stop) = (daemon.pid(), AtomicBool::new(false));
    let hit = thread::scope(|scope| {
        let killer = scope.spawn(|| watch_and_kill(pid, wal, growth, turns, &stop));
        simulation.pass(4_000);
        // What the daemon has counted by now shows that it has no more commits to make for these runs.
        let truth = simulation.truth();
        while !killer.is_finished() {
            let page = crate::common::http::get(daemon.address(), "/metrics").map(|page| page.text());
            let done =
                page.is_ok_and(|page| crate::common::samples::Count::on(&Samples::parse(&page)) == truth);
            stop.store(done, Ordering::Relaxed);
        }
        killer.join().expect("the thread that kills")
    });
    daemon.kill();
    hit
}

fn watch_and_kill(pid: Pid, wal: &Path, growth: u32, turns: u32, stop: &AtomicBool) -> bool {
    let (mut known, mut grown) = (size(wal), 0);
    while grown < growth {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let is = size(wal);
        grown += u32::from(is != known);
        known = is;
    }
    for _ in 0..turns {
        size(wal);
    }
    kill_process(pid, Signal::KILL).expect("SIGKILL to a child of ours");
    true
}

fn wal_of(ledger: &Path) -> PathBuf {
    ledger.with_extension("sqlite-wal")
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
