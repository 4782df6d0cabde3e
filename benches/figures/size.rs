//! How large the program is.

use crate::Failure;
use crate::daemon::program;
use crate::measure::float;
use crate::table::Table;

/// Measures the file; benches are built as releases are.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    table.at_most("release binary", 8.0, "MB", float(std::fs::metadata(program())?.len()) / 1e6);
    Ok(())
}
