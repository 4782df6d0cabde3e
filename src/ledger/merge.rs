//! What becomes of a record whose run is known: the outcomes table as a pure function.

use super::labels::Labels;
use crate::model::{Delivery, Reason, Run, Status, Usage, UsageProvenance};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A new run.
    Inserted,
    /// A known run, nothing new.
    Duplicate,
    /// A known run, better known now.
    Updated,
    /// A known run, told differently: the first account stands.
    Conflict,
    /// Older than what retention keeps: cannot be told from what was counted and folded away.
    Expired,
}

impl Outcome {
    /// All values.
    pub const ALL: [Self; 5] =
        [Self::Inserted, Self::Duplicate, Self::Updated, Self::Conflict, Self::Expired];

    /// Returns the value of the `openclaw.outcome` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Duplicate => "duplicate",
            Self::Updated => "updated",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
        }
    }
}

/// What the ledger holds of a run, beside its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub status: Status,
    pub reason: Reason,
    pub duration_ms: Option<u64>,
    pub labels: Labels,
    pub usage: Usage,
    pub provenance: UsageProvenance,
    pub delivery: Delivery,
}

/// Merges a record into what is known. Returns the outcome; `known` changes only if it is `Updated`.
pub fn merge(known: &mut Known, run: &Run<&str>) -> Outcome {
    if known.status == Status::Unrecorded {
        return recorded(known, run);
    }
    let mut next = known.clone();
    let mut merging = Merging::default();
    // The calls of the run have told better than its record.
    let corrected = known.provenance == UsageProvenance::Transcript && known.status == Status::Error;
    if !(corrected && run.status == Status::Ok) {
        merging.value(&mut next.status, run.status, Status::Unknown);
    }
    // The reason of one end does not explain another.
    if !merging.contradicted {
        merging.reason(&mut next.reason, run.reason);
    }
    merging.delivery(&mut next.delivery, run.delivery);
    merging.option(&mut next.duration_ms, run.duration_ms);
    merging.text(&mut next.labels.agent, run.agent);
    merging.text(&mut next.labels.provider, run.provider);
    merging.text(&mut next.labels.model, run.model);
    if run.provenance > known.provenance {
        next.usage = run.usage;
        next.provenance = run.provenance;
        merging.improved = true;
    } else if run.provenance == known.provenance {
        merging.option(&mut next.usage.input, run.usage.input);
        merging.option(&mut next.usage.output, run.usage.output);
        merging.option(&mut next.usage.cache_read, run.usage.cache_read);
        merging.option(&mut next.usage.cache_write, run.usage.cache_write);
    }
    if merging.improved {
        *known = next;
        Outcome::Updated
    } else if merging.contradicted {
        Outcome::Conflict
    } else {
        Outcome::Duplicate
    }
}

/// The first record of a run that only its calls told of: all but its usage is the record's.
fn recorded(known: &mut Known, run: &Run<&str>) -> Outcome {
    if run.status == Status::Unrecorded {
        return Outcome::Duplicate;
    }
    let text = |known: &mut String, new: Option<&str>| {
        if let Some(new) = new.filter(|new| !new.is_empty()) {
            super::labels::bounded(new).clone_into(known);
        }
    };
    (known.status, known.reason, known.delivery) = (run.status, run.reason, run.delivery);
    known.duration_ms = run.duration_ms;
    text(&mut known.labels.agent, run.agent);
    text(&mut known.labels.provider, run.provider);
    text(&mut known.labels.model, run.model);
    if run.provenance > known.provenance {
        (known.usage, known.provenance) = (run.usage, run.provenance);
    }
    Outcome::Updated
}

#[derive(Default)]
struct Merging {
    improved: bool,
    contradicted: bool,
}

impl Merging {
    fn value<T: Copy + PartialEq>(&mut self, known: &mut T, new: T, unknown: T) {
        if new == unknown || *known == new {
        } else if *known == unknown {
            *known = new;
            self.improved = true;
        } else {
            self.contradicted = true;
        }
    }

    /// That a result was delivered or not says less than that a webhook was; and what a gateway says that does not wait for
    /// an answer (before 2026.8.1) says less than that the notice is here.
    fn delivery(&mut self, known: &mut Delivery, new: Delivery) {
        let is_unaware = |said| matches!(said, Delivery::NotRequested | Delivery::NotDelivered);
        if *known == Delivery::WebhookDelivered && is_unaware(new) {
        } else if new == Delivery::WebhookDelivered && is_unaware(*known) {
            *known = new;
            self.improved = true;
        } else if new.webhook().is_some() && *known == new.plain() {
            self.value(known, new, new.plain());
        } else if known.plain() != new {
            self.value(known, new, Delivery::Unknown);
        }
    }

