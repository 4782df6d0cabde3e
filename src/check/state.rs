//! The gateway's state directory: which stores are there, and what stands in the way of reading them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use super::access;
use super::page::many;
use super::report::{Finding, JobList, JobSum, RejectCount, RunLogs, Section, StateDirectory, Watching};
use super::scan::{Scan, Step, scan};
use crate::config::{Config, WatchMode};
use crate::model::{JobDefinition, RejectReason, ScheduleKind, TokenKind, UnixMs};
use crate::openclaw::{Layout, read_jobs};
use crate::tail::{WatchMethod, is_remote};

const HERE: Section = Section::StateDirectory;
/// Jobs that are listed one by one.
const TOP_JOBS: usize = 10;
const OTHER_USER: &str =
    "run openclaw-usage as the user that runs the gateway, or give this user that permission";

/// What was found.
pub struct State {
    /// As facts.
    pub directory: StateDirectory,
    /// As judgements.
    pub findings: Vec<Finding>,
    /// The runs: hash of the key, time in milliseconds.
    pub keys: HashMap<u64, i64>,
}

/// Looks into a state directory.
pub fn inspect(state_dir: &Path, home: Option<&Path>, now: UnixMs, on_step: &mut dyn FnMut(Step)) -> State {
    let path = state_dir.display().to_string();
    let mut state = State {
        directory: StateDirectory { path, ..StateDirectory::default() },
        findings: Vec::new(),
        keys: HashMap::new(),
    };
    if let Some(obstacle) = obstacle(state_dir) {
        state.findings.push(obstacle);
        return state;
    }
    state.directory.readable = true;
    state.directory.openclaw_sqlite = state_dir.join("state").join("openclaw.sqlite").exists();
    let (layout, problem) = Layout::read(state_dir, home);
    if let Some(problem) = problem {
        state.findings.push(Finding::problem(HERE, problem.to_string(), OTHER_USER));
    }
    if layout != Layout::of(state_dir) {
        let text = format!("openclaw.json (cron.store) puts the jobs at {}", layout.jobs_file.display());
        state.findings.push(Finding::ok(HERE, text));
    }
    let jobs = state.read_job_list(&layout);
    match scan(&layout.runs_dir, now, on_step) {
        Ok(scan) => state.judge(&layout, scan, jobs.as_deref().unwrap_or_default()),
        Err(error) => state.no_run_logs(&layout, &error),
    }
    if state.directory.openclaw_sqlite {
        state.findings.push(newer_openclaw());
    }
    state
}

/// Returns why the state directory cannot be looked into.
fn obstacle(path: &Path) -> Option<Finding> {
    let problem = |text: String, remedy: &str| Some(Finding::problem(HERE, text, remedy));
    let shown = path.display();
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => problem(
            format!("the state directory {shown} does not exist"),
            "name the gateway's own with --state-dir, or start the gateway once; `serve` waits for it",
        ),
        Err(error) => problem(unreadable(path, &error), OTHER_USER),
        Ok(metadata) if !metadata.is_dir() => problem(
            format!("{shown} is no directory"),
            "name the gateway's state directory with --state-dir, such as ~/.openclaw",
        ),
        Ok(_) => match std::fs::read_dir(path).err().map(|error| unreadable(path, &error)) {
            Some(text) => problem(text, OTHER_USER),
            None => access::reading(path).and_then(|denied| problem(denied.text(), OTHER_USER)),
        },
    }
}

/// Returns which permission is missing, else what the system said.
fn unreadable(path: &Path, error: &io::Error) -> String {
    let denied = (error.kind() == io::ErrorKind::PermissionDenied).then(|| access::reading(path)).flatten();
    denied.map_or_else(|| format!("cannot read {}: {error}", path.display()), |denied| denied.text())
}

fn newer_openclaw() -> Finding {
    Finding::problem(
        HERE,
        "state/openclaw.sqlite is there: this gateway is OpenClaw 2026.6.1 or later, which keeps its runs in \
         that database. This version of openclaw-usage reads only run logs, which OpenClaw wrote up to \
         2026.5.28: runs since the upgrade are not counted.",
        "use a version of openclaw-usage that reads the database; what is counted until then stays counted",
    )
}

