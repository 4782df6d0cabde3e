//! Digests: once for each period, also after restarts.

use super::*;

use openclaw_usage::ledger::{Ledger, OpenOptions};

const DAY_MS: i64 = 86_400_000;

/// `HH:MM` of a time, in UTC.
fn wall(at_ms: i64) -> String {
    let minute = at_ms.rem_euclid(DAY_MS) / 60_000;
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The daemon was down when the digest was due: the next one posts it, once, with what happened the day before; and one
/// that is new in the configuration begins with the next period.
#[test]
fn a_digest_that_was_missed_is_posted_once() {
    let service = Service::willing(service::discord);
    let plain = Service::willing(service::anything);
    let at = wall(now().0);
    let setup = Setup::new()
        .relay("chat", "discord", &url(&service, "/api/webhooks/1/x"), "events = []")
        .relay("plain", "http", &url(&plain, "/hook"), "events = []");
    let digests = format!(
        "[[digest]]\nrelay = 'chat'\nevery = 'day'\nat = '{at}'\n[[digest]]\nrelay = 'plain'\nevery = 'day'\nat = '{at}'\n\
         [[digest]]\nname = 'new'\nrelay = 'plain'\nevery = 'day'\nat = '{at}'\n"
    );
    let setup = Setup { config: format!("{}{digests}", setup.config), ..setup };
    // Yesterday at noon, whatever the time is now.
    let midnight = now().0 - now().0.rem_euclid(DAY_MS);
    let noon = openclaw_usage::model::UnixMs(midnight - DAY_MS / 2);
    let mut simulation = Simulation::with_jobs(&setup.sandbox.state_dir(), 91, noon, false, 3);
    for job in 0..3 {
        simulation.run(job);
        simulation.pass(1_000);
    }
    let runs = simulation.truth().runs;
    // What an earlier daemon left: the digests of the day before that were posted.
    fs::create_dir_all(setup.sandbox.ledger().parent().unwrap()).unwrap();
    let options = OpenOptions { gateway: None, max_jobs: 500, full_sync: false };
    let mut ledger = Ledger::open(&setup.sandbox.ledger(), &options, now()).unwrap().ledger;
    for name in ["chat day", "plain day"] {
        ledger.post_digest(name, midnight / DAY_MS - 1, None, now()).unwrap();
    }
    drop(ledger);
    let daemon = setup.serve();
    until("a digest to each relay", || {
        (service.taken().len() == 1 && plain.taken().len() == 1).then_some(())
    });
    assert_eq!(service.complaints(), Vec::<String>::new());
    let told = service.taken()[0].json();
    let title = told["content"].as_str().unwrap().replace('\\', "");
    assert!(title.contains(&format!(": {runs} runs")), "{title}");
    let table = told["embeds"][0]["description"].as_str().unwrap().to_owned();
    assert!(
        table.starts_with("```\n") && table.contains("gateway openclaw") && table.contains("total"),
        "{table}"
    );
    let event = plain.taken()[0].json()["event"].clone();
    assert!(event["markdown"].as_str().unwrap().contains("| ---: |"), "{event}");
    assert_eq!(event["event.name"], "openclaw.usage.digest");
    // Acknowledged: what was not would be sent again.
    until("both noted", || {
        (daemon.scrape().sum("openclaw_usage_relay_sent_total", &[]) == 2.0).then_some(())
    });
    daemon.kill();
    let daemon = setup.serve();
    daemon.until_counted(simulation.truth());
    until("an empty queue", || {
        (daemon.scrape().sum("openclaw_usage_relay_queued", &[]) == 0.0).then_some(())
    });
    daemon.terminate();
    assert_eq!((service.taken().len(), plain.taken().len()), (1, 1), "not again, and nothing of the new one");
}
