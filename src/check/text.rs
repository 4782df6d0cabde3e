//! A report as text for people: facts first in each section, then what to make of them, the verdict last.

use std::collections::BTreeMap;

use super::page::{Page, columns, many, number, utc};
use super::report::{
    DatabaseState, Finding, LedgerContent, Level, Report, RunSums, Section, Setting, StateDirectory,
};
use crate::model::TokenKind;

/// Column at which the values of the configuration begin.
const VALUES_AT: usize = 30;

/// Returns the report as text.
pub fn render(report: &Report) -> String {
    let mut page = Page::default();
    let title = format!("openclaw-usage {}: what `serve` would find and do with these flags", report.version);
    page.paragraph("", &title);
    section(&mut page, report, Section::Configuration, |page| configuration(page, &report.configuration));
    section(&mut page, report, Section::StateDirectory, |page| {
        state_directory(page, &report.state_directory, report.checked_at_ms);
    });
    section(&mut page, report, Section::Watching, |_| {});
    section(&mut page, report, Section::Ledger, |page| {
        page.paragraph("  ", &report.ledger.path);
        if let Some(content) = &report.ledger.content {
            ledger(page, content, report.checked_at_ms);
        }
    });
    section(&mut page, report, Section::Prices, |_| {});
    section(&mut page, report, Section::Endpoints, |_| {});
    section(&mut page, report, Section::Names, |page| names(page, report));
    page.gap();
    page.paragraph("", &verdict(&report.findings));
    page.finish()
}

fn section(page: &mut Page, report: &Report, section: Section, facts: impl FnOnce(&mut Page)) {
    page.gap();
    page.paragraph("", title(section));
    facts(page);
    for finding in report.findings.iter().filter(|finding| finding.section == section) {
        let mark = match finding.level {
            Level::Ok => "  ok       ",
            Level::Note => "  note     ",
            Level::Problem => "  PROBLEM  ",
        };
        page.paragraph(mark, &finding.text);
        if let Some(remedy) = &finding.remedy {
            page.paragraph("           -> ", remedy);
        }
    }
}

const fn title(section: Section) -> &'static str {
    match section {
        Section::Configuration => "CONFIGURATION",
        Section::StateDirectory => "STATE DIRECTORY",
        Section::Watching => "HOW CHANGES ARE NOTICED",
        Section::Ledger => "LEDGER",
        Section::Prices => "PRICES",
        Section::Endpoints => "ENDPOINTS",
        Section::Names => "NAMES IN PROMETHEUS",
    }
}

fn configuration(page: &mut Page, settings: &[Setting]) {
    let mut endpoint = "";
    for setting in settings {
        let Setting { key, value, origin } = setting;
        let mut key = key.as_str();
        let mut indent = "  ";
        // Names of endpoints hold dots; what is behind the last one is the key, but for headers.
        let split = key.rfind(".headers.").or_else(|| key.rfind('.'));
        if let Some((table, rest)) =
            split.and_then(|at| key.split_at_checked(at)).filter(|_| key.starts_with("otlp."))
        {
            if table != endpoint {
                page.paragraph("  ", table);
                endpoint = table;
            }
            (key, indent) = (rest.trim_start_matches('.'), "    ");
        }
        let head = format!("{:<VALUES_AT$}", format!("{indent}{key} "));
        let value = if value.is_empty() { "\"\"" } else { value };
        let origin = format!("[{origin}]");
        let fits = columns(&head) + columns(value) + 2 + columns(&origin) <= super::page::WIDTH;
        if fits {
            page.paragraph(&head, &format!("{value} {origin}"));
        } else {
            page.paragraph(&head, value);
            page.paragraph(&" ".repeat(VALUES_AT), &origin);
        }
    }
}

