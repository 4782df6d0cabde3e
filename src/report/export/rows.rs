//! The rows of a ledger, one at a time.

use std::cell::RefCell;

use super::columns::{Row, Whose, row_of_day, row_of_part};
use super::{ExportError, Wanted};
use crate::ledger::LedgerReader;
use crate::report::group::Names;
use crate::report::tally::Selected;

/// Hands out a row for each run and set of labels that is wanted, job by job and in the order of time; then a row for
/// each set of labels of each folded day. Ends early when the receiver fails.
///
/// # Errors
/// The ledger's, and those of the receiver.
pub fn rows(
    reader: &LedgerReader,
    wanted: &Wanted,
    mut on_row: impl FnMut(&Row<'_>) -> std::io::Result<()>,
) -> Result<(), ExportError> {
    let usage = reader.usage()?;
    let names = Names::of(&usage);
    let selected = Selected::new(&names, &usage, &wanted.selection);
    let failed = RefCell::new(None);
    let mut hand_out = |row: &Row<'_>| {
        let mut failed = failed.borrow_mut();
        if failed.is_none() {
            *failed = on_row(row).err();
        }
    };
    let is_wanted = |job| selected.job(job) && failed.borrow().is_none();
    usage.for_each_run(wanted.window, is_wanted, |run| {
        let parts = run.parts.iter().enumerate();
        for (nth, part) in parts.filter(|(_, part)| selected.label(part.labels)) {
            hand_out(&row_of_part(&whose(&names, run.job, part.labels), run, nth, part));
        }
    })?;
    if failed.borrow().is_none() {
        usage.for_each_folded(wanted.window, |day| {
            let job = names.job_of_labels(day.labels);
            if selected.job(job) && selected.label(day.labels) {
                hand_out(&row_of_day(&whose(&names, job, day.labels), day));
            }
        })?;
    }
    failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
}

fn whose(names: &Names, job: usize, labels: usize) -> Whose<'_> {
    let (id, name) = names.jobs.get(job).map_or(("", ""), |(id, name)| (id, name));
    Whose {
        gateway: names.gateway_of_job(job),
        job: (id, name),
        agent: names.agent_of_labels(labels),
        model: names.model_of_labels(labels),
    }
}
