//! The ledger: what it holds, who uses it, and how it compares with the state directory.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::access;
use super::page::many;
use super::report::{Finding, LedgerContent, LedgerState, LedgerStatus, RejectCount, Section};
use super::scan::{Keys, Seen, hash};
use super::state::State;
use super::sums::by_kind;
use crate::config::Config;
use crate::ledger::{LedgerError, LedgerReader};
use crate::model::RunAt;

const HERE: Section = Section::Ledger;

/// Looks at the ledger, beside what was found in the state directory.
pub fn inspect(config: &Config, found: &State, findings: &mut Vec<Finding>) -> LedgerState {
    let runs = &found.keys;
    let path = &config.ledger.path;
    let mut state = LedgerState { path: path.display().to_string(), ..LedgerState::default() };
    let in_state_dir = runs.len() as u64;
    match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.push(missing(path, in_state_dir));
            return state;
        }
        Err(error) => {
            state.status = LedgerStatus::Unreadable;
            let text = access::reading(path).map_or_else(
                || format!("cannot read the ledger {}: {error}", path.display()),
                |denied| denied.text(),
            );
            let remedy = "run check as the user that runs `serve`, or name another ledger with --ledger";
            findings.push(Finding::problem(HERE, text, remedy));
            return state;
        }
        Ok(_) => {}
    }
    state.in_use_by = lock_holder(path);
    match read(path, runs) {
        Ok(content) => {
            findings.extend(lost(&content).filter(|_| found.no_store));
            judge(config, &mut state, content, in_state_dir, findings);
        }
        Err(LedgerError::Missing { .. }) => findings.push(missing(path, in_state_dir)),
        Err(error) => {
            let (status, remedy) = remedy(&error);
            state.status = status;
            findings.push(Finding::problem(HERE, error.to_string(), remedy));
        }
    }
    state
}

fn missing(path: &Path, in_state_dir: u64) -> Finding {
    let shown = path.display();
    if let Some(denied) = access::making(path) {
        let text = format!("there is no ledger at {shown}, and one cannot be made: {}", denied.text());
        let remedy = "make that directory writable, or name another place with --ledger";
        return Finding::problem(HERE, text, remedy);
    }
    let text = match in_state_dir {
        0 => "there is no ledger yet; `serve` makes it",
        _ => "there is no ledger yet; `serve` makes it and counts the runs above",
    };
    Finding::note(HERE, text)
}

fn remedy(error: &LedgerError) -> (LedgerStatus, &'static str) {
    match error {
        LedgerError::Newer { .. } => {
            (LedgerStatus::Newer, "run the version of openclaw-usage that wrote it, or a later one")
        }
        LedgerError::Foreign { .. } => {
            (LedgerStatus::Foreign, "name another file with --ledger; this one is left alone")
        }
        LedgerError::Corrupt { .. } => (
            LedgerStatus::Corrupt,
            "start `serve`: it moves the file aside, and counts again what the state directory still has",
        ),
        _ => (LedgerStatus::Unreadable, "run check as the user that runs `serve`, and look at that disk"),
    }
}

/// Reads all of it; once more if a writer came while it was read as one at rest.
fn read(path: &Path, runs: &Keys) -> Result<LedgerContent, LedgerError> {
    let reader = LedgerReader::open(path)?;
    let content = content(&reader, runs);
    if reader.is_overtaken() { self::content(&LedgerReader::open(path)?, runs) } else { content }
}

fn content(reader: &LedgerReader, runs: &Keys) -> Result<LedgerContent, LedgerError> {
    reader.verify()?;
    let summary = reader.summary()?;
    let mut shared = 0;
    let folded_before = reader.for_each_run(|job_id: &str, at: RunAt| {
        shared += u64::from(runs.contains_key(&hash(job_id, at)));
    })?;
    // What retention has folded away can no longer be told run by run; it was counted.
    let folded = |seen: &&Seen| folded_before.is_some_and(|folded| seen.at_ms < folded.0);
    shared += runs.values().filter(folded).count() as u64;
    Ok(LedgerContent {
        gateway: summary.gateway,
        schema: summary.schema,
        jobs: summary.jobs,
        runs: summary.runs,
        tokens: by_kind(summary.tokens),
        rejects: summary
            .rejects
            .into_iter()
            .map(|(reason, count, sample)| RejectCount { reason, count, sample })
            .collect(),
        sources: summary.sources.into_iter().map(|(source, newest)| (source, newest.0)).collect(),
        last_run_ms: summary.last_run.map(|at| at.0),
        size_bytes: summary.size_bytes,
        not_counted_yet: (runs.len() as u64).saturating_sub(shared),
        no_longer_in_state_directory: summary.runs.saturating_sub(shared),
    })
}

/// Says which stores runs came from, now that there is none.
fn lost(content: &LedgerContent) -> Option<Finding> {
    let sources: Vec<&str> = content.sources.keys().map(String::as_str).collect();
    let text = format!(
        "runs came from {}, which the state directory no longer has, and nothing took its place",
        sources.join(", ")
    );
    let remedy =
        "if the state directory moved, give the new one with --state-dir; what was counted stays counted";
    (!sources.is_empty()).then(|| Finding::problem(HERE, text, remedy))
}

