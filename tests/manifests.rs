//! deploy/kubernetes and config-manager, judged by what is at home with YAML and with JavaScript: Go and Node.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::daemon::PROGRAM;

/// The pinned ones; `make node` puts them where they are looked for.
const NODE: &str = "node-24.19.0-json5-2.2.3";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(name)
}

/// Every overlay renders, schemas take it, it is hardened, its names lead somewhere, this program takes its flags and files, and
/// rules and dashboards are what `bundle` writes; and each kind of mistake is refused.
#[test]
fn manifests_hold_what_they_promise() {
    let output = Command::new("go")
        .args(["test", "-count=1", "./..."])
        .current_dir(folder("check"))
        .envs([("GOFLAGS", "-mod=readonly"), ("GOWORK", "off"), ("OPENCLAW_USAGE", PROGRAM)])
        .output()
        .expect("run go, which the test servers need too");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.starts_with("ok"), "{said}");
}

/// Swaps, half-written files, a mount that vanishes, a gateway that is down: config-manager's own tests.
#[test]
fn config_manager_brings_what_is_whole_and_removes_only_its_own() {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).expect("HOME is set");
    let tools = cache.join("openclaw-usage/tools").join(NODE);
    let node = tools.join("bin/node");
    assert!(node.exists(), "there is no {}: `make node` makes it (needs Python 3)", node.display());
    let output = Command::new(node)
        .args(["--test", "--test-reporter=tap", "config-manager.test.mjs"])
        .current_dir(folder("reference/gateway/config-manager"))
        .env("CONFIG_MANAGER_TEST_MODULES", tools)
        .output()
        .expect("run node");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        output.status.success() && said.contains("\n# fail 0\n") && !said.contains("\n# pass 0\n"),
        "{said}"
    );
}
