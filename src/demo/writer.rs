//! The run-log writer: append, and prune by temporary file and rename, as OpenClaw does.
//!
//! Invariants: an append is one write of the bytes it was given, at the file's end; a prune never changes
//! a file in place. Deliberately absent: OpenClaw's reading of the log as UTF-8 text when it prunes (bytes
//! that are not UTF-8 survive here).

use super::store::set_mode;
use super::{Error, Generation, Store, uuid};
use fastrand::Rng;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Size above which OpenClaw prunes a log after an append, in bytes.
pub(super) const MAX_BYTES: u64 = 2_000_000;
/// Number of lines that a prune keeps.
pub(super) const KEEP_LINES: usize = 2_000;

/// Writes run logs below one `cron/runs` directory.
#[derive(Debug)]
pub struct RunLogWriter {
    runs_dir: PathBuf,
    generation: Generation,
    max_bytes: u64,
    keep_lines: usize,
    pid: u32,
    /// For the names of temporary files only, so that limits do not change what is simulated.
    rng: Rng,
}

impl RunLogWriter {
    /// Returns a writer; a version that writes run logs creates the directory if it is not there.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn new(
        runs_dir: &Path,
        generation: Generation,
        max_bytes: u64,
        keep_lines: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut rng = Rng::with_seed(seed);
        let pid = rng.u32(300..40_000);
        let runs_dir = runs_dir.to_path_buf();
        let mut writer = Self { runs_dir, generation, max_bytes, keep_lines, pid, rng };
        writer.adopt(generation)?;
        Ok(writer)
    }

    /// Writes as another version from now on. One that keeps records elsewhere makes no directory.
    pub(super) fn adopt(&mut self, generation: Generation) -> Result<(), Error> {
        self.generation = generation;
        if generation.store() != Store::RunLogs {
            return Ok(());
        }
        let mode = if generation.is_late() { 0o700 } else { 0o755 };
        let (mut builder, path) = (DirBuilder::new(), &self.runs_dir);
        builder.recursive(true).mode(mode).create(path).map_err(Error::io("create", path))
    }

    /// Returns the directory of the logs.
    #[must_use]
    pub fn runs_dir(&self) -> &Path {
        &self.runs_dir
    }

    /// Returns the path of a job's log.
    #[must_use]
    pub fn path(&self, job_id: &str) -> PathBuf {
        self.runs_dir.join(format!("{job_id}.jsonl"))
    }

    /// Appends a line, adding its newline, and prunes if the log is then too large. Returns whether it was.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn append(&mut self, job_id: &str, line: &[u8]) -> Result<bool, Error> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        let size = self.append_raw(job_id, &bytes)?;
        if size > self.max_bytes {
            self.prune(job_id)?;
        }
        Ok(size > self.max_bytes)
    }

    /// Appends bytes as they are, in one write, and returns the file's size. Never prunes.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn append_raw(&self, job_id: &str, bytes: &[u8]) -> Result<u64, Error> {
        let path = self.path(job_id);
        let late = self.generation.is_late();
        if late {
            set_mode(&self.runs_dir, 0o700)?;
        }
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(self.file_mode());
        let mut file = options.open(&path).map_err(Error::io("open", &path))?;
        if late {
            set_mode(&path, 0o600)?;
        }
        file.write_all(bytes).map_err(Error::io("append to", &path))?;
        let size = file.metadata().map_err(Error::io("look at", &path))?.len();
        drop(file);
        if late {
            set_mode(&path, 0o600)?;
        }
        Ok(size)
    }

    /// Replaces a log by its last lines, whatever its size: a new file is renamed over it.
    ///
    /// # Errors
    /// The file system's, with the path; also when there is no such log.
    pub fn prune(&mut self, job_id: &str) -> Result<(), Error> {
        let path = self.path(job_id);
        let content = fs::read(&path).map_err(Error::io("read", &path))?;
        let name = self.temporary_name(job_id);
        let temporary = self.runs_dir.join(name);
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(self.file_mode());
        let mut file = options.open(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(&last_lines(&content, self.keep_lines)).map_err(Error::io("write", &temporary))?;
        drop(file);
        fs::rename(&temporary, &path).map_err(Error::io("replace", &path))
    }

    /// Empties a log in place.
    ///
    /// # Errors
    /// The file system's, with the path; also when there is no such log.
    pub fn truncate(&self, job_id: &str) -> Result<(), Error> {
        let path = self.path(job_id);
        let file = OpenOptions::new().write(true).open(&path).map_err(Error::io("open", &path))?;
        file.set_len(0).map_err(Error::io("truncate", &path))
    }

    /// Deletes a log.
    ///
    /// # Errors
    /// The file system's, with the path; also when there is no such log.
    pub fn delete(&self, job_id: &str) -> Result<(), Error> {
        let path = self.path(job_id);
        fs::remove_file(&path).map_err(Error::io("delete", &path))
    }

    /// Puts a new file with this content under a log's name, in place of whatever is there.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn recreate(&self, job_id: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.path(job_id);
        if path.exists() {
            fs::remove_file(&path).map_err(Error::io("delete", &path))?;
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(self.file_mode());
        let mut file: File = options.open(&path).map_err(Error::io("create", &path))?;
        file.write_all(content).map_err(Error::io("write", &path))
    }

    /// Renames a log as the upgrade to 2026.6 does: `<job>.jsonl` becomes `<job>.jsonl.migrated`.
    ///
    /// # Errors
    /// The file system's, with the path; also when there is no such log.
    pub fn rename_migrated(&self, job_id: &str) -> Result<(), Error> {
        let path = self.path(job_id);
        let target = self.runs_dir.join(format!("{job_id}.jsonl.migrated"));
        fs::rename(&path, &target).map_err(Error::io("rename", &path))
    }

    /// Puts a new directory with copies of all files in place of the old one, as a restored backup does.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn swap_runs_dir(&self) -> Result<(), Error> {
        let copy = self.runs_dir.with_extension("restored");
        let old = self.runs_dir.with_extension("old");
        fs::create_dir(&copy).map_err(Error::io("create", &copy))?;
        for entry in fs::read_dir(&self.runs_dir).map_err(Error::io("list", &self.runs_dir))? {
            let entry = entry.map_err(Error::io("list", &self.runs_dir))?;
            fs::copy(entry.path(), copy.join(entry.file_name())).map_err(Error::io("copy", &entry.path()))?;
        }
        fs::rename(&self.runs_dir, &old).map_err(Error::io("rename", &self.runs_dir))?;
        fs::rename(&copy, &self.runs_dir).map_err(Error::io("rename", &copy))?;
        fs::remove_dir_all(&old).map_err(Error::io("delete", &old))
    }

    const fn file_mode(&self) -> u32 {
        if self.generation.is_late() { 0o600 } else { 0o644 }
    }

    fn temporary_name(&mut self, job_id: &str) -> String {
        if self.generation.is_late() {
            return format!(".{job_id}.jsonl.{}.fallback.tmp", uuid(&mut self.rng));
        }
        format!("{job_id}.jsonl.{}.{:014x}.tmp", self.pid, self.rng.u64(..1 << 56))
    }
}

/// Returns the last `keep` lines that are not blank, trimmed, each with its newline.
fn last_lines(content: &[u8], keep: usize) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = content
        .rsplit(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .take(keep)
        .collect();
    lines.reverse();
    let mut kept = lines.join(&b'\n');
    kept.push(b'\n');
    kept
}
