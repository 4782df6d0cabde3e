//! Relays and digests, from the real process to services that enforce their documented limits.

mod digests;
mod reloads;
mod secrets;
mod service;

use std::fs;
use std::io::{Read, Write};
use std::process::Command;

use serde_json::Value;

use self::service::{Limits, Request, Service, reply};
use crate::common::daemon::{Daemon, PROGRAM, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;

/// A configuration file, and a file with the URL of each relay.
struct Setup {
    sandbox: Sandbox,
    config: String,
}

impl Setup {
    fn new() -> Self {
        Self { sandbox: Sandbox::new(), config: String::new() }
    }

    /// Adds a relay to that place of a service.
    fn relay(mut self, name: &str, kind: &str, url: &str, more: &str) -> Self {
        fs::write(self.sandbox.path(&format!("{name}.url")), url).expect("a file with a URL");
        self.config.push_str(&format!(
            "[[relay]]\nname = '{name}'\nkind = '{kind}'\nurl_file = '{name}.url'\n{more}\n"
        ));
        self
    }

    fn path(&self) -> String {
        let path = self.sandbox.path("openclaw-usage.toml");
        fs::write(&path, &self.config).expect("a configuration");
        path.display().to_string()
    }

    fn command(&self) -> Command {
        self.sandbox.command(&["--config", &self.path()])
    }

    fn serve(&self) -> Daemon {
        self.sandbox.serve_command(&mut self.command())
    }

    /// Runs `relay` with these arguments: its status and all that it said.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(PROGRAM)
            .env_clear()
            .env("HOME", self.sandbox.path(""))
            .current_dir(self.sandbox.path(""))
            .args(["relay", "--config", &self.path(), "--ledger"])
            .arg(self.sandbox.ledger())
            .args(arguments)
            .output()
            .expect("the program");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A gateway whose runs are recorded from now on.
    fn gateway(&self, seed: u64) -> Simulation {
        Simulation::with_jobs(&self.sandbox.state_dir(), seed, now().plus(5_000), false, 4)
    }
}

/// What an event is known by.
fn id(request: &Request) -> String {
    request.json()["event"]["openclaw.event.id"].as_str().expect("an id").to_owned()
}

fn url(service: &Service, path: &str) -> String {
    format!("http://{}{path}", service.address)
}

/// Every kind of service gets every run, in the same order, within its limits and without a mention, whatever names and
/// summaries hold.
#[test]
fn every_service_gets_every_run_in_order() {
    let kinds: [(&str, Limits, &str); 7] = [
        ("http", service::anything, "hmac_key_file = 'key'\ntoken_file = 'token'\ninclude_summary = true"),
        ("discord", service::discord, "include_summary = true"),
        ("slack", service::slack, "include_summary = true"),
        ("telegram", service::telegram, "chat = '-100123'\ninclude_summary = true"),
        ("teams", service::teams, "include_summary = true"),
        ("ntfy", service::ntfy, "include_summary = true"),
        ("mattermost", service::mattermost, "include_summary = true"),
    ];
    let mut setup = Setup::new();
    fs::write(setup.sandbox.path("key"), "hunter2\n").unwrap();
    fs::write(setup.sandbox.path("token"), "open-sesame\n").unwrap();
    let services: Vec<Service> = kinds.iter().map(|(_, limits, _)| Service::willing(*limits)).collect();
    for ((kind, _, more), service) in kinds.iter().zip(&services) {
        setup = setup.relay(kind, kind, &url(service, "/topic"), more);
    }
    let mut simulation = setup.gateway(81);
    let daemon = setup.serve();
    for job in [0, 1, 2, 0] {
        simulation.run(job);
        simulation.pass(1_000);
    }
    daemon.until_counted(simulation.truth());
    let runs = usize::try_from(simulation.truth().runs).unwrap();
    for (service, (kind, ..)) in services.iter().zip(&kinds) {
        until(&format!("{runs} messages to {kind}: {:?}", service.complaints()), || {
            (service.taken().len() >= runs).then_some(())
        });
        assert_eq!(service.complaints(), Vec::<String>::new(), "{kind}");
    }
    let [http, discord, slack, telegram, teams, ntfy, mattermost] = services.as_slice() else { panic!() };
    let titles: Vec<String> = http
        .taken()
        .iter()
        .map(|request| request.json()["text"].as_str().unwrap().split(" · ").next().unwrap().to_owned())
        .collect();
    let ids: std::collections::BTreeSet<String> = http.taken().iter().map(id).collect();
    assert_eq!((ids.len(), titles.len()), (runs, runs), "each run once");
    let title = |service: &Service, of: fn(&Value) -> String| -> Vec<String> {
        service.taken().iter().map(|request| of(&request.json()).replace('\\', "")).collect()
    };
    assert_eq!(title(discord, |body| body["content"].as_str().unwrap().to_owned()), titles);
    assert_eq!(title(slack, |body| body["blocks"][0]["text"]["text"].as_str().unwrap().to_owned()), titles);
    let first_line = |body: &Value| body["text"].as_str().unwrap().lines().next().unwrap().to_owned();
    assert_eq!(title(telegram, first_line), titles);
    let card = |body: &Value| {
        let title = &body["attachments"][0]["content"]["body"][0]["inlines"][0]["text"];
        title.as_str().unwrap().to_owned()
    };
    assert_eq!(title(teams, card), titles);
    assert_eq!(title(ntfy, |body| body["title"].as_str().unwrap().to_owned()), titles);
    let bold = |body: &Value| body["text"].as_str().unwrap().lines().next().unwrap().replace("**", "");
    assert_eq!(title(mattermost, bold), titles);
    for request in http.taken() {
        assert_eq!(request.headers["authorization"], "Bearer open-sesame");
        let seconds = &request.headers["x-openclaw-usage-timestamp"];
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hunter2");
        let signed = [seconds.as_bytes(), b".", &request.body].concat();
        let hex = request.headers["x-openclaw-usage-signature"].strip_prefix("sha256=").unwrap();
        let tag: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        ring::hmac::verify(&key, &signed, &tag).expect("a signature of time and body");
        assert_eq!(request.headers["x-openclaw-usage-id"], id(&request));
    }
    until("empty queues", || (daemon.scrape().sum("openclaw_usage_relay_queued", &[]) == 0.0).then_some(()));
    let samples = daemon.scrape();
    let sent = samples.sum("openclaw_usage_relay_sent_total", &[("openclaw_relay", "slack")]);
    assert_eq!(sent, f64::from(u32::try_from(runs).unwrap()));
    daemon.terminate();
}

/// The service has a message and the daemon is killed before it learns so: it is sent again, the same in every byte, and
/// no other is left out or overtakes it.
#[test]
fn a_kill_between_sending_and_the_answer_loses_nothing() {
    let (arrived, kill) = std::sync::mpsc::channel::<()>();
    let arrived = std::sync::Mutex::new(arrived);
    let service = Service::start(service::anything, move |_, nth| {
        if nth % 2 == 1 {
            // Never answered in time: the daemon is killed meanwhile.
            _ = arrived.lock().unwrap().send(());
            std::thread::park_timeout(std::time::Duration::from_millis(400));
        }
        reply(200, "ok")
    });
    let setup = Setup::new().relay("r", "http", &url(&service, "/hook"), "");
    let mut simulation = setup.gateway(82);
    let mut daemon = setup.serve();
    for round in 0..4 {
        simulation.run(round % 4);
        simulation.pass(1_000);
        simulation.run((round + 1) % 4);
        simulation.pass(1_000);
        kill.recv_timeout(std::time::Duration::from_secs(60)).expect("a message that is not answered");
        daemon.kill();
        daemon = setup.serve();
    }
    let runs = usize::try_from(simulation.truth().runs).unwrap();
    let mut order: Vec<String> = Vec::new();
    let mut bodies: std::collections::BTreeMap<String, Vec<u8>> = std::collections::BTreeMap::new();
    until("all runs at the service", || {
        let ids: std::collections::BTreeSet<String> = service.taken().iter().map(id).collect();
        (ids.len() == runs).then_some(())
    });
    let mut again = 0;
    for request in service.taken() {
        let id = id(&request);
        match bodies.insert(id.clone(), request.body.clone()) {
            Some(before) => {
                assert_eq!(before, request.body, "what is sent again is the same");
                again += 1;
            }
            None => order.push(id),
        }
    }
    assert!(again >= 1, "a message that was not acknowledged is sent again");
    let queued = until("the order of the outbox", || {
        let sent = daemon.scrape().sum("openclaw_usage_relay_sent_total", &[]);
        (sent == f64::from(u32::try_from(runs).unwrap())).then_some(order.len())
    });
    assert_eq!(queued, runs);
    daemon.terminate();
}

/// What a service refuses for good is kept, listed, and sent again when somebody asks for it; what comes behind it is not
/// held up.
#[test]
fn dead_letters_are_listed_and_sent_again() {
    let service = Service::start(service::anything, |_, nth| match nth {
        0 => reply(404, "Cannot POST /hook/topsecret"),
        1 => reply(429, "slow down").with("retry-after", "1"),
        _ => reply(200, "ok"),
    });
    let setup = Setup::new().relay("r", "http", &url(&service, "/hook/topsecret"), "");
    let mut simulation = setup.gateway(83);
    let daemon = setup.serve();
    for job in 0..3 {
        simulation.run(job);
        simulation.pass(1_000);
    }
    let runs = usize::try_from(simulation.truth().runs).unwrap();
    until("all messages but the refused one", || (service.taken().len() == runs - 1).then_some(()));
    until("the last one settled", || {
        (daemon.scrape().sum("openclaw_usage_relay_queued", &[]) == 0.0).then_some(())
    });
    let samples = daemon.scrape();
    assert_eq!(samples.sum("openclaw_usage_relay_dead_total", &[("openclaw_reason", "refused")]), 1.0);
    assert_eq!(samples.sum("openclaw_usage_relay_retries_total", &[]), 1.0, "429 is tried again");
    let (ok, listed) = setup.run(&["dead"]);
    assert!(ok && listed.contains("refused (HTTP 404)") && listed.contains("1 in all"), "{listed}");
    let (ok, json) = setup.run(&["dead", "--format", "json"]);
    let letters: Value = serde_json::from_str(&json).unwrap();
    let number = letters[0]["id"].as_u64().expect("a number").to_string();
    assert!(ok && letters[0]["http_status"] == 404, "{json}");
    let (ok, said) = setup.run(&["retry", "999"]);
    assert!(!ok && said.contains("no message that was given up has the number 999"), "{said}");
    let (ok, said) = setup.run(&["retry", &number]);
    assert!(ok && said == "Put back into the queues: 1.\n", "{said}");
    until("the last message", || (service.taken().len() == runs).then_some(()));
    assert_eq!(setup.run(&["dead"]), (true, "No message was given up.\n".to_owned()));
    let log = daemon.terminate();
    assert!(log.contains("a message was given up: HTTP 404; `openclaw-usage relay dead`"), "{log}");
}

/// `relay retry` without a daemon: the next one does it.
#[test]
fn what_is_asked_for_without_a_daemon_is_done_by_the_next_one() {
    let service = Service::start(service::anything, |_, nth| reply(if nth == 0 { 410 } else { 200 }, ""));
    let setup = Setup::new().relay("r", "http", &url(&service, "/hook"), "");
    let mut simulation = setup.gateway(84);
    let daemon = setup.serve();
    simulation.run(0);
    simulation.pass(1_000);
    until("a refused message", || {
        (daemon.scrape().sum("openclaw_usage_relay_dead_kept", &[]) == 1.0).then_some(())
    });
    daemon.terminate();
    let taken = service.taken().len();
    let (ok, said) = setup.run(&["retry", "--all"]);
    assert!(ok && said.starts_with("Noted for 1"), "{said}");
    let (ok, said) = setup.run(&["retry", "--all"]);
    assert!(!ok && said.contains("still waits for `serve`"), "{said}");
    let daemon = setup.serve();
    until("the message", || (service.taken().len() == taken + 1).then_some(()));
    daemon.terminate();
}

/// Without a state directory a gateway's own webhooks are what is passed on, with what runs say if that is asked for.
#[test]
fn a_notice_becomes_a_message() {
    let service = Service::willing(service::anything);
    let setup = Setup::new().relay("r", "http", &url(&service, "/hook"), "include_summary = true");
    fs::write(setup.sandbox.path("tokens"), "hook-token\n").unwrap();
    let mut command = Command::new(PROGRAM);
    command.current_dir(setup.sandbox.path("")).args(["serve", "--no-state-dir", "--listen", "127.0.0.1:0"]);
    command.args([
        "--config",
        &setup.path(),
        "--webhook-listen",
        "127.0.0.1:0",
        "--webhook-token-file",
        "tokens",
    ]);
    command.arg("--ledger").arg(setup.sandbox.ledger());
    let daemon = setup.sandbox.serve_command(&mut command);
    let log = daemon.log();
    let address =
        log.split_once("taking webhooks address=").expect("a receiver").1.split_whitespace().next().unwrap();
    let body = serde_json::json!({
        "jobId": "weather", "action": "finished", "status": "ok", "summary": "It will rain.",
        "runAtMs": now().0, "durationMs": 1_500, "model": "m", "provider": "p",
        "usage": {"input_tokens": 10, "output_tokens": 2},
    })
    .to_string();
    let mut stream = std::net::TcpStream::connect(address).expect("the receiver");
    let head = "POST /webhook/cron HTTP/1.1\r\nhost: x\r\nauthorization: Bearer hook-token\r\n\
                content-type: application/json\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    until("the message", || (service.taken().len() == 1).then_some(()));
    let told = service.taken()[0].json();
    assert_eq!(
        (&told["event"]["openclaw.job.id"], &told["summary"]),
        (&"weather".into(), &"It will rain.".into())
    );
    daemon.terminate();
}

#[test]
fn what_cannot_be_a_relay_is_refused_at_the_start_and_by_check() {
    let setup = Setup::new().relay("r", "http", "http://127.0.0.1:9/x", "template = '{\"a\": {{ job }'");
    let says = "relay r: the template cannot be used: ";
    let (status, log) = setup.sandbox.refused_command(&mut setup.command());
    assert!(status == Some(64) && log.contains(says), "{status:?} {log}");
    let (ok, said) = setup.run(&["test", "r"]);
    assert!(!ok && said.contains(says), "{said}");
    let mut check = Command::new(PROGRAM);
    check.env_clear().env("HOME", setup.sandbox.path("")).args([
        "check",
        "--json",
        "--config",
        &setup.path(),
    ]);
    let report: Value = serde_json::from_slice(&check.output().expect("check").stdout).expect("a report");
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|finding| finding["text"].as_str().is_some_and(|text| text.starts_with(says)))
    );
}

#[test]
fn a_test_message_says_whether_the_service_takes_it() {
    let slack = Service::willing(service::slack);
    let gone = Service::start(service::slack, |_, _| reply(404, "no_service"));
    let setup = Setup::new().relay("team", "slack", &url(&slack, "/services/T0/B0/secret"), "").relay(
        "gone",
        "slack",
        &url(&gone, "/services/T0/B0/secret"),
        "",
    );
    assert_eq!(
        setup.run(&["test", "team"]),
        (true, "relay team: its service took a test message\n".to_owned())
    );
    assert!(slack.taken()[0].json()["text"].as_str().unwrap().contains("Test of this relay"));
    let (ok, said) = setup.run(&["test", "gone"]);
    assert!(!ok && said.contains("HTTP 404 (no_service)") && !said.contains("services/T0"), "{said}");
    let (ok, said) = setup.run(&["test", "tema"]);
    assert!(!ok && said.contains("there are: team, gone"), "{said}");
}
