//! Thanos: a querier, with a sidecar of a Prometheus or with a receiver behind it.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::super::prometheus::Prometheus;
use super::super::{free_addresses, on_free_ports, programs};
use crate::common::http;
use crate::common::process::Process;
use crate::common::real_time::until;

/// A sidecar of a Prometheus, and a querier that asks it.
pub struct Sidecar {
    querier: Querier,
    _process: Process,
    _folder: TempDir,
}

impl Sidecar {
    /// Returns when the querier, which is given these flags too, knows the sidecar.
    pub fn start(prometheus: &Prometheus, flags: &[&str]) -> Self {
        on_free_ports("thanos sidecar", || {
            let folder = TempDir::new().expect("a temporary directory");
            let [grpc, http] = free_addresses();
            let process = thanos(
                &folder,
                "sidecar",
                &[
                    format!("--prometheus.url=http://{}", prometheus.address()),
                    format!("--tsdb.path={}", prometheus.path("data").display()),
                    format!("--grpc-address={grpc}"),
                    format!("--http-address={http}"),
                ],
            )?;
            let querier = Querier::start(&folder, grpc, flags)?;
            Ok(Self { querier, _process: process, _folder: folder })
        })
    }

    pub fn querier(&self) -> SocketAddr {
        self.querier.address
    }
}

/// A receiver, and a querier that asks it.
pub struct Receive {
    querier: Querier,
    receiver: SocketAddr,
    metrics: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Receive {
    /// Returns when the querier knows the receiver.
    pub fn start() -> Self {
        on_free_ports("thanos receive", || {
            let folder = TempDir::new().expect("a temporary directory");
            let [grpc, http, receiver, replication] = free_addresses();
            let process = thanos(
                &folder,
                "receive",
                &[
                    format!("--tsdb.path={}", folder.path().join("data").display()),
                    "--label=receive=\"test\"".to_owned(),
                    format!("--grpc-address={grpc}"),
                    format!("--http-address={http}"),
                    format!("--remote-write.address={receiver}"),
                    format!("--receive.capnproto-address={replication}"),
                ],
            )?;
            let querier = Querier::start(&folder, grpc, &[])?;
            Ok(Self { querier, receiver, metrics: http, _process: process, _folder: folder })
        })
    }

    pub fn querier(&self) -> SocketAddr {
        self.querier.address
    }

    /// Waits until the querier knows how old its oldest sample is: what is older it does not ask it for.
    pub fn settle(&self) {
        let metrics = http::get(self.metrics, "/metrics").expect("its metrics").text();
        let oldest = metrics.lines().find_map(|line| line.strip_prefix(OLDEST)?.split_once("} "));
        let Some((_, oldest)) = oldest else { return };
        let oldest: f64 = oldest.trim().parse().expect("milliseconds since 1970");
        until("the querier knows of the oldest sample", || {
            let stores = http::get(self.querier.address, "/api/v1/stores").ok()?;
            let stores: Value = serde_json::from_slice(&stores.body).expect("stores in JSON");
            let stores = stores["data"].as_object()?.values().filter_map(Value::as_array).flatten();
            let known = stores.filter_map(|store| store["minTime"].as_f64()).reduce(f64::min)?;
            (known <= oldest).then_some(())
        });
    }

    /// Where it takes OTLP.
    pub fn receiver(&self) -> SocketAddr {
        self.receiver
    }
}

/// Begins the line of the oldest sample of a tenant.
const OLDEST: &str = "prometheus_tsdb_head_min_time{";

struct Querier {
    address: SocketAddr,
    _process: Process,
}

impl Querier {
    fn start(folder: &TempDir, store: SocketAddr, flags: &[&str]) -> Result<Self, String> {
        let [grpc, address] = free_addresses();
        let mut all = vec![
            format!("--endpoint={store}"),
            format!("--grpc-address={grpc}"),
            format!("--http-address={address}"),
        ];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let process = thanos(folder, "query", &all)?;
        until(&format!("the querier on {address} knows the store on {store}"), || {
            let stores = http::get(address, "/api/v1/stores").ok()?.text();
            (stores.contains(&store.to_string()) && stores.contains("\"lastError\":null")).then_some(())
        });
        Ok(Self { address, _process: process })
    }
}

/// Starts one of Thanos's commands. Returns when it listens.
fn thanos(folder: &TempDir, command: &str, flags: &[String]) -> Result<Process, String> {
    let log = folder.path().join(format!("{command}.log"));
    let mut program = Command::new(programs("thanos").join("thanos"));
    program.current_dir(folder.path()).arg(command).args(flags);
    let mut process = Process::spawn("thanos", &mut program, log);
    let listens = |log: &str| log.contains("listening for serving gRPC").then_some(());
    process.wait_for_log("its listening", listens)?;
    Ok(process)
}
