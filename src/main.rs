//! The `openclaw-usage` command: reads the command line, runs one command, sets the exit status.
//!
//! Exit status: 0 all well, 1 a problem, 3 more than `report --fail-over`, 64 bad usage or configuration.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use openclaw_usage::backup;
use openclaw_usage::bundle::{self, BundleError};
use openclaw_usage::check::{self, Surroundings};
use openclaw_usage::cli::{self, Cli, Command, EXIT_USAGE, LedgerArgs, LedgerCommand, ListFormat};
use openclaw_usage::clock::Clock;
use openclaw_usage::config::{
    self, Config, ConfigError, Environment, LogConfig, LogFormat, LogLevel, Overrides, Source,
};
use openclaw_usage::demo::command::{self as demo, DemoError};
use openclaw_usage::relay::command::{self as relaying, RelayCommandError};
use openclaw_usage::report::command::{self as reporting, CommandError};
use openclaw_usage::serve::{self, HealthError, OwnTelemetry, OwnTelemetryError, Reloading, ServeError};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            match cli::complaint(&error) {
                Some(complaint) => report(&complaint),
                // A closed stdout is no reason to panic over help.
                None => _ = error.print(),
            }
            return ExitCode::from(cli::exit_status(&error));
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure.to_string());
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    OwnTelemetry(#[from] OwnTelemetryError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Report(#[from] CommandError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Relay(#[from] RelayCommandError),
    #[error(transparent)]
    Backup(#[from] backup::CommandError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error("cannot start the asynchronous runtime: {0}; raise the limits of threads and file descriptors")]
    Runtime(std::io::Error),
    #[error("cannot write to standard output: {0}; check where it leads")]
    Output(std::io::Error),
    #[error("cannot write {0}: {1}; give a directory that can be written with --out")]
    Page(PathBuf, std::io::Error),
}

impl Failure {
    const fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::OwnTelemetry(_) => EXIT_USAGE,
            Self::Serve(error) if error.is_usage() => EXIT_USAGE,
            Self::Demo(error) if error.is_usage() => EXIT_USAGE,
            Self::Report(error) if error.is_usage() => EXIT_USAGE,
            Self::Bundle(error) if error.is_usage() => EXIT_USAGE,
            Self::Relay(error) if error.is_usage() => EXIT_USAGE,
            Self::Serve(_)
            | Self::Demo(_)
            | Self::Report(_)
            | Self::Bundle(_)
            | Self::Relay(_)
            | Self::Backup(_)
            | Self::Health(_)
            | Self::Runtime(_)
            | Self::Output(_)
            | Self::Page(..) => 1,
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command line program")]
fn report(text: &str) {
    eprintln!("openclaw-usage: {text}");
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let clock = Clock::System;
    match cli.command {
        Command::Serve(args) => {
            let source = Source { flags: args.into(), env: Environment::collect(std::env::vars_os())? };
            let (config, stamps) = serve::load_config(&source);
            let config = config?;
            let own = OwnTelemetry::start(&config, runtime.handle())?;
            let logging = serve::init_logging(&config.log, &own);
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
            let served = runtime.block_on(async {
                let reloading = Reloading::new(source, stamps, logging)?;
                let served = serve::run(config, reloading, &clock).await;
                own.stop().await;
                served
            });
            // What is still at work, such as the look-up of a name, is not waited for.
            runtime.shutdown_background();
            served?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(args) => {
            serve::init_logging(
                &LogConfig { level: LogLevel::Warn, format: LogFormat::Text },
                &OwnTelemetry::default(),
            );
            let equal = runtime.block_on(demo::run(&args, &clock))?;
            Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Report(args) => {
            let config = load(&reporting::overrides(&args)?)?;
            let mut environment = reporting::Environment::of_process(&clock, &report);
            Ok(ExitCode::from(runtime.block_on(reporting::run(&args, &config, &mut environment))?))
        }
        Command::Export(args) => {
            let mut overrides = reporting::overrides(&args.as_report())?;
            overrides.gateway.clone_from(&args.gateway);
            let config = load(&overrides)?;
            let mut environment = reporting::Environment::of_process(&clock, &report);
            runtime.block_on(reporting::export::run(&args, &config, &mut environment))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions(args) => print(&cli::completions(args.shell)),
        Command::Man(args) => {
            let pages = cli::man_pages().map_err(Failure::Output)?;
            match (args.out.map(PathBuf::from), pages.first()) {
                (None, Some((_, page))) => print(page),
                (folder, _) => write_pages(&folder.unwrap_or_default(), &pages),
            }
        }
        Command::Bundle(args) => {
            bundle::run(&args, &mut std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Relay(args) => {
            let config = load(&args.overrides())?;
            let out = &mut std::io::stdout().lock();
            runtime.block_on(relaying::run(&args.command, &config, &clock, out))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Ledger(args) => keep_ledger(args, &clock),
        Command::Health(args) => {
            let page = if args.ready { "/readyz" } else { "/healthz" };
            let within = Duration::from_millis(args.timeout_ms);
            let source = Source { flags: args.into(), env: Environment::collect(std::env::vars_os())? };
            let said = runtime.block_on(serve::ask_health(source.listen()?, page, within))?;
            print(format!("{said}\n").as_bytes())
        }
        Command::Prices(args) => {
            let format = args.format;
            let config = load(&args.into())?;
            let home = std::env::var_os("HOME").map(PathBuf::from);
            let list = check::prices(&config, home.as_deref(), clock.now());
            check::print_prices(&list, format == ListFormat::Json, &mut std::io::stdout().lock())
                .map_err(Failure::Output)?;
            Ok(if list.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Check(args) => {
            let config = load(&args.serve.into())?;
            let home = std::env::var_os("HOME").map(PathBuf::from);
            let surroundings =
                Surroundings { home: home.as_deref(), now: &|| clock.now(), progress: &report };
            let found = runtime.block_on(check::check(&config, &surroundings));
            check::write(&found, args.json, &mut std::io::stdout().lock()).map_err(Failure::Output)?;
            Ok(if found.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn keep_ledger(args: LedgerArgs, clock: &Clock) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match args.command {
        LedgerCommand::Backup(args) => {
            backup::back_up(&args, &load(&args.which.clone().into())?, &mut out)?;
        }
        LedgerCommand::Restore(args) => {
            backup::restore(&args, &load(&args.which.clone().into())?, clock.now(), &mut out)?;
        }
        LedgerCommand::Verify(args) => {
            if !backup::verify(&args, &load(&args.which.clone().into())?, &mut out)? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output; a reader that went away is no error.
fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn write_pages(folder: &Path, pages: &[(String, Vec<u8>)]) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::Page(folder.to_owned(), error))?;
    for (name, page) in pages {
        let path = folder.join(name);
        std::fs::write(&path, page).map_err(|error| Failure::Page(path, error))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn load(flags: &Overrides) -> Result<Config, ConfigError> {
    config::load(flags, &Environment::collect(std::env::vars_os())?)
}
