//! What `docker compose up` starts in `deploy/compose`, started on loopback from the same command lines and configurations: the
//! simulated gateway arrives in Prometheus and Loki, whose rules are loaded, and the dashboards' queries are answered. Grafana is not run
//! (docs/dashboards.md).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::common::daemon::{PROGRAM, Sandbox};
use crate::common::real_time::{now_ms, until};
use crate::common::servers::{Loki, Prometheus, Version};
use crate::dashboards::ask::{Filling, Query, chosen, dashboards, word};
use crate::dashboards::served::{ask, values};
use crate::deploy::{commands, read};

/// What the simulated gateway has not: first what OpenClaw's own plugin sends, then what does not befall it within seconds.
const ABSENT: [&str; 17] = [
    "Context window utilisation",
    "Message throughput",
    "Queue depth",
    "Processing latency",
    "Active sessions",
    "Session states",
    "Webhook delivery status (events)",
    "Webhook outcomes",
    "Reasons",
    "Jobs by cost / wasted",
    "Budgets",
    "Tokens without a price",
    "Rejects",
    "Gaps",
    "Failed pushes",
    "Failed requests to sinks",
    "annotation",
];
const COMPOSE: &str = "deploy/compose/compose.yaml";

#[test]
fn the_simulated_gateway_arrives() {
    let of_service = commands(COMPOSE);
    let flags = flags_of_prometheus(&of_service["prometheus"]);
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/prometheus/");
    let config = read("deploy/compose/prometheus.yml").replace("/etc/prometheus/rules/", rules);
    let prometheus = Prometheus::start_with_flags(Version::V3, &config, &flags);
    assert_eq!(of_service["loki"], ["-config.file=/etc/loki/loki.yaml"]);
    let loki = Loki::start_with_config(config_of_loki);

    let sandbox = Sandbox::new();
    let mut demo = Command::new(PROGRAM);
    demo.current_dir(sandbox.path("")).env("TMPDIR", sandbox.path("")).args(
        of_service["openclaw-usage"].iter().map(|argument| {
            argument
                .replace("0.0.0.0:9464", "127.0.0.1:0")
                .replace("http://prometheus:9090", &format!("http://{}", prometheus.address()))
                .replace("http://loki:3100", &loki.url())
        }),
    );
    let process = sandbox.spawn(&mut demo);

    assert!(prometheus.rule_queries().len() > 10, "the rules of alerts/prometheus are loaded");
    until("rules in Loki", || (!loki.alerts().is_empty()).then_some(()));
    for query in [
        "sum(openclaw_tokens_total) > 0",
        "sum(openclaw_cost_usd_total) > 0",
        "sum(openclaw_cron_runs_total) > 0",
    ] {
        until(query, || (!prometheus.query(query, Some(now_ms())).is_empty()).then_some(()));
    }
    until("events of runs in Loki", || {
        let runs = loki.lines(r#"{service_name="openclaw-usage"} | event_name="openclaw.cron.run""#);
        (!runs.is_empty()).then_some(())
    });
    until("an answer to every query of dashboards that the simulated gateway can have one for", || {
        let missing = |place: &String| !ABSENT.iter().any(|part| place.contains(&format!(" / {part}")));
        let empty: Vec<String> = unanswered(&prometheus, &loki).into_iter().filter(missing).collect();
        empty.is_empty().then_some(())
    });
    assert!(process.terminate().success());
}

/// Queries of dashboards that have no answer.
fn unanswered(prometheus: &Prometheus, loki: &Loki) -> Vec<String> {
    let mut empty = Vec::new();
    for dashboard in dashboards() {
        let mut filling = Filling::default();
        for variable in dashboard.variables() {
            if let Some(values) = values(variable, &filling, prometheus).filter(|values| !values.is_empty()) {
                filling.set(word(&variable["name"]), chosen(variable, &values));
            }
        }
        let unanswered = |query: &Query| ask(query, &filling, prometheus, loki) == 0;
        empty.extend(dashboard.queries().into_iter().filter(unanswered).map(|query| query.place));
    }
    empty
}

/// Without those that name places in the container.
fn flags_of_prometheus(command: &[String]) -> Vec<&str> {
    let places = ["--config.file=", "--storage.tsdb.path="];
    let is_place = |flag: &str| places.iter().any(|place| flag.starts_with(place));
    command.iter().map(String::as_str).filter(|flag| !is_place(flag)).collect()
}

/// The same with places and addresses of this test, and ready at once.
fn config_of_loki(http: SocketAddr, grpc: SocketAddr, folder: &Path) -> String {
    let place = |inside: &str| folder.join(inside).display().to_string();
    let rules = Path::new(&place("rules/fake")).to_path_buf();
    std::fs::create_dir_all(&rules).expect("a folder for rules");
    std::fs::write(rules.join("rules.yaml"), read("alerts/loki/openclaw-usage.yaml")).expect("write rules");
    let text = read("deploy/compose/loki.yaml");
    let changes = [
        (
            "http_listen_port: 3100",
            format!("http_listen_address: {}\n  http_listen_port: {}", http.ip(), http.port()),
        ),
        (
            "grpc_listen_port: 9095",
            format!("grpc_listen_address: {}\n  grpc_listen_port: {}", grpc.ip(), grpc.port()),
        ),
        ("log_level: warn", "log_level: info".to_owned()),
        ("instance_addr: 127.0.0.1", format!("instance_addr: {}", http.ip())),
        ("path_prefix: /loki", format!("path_prefix: {}", place("data"))),
        ("/loki/chunks", place("data/chunks")),
        ("/loki/rules-temp", place("data/rules-temp")),
        ("/etc/loki/rules", place("rules")),
    ];
    let text = changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    text + "ingester: {lifecycler: {min_ready_duration: 0s, final_sleep: 0s}}\n\
            frontend: {scheduler_dns_lookup_period: 100ms}\nfrontend_worker: {dns_lookup_duration: 100ms}\n"
}
