//! `openclaw-usage bundle`.

use std::fs;
use std::io::Write;

use crate::cli::BundleArgs;

use super::write::{self, Change};
use super::{BundleError, Selector, Settings};

/// Writes a bundle and says what was written.
///
/// # Errors
/// It was asked for something that cannot be, a file is somebody else's, or the disk refuses.
pub fn run(args: &BundleArgs, out: &mut impl Write) -> Result<(), BundleError> {
    let thresholds = match &args.thresholds {
        Some(path) => fs::read_to_string(path)
            .map_err(|source| BundleError::ThresholdsFile { path: path.clone(), source })?,
        None => String::new(),
    };
    let settings = Settings {
        selector: Selector::parse(args.selector.as_deref().unwrap_or_default())?,
        logs: Selector::parse(&args.log_selector)?,
        runbook_base: args.runbook_base.clone(),
        datasource: args.datasource.clone(),
        thresholds,
        kubernetes: args.kubernetes,
    };
    let changes = write::write(&args.out, &super::files(&settings)?, args.force)?;
    for (path, change) in changes {
        let word = match change {
            Change::Written => "wrote",
            Change::Unchanged => "kept",
            Change::Removed => "removed",
        };
        writeln!(out, "{word:<8}{}", args.out.join(path).display()).map_err(BundleError::Output)?;
    }
    Ok(())
}
