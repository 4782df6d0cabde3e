//! Alertmanager, and somebody whom it pages.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

use super::prometheus::listening_on;
use super::{own_address, programs};
use crate::common::http;
use crate::common::process::Process;
use crate::common::real_time::until;

/// An Alertmanager that pages at once. It ends before its folder goes.
pub struct Alertmanager {
    address: SocketAddr,
    pager: Pager,
    _process: Process,
    _folder: TempDir,
}

impl Alertmanager {
    /// Returns when it is ready.
    pub fn start() -> Self {
        let pager = Pager::start();
        let folder = TempDir::new().expect("a temporary directory");
        fs::write(folder.path().join("alertmanager.yml"), config(pager.address)).expect("write its file");
        let mut command = Command::new(programs("alertmanager").join("alertmanager"));
        command
            .current_dir(folder.path())
            .args(["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="])
            .arg(format!("--web.listen-address={}", SocketAddr::new(own_address(), 0)));
        let mut process = Process::spawn("alertmanager", &mut command, folder.path().join("log"));
        let address = process
            .wait_for_log("the address", listening_on)
            .unwrap_or_else(|ended| panic!("start an Alertmanager: {ended}"));
        until(&format!("Alertmanager is ready on {address}"), || {
            http::get(address, "/-/ready").ok().filter(|response| response.status == 200)
        });
        Self { address, pager, _process: process, _folder: folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every alert that somebody was paged for so far, by that label of it.
    pub fn paged(&self, label: &str) -> BTreeSet<(String, String)> {
        let pages = self.pager.pages.lock().expect("pages");
        let alerts = pages.iter().flat_map(|page| page["alerts"].as_array().expect("a list of alerts"));
        let firing = alerts.filter(|alert| alert["status"] == "firing");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        firing.map(|alert| (word(&alert["labels"]["alertname"]), word(&alert["labels"][label]))).collect()
    }

    /// The annotations of an alert that somebody was paged for.
    pub fn annotations(&self, alertname: &str) -> Value {
        let pages = self.pager.pages.lock().expect("pages");
        let mut alerts = pages.iter().flat_map(|page| page["alerts"].as_array().expect("a list of alerts"));
        let alert = alerts.find(|alert| alert["labels"]["alertname"] == alertname);
        alert.map_or(Value::Null, |alert| alert["annotations"].clone())
    }
}

fn config(pager: SocketAddr) -> String {
    format!(
        "route: {{receiver: pager, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: pager, webhook_configs: [{{url: \"http://{pager}/\"}}]}}]\n"
    )
}

/// Takes Alertmanager's posts.
struct Pager {
    address: SocketAddr,
    pages: Arc<Mutex<Vec<Value>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pager {
    fn start() -> Self {
        let listener = TcpListener::bind((own_address(), 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let (pages, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (taken, stop) = (Arc::clone(&pages), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A connection that breaks off is tried again by who made it.
                if let Some(page) = stream.ok().and_then(take) {
                    taken.lock().expect("pages").push(page);
                }
            }
        });
        Self { address, pages, ends, thread: Some(thread) }
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// Reads one request and answers it; `None` unless its body is JSON.
fn take(mut stream: TcpStream) -> Option<Value> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((head, body)) = parts(&request) {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok())?;
            if body.len() >= length {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .ok()?;
                return serde_json::from_slice(&body[..length]).ok();
            }
        }
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            read => request.extend_from_slice(&chunk[..read]),
        }
    }
}

fn parts(request: &[u8]) -> Option<(&str, &[u8])> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((str::from_utf8(&request[..end]).ok()?, &request[end + 4..]))
}
