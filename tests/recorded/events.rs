//! One event for each run of a recording, which says what was counted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::common::fixtures::Fixture;

#[test]
fn events_tell_of_every_run_what_was_counted() {
    for name in RECORDINGS.iter().chain(&DATABASES) {
        let fixture = Fixture::unpack(name);
        let mut counting = Counting::of(&fixture.state_dir());
        counting.sweep();
        let events: Vec<Value> =
            counting.events().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(u64::try_from(events.len()).unwrap(), counting.summary().runs, "{name}");
        let messages: BTreeSet<&str> = events.iter().filter_map(|event| event["message"].as_str()).collect();
        assert_eq!(messages.len(), events.len(), "{name}: no message comes twice");
        let sum = |key: &str| -> u64 { events.iter().filter_map(|event| event[key].as_u64()).sum() };
        let told = ["input", "output", "cache_read", "cache_write"]
            .map(|kind| sum(&format!("openclaw.tokens.{kind}")));
        assert_eq!(told, counting.summary().tokens, "{name}");
        assert!(events.iter().all(|event| event["event.name"] == "openclaw.cron.run"), "{name}");

        // Told again from the start, after a restart: the same, and nothing new for what is read again.
        let before = counting.events();
        counting.restart();
        counting.sweep();
        assert_eq!(counting.events(), before, "{name}");
    }
}
