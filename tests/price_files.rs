//! Files of prices as people and gateways leave them, under a running daemon: old prices stay in force, and the reason
//! is told.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::common::daemon::{Daemon, PROGRAM, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;

/// What nobody may see, of the configurations below and of the simulated gateway's own.
const SECRETS: [&str; 9] = [
    "sk-invented",
    "INVENTED_TOKEN",
    "invented-password",
    "invented.example",
    "sk-sim",
    "test-token",
    "hook-secret-token",
    "127.0.0.1:1/",
    "INVENTED_MODEL",
];

/// Runs a command on what a daemon works on. Returns its exit status and its words.
fn ask(sandbox: &Sandbox, command: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut asked = std::process::Command::new(PROGRAM);
    asked.env_clear().env("HOME", sandbox.path("")).args([command, "--state-dir"]).arg(sandbox.state_dir());
    let output = asked.arg("--ledger").arg(sandbox.ledger()).args(more).output().expect("run the binary");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    (output.status.code(), said.concat().split_whitespace().collect::<Vec<_>>().join(" "))
}

fn dollars(daemon: &Daemon) -> f64 {
    daemon.scrape().sum("openclaw_cost_usd_total", &[])
}

/// Writes a file and waits until the daemon says that prices can be read, or cannot.
fn write(daemon: &Daemon, file: &Path, content: &str, problem: f64) {
    fs::write(file, content).expect("a file of prices");
    until("the problem of prices", || {
        (daemon.scrape().sum("openclaw_usage_prices_problem", &[]) == problem).then_some(())
    });
}

/// Lets runs happen. They are all counted, and cost something.
fn spend(daemon: &Daemon, simulation: &mut Simulation, what: &str) {
    let before = dollars(daemon);
    simulation.pass(30_000);
    let page = daemon.until_counted(simulation.truth());
    assert!(page.sum("openclaw_cost_usd_total", &[]) > before, "{what}: the old prices are in force");
    assert_eq!(page.sum("openclaw_usage_unpriced_tokens", &[]), 0.0, "{what}");
}

#[test]
fn a_configuration_that_cannot_be_read_leaves_the_old_prices_in_force() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 91, now().plus(-400_000), false);
    simulation.pass(60_000);
    let (file, included) =
        (sandbox.state_dir().join("openclaw.json"), sandbox.state_dir().join("prices.json5"));
    let prices = fs::read_to_string(&file).expect("the gateway's configuration");
    fs::rename(&file, &included).expect("a file to include");
    // A file to include, placeholders, a provider that nobody knows with fields that nobody knows.
    let whole = "{ // by hand
        $include: './prices.json5', gateway: { auth: { token: '${INVENTED_TOKEN}', password: 'invented-password' } },
        models: { providers: { nobody: { baseUrl: 'https://invented.example/v1', apiKey: 'sk-invented', odd: [1, null],
            models: [{ id: '${INVENTED_MODEL}', cost: { input: 1 } }, { id: 'strange', cost: { input: '${INVENTED_MODEL}' } },
                { id: 'plain', cost: { input: 1.5, output: 2 } }, ], }, }, },
    }";
    fs::write(&file, whole).expect("a configuration");
    let daemon = sandbox.serve(&["--log-level", "debug"]);
    daemon.until_counted(simulation.truth());
    spend(&daemon, &mut simulation, "included");
    let mut emitted = String::new();
    let (_, listed) = ask(&sandbox, "prices", &[]);
    assert!(listed.contains("sim/sim-ok input ") && listed.contains("by openclaw.json"), "{listed}");
    assert!(listed.contains("nobody/strange") && listed.contains("has no usable name"), "named: {listed}");
    emitted.push_str(&listed);

    let large = format!("{whole}\n// sk-invented {}\n", "x".repeat(50_000_000));
    let half = &whole[..whole.len() / 2];
    for (what, content, reason) in [
        ("half written", half, "not valid JSON5"),
        ("not JSON5", "<html>sk-invented</html>", "not valid JSON5"),
        ("50 MB", &large, "is larger than"),
        ("includes nothing", "{ $include: './gone.json5' }", "an $include in it"),
    ] {
        write(&daemon, &file, content, 1.0);
        spend(&daemon, &mut simulation, what);
        let (status, checked) = ask(&sandbox, "check", &[]);
        assert_eq!(status, Some(1), "{what}: {checked}");
        assert!(checked.contains("openclaw.json:") && checked.contains(reason), "{what}: {checked}");
        let readiness = daemon.get("/readyz").text();
        assert!(readiness.contains("openclaw.json"), "{what}: {readiness}");
        emitted.push_str(&[checked, readiness, daemon.get("/metrics").text()].concat());
        write(&daemon, &file, whole, 0.0);
    }
    // The file that is included, half written; seen because the one that includes it was touched.
    fs::write(&included, &prices[..prices.len() / 2]).expect("half a file");
    write(&daemon, &file, whole, 1.0);
    spend(&daemon, &mut simulation, "the included file half written");
    fs::write(&included, &prices).expect("the whole file");
    write(&daemon, &file, whole, 0.0);
    spend(&daemon, &mut simulation, "mended");

    emitted.push_str(&daemon.terminate());
    emitted.push_str(&String::from_utf8_lossy(&fs::read(sandbox.ledger()).expect("the ledger")));
    for secret in SECRETS {
        assert!(!emitted.contains(secret), "{secret} is emitted");
    }
}

