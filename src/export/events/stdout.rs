//! Events on standard output, one JSON object a line, for whoever collects the output of containers.
//!
//! A thread of its own writes, since a pipe that nobody reads blocks: then only this sink waits, and the end of the
//! program does not. Invariant: every line is one write, so that readers of a pipe see whole lines up to 4 KiB.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use super::{EventFeed, Sink, Told, stats};
use crate::export::bisect::Halt;
use crate::model::StoredEvent;
use crate::telemetry::ExportFailure;

/// How long to wait after a failure: whoever closed our output seldom opens it again. A minute.
const WAIT_MS: u64 = 60_000;

/// Lines, and who waits for their end.
type Job = (Vec<String>, oneshot::Sender<io::Result<()>>);

/// Writes events to one place.
pub struct StdoutSink {
    jobs: Sender<Job>,
}

impl StdoutSink {
    /// Starts the thread that writes to standard output.
    ///
    /// # Errors
    /// The system gives no thread or file descriptor.
    pub fn start() -> io::Result<Self> {
        // Around the buffer of `std::io::stdout`, which keeps what could not be written.
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        Self::start_on(File::from(output))
    }

    pub(super) fn start_on(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            let mut torn = false;
            while let Ok((lines, done)) = inbox.recv() {
                // Nobody waits any more at shutdown.
                _ = done.send(lines.iter().try_for_each(|line| write(&mut output, line, &mut torn)));
            }
        })?;
        Ok(Self { jobs })
    }
}

/// Writes a line; behind a torn one, on a line of its own.
fn write(output: &mut impl Write, line: &str, torn: &mut bool) -> io::Result<()> {
    let text = if *torn { format!("\n{line}\n") } else { format!("{line}\n") };
    *torn = true;
    output.write_all(text.as_bytes())?;
    output.flush()?;
    *torn = false;
    Ok(())
}

impl Sink for StdoutSink {
    async fn tell(&mut self, events: &[StoredEvent], feed: &EventFeed) -> Result<Told, Halt> {
        stats(feed, |stats| stats.attempts += 1);
        let (done, written) = oneshot::channel();
        let lines = events.iter().map(|event| event.content.clone()).collect();
        let result = match self.jobs.send((lines, done)) {
            Ok(()) => written.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        result.map_err(|error| {
            stats(feed, |stats| *stats.failures.entry(ExportFailure::Connection).or_default() += 1);
            let message = format!("cannot write to standard output: {error}");
            Halt { after_ms: Some(WAIT_MS), failure: ExportFailure::Connection, message }
        })?;
        Ok(Told { delivered: u64::try_from(events.len()).unwrap_or(u64::MAX), ..Told::default() })
    }

    fn remedy(&self, _: &Halt) -> &'static str {
        "restart the program with an output that is read, or leave out --events stdout"
    }
}
