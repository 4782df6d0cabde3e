//! `--reconcile`: reads all sides and holds them against each other. Each side is read after the one that follows it,
//! so that what arrives meanwhile shows as not yet pushed or counted and never as too much.

use super::server::Server;
use super::source::Source;
use super::{CommandError, EXIT_DIFFERENT, Environment, flags, write};
use crate::cli::ReportArgs;
use crate::config::Config;
use crate::ledger::Window;
use crate::model::UnixMs;
use crate::report::{
    Counters, Reconciliation, ReportError, Span, Zone, against_counters, against_sources, counter_questions,
    reconciliation_json, reconciliation_table,
};
use crate::serve::Signals;

/// Compares. Returns the exit status.
pub async fn reconcile(
    args: &ReportArgs,
    zone: &Zone,
    config: &Config,
    environment: &mut Environment<'_>,
) -> Result<u8, CommandError> {
    flags::for_reconciliation(args)?;
    let mut signals = Signals::new().map_err(CommandError::Prepare)?;
    let now = environment.clock.now();
    let window = flags::query(args, zone, now)?.window;
    let ledger = Source::of_ledger(config);
    // A ledger that is not there is said before anything is asked or read.
    let reader = ledger.open()?;
    drop(reader);
    let counters = match &args.prometheus {
        None => None,
        Some(url) => {
            let mut server = Server::new(url, args, config)?;
            let counters = tokio::select! {
                counters = ask(&mut server, window, now) => counters?,
                _ = signals.next() => return Err(CommandError::Interrupted),
            };
            for warning in server.warnings() {
                (environment.say)(&format!("note: the server warns: {warning}"));
            }
            Some((server, counters))
        }
    };
    let reader = ledger.open()?;
    let usage = reader.usage().map_err(ReportError::Ledger)?;
    let gateway = usage.gateway.clone();
    drop(usage);
    let mut comparisons = Vec::new();
    // Read before the sources are, for the same reason.
    let pushed = counters
        .map(|(server, counters)| against_counters(&reader, &counters, window, now, server.address()))
        .transpose()?;
    let mut files = Source::of_files(config)?;
    files.read(environment, &mut signals, None).await?;
    comparisons.push(against_sources(
        &reader,
        &files.open()?,
        window,
        config.state_dir.display().to_string(),
    )?);
    comparisons.extend(pushed);
    let ledger = config.ledger.path.display().to_string();
    let found = Reconciliation { window, zone: zone.clone(), gateway, ledger, comparisons };
    let text = if args.json || args.format == "json" {
        reconciliation_json(&found).map_err(|error| CommandError::Output(error.into()))?
    } else {
        reconciliation_table(&found)
    };
    write(&mut environment.out, &text)?;
    Ok(if found.is_equal() { 0 } else { EXIT_DIFFERENT })
}

async fn ask(server: &mut Server, window: Window, now: UnixMs) -> Result<Counters, CommandError> {
    let window = Window { until: window.until.min(now.plus(999)), ..window };
    let Some(span) = Span::of(window) else {
        return Ok(Counters::new(crate::report::Identity::Prometheus));
    };
    let identity = server.identify(span).await?;
    let mut counters = Counters::new(identity);
    let service = server.service().to_owned();
    for (of, counter, promql) in counter_questions(identity, &service, span) {
        let samples = server.ask("counters", &promql, span.until_s).await?;
        counters.add(of, counter, &samples);
    }
    Ok(counters)
}
