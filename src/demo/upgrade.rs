//! Another version on the same state directory: what it finds, imports, renames and leaves behind.
//!
//! Invariants: no record is lost or written twice by an upgrade, and every run that was under way is recorded by the
//! version that starts next, as interrupted and unbilled. A rollback leaves the newer version's files as they are, but
//! for the database, which only the version that wrote it opens.

use super::catalogue;
use super::jobs::Job;
use super::plan::Running;
use super::provider::{Ending, Outcome};
use super::record::{RunRecord, Times};
use super::sqlite::{self, OldLine};
use super::store::Change;
use super::{Error, Finished, Gateway, Generation, Store};
use crate::model::UnixMs;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

impl Gateway {
    /// Stops the gateway and starts a newer version on its state directory, which may skip versions. Returns the runs
    /// recorded: those that ended until `now` and those that were interrupted.
    ///
    /// # Errors
    /// [`Error::WrongWay`]; the file system's and SQLite's, with the path; [`Error::NewerDatabase`] after a rollback.
    pub fn upgrade(&mut self, to: Generation, now: UnixMs) -> Result<Vec<Finished>, Error> {
        let from = self.generation();
        if to <= from {
            return Err(Error::WrongWay { action: "upgrade", from: from.version(), to: to.version() });
        }
        let mut finished = self.step(now)?;
        let interrupted = self.stop();
        self.shelf.push((from, self.jobs.clone()));
        if from.store() == Store::CronRunLogs
            && let Some(database) = &self.database
        {
            let backup = backup(&self.state_dir);
            if backup.exists() {
                fs::remove_file(&backup).map_err(Error::io("delete", &backup))?;
            }
            database.back_up(&backup)?;
        }
        self.adopt(to, now.0)?;
        if from.store() == Store::RunLogs && to.store() != Store::RunLogs {
            self.import_run_logs(from, now.0)?;
        }
        if to.store() == Store::TaskRuns && self.jobs.iter().all(|job| job.declaration.is_none()) {
            let system = catalogue::system(&mut self.rng, self.options.scene, now.0);
            self.jobs.extend(system);
        }
        for running in interrupted {
            finished.push(self.record_interrupted(from, running, now.0)?);
        }
        if let (Store::TaskRuns, Some(database)) = (to.store(), &self.database) {
            database.give_up(now.0)?;
        }
        self.persist(Change::Jobs)?;
        Ok(finished)
    }

    /// Stops the gateway and starts an older version, which knows nothing of what the newer one wrote. Where an upgrade
    /// renamed its job list it starts without jobs, until [`Self::restore_jobs`]; to 2026.6.11 the operator moves
    /// the copy back that was made before the upgrade, or else the newer database out of the way. Returns the runs
    /// that ended until `now`; those under way are never recorded by the older version.
    ///
    /// # Errors
    /// [`Error::WrongWay`]; the file system's and SQLite's, with the path.
    pub fn rollback(&mut self, to: Generation, now: UnixMs) -> Result<Vec<Finished>, Error> {
        let from = self.generation();
        if to >= from {
            return Err(Error::WrongWay { action: "roll back", from: from.version(), to: to.version() });
        }
        let finished = self.step(now)?;
        drop(self.stop());
        let before = std::mem::take(&mut self.jobs);
        self.database = None;
        if to.store() == Store::CronRunLogs {
            let (path, copy) = (sqlite::path(&self.state_dir), backup(&self.state_dir));
            let newer = path.with_extension("sqlite.newer");
            fs::rename(&path, &newer).map_err(Error::io("rename", &path))?;
            if copy.exists() {
                fs::rename(&copy, &path).map_err(Error::io("rename", &copy))?;
            }
        }
        self.adopt(to, now.0)?;
        if from.store() == Store::RunLogs {
            // Both keep the list in the same file.
            self.jobs = before;
            self.jobs.iter_mut().for_each(|job| job.state.running_at_ms = None);
            self.persist(Change::Jobs)?;
            return Ok(finished);
        }
        // A second run must not get the start or the bill of one that the newer version recorded.
        let jobs = self.shelved(to, &before, now.0);
        if to.store() == Store::RunLogs && !self.job_list().exists() {
            self.shelf.retain(|(generation, _)| *generation != to);
            self.shelf.push((to, jobs));
            return Ok(finished);
        }
        self.jobs = jobs;
        self.persist(Change::Jobs)?;
        Ok(finished)
    }

