//! Counts every token of OpenClaw's scheduled runs exactly once and shows it where people look.
//!
//! `ARCHITECTURE.md` has the map of the modules and the way of one run record.

pub mod cli;
pub mod config;
pub mod export;
pub mod model;
pub mod telemetry;
