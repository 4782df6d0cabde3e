//! Loki's own judgement of rule files.

use std::path::Path;
use std::process::{Command, ExitStatus};

use super::programs;

/// `lokitool` with these arguments, in a folder: its status and all that it said.
pub fn lokitool(folder: &Path, arguments: &[&str]) -> (ExitStatus, String) {
    let output = Command::new(programs("loki").join("lokitool"))
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .output()
        .expect("run lokitool");
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}
