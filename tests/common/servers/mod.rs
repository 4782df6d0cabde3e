//! Real servers, built by `tests/servers/build.sh` and run on loopback in temporary directories.

mod alertmanager;
mod collector;
mod fleet;
mod linter;
mod loki;
mod lokitool;
mod prometheus;
mod promtool;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

pub use alertmanager::Alertmanager;
pub use collector::Collector;
pub use fleet::Fleet;
pub use linter::dashboard_linter;
pub use loki::Loki;
pub use lokitool::lokitool;
pub use prometheus::{Prometheus, Sample, Version};
pub use promtool::{promtool, promtool_check_metrics, promtool_create_blocks};

/// The folder with the programs of a server. The script decides whether what lies in its cache is still what is pinned,
/// so `cargo test` alone never meets an old server.
fn programs(server: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().expect("no build of a server failed before");
    if let Some(folder) = built.get(server) {
        return folder.clone();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/build.sh");
    let output = Command::new(&script)
        .arg(server)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
    assert!(output.status.success(), "{} {server} failed with {}", script.display(), output.status);
    let line = String::from_utf8(output.stdout).expect("a UTF-8 path");
    let (_, folder) = line.trim_end().split_once(": ").expect("a line that ends in a folder");
    built.insert(server.to_owned(), PathBuf::from(folder));
    PathBuf::from(folder)
}

/// A loopback address for one server alone. On Linux all of 127.0.0.0/8 is there, so nobody takes the port of a server
/// that restarts, or one that was free a moment ago; elsewhere there is only 127.0.0.1.
fn own_address() -> IpAddr {
    static SERVERS: AtomicU8 = AtomicU8::new(0);
    if !cfg!(target_os = "linux") {
        return IpAddr::V4(Ipv4Addr::LOCALHOST);
    }
    let [.., high, low] = id().to_be_bytes();
    // Never 127.0.x.x, where everybody else's servers are; and never the last address, which is a broadcast.
    let server = SERVERS.fetch_add(1, Ordering::Relaxed) % 250 + 1;
    IpAddr::V4(Ipv4Addr::new(127, high % 254 + 1, low, server))
}

/// How often other ports are tried after somebody took one between our look and the server's.
const TRIES: usize = 5;

/// Starts a server that cannot say which ports it took.
fn on_free_ports<T>(name: &str, start: impl Fn() -> Result<T, String>) -> T {
    let mut seen = String::new();
    for _ in 0..TRIES {
        match start() {
            Ok(server) => return server,
            Err(ended) if ended.contains("address already in use") => seen = ended,
            Err(ended) => panic!("start {name}: {ended}"),
        }
    }
    panic!("start {name} on free ports, {TRIES} times in vain: {seen}");
}

/// Addresses for such a server, all held until all are known, so that they differ.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let address = own_address();
    let held = [(); N].map(|()| TcpListener::bind((address, 0)).expect("a free port on loopback"));
    held.map(|listener| listener.local_addr().expect("the address of a listener"))
}
