//! What rows are made by: dimensions, and the small numbers that stand for their values while runs are added up.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{ReportError, Zone};
use crate::ledger::UsageReader;
use crate::model::{Period, Status, UnixMs};
use crate::price::BudgetClock;

/// What rows are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The job.
    Job,
    /// The model, without its provider.
    Model,
    /// The provider.
    Provider,
    /// The agent.
    Agent,
    /// The gateway.
    Gateway,
    /// How the run ended.
    Status,
    /// The local day.
    Day,
    /// The local week, from Monday.
    Week,
    /// The local month.
    Month,
    /// Each run by itself; goes with no other.
    Run,
}

impl Dimension {
    /// Those that a report can be grouped by, with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("job", Self::Job),
        ("model", Self::Model),
        ("provider", Self::Provider),
        ("agent", Self::Agent),
        ("gateway", Self::Gateway),
        ("status", Self::Status),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
    ];

    /// Returns the dimension of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, dimension)| *dimension)
    }

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("run", |(name, _)| name)
    }

    /// Returns the names of what a group tells of it.
    #[must_use]
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Job => &["job_id", "job_name"],
            Self::Model => &["model"],
            Self::Provider => &["provider"],
            Self::Agent => &["agent"],
            Self::Gateway => &["gateway"],
            Self::Status => &["status"],
            Self::Day => &["day"],
            Self::Week => &["week"],
            Self::Month => &["month"],
            Self::Run => &["run_at_ms", "job_id", "job_name", "agent", "provider", "model", "status"],
        }
    }

    /// Returns whether it divides time.
    #[must_use]
    pub const fn is_period(self) -> bool {
        self.period().is_some()
    }

    pub(super) const fn period(self) -> Option<Period> {
        match self {
            Self::Day => Some(Period::Day),
            Self::Week => Some(Period::Week),
            Self::Month => Some(Period::Month),
            _ => None,
        }
    }
}

/// One field of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// Not known.
    Unknown,
    /// A time.
    Time(UnixMs),
    /// A text, verbatim.
    Text(String),
}

impl Cell {
    fn of(text: &str) -> Self {
        if text.is_empty() { Self::Unknown } else { Self::Text(text.to_owned()) }
    }

    /// Returns the text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// What a part of a run belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Index of the job.
    pub job: usize,
    /// Index of the labels.
    pub labels: usize,
    /// How the run ended.
    pub status: Status,
    /// When it started.
    pub at: UnixMs,
    /// What tells runs apart that started in the same millisecond.
    pub run: i64,
}

/// The numbers of one set of labels.
#[derive(Clone, Copy, Debug)]
struct LabelIds {
    job: usize,
    agent: i64,
    provider: i64,
    model: i64,
}

/// The texts of a ledger, and a number for each.
pub(super) struct Names {
    /// The gateways: the ledger's own first, then those that post to it.
    gateways: Vec<String>,
    /// The index of each job's.
    of_job: Vec<usize>,
    texts: Vec<String>,
    labels: Vec<LabelIds>,
    /// Id and name of each job: those of the ledger, then what folded runs are labelled with.
    pub jobs: Vec<(String, String)>,
}

impl Names {
    pub fn of(usage: &UsageReader<'_>) -> Self {
        let mut jobs: Vec<(String, String)> =
            usage.jobs.iter().map(|job| (job.job_id.clone(), job.name.clone())).collect();
        let mut gateways = vec![usage.gateway.clone()];
        let mut gateway = |name: &str| {
            // One of the ledger's own has no name in its rows.
            let known =
                if name.is_empty() { Some(0) } else { gateways.iter().position(|known| known == name) };
            known.unwrap_or_else(|| {
                gateways.push(name.to_owned());
                gateways.len() - 1
            })
        };
        let mut of_job: Vec<usize> = usage.jobs.iter().map(|job| gateway(&job.gateway)).collect();
        let mut job_ids: HashMap<(usize, String), usize> =
            jobs.iter().zip(&of_job).enumerate().map(|(at, ((id, _), of))| ((*of, id.clone()), at)).collect();
        let (mut texts, mut ids) = (Vec::new(), HashMap::new());
        let mut number = |text: &str| {
            *ids.entry(text.to_owned()).or_insert_with(|| {
                texts.push(text.to_owned());
                id(texts.len() - 1)
            })
        };
        let mut labels = Vec::with_capacity(usage.labels.len());
        for set in &usage.labels {
            let of = gateway(&set.gateway);
            let job = *job_ids.entry((of, set.job_id.clone())).or_insert_with(|| {
                jobs.push((set.job_id.clone(), String::new()));
                of_job.push(of);
                jobs.len() - 1
            });
            if jobs[job].1.is_empty() {
                // A job that was deleted before its name was read has it in its records at most.
                jobs[job].1.clone_from(&set.job_name);
            }
            labels.push(LabelIds {
                job,
                agent: number(&set.agent),
                provider: number(&set.provider),
                model: number(&set.model),
            });
        }
        Self { gateways, of_job, texts, labels, jobs }
    }

