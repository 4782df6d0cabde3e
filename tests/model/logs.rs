//! What happens to run logs and to the list of jobs beside them.

use std::fs;

use openclaw_usage::demo::Store;

use super::op::{JobList, Op};
use super::world::{JOBS, World};

impl World {
    /// Does something to the files that the gateway writes.
    pub(super) fn write(&mut self, op: &Op) {
        let now = self.now;
        let records_elsewhere = self.gateway.generation().store() != Store::RunLogs;
        if records_elsewhere && matches!(op, Op::Torn { .. } | Op::NoNewline { .. }) {
            return;
        }
        let job = match *op {
            Op::Runs { job, count } => {
                for _ in 0..count {
                    self.gateway.run_now(&self.jobs[job], now).expect("a run");
                }
                self.stamp_database();
                job
            }
            Op::Torn { job, cut } => {
                let torn = self.gateway.append_torn(&self.jobs[job], cut, now).expect("a torn record");
                let line = self.last_line(job);
                self.torn.push((torn, line));
                job
            }
            Op::NoNewline { job } => {
                let torn = self.gateway.append_without_newline(&self.jobs[job], now);
                let line = self.last_line(job);
                self.torn.push((torn.expect("a record without its newline"), line));
                job
            }
            Op::Complete { which } => {
                if self.torn.is_empty() {
                    return;
                }
                let (torn, line) = self.torn.remove(which % self.torn.len());
                let job = self.jobs.iter().position(|id| *id == torn.run().job_id).expect("a job of ours");
                let last = self.last_line(job);
                // The beginning of one record and the end of another would make a third that nobody wrote.
                if !last.is_empty() && last != line {
                    return;
                }
                self.gateway.complete_torn(torn).expect("the rest of a record");
                job
            }
            Op::Garbage { job, ref bytes } => self.append(job, bytes),
            Op::Oversized { job, ended } => {
                let mut line = vec![b'x'; (1 << 20) + 1];
                line.extend(ended.then_some(b'\n'));
                self.append(job, &line)
            }
            Op::Recreate { job } => {
                let content = self.backups.get(&job).cloned().unwrap_or_default();
                self.gateway.writer().recreate(&self.jobs[job], &content).expect("a new file");
                job
            }
            Op::SwapDirectory => {
                self.gateway.writer().swap_runs_dir().expect("a swapped directory");
                (0..JOBS).for_each(|job| self.stamp(job));
                return;
            }
            Op::DirectoryGoes => {
                fs::rename(self.runs_dir(), self.away_dir()).expect("the directory goes");
                self.away = true;
                return;
            }
            Op::Prune { job }
            | Op::Truncate { job }
            | Op::Delete { job }
            | Op::Backup { job }
            | Op::Overwrite { job }
            | Op::Migrate { job } => {
                if !self.path(job).exists() {
                    return;
                }
                self.change(op, job);
                job
            }
            ref other => unreachable!("{other:?} writes no run log"),
        };
        self.stamp(job);
    }

    /// Does something to a log that is there.
    pub(super) fn change(&mut self, op: &Op, job: usize) {
        let path = self.path(job);
        let (writer, id) = (self.gateway.writer(), &self.jobs[job]);
        match op {
            Op::Prune { .. } => writer.prune(id).expect("a prune"),
            Op::Truncate { .. } => writer.truncate(id).expect("an emptied log"),
            Op::Delete { .. } => writer.delete(id).expect("a deleted log"),
            Op::Migrate { .. } => writer.rename_migrated(id).expect("a renamed log"),
            Op::Overwrite { .. } => {
                fs::write(&path, self.backups.get(&job).cloned().unwrap_or_default())
                    .expect("an overwritten log");
            }
            _ => _ = self.backups.insert(job, fs::read(&path).expect("a log")),
        }
    }

    /// Returns what stands in a log behind its last newline.
    pub(super) fn last_line(&mut self, job: usize) -> Vec<u8> {
        let content = fs::read(self.path(job)).unwrap_or_default();
        content.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
    }

    pub(super) fn append(&mut self, job: usize, bytes: &[u8]) -> usize {
        self.gateway.writer().append_raw(&self.jobs[job], bytes).expect("an append");
        job
    }

    pub(super) fn write_jobs(&self, list: JobList) {
        if self.gateway.generation().store() != Store::RunLogs {
            return;
        }
        let path = self.folder.path().join("state/cron/jobs.json");
        match list {
            JobList::Whole => fs::write(path, &self.job_list).expect("jobs.json"),
            JobList::HalfWritten => {
                fs::write(path, &self.job_list[..self.job_list.len() / 2]).expect("half of jobs.json");
            }
            JobList::Missing => _ = fs::remove_file(path),
        }
    }
}
