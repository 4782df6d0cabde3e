//! A thousand configurations, good and bad, while runs come in.

use std::fs;

use super::replace;
use crate::common::daemon::{Daemon, Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::until;
use crate::common::receiver::{Answer, Receiver};

const CONFIGURATIONS: usize = 1_000;
/// Configurations before memory is first looked at: what is used once stays allocated.
const WARM: usize = 200;
/// How much memory may grow in the rest, in bytes: a page or two of a store of runs, and what an allocator keeps.
const GROWTH: u64 = 4 << 20;

/// What random configurations are made of.
struct Maker {
    random: fastrand::Rng,
    /// The endpoint that is in all of them.
    steady: String,
    /// URLs of endpoints that come and go: one takes, one refuses, one never answers, one is not there.
    others: [String; 4],
}

impl Maker {
    fn steady(&self) -> String {
        format!("[[otlp]]\nname = \"steady\"\nendpoint = \"{}\"\n", self.steady)
    }

    fn good(&mut self) -> String {
        let Self { random, others, .. } = self;
        let mut text = String::new();
        let mut maybe = |line: String| {
            if random.bool() {
                text += &line;
            }
        };
        maybe(format!("max_jobs = {}\n", fastrand::u8(1..)));
        maybe(format!("watch = \"{}\"\n", ["auto", "poll", "events"][fastrand::usize(..3)]));
        maybe(format!("poll_interval = \"{}ms\"\n", fastrand::u32(50..200)));
        maybe("catalogue = \"prices.json\"\n".to_owned());
        maybe(format!("[ledger]\nsynchronous = \"{}\"\n", ["normal", "full"][fastrand::usize(..2)]));
        maybe("[resource]\nservice_namespace = \"home\"\n".to_owned());
        let mut events = String::new();
        for url in others.iter() {
            if random.bool() {
                events += &format!("[[events.otlp]]\nendpoint = \"{url}\"\n");
            }
        }
        text += &format!("[events]\nmax_events = {}\n{events}", random.u32(1..1000));
        for (at, url) in others.iter().enumerate() {
            if random.bool() {
                let seconds = random.u32(1..60);
                text +=
                    &format!("[[otlp]]\nname = \"{at}\"\nendpoint = \"{url}\"\ninterval = \"{seconds}s\"\n");
            }
        }
        for at in 0..random.usize(..4) {
            let period = ["day", "week", "month"][random.usize(..3)];
            text +=
                &format!("[[budget]]\nname = \"b{at}\"\nusd = {}\nperiod = \"{period}\"\n", random.u8(1..));
        }
        for at in 0..random.usize(..4) {
            text += &format!("[[price]]\nmodel = \"m{at}*\"\ninput = {}\noutput = 2\n", random.u8(..));
        }
        text + &self.steady()
    }

    fn bad(&mut self) -> String {
        let mistake = [
            "max_job = 5\n",
            "watch = \"often\"\n",
            "[[otlp]]\n",
            "[[otlp]]\nname = \"steady\"\nendpoint = \"http://a\"\n",
            "[[otlp]]\nendpoint = \"http://a\"\nbearer_token_file = \"nowhere\"\n",
            "[[budget]]\nname = \"b\"\nusd = 1\nperiod = \"day\"\ntimezone = \"Mars/Base\"\n",
            "[log]\nlevel = \"loud\"\n",
        ];
        let good = self.good();
        match self.random.usize(..=mistake.len()) {
            // As an editor may leave it.
            at if at == mistake.len() => format!("{}[[", &good[..good.len() / 2]),
            // Tables behind keys are in their own place.
            at if mistake[at].starts_with('[') => good + mistake[at],
            at => mistake[at].to_owned() + &self.steady(),
        }
    }
}

/// Open descriptors, and resident memory in bytes.
fn footprint(daemon: &Daemon) -> (usize, u64) {
    let process = format!("/proc/{}", daemon.pid().as_raw_nonzero());
    let descriptors = fs::read_dir(format!("{process}/fd")).unwrap().count();
    let pages = fs::read_to_string(format!("{process}/statm")).unwrap();
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    (descriptors, pages * 4096)
}

#[test]
fn a_thousand_configurations_under_load_lose_nothing() {
    let sandbox = Sandbox::new();
    let steady = Receiver::willing();
    let refusing = Receiver::start(|_| Answer::Status(400));
    let silent = Receiver::start(|_| Answer::Never);
    let absent = Receiver::willing().url();
    let others = [Receiver::willing(), refusing, silent];
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(1),
        steady: steady.url(),
        others: [others[0].url(), others[1].url(), others[2].url(), absent],
    };
    let file = sandbox.path("usage.toml");
    // What both footprints are taken with.
    let plain = maker.steady();
    fs::write(&file, &plain).unwrap();
    let mut simulation = Simulation::new(&sandbox.state_dir(), 92, now(), false);
    simulation.run(0);
    let daemon = sandbox.serve(&["--config", file.to_str().unwrap()]);
    let mut seen = daemon.until_counted(simulation.truth());
    let mut read = 0;
    let mut swap = |text: &str, outcome: &str| {
        replace(&file, text);
        daemon.hang_up();
        let said = until(&format!("{outcome} of {text}"), || {
            let log = daemon.log();
            let new = &log[read..];
            let end = new.find("reason=\"SIGHUP\"").and_then(|at| Some(at + new[at..].find('\n')? + 1))?;
            read += end;
            new[..end].lines().last().map(str::to_owned)
        });
        assert!(said.contains(outcome), "{outcome} expected of {text}: {said}");
    };
    let mut start = (0, 0);
    for at in 0..CONFIGURATIONS {
        if at == WARM {
            swap(&plain, "configuration reloaded");
            start = until("the rest of what was left", || settled(&daemon));
        }
        if at % 3 == 0 {
            simulation.run(at % 2);
        }
        if at % 4 == 3 {
            swap(&maker.bad(), "configuration not reloaded");
        } else {
            swap(&maker.good(), "configuration reloaded");
        }
        if at % 100 == 0 {
            let mut now = daemon.until_counted(simulation.truth());
            now.assert_continues(&seen);
            // Sinks come and go.
            now.0.retain(|(_, labels), _| !labels.contains_key("openclaw_sink"));
            seen = now;
        }
    }
    swap(&plain, "configuration reloaded");
    daemon.until_counted(simulation.truth()).assert_continues(&seen);
    until("the totals at the endpoint that was always there", || {
        (steady.seen().count() == simulation.truth()).then_some(())
    });
    assert!(steady.seen().restarted().is_empty(), "{:?}", steady.seen().restarted());
    let end = until("the rest of what was left", || settled(&daemon));
    eprintln!("descriptors and bytes before {start:?} and after {end:?}");
    assert_eq!(end.0, start.0, "descriptors");
    assert!(end.1 < start.1 + GROWTH, "memory grew from {} to {} bytes", start.1, end.1);
    daemon.terminate();
    assert_eq!(steady.seen().count(), simulation.truth());
}

/// The footprint, once nothing but what is always there is open: tasks that were told to stop have up to 3 s.
fn settled(daemon: &Daemon) -> Option<(usize, u64)> {
    let process = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
    let links = fs::read_dir(process).unwrap().flatten().map(|entry| fs::read_link(entry.path()));
    let sockets = links.flatten().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    // The listener, a connection to the endpoint, and three ends of the pair by which signals come.
    (sockets <= 5).then(|| footprint(daemon))
}
