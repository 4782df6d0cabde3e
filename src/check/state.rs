//! The gateway's state directory: which stores are there, and what stands in the way of reading them.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::database::Reading;
use super::page::many;
use super::report::{Finding, RejectCount, RunLogs, RunSums, Section, StateDirectory, Watching};
use super::scan::{Keys, Scan, Step};
use super::sums::sums;
use super::{access, database, jobs, webhooks};
use crate::config::{Config, NOWHERE, WatchMode};
use crate::model::{JobDefinition, RejectReason, UnixMs, UsageProvenance};
use crate::openclaw::{Layout, read_jobs, run_log};
use crate::tail::{WatchMethod, is_remote};

const HERE: Section = Section::StateDirectory;
const OTHER_USER: &str =
    "run openclaw-usage as the user that runs the gateway, or give this user that permission";

/// What was found.
pub struct State {
    /// As facts.
    pub directory: StateDirectory,
    /// As judgements.
    pub findings: Vec<Finding>,
    /// The runs of all stores.
    pub keys: Keys,
    /// Whether there is no store that a gateway could be adding to, and nothing in the way of one.
    pub no_store: bool,
    /// The list of jobs.
    pub jobs: Vec<JobDefinition>,
}

/// Looks into a state directory.
pub fn inspect(state_dir: &Path, home: Option<&Path>, now: UnixMs, on_step: &mut dyn FnMut(Step)) -> State {
    let path = state_dir.display().to_string();
    let mut state = State {
        directory: StateDirectory { path, ..StateDirectory::default() },
        findings: Vec::new(),
        keys: Keys::new(),
        no_store: false,
        jobs: Vec::new(),
    };
    if state_dir == Path::new(NOWHERE) {
        "none".clone_into(&mut state.directory.path);
        return state;
    }
    if let Some(obstacle) = obstacle(state_dir) {
        state.findings.push(obstacle);
        return state;
    }
    state.directory.readable = true;
    let (layout, problem) = Layout::read(state_dir, home);
    state.directory.openclaw_sqlite = layout.database.exists();
    if let Some(problem) = problem {
        state.findings.push(Finding::problem(HERE, problem.to_string(), OTHER_USER));
    }
    if layout.jobs_file != Layout::of(state_dir).jobs_file {
        let text = format!("openclaw.json (cron.store) puts the jobs at {}", layout.jobs_file.display());
        state.findings.push(Finding::ok(HERE, text));
    }
    let listed = state.read_job_list(&layout);
    let mut scan = Scan::default();
    let logs = scan.run_logs(&layout.runs_dir, now, on_step);
    // As `serve` does it: the list of an older gateway, if there is one, is in use.
    let with_jobs = !layout.jobs_file.exists();
    let database = database::read(&layout.database, with_jobs, &mut scan, now, on_step);
    let stored = database.as_ref().and_then(|reading| reading.jobs.clone());
    let (place, jobs) = match (listed, stored) {
        (Some(jobs), _) => (layout.jobs_file.display().to_string(), Some(jobs)),
        (None, stored) => ("cron_jobs".to_owned(), stored),
    };
    let list = jobs.as_ref().map(|jobs| jobs::facts(&place, jobs, &scan.all.jobs, now));
    state.directory.job_list = list;
    state.note_facts(&layout, &scan, database.as_ref(), logs.is_ok(), jobs.as_deref().unwrap_or_default());
    state.judge_stores(&layout, &scan, database.as_ref(), logs.err());
    let has_runs = scan.all.runs > 0;
    state.findings.extend(jobs::naming(state.directory.job_list.as_ref(), has_runs));
    let jobs = jobs.unwrap_or_default();
    state.findings.extend(jobs::lateness(&jobs, &scan.all.jobs, scan.all.newest, now));
    let stores = database.as_ref().map(Reading::stores).unwrap_or_default();
    state.findings.extend(webhooks::judge(&jobs, &layout, &stores));
    state.jobs = jobs;
    state.keys = scan.keys;
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
    }

    fn note_facts(
        &mut self,
        layout: &Layout,
        scan: &Scan,
        database: Option<&Reading>,
        has_logs: bool,
        jobs: &[JobDefinition],
    ) {
        let named = jobs.iter().filter(|job| !job.name.trim().is_empty());
        let names: HashMap<&str, &str> = named.map(|job| (job.job_id.as_str(), job.name.as_str())).collect();
        let name = |id: &str| names.get(id).map(|name| (*name).to_owned());
        self.directory.run_logs = has_logs.then(|| RunLogs {
            path: layout.runs_dir.display().to_string(),
            files: scan.files,
            migrated_files: scan.migrated,
            sums: sums(scan.store(run_log::SOURCE), &name),
        });
        self.directory.database = database.map(|reading| reading.state(&layout.database, scan, &name));
        let readable = self.directory.database.as_ref().is_some_and(|database| database.readable);
        self.directory.all_runs = (has_logs || readable).then(|| sums(&scan.all, &name));
    }

    fn judge_stores(
        &mut self,
        layout: &Layout,
        scan: &Scan,
        database: Option<&Reading>,
        no_logs: Option<io::Error>,
    ) {
        let before = self.findings.iter().filter(|finding| finding.remedy.is_some()).count();
        let listed = no_logs.is_none();
        let unlisted = no_logs.filter(|error| error.kind() != io::ErrorKind::NotFound);
        let hidden = unlisted.is_some();
        if let Some(error) = unlisted {
            self.findings.push(Finding::problem(HERE, unreadable(&layout.runs_dir, &error), OTHER_USER));
        }
        self.unreadable(layout, scan);
        self.findings.extend(database.and_then(|reading| reading.obstacle(&layout.database)));
        let readable = database.is_some_and(|reading| reading.sources().next().is_some());
        // An upgrade leaves the logs behind, renamed: no run will ever be added to them.
        let live = listed && (scan.files > 0 || (scan.migrated == 0 && database.is_none()));
        self.no_store = !live && !hidden && database.is_none();
        if self.no_store {
            self.findings.push(no_store(layout, scan));
        } else if scan.all.runs == 0 && (live || readable) {
            self.findings.push(Finding::note(HERE, no_run(layout, live, readable)));
        }
        let troubles = self.findings.iter().filter(|finding| finding.remedy.is_some()).count() > before;
        if scan.all.runs > 0 && scan.all.rejects.is_empty() && !troubles {
            self.findings.push(Finding::ok(
                HERE,
                match readable {
                    true => "every store can be read, and every record of a run in it counts",
                    false => "every run log can be read, and every line of them counts",
                },
            ));
        }
        self.judge_rejects();
        if let Some(partial) = scan.all.provenance.get(&UsageProvenance::Partial) {
            let runs = many(*partial, "run");
            let verb = if *partial == 1 { "is" } else { "are" };
            let text = format!(
                "{runs} {verb} `partial`: records of OpenClaw before 2026.8.1 hold no cache tokens, so less may be \
                 counted of them than was billed"
            );
            self.findings.push(Finding::note(HERE, text));
        }
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

    fn judge_rejects(&mut self) {
        let logs = self.directory.run_logs.iter().map(|logs| ("run logs", &logs.sums));
        let tables = self.directory.database.iter().flat_map(|database| &database.tables);
        let stores: Vec<(&str, &RunSums)> =
            logs.chain(tables.map(|table| (table.table.as_str(), &table.sums))).collect();
        let mut notes = Vec::new();
        for (store, sums) in stores {
            for RejectCount { reason, count, sample } in &sums.rejects {
                let what = many(*count, "piece");
                let text = format!("{what} of the {store} cannot be counted ({reason}), such as {sample}");
                notes.push(Finding::note(HERE, text).with(reject_remedy(reason)));
            }
        }
        self.findings.extend(notes);
    }
}

