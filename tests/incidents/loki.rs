//! What gateways' logs said, through the real daemon and a real Loki with its ruler to a real Alertmanager, and a page.
//!
//! Recorded lines are replayed as if they had been said in the last minute, since Loki looks at the time of what happened.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use openclaw_usage::demo::{Gateway, Incident, Options};
use serde_json::{Value, json};

use super::hurried;
use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::fixtures::Fixture;
use crate::common::real_time::{now_ms, until};
use crate::common::servers::{Alertmanager, Loki};

const MINUTE: i64 = 60_000;

/// The alerts of `alerts/loki`.
const ALERTS: [&str; 6] = [
    "OpenClawWebhookDeliveryFailed",
    "OpenClawRunsFailing",
    "OpenClawJobAutoDisabled",
    "OpenClawRunInterrupted",
    "OpenClawScheduleError",
    "OpenClawProviderRefuses",
];

/// What OpenClaw 2026.9.6 says in the place of what was recorded; no recording has these.
const NOT_RECORDED: [(&str, &str); 2] = [
    ("ERROR", "cron: auto-disabled job after consecutive run failures"),
    ("WARN", "cron: failed to compute next run for job (skipping)"),
];

/// The recorded lines of a 2026.9.6 that was restarted in the midst of runs.
fn recorded() -> Vec<Value> {
    let fixture = Fixture::unpack("logs/recorded");
    let text = fs::read_to_string(fixture.path("stage3-9.6/openclaw.log")).expect("a recorded log");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Whether the scheduler complains in a line.
fn is_complaint(line: &Value) -> bool {
    let level = line["_meta"]["logLevelName"].as_str().unwrap_or_default();
    matches!(level, "WARN" | "ERROR") && line.to_string().contains("cron")
}

/// Writes lines as if they had been said in the last minute, in their order.
fn replay(lines: Vec<Value>, log: &Path) {
    let first = now().plus(-MINUTE).0;
    let mut text = String::new();
    for (at, mut line) in (first..).zip(lines) {
        let date = jiff::Timestamp::from_millisecond(at).expect("a time of today").to_string();
        line["time"] = json!(date);
        line["_meta"]["date"] = json!(date);
        text.push_str(&format!("{line}\n"));
    }
    fs::create_dir_all(log.parent().expect("its folder")).expect("a folder of logs");
    fs::write(log, text).expect("write a log");
}

/// A gateway at which runs fail and whose log is the recorded one, with what no recording has.
fn sick(sandbox: &Sandbox, log: &Path) -> Gateway {
    let start = now().plus(-40 * MINUTE);
    let mut gateway = healthy(sandbox, start);
    gateway.suffer(Incident::Failing, start.plus(28 * MINUTE)).expect("an incident");
    gateway.step(start.plus(40 * MINUTE)).expect("twelve minutes more");
    let mut lines = recorded();
    let complaint = lines.iter().find(|line| is_complaint(line) && line["1"]["jobId"].is_string());
    let complaint = complaint.expect("a complaint of a job").clone();
    for (level, words) in NOT_RECORDED {
        let mut said = complaint.clone();
        (said["2"], said["message"]) = (json!(words), json!(words));
        said["_meta"]["logLevelName"] = json!(level);
        lines.push(said);
    }
    replay(lines, log);
    gateway
}

fn healthy(sandbox: &Sandbox, start: openclaw_usage::model::UnixMs) -> Gateway {
    let options = Options { start, seed: 24, ..Options::healthy() };
    let mut gateway = Gateway::new(&sandbox.state_dir(), options).expect("a simulated gateway");
    gateway.step(start.plus(28 * MINUTE)).expect("half an hour");
    gateway
}

/// Starts the daemon, which reads that log.
fn serve(sandbox: &Sandbox, log: &Path, name: &str, sink: &str) -> Daemon {
    let mut command = sandbox.command(&["--gateway", name, "--events", sink]);
    command.env("OPENCLAW_USAGE_GATEWAY_LOG", log);
    sandbox.serve_apart(&mut command, &sandbox.path("stdout"))
}

/// The whole lines of its standard output, with their own times, as what collects them reads those (docs/events.md).
fn lines(sandbox: &Sandbox) -> Vec<(u64, String)> {
    let text = fs::read_to_string(sandbox.path("stdout")).expect("standard output");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let timed = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("a line of JSON");
        let at: jiff::Timestamp = event["timestamp"].as_str().expect("a time").parse().expect("a time");
        (u64::try_from(at.as_nanosecond()).expect("a time of this century"), line.to_owned())
    };
    whole.lines().map(timed).collect()
}

