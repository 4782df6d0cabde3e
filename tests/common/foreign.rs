//! A daemon whose user owns nothing of the gateway's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::getuid;

use super::daemon::{PROGRAM, Sandbox};

/// The user that the daemon runs as where a test needs one without any rights: nobody, if we may decide.
const NOBODY: u32 = 65_534;

/// A sandbox in which the daemon's user owns the place of the ledger and nothing else. `None` where we may not become
/// another user and are root all the same, so that no permission would stop us.
pub fn foreign_sandbox() -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    mode(&sandbox.path(""), 0o755);
    let own = sandbox.ledger().parent().unwrap().to_owned();
    fs::create_dir(&own).unwrap();
    if !getuid().is_root() {
        return Some(sandbox);
    }
    chown(&own, Some(NOBODY), Some(NOBODY)).ok()?;
    // The program may lie where only root can look.
    fs::copy(PROGRAM, sandbox.path("program")).unwrap();
    Some(sandbox)
}

/// `serve` as a user who owns nothing of the gateway's; without root, as ourselves, whom modes stop as well.
pub fn as_nobody(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    if !getuid().is_root() {
        return sandbox.command(arguments);
    }
    let mut command = Command::new(sandbox.path("program"));
    command.uid(NOBODY).gid(NOBODY);
    sandbox.arguments(&mut command, arguments);
    command
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("chmod {}: {error}", path.display()));
}
