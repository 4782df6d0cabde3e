//! Many runs with their texts in one place: no run of a history has memory of its own.

use super::{Run, RunKey, SessionRef, UnixMs};

/// Runs in the order in which they were put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    texts: String,
    runs: Vec<Run<Span>>,
}

/// One of them, whose texts are looked up when they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct PackedRun<'a> {
    texts: &'a str,
    run: &'a Run<Span>,
}

impl<'a> PackedRun<'a> {
    /// Returns the run.
    #[must_use]
    pub fn get(self) -> Run<&'a str> {
        self.run.map(|span| texts_at(self.texts, *span))
    }

    /// Returns all of it but its texts.
    #[must_use]
    pub const fn without_texts(self) -> &'a Run<Span> {
        self.run
    }
}

/// Where a text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: u32,
    until: u32,
}

impl Runs {
    /// Returns none.
    #[must_use]
    pub const fn new() -> Self {
        Self { texts: String::new(), runs: Vec::new() }
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.runs.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes all of them out. The memory stays.
    pub fn clear(&mut self) {
        self.texts.clear();
        self.runs.clear();
    }

    /// Puts a run in behind the others. Of texts that a run shares with the one before there is one copy.
    pub fn push(&mut self, run: &Run<&str>) {
        let Self { texts, runs } = self;
        let last = runs.last();
        let text = |texts: &mut String, text: &str, before: Option<Span>| match before {
            Some(before) if texts_at(texts, before) == text => before,
            _ => add(texts, text),
        };
        let mut maybe = |new: Option<&str>, before: Option<Span>| new.map(|new| text(texts, new, before));
        let session = SessionRef { id: maybe(run.session.id, None), key: maybe(run.session.key, None) };
        let others = [
            maybe(run.job_name, last.and_then(|last| last.job_name)),
            maybe(run.agent, last.and_then(|last| last.agent)),
            maybe(run.provider, last.and_then(|last| last.provider)),
            maybe(run.model, last.and_then(|last| last.model)),
        ];
        let job_id = text(texts, run.key.job_id, last.map(|last| last.key.job_id));
        runs.push(packed(run, job_id, others, session));
    }

    /// The same for a run whose job, name, provider and model are known to be those of the one that was put in last.
    pub fn push_alike(&mut self, run: &Run<&str>) {
        let Some(last) = self.runs.last() else { return self.push(run) };
        let Run { key: RunKey { job_id, .. }, job_name, agent, provider, model, .. } = *last;
        let texts = &mut self.texts;
        let mut own = |text: Option<&str>| text.map(|text| add(texts, text));
        let session = SessionRef { id: own(run.session.id), key: own(run.session.key) };
        let agent = match (run.agent, agent) {
            (Some(new), Some(before)) if texts_at(texts, before) == new => Some(before),
            (new, _) => new.map(|new| add(texts, new)),
        };
        self.runs.push(packed(run, job_id, [job_name, agent, provider, model], session));
    }

    /// Returns the identity of the run that was put in last.
    #[must_use]
    pub fn last_key(&self) -> Option<RunKey> {
        self.iter().next_back().map(|run| run.owned().key)
    }

    /// Returns the runs.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Run<&str>> + ExactSizeIterator {
        self.runs.iter().map(|run| self.run(run))
    }

    /// Returns the runs, and of each whether all that a run is counted under is what it was of the one before it: job, name,
    /// agent, provider and model.
    pub fn iter_with_kin(&self) -> impl Iterator<Item = (PackedRun<'_>, bool)> {
        let labels = |run: &Run<Span>| (run.key.job_id, run.job_name, run.agent, run.provider, run.model);
        let mut last = None;
        self.runs.iter().map(move |run| {
            let before = last.replace(labels(run));
            // Of what is shared there is one copy.
            (PackedRun { texts: &self.texts, run }, before == last)
        })
    }

    /// Returns the runs that were recorded at a time or later.
    pub fn recorded_since(&self, since: UnixMs) -> impl Iterator<Item = Run<&str>> {
        self.runs.iter().filter(move |run| run.recorded_at >= since).map(|run| self.run(run))
    }

    /// Returns the jobs, once for runs that follow each other.
    pub fn jobs(&self) -> impl Iterator<Item = &str> {
        let mut last = None;
        let jobs =
            self.runs.iter().map(|run| run.key.job_id).filter(move |job| last.replace(*job) != Some(*job));
        jobs.map(|job| texts_at(&self.texts, job))
    }

    fn run<'a>(&'a self, run: &'a Run<Span>) -> Run<&'a str> {
        run.map(|span| texts_at(&self.texts, *span))
    }
}