impl State {
    fn read_job_list(&mut self, layout: &Layout) -> Option<Vec<JobDefinition>> {
        match read_jobs(&layout.jobs_file) {
            Ok(jobs) => jobs,
            Err(error) => {
                let remedy = "if the gateway was just writing it, check again; else give this user read \
                              access or mend the file: until then new jobs have no names";
                self.findings.push(Finding::problem(HERE, error.to_string(), remedy));
                None
            }
        }
        .inspect(|jobs| {
            let count =
                |is: &dyn Fn(&JobDefinition) -> bool| jobs.iter().filter(|job| is(job)).count() as u64;
            self.directory.job_list = Some(JobList {
                defined: jobs.len() as u64,
                unnamed: count(&|job| job.name.trim().is_empty()),
                disabled: count(&|job| !job.enabled),
                one_shot: count(&|job| job.schedule == ScheduleKind::OneShot),
                gone: 0,
            });
        })
    }

    fn no_run_logs(&mut self, layout: &Layout, error: &io::Error) {
        let runs_dir = &layout.runs_dir;
        let finding = if error.kind() != io::ErrorKind::NotFound {
            Finding::problem(HERE, unreadable(runs_dir, error), OTHER_USER)
        } else if self.directory.openclaw_sqlite {
            return;
        } else if layout.cron_dir.exists() || layout.state_dir.join("openclaw.json").exists() {
            let text = format!("no run yet: OpenClaw makes {} at the first", runs_dir.display());
            Finding::note(HERE, text)
        } else {
            let text = format!(
                "{} is no state directory of OpenClaw: it has neither openclaw.json nor cron/",
                layout.state_dir.display()
            );
            Finding::problem(HERE, text, "name the gateway's own with --state-dir, such as ~/.openclaw")
        };
        self.findings.push(finding);
        self.judge_job_list();
    }

    fn judge(&mut self, layout: &Layout, scan: Scan, jobs: &[JobDefinition]) {
        let names: HashMap<&str, &str> = jobs
            .iter()
            .filter(|job| !job.name.trim().is_empty())
            .map(|job| (job.job_id.as_str(), job.name.as_str()))
            .collect();
        if let Some(list) = &mut self.directory.job_list {
            let gone = |id: &&String| !jobs.iter().any(|job| job.job_id == **id);
            list.gone = scan.jobs.keys().filter(gone).count() as u64;
        }
        self.unreadable(layout, &scan);
        self.keys = scan.keys;
        let logs = RunLogs {
            path: layout.runs_dir.display().to_string(),
            files: scan.files,
            migrated_files: scan.migrated,
            jobs: scan.jobs.len() as u64,
            runs: self.keys.len() as u64,
            duplicates: scan.duplicates,
            tokens: by_kind(scan.tokens),
            runs_by_status: scan.statuses.iter().map(|(at, n)| (at.as_str().to_owned(), *n)).collect(),
            runs_by_provenance: scan.provenance.iter().map(|(at, n)| (at.as_str().to_owned(), *n)).collect(),
            rejects: scan
                .rejects
                .into_iter()
                .map(|(reason, (count, sample))| RejectCount {
                    reason: reason.as_str().to_owned(),
                    count,
                    sample,
                })
                .collect(),
            newest_record_ms: scan.newest.map(|at| at.0),
            top_jobs: top_jobs(scan.jobs, &names),
        };
        self.judge_logs(&logs);
        self.directory.run_logs = Some(logs);
        self.judge_job_list();
    }

    fn unreadable(&mut self, layout: &Layout, scan: &Scan) {
        let Some((name, error)) = scan.unreadable.first() else { return };
        let why = unreadable(&layout.runs_dir.join(name), error);
        let text = match scan.unreadable.len() - 1 {
            0 => why,
            more => format!("{why}; so it is with {more} more"),
        };
        self.findings.push(Finding::problem(HERE, text, OTHER_USER));
    }

