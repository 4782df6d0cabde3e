//! Notices that gateways post: 500 a second for a minute, with a SIGKILL in the middle.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::Client;
use crate::daemon::Daemon;
use crate::measure::{Samples, float, monotonic};
use crate::table::Table;

const CLIENTS: u32 = 8;
const PER_SECOND: u32 = 500;
const SECONDS: u32 = 60;
const TOKEN: &str = "hook-secret-token";

/// What one client saw.
#[derive(Default)]
struct Seen {
    /// Of notices that were answered at their first attempt, in microseconds.
    micros: Vec<f64>,
    /// Notices that were posted again.
    again: u64,
}

/// Measures a minute of notices.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, TOKEN)?;
    let ledger = folder.path().join("ledger.sqlite");
    let start = || serve(folder.path(), &ledger, &tokens);
    let (daemon, address) = start()?;
    let server = Mutex::new(address);
    let begin = monotonic();
    let (daemon, seen) = thread::scope(|scope| {
        let server = &server;
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || post_all(client, begin, server))).collect();
        thread::sleep(Duration::from_secs(u64::from(SECONDS / 2)));
        // SIGKILL.
        drop(daemon);
        let (daemon, address) = start()?;
        *server.lock().unwrap_or_else(PoisonError::into_inner) = address;
        let seen =
            clients.into_iter().map(|client| client.join().map_err(|_| Failure::from("a client panicked")));
        Ok::<_, Failure>((daemon, seen.collect::<Result<Vec<Seen>, _>>()?))
    })?;
    let mut times = Samples::default();
    seen.iter().flat_map(|seen| &seen.micros).for_each(|micros| times.push(micros / 1_000.0));
    let again: u64 = seen.iter().map(|seen| seen.again).sum();
    let wrong = (float(u64::from(PER_SECOND * SECONDS)) - counted(&daemon)?).abs();
    table.at_most("500 notices a second, p99 of answers", 5.0, "ms", times.quantile(0.99));
    table.note("500 notices a second, median of answers", &format!("{:.2} ms", times.median()));
    table.note("attempts made again around SIGKILL", &again.to_string());
    table.at_most("of 30,000 notices, lost or counted twice", 0.0, "", wrong);
    table.at_most("500 notices a second, peak RSS", 24.0, "MiB", daemon.peak_mib()?);
    daemon.stop()
}

fn serve(folder: &Path, ledger: &Path, tokens: &Path) -> Result<(Daemon, SocketAddr), Failure> {
    let tokens = tokens.to_str().ok_or("a path in UTF-8")?;
    let flags = ["--webhook-listen", "127.0.0.1:0", "--webhook-token-file", tokens];
    let daemon = Daemon::start(&folder.join("state"), ledger, &flags)?;
    let address = Daemon::webhook(ledger)?;
    Ok((daemon, address))
}

fn counted(daemon: &Daemon) -> Result<f64, Failure> {
    let page = daemon.metrics()?;
    let runs = page.lines().filter(|line| line.starts_with("openclaw_cron_runs_total{"));
    Ok(runs.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Posts its share in its own rhythm; what is not answered is posted again until it is.
fn post_all(client: u32, begin: Instant, server: &Mutex<SocketAddr>) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    for nth in 0..PER_SECOND * SECONDS / CLIENTS {
        let due = begin + Duration::from_secs(1) * (nth * CLIENTS + client) / PER_SECOND;
        thread::sleep(due.saturating_duration_since(monotonic()));
        let body = body(nth * CLIENTS + client);
        let mut is_first = true;
        loop {
            let start = monotonic();
            let address = *server.lock().unwrap_or_else(PoisonError::into_inner);
            let client = connection.take().map_or_else(|| Client::connect(address), Ok);
            let posted = client.and_then(|mut client| {
                let answer = client.post("/webhook/cron", TOKEN, &body)?;
                Ok((client, answer.status))
            });
            if let Ok((client, 200 | 202)) = posted {
                connection = Some(client);
                if is_first {
                    seen.micros.push(start.elapsed().as_secs_f64() * 1e6);
                }
                break;
            }
            is_first = false;
            seen.again += 1;
            thread::sleep(Duration::from_millis(5));
        }
    }
    seen
}

/// As long as those of 2026.9.6.
fn body(run: u32) -> String {
    let (job, at) = (run % 50, 1_795_148_652_328 + u64::from(run));
    let summary = "x".repeat(1_200);
    format!(
        r#"{{"jobId":"job-{job}","action":"finished","status":"ok","summary":"{summary}","runAtMs":{at},"durationMs":240,"nextRunAtMs":1795158652328,"model":"m","provider":"p","usage":{{"input_tokens":900,"output_tokens":60,"total_tokens":960}}}}"#
    )
}
