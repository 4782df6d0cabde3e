//! What scripts that read the output of OpenClaw's own report expect.
//!
//! Source: `scripts/cron_usage_report.ts` of OpenClaw's repository at commit 245955a, which no package of npm's holds and
//! which reads the run logs of up to 2026.5.28: its flags, the fields of its JSON and the lines of its text. What differs
//! is the count: each run once, from whatever store holds it, with what its transcript says; `total_tokens` is the sum of
//! the four kinds; a run lies in the window by its start, where the script goes by the time of its record.

use serde::Serialize;

use super::{Cell, Report, Row, Sums, Zone};
use crate::model::{NanoUsd, UnixMs};
use crate::page::{number, printable};

#[derive(Serialize)]
struct Document<'a> {
    from: String,
    to: String,
    #[serde(rename = "runsDir")]
    runs_dir: &'a str,
    jobs: Vec<Job>,
}

#[derive(Serialize)]
struct Job {
    #[serde(rename = "jobId")]
    job_id: String,
    #[serde(flatten)]
    totals: Totals,
    models: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    model: String,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Default, Serialize)]
struct Totals {
    runs: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    total_tokens: u64,
    cost_usd: f64,
    #[serde(rename = "missingUsageRuns")]
    missing_usage_runs: u64,
    #[serde(skip)]
    cost: NanoUsd,
}

impl Totals {
    fn add(&mut self, sums: &Sums) {
        self.runs += sums.runs.total;
        self.input_tokens += sums.tokens[0];
        self.output_tokens += sums.tokens[1];
        self.cache_read_tokens += sums.tokens[2];
        self.cache_write_tokens += sums.tokens[3];
        self.total_tokens += sums.total_tokens();
        self.missing_usage_runs += sums.silent_runs;
        self.cost = NanoUsd(self.cost.0.saturating_add(sums.cost.0));
        self.cost_usd = self.cost.as_usd();
    }

    fn text(&self) -> String {
        format!(
            "tokens: total {} (in {} / out {} / cache {} read + {} write)",
            number(self.total_tokens),
            number(self.input_tokens),
            number(self.output_tokens),
            number(self.cache_read_tokens),
            number(self.cache_write_tokens)
        )
    }
}

/// Returns a report by job and model as OpenClaw's script would, as JSON or text.
///
/// # Errors
/// None that is known: everything in it is a number or a text.
pub fn compat(report: &Report, runs_dir: &str, json: bool) -> serde_json::Result<String> {
    let mut jobs: Vec<Job> = Vec::new();
    for row in &report.rows {
        let id = cell(row, 0, "");
        let known = jobs.iter().position(|job| job.job_id == id);
        let at = known.unwrap_or_else(|| {
            jobs.push(Job { job_id: id, totals: Totals::default(), models: Vec::new() });
            jobs.len() - 1
        });
        let mut totals = Totals::default();
        totals.add(&row.sums);
        jobs[at].totals.add(&row.sums);
        jobs[at].models.push(Model { model: cell(row, 2, "<unknown>"), totals });
    }
    for job in &mut jobs {
        job.models.sort_by_key(|model| std::cmp::Reverse(model.totals.total_tokens));
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.totals.total_tokens));
    // The script's window has its last millisecond within.
    let [from, to] = [report.window.since, report.window.until.plus(-1)].map(|at| iso(at, &report.zone));
    if json {
        return Ok(serde_json::to_string_pretty(&Document { from, to, runs_dir, jobs })? + "\n");
    }
    Ok(text(&from, &to, runs_dir, &jobs))
}

fn cell(row: &Row, at: usize, unknown: &str) -> String {
    row.group.get(at).and_then(Cell::text).unwrap_or(unknown).to_owned()
}

fn iso(at: UnixMs, zone: &Zone) -> String {
    zone.show(at, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn text(from: &str, to: &str, runs_dir: &str, jobs: &[Job]) -> String {
    let mut lines = vec![
        "Cron usage report".to_owned(),
        format!("  runsDir: {}", printable(runs_dir)),
        format!("  window: {from} → {to}"),
        String::new(),
    ];
    if jobs.is_empty() {
        lines.push("No matching cron run entries found.".to_owned());
    }
    let usd = |totals: &Totals| format!("${}", totals.cost);
    let runs = |totals: &Totals| {
        format!("{} (missing usage: {})", number(totals.runs), number(totals.missing_usage_runs))
    };
    for job in jobs {
        lines.push(format!("jobId: {}", printable(&job.job_id)));
        lines.push(format!("  runs: {}", runs(&job.totals)));
        lines.push(format!("  cost: {}", usd(&job.totals)));
        lines.push(format!("  {}", job.totals.text()));
        for Model { model, totals } in &job.models {
            let model = printable(model);
            let figures = totals.text().replace("tokens: ", "");
            lines.push(format!("    model {model}: runs {}, cost {}, {figures}", runs(totals), usd(totals)));
        }
        lines.push(String::new());
    }
    if !jobs.is_empty() {
        let mut all = Totals::default();
        for Job { totals, .. } in jobs {
            all.runs += totals.runs;
            all.total_tokens += totals.total_tokens;
            all.cost = NanoUsd(all.cost.0.saturating_add(totals.cost.0));
        }
        let (runs, tokens) = (number(all.runs), number(all.total_tokens));
        lines.push(format!("TOTAL: {} across {runs} runs, {tokens} tokens", usd(&all)));
    }
    lines.join("\n") + "\n"
}
