//! Notices between the receiver and the ledger: all that wait are committed together, then each is answered.

use super::core::Core;
use super::webhook::Delivery;
use crate::ledger::LedgerError;
use crate::model::UnixMs;

/// Notices that are committed together at most.
const BATCH: usize = 128;

impl Core {
    /// Commits the notices that wait and answers each. Returns whether there were any.
    ///
    /// # Errors
    /// The ledger's: those of this batch are told that they were not taken.
    pub(super) fn take_notices(
        &mut self,
        waiting: &mut Vec<Delivery>,
        now: UnixMs,
    ) -> Result<bool, LedgerError> {
        let any = !waiting.is_empty();
        while !waiting.is_empty() {
            let batch = waiting.drain(..waiting.len().min(BATCH));
            let (notices, answers): (Vec<_>, Vec<_>) =
                batch.map(|delivery| (delivery.notice, delivery.done)).unzip();
            let taken = self.ledger.take_notices(&notices, now);
            let mut receipts = taken.as_ref().map(|receipts| receipts.iter()).ok();
            for done in answers {
                // Whoever has given up in the meantime hears of it when it posts again.
                _ = done.send(receipts.as_mut().and_then(Iterator::next).copied());
            }
            taken?;
        }
        Ok(any)
    }
}