    /// Returns the gateway that runs a job.
    pub fn gateway_of_job(&self, job: usize) -> &str {
        let of = self.of_job.get(job).copied().unwrap_or(0);
        self.gateways.get(of).map_or("", String::as_str)
    }

    /// Returns the job that folded runs with these labels belong to.
    pub fn job_of_labels(&self, labels: usize) -> usize {
        self.labels.get(labels).map_or(usize::MAX, |ids| ids.job)
    }

    /// Returns provider and model of labels.
    pub fn model_of_labels(&self, labels: usize) -> (&str, &str) {
        self.labels.get(labels).map_or(("", ""), |ids| (self.text(ids.provider), self.text(ids.model)))
    }

    /// Returns the agent of labels.
    pub fn agent_of_labels(&self, labels: usize) -> &str {
        self.labels.get(labels).map_or("", |ids| self.text(ids.agent))
    }

    fn text(&self, id: i64) -> &str {
        usize::try_from(id).ok().and_then(|at| self.texts.get(at)).map_or("", String::as_str)
    }

    fn job_cells(&self, job: usize) -> [Cell; 2] {
        self.jobs.get(job).map_or([Cell::Unknown, Cell::Unknown], |(id, name)| [Cell::of(id), Cell::of(name)])
    }
}

fn id(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Turns places into keys and keys into cells.
#[derive(Clone)]
pub(super) struct Grouping<'a> {
    names: &'a Names,
    by: &'a [Dimension],
    periods: Vec<Option<Periods>>,
    /// What of a place decides on its group, beside its time.
    by_job: bool,
    by_labels: bool,
    by_status: bool,
}

impl<'a> Grouping<'a> {
    pub fn new(names: &'a Names, by: &'a [Dimension], zone: &Zone) -> Result<Self, ReportError> {
        let periods = by
            .iter()
            .map(|dimension| dimension.period().map(|period| Periods::new(period, zone)).transpose());
        let uses = |dimensions: &[Dimension]| by.iter().any(|by| dimensions.contains(by));
        Ok(Self {
            names,
            by,
            periods: periods.collect::<Result<_, _>>()?,
            by_job: uses(&[Dimension::Job, Dimension::Gateway]),
            by_labels: uses(&[Dimension::Model, Dimension::Provider, Dimension::Agent]),
            by_status: uses(&[Dimension::Status]),
        })
    }

    /// Returns whether each run is a group.
    pub fn is_by_run(&self) -> bool {
        self.by.contains(&Dimension::Run)
    }

    /// Returns the job that folded runs with these labels belong to.
    pub fn job_of_labels(&self, labels: usize) -> usize {
        self.names.job_of_labels(labels)
    }

    /// Returns what of a place decides on its group, beside its time: the rest is the same for all.
    pub fn deciding(&self, place: &Place) -> (usize, usize, Status) {
        (
            if self.by_job { place.job } else { 0 },
            if self.by_labels { place.labels } else { 0 },
            if self.by_status { place.status } else { Status::Unknown },
        )
    }

    /// Returns the first millisecond, and the one after the last, around the place that a key was made of last, whose
    /// places differ from it in nothing but what [`deciding`](Self::deciding) tells.
    pub fn span(&self) -> (i64, i64) {
        let spans = self.periods.iter().flatten().map(|periods| periods.last);
        spans.fold((i64::MIN, i64::MAX), |(from, until), last| (from.max(last.0), until.min(last.1)))
    }

