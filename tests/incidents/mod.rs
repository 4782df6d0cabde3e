//! What goes wrong at a gateway, and who is told.
//!
//! `film`: simulated hours of a gateway, minute by minute, under the committed rules and Prometheus's own engine.
//! `prometheus`, `loki`: the real daemon, real servers, and a page at the end.

mod film;
mod loki;
mod prometheus;

use std::fs;
use std::path::Path;

/// A committed file of rules in which minutes are seconds, where a rule says how long something must hold and how often it is
/// looked at. What it looks at stays as it is.
fn hurried(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let seconds = |line: &str| {
        let (key, value) = line.split_once(": ")?;
        let number = value.strip_suffix('m')?.parse::<u32>().ok()?;
        let is_time = matches!(key.trim(), "for" | "interval");
        is_time.then(|| format!("{key}: {}s", if key.trim() == "interval" { 1 } else { number }))
    };
    let hurried: Vec<String> =
        text.lines().map(|line| seconds(line).unwrap_or_else(|| line.to_owned())).collect();
    assert_ne!(text.trim_end(), hurried.join("\n"), "{file} says how long");
    hurried.join("\n") + "\n"
}
