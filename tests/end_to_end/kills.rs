//! kill -9 of ours, again and again, while a fast gateway runs and pushes are under way.

use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::real_time::now_ms;
use crate::common::servers::{Prometheus, Version};

use super::{PUSHED, assert_no_resets, growth, last, until_stored};

#[test]
fn kills_at_random_with_prometheus_2() {
    kills_at_random(Version::V2, 61);
}

#[test]
fn kills_at_random_with_prometheus_3() {
    kills_at_random(Version::V3, 62);
}

fn kills_at_random(version: Version, seed: u64) {
    let prometheus = Prometheus::start(version, &[]);
    let (sandbox, mut rng, begun) = (Sandbox::new(), fastrand::Rng::with_seed(seed), now_ms());
    let mut simulation = Simulation::new(&sandbox.state_dir(), seed, now().plus(-600_000), true);
    let mut seen = 0;
    for _ in 0..25 {
        let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
        // The looks at both take the time in which pushes happen: the next one comes 250 ms after the last.
        for _ in 0..rng.u32(0..12) {
            simulation.pass(rng.i64(50..800));
            for _ in 0..rng.u32(0..8) {
                daemon.scrape();
                last(&prometheus, PUSHED);
            }
        }
        daemon.kill();
        let stored = last(&prometheus, PUSHED).runs;
        assert!((seen..=simulation.truth().runs).contains(&stored), "{stored} runs after {seen}");
        seen = stored;
    }
    let daemon = sandbox.serve(&["--otlp-endpoint", &prometheus.otlp_endpoint()]);
    until_stored(&prometheus, simulation.truth());
    daemon.terminate();
    assert_eq!(last(&prometheus, PUSHED), simulation.truth());
    let at = now_ms();
    assert_eq!(growth(&prometheus, at, at - begun + 20_000), simulation.truth(), "no first value was lost");
    assert_no_resets(&prometheus);
    assert!(simulation.truth().runs > 100, "{:?}", simulation.truth());
}