    /// `Other` says that there was a reason, not which.
    fn reason(&mut self, known: &mut Reason, new: Reason) {
        if *known == Reason::Other && new != Reason::None {
            self.value(known, new, Reason::Other);
        } else if new != Reason::Other {
            self.value(known, new, Reason::None);
        }
    }

    fn option<T: Copy + PartialEq>(&mut self, known: &mut Option<T>, new: Option<T>) {
        self.value(known, new, None);
    }

    fn text(&mut self, known: &mut String, new: Option<&str>) {
        let new = super::labels::bounded(new.unwrap_or_default());
        if new.is_empty() || *known == new {
        } else if known.is_empty() {
            new.clone_into(known);
            self.improved = true;
        } else {
            self.contradicted = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunAt, RunKey, SessionRef, UnixMs};

    fn run() -> Run {
        Run {
            key: RunKey { job_id: "j".into(), at: RunAt::Started(UnixMs(1)) },
            recorded_at: UnixMs(2),
            status: Status::Ok,
            reason: Reason::None,
            duration_ms: Some(5),
            job_name: None,
            agent: Some("main".into()),
            provider: Some("p".into()),
            model: Some("m".into()),
            usage: Usage { input: Some(10), output: Some(2), ..Usage::default() },
            provenance: UsageProvenance::Partial,
            delivery: Delivery::Unknown,
            session: SessionRef::default(),
            next_run_at: None,
            is_announced: false,
        }
    }

    fn known(run: &Run) -> Known {
        Known {
            status: run.status,
            reason: run.reason,
            duration_ms: run.duration_ms,
            labels: Labels::of("", &run.borrowed(), super::super::JobLabel::Own, "", None),
            usage: run.usage,
            provenance: run.provenance,
            delivery: run.delivery,
        }
    }

    #[test]
    fn the_outcomes_table() {
        type Edit = fn(&mut Run);
        let cases: [(&str, Edit, Edit, Outcome); 16] = [
            ("same", |_| {}, |_| {}, Outcome::Duplicate),
            ("later ts", |_| {}, |run| run.recorded_at = UnixMs(9), Outcome::Duplicate),
            ("new knows less", |_| {}, |run| run.model = None, Outcome::Duplicate),
            (
                "new has no usage",
                |_| {},
                |run| {
                    run.usage = Usage::default();
                    run.provenance = UsageProvenance::None;
                },
                Outcome::Duplicate,
            ),
            ("missing field known", |run| run.duration_ms = None, |_| {}, Outcome::Updated),
            ("missing agent known", |run| run.agent = None, |_| {}, Outcome::Updated),
            ("unknown status known", |run| run.status = Status::Unknown, |_| {}, Outcome::Updated),
            (
                "better provenance",
                |_| {},
                |run| {
                    run.provenance = UsageProvenance::Transcript;
                    run.usage.cache_read = Some(7);
                },
                Outcome::Updated,
            ),
            (
                "worse provenance",
                |run| run.provenance = UsageProvenance::Record,
                |run| run.usage.input = Some(99),
                Outcome::Duplicate,
            ),
            (
                "a webhook named",
                |run| run.delivery = Delivery::NotDelivered,
                |run| run.delivery = Delivery::WebhookBlocked,
                Outcome::Updated,
            ),
            (
                "a webhook known",
                |run| run.delivery = Delivery::WebhookFailed,
                |run| run.delivery = Delivery::NotDelivered,
                Outcome::Duplicate,
            ),
            (
                "another end of a webhook",
                |run| run.delivery = Delivery::WebhookFailed,
                |run| run.delivery = Delivery::WebhookDelivered,
                Outcome::Conflict,
            ),
            ("other tokens", |_| {}, |run| run.usage.input = Some(99), Outcome::Conflict),
            ("other status", |_| {}, |run| run.status = Status::Error, Outcome::Conflict),
            (
                "other status with its reason",
                |_| {},
                |run| (run.status, run.reason) = (Status::Error, Reason::Interrupted),
                Outcome::Conflict,
            ),
            (
                "a reason named",
                |run| (run.status, run.reason) = (Status::Error, Reason::Other),
                |run| {
                    (run.status, run.reason) = (Status::Error, Reason::Auth);
                },
                Outcome::Updated,
            ),
        ];
        for (name, first, second, expected) in cases {
            let (mut a, mut b) = (run(), run());
            first(&mut a);
            second(&mut b);
            let mut held = known(&a);
            let before = held.clone();
            assert_eq!(merge(&mut held, &b.borrowed()), expected, "{name}");
            assert_eq!(held != before, expected == Outcome::Updated, "{name}");
            if expected == Outcome::Updated {
                assert_eq!(
                    merge(&mut held, &b.borrowed()),
                    Outcome::Duplicate,
                    "{name}: the second time changes nothing"
                );
            }
        }
    }
}
