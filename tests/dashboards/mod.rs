//! The committed dashboards: what each of them asks is there, and says what the ledger says.
//!
//! | Module | What it holds the dashboards to |
//! |---|---|
//! | `ask` | their queries and variables, filled in as Grafana does |
//! | `names` | every metric and label named is in the catalogue |
//! | `judges` | the generator, its strict reader and Grafana's linter, which also refuse what is wrong |
//! | `served` | every query has an answer on real servers; figures are those of `report` |
//!
//! Deliberately absent: drawing. No Grafana is run here.

pub mod ask;
#[cfg(feature = "e2e")]
mod feed;
#[cfg(feature = "e2e")]
mod judges;
mod names;
#[cfg(feature = "e2e")]
pub mod served;
