//! The `export` command: which runs, out of which ledger, and where they go.
//!
//! Invariant: a file has its name when it is whole and not before.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempPath;
use tokio::sync::oneshot;

use super::source::Source;
use super::wait::patiently;
use super::{CommandError, Environment, flags};
use crate::cli::ExportArgs;
use crate::config::Config;
use crate::ledger::LedgerReader;
use crate::model::UnixMs;
use crate::page::{many, utc};
use crate::report::export::{self, ExportError, Identity, RowFormat, RowWriter, Wanted};
use crate::serve::Signals;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 16;

/// What is written.
#[derive(Clone)]
enum Form {
    Rows(RowFormat),
    Counters(Identity),
}

/// Exports.
///
/// # Errors
/// See [`CommandError`].
pub async fn run(
    args: &ExportArgs,
    config: &Config,
    environment: &mut Environment<'_>,
) -> Result<(), CommandError> {
    let asked = args.as_report();
    let zone = flags::zone(&asked, environment.zone.as_deref())?;
    // A mistyped flag is said before anything is read.
    flags::query(&asked, &zone, environment.clock.now())?;
    let form = form(args, config);
    let mut source = Source::choose(&asked, config).on_disk()?;
    source.limit_jobs(config);
    let mut signals = Signals::new().map_err(CommandError::Prepare)?;
    source.read(environment, &mut signals, None).await?;
    let reader = source.open()?;
    let query = flags::query(&asked, &zone, environment.clock.now())?;
    let mut wanted = Wanted { window: query.window, selection: query.selection };
    if let (Form::Counters(_), None) = (&form, &args.until)
        && let Some(made) = source.made(&reader)?.filter(|made| *made < wanted.window.until)
    {
        wanted.window.until = made.max(wanted.window.since);
        let told = utc(made.0);
        let note = "note: up to {}, when the ledger was made: from then on `serve` exports what is counted; --until now exports all";
        (environment.say)(&note.replace("{}", &told));
    }
    let (target, unfinished) = output(args.output.as_deref())?;
    let counted = Arc::new(AtomicU64::new(0));
    let (sender, done) = oneshot::channel();
    let counter = Arc::clone(&counted);
    // Beside the waiting, which minds the clock and Ctrl-C.
    std::thread::Builder::new()
        .name("export".to_owned())
        .spawn(move || {
            let written = target.open().and_then(|out| Ok(write(&reader, &wanted, form, out, &counter)?));
            // Whoever waited may have been interrupted.
            _ = sender.send(written);
        })
        .map_err(CommandError::Prepare)?;
    let written = patiently(done, &mut signals, |waited| {
        let lines = many(counted.load(Ordering::Relaxed), "line");
        (environment.say)(&format!("exporting for {:.1} s; {lines} so far", waited.as_secs_f64()));
    });
    match written.await? {
        // A reader that went away is no error.
        Err(CommandError::Export(ExportError::Write(error))) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(());
        }
        Err(error) => return Err(error),
        Ok(Overtaken::No) => {}
        Ok(Overtaken::Yes) => return Err(CommandError::Overtaken),
    }
    if let Some((file, path)) = unfinished {
        file.persist(&path).map_err(|error| CommandError::Create(path, error.error))?;
    }
    Ok(())
}

fn form(args: &ExportArgs, config: &Config) -> Form {
    match args.format.as_str() {
        "jsonl" => Form::Rows(RowFormat::Jsonl),
        "parquet" => Form::Rows(RowFormat::Parquet),
        "openmetrics" => {
            let resource = &config.resource;
            let name = resource.service_name.clone();
            let job = resource.service_namespace.as_ref().map(|space| format!("{space}/{name}"));
            Form::Counters(Identity { job: job.unwrap_or(name), instance: args.gateway.clone() })
        }
        _ => Form::Rows(RowFormat::Csv),
    }
}

/// Whether a writer began with the ledger while it was read as one at rest: then what was read may not fit together.
enum Overtaken {
    Yes,
    No,
}

fn write(
    reader: &LedgerReader,
    wanted: &Wanted,
    form: Form,
    out: Box<dyn Write + Send>,
    counter: &AtomicU64,
) -> Result<Overtaken, ExportError> {
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let count = || _ = counter.fetch_add(1, Ordering::Relaxed);
    match form {
        Form::Rows(format) => {
            let mut writer = RowWriter::new(format, out)?;
            export::rows(reader, wanted, |row| {
                count();
                writer.row(row)
            })?;
            writer.finish()?;
        }
        Form::Counters(identity) => export::openmetrics(reader, wanted, &identity, &mut out, count)?,
    }
    Ok(if reader.is_overtaken() { Overtaken::Yes } else { Overtaken::No })
}

/// A file in the making, and what it will be called.
type Unfinished = (TempPath, PathBuf);

/// Where an export goes.
enum Target {
    /// Standard output.
    Standard,
    /// A device or a pipe, whose opening waits for who reads it.
    Special(PathBuf),
    /// A file in the making.
    File(File),
}

impl Target {
    fn open(self) -> Result<Box<dyn Write + Send>, CommandError> {
        Ok(match self {
            Self::Standard => Box::new(io::stdout()),
            Self::Special(path) => {
                let opened = File::options().write(true).open(&path);
                Box::new(opened.map_err(|error| CommandError::Create(path, error))?)
            }
            Self::File(file) => Box::new(file),
        })
    }
}

/// Returns what is written to.
fn output(path: Option<&str>) -> Result<(Target, Option<Unfinished>), CommandError> {
    let Some(path) = path.map(PathBuf::from) else { return Ok((Target::Standard, None)) };
    // Nothing takes the place of a device or a pipe.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Ok((Target::Special(path), None));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".openclaw-usage-export-");
    // As any file that is made here, and not for its owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let made = builder.tempfile_in(folder).map_err(|error| CommandError::Create(path.clone(), error))?;
    let (file, unfinished) = made.into_parts();
    Ok((Target::File(file), Some((unfinished, path))))
}

impl Source {
    /// Returns when the ledger was made; `None` if it is one for the occasion.
    fn made(&self, reader: &LedgerReader) -> Result<Option<UnixMs>, CommandError> {
        if self.is_own() {
            return Ok(None);
        }
        let usage = reader.usage().map_err(super::ReportError::Ledger)?;
        Ok(Some(usage.created).filter(|made| made.0 > 0))
    }
}
