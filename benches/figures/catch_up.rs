//! A fresh ledger catches up with a large history.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::corpus::{Corpus, make_parent};
use crate::daemon::{Daemon, cpu_of_run};
use crate::measure::{Samples, float};
use crate::table::{Table, number};

const FILES: usize = 100;
const LINES: usize = 1_830;
const ROUNDS: usize = 5;

/// Measures `serve` from its start to the last run, and `wc -l` on the same files in between.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let corpus = Corpus::write(FILES, LINES)?;
    let (mut cpu, mut wc, mut peak, mut bytes) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        let paths = corpus.jobs.iter().map(|job| corpus.log(job));
        wc.push(float(cpu_of_run(Command::new("wc").arg("-l").args(paths))?));
        let ledger = corpus.ledger(&format!("catch-up-{round}"));
        make_parent(&ledger)?;
        let daemon = Daemon::start(&corpus.state_dir(), &ledger, &[])?;
        daemon.wait_for_runs(corpus.sums.runs, Duration::from_millis(20))?;
        cpu.push(float(daemon.cpu_ns()?));
        peak.push(daemon.peak_mib()?);
        daemon.stop()?;
        bytes.push(float(fs::metadata(&ledger)?.len()) / float(corpus.sums.runs));
    }
    let rows = float(corpus.sums.runs);
    table.at_least("catch-up on one core", 350_000.0, "rows/s", rows / (cpu.median() / 1e9));
    let spread =
        |s: &Samples| format!("{} to {} ms", number(s.quantile(0.0) / 1e6), number(s.quantile(1.0) / 1e6));
    table.note("catch-up, CPU of the whole process", &spread(&cpu));
    table.note("`wc -l` on the same files, CPU", &spread(&wc));
    table.note("catch-up : `wc -l`, medians", &format!("{} : 1", number(cpu.median() / wc.median())));
    table.at_most("catch-up, peak RSS", 16.0, "MiB", peak.median());
    table.at_most("ledger, bytes per run", 65.0, "B", bytes.median());
    Ok(())
}
