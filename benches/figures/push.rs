//! Ten thousand series are pushed, all of them, every time.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric};
use prost::Message;
use tokio::net::TcpListener;

use crate::Failure;
use crate::corpus::{Corpus, make_parent};
use crate::daemon::Daemon;
use crate::measure::{Samples, float, until};
use crate::table::{Table, number};

/// Each has four series in the ledger: input, output, duration, runs.
const JOBS: usize = 2_500;
const LINES: usize = 3;
const ROUNDS: usize = 5;
const PUSHES_PER_ROUND: usize = 4;

/// Measures full pushes of a `serve` whose every job has its own series.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let corpus = Corpus::write(JOBS, LINES)?;
    let sink = Sink::start()?;
    let ledger = corpus.ledger("push");
    make_parent(&ledger)?;
    let config = ledger.with_extension("toml");
    let endpoint = format!("endpoint = \"http://{}\"\ninterval = \"1s\"", sink.address);
    fs::write(&config, format!("max_jobs = {JOBS}\n\n[[otlp]]\n{endpoint}\n"))?;
    let flags = ["--config", config.to_str().ok_or("a path that is no text")?];
    let daemon = Daemon::start(&corpus.state_dir(), &ledger, &flags)?;
    daemon.wait_for_runs(corpus.sums.runs, Duration::from_millis(50))?;
    let metrics = daemon.metrics()?;
    let series = metrics.lines().find_map(|line| line.strip_prefix("openclaw_usage_series ")).unwrap_or("?");
    sink.wait_for_pushes(2)?;
    sink.take();
    let (mut cpu, mut points) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        // From just behind a push to just behind another.
        sink.wait_for_pushes(1)?;
        sink.take();
        let before = daemon.cpu_ns()?;
        sink.wait_for_pushes(PUSHES_PER_ROUND)?;
        let spent = float(daemon.cpu_ns()? - before) / 1e6;
        let taken = sink.take();
        let pushes = float(u64::try_from(taken.stamps.len())?);
        cpu.push(spent / pushes);
        points.push(float(taken.points) / pushes);
    }
    let goal = format!("push of {series} series and their gauges, CPU");
    table.at_most(&goal, 100.0, "ms", cpu.median());
    table.note("points in such a push", &number(points.median()));
    table.note("push, peak RSS", &format!("{} MiB", number(daemon.peak_mib()?)));
    daemon.stop()
}

/// What arrived.
#[derive(Default)]
struct Taken {
    /// The time stamps of points: one for each push.
    stamps: BTreeSet<u64>,
    points: u64,
}

/// A server that takes whatever it is given.
struct Sink {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Sink {
    fn start() -> Result<Self, Failure> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let taken = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || _ = runtime.block_on(serve(listener, shared)));
        Ok(Self { address, taken })
    }

    fn take(&self) -> Taken {
        std::mem::take(&mut lock(&self.taken))
    }

    /// Waits for whole pushes: until a further one has begun, or as many have rested for a while.
    fn wait_for_pushes(&self, pushes: usize) -> Result<(), Failure> {
        until("pushes", Duration::from_millis(10), || {
            Ok((lock(&self.taken).stamps.len() >= pushes).then_some(()))
        })?;
        let mut seen = 0;
        until("the end of a push", Duration::from_millis(100), || {
            let points = lock(&self.taken).points;
            Ok((std::mem::replace(&mut seen, points) == points).then_some(()))
        })
    }
}

async fn serve(listener: std::net::TcpListener, taken: Arc<Mutex<Taken>>) -> Result<(), Failure> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let taken = Arc::clone(&taken);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&taken)));
            // A daemon that ends closes its connection.
            _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    taken: Arc<Mutex<Taken>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Ok(body) = request.into_body().collect().await {
        note(&body.to_bytes(), &taken);
    }
    Ok(Response::new(Full::default()))
}

fn note(body: &[u8], taken: &Mutex<Taken>) {
    let mut bytes = Vec::new();
    if flate2::read::GzDecoder::new(body).read_to_end(&mut bytes).is_err() {
        return;
    }
    let Ok(request) = ExportMetricsServiceRequest::decode(bytes.as_slice()) else { return };
    let mut stamps = BTreeSet::new();
    let mut points = 0;
    for scope in request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics) {
        for stamp in scope.metrics.iter().flat_map(stamps_of) {
            stamps.insert(stamp);
            points += 1;
        }
    }
    let mut taken = lock(taken);
    taken.stamps.append(&mut stamps);
    taken.points += points;
}

fn stamps_of(metric: &Metric) -> Vec<u64> {
    match &metric.data {
        Some(metric::Data::Sum(sum)) => sum.data_points.iter().map(|point| point.time_unix_nano).collect(),
        Some(metric::Data::Gauge(gauge)) => {
            gauge.data_points.iter().map(|point| point.time_unix_nano).collect()
        }
        Some(metric::Data::Histogram(histogram)) => {
            histogram.data_points.iter().map(|point| point.time_unix_nano).collect()
        }
        _ => Vec::new(),
    }
}

fn lock(taken: &Mutex<Taken>) -> std::sync::MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}
