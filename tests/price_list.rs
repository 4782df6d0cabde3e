//! `prices` as a command, and that nothing secret of the gateway's configuration leaves it by any way out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::common::daemon::{PROGRAM, Sandbox};
use crate::common::fixtures::Fixture;
use crate::common::real_time::until;

/// Runs a command of the program with nothing in its environment but HOME.
fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", home).args(arguments).output().expect("run the binary")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output")
}

/// The text without its line breaks.
fn words(output: &Output) -> String {
    stdout(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).expect("one JSON document")
}

/// A sandbox whose state directory is that of a recording, and its ledger that of a daemon which has counted it.
fn counted(name: &str, log: &mut String) -> Sandbox {
    let (fixture, sandbox) = (Fixture::unpack(name), Sandbox::new());
    fs::rename(fixture.state_dir(), sandbox.state_dir()).expect("the recording's state directory");
    let daemon = sandbox.serve(&["--log-level", "debug"]);
    until("dollars on /metrics", || {
        daemon.get("/metrics").text().contains("openclaw_cost_usd_total{").then_some(())
    });
    for page in ["/metrics", "/readyz", "/healthz", "/"] {
        log.push_str(&daemon.get(page).text());
    }
    log.push_str(&daemon.terminate());
    sandbox
}

fn list(sandbox: &Sandbox, more: &[&str]) -> Output {
    let (state, ledger) = (sandbox.state_dir(), sandbox.ledger());
    let places = [state.to_str().expect("UTF-8"), ledger.to_str().expect("UTF-8")];
    let arguments = [&["prices", "--state-dir", places[0], "--ledger", places[1]], more].concat();
    run(&sandbox.path(""), &arguments)
}

#[test]
fn every_model_that_was_used_is_listed_with_its_price_and_who_says_so() {
    let sandbox = counted("2026.9.6", &mut String::new());
    let text = list(&sandbox, &[]);
    assert_eq!(text.status.code(), Some(0), "{}", stdout(&text));
    assert!(words(&text).contains("mock/mock-ok input 3.00, output 15.00"), "{}", stdout(&text));
    assert!(words(&text).contains("by openclaw.json, metered, context of"), "{}", stdout(&text));
    let listed = parsed(&list(&sandbox, &["--format", "json"]));
    assert_eq!((&listed["schema"], &listed["ok"]), (&json!("openclaw-usage/prices/1"), &json!(true)));
    let models = listed["models"].as_array().expect("models");
    assert!(models.len() >= 2 && models.iter().all(|model| model["unpriced_tokens"] == 0), "{models:?}");

    // Our own price wins over the gateway's.
    let config = sandbox.path("own.toml");
    fs::write(
        &config,
        "[[price]]\nprovider = \"mock\"\nmodel = \"mock-*\"\ninput = 7\n[billing]\nmock = \"local\"\n",
    )
    .expect("a configuration");
    let listed = parsed(&list(&sandbox, &["--format", "json", "--config", config.to_str().expect("UTF-8")]));
    let model = listed["models"].as_array().expect("models").iter().find(|model| model["model"] == "mock-ok");
    let model = model.expect("a model");
    assert_eq!((&model["price"], &model["billing"]), (&json!("input 7.00"), &json!("local")));
    assert_eq!(model["source"], "[[price]] in line 1");
}

#[test]
fn what_has_no_price_is_named_with_the_remedy() {
    let sandbox = Sandbox::new();
    let hostile = "big\u{1b}[31m\u{202e}model";
    let model = |id: &str| json!({ "id": id, "contextWindow": 1_000_000 });
    let long = "m".repeat(150);
    let config = json!({ "models": { "providers": { "acme": { "models": [model("plain"), model("evil\u{202e}le"), model(hostile),
        model(&long), { "id": "bad", "cost": { "input": "sk-secret" } }] } } } });
    fs::create_dir_all(sandbox.state_dir()).expect("a state directory");
    let file = sandbox.state_dir().join("openclaw.json");
    fs::write(&file, config.to_string()).expect("a configuration");
    let text = list(&sandbox, &[]);
    let shown = stdout(&text);
    assert_eq!(text.status.code(), Some(1), "{shown}");
    assert_eq!(String::from_utf8_lossy(&text.stderr), "");
    let words = words(&text);
    for part in [
        "there is no ledger yet",
        "acme/plain NO PRICE metered, context of 1,000,000 tokens",
        "WITHOUT A PRICE",
        "[[price]] provider = \"acme\"",
        "NOTES",
        "acme",
    ] {
        assert!(words.contains(part), "{part:?} is not in:\n{shown}");
    }
    assert!(!shown.contains("sk-secret"), "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80 || line.contains(&long), "80 columns: {line}");
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
    }
    assert!(!sandbox.ledger().exists(), "nothing is made");

    let own = sandbox.path("own.toml");
    fs::write(&own, "[[budget]]\nname = \"ops\"\nusd = 20\nperiod = \"day\"\ntimezone = \"Europe/Berlin\"\n")
        .expect("a configuration");
    let state = sandbox.state_dir();
    let places = [&state, &own].map(|path| path.to_str().expect("UTF-8"));
    let checked =
        self::words(&run(&sandbox.path(""), &["check", "--state-dir", places[0], "--config", places[1]]));
    for part in [
        "3 models without a price, such as acme/",
        "`openclaw-usage prices` lists them",
        "left out or doubtful",
        "budget ops: 20.00 US dollars a day, which begins at midnight in Europe/Berlin",
    ] {
        assert!(checked.contains(part), "{part:?} is not in:\n{checked}");
    }

    fs::write(&file, "{ models: {").expect("half a configuration");
    let half = list(&sandbox, &[]);
    assert_eq!(half.status.code(), Some(1));
    assert!(self::words(&half).contains("PROBLEM"), "{}", stdout(&half));
    assert_eq!(list(&sandbox, &["--format", "csv"]).status.code(), Some(64));
    assert_eq!(list(&sandbox, &["--config", "nowhere.toml"]).status.code(), Some(64));
}

