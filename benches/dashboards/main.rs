//! The dashboards on real servers that hold weeks: what their queries cost there, and how they look.
//!
//! `cargo bench --features e2e --bench dashboards -- cost` asks every query of every dashboard of a Prometheus with ninety days
//! of two hundred series, and fails on a panel that takes more than a second. `… -- pictures FOLDER` draws each dashboard into `FOLDER` and fails on a panel
//! that shows nothing; it needs Node with the packages of `dashboards/pictures`, and Chromium. The targets
//! `dashboards-pictures` and `dashboards-cost` of the Makefile call it.
//!
//! Deliberately absent: any figure that was not counted by the exporter or measured here.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "the tests' harness, which panics with what it saw"
)]

#[path = "../../tests/dashboards/ask.rs"]
#[expect(dead_code, reason = "the tests ask more")]
mod ask;
mod blocks;
#[path = "../../tests/common/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod common;
mod cost;
mod lapse;
mod office;
mod pictures;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo bench` itself adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["cost"] => cost::measure(),
        ["pictures", folder] => pictures::draw(Path::new(folder)),
        _ => {
            say("dashboards: say `cost` or `pictures FOLDER`");
            return ExitCode::from(64);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("dashboards: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the product of a bench is what it prints")]
fn say(line: &str) {
    println!("{line}");
}
