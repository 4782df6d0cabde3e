//! A page of `/metrics`, read by a parser that shares nothing with what writes it, and what it counts.

use std::collections::BTreeMap;
#[cfg(feature = "e2e")]
use std::collections::BTreeSet;
use std::ops::{Add, Sub};

use openclaw_usage::demo::{Bill, JobBill};

/// Name and labels of a series.
pub type Series = (String, BTreeMap<String, String>);

/// All samples of one page.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub BTreeMap<Series, f64>);

impl Samples {
    /// Either text format.
    pub fn parse(page: &str) -> Self {
        let mut samples = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            assert!(samples.insert(series, value).is_none(), "a series twice on one page: {line}");
        }
        Self(samples)
    }

    /// Names of all series.
    #[cfg(feature = "e2e")]
    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().map(|(name, _)| name.clone()).collect()
    }

    /// Sum of the series of that name with all of those labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |(known, set): &Series| {
            known == name && labels.iter().all(|(key, value)| set.get(*key).is_some_and(|is| is == value))
        };
        self.0.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }

    /// Panics where a durable counter fell or vanished since `before`, or has another time of creation. Counters that
    /// begin with each process are left out.
    pub fn assert_continues(&self, before: &Self) {
        let counts =
            |name: &str| ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
        let of_process = |name: &str| {
            let parts = [
                "_usage_export_",
                "_usage_clock_",
                "_events_attempts_",
                "_events_failures_",
                "process_cpu_",
                "openclaw_webhook_",
            ];
            parts.iter().any(|part| name.contains(part))
        };
        for ((name, labels), was) in &before.0 {
            if of_process(name) {
                continue;
            }
            let is = self.0.get(&(name.clone(), labels.clone())).copied();
            if counts(name) {
                assert!(is.is_some_and(|is| is >= *was), "{name}{labels:?} was {was} and is {is:?}");
            } else if name.ends_with("_created") {
                assert_eq!(is, Some(*was), "{name}{labels:?}");
            }
        }
    }
}

/// `name{key="value",…} 1.5`, with the escapes of a label's value.
fn sample(line: &str) -> Option<(Series, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let closing = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        escaped => escaped,
                    }),
                    (_, plain) => value.push(plain),
                }
            };
            labels.insert(key.to_owned(), value);
            rest = after[closing + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    Some(((name.to_owned(), labels), rest.trim().parse().ok()?))
}

/// What was counted, or billed: equal at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub runs: u64,
    pub input: u64,
    pub output: u64,
}

impl Count {
    pub fn on(samples: &Samples) -> Self {
        let tokens = |kind| whole(samples.sum("openclaw_tokens_total", &[("openclaw_token", kind)]));
        Self {
            runs: whole(samples.sum("openclaw_cron_runs_total", &[])),
            input: tokens("input"),
            output: tokens("output"),
        }
    }
}

impl From<&JobBill> for Count {
    fn from(bill: &JobBill) -> Self {
        Self { runs: bill.runs(), input: bill.recorded.input, output: bill.recorded.output }
    }
}

impl From<&Bill> for Count {
    fn from(bill: &Bill) -> Self {
        bill.total().into()
    }
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            input: self.input + other.input,
            output: self.output + other.output,
        }
    }
}

impl Sub for Count {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            runs: self.runs - other.runs,
            input: self.input - other.input,
            output: self.output - other.output,
        }
    }
}

/// A count that came as a float. One with a fraction is no count, and is seen as none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number")]
pub fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "a count must be a whole number, not {value}");
    value as u64
}
