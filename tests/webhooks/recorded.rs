//! What gateways of 2026.2.17 and 2026.9.6 posted, headers and body byte for byte.

use std::collections::BTreeSet;
use std::fs;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::client::Client;
use super::{Receiving, TOKEN};
use crate::common::fixtures::Fixture;
use crate::common::samples::Count;

/// A recorded request.
pub struct Recorded {
    /// Everything but the request line, whose path is the recording's.
    rest: Vec<u8>,
    pub body: Value,
}

impl Recorded {
    /// Those of one recording, in the order in which they came.
    pub fn of(name: &str) -> Vec<Self> {
        let archive = Fixture::unpack("webhooks/recorded");
        let text = fs::read_to_string(archive.path(&format!("{name}.jsonl"))).expect("recorded requests");
        text.lines().map(|line| Self::parse(&serde_json::from_str(line).expect("JSON"))).collect()
    }

    fn parse(line: &Value) -> Self {
        let mut rest = String::new();
        for header in line["headers"].as_array().expect("headers") {
            let [name, value] = [0, 1].map(|at| header[at].as_str().expect("a text"));
            rest.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = line["body"].as_str().expect("a body");
        rest.push_str(&format!("\r\n{body}"));
        Self { rest: rest.into_bytes(), body: serde_json::from_str(body).expect("JSON") }
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        [format!("POST {path} HTTP/1.1\r\n").as_bytes(), &self.rest].concat()
    }

    /// Sums them up by a reader that shares nothing with ours, each run once.
    pub fn count(all: &[Self]) -> Count {
        let mut count = Count::default();
        let mut seen = BTreeSet::new();
        for Self { body, .. } in all {
            let key = (body["jobId"].as_str().expect("a job"), body["runAtMs"].as_u64());
            if seen.insert(key) {
                let tokens = |kind: &str| body["usage"][kind].as_u64().unwrap_or(0);
                count.runs += 1;
                count.input += tokens("input_tokens");
                count.output += tokens("output_tokens");
            }
        }
        count
    }
}

#[test]
fn notices_of_every_version_are_counted_once_byte_for_byte() {
    for name in ["2026.2.17", "2026.9.6", "whole-2026.2.17", "whole-2026.9.6", "upgraded-2026.9.6"] {
        let recorded = Recorded::of(name);
        let receiving = Receiving::alone(&[]);
        let mut client = Client::connect(receiving.webhook).expect("a connection");
        for expected in [202, 200] {
            for request in &recorded {
                client.send(&request.bytes("/webhook/cron")).expect("a request");
                let answer = client.answer().expect("an answer");
                assert_eq!(answer.status, expected, "{name}: {answer:?}");
                let shown = ["summary", "error", "jobId"].iter().filter_map(|key| request.body[key].as_str());
                assert!(shown.into_iter().all(|text| !answer.body.contains(text)), "an echo: {answer:?}");
            }
        }
        let count = Recorded::count(&recorded);
        assert!(count.runs > 5 && count.input > 0, "{name}: {count:?}");
        let samples = receiving.daemon().until_counted(count);
        let number = |name: &str, labels: &[(&str, &str)]| samples.sum(name, labels);
        let runs = recorded.len() as f64;
        for outcome in ["new", "repeated"] {
            assert_eq!(number("openclaw_webhook_received_total", &[("openclaw_outcome", outcome)]), runs);
        }
        assert_eq!(number("openclaw_webhook_error_total", &[]), 0.0, "{name}");
        assert_eq!(number("openclaw_webhook_duration_ms_milliseconds_count", &[]), 2.0 * runs, "{name}");
        let delivered = [("openclaw_outcome", "delivered")];
        assert_eq!(number("openclaw_cron_webhook_deliveries_total", &delivered), runs, "{name}");
        assert_eq!(receiving.daemon().get("/readyz").status, 200);
    }
}

/// The same from a client that makes its own requests, four at once, on connections that it keeps.
#[tokio::test]
async fn a_client_of_its_own_kind_is_understood() {
    let recorded = Recorded::of("whole-2026.9.6");
    let receiving = Receiving::alone(&[]);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let post = |body: &Value| {
        let request = Request::post(format!("http://{}/webhook/cron", receiving.webhook))
            .header("content-type", "application/json; charset=utf-8")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let answer = client.request(request);
        async move {
            let answer = answer.await.expect("an answer");
            let status = answer.status().as_u16();
            answer.into_body().collect().await.expect("its body");
            status
        }
    };
    for bodies in recorded.chunks(4) {
        let posted: Vec<_> = bodies.iter().map(|request| tokio::spawn(post(&request.body))).collect();
        for status in posted {
            assert_eq!(status.await.expect("no panic"), 202);
        }
    }
    receiving.daemon().until_counted(Recorded::count(&recorded));
}
