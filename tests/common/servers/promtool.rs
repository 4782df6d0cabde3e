//! Prometheus's own judgement of what a `/metrics` page says, and of rules.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use super::{Version, programs};

/// `promtool check metrics` on a page in the classic text format, with further flags: its status and all that it said.
pub fn promtool_check_metrics(text: &str, flags: &[&str]) -> (ExitStatus, String) {
    // A file and no pipe: promtool may say something before it has read all.
    let mut page: File = tempfile::tempfile().expect("a temporary file");
    page.write_all(text.as_bytes()).expect("write a temporary file");
    page.rewind().expect("rewind a temporary file");
    let output = Command::new(programs("prometheus").join("promtool"))
        .args(["check", "metrics"])
        .args(flags)
        .env_clear()
        .stdin(Stdio::from(page))
        .output()
        .expect("run promtool");
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}

/// `promtool tsdb create-blocks-from openmetrics`: blocks for a data directory out of a file of samples.
pub fn promtool_create_blocks(samples: &Path, data: &Path, block_ms: i64) {
    let output = Command::new(programs("prometheus").join("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .arg(format!("--max-block-duration={}s", block_ms / 1_000))
        .args([samples, data])
        .env_clear()
        .output()
        .expect("run promtool");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool on {}: {}", samples.display(), String::from_utf8_lossy(&said));
}

/// `promtool` of that version with these arguments, in a folder: its status and all that it said.
pub fn promtool(version: Version, folder: &Path, arguments: &[&str]) -> (ExitStatus, String) {
    let output = Command::new(programs(version.server()).join("promtool"))
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .output()
        .expect("run promtool");
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}
