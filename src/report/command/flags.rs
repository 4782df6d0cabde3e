//! Flags to a question.

use std::ffi::OsStr;
use std::path::Path;

use super::{CommandError, state_dir_of};
use crate::cli::ReportArgs;
use crate::config::Overrides;
use crate::ledger::Window;
use crate::model::decimal::parse_scaled;
use crate::model::{NanoUsd, UnixMs};
use crate::price::Pattern;
use crate::report::{Dimension, Query, ReportError, Selection, Sort, Zone, instant};

/// Runs that are listed unless --top says otherwise.
const MOST_RUNS: usize = 1_000;
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Returns what the flags say about the configuration.
///
/// # Errors
/// `--runsDir` or `--store` do not lie in a state directory.
pub fn overrides(args: &ReportArgs) -> Result<Overrides, CommandError> {
    let mut overrides = args.overrides();
    let compat = &args.compat;
    let (flag, given) = match (&compat.runs_dir, &compat.store) {
        (Some(runs_dir), _) => ("--runsDir", runs_dir),
        (None, Some(store)) => ("--store", store),
        (None, None) => return Ok(overrides),
    };
    let runs_dir = match flag {
        "--store" => Path::new(given).parent().map(|cron| cron.join("runs")).unwrap_or_default(),
        _ => Path::new(given).to_owned(),
    };
    let state_dir = state_dir_of(&runs_dir).ok_or_else(|| ReportError::Flag {
        flag,
        value: given.clone(),
        expected: "the place in a state directory, which ends in cron/runs or cron/jobs.json",
    })?;
    overrides.state_dir = Some(state_dir.display().to_string());
    Ok(overrides)
}

/// Returns the time zone that is meant.
pub fn zone(args: &ReportArgs, system: Option<&str>) -> Result<Zone, ReportError> {
    // The script tells times in UTC.
    match &args.tz {
        Some(name) => Zone::new(name),
        None if args.compat.compat => Zone::new("UTC"),
        None => Zone::new(system.unwrap_or("UTC")),
    }
}

/// Returns the name of the system's time zone: `TZ`, else what `/etc/localtime` points to.
pub fn system_zone(variable: Option<&OsStr>, localtime: Option<&Path>) -> Option<String> {
    let known = |name: &str| Zone::new(name).is_ok().then(|| name.to_owned());
    let named = variable.and_then(OsStr::to_str).map(|name| name.strip_prefix(':').unwrap_or(name));
    named.and_then(known).or_else(|| {
        let (_, name) = localtime?.to_str()?.split_once("zoneinfo/")?;
        known(name)
    })
}

/// Returns the amount above which the exit status is another.
pub fn fail_over(args: &ReportArgs) -> Result<Option<NanoUsd>, ReportError> {
    let amount = |text: &String| {
        let amount = NanoUsd::parse(text).ok().filter(|amount| amount.0 >= 0);
        amount.ok_or_else(|| ReportError::Flag {
            flag: "--fail-over",
            value: text.clone(),
            expected: "an amount of US dollars such as 5 or 0.50",
        })
    };
    args.fail_over.as_ref().map(amount).transpose()
}

/// Returns what of a question a server cannot answer.
pub fn for_server(args: &ReportArgs) -> Result<(), ReportError> {
    let clash = |clash: bool, why: &'static str| if clash { Err(ReportError::Flags(why)) } else { Ok(()) };
    clash(
        args.ledger.is_some() || args.state_dir.is_some() || args.profile.is_some(),
        "--prometheus asks a server, --ledger, --state-dir and --profile name what lies here; leave out either",
    )?;
    clash(
        args.runs,
        "a Prometheus knows no single runs; leave out --runs, or ask the gateway's own ledger with --ledger",
    )?;
    clash(args.compat.compat, "--compat prints what lies here; leave it out, or --prometheus")?;
    let by = |name: &str| args.by.iter().any(|by| by == name);
    clash(
        args.sort.as_deref() == Some("last") && (by("model") || by("provider") || by("status")),
        "a Prometheus tells last runs by job, agent and gateway only; leave out --sort last, or model, provider and \
         status of --by",
    )
}

/// Returns what does not go with a reconciliation.
pub fn for_reconciliation(args: &ReportArgs) -> Result<(), ReportError> {
    if matches!(args.format.as_str(), "csv" | "markdown") {
        return Err(ReportError::Flags(
            "--reconcile is written as a table or JSON; leave out --format, or --reconcile",
        ));
    }
    if args.prometheus.is_some() && args.until.is_some() {
        let clash = "a ledger knows its counters as they are now; leave out --until, or --prometheus";
        return Err(ReportError::Flags(clash));
    }
    Ok(())
}