/// Says what it means that there is no store.
fn no_store(layout: &Layout, scan: &Scan) -> Finding {
    let (runs, database) = (layout.runs_dir.display(), layout.database.display());
    if scan.migrated > 0 {
        let text = format!(
            "the run logs in {runs} were taken over by OpenClaw 2026.6.1 or later, and its database {database} is not \
             there: runs since then are not seen"
        );
        return Finding::problem(HERE, text, "mount or name the whole state directory, with state/ in it");
    }
    if layout.cron_dir.exists() || layout.state_dir.join("openclaw.json").exists() {
        let text = format!(
            "no run yet: at the first OpenClaw makes {database}, or {runs} if it is of 2026.5.28 or before"
        );
        return Finding::note(HERE, text);
    }
    let text = format!(
        "{} is no state directory of OpenClaw: it has neither openclaw.json nor cron/ nor state/openclaw.sqlite",
        layout.state_dir.display()
    );
    Finding::problem(HERE, text, "name the gateway's own with --state-dir, such as ~/.openclaw")
}

fn no_run(layout: &Layout, live: bool, readable: bool) -> String {
    match (live, readable) {
        (true, false) => format!("no run yet: the logs in {} hold none", layout.runs_dir.display()),
        (false, _) => format!("no run yet: {} holds none", layout.database.display()),
        (true, true) => "no run yet: neither the logs nor the database hold one".to_owned(),
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
        "no run record is that long: look at what writes into that store"
    } else {
        "look at that place: a crash or an editor may have damaged it; everything else is counted"
    }
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
