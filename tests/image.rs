//! The container image, run as strictly as a cluster would: it exports a recorded gateway's bill to a real Prometheus.
//!
//! `make image-check` builds the image and names it in `OPENCLAW_USAGE_IMAGE`. Needs root, podman and runc.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::fixtures::Fixture;
use crate::common::real_time::{now_ms, until};
use crate::common::samples::whole;
use crate::common::servers::{Prometheus, Version};
use crate::recorded::billed::{Expected, MainSession, Tokens, plus};

/// The user of the gateway's own image, and of ours.
const USER: u32 = 1000;
/// All of the image, in bytes.
const MOST_BYTES: u64 = 12_000_000;
/// What makes podman work also without systemd, and where nobody may raise a limit.
const ANYWHERE: [&str; 5] = [
    "--runtime=runc",
    "--cgroup-manager=cgroupfs",
    "run",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
];
const CONFINED: [&str; 6] = [
    "--network=host",
    "--read-only",
    "--user=1000:1000",
    "--memory=128m",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
];

#[test]
fn it_exports_a_recorded_bill_from_a_read_only_root_without_any_right() {
    let prometheus = Prometheus::start(Version::V3, &[]);
    let fixture = Fixture::unpack("2026.9.6");
    let expected = Expected::of(&fixture, "2026.9.6", MainSession::Shared);
    let volume = TempDir::new().expect("a temporary directory");
    let ledger = volume.path().join("ledger");
    fs::create_dir(&ledger).expect("a folder for the ledger");
    for folder in [volume.path(), &fixture.path("")] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("a folder that others may enter");
    }
    give_away(&ledger);
    give_away(&fixture.state_dir());

    let container = Container::serve(&fixture.state_dir(), &ledger, &prometheus.otlp_endpoint());
    let runs = expected.runs.values().sum::<u64>();
    let tokens = of_jobs(&expected);
    assert!(runs > 0 && !tokens.is_empty());
    until("the bill in Prometheus", || {
        (stored_tokens(&prometheus) == tokens && stored_runs(&prometheus) == runs).then_some(())
    });
    assert!(ledger.join("ledger.sqlite").is_file(), "the ledger is on its volume");
    container.is_healthy();
    container.is_confined();
    container.ends();
}

#[test]
fn it_is_small_and_says_what_it_is() {
    let said = podman(&["image", "inspect", &image()]);
    let inspected = &serde_json::from_str::<Value>(&said).expect("JSON")[0];
    let bytes = inspected["Size"].as_u64().expect("a size");
    eprintln!("the image has {bytes} bytes");
    assert!(bytes <= MOST_BYTES, "the image has {bytes} bytes, more than {MOST_BYTES}");
    assert_eq!(inspected["Config"]["User"], "1000:1000");
    let (version, image) = (env!("CARGO_PKG_VERSION"), image());
    assert_eq!(inspected["Labels"]["org.opencontainers.image.version"], version);
    let program = [&ANYWHERE[..], &CONFINED[1..], &["--rm", "--network=none", &image, "--version"]].concat();
    assert_eq!(podman(&program).trim(), format!("openclaw-usage {version}"));
}

/// A budget in a time zone is understood. And a push by TLS fails for want of a server, not for want of authorities: without any,
/// no connection is tried.
#[test]
fn it_brings_time_zones_and_authorities() {
    let folder = TempDir::new().expect("a temporary directory");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
        .expect("a folder that others may enter");
    let config = "[[budget]]\nname = 'b'\nusd = 1\nperiod = 'day'\ntimezone = 'Europe/Berlin'\n\
                  [[otlp]]\nendpoint = 'https://127.0.0.1:1'\n";
    fs::write(folder.path().join("config.toml"), config).expect("write a configuration");
    let mount = format!("--volume={}:/etc/openclaw-usage:ro", folder.path().display());
    let image = image();
    let check = ["--rm", &mount, &image, "check", "--json", "--config=/etc/openclaw-usage/config.toml"];
    let (_, said) = try_podman(&[&ANYWHERE[..], &CONFINED[..], &check].concat());
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(said["configuration"].to_string().contains("Europe/Berlin"), "{said}");
    let answer = said["endpoints"][0].to_string();
    assert!(answer.contains("refused"), "{answer}");
}

/// A container that runs. Dropping it removes it.
struct Container {
    id: String,
}

