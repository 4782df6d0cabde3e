//! What is charged, and what that comes to over time: prices are the caller's, sums are the ledger's.

use std::sync::Arc;

use crate::model::{Charge, Cost, CostProvenance, Priceable, UnixMs, Usage};

/// Returns what a usage is charged at the prices of the moment.
pub type Pricing = Arc<dyn Fn(Priceable<'_>) -> Charge + Send + Sync>;

/// By how much spending moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When the run started.
    pub at: UnixMs,
    /// Index of the labels.
    pub labels: usize,
    /// In nano-USD.
    pub nano_usd: i64,
}

/// Returns the prices of somebody who knows none.
pub(super) fn unpriced() -> Pricing {
    Arc::new(|asked| {
        let known = asked.usage != &Usage::default();
        let provenance = if known { CostProvenance::Unpriced } else { CostProvenance::None };
        Charge { cost: Cost { provenance, ..Cost::default() }, ..Charge::default() }
    })
}
