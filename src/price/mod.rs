//! What tokens cost: prices of several sources in one book, costs with their provenance, budgets.
//!
//! Invariants: plain functions of their arguments, integers throughout, exact until one rounding at the end of
//! each call. What is not known is never 0: a model without a price is unpriced, a kind of tokens without a rate
//! makes a lower bound. Deliberately absent: who asks when, what was spent before, and any network; and OpenClaw's
//! files, which become [`PriceEntry`](crate::model::PriceEntry)s elsewhere.

mod billing;
mod book;
mod budget;
mod catalogue;
mod cost;
mod pattern;
mod zone;

#[cfg(test)]
mod tests;

pub use billing::BillingRules;
pub use book::{Conflict, Effective, InForce, Lookups, PriceBook};
pub use budget::{BudgetClock, BudgetError, Expected, Matcher, PeriodBounds, Rhythm, RunLabels, project};
pub use catalogue::{Catalogue, CatalogueError, MAX_NAMED, parse_catalogue, read_catalogue};
pub use cost::{CostTooLarge, Extent, cost};
pub use pattern::Pattern;
