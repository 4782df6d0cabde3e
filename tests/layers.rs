//! Which module may use which: read off the sources.
//!
//! Tests beside the code are held to the same rules. Deliberately absent: paths through `super`, which the
//! module that they lead out of would have to be named for; they are refused as soon as they leave a top-level
//! module.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const MAX_LINES: usize = 500;

/// A top-level module, what it may use beside itself, and why no more.
type Rule = (&'static str, &'static [&'static str], &'static str);

const EVERYTHING: &[&str] = &[
    "backup",
    "bundle",
    "check",
    "cli",
    "clock",
    "config",
    "demo",
    "export",
    "ledger",
    "model",
    "openclaw",
    "page",
    "price",
    "relay",
    "report",
    "serve",
    "tail",
    "telemetry",
];

const RULES: [Rule; 28] = [
    ("model", &[], "the words of the project know nothing of who uses them"),
    ("tail", &["model"], "files of lines are read without knowing what a line means"),
    (
        "openclaw",
        &["model", "tail"],
        "formats become runs; where those are kept or shown is not their business",
    ),
    ("price", &["model"], "what tokens cost does not depend on which file says so or what was spent before"),
    ("ledger", &["model"], "the count must not depend on where records come from or where totals go"),
    (
        "telemetry",
        &["model", "ledger"],
        "points derive from committed totals alone, without sockets or clocks",
    ),
    (
        "config",
        &["model", "price"],
        "settings are plain values that are resolved before anything runs; of prices it asks what is a time zone",
    ),
    (
        "export",
        &["config", "model", "telemetry"],
        "sending knows snapshots and endpoints, not how they came about",
    ),
    (
        "relay",
        &["config", "export", "model", "price", "telemetry"],
        "messages follow from events and settings; the queue is the ledger's, and sending is an exporter's business",
    ),
    ("relay/tests", EVERYTHING, "they hold tasks against a real queue"),
    ("relay/command", EVERYTHING, "the command reads the ledger and the clock"),
    ("cli", &["config"], "the command line yields settings and nothing else"),
    ("clock", &["model"], "the clock only tells the time"),
    ("backup", &["cli", "config", "ledger", "model"], "the commands ask the ledger and say what it answers"),
    ("bundle", &["cli"], "rules are made of the repository's own files and a few flags"),
    (
        "bundle/tests",
        &["cli", "demo", "model", "telemetry"],
        "they hold rules against the catalogue, runbooks against the command line, and incidents against the alerts",
    ),
    ("demo", &["model"], "the simulated gateway must not share the code that counts it"),
    ("demo/command", EVERYTHING, "the command runs the daemon beside the simulation"),
    ("page", &[], "lines of text know nothing of what they say"),
    (
        "report",
        &["config", "ledger", "model", "page", "price"],
        "a report follows from a ledger and a question; of settings it asks how a duration is written",
    ),
    (
        "report/tests",
        &["cli", "config", "ledger", "model", "page", "price"],
        "they hold the flags' words against what a report knows",
    ),
    (
        "report/export",
        &["ledger", "model", "telemetry"],
        "rows and counters follow from a ledger; of metrics it asks under which names they go",
    ),
    (
        "report/fleet",
        &["ledger", "model", "page", "price", "telemetry"],
        "what is asked of a server are the metrics of the catalogue, by the names that it gives them",
    ),
    (
        "report/reconcile",
        &["ledger", "model", "page", "telemetry"],
        "what is compared are ledgers and counters, wherever they come from",
    ),
    ("report/command", EVERYTHING, "the command reads what there is and minds the terminal"),
    ("serve", EVERYTHING, "the wiring"),
    ("main", EVERYTHING, "the program"),
    ("check", EVERYTHING, "the command looks at everything"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn all(folder: &str) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    sources(&root().join(folder), &mut paths);
    paths.sort();
    let relative = |path: &Path| path.strip_prefix(root()).expect("below the root").display().to_string();
    paths.iter().map(|path| (relative(path), fs::read_to_string(path).expect("a source"))).collect()
}

/// Blanks out comments and the contents of strings and characters, line for line.
fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        out[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    };
    let find = |from: usize, what: &str| source[from..].find(what).map_or(bytes.len(), |at| from + at);
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(at, "\n"),
            b'/' if bytes[at..].starts_with(b"/*") => find(at, "*/"),
            b'r' if bytes[at..].starts_with(b"r\"") || bytes[at..].starts_with(b"r#\"") => {
                let hash = usize::from(bytes[at + 1] == b'#');
                find(at + 2 + hash, if hash == 1 { "\"#" } else { "\"" }) + 1 + hash
            }
            b'"' => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end] != b'"' {
                    end += 1 + usize::from(bytes[end] == b'\\');
                }
                end + 1
            }
            b'\'' if bytes.get(at + 1) == Some(&b'\\') => find(at + 3, "'") + 1,
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => at + 3,
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        blank(&mut out, at, end);
        at = end;
    }
    String::from_utf8(out).expect("only whole characters are blanked out")
}