    /// Writes the key of the group that a place belongs to into `key`.
    pub fn key(&mut self, place: &Place, key: &mut Vec<i64>) {
        key.clear();
        let labels = self.names.labels.get(place.labels);
        for (dimension, periods) in self.by.iter().zip(&mut self.periods) {
            let job = id(place.job);
            match dimension {
                Dimension::Job => key.push(job),
                Dimension::Model => key.push(labels.map_or(-1, |ids| ids.model)),
                Dimension::Provider => key.push(labels.map_or(-1, |ids| ids.provider)),
                Dimension::Agent => key.push(labels.map_or(-1, |ids| ids.agent)),
                Dimension::Gateway => key.push(id(self.names.of_job.get(place.job).copied().unwrap_or(0))),
                Dimension::Status => key.push(place.status as i64),
                Dimension::Day | Dimension::Week | Dimension::Month => {
                    key.push(periods.as_mut().map_or(0, |periods| periods.start(place.at)));
                }
                Dimension::Run => key.extend([place.run, job]),
            }
        }
    }

    /// Returns the cells of a key; `first` is a place in its group.
    pub fn cells(&self, key: &[i64], first: &Place) -> Vec<Cell> {
        let mut cells = Vec::new();
        let text = |id: i64| Cell::of(self.names.text(id));
        let start = |periods: &Option<Periods>, id| {
            periods.as_ref().map_or(Cell::Unknown, |periods| Cell::Text(periods.label(UnixMs(id))))
        };
        for ((dimension, periods), id) in self.by.iter().zip(&self.periods).zip(key) {
            match dimension {
                Dimension::Job => cells.extend(self.names.job_cells(first.job)),
                Dimension::Model | Dimension::Provider | Dimension::Agent => cells.push(text(*id)),
                Dimension::Gateway => cells.push(Cell::of(self.names.gateway_of_job(first.job))),
                Dimension::Status => cells.push(Cell::of(first.status.as_str())),
                Dimension::Day | Dimension::Week | Dimension::Month => cells.push(start(periods, *id)),
                Dimension::Run => {
                    let (provider, model) = self.names.model_of_labels(first.labels);
                    cells.push(Cell::Time(first.at));
                    cells.extend(self.names.job_cells(first.job));
                    cells.push(Cell::of(self.names.agent_of_labels(first.labels)));
                    cells.extend([Cell::of(provider), Cell::of(model), Cell::of(first.status.as_str())]);
                }
            }
        }
        cells
    }
}

/// Periods of one kind in one zone, each found once.
#[derive(Clone)]
pub(super) struct Periods {
    period: Period,
    zone: Zone,
    clock: BudgetClock,
    known: BTreeMap<i64, i64>,
    /// The one that was asked for last.
    last: (i64, i64),
}

impl Periods {
    pub fn new(period: Period, zone: &Zone) -> Result<Self, ReportError> {
        let clock = BudgetClock::new(period, zone.name()).map_err(|_| ReportError::Flag {
            flag: "--tz",
            value: zone.name().to_owned(),
            expected: "the IANA name of a time zone",
        })?;
        Ok(Self { period, zone: zone.clone(), clock, known: BTreeMap::new(), last: (0, 0) })
    }

    /// Returns the first millisecond of the period that a time lies in.
    fn start(&mut self, at: UnixMs) -> i64 {
        self.bounds(at).0
    }

    /// Returns the first millisecond of the period that a time lies in, and the first after it.
    pub fn bounds(&mut self, at: UnixMs) -> (i64, i64) {
        if (self.last.0..self.last.1).contains(&at.0) {
            return self.last;
        }
        let known = self.known.range(..=at.0).next_back().filter(|(_, end)| at.0 < **end);
        self.last = match known {
            Some((start, end)) => (*start, *end),
            None => {
                // Times beyond the calendar share one period.
                let found =
                    self.clock.period_of(at).map_or((at.0, at.0), |found| (found.start.0, found.end.0));
                self.known.insert(found.0, found.1);
                found
            }
        };
        self.last
    }

    /// Returns what the period that begins then is called.
    pub fn label(&self, start: UnixMs) -> String {
        match self.period {
            Period::Day => self.zone.show(start, "%Y-%m-%d"),
            Period::Month => self.zone.show(start, "%Y-%m"),
            Period::Week => Timestamp::from_millisecond(start.0).map_or_else(
                |_| start.to_string(),
                |time| {
                    let week = time.to_zoned(self.zone.jiff().clone()).date().iso_week_date();
                    format!("{:04}-W{:02}", week.year(), week.week())
                },
            ),
        }
    }
}