    fn judge_logs(&mut self, logs: &RunLogs) {
        if logs.runs == 0 {
            let text = format!("no run yet: the logs in {} hold none", logs.path);
            self.findings.push(Finding::note(HERE, text));
        }
        if logs.runs > 0 && logs.rejects.is_empty() && self.findings.is_empty() {
            self.findings.push(Finding::ok(HERE, "every run log can be read, and every line of them counts"));
        }
        for reject in &logs.rejects {
            let RejectCount { reason, count, sample } = reject;
            let what = many(*count, "piece");
            let text = format!("{what} of the run logs cannot be counted ({reason}), such as {sample}");
            self.findings.push(Finding::note(HERE, text).with(reject_remedy(reason)));
        }
    }

    fn judge_job_list(&mut self) {
        let finding = match &self.directory.job_list {
            Some(list) if list.unnamed > 0 => {
                Finding::note(HERE, format!("{} without a name", many(list.unnamed, "job")))
                    .with("name them in OpenClaw; until then their series have only openclaw_job_id")
            }
            None if !self.keys.is_empty() => {
                Finding::note(HERE, "there is no list of jobs (cron/jobs.json), so jobs have no names here")
            }
            _ => return,
        };
        self.findings.push(finding);
    }
}

/// Returns what to do about a reject.
fn reject_remedy(reason: &str) -> &'static str {
    let is = |known: RejectReason| known.as_str() == reason;
    if is(RejectReason::Unreadable) {
        OTHER_USER
    } else if is(RejectReason::NotAFile) || is(RejectReason::SymlinkOutside) {
        "if that name is a run log of yours, put the file itself there; else nothing is lost"
    } else if is(RejectReason::LineTooLong) {
        "no run record is that long: look at what writes into that file"
    } else {
        "look at that line: a crash or an editor may have damaged it; all other lines are counted"
    }
}

fn top_jobs(jobs: BTreeMap<String, (u64, u64)>, names: &HashMap<&str, &str>) -> Vec<JobSum> {
    let mut sums: Vec<JobSum> = jobs
        .into_iter()
        .map(|(id, (runs, tokens))| JobSum {
            name: names.get(id.as_str()).map(|name| (*name).to_owned()),
            id,
            runs,
            tokens,
        })
        .collect();
    sums.sort_by(|a, b| (b.tokens, b.runs, &a.id).cmp(&(a.tokens, a.runs, &b.id)));
    sums.truncate(TOP_JOBS);
    sums
}

/// Returns counts under the names of their kinds.
pub fn by_kind(tokens: [u64; 4]) -> BTreeMap<String, u64> {
    TokenKind::ALL.iter().zip(tokens).map(|(kind, n)| (kind.as_str().to_owned(), n)).collect()
}

/// Says how changes will be noticed.
pub fn watching(config: &Config, findings: &mut Vec<Finding>) -> Watching {
    let remote = is_remote(&config.state_dir);
    let method = match config.watch {
        WatchMode::Poll => WatchMethod::Poll,
        WatchMode::Auto if remote => WatchMethod::Poll,
        WatchMode::Auto | WatchMode::Events => WatchMethod::Events,
    };
    let every = config.poll_interval_ms;
    findings.push(match (config.watch, remote) {
        (WatchMode::Poll, _) => {
            Finding::ok(Section::Watching, format!("by polling every {every} ms, as `watch = \"poll\"` says"))
        }
        (WatchMode::Auto, true) => Finding::ok(
            Section::Watching,
            format!("by polling every {every} ms: the state directory is on a network file system"),
        ),
        (WatchMode::Events, true) => Finding::note(
            Section::Watching,
            "by file events, which a network file system such as this does not send: changes are found by a \
             sweep once a minute",
        )
        .with("leave out `watch = \"events\"`: by itself `serve` would poll here"),
        (WatchMode::Auto, false) => Finding::ok(
            Section::Watching,
            "by file events, as the file system is local; by polling if events turn out not to come",
        ),
        (WatchMode::Events, false) => {
            Finding::ok(Section::Watching, "by file events, as `watch = \"events\"` says")
        }
    });
    Watching { method: method.as_str().to_owned(), remote }
}