fn judge(
    config: &Config,
    state: &mut LedgerState,
    content: LedgerContent,
    in_state_dir: u64,
    findings: &mut Vec<Finding>,
) {
    if let Some(given) = config.gateway.as_ref().filter(|given| **given != content.gateway) {
        state.status = LedgerStatus::OtherGateway;
        let text = format!("the ledger belongs to the gateway {:?}, not {given:?}", content.gateway);
        let remedy = "give this gateway a ledger of its own with --ledger, or leave out --gateway";
        findings.push(Finding::problem(HERE, text, remedy));
    } else {
        state.status = LedgerStatus::Ok;
    }
    findings.push(match state.in_use_by {
        Some(0) => Finding::ok(HERE, "a running `serve` counts into it"),
        Some(process) => Finding::ok(HERE, format!("a running `serve` (process {process}) counts into it")),
        None => Finding::note(HERE, "no running `serve` is seen from here"),
    });
    if state.in_use_by.is_none() && !access::may_write(&config.ledger.path) {
        let text = "this user may read it but not write it";
        findings.push(Finding::note(HERE, text).with("run `serve` as the user that owns it"));
    }
    findings.extend(compare(&content, in_state_dir, state.in_use_by.is_some()));
    for RejectCount { reason, count, sample } in &content.rejects {
        let text = format!("{count} not counted since it was made ({reason}), such as {sample}");
        findings.push(Finding::note(HERE, text));
    }
    state.content = Some(content);
}

fn compare(content: &LedgerContent, in_state_dir: u64, in_use: bool) -> Vec<Finding> {
    let runs = |n| many(n, "run");
    let (behind, ahead) = (content.not_counted_yet, content.no_longer_in_state_directory);
    let mut findings = Vec::new();
    if behind > 0 && behind == in_state_dir && content.runs > 0 {
        let text = format!(
            "of the state directory's {} it has none, and has {} that are not there: is it the ledger of \
             another gateway?",
            runs(behind),
            runs(ahead)
        );
        findings.push(Finding::note(HERE, text).with("compare --state-dir and --ledger"));
        return findings;
    }
    if behind > 0 {
        let text = format!("{} of the state directory not counted yet", runs(behind));
        findings.push(Finding::note(HERE, text).with(if in_use {
            "wait a minute and check again; if they are still not counted, look at what `serve` says"
        } else {
            "start `serve`: it counts them"
        }));
    } else if in_state_dir > 0 {
        findings.push(Finding::ok(HERE, "every run of the state directory is counted"));
    }
    if ahead > 0 {
        let text = format!("{} in it that the state directory no longer has: they stay counted", runs(ahead));
        findings.push(Finding::ok(HERE, text));
    }
    findings
}

/// Returns the process that holds the ledger's lock, as far as it can be seen from here; 0 for one of another
/// container. The lock is looked up, not tried: a `serve` that starts at this moment must not find it taken.
fn lock_holder(path: &Path) -> Option<i32> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = std::fs::metadata(name).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder(&locks, file.dev(), file.ino())
}

/// Finds the `flock` on a file in the text of `/proc/locks`; see `proc_locks(5)`. File systems without a device
/// of their own (major number 0) may tell another number there than `stat` does, so only the inode counts then.
fn holder(locks: &str, dev: u64, inode: u64) -> Option<i32> {
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (kind, _, mode) = (fields.next()?, fields.next()?, fields.next()?);
        let process: i32 = fields.next()?.parse().ok()?;
        let mut place = fields.next()?.split(':');
        let its_major = u32::from_str_radix(place.next()?, 16).ok()?;
        let its_minor = u32::from_str_radix(place.next()?, 16).ok()?;
        let its_inode: u64 = place.next()?.parse().ok()?;
        let same_device = major == 0 || (its_major, its_minor) == (major, minor);
        (kind == "FLOCK" && mode == "WRITE" && its_inode == inode && same_device).then_some(process.max(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_among_others() {
        let locks = "\
1: POSIX  ADVISORY  WRITE 11 08:01:42 0 EOF
2: FLOCK  ADVISORY  WRITE 12 08:01:43 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 08:01:42 0 EOF
3: FLOCK  ADVISORY  READ  14 08:01:42 0 EOF
4: FLOCK  ADVISORY  WRITE 15 fd:0a:42 0 EOF
5: FLOCK  ADVISORY  WRITE -1 08:01:44 0 EOF
nonsense";
        let dev = rustix::fs::makedev(8, 1);
        assert_eq!(holder(locks, dev, 42), None);
        assert_eq!(holder(locks, dev, 43), Some(12));
        assert_eq!(holder(locks, dev, 44), Some(0));
        assert_eq!(holder(locks, rustix::fs::makedev(0xfd, 10), 42), Some(15));
        assert_eq!(holder(locks, rustix::fs::makedev(0, 33), 42), Some(15), "btrfs, overlayfs");
    }
}