    /// Puts the job list back under its name that an upgrade renamed, as an operator does after a rollback.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn restore_jobs(&mut self, now: UnixMs) -> Result<(), Error> {
        for name in ["jobs.json", "jobs-state.json"] {
            let renamed = self.state_dir.join("cron").join(format!("{name}.migrated"));
            if renamed.exists() {
                let target = self.state_dir.join("cron").join(name);
                fs::rename(&renamed, &target).map_err(Error::io("rename", &renamed))?;
            }
        }
        let generation = self.generation();
        if self.shelf.iter().any(|(of, _)| *of == generation) {
            self.jobs = self.shelved(generation, &[], now.0);
        }
        self.persist(Change::Jobs)
    }

    fn job_list(&self) -> PathBuf {
        self.state_dir.join("cron").join("jobs.json")
    }

    /// Ends the process: what is under way stays unfinished.
    fn stop(&mut self) -> Vec<Running> {
        self.plan.batches.drain(..).flat_map(|batch| batch.runs).collect()
    }

    /// Starts as this version.
    fn adopt(&mut self, generation: Generation, now: i64) -> Result<(), Error> {
        self.options.generation = generation;
        self.store.adopt(generation);
        self.writer.adopt(generation)?;
        self.open_database(now)
    }

    /// Returns the jobs that a version left behind, with a future that begins now and the past of `since`.
    fn shelved(&self, generation: Generation, since: &[Job], now: i64) -> Vec<Job> {
        let found = self.shelf.iter().rfind(|(of, _)| *of == generation);
        let mut jobs = found.map(|(_, jobs)| jobs.clone()).unwrap_or_default();
        for job in &mut jobs {
            job.state.running_at_ms = None;
            job.state.next_run_at_ms = job.schedule.first_after(now);
            if let Some(later) = since.iter().find(|later| later.id == job.id) {
                job.calls = later.calls;
                job.last_run_at = later.last_run_at;
            }
        }
        jobs
    }

    /// Records a run that was under way when the gateway stopped.
    fn record_interrupted(
        &mut self,
        from: Generation,
        running: Running,
        now: i64,
    ) -> Result<Finished, Error> {
        let index = self.index_of(&running.job_id)?;
        let outcome =
            Outcome { ending: Ending::Interrupted, calls: Vec::new(), duration_ms: now - running.run_at };
        let mut running = Running { outcome, task: None, ..running };
        if let Some(database) = &mut self.database {
            let own = database.running(&running.job_id, running.run_at)?;
            let task = match own {
                Some(task) => task,
                None => database.start(&self.jobs[index], running.run_at)?,
            };
            // 2026.6.11 leaves the rows of its ledger alone that an older process began.
            let updates =
                self.options.generation.store() == Store::TaskRuns || from.store() != Store::RunLogs;
            running.task = updates.then_some(task);
        }
        let next_run_at = self.next_run(index, &running, now);
        let times = Times { ts: now, run_at: running.run_at, next_run_at };
        let composed = self.compose(index, &running, times)?;
        self.retire(index, composed.finished.status, now);
        self.commit(composed)
    }

    /// Imports every run log and renames what was imported, the job list too.
    fn import_run_logs(&mut self, from: Generation, now: i64) -> Result<(), Error> {
        let mut logs = Vec::new();
        let folder = self.writer.runs_dir().to_path_buf();
        for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let path = entry.map_err(Error::io("list", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                logs.push(path);
            }
        }
        logs.sort();
        let mut history = Vec::new();
        for log in &logs {
            let bytes = fs::read(log).map_err(Error::io("read", log))?;
            history.extend(String::from_utf8_lossy(&bytes).lines().filter_map(old_line));
        }
        let names: BTreeMap<&str, &str> =
            self.jobs.iter().map(|job| (job.id.as_str(), job.name.as_str())).collect();
        if let Some(database) = &mut self.database {
            database.import(&history, &names, from.is_late(), now)?;
        }
        for log in &logs {
            let archive = log.with_extension("jsonl.migrated");
            // An archive of an earlier upgrade is not replaced: the log then keeps its name.
            if !archive.exists() {
                fs::rename(log, &archive).map_err(Error::io("rename", log))?;
            }
        }
        for name in ["jobs.json", "jobs-state.json"] {
            archive(&self.state_dir.join("cron").join(name))?;
        }
        Ok(())
    }
}

/// Returns a line of a run log with what it says; `None` if OpenClaw would not read it.
fn old_line(line: &str) -> Option<OldLine> {
    let record: RunRecord = serde_json::from_str(line).ok()?;
    Some(OldLine { record, line: line.to_owned() })
}

/// Renames a file that was imported, if it is there.
fn archive(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let name = |number: u32| {
        let mut name = path.to_path_buf().into_os_string();
        name.push(if number == 1 { ".migrated".to_owned() } else { format!(".migrated.{number}") });
        PathBuf::from(name)
    };
    let target = (1..).map(name).find(|target| !target.exists());
    let Some(target) = target else { return Ok(()) };
    fs::rename(path, target).map_err(Error::io("rename", path))
}

/// Returns where the copy is kept that 2026.9.6 makes of an older database.
fn backup(state_dir: &Path) -> PathBuf {
    sqlite::path(state_dir).with_extension("sqlite.pre-startup-migration.bak")
}
