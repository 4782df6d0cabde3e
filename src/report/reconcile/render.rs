//! A reconciliation for people, and as JSON in the shape of `docs/reconcile.schema.json`.

use serde::Serialize;

use super::{Against, Comparison, Difference, Figures, Place, Reason, Reconciliation};
use crate::model::UnixMs;
use crate::page::{Page, many, number};

/// Name and version of the document.
pub const SCHEMA: &str = "openclaw-usage/reconcile/1";

/// Names of tokens by kind.
const KINDS: [&str; 4] = ["input", "output", "cache read", "cache write"];

impl Against {
    const fn name(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Prometheus => "prometheus",
        }
    }
}

impl Reason {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::PrunedUpstream(_) => "pruned_upstream",
            Self::NotYetCounted(_) => "not_yet_counted",
            Self::SessionGone(_) => "session_gone",
            Self::SessionUnread(_) => "session_unread",
            Self::PricedOtherwise(_) => "priced_otherwise",
            Self::Folded(_) => "folded",
            Self::NotYetPushed(_) => "not_yet_pushed",
            Self::ForeignCount(_) => "foreign_count",
            Self::OtherInstance(_) => "other_instance",
            Self::Absent => "absent",
            Self::SeenLate(_) => "seen_late",
            Self::WindowEdge => "window_edge",
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::PrunedUpstream(n) => {
                format!("{} pruned upstream: only the ledger still has them", many(*n, "run"))
            }
            Self::NotYetCounted(n) => {
                format!("{} not yet counted: start `serve`, or wait a minute if it runs", many(*n, "run"))
            }
            Self::SessionGone(n) => {
                format!(
                    "{} known better by the ledger: their sessions were deleted upstream",
                    many(*n, "run")
                )
            }
            Self::SessionUnread(n) => {
                format!(
                    "{} known better by the sources: `serve` has not read their sessions yet",
                    many(*n, "run")
                )
            }
            Self::PricedOtherwise(n) => {
                format!("{} priced otherwise: prices changed since they were counted", many(*n, "run"))
            }
            Self::Folded(n) => {
                format!("{} folded into daily totals, which stand at noon (UTC)", many(*n, "run"))
            }
            Self::NotYetPushed(n) => format!(
                "not yet pushed: the server is {} behind the ledger; if it stays so, see \
                 openclaw_usage_export_failures_total",
                number(*n)
            ),
            Self::ForeignCount(n) => format!(
                "the server has {} more than this ledger ever counted: two daemons under one name, or a ledger that \
                 was lost",
                number(*n)
            ),
            Self::OtherInstance(names) => format!(
                "under another instance: {}; start `serve` with that --gateway, or give the scrape its name",
                names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            ),
            Self::Absent => "no such series there: dropped by the server (see \
                             openclaw_usage_export_dropped_series), or never pushed there"
                .to_owned(),
            Self::SeenLate(n) => format!(
                "the server first saw the counters at {}: history from before the daemon's first start, or before \
                 the server knew it, is not in it",
                number(*n)
            ),
            Self::WindowEdge => {
                "at the window's edge: runs that started before it were counted in it, or were \
                                 counted before the daemon saw its server"
                    .to_owned()
            }
        }
    }
}

/// Returns the reconciliation as text.
#[must_use]
pub fn reconciliation_table(found: &Reconciliation) -> String {
    let mut page = Page::default();
    let show = |at: UnixMs| found.zone.show(at, "%Y-%m-%d %H:%M");
    let (since, until) = (show(found.window.since), show(found.window.until));
    page.paragraph("", &format!("{since} to {until} {}, gateway {}", found.zone.name(), found.gateway));
    page.paragraph("", &format!("ledger {}", found.ledger));
    for comparison in &found.comparisons {
        page.gap();
        let what = match comparison.against {
            Against::Sources => "against the sources in",
            Against::Prometheus => "against Prometheus at",
        };
        page.paragraph("", &format!("{what} {}", comparison.at));
        if !comparison.differences.is_empty() {
            let other = comparison.against.name();
            page.row(&[("job", 14), ("model", 12), ("figure", 11), ("ledger", -11), (other, -11), ("", -9)]);
        }
        for difference in &comparison.differences {
            rows(&mut page, difference);
        }
        page.paragraph("  ", &summary(comparison));
    }
    page.finish()
}

