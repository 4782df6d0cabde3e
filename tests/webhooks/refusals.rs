//! What is turned away: with the status that says why, without an echo, and counted by reason.

use std::fs;

use super::client::Client;
use super::{Receiving, TOKEN};
use crate::common::real_time::until;
use crate::common::samples::Samples;

/// What must stand in no answer and no log.
const SECRET: &str = "s3cret-word";

fn notice(job: &str) -> String {
    format!(
        r#"{{"jobId":"{job}","action":"finished","status":"ok","summary":"{SECRET}","runAtMs":1795148652328,"durationMs":240}}"#
    )
}

fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\n");
    for header in headers {
        request.push_str(&format!("{header}\r\n"));
    }
    format!("{request}\r\n{body}")
}

fn errors(samples: &Samples, reason: &str) -> f64 {
    samples.sum("openclaw_webhook_error_total", &[("openclaw_reason", reason)])
}

#[test]
fn each_refusal_says_why_and_repeats_nothing() {
    let receiving = Receiving::alone(&[]);
    let (json, auth) = ("content-type: application/json", format!("authorization: Bearer {TOKEN}"));
    let auth = auth.as_str();
    let of = |length: usize| format!("content-length: {length}");
    let post = |path: &str, headers: &[&str], body: &str| {
        request("POST", path, &[headers, &[of(body.len()).as_str()]].concat(), body)
    };
    let good = notice("a");
    let chunked = "transfer-encoding: chunked";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let (wrong, short) = (format!("{auth}x"), &auth[..auth.len() - 1]);
    let huge = (2 << 20) + 1;
    let cases: Vec<(String, u16, &str)> = vec![
        (post("/webhook/cron", &[json], &good), 401, "unauthorized"),
        (post("/webhook/cron", &[json, &wrong], &good), 401, "unauthorized"),
        (post("/webhook/cron", &[json, short], &good), 401, "unauthorized"),
        (post("/webhook/cron", &[json, "authorization: Basic aGk6aG8="], &good), 401, "unauthorized"),
        (post(&format!("/webhook/cron?token={TOKEN}"), &[json], &good), 401, "unauthorized"),
        (post("/other", &[json, auth], &good), 404, "not_found"),
        (post("/webhook/cronjob", &[json, auth], &good), 404, "not_found"),
        (post("/webhook/cron/a/b", &[json, auth], &good), 404, "not_found"),
        (post("/webhook/cron/Big%20Name", &[json, auth], &good), 404, "not_found"),
        (request("GET", "/webhook/cron", &[json, auth], ""), 405, "method"),
        (post("/webhook/cron", &[auth], &good), 415, "media_type"),
        (post("/webhook/cron", &["content-type: text/json", auth], &good), 415, "media_type"),
        // What it would unpack to is never looked at: no bomb goes off.
        (post("/webhook/cron", &[json, auth, "content-encoding: gzip"], &good), 415, "media_type"),
        (request("POST", "/webhook/cron", &[json, auth, &of(huge)], ""), 413, "too_large"),
        (post("/webhook/cron", &[json, auth], "{"), 400, "invalid_json"),
        (post("/webhook/cron", &[json, auth], ""), 400, "invalid_json"),
        (post("/webhook/cron", &[json, auth], &format!("{good}{good}")), 400, "invalid_json"),
        (post("/webhook/cron", &[json, auth], r#"["s3cret-word"]"#), 400, "not_a_run"),
        (post("/webhook/cron", &[json, auth], &good.replace("finished", SECRET)), 400, "not_a_run"),
        (post("/webhook/cron", &[json, auth], &good.replace("1795148652328", "17")), 400, "impossible"),
        (request("POST", "/webhook/cron", &[json, auth, chunked], "zz\r\ngarbage\r\n"), 400, "broken"),
    ];
    let mut expected = std::collections::BTreeMap::<&str, f64>::new();
    for (request, status, reason) in &cases {
        let mut client = Client::connect(receiving.webhook).expect("a connection");
        client.send(request.as_bytes()).expect("a request");
        let answer = client.answer().unwrap_or_else(|error| panic!("{error} for {request}"));
        assert_eq!(answer.status, *status, "{request}: {answer:?}");
        assert!(!answer.body.contains(SECRET) && answer.head.contains("connection: close"), "{answer:?}");
        *expected.entry(reason).or_default() += 1.0;
    }
    let mut client = Client::connect(receiving.webhook).expect("a connection");
    for body in [chunk(&good), chunk(&good)] {
        client
            .send(request("POST", "/webhook/cron", &[json, auth, chunked], &body).as_bytes())
            .expect("sent");
    }
    assert_eq!([client.answer().expect("one").status, client.answer().expect("two").status], [202, 200]);
    let samples = receiving.daemon().scrape();
    for (reason, n) in expected {
        assert_eq!(errors(&samples, reason), n, "{reason}");
    }
    assert_eq!(samples.sum("openclaw_cron_runs_total", &[]), 1.0);
    let log = receiving.stop();
    assert!([SECRET, TOKEN].iter().all(|secret| !log.contains(secret)), "{log}");
}

/// The head is taken while it comes, and no more of a body than is allowed.
#[test]
fn a_body_that_grows_too_long_is_cut_off() {
    let receiving = Receiving::alone(&[]);
    let mut client = Client::connect(receiving.webhook).expect("a connection");
    let auth = format!("authorization: Bearer {TOKEN}");
    let head = ["content-type: application/json", &auth, "transfer-encoding: chunked"];
    client.send(request("POST", "/webhook/cron", &head, "").as_bytes()).expect("a head");
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    // Once it has answered, it may have closed the connection.
    while client.send(chunk.as_bytes()).is_ok() {}
    let status = client.answer().map(|answer| answer.status);
    assert!(status.is_err() || status.as_ref().is_ok_and(|status| *status == 413), "{status:?}");
    let samples = receiving.daemon().scrape();
    assert_eq!(errors(&samples, "too_large"), 1.0);
}

#[test]
fn old_and_new_tokens_are_valid_at_once_and_in_the_url_only_if_allowed() {
    let receiving = Receiving::with_tokens("old\nnew\nnorth of-north\n", &[], |command| {
        command
            .env("OPENCLAW_USAGE_WEBHOOK_QUERY_TOKEN", "true")
            .env("OPENCLAW_USAGE_WEBHOOK_TOKEN", "environment");
    });
    for (path, token, status) in [
        ("/webhook/cron", "old", 202),
        ("/webhook/cron", "new", 200),
        ("/webhook/cron", "environment", 200),
        ("/webhook/cron?x=1&token=old", "wrong", 401),
        ("/webhook/cron", "of-north", 202),
        ("/webhook/cron/north", "of-north", 200),
        ("/webhook/cron/north", "old", 200),
        ("/webhook/cron/south", "of-north", 403),
        ("/webhook/cron/openclaw", "old", 200),
        ("/webhook/cron/south", "old", 202),
    ] {
        assert_eq!(receiving.post(path, token, &notice("a")), status, "{path} {token}");
    }
    let mut client = Client::connect(receiving.webhook).expect("a connection");
    let body = notice("a");
    let head = ["content-type: application/json", &format!("content-length: {}", body.len())];
    client.send(request("POST", "/webhook/cron?token=ol%64", &head, &body).as_bytes()).expect("a request");
    assert_eq!(client.answer().expect("an answer").status, 200);
}

/// The new token is valid beside the old one until everybody has it; then the old one goes. No restart.
#[test]
fn tokens_are_changed_without_a_gap() {
    let receiving = Receiving::alone(&[]);
    let tokens = receiving.sandbox.path("tokens");
    let status = |token: &str, job: &str| receiving.post("/webhook/cron", token, &notice(job));
    assert_eq!((status(TOKEN, "a"), status("next", "b")), (202, 401));
    fs::write(&tokens, format!("{TOKEN}\nnext\n")).unwrap();
    until("both tokens", || (status("next", "b") != 401).then_some(()));
    assert_eq!((status(TOKEN, "c"), status("next", "d")), (202, 202));
    fs::write(&tokens, "next\n").unwrap();
    until("the new token alone", || (status(TOKEN, "a") == 401).then_some(()));
    assert_eq!(status("next", "e"), 202);
    let log = receiving.stop();
    assert!(!log.contains(TOKEN) && !log.contains("next\""), "{log}");
}

/// Bodies that are announced and do not come take up the room for all of them: others are told to come later, and do when
/// the room is free again. Nothing is held up.
#[test]
fn who_finds_no_room_for_a_body_is_told_to_come_later() {
    let receiving = Receiving::alone(&[]);
    let auth = format!("authorization: Bearer {TOKEN}");
    let length = format!("content-length: {}", 2 << 20);
    let head = ["content-type: application/json", &auth, &length];
    let held: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(receiving.webhook).expect("a connection");
            client.send(request("POST", "/webhook/cron", &head, "").as_bytes()).expect("a head");
            client
        })
        .collect();
    let status = |job: &str| receiving.post("/webhook/cron", TOKEN, &notice(job));
    until("no room", || (status("a") == 429).then_some(()));
    assert!(errors(&receiving.daemon().scrape(), "too_many") >= 1.0);
    drop(held);
    until("room again", || (status("b") != 429).then_some(()));
}