/// Entries of a catalogue as the published one has them: most say nothing of most fields, many have no price of tokens,
/// and some make no sense.
fn catalogue(models: &[(String, String)]) -> String {
    let mut entries = Map::new();
    for n in 0..3_000 {
        let mut entry = json!({ "litellm_provider": format!("provider_{}", n % 40), "mode": "chat", "max_tokens": null,
            "input_cost_per_token": 1e-6, "output_cost_per_token": null, "cache_read_input_token_cost": null,
            "output_cost_per_image": null, "supports_vision": null });
        match n % 100 {
            0 => entry["input_cost_per_token"] = json!(-1e-6),
            1..=10 => entry["input_cost_per_token"] = Value::Null,
            _ => {}
        }
        entries.insert(format!("model-{n}"), entry);
    }
    let rate = json!(2e-6);
    for (provider, model) in models {
        let entry = json!({ "litellm_provider": provider, "input_cost_per_token": rate, "output_cost_per_token": rate,
            "cache_read_input_token_cost": rate, "cache_creation_input_token_cost": rate });
        entries.insert(format!("{provider}/{model}"), entry);
    }
    Value::Object(entries).to_string()
}

#[test]
fn a_catalogue_of_3000_entries_prices_what_nothing_else_does_and_says_what_it_left_out() {
    let sandbox = Sandbox::new();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 92, now().plus(-400_000), false);
    simulation.pass(60_000);
    // The gateway has no prices.
    let file = sandbox.state_dir().join("openclaw.json");
    let text = fs::read_to_string(&file).expect("the gateway's configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let mut models = Vec::new();
    for (provider, facts) in config["models"]["providers"].as_object_mut().expect("providers") {
        for model in facts["models"].as_array_mut().expect("models") {
            models.push((provider.clone(), model["id"].as_str().expect("an id").to_owned()));
            model.as_object_mut().expect("a model").remove("cost");
        }
    }
    let without = config.to_string();
    fs::write(&file, &without).expect("a configuration without prices");
    let (prices, own) = (sandbox.path("catalogue.json"), sandbox.path("own.toml"));
    fs::write(&prices, catalogue(&models)).expect("a catalogue");
    fs::write(&own, format!("catalogue = {:?}\n", prices.to_str().expect("UTF-8"))).expect("a configuration");

    let own = ["--config", own.to_str().expect("UTF-8")];
    let daemon = sandbox.serve(&own);
    daemon.until_counted(simulation.truth());
    spend(&daemon, &mut simulation, "by the catalogue");
    let summary = format!(
        "{} prices of tokens, 300 entries without one (of images, speech and the like), 30 left out because they make \
         no sense",
        3_000 - 330 + models.len()
    );
    let (status, listed) = ask(&sandbox, "prices", &own);
    assert_eq!(status, Some(0), "{listed}");
    assert!(listed.contains(&format!("CATALOGUE {summary}")), "{listed}");
    let why = "the catalogue's entry model-0 is left out: input_cost_per_token is negative";
    assert!(listed.contains(why) && listed.contains("entry model-2900 is left out"), "{listed}");
    let (_, checked) = ask(&sandbox, "check", &own);
    assert!(checked.contains(&format!("the catalogue: {summary}; {why}")), "{checked}");
    let (_, listed) = ask(&sandbox, "prices", &[&own[..], &["--format", "json"]].concat());
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["catalogue"]["left_out"], 30);
    assert_eq!(listed["catalogue"]["notes"].as_array().map(Vec::len), Some(30));

    // Half of it; seen because the gateway's configuration was touched.
    fs::write(&prices, &catalogue(&models)[..100_000]).expect("half a catalogue");
    write(&daemon, &file, &without, 1.0);
    spend(&daemon, &mut simulation, "half a catalogue");
    let (status, checked) = ask(&sandbox, "check", &own);
    assert_eq!(status, Some(1), "{checked}");
    assert!(checked.contains("is not a JSON object of models"), "{checked}");
    daemon.terminate();
}