fn rows(page: &mut Page, difference: &Difference) {
    let Difference { place, job_name, ledger, other, .. } = difference;
    let job = if job_name.trim().is_empty() { format!("({})", place.job_id) } else { job_name.clone() };
    let (mut job, mut model) =
        (job.as_str(), if place.model.is_empty() { "(unknown)" } else { &place.model });
    let mut figures = vec![("runs", i128::from(ledger.runs), i128::from(other.runs))];
    let tokens = ledger.tokens.iter().zip(other.tokens);
    figures.extend(KINDS.iter().zip(tokens).map(|(kind, (a, b))| (*kind, i128::from(*a), i128::from(b))));
    figures.push(("nano-USD", i128::from(ledger.cost.0), i128::from(other.cost.0)));
    for (figure, a, b) in figures.into_iter().filter(|(_, a, b)| a != b) {
        let [a_text, b_text, difference] = [a.to_string(), b.to_string(), format!("{:+}", a - b)];
        page.row(&[(job, 14), (model, 12), (figure, 11), (&a_text, -11), (&b_text, -11), (&difference, -9)]);
        (job, model) = ("", "");
    }
    for reason in &difference.reasons {
        page.paragraph("    likely: ", &reason.text());
    }
}

fn summary(comparison: &Comparison) -> String {
    let equal = &comparison.equal;
    format!(
        "equal: {}, {}, {}, ${}; {}",
        many(comparison.equal_jobs, "job"),
        many(equal.runs, "run"),
        many(equal.total(), "token"),
        equal.cost,
        match comparison.differences.len() as u64 {
            0 => "nothing differs".to_owned(),
            n => format!("different: {}", many(n, "job and model")),
        }
    )
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'a str,
    window: Bounds<'a>,
    gateway: &'a str,
    ledger: &'a str,
    equal: bool,
    comparisons: Vec<ComparisonDocument<'a>>,
}

#[derive(Serialize)]
struct Bounds<'a> {
    since_ms: i64,
    until_ms: i64,
    timezone: &'a str,
}

#[derive(Serialize)]
struct ComparisonDocument<'a> {
    against: &'a str,
    at: &'a str,
    equal: EqualDocument,
    differences: Vec<DifferenceDocument<'a>>,
}

#[derive(Serialize)]
struct EqualDocument {
    jobs: u64,
    #[serde(flatten)]
    figures: FiguresDocument,
}

#[derive(Serialize)]
struct DifferenceDocument<'a> {
    #[serde(flatten)]
    place: &'a Place,
    job_name: &'a str,
    ledger: FiguresDocument,
    other: FiguresDocument,
    reasons: Vec<ReasonDocument>,
}

#[derive(Serialize)]
struct FiguresDocument {
    runs: u64,
    tokens: TokensDocument,
    cost_nano_usd: i64,
}

#[derive(Serialize)]
struct TokensDocument {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

#[derive(Serialize)]
struct ReasonDocument {
    reason: &'static str,
    text: String,
}

impl From<&Figures> for FiguresDocument {
    fn from(figures: &Figures) -> Self {
        let [input, output, cache_read, cache_write] = figures.tokens;
        let tokens = TokensDocument { input, output, cache_read, cache_write };
        Self { runs: figures.runs, tokens, cost_nano_usd: figures.cost.0 }
    }
}

/// Returns the reconciliation as JSON.
///
/// # Errors
/// None that is known: everything in it is a number or a text.
pub fn reconciliation_json(found: &Reconciliation) -> serde_json::Result<String> {
    let difference = |difference: &'_ Difference| -> (FiguresDocument, FiguresDocument, Vec<ReasonDocument>) {
        let reason = |reason: &Reason| ReasonDocument { reason: reason.name(), text: reason.text() };
        let reasons = difference.reasons.iter().map(reason).collect();
        ((&difference.ledger).into(), (&difference.other).into(), reasons)
    };
    let comparisons = found.comparisons.iter().map(|comparison| ComparisonDocument {
        against: comparison.against.name(),
        at: &comparison.at,
        equal: EqualDocument { jobs: comparison.equal_jobs, figures: (&comparison.equal).into() },
        differences: comparison
            .differences
            .iter()
            .map(|of| {
                let (ledger, other, reasons) = difference(of);
                DifferenceDocument { place: &of.place, job_name: &of.job_name, ledger, other, reasons }
            })
            .collect(),
    });
    let window = &found.window;
    let document = Document {
        schema: SCHEMA,
        window: Bounds { since_ms: window.since.0, until_ms: window.until.0, timezone: found.zone.name() },
        gateway: &found.gateway,
        ledger: &found.ledger,
        equal: found.is_equal(),
        comparisons: comparisons.collect(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
