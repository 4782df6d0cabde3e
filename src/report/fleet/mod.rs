//! The report of a fleet: what all gateways that push to a Prometheus used and cost, out of its counters.
//!
//! Each figure is the exact growth of a counter over a window (`docs/metrics.md`), one question per family and window,
//! so a row's numbers are those of a ledger's report wherever a run was counted in the window in which it started.
//! What counters cannot tell is absent: single runs, the number of runs without a price, a trend.
//!
//! Pure: questions are texts, answers are bytes. Deliberately absent: the network (`command`).

mod answer;
mod gather;
mod identity;
mod promql;
mod span;

pub use answer::{Answer, Refusal, Sample, read};
pub use gather::{Gathering, count, fleet_report};
pub use identity::{Identity, Unfound, discovery, identify};
pub use promql::{Family, Question, fallen, label, questions, seen_late};
pub use span::{Span, pieces};
