//! What the calls of one run add up to.

use std::collections::BTreeMap;

use super::event::{Call, End};
use crate::model::{Reason, UnixMs};

/// What one model was billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelBill {
    /// Calls that were billed.
    pub calls: u64,
    /// Of those, calls that say no cost.
    pub calls_without_cost: u64,
    /// Tokens by kind, in the order of [`TokenKind::ALL`](crate::model::TokenKind::ALL).
    pub tokens: [u64; 4],
    /// What the gateway reckoned for the others, in nano-USD.
    pub cost: u64,
}

/// What one run was billed, by provider and model. Sums stop at the largest number instead of wrapping around.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// By provider and model; the same model may have two providers.
    pub models: BTreeMap<(Option<String>, Option<String>), ModelBill>,
    /// The last call of the run itself, billed or not.
    last: Option<(UnixMs, End)>,
}

impl Bill {
    /// Adds a call; the caller sees to it that none is added twice.
    pub fn add(&mut self, call: &Call, sub_agent: bool) {
        if !sub_agent && self.last.is_none_or(|(at, _)| at <= call.asked_at) {
            self.last = Some((call.asked_at, call.end));
        }
        if !call.is_billed() {
            return;
        }
        let model = self.models.entry((call.provider.clone(), call.model.clone())).or_default();
        model.calls += 1;
        model.calls_without_cost += u64::from(call.cost.is_none());
        model.cost = model.cost.saturating_add(call.cost.unwrap_or_default());
        for (sum, count) in model.tokens.iter_mut().zip(call.tokens) {
            *sum = sum.saturating_add(count);
        }
    }

    /// Returns why the run's last call failed, if it did: 2026.2.17 to 2026.2.22 record `ok` all the same. A failure
    /// that a retry or another model made good is none, nor is one of a sub-agent.
    #[must_use]
    pub const fn failure(&self) -> Option<Reason> {
        match self.last {
            Some((_, End::Failed(reason))) => Some(reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: i64, model: &str, input: u64, cost: Option<u64>, end: End) -> Call {
        Call {
            asked_at: UnixMs(at),
            provider: None,
            model: Some(model.to_owned()),
            tokens: [input, 0, 0, 0],
            cost,
            end,
        }
    }

    #[test]
    fn calls_add_up_by_model() {
        let mut bill = Bill::default();
        bill.add(&call(1, "a", 5, Some(7), End::Completed), false);
        bill.add(&call(2, "a", u64::MAX, None, End::Completed), true);
        bill.add(&call(3, "b", 1, Some(0), End::Aborted), false);
        bill.add(&call(4, "c", 0, Some(0), End::Failed(Reason::Auth)), false);
        let models: Vec<_> = bill.models.iter().map(|((_, model), bill)| (model.as_deref(), *bill)).collect();
        let a = ModelBill { calls: 2, calls_without_cost: 1, tokens: [u64::MAX, 0, 0, 0], cost: 7 };
        let b = ModelBill { calls: 1, calls_without_cost: 0, tokens: [1, 0, 0, 0], cost: 0 };
        assert_eq!(models, [(Some("a"), a), (Some("b"), b)]);
    }

    #[test]
    fn the_last_call_of_the_run_itself_says_whether_it_failed() {
        let failed = End::Failed(Reason::ServerError);
        for (calls, expected) in [
            (vec![(1, End::Completed, false), (2, failed, false)], Some(Reason::ServerError)),
            (vec![(2, failed, false), (1, End::Completed, false)], Some(Reason::ServerError)),
            (vec![(1, failed, false), (2, End::Completed, false)], None),
            (vec![(1, End::Completed, false), (2, failed, true)], None),
            (vec![(1, failed, false), (2, End::Aborted, false)], None),
            (vec![], None),
        ] {
            let mut bill = Bill::default();
            calls.iter().for_each(|&(at, end, sub)| bill.add(&call(at, "a", 0, None, end), sub));
            assert_eq!(bill.failure(), expected, "{calls:?}");
        }
    }
}
