//! Finding the points because of which a server refuses a request.
//!
//! A server that refuses one point takes none of its request. The request is split, and its halves are sent,
//! until the refused points stand alone; everything else arrives, once. When one half was taken, the other is
//! known to be bad and is split without being sent. Invariants: a point is never sent again after it was
//! taken; the extra requests never exceed the budget. Deliberately absent: what a point is.

use std::ops::Range;

use super::outcome::Outcome;
use crate::telemetry::ExportFailure;

/// Extra requests that one push may spend on refusals.
pub(crate) const BUDGET: u32 = 64;

/// What became of the points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered<T> {
    /// Points in requests that were taken.
    pub taken: usize,
    /// Points that are refused alone, with the server's words.
    pub refused: Vec<(T, String)>,
    /// Points that share a refused request but could not be looked at alone within the budget.
    pub undecided: usize,
    /// The server's words about them.
    pub undecided_message: Option<String>,
    /// Points that a successful answer reported as not taken, and its words.
    pub partial: Option<(u64, String)>,
}

/// The endpoint cannot take anything now; the rest was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    pub after_ms: Option<u64>,
    pub failure: ExportFailure,
    pub message: String,
}

struct Part {
    range: Range<usize>,
    /// The server's words when it refused the whole that this is a part of; `None` for the request itself.
    refusal: Option<String>,
    /// Whether this is the second half of what was split.
    second: bool,
    /// Whether the refused point is known to be in here.
    bad: bool,
}

/// Sends `items`, in parts where that is needed. Extra requests are taken from `budget`.
pub(crate) async fn deliver<T, F>(
    items: &[T],
    budget: &mut u32,
    mut send: impl FnMut(&[T]) -> F,
) -> Result<Delivered<T>, Halt>
where
    T: Copy,
    F: Future<Output = Outcome>,
{
    let mut result =
        Delivered { taken: 0, refused: Vec::new(), undecided: 0, undecided_message: None, partial: None };
    let mut stack = vec![Part { range: 0..items.len(), refusal: None, second: false, bad: false }];
    while let Some(part) = stack.pop() {
        let length = part.range.len();
        if let Some(refusal) = &part.refusal {
            if part.bad && length > 1 && *budget > 0 {
                split(&mut stack, part.range, refusal);
                continue;
            }
            if *budget == 0 {
                result.undecided += length;
                result.undecided_message = part.refusal;
                continue;
            }
            *budget -= 1;
        }
        let outcome = send(&items[part.range.clone()]).await;
        if matches!(outcome, Outcome::Taken | Outcome::Partial { .. }) {
            result.taken += length;
            // The other half of a first half is what lies next on the stack.
            if part.refusal.is_some()
                && !part.second
                && let Some(other) = stack.last_mut()
            {
                other.bad = true;
            }
        }
        match outcome {
            Outcome::Taken => {}
            Outcome::Partial { rejected, message } => {
                let so_far = result.partial.take().map_or(0, |(rejected, _)| rejected);
                result.partial = Some((so_far.saturating_add(rejected), message));
            }
            Outcome::Refuse { message, .. } if length <= 1 => {
                result.refused.extend(items[part.range].iter().map(|item| (*item, message.clone())));
            }
            Outcome::Refuse { message, .. } => split(&mut stack, part.range, &message),
            Outcome::Retry { after_ms, failure, message } => {
                return Err(Halt { after_ms, failure, message });
            }
        }
    }
    Ok(result)
}

fn split(stack: &mut Vec<Part>, range: Range<usize>, refusal: &str) {
    let middle = range.start + range.len() / 2;
    let part = |range, second| Part { range, refusal: Some(refusal.to_owned()), second, bad: false };
    stack.push(part(middle..range.end, true));
    stack.push(part(range.start..middle, false));
}

#[cfg(test)]
#[path = "tests/bisect.rs"]
mod tests;
