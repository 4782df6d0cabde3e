//! Grafana's own linter of dashboards.

use std::path::Path;
use std::process::{Command, ExitStatus};

use super::programs;

/// `dashboard-linter lint --strict` on a file; exemptions are in the file `.lint` beside it. Its status and all that it said.
pub fn dashboard_linter(dashboard: &Path) -> (ExitStatus, String) {
    let output = Command::new(programs("dashboard-linter").join("dashboard-linter"))
        .args(["lint", "--strict"])
        .arg(dashboard)
        .env_clear()
        .output()
        .expect("run dashboard-linter");
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}
