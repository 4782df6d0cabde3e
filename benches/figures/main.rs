//! Measures the figures of `docs/performance.md` on this machine and holds them against their goals.
//!
//! `cargo bench` measures all, `cargo bench -- NAME…` the sections with these names. A section that falls
//! short says so and fails nothing: a figure is worth as much as the machine was idle. Where a figure is
//! about the process, it is taken from the real binary as a child with an empty environment.

mod append;
mod budgets;
mod catch_up;
#[path = "../../tests/webhooks/client.rs"]
#[expect(dead_code, reason = "the tests also look at answers")]
mod client;
mod corpus;
mod daemon;
mod database;
#[path = "../../tests/common/http.rs"]
#[cfg_attr(feature = "e2e", expect(dead_code, reason = "the tests also post"))]
mod http;
mod idle;
mod measure;
mod push;
mod queryable;
mod renames;
mod report;
mod scan;
mod size;
mod table;
mod transcripts;
mod webhook;

use std::process::ExitCode;

use table::Table;

/// What went wrong while measuring.
type Failure = Box<dyn std::error::Error>;

/// Measures one group of figures.
type Section = fn(&mut Table) -> Result<(), Failure>;

const SECTIONS: [(&str, Section); 13] = [
    ("catch-up", catch_up::measure),
    ("append", append::measure),
    ("idle", idle::measure),
    ("database", database::measure),
    ("renames", renames::measure),
    ("push", push::measure),
    ("queryable", queryable::measure),
    ("transcripts", transcripts::measure),
    ("report", report::measure),
    ("budgets", budgets::measure),
    ("scan", scan::measure),
    ("webhook", webhook::measure),
    ("size", size::measure),
];

fn main() -> ExitCode {
    // `cargo bench` itself adds `--bench`.
    let names: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let Some(unknown) = names.iter().find(|name| SECTIONS.iter().all(|(known, _)| known != name)) {
        let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        table::say(&format!("no section {unknown:?}; there are {}", known.join(", ")));
        return ExitCode::from(64);
    }
    let mut table = Table::default();
    let mut status = ExitCode::SUCCESS;
    for (name, section) in SECTIONS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        table::say(&format!("measuring {name} …"));
        if let Err(error) = section(&mut table) {
            table::say(&format!("{name} could not be measured: {error}"));
            status = ExitCode::FAILURE;
        }
    }
    table.print();
    status
}
