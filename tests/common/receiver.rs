//! A receiver of OTLP metrics over HTTP that does what a test says: takes, refuses by token, or never answers.
//!
//! It keeps the newest value of every series, as a server does, so that totals can be held against a truth. What a real
//! server decides is tested against real servers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;

use super::samples::Count;

/// Name, attributes and start time of a counter.
type Counter = (String, BTreeMap<String, String>, u64);

/// What it saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests by what stood in `Authorization`.
    pub requests: BTreeMap<String, u64>,
    /// Of those, the ones that were taken.
    pub taken: u64,
    pub connections: u64,
    /// Value and stamp.
    counters: BTreeMap<Counter, (i64, u64)>,
}

impl Seen {
    /// What the newest values of all counters come to.
    pub fn count(&self) -> Count {
        let sum = |name: &str, label: Option<(&str, &str)>| {
            let of = |(known, labels, _): &Counter| {
                known == name
                    && label.is_none_or(|(key, value)| labels.get(key).is_some_and(|is| is == value))
            };
            let values =
                self.counters.iter().filter(|(counter, _)| of(counter)).map(|(_, (value, _))| *value);
            u64::try_from(values.sum::<i64>()).expect("a count")
        };
        let tokens = |kind| sum("openclaw.tokens", Some(("openclaw.token", kind)));
        Count { runs: sum("openclaw.cron.runs", None), input: tokens("input"), output: tokens("output") }
    }

    /// Start times of every series that has more than one: none may.
    pub fn restarted(&self) -> Vec<&Counter> {
        let same = |a: &Counter, b: &Counter| (&a.0, &a.1) == (&b.0, &b.1);
        let all: Vec<&Counter> = self.counters.keys().collect();
        all.windows(2).filter(|pair| same(pair[0], pair[1])).map(|pair| pair[1]).collect()
    }

    fn take(&mut self, request: ExportMetricsServiceRequest) {
        let metrics =
            request.resource_metrics.into_iter().flat_map(|of| of.scope_metrics).flat_map(|of| of.metrics);
        for one in metrics {
            let Some(metric::Data::Sum(sum)) = one.data else { continue };
            for point in sum.data_points {
                let Some(number_data_point::Value::AsInt(value)) = point.value else { continue };
                let labels = point.attributes.into_iter().map(text).collect();
                let counter = (one.name.clone(), labels, point.start_time_unix_nano);
                let stamp = point.time_unix_nano;
                let (before, newest) = self.counters.get(&counter).copied().unwrap_or_default();
                // A request that was given up may be seen late; a server refuses it as out of order.
                if stamp > newest {
                    assert!(value >= before, "{counter:?} fell from {before} to {value}");
                    self.counters.insert(counter, (value, stamp));
                }
            }
        }
    }
}

fn text(attribute: KeyValue) -> (String, String) {
    let value = match attribute.value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(value)) => value,
        other => format!("{other:?}"),
    };
    (attribute.key, value)
}

/// What it does with a request, by what stands in `Authorization`.
type Rule = dyn Fn(&str) -> Answer + Send + Sync;

/// An answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// With this status; 200 takes what was sent.
    Status(u16),
    /// None, for as long as the receiver lives.
    Never,
}

/// A receiver on a free port. It ends with its value.
pub struct Receiver {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
}

impl Receiver {
    pub fn start(rule: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, ends, rule): (_, _, Arc<Rule>) = (Arc::clone(&seen), Arc::clone(&over), Arc::new(rule));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, rule) = (Arc::clone(&kept), Arc::clone(&rule));
                seen.lock().expect("no panic").connections += 1;
                // A client that goes away is no event.
                thread::spawn(move || _ = serve(stream, &seen, &*rule));
            }
        });
        Self { address, seen, over }
    }

    /// One that takes everything.
    pub fn willing() -> Self {
        Self::start(|_| Answer::Status(200))
    }

    /// For `endpoint` in the configuration.
    pub fn url(&self) -> String {
        format!("http://{}/otlp", self.address)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Seen>, rule: &Rule) -> io::Result<()> {
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        while input.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.trim_end().split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            line.clear();
        }
        let Some(length) = headers.get("content-length").and_then(|length| length.parse().ok()) else {
            return Ok(());
        };
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let authorization = headers.remove("authorization").unwrap_or_default();
        let answer = rule(&authorization);
        let mut seen = seen.lock().expect("no panic");
        *seen.requests.entry(authorization).or_default() += 1;
        let Answer::Status(status) = answer else {
            drop(seen);
            // Until the client gives up.
            _ = input.read_line(&mut String::new());
            return Ok(());
        };
        if status == 200 {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
            let request = ExportMetricsServiceRequest::decode(&plain[..]).expect("OTLP");
            seen.take(request);
            seen.taken += 1;
        }
        drop(seen);
        write!(output, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")?;
    }
}
