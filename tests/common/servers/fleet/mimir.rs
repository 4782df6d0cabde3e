//! Mimir: all of it in one process, with tenants.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::super::{free_addresses, on_free_ports, programs};
use crate::common::http;
use crate::common::process::Process;
use crate::common::real_time::until;

pub struct Mimir {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Mimir {
    /// With no data. Returns when it is ready.
    pub fn start() -> Self {
        on_free_ports("mimir", || {
            let folder = TempDir::new().expect("a temporary directory");
            let [http_address, grpc] = free_addresses();
            fs::write(folder.path().join("mimir.yaml"), config(http_address, grpc))
                .expect("write mimir.yaml");
            let mut command = Command::new(programs("mimir").join("mimir"));
            command.current_dir(folder.path()).arg("-config.file=mimir.yaml");
            let mut process = Process::spawn("mimir", &mut command, folder.path().join("log"));
            process.wait_for_log("its start", |log| log.contains("Application started").then_some(()))?;
            until(&format!("Mimir is ready on {http_address}"), || {
                http::get(http_address, "/ready").ok().filter(|response| response.status == 200)
            });
            Ok(Self { address: http_address, _process: process, _folder: folder })
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Names as Prometheus makes them, which is not what Mimir does by itself; and samples of three days ago are asked of where
/// they were just written to.
fn config(http: SocketAddr, grpc: SocketAddr) -> String {
    let ip = http.ip();
    let ring = format!("instance_addr: {ip}, kvstore: {{store: inmemory}}");
    format!(
        r#"
target: all
multitenancy_enabled: true
usage_stats: {{enabled: false}}
server:
  http_listen_address: "{ip}"
  http_listen_port: {}
  grpc_listen_address: "{ip}"
  grpc_listen_port: {}
memberlist: {{bind_addr: ["{ip}"], bind_port: 0}}
limits: {{otel_metric_suffixes_enabled: true, query_ingesters_within: 0}}
common: {{storage: {{backend: filesystem, filesystem: {{dir: common}}}}}}
blocks_storage:
  storage_prefix: blocks
  bucket_store: {{sync_dir: sync}}
  tsdb: {{dir: tsdb}}
ruler_storage: {{storage_prefix: rules}}
compactor: {{data_dir: compactor, sharding_ring: {{{ring}}}}}
distributor: {{ring: {{{ring}}}}}
ingester: {{ring: {{{ring}, replication_factor: 1, min_ready_duration: 0s}}}}
store_gateway: {{sharding_ring: {{{ring}, replication_factor: 1}}}}
ruler: {{rule_path: ruler, ring: {{{ring}}}}}
frontend: {{scheduler_address: "{grpc}", address: {ip}}}
frontend_worker: {{scheduler_address: "{grpc}"}}
"#,
        http.port(),
        grpc.port()
    )
}