fn state_directory(page: &mut Page, state: &StateDirectory, now: i64) {
    page.paragraph("  ", &state.path);
    if let Some(logs) = &state.run_logs {
        let migrated = match logs.migrated_files {
            0 => String::new(),
            n => format!(", {} imported by an upgrade (*.migrated)", number(n)),
        };
        page.paragraph("  run logs       ", &format!("{}{migrated}", many(logs.files, "file")));
    }
    if let Some(database) = &state.database {
        page.paragraph("  database       ", &database_line(database));
    }
    if let Some(all) = &state.all_runs {
        all_runs(page, all, now);
    }
    if let Some(list) = &state.job_list {
        let mut parts = vec![format!("{} defined", number(list.defined))];
        for (n, what) in [
            (list.system, "of them OpenClaw's own"),
            (list.disabled, "disabled"),
            (list.one_shot, "to run once"),
            (list.unnamed, "without a name"),
            (list.gone, "more deleted since they ran"),
        ] {
            if n > 0 {
                parts.push(format!("{} {what}", number(n)));
            }
        }
        page.paragraph("  jobs           ", &parts.join(", "));
    }
    if state.database.as_ref().is_some_and(|database| !database.tables.is_empty()) {
        page.gap();
        stores(page, state);
    }
    if let Some(all) = state.all_runs.as_ref().filter(|all| !all.top_jobs.is_empty()) {
        page.gap();
        top_jobs(page, all);
        page.gap();
    }
}

fn database_line(database: &DatabaseState) -> String {
    let version = database.schema_version.map(|version| format!("schema version {version}"));
    let tables: Vec<String> = database
        .tables
        .iter()
        .map(|table| format!("{} ({})", table.table, many(table.rows, "row")))
        .collect();
    let tables = if tables.is_empty() { "not read".to_owned() } else { tables.join(", ") };
    version.map_or_else(|| tables.clone(), |version| format!("{version}; {tables}"))
}

fn all_runs(page: &mut Page, all: &RunSums, now: i64) {
    if all.runs == 0 {
        return;
    }
    let statuses: Vec<String> =
        all.runs_by_status.iter().map(|(status, n)| format!("{} {status}", number(*n))).collect();
    let runs = format!("{} of {}: {}", number(all.runs), many(all.jobs, "job"), statuses.join(", "));
    page.paragraph("  runs           ", &runs);
    page.paragraph(
        "  tokens         ",
        &tokens(&all.tokens, if knows_cache(all) { None } else { Some("cache not known") }),
    );
    page.paragraph("  usage known    ", &provenance(all));
    if let Some(at) = all.newest_record_ms {
        page.paragraph("  newest record  ", &time(at, now));
    }
}

/// Lists what each store holds: a run that several hold counts once.
fn stores(page: &mut Page, state: &StateDirectory) {
    page.row(&[("store", 20), ("runs", -9), ("in others too", -14), ("newest record", 23)]);
    let logs = state.run_logs.iter().map(|logs| ("run logs", &logs.sums));
    let tables = state.database.iter().flat_map(|database| &database.tables);
    for (name, sums) in logs.chain(tables.map(|table| (table.table.as_str(), &table.sums))) {
        let newest = sums.newest_record_ms.map(utc).unwrap_or_default();
        let (runs, shared) = (number(sums.runs), number(sums.in_several_stores));
        page.row(&[(name, 20), (&runs, -9), (&shared, -14), (&newest, 23)]);
    }
}

/// Returns whether any record says what went through a cache; if none does, 0 would be a lie.
fn knows_cache(all: &RunSums) -> bool {
    all.runs_by_provenance.keys().any(|how| !matches!(how.as_str(), "none" | "partial"))
}

/// Says for how many runs the tokens are known how well.
fn provenance(all: &RunSums) -> String {
    let said: Vec<String> = all
        .runs_by_provenance
        .iter()
        .map(|(how, n)| {
            let meaning = match how.as_str() {
                "none" => "whose records say nothing about tokens",
                "partial" => "with input and output only",
                "derived" => "with cache tokens derived from a total, read and written together",
                "record" => "complete",
                _ => how,
            };
            format!("{} {meaning}", many(*n, "run"))
        })
        .collect();
    said.join("; ")
}