/// Keys, tokens and addresses of a configuration.
fn secrets(value: &Value, key: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| secrets(value, key, into)),
        Value::Array(values) => values.iter().for_each(|value| secrets(value, key, into)),
        Value::String(text)
            if ["key", "token", "url", "password", "secret"]
                .iter()
                .any(|end| key.to_ascii_lowercase().ends_with(end)) =>
        {
            into.insert(text.strip_prefix("http://").unwrap_or(text).to_owned());
        }
        _ => {}
    }
}

#[test]
fn no_secret_of_the_gateway_leaves_by_any_way_out() {
    for name in ["2026.5.28", "2026.9.6"] {
        let mut emitted = String::new();
        let sandbox = counted(name, &mut emitted);
        let file = sandbox.state_dir().join("openclaw.json");
        let text = fs::read_to_string(&file).expect("a configuration");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        let mut hidden = BTreeSet::from(["sk-mock".to_owned()]);
        secrets(&config, "", &mut hidden);
        for known in ["test-token", "hook-secret-token"] {
            assert!(hidden.contains(known) && text.contains(known), "{name}: {hidden:?}");
        }
        let places =
            [sandbox.state_dir(), sandbox.ledger()].map(|path| path.to_str().expect("UTF-8").to_owned());
        // Whole, and where a key stands in the place of a rate, and half written.
        let bad = text.replace("\"input\": 3,", "\"input\": \"sk-mock\",");
        assert_ne!(bad, text, "{name}: the bad price is in");
        for content in [&text[..], &bad[..], &text[..text.len() / 2]] {
            fs::write(&file, content).expect("a configuration");
            for more in [&[][..], &["--json"]] {
                let arguments =
                    [&["check", "--state-dir", &places[0], "--ledger", &places[1]], more].concat();
                let output = run(&sandbox.path(""), &arguments);
                emitted.push_str(&stdout(&output));
                emitted.push_str(&String::from_utf8_lossy(&output.stderr));
            }
            for format in ["table", "json"] {
                let output = list(&sandbox, &["--format", format]);
                emitted.push_str(&stdout(&output));
                emitted.push_str(&String::from_utf8_lossy(&output.stderr));
            }
            let daemon = sandbox.serve(&["--log-level", "debug"]);
            until("a sweep", || {
                daemon.get("/metrics").text().contains("openclaw_cost_usd_total{").then_some(())
            });
            let (metrics, readiness) = (daemon.get("/metrics").text(), daemon.get("/readyz").text());
            let is_half = content.len() < text.len() / 2 + 1;
            let gauge = format!("openclaw_usage_prices_problem {}\n", u8::from(is_half));
            assert!(metrics.contains(&gauge), "{name}: {gauge}");
            assert_eq!(readiness.contains("openclaw.json"), is_half, "{name}: {readiness}");
            emitted.push_str(&metrics);
            emitted.push_str(&readiness);
            emitted.push_str(&daemon.terminate());
        }
        let ledger = fs::read(sandbox.ledger()).expect("the ledger");
        emitted.push_str(&String::from_utf8_lossy(&ledger));
        for secret in &hidden {
            assert!(!emitted.contains(secret.as_str()), "{name}: {secret} is emitted");
        }
        assert!(emitted.contains("mock-ok"), "{name}: something is emitted");
    }
}