#[test]
fn every_alert_on_events_pages_somebody_whichever_way_they_came() {
    let alertmanager = Alertmanager::start();
    let loki = Loki::start_with_rules(&hurried("loki/openclaw-usage.yaml"), alertmanager.address());
    let endpoint = loki.otlp_endpoint();
    let [by_otlp, by_lines, well] = [Sandbox::new(), Sandbox::new(), Sandbox::new()];
    let log = |sandbox: &Sandbox| sandbox.path("logs/openclaw.log");

    // First those at which nothing is wrong: a gateway whose recorded log has no complaint of its scheduler, and others in
    // the same namespace, whose users write what they like.
    let gateway = healthy(&well, now().plus(-28 * MINUTE));
    let lines_of_a_day = recorded().into_iter().filter(|line| !is_complaint(line)).collect::<Vec<_>>();
    assert!(lines_of_a_day.len() > 100);
    replay(lines_of_a_day, &log(&well));
    let daemon = serve(&well, &log(&well), "well", &endpoint);
    let namespace = ("namespace", "openclaw");
    let foreign = [
        "2026-11-21T12:00:00.000Z [gateway] cron: webhook delivery failed".to_owned(),
        json!({ "message": "webhook delivery failed", "event": { "name": "openclaw.cron.job_auto_disabled" },
                "text": "{\"event.name\":\"openclaw.cron.webhook_delivery_failed\"}" })
        .to_string(),
        "event_name=\"openclaw.cron.webhook_delivery_failed\" {".to_owned(),
    ];
    let foreign: Vec<_> = (now_ms() * 1_000_000..).zip(foreign).collect();
    loki.push(&[namespace, ("container", "gateway")], &foreign);
    let runs = r#"sum(count_over_time({service_name="openclaw-usage"} | openclaw_gateway="well" [1d]))"#;
    let truth = gateway.bill().runs();
    #[expect(clippy::cast_precision_loss, reason = "a small number of runs")]
    until(&format!("{truth} events of a healthy gateway"), || {
        (loki.number(runs) >= truth as f64).then_some(())
    });
    until("rules that were evaluated", || {
        let alerts = loki.alerts();
        (alerts.len() == ALERTS.len() && alerts.iter().all(|[_, _, health]| health == "ok")).then_some(())
    });
    assert!(loki.alerts().iter().all(|[_, state, _]| state == "inactive"), "{:?}", loki.alerts());
    daemon.terminate();

    let gateway = sick(&by_otlp, &log(&by_otlp));
    let daemon = serve(&by_otlp, &log(&by_otlp), "by-otlp", &endpoint);
    let piped_gateway = sick(&by_lines, &log(&by_lines));
    let piped = serve(&by_lines, &log(&by_lines), "by-lines", "stdout");
    let expected = usize::try_from(piped_gateway.bill().runs()).expect("a number of runs");
    let told = until("an event of every run and of the log", || {
        let told = lines(&by_lines);
        let of_runs = told.iter().filter(|(_, line)| line.contains("\"openclaw.cron.run\"")).count();
        (of_runs >= expected && told.len() > of_runs + NOT_RECORDED.len()).then_some(told)
    });
    loki.push(&[namespace, ("container", "openclaw-usage")], &told);
    let pages: BTreeSet<(String, String)> = ALERTS
        .iter()
        .flat_map(|alert| ["by-otlp", "by-lines"].map(|gateway| ((*alert).to_owned(), gateway.to_owned())))
        .collect();
    until(
        &format!("pages of {pages:?}, and there were {:?}", alertmanager.paged("openclaw_gateway")),
        || (alertmanager.paged("openclaw_gateway") == pages).then_some(()),
    );
    let said = alertmanager.annotations("OpenClawWebhookDeliveryFailed");
    assert_eq!(said["runbook_url"], "docs/runbooks/OpenClawWebhookDeliveryFailed.md");
    assert_eq!(said["summary"], "A result was not delivered to its webhook.");

    // The query that OpenClaw's operators have already.
    let found = loki.lines(r#"{namespace="openclaw"} |= "webhook delivery failed""#);
    let ours =
        found.iter().filter(|line| line.text.contains("\"openclaw.cron.webhook_delivery_failed\"")).count();
    let recorded = recorded().iter().filter(|line| line["2"] == "cron: webhook delivery failed").count();
    assert_eq!((ours, recorded > 0), (recorded, true), "{found:?}");
    for (query, runbook) in queries() {
        assert!(!loki.lines(&query).is_empty(), "{runbook} finds nothing with {query}");
    }
    drop(gateway);
    daemon.terminate();
    piped.terminate();
}

/// Every query of Loki in a runbook.
fn queries() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("runbooks") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a runbook");
        for block in text.split("```logql\n").skip(1) {
            let (query, _) = block.split_once("\n```").expect("the end of a block");
            found.push((query.to_owned(), path.display().to_string()));
        }
    }
    assert!(found.len() >= ALERTS.len(), "{found:?}");
    found
}