fn top_jobs(page: &mut Page, all: &RunSums) {
    let title = if all.jobs > all.top_jobs.len() as u64 {
        format!("jobs with the most tokens ({} of {})", all.top_jobs.len(), number(all.jobs))
    } else {
        "jobs with runs".to_owned()
    };
    page.row(&[(&title, 50), ("runs", -9), ("tokens", -15)]);
    for job in &all.top_jobs {
        let name = job.name.clone().unwrap_or_else(|| format!("({})", job.id));
        page.row(&[(&name, 50), (&number(job.runs), -9), (&number(job.tokens), -15)]);
    }
}

fn ledger(page: &mut Page, content: &LedgerContent, now: i64) {
    page.paragraph("  gateway        ", &content.gateway);
    page.paragraph("  runs           ", &number(content.runs));
    page.paragraph("  jobs known     ", &number(content.jobs));
    let cache: u64 = ["cache_read", "cache_write"].iter().filter_map(|kind| content.tokens.get(*kind)).sum();
    let no_cache = if cache == 0 { Some("no cache tokens") } else { None };
    page.paragraph("  tokens         ", &tokens(&content.tokens, no_cache));
    if let Some(at) = content.last_run_ms {
        page.paragraph("  newest run     ", &time(at, now));
    }
    let file = format!("{} KiB, schema {}", number(content.size_bytes.div_ceil(1024)), content.schema);
    page.paragraph("  size           ", &file);
}

fn names(page: &mut Page, report: &Report) {
    let names = &report.names;
    let labels = format!(
        "What is pushed has the labels job={:?} and instance={:?}. When scraped, Prometheus sets both as its \
         own scrape configuration says; choose the same.",
        names.job, names.instance
    );
    page.paragraph("  ", &labels);
    page.gap();
    for family in &names.families {
        for series in &family.series {
            page.row(&[(series, 54), (&family.kind, 10)]);
        }
    }
}

fn verdict(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let notes = match count(Level::Note) {
        0 => String::new(),
        n => format!(", {}", many(n, "note")),
    };
    if count(Level::Problem) == 0 {
        return format!("No problem{notes}.");
    }
    let mut places: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.level == Level::Problem)
        .map(|finding| title(finding.section))
        .collect();
    places.dedup();
    let problems = many(count(Level::Problem), "problem");
    format!("{problems} ({}){notes}. What to do stands behind the arrows (->).", places.join(", "))
}

/// Lists counts by kind; `no_cache` is said in place of cache tokens.
fn tokens(tokens: &BTreeMap<String, u64>, no_cache: Option<&str>) -> String {
    let kinds = TokenKind::ALL.iter().take(if no_cache.is_some() { 2 } else { 4 }).map(|kind| kind.as_str());
    let mut counts: Vec<String> =
        kinds.map(|kind| format!("{kind} {}", number(tokens.get(kind).copied().unwrap_or(0)))).collect();
    counts.extend(no_cache.map(ToOwned::to_owned));
    counts.join(", ")
}

/// Returns a time in UTC with its age.
fn time(at_ms: i64, now_ms: i64) -> String {
    let shown = utc(at_ms);
    let seconds = now_ms.saturating_sub(at_ms) / 1000;
    let age = |n: i64, unit: &str| if n == 1 { format!("1 {unit} ago") } else { format!("{n} {unit}s ago") };
    let age = match seconds {
        i64::MIN..0 => "in the future: is this machine's clock right?".to_owned(),
        0..120 => age(seconds, "second"),
        120..7_200 => age(seconds / 60, "minute"),
        7_200..172_800 => age(seconds / 3_600, "hour"),
        _ => age(seconds / 86_400, "day"),
    };
    format!("{shown} ({age})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        let now = 1_780_000_000_000;
        for (ago_ms, expected) in [
            (1_000, "1 second ago"),
            (300_000, "5 minutes ago"),
            (7_200_000, "2 hours ago"),
            (864_000_000, "10 days ago"),
            (-60_000, "in the future: is this machine's clock right?"),
        ] {
            let text = time(now - ago_ms, now);
            assert!(text.starts_with("2026-05-"), "{text}");
            assert!(text.ends_with(&format!("({expected})")), "{text}");
        }
    }
}
