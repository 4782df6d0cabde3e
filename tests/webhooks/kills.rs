//! SIGKILL in the middle of a flood: each run counts once, and none that was answered for is lost.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::client::Client;
use super::{Receiving, TOKEN};
use crate::common::real_time::until;
use crate::common::samples::Count;

const CLIENTS: u64 = 4;
const EACH: u64 = 400;
const KILLS: u64 = 5;

fn body(run: u64) -> String {
    let at = 1_795_148_652_328 + run;
    let job = run % 7;
    format!(
        r#"{{"jobId":"job-{job}","action":"finished","status":"ok","summary":"s","runAtMs":{at},"durationMs":240,"nextRunAtMs":1795158652328,"model":"m","provider":"p","usage":{{"input_tokens":{run},"output_tokens":3}}}}"#
    )
}

/// Where the daemon of the moment listens, and how many notices were answered for.
struct Flood {
    server: Mutex<SocketAddr>,
    answered: AtomicU64,
}

impl Flood {
    fn server(&self) -> SocketAddr {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts what was not answered again, until it is, and returns how many were known already.
    fn post_all(&self, client: u64) -> u64 {
        let (mut connection, mut known) = (None, 0);
        for run in client * EACH..(client + 1) * EACH {
            loop {
                match self.try_post(&mut connection, run) {
                    Ok(202) => break,
                    // The answer to the first one was lost with the process.
                    Ok(200) => {
                        known += 1;
                        break;
                    }
                    Ok(503) | Err(_) => connection = None,
                    Ok(other) => panic!("status {other}"),
                }
                thread::yield_now();
            }
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
        known
    }

    fn try_post(&self, connection: &mut Option<Client>, run: u64) -> io::Result<u16> {
        let client = match connection {
            Some(client) => client,
            None => connection.insert(Client::connect(self.server())?),
        };
        client.post("/webhook/cron", TOKEN, &body(run)).map(|answer| answer.status)
    }
}

#[test]
fn each_run_counts_once_over_kills_in_a_flood() {
    let receiving = Receiving::alone(&[]);
    let flood = Flood { server: Mutex::new(receiving.webhook), answered: AtomicU64::new(0) };
    let total = CLIENTS * EACH;
    let receiving = thread::scope(|scope| {
        let mut receiving = receiving;
        let flood = &flood;
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || flood.post_all(client))).collect();
        for kill in 1..=KILLS {
            let enough = total * kill / (KILLS + 1);
            until("a part of the flood", || (flood.answered.load(Ordering::SeqCst) >= enough).then_some(()));
            receiving = receiving.killed_and_again();
            *flood.server.lock().unwrap_or_else(PoisonError::into_inner) = receiving.webhook;
        }
        let known: u64 = clients.into_iter().map(|client| client.join().expect("a client")).sum();
        eprintln!("{total} notices over {KILLS} kills, {known} of them answered for at their repetition");
        receiving
    });
    let truth = Count { runs: total, input: (0..total).sum(), output: 3 * total };
    let samples = receiving.daemon().until_counted(truth);
    assert_eq!(samples.sum("openclaw_usage_records_total", &[("openclaw_outcome", "conflict")]), 0.0);
}
