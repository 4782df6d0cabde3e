//! A relay's URL is a secret, and leads nowhere else.

use super::*;

/// Nothing that the program writes or serves holds a part of a URL, a token or a key, whatever the service answers.
#[test]
fn no_secret_is_in_a_log_a_metric_the_ledger_or_an_error() {
    const SECRETS: [&str; 4] = ["T0PSECRETPATH", "T0PSECRETQUERY", "T0PSECRETTOKEN", "T0PSECRETKEY"];
    let place = "/hooks/T0PSECRETPATH?key=T0PSECRETQUERY";
    // As many web frameworks do, it says what it was asked for.
    let echo = Service::start(service::anything, move |request, nth| {
        let said = format!("Cannot POST {} {:?}", request.path, request.headers);
        reply([404, 500, 400, 403, 200][nth.min(4)], said)
    });
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}{place}", nobody.local_addr().unwrap());
    drop(nobody);
    let more = "token_file = 'token'\nhmac_key_file = 'key'";
    let setup = Setup::new()
        .relay("echo", "http", &url(&echo, place), more)
        .relay("closed", "discord", &closed, "")
        .relay("unknown", "slack", &format!("http://t0psecretpath.invalid{place}"), "");
    fs::write(setup.sandbox.path("token"), SECRETS[2]).unwrap();
    fs::write(setup.sandbox.path("key"), SECRETS[3]).unwrap();
    let mut simulation = setup.gateway(85);
    let mut command = setup.command();
    command.args(["--log-level", "trace"]);
    let daemon = setup.sandbox.serve_command(&mut command);
    for job in 0..4 {
        simulation.run(job);
        simulation.pass(1_000);
    }
    until("three dead letters", || {
        (daemon.scrape().sum("openclaw_usage_relay_dead_total", &[]) >= 3.0).then_some(())
    });
    let failed = |relay: &str| {
        daemon.scrape().sum("openclaw_usage_relay_failures_total", &[("openclaw_relay", relay)]) >= 1.0
    };
    until("failures of the others", || (failed("closed") && failed("unknown")).then_some(()));
    let mut said = vec![daemon.get("/metrics").text(), daemon.get("/readyz").text()];
    let (_, dead) = setup.run(&["dead"]);
    let (_, json) = setup.run(&["dead", "--format", "json"]);
    let tests: Vec<String> = ["echo", "closed", "unknown"].map(|name| setup.run(&["test", name]).1).into();
    let mut check = Command::new(PROGRAM);
    check.env_clear().env("HOME", setup.sandbox.path("")).current_dir(setup.sandbox.path(""));
    check.args(["check", "--config", &setup.path(), "--state-dir"]).arg(setup.sandbox.state_dir());
    let check = check.output().expect("check");
    said.extend([dead, json, String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned()]);
    assert!(said.last().unwrap().contains("relay.echo.url"), "check shows that there is one: {said:?}");
    said.extend(tests);
    said.push(daemon.terminate());
    let folder = setup.sandbox.ledger();
    for entry in fs::read_dir(folder.parent().unwrap()).unwrap().flatten() {
        said.push(String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned());
    }
    assert!(said.len() > 8);
    for text in &said {
        for secret in SECRETS {
            assert!(!text.to_ascii_uppercase().contains(secret), "{secret} in {text}");
        }
    }
    assert!(!echo.taken().is_empty(), "the service had them");
}

/// Redirects are not followed, wherever they lead, and no proxy of the environment is used.
#[test]
fn messages_go_nowhere_but_to_the_url() {
    let inside = Service::willing(service::anything);
    let target = url(&inside, "/admin");
    let service = Service::start(service::anything, move |_, nth| match nth {
        0..4 => reply([301, 302, 307, 308][nth], "").with("location", target.clone()),
        _ => reply(200, "ok"),
    });
    let setup = Setup::new().relay("r", "http", &url(&service, "/hook"), "");
    let mut simulation = setup.gateway(86);
    let mut command = setup.command();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, format!("http://{}", inside.address));
    }
    let daemon = setup.sandbox.serve_command(&mut command);
    for round in 0..5 {
        simulation.run(round % 4);
        simulation.pass(1_000);
    }
    until("the message behind four redirects", || (!service.taken().is_empty()).then_some(()));
    until("four dead letters", || {
        (daemon.scrape().sum("openclaw_usage_relay_dead_kept", &[]) == 4.0).then_some(())
    });
    let (_, listed) = setup.run(&["dead"]);
    assert!(listed.contains("refused (HTTP 301)") && listed.contains("refused (HTTP 308)"), "{listed}");
    daemon.terminate();
    assert!(inside.taken().is_empty(), "nothing came to where the redirects and the proxy led");
}

/// What runs said, as their records hold it.
fn said(setup: &Setup) -> Vec<String> {
    let mut said = Vec::new();
    for entry in fs::read_dir(setup.sandbox.state_dir().join("cron/runs")).expect("run logs").flatten() {
        for line in fs::read_to_string(entry.path()).expect("a run log").lines() {
            let record: Value = serde_json::from_str(line).expect("a record");
            let text = record["summary"].as_str().unwrap_or_default().trim();
            said.extend((text.len() > 12).then(|| text.to_owned()));
        }
    }
    said
}

/// What runs say goes to the relays that ask for it and nowhere else, and is gone when they have it.
#[test]
fn what_runs_say_goes_to_relays_that_ask_for_it_and_is_gone_then() {
    let (with, without) = (Service::willing(service::anything), Service::willing(service::anything));
    let setup = Setup::new().relay("with", "http", &url(&with, "/a"), "include_summary = true").relay(
        "without",
        "http",
        &url(&without, "/b"),
        "",
    );
    let mut simulation = setup.gateway(87);
    let mut command = setup.command();
    command.args(["--log-level", "trace", "--events", "stdout"]);
    let output = setup.sandbox.path("events");
    let daemon = setup.sandbox.serve_apart(&mut command, &output);
    for job in 0..4 {
        simulation.run(job);
        simulation.pass(1_000);
    }
    let runs = usize::try_from(simulation.truth().runs).unwrap();
    until("all messages", || (with.taken().len() == runs && without.taken().len() == runs).then_some(()));
    until("empty queues", || (daemon.scrape().sum("openclaw_usage_relay_queued", &[]) == 0.0).then_some(()));
    let said = said(&setup);
    assert!(said.len() >= 2, "{said:?}");
    let passed_on: Vec<String> = with
        .taken()
        .iter()
        .filter_map(|request| request.json()["summary"].as_str().map(str::to_owned))
        .collect();
    for text in &said {
        assert!(passed_on.contains(text), "{text} in {passed_on:?}");
    }
    let mut elsewhere =
        vec![daemon.get("/metrics").text(), daemon.terminate(), fs::read_to_string(&output).unwrap()];
    elsewhere
        .extend(without.taken().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()));
    for entry in fs::read_dir(setup.sandbox.ledger().parent().unwrap()).unwrap().flatten() {
        elsewhere.push(String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned());
    }
    for place in &elsewhere {
        for text in &said {
            assert!(!place.contains(&text[..12]), "{text:?} in {}", &place[..place.len().min(2_000)]);
        }
    }
}
