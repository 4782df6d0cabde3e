//! Lines so long that OpenClaw renames a new file over the log at every append.

use std::ffi::OsString;

use openclaw_usage::ledger::{Ledger, OpenOptions, Opened};
use openclaw_usage::model::UnixMs;
use openclaw_usage::serve::Collector;

use crate::Failure;
use crate::corpus::{Corpus, make_parent};
use crate::measure::{Samples, now_ms, timed};
use crate::table::{Table, number};

const LINES: [usize; 3] = [100, 2_000, 20_000];
const ROUNDS: usize = 60;

struct Log {
    corpus: Corpus,
    job: String,
    name: OsString,
    ledger: Ledger,
    collector: Collector,
    looks: Samples,
}

/// Measures looks at a log of each size, in turns.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let mut logs = LINES.into_iter().map(Log::new).collect::<Result<Vec<_>, _>>()?;
    for round in 0..ROUNDS {
        // All renames first and the looks in turns: a large copy empties the CPU's caches, for whichever look is next.
        for log in logs.iter_mut().rev() {
            log.rename()?;
        }
        let sizes = logs.len();
        for turn in 0..sizes {
            logs[(round + turn) % sizes].look()?;
        }
    }
    let medians: Vec<f64> = logs.iter().map(|log| log.looks.median()).collect();
    for (lines, median) in LINES.iter().zip(&medians) {
        table.note(&format!("look after a rename, log of {lines} lines"), &format!("{} µs", number(*median)));
    }
    if let [small, .., large] = medians.as_slice() {
        table.at_most("look after a rename, 20,000 : 100 lines", 1.2, "", large / small);
    }
    Ok(())
}

impl Log {
    fn new(lines: usize) -> Result<Self, Failure> {
        let corpus = Corpus::write_with_limits(1, lines, 0, lines)?;
        let job = corpus.jobs[0].clone();
        let path = corpus.ledger("renames");
        make_parent(&path)?;
        let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
        let Opened { mut ledger, .. } = Ledger::open(&path, &options, UnixMs(now_ms()))?;
        let mut collector = Collector::new(&corpus.state_dir(), None);
        collector.sweep(&mut ledger, UnixMs(now_ms()))?;
        let name = format!("{job}.jsonl").into();
        Ok(Self { corpus, job, name, ledger, collector, looks: Samples::default() })
    }

    fn rename(&mut self) -> Result<(), Failure> {
        let line = self.corpus.next_line(&self.job)?;
        self.corpus.append(&self.job, &line)
    }

    fn look(&mut self) -> Result<(), Failure> {
        let now = UnixMs(now_ms());
        let (looked, us) = timed(|| self.collector.look(&mut self.ledger, &self.name, now));
        if !looked? {
            return Err("a renamed log with a new line changed nothing".into());
        }
        self.looks.push(us);
        Ok(())
    }
}