impl FromIterator<Run> for Runs {
    fn from_iter<I: IntoIterator<Item = Run>>(runs: I) -> Self {
        let mut packed = Self::new();
        runs.into_iter().for_each(|run| packed.push(&run.borrowed()));
        packed
    }
}

impl From<Vec<Run>> for Runs {
    fn from(runs: Vec<Run>) -> Self {
        runs.into_iter().collect()
    }
}

fn texts_at(texts: &str, span: Span) -> &str {
    texts.get(span.from as usize..span.until as usize).unwrap_or_default()
}

/// Returns a run with its texts elsewhere: its job, and name, agent, provider and model.
fn packed(
    run: &Run<&str>,
    job_id: Span,
    [job_name, agent, provider, model]: [Option<Span>; 4],
    session: SessionRef<Span>,
) -> Run<Span> {
    Run {
        key: RunKey { job_id, at: run.key.at },
        recorded_at: run.recorded_at,
        status: run.status,
        reason: run.reason,
        duration_ms: run.duration_ms,
        job_name,
        agent,
        provider,
        model,
        usage: run.usage,
        provenance: run.provenance,
        delivery: run.delivery,
        session,
        next_run_at: run.next_run_at,
        is_announced: run.is_announced,
    }
}

/// Adds a text. What lies beyond 4 GiB would be lost; a batch is read of a few MiB.
fn add(texts: &mut String, text: &str) -> Span {
    let from = texts.len();
    texts.push_str(text);
    let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    Span { from: at(from), until: at(texts.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Delivery, Reason, RunAt, Status, UnixMs, Usage, UsageProvenance};

    fn run(n: i64) -> Run {
        let text = |every: i64, what: &str| (n % every != 0).then(|| format!("{what} {}", n / every));
        Run {
            key: RunKey { job_id: format!("job {}", n / 3), at: RunAt::Started(UnixMs(n)) },
            recorded_at: UnixMs(n + 1),
            status: Status::Error,
            reason: Reason::Billing,
            duration_ms: Some(n.unsigned_abs()),
            job_name: text(2, "名前"),
            agent: text(5, ""),
            provider: text(7, "provider"),
            model: text(4, "model"),
            usage: Usage { input: Some(n.unsigned_abs()), ..Usage::default() },
            provenance: UsageProvenance::Partial,
            delivery: Delivery::Delivered,
            session: SessionRef { id: text(2, "id"), key: text(3, "key") },
            next_run_at: Some(UnixMs(n + 9)),
            is_announced: n % 2 == 0,
        }
    }

    #[test]
    fn kin_are_counted_under_the_same_labels() {
        let all: Vec<Run> = (0..100).flat_map(|n| [run(n), run(n)]).collect();
        let labels = |run: &Run| {
            let Run { key, job_name, agent, provider, model, .. } = run.clone();
            (key.job_id, job_name, agent, provider, model)
        };
        let mut packed = Runs::from(all.clone());
        let mut kin = 0;
        for (nth, (run, is_kin)) in packed.iter_with_kin().enumerate() {
            assert_eq!(run.get().owned(), all[nth]);
            assert_eq!(is_kin, nth > 0 && labels(&all[nth]) == labels(&all[nth - 1]), "{nth}");
            kin += usize::from(is_kin);
        }
        assert!((100..150).contains(&kin), "{kin}");
        packed.clear();
        assert_eq!((packed.iter_with_kin().count(), packed == Runs::new()), (0, true));
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let all: Vec<Run> = (0..100).chain(50..60).map(run).collect();
        let packed = Runs::from(all.clone());
        assert_eq!(packed.iter().map(|run| run.owned()).collect::<Vec<_>>(), all);
        let recent: Vec<Run> = all.iter().filter(|run| run.recorded_at >= UnixMs(55)).cloned().collect();
        assert_eq!(packed.recorded_since(UnixMs(55)).map(|run| run.owned()).collect::<Vec<_>>(), recent);
        let mut jobs: Vec<&str> = all.iter().map(|run| run.key.job_id.as_str()).collect();
        jobs.dedup();
        assert_eq!(packed.jobs().collect::<Vec<_>>(), jobs);
        assert_eq!((packed.len(), packed.is_empty(), Runs::new().is_empty()), (110, false, true));
        let lengths: usize = all.iter().map(|run| run.key.job_id.len()).sum();
        let twice: usize = packed.texts.matches("job ").count();
        assert!(twice < 60 && lengths > 600, "runs of one job share its id: {twice}");
    }
}
