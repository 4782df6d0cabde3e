//! Counts every token of OpenClaw's scheduled runs exactly once and shows it where people look.
//!
//! `ARCHITECTURE.md` has the map of the modules and the way of one run record.

pub mod backup;
pub mod bundle;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod export;
pub mod ledger;
pub mod model;
pub mod openclaw;
mod page;
pub mod price;
pub mod relay;
pub mod report;
pub mod serve;
pub mod tail;
pub mod telemetry;