/// The top-level modules that a piece of code names, with the line of each.
fn used(file: &str, code: &str) -> Vec<(usize, String)> {
    let line = |at: usize| code[..at].matches('\n').count() + 1;
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::").chain(code.match_indices("openclaw_usage::")) {
        // `$crate` in a macro is the same crate; `some_crate::` is another.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.trim_start().strip_prefix('{') {
            None => found.push((line(at), word(rest))),
            Some(list) => {
                let mut depth = 0;
                let mut begins = true;
                for (offset, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begins = true,
                        c if begins && c.is_alphabetic() => {
                            found.push((line(at), word(&list[offset..])));
                            begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    // From `src/a/b.rs`, `super::super::` is the root, unless it stands in a module inside the file.
    let inner = usize::from(code.contains("\nmod tests {"));
    let depth = file.trim_end_matches("/mod.rs").matches('/').count() + inner;
    let out = "super::".repeat(depth);
    found.extend(code.match_indices(&out).map(|(at, _)| (line(at), format!("super ({out})"))));
    found
}

/// The rule of a file: the longest that fits.
fn rule(file: &str) -> Option<&'static Rule> {
    let module = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    let fits = |rule: &&Rule| {
        module == rule.0 || module.strip_prefix(rule.0).is_some_and(|rest| rest.starts_with('/'))
    };
    RULES.iter().filter(fits).max_by_key(|rule| rule.0.len())
}

fn violations(file: &str, source: &str) -> Vec<String> {
    let Some((module, allowed, why)) = rule(file) else {
        return vec![format!("{file}: no rule says what this module may use; add one with its reason")];
    };
    let own = module.split('/').next().unwrap_or_default();
    used(file, &code(source))
        .into_iter()
        .filter(|(_, name)| name != own && !allowed.contains(&name.as_str()))
        .map(|(line, name)| format!("{file}:{line}: `{module}` must not use `{name}`: {why}"))
        .collect()
}

#[test]
fn every_module_uses_only_what_its_layer_may() {
    let found: Vec<String> = all("src")
        .iter()
        .filter(|(file, _)| file != "src/lib.rs")
        .flat_map(|(file, source)| violations(file, source))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_reader_of_sources_sees_every_way_to_name_a_module() {
    let cases: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("use crate::ledger::{Ledger, Totals};", &["src/tail/x.rs:1: `tail` must not use `ledger`"][..]),
        ("use crate::{\n  model::{Run, serve},\n  serve::Core, cli };", &["`serve`", "`cli`"][..]),
        ("fn f() -> crate::export::Sent { openclaw_usage::demo::run() }", &["`export`", "`demo`"][..]),
        ("\n\nuse super::super::serve::Core;", &["src/tail/x.rs:3: `tail` must not use `super"][..]),
        (
            "use crate::model::Run; use crate::tail::Line; use super::lines; use other_crate::serve::X;",
            &[][..],
        ),
        ("// crate::serve\n/* crate::serve */ let a = \"crate::serve \\\" crate::cli\";", &[][..]),
        ("let a = r#\"crate::serve \" x\"#; let b = '\"'; let c: &'static str = \"crate::cli\";", &[][..]),
    ]);
    for (source, expected) in cases {
        let found = violations("src/tail/x.rs", source);
        assert_eq!(found.len(), expected.len(), "{source}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{source}: {found}");
            assert!(found.ends_with("files of lines are read without knowing what a line means"), "{found}");
        }
    }
    assert!(violations("src/brand_new.rs", "").len() == 1, "a module without a rule is refused");
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let files = all("src").into_iter().chain(all("tests"));
    let long: Vec<String> = files
        .map(|(file, source)| (file, source.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(file, lines)| {
            format!("{file}: {lines} lines, {MAX_LINES} at most: split it by what it is about")
        })
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}
