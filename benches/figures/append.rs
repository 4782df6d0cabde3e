//! One record is appended: when is it visible, and what does it cost.

use std::time::Duration;

use openclaw_usage::clock::Clock;
use openclaw_usage::config::{self, Environment, Overrides};
use openclaw_usage::serve;

use crate::corpus::{Corpus, make_parent};
use crate::daemon::Daemon;
use crate::measure::{Samples, float, monotonic, timed};
use crate::table::{Table, number};
use crate::{Failure, http};

/// Run logs, and records in each.
const FILES: usize = 500;
const LINES: usize = 20;
const LATENCIES: usize = 2_000;
const COSTS: u32 = 5_000;
/// Between two appends when their cost is measured: 500 a second.
const PACE: Duration = Duration::from_millis(2);

/// Measures both.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let mut corpus = Corpus::write(FILES, LINES)?;
    visible(&mut corpus, table)?;
    cost(&mut corpus, table)
}

/// `serve` within this process, so that the moment of visibility is seen without asking for it.
fn visible(corpus: &mut Corpus, table: &mut Table) -> Result<(), Failure> {
    let ledger = corpus.ledger("visible");
    let flags = Overrides {
        state_dir: Some(corpus.state_dir().display().to_string()),
        ledger: Some(ledger.display().to_string()),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Overrides::default()
    };
    let config = config::load(&flags, &Environment::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut random = fastrand::Rng::with_seed(2);
    let (mut latency, mut scrape) = (Samples::default(), Samples::default());
    runtime.block_on(async {
        let mut running = serve::start(&config, &Clock::System).await?;
        // The first sweep ends with one revision that shows everything.
        running.revisions.changed().await?;
        for _ in 0..LATENCIES {
            let job = corpus.jobs[random.usize(..corpus.jobs.len())].clone();
            let line = corpus.next_line(&job)?;
            running.revisions.mark_unchanged();
            let start = monotonic();
            corpus.append(&job, &line)?;
            running.revisions.changed().await?;
            latency.push(start.elapsed().as_secs_f64() * 1e3);
        }
        for _ in 0..20 {
            let address = running.address;
            let asked = tokio::task::spawn_blocking(move || timed(|| http::get(address, "/metrics")));
            let (answer, us) = asked.await?;
            answer?;
            scrape.push(us / 1e3);
        }
        running.stop().await;
        Ok::<_, Failure>(())
    })?;
    table.at_most("append → visible, p50", 1.0, "ms", latency.median());
    table.at_most("append → visible, p99", 10.0, "ms", latency.quantile(0.99));
    table.note("one whole scrape of 500 jobs, median", &format!("{} ms", number(scrape.median())));
    Ok(())
}

fn cost(corpus: &mut Corpus, table: &mut Table) -> Result<(), Failure> {
    let ledger = corpus.ledger("cost");
    make_parent(&ledger)?;
    let mut runs = corpus.sums.runs + u64::try_from(LATENCIES)?;
    let daemon = Daemon::start(&corpus.state_dir(), &ledger, &[])?;
    daemon.wait_for_runs(runs, Duration::from_millis(50))?;
    let mut random = fastrand::Rng::with_seed(3);
    std::thread::sleep(Duration::from_millis(200));
    let before = daemon.cpu_ns()?;
    let start = monotonic();
    for n in 0..COSTS {
        let job = corpus.jobs[random.usize(..corpus.jobs.len())].clone();
        let line = corpus.next_line(&job)?;
        corpus.append(&job, &line)?;
        std::thread::sleep((PACE * n).saturating_sub(start.elapsed()));
    }
    let rate = f64::from(COSTS) / start.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(200));
    let spent = daemon.cpu_ns()? - before;
    runs += u64::from(COSTS);
    daemon.wait_for_runs(runs, Duration::from_millis(50))?;
    table.at_most("append with commit, CPU", 100.0, "µs", float(spent) / 1e3 / f64::from(COSTS));
    table.note("append with commit, rate", &format!("{} /s", number(rate)));
    table.at_most("500 run logs after appends, RSS", 16.0, "MiB", daemon.resident_mib()?);
    table.note("the same at its peak, while scraped", &format!("{} MiB", number(daemon.peak_mib()?)));
    daemon.stop()
}
