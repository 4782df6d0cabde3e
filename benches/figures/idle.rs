//! Nothing happens for a minute.

use std::time::Duration;

use crate::Failure;
use crate::corpus::{Corpus, make_parent};
use crate::daemon::Daemon;
use crate::measure::float;
use crate::table::Table;

const FILES: usize = 500;
const LINES: usize = 20;
/// Holds exactly one safety sweep.
const MINUTE: Duration = Duration::from_secs(61);

/// Measures a minute without any change, after one event has shown that events do come.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let mut corpus = Corpus::write(FILES, LINES)?;
    let ledger = corpus.ledger("idle");
    make_parent(&ledger)?;
    let daemon = Daemon::start(&corpus.state_dir(), &ledger, &[])?;
    daemon.wait_for_runs(corpus.sums.runs, Duration::from_millis(50))?;
    let job = corpus.jobs[0].clone();
    let line = corpus.next_line(&job)?;
    corpus.append(&job, &line)?;
    daemon.wait_for_runs(corpus.sums.runs + 1, Duration::from_millis(50))?;
    std::thread::sleep(Duration::from_secs(1));
    let before = daemon.cpu_ns()?;
    std::thread::sleep(MINUTE);
    let spent = daemon.cpu_ns()? - before;
    table.at_most("idle with 500 run logs, CPU per minute", 1.0, "ms", float(spent) / 1e6);
    table.at_most("idle with 500 run logs, RSS", 16.0, "MiB", daemon.resident_mib()?);
    daemon.stop()
}
