//! Floods of what nobody should send: bounded memory, and everything else answers throughout.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::client::Client;
use super::gateways::notice;
use super::{Receiving, TOKEN};
use crate::common::real_time::until;
use crate::common::samples::Samples;

const IDLE: usize = 1_000;
const LORIS: usize = 100;
const WRONG: usize = 2_000;
/// What memory may grow by, in bytes: buffers of 256 connections and 4 MiB of bodies are far less.
const GROWTH: f64 = 16.0 * 1024.0 * 1024.0;

/// A connection from another address of this machine.
async fn connect(from: u8, server: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into()).expect("an address of this machine");
    socket.connect(server).await.ok()
}

fn memory(samples: &Samples) -> f64 {
    samples.sum("process_memory_usage_bytes", &[])
}

#[test]
fn idle_slow_and_wrong_requests_in_floods_disturb_nobody() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more open files");
    let receiving = Receiving::alone(&[]);
    let (server, runtime) = (receiving.webhook, runtime());
    let before = memory(&receiving.daemon().scrape());
    let mut gateway = Client::connect(server).expect("a connection");
    let mut posted = 0;
    // Answers the gateway, and whoever asks for anything else.
    let mut serves = |receiving: &Receiving| {
        posted += 1;
        let body = notice(posted).replace("same", &format!("job-{}", posted % 5));
        assert_eq!(gateway.post("/webhook/cron", TOKEN, &body).expect("an answer").status, 202);
        assert_eq!(receiving.daemon().get("/healthz").status, 200);
        assert_eq!(receiving.daemon().get("/readyz").status, 200);
    };
    let idle = runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..IDLE {
            held.extend(connect(2, server).await);
        }
        held
    });
    serves(&receiving);
    // Half a head, and half a body of somebody who was let in.
    let slow = runtime.block_on(async {
        let mut held = Vec::new();
        for nth in 0..LORIS {
            let Some(mut stream) = connect(3, server).await else { continue };
            let half = if nth % 2 == 0 {
                "POST /webhook/cron HTTP/1.1\r\nhost: gate".to_owned()
            } else {
                format!("POST /webhook/cron HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 99999\r\n\r\n{{")
            };
            _ = stream.write_all(half.as_bytes()).await;
            held.push(stream);
        }
        held
    });
    serves(&receiving);
    let refused = runtime.block_on(async {
        let mut refused = 0;
        for _ in 0..WRONG / 20 {
            let many = (0..20).map(|_| tokio::spawn(wrong_token(server)));
            for one in many.collect::<Vec<_>>() {
                refused += usize::from(one.await.expect("a task") == 401);
            }
        }
        refused
    });
    serves(&receiving);
    assert_eq!(refused, WRONG, "every wrong token was refused with a word");
    let during = receiving.daemon().scrape();
    let too_many = during.sum("openclaw_webhook_error_total", &[("openclaw_reason", "too_many")]);
    assert!(too_many >= (IDLE - 64) as f64, "{too_many} connections were turned away");
    let growth = memory(&during) - before;
    eprintln!("memory grew by {:.1} MiB", growth / 1024.0 / 1024.0);
    assert!(growth < GROWTH, "memory grew by {growth} bytes");
    // The first of those that were turned away was told so.
    let told = runtime.block_on(async {
        let mut told = 0;
        for mut stream in idle.into_iter().skip(64).take(20) {
            let mut answer = Vec::new();
            _ = stream.read_to_end(&mut answer).await;
            told += usize::from(answer.starts_with(b"HTTP/1.1 429 "));
        }
        told
    });
    assert!(told > 0, "nobody was told why");
    drop(slow);
    serves(&receiving);
    assert_eq!(receiving.daemon().scrape().sum("openclaw_cron_runs_total", &[]), 4.0);
}

/// Somebody else writes to the ledger for longer than is waited: notices are told to come again, all of those that waited together
/// too, and each counts once when it does.
#[test]
fn what_cannot_be_committed_is_to_be_posted_again() {
    let receiving = Receiving::alone(&[]);
    let server = receiving.webhook;
    let bodies: Vec<String> = (1..=6).map(|nth| notice(nth).replace("same", &format!("job-{nth}"))).collect();
    let other = rusqlite::Connection::open(receiving.sandbox.ledger()).expect("a second connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("the only one who writes");
    let refused: Vec<_> = std::thread::scope(|threads| {
        let posts: Vec<_> = bodies
            .iter()
            .map(|body| threads.spawn(|| Client::connect(server)?.post("/webhook/cron", TOKEN, body)))
            .collect();
        posts.into_iter().map(|post| post.join().expect("a thread").expect("an answer")).collect()
    });
    for answer in &refused {
        assert_eq!((answer.status, answer.body.as_str()), (503, "not counted, try again\n"), "{answer:?}");
        assert!(answer.head.contains("retry-after: 1\r\n"), "{answer:?}");
    }
    assert_eq!(receiving.daemon().get("/healthz").status, 200);
    other.execute_batch("ROLLBACK").expect("others write again");
    for body in bodies.iter().chain(&bodies) {
        until("a post that is taken", || {
            [200, 202].contains(&receiving.post("/webhook/cron", TOKEN, body)).then_some(())
        });
    }
    let scraped = receiving.daemon().scrape();
    assert_eq!(scraped.sum("openclaw_cron_runs_total", &[]), 6.0);
    let input = scraped.sum("openclaw_tokens_total", &[("openclaw_token", "input")]);
    assert_eq!((input, scraped.sum("openclaw_tokens_total", &[])), (21.0, 27.0));
    let unavailable = scraped.sum("openclaw_webhook_error_total", &[("openclaw_reason", "unavailable")]);
    assert!(unavailable >= 6.0, "{unavailable}");
}

async fn wrong_token(server: SocketAddr) -> u16 {
    let Some(mut stream) = connect(4, server).await else { return 0 };
    let request = "POST /webhook/cron HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\nauthorization: Bearer wrong\r\ncontent-length: 2\r\n\r\n{}";
    _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer).await;
    let status = answer.get(9..12).and_then(|status| str::from_utf8(status).ok()?.parse().ok());
    status.unwrap_or(0)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