impl Container {
    fn serve(state_dir: &Path, ledger: &Path, endpoint: &str) -> Self {
        let volumes = [
            format!("--volume={}:/home/node/.openclaw:ro", state_dir.display()),
            format!("--volume={}:/var/lib/openclaw-usage", ledger.display()),
        ];
        let [state, ledger] = volumes.each_ref().map(String::as_str);
        let image = image();
        // The host's network is its own, and a health check must know the port.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let listen = format!("--env=OPENCLAW_USAGE_LISTEN={}", free.expect("a free port"));
        let command = ["--detach", &listen, state, ledger, &image, "serve", "--otlp-endpoint", endpoint];
        let id = podman(&[&ANYWHERE[..], &CONFINED[..], &command].concat());
        Self { id: id.trim().to_owned() }
    }

    /// What the kernel says of its process, and the cluster's limits of it.
    fn is_confined(&self) {
        let pid = podman(&["inspect", "--format", "{{.State.Pid}}", &self.id]);
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("a running process");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).unwrap_or_else(|| panic!("{name} in {status}"))
        };
        assert_eq!(field("Uid").split_whitespace().next(), Some("1000"));
        assert_eq!(field("CapEff").trim_start_matches('0'), "");
        assert_eq!(field("CapBnd").trim_start_matches('0'), "");
        assert_eq!(field("NoNewPrivs"), "1");
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", pid.trim())).expect("its mounts");
        let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
        assert!(root.split(' ').nth(3).expect("options").starts_with("ro"), "{root}");
        eprintln!("its peak: {}", field("VmHWM"));
    }

    /// The image's own health check, by the program inside.
    fn is_healthy(&self) {
        let (is_healthy, said) = try_podman(&["healthcheck", "run", &self.id]);
        assert!(is_healthy, "{said}");
    }

    /// SIGTERM: it ends by itself, in time and with success.
    fn ends(self) {
        podman(&["stop", "--time", "10", &self.id]);
        let code = podman(&["inspect", "--format", "{{.State.ExitCode}}", &self.id]);
        assert_eq!(code.trim(), "0", "{}", podman(&["logs", &self.id]));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (_, log) = try_podman(&["logs", &self.id]);
            eprintln!("the log of the container:\n{log}");
        }
        _ = try_podman(&["rm", "--force", &self.id]);
    }
}

/// What `make image-check` has built.
fn image() -> String {
    std::env::var("OPENCLAW_USAGE_IMAGE")
        .expect("the image's name in OPENCLAW_USAGE_IMAGE: run `make image-check`")
}

/// What podman printed. Panics if it failed.
fn podman(arguments: &[&str]) -> String {
    let (success, said) = try_podman(arguments);
    assert!(success, "podman {arguments:?}: {said}");
    said
}

fn try_podman(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("podman").args(arguments).output().expect("run podman");
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Makes the image's user the owner of a folder and of all in it.
fn give_away(path: &Path) {
    chown(path, Some(USER), Some(USER)).expect("root may give a file away");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            give_away(&entry.expect("an entry").path());
        }
    }
}

fn of_jobs(expected: &Expected) -> BTreeMap<String, Tokens> {
    let mut jobs = BTreeMap::new();
    for ((job, _), tokens) in &expected.tokens {
        let sum = jobs.entry(job.clone()).or_default();
        *sum = plus(*sum, *tokens);
    }
    jobs
}

fn stored_tokens(prometheus: &Prometheus) -> BTreeMap<String, Tokens> {
    let mut jobs: BTreeMap<String, Tokens> = BTreeMap::new();
    let query = "sum by (openclaw_job_id, openclaw_token) (openclaw_tokens_total)";
    for (labels, value) in prometheus.query(query, Some(now_ms())) {
        let kind = ["input", "output", "cache_read", "cache_write"]
            .iter()
            .position(|kind| *kind == labels["openclaw_token"]);
        jobs.entry(labels["openclaw_job_id"].clone()).or_default()[kind.expect("a kind")] = whole(value);
    }
    jobs.retain(|_, tokens| *tokens != [0; 4]);
    jobs
}

fn stored_runs(prometheus: &Prometheus) -> u64 {
    let runs = prometheus.query("sum(openclaw_cron_runs_total)", Some(now_ms()));
    runs.first().map_or(0, |(_, value)| whole(*value))
}