/// Returns the question.
pub fn query(args: &ReportArgs, zone: &Zone, now: UnixMs) -> Result<Query, ReportError> {
    if args.watch && args.format != "table" {
        return Err(ReportError::Flags("--watch draws a table; leave out --format or --watch"));
    }
    let mut by: Vec<Dimension> = Vec::new();
    if args.runs {
        by.push(Dimension::Run);
    }
    let named: &[&str] = if args.compat.compat { &["job", "model"] } else { &[] };
    let asked = args.by.iter().map(String::as_str).filter(|_| !args.runs && named.is_empty());
    for dimension in asked.chain(named.iter().copied()).filter_map(Dimension::of) {
        if !by.contains(&dimension) {
            by.push(dimension);
        }
    }
    if args.compare && by.iter().any(|dimension| dimension.is_period()) {
        let clash = "--compare holds a window against the one before, and their days differ; leave out day, week \
                     and month of --by, or --compare";
        return Err(ReportError::Flags(clash));
    }
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
    let jobs = args.job.iter().chain(&args.compat.job_id).map(|text| Pattern::new(text));
    Ok(Query {
        window: window(args, zone, now)?,
        compare: args.compare,
        zone: zone.clone(),
        by,
        selection: Selection {
            jobs: jobs.collect(),
            agents: patterns(&args.agent),
            models: patterns(&args.model),
            providers: patterns(&args.provider),
            gateways: patterns(&args.gateway),
        },
        sort: args.sort.as_deref().and_then(Sort::of),
        top: args
            .top
            .map(|top| usize::try_from(top).unwrap_or(usize::MAX))
            .or(args.runs.then_some(MOST_RUNS)),
    })
}

fn window(args: &ReportArgs, zone: &Zone, now: UnixMs) -> Result<Window, ReportError> {
    if args.compat.compat {
        return script_window(args, zone, now);
    }
    let since = instant("--since", args.since.as_deref().unwrap_or("24h"), zone, now)?;
    let until = args.until.as_ref().map_or(Ok(now), |text| instant("--until", text, zone, now))?;
    if until < since {
        let expected = "a time that is not after --until, whose default is now";
        let value = args.since.clone().unwrap_or_else(|| "24h".to_owned());
        return Err(ReportError::Flag { flag: "--since", value, expected });
    }
    Ok(Window { since, until })
}

/// The script counts an hour at least, and the last millisecond in.
fn script_window(args: &ReportArgs, zone: &Zone, now: UnixMs) -> Result<Window, ReportError> {
    let compat = &args.compat;
    let to = compat.to.as_ref().map_or(Ok(now), |text| instant("--to", text, zone, now))?;
    let from = match (&compat.from, &compat.hours) {
        (Some(text), _) => instant("--from", text, zone, now)?,
        (None, hours) => {
            let hours = hours.as_deref().unwrap_or("24");
            // In thousandths; an hour has 3600 s.
            let ms =
                parse_scaled(hours, 3).ok().and_then(|thousandths| thousandths.checked_mul(HOUR_MS / 1_000));
            let ms = ms.ok_or_else(|| ReportError::Flag {
                flag: "--hours",
                value: hours.to_owned(),
                expected: "a number of hours such as 24 or 1.5",
            })?;
            UnixMs(to.plus(-ms.max(HOUR_MS)).0.max(0))
        }
    };
    if to < from {
        let value = compat.from.clone().unwrap_or_default();
        return Err(ReportError::Flag { flag: "--from", value, expected: "a time that is not after --to" });
    }
    Ok(Window { since: from, until: to.plus(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_zone_is_the_variables_or_the_links() {
        let link = Path::new("/usr/share/zoneinfo/Asia/Tokyo");
        for (variable, localtime, expected) in [
            (Some("Europe/Berlin"), Some(link), Some("Europe/Berlin")),
            (Some(":Europe/Berlin"), None, Some("Europe/Berlin")),
            (Some("nonsense"), Some(link), Some("Asia/Tokyo")),
            (None, Some(link), Some("Asia/Tokyo")),
            (None, Some(Path::new("../usr/share/zoneinfo/Etc/UTC")), Some("Etc/UTC")),
            (None, Some(Path::new("/etc/elsewhere")), None),
            (None, None, None),
        ] {
            let found = system_zone(variable.map(OsStr::new), localtime);
            assert_eq!(found.as_deref(), expected, "{variable:?} {localtime:?}");
        }
    }

    #[test]
    fn what_the_script_is_asked_is_asked_here() {
        let (zone, now) = (Zone::new("UTC").unwrap(), UnixMs(1_800_000_000_000));
        let asked = |hours: Option<&str>, from: Option<&str>| {
            let mut args = ReportArgs::default();
            args.compat.compat = true;
            args.compat.hours = hours.map(str::to_owned);
            args.compat.from = from.map(str::to_owned);
            window(&args, &zone, now).map(|window| now.since(window.since))
        };
        for (hours, back) in [(None, 24 * HOUR_MS), (Some("1.5"), 5_400_000), (Some("0"), HOUR_MS)] {
            assert_eq!(asked(hours, None).unwrap(), back, "{hours:?}");
        }
        assert_eq!(asked(Some("1"), Some("2027-01-14T08:00:00Z")).unwrap(), 24 * HOUR_MS, "--from wins");
        assert!(asked(Some("many"), None).unwrap_err().is_usage());
        for (runs_dir, state_dir) in [
            ("/gateway/cron/runs", Some("/gateway")),
            ("cron/runs", Some(".")),
            ("/gateway/cron/runs/", Some("/gateway")),
            ("/gateway/runs", None),
        ] {
            assert_eq!(state_dir_of(Path::new(runs_dir)), state_dir.map(Path::new), "{runs_dir}");
        }
    }
}
