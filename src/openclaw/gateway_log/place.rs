//! Where a gateway's log is, which days it has, and what its rotated files are called.
//!
//! Source: OpenClaw 2026.9.6. Without `logging.file` it is `openclaw-<local date>.log` in the temporary directory's
//! `openclaw/`, with `-<profile>` behind the first word; a configured file of that name is dated likewise, any other
//! is used as it is. A file above 100 MB (`logging.maxFileBytes`) becomes `<stem>.1<extension>`, up to five of those.
//! Dated files that were not written to for 24 h are deleted when a new day begins. The date is that of the gateway's
//! time zone, which need not be ours, so that it is read from the names and never reckoned.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// Where OpenClaw logs unless told otherwise.
pub const DEFAULT_DIR: &str = "/tmp/openclaw";
/// What dated names begin with.
const STEM: &str = "openclaw";
/// OpenClaw keeps so many rotated files.
const ROTATED: u8 = 5;
/// Most files that are looked at: days and what was rotated of them.
const MAX_FILES: usize = 64;

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One file, and what was rotated of it.
    File {
        /// Its directory.
        dir: PathBuf,
        /// Its name.
        name: OsString,
    },
    /// One file for each day.
    Dated {
        /// Their directory.
        dir: PathBuf,
        /// What their names begin with.
        stem: String,
    },
}

/// One file of a log.
#[derive(Debug)]
pub struct LogFile {
    /// Its name.
    pub name: OsString,
    /// What the system says of it.
    pub metadata: Metadata,
}

impl Place {
    /// Returns where a log is that was given as this path: as OpenClaw takes it, and a directory stands for the dated
    /// files in it.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let dir = |path: &Path| path.parent().map(Path::to_path_buf).unwrap_or_default();
        match path.file_name() {
            Some(name)
                if name == "openclaw-YYYY-MM-DD.log" || day_of(name, STEM).is_some_and(|d| d.1 == 0) =>
            {
                Self::Dated { dir: dir(path), stem: STEM.to_owned() }
            }
            Some(name) if !path.is_dir() => Self::File { dir: dir(path), name: name.to_owned() },
            _ => Self::Dated { dir: path.to_path_buf(), stem: STEM.to_owned() },
        }
    }

    /// Returns where the log of the gateway with this state directory is unless it was told otherwise. The directory
    /// of a profile is named after it.
    #[must_use]
    pub fn by_default(dir: &Path, state_dir: &Path) -> Self {
        let name = state_dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let profile = name
            .strip_prefix(".openclaw-")
            .filter(|profile| profile.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        let stem = profile.map_or_else(|| STEM.to_owned(), |profile| format!("{STEM}-{profile}"));
        Self::Dated { dir: dir.to_path_buf(), stem }
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            Self::File { dir, .. } | Self::Dated { dir, .. } => dir,
        }
    }

    /// Returns the path for people.
    #[must_use]
    pub fn shown(&self) -> PathBuf {
        match self {
            Self::File { dir, name } => dir.join(name),
            Self::Dated { dir, stem } => dir.join(format!("{stem}-YYYY-MM-DD.log")),
        }
    }

    /// Returns whether a name is one of the log's files.
    #[must_use]
    pub fn holds(&self, name: &OsStr) -> bool {
        match self {
            Self::File { name: own, .. } => {
                own == name || (1..=ROTATED).any(|index| rotated(own, index) == name)
            }
            Self::Dated { stem, .. } => day_of(name, stem).is_some(),
        }
    }

    /// Returns the files that are there, those that were written first coming first. `rotated` asks for what was
    /// rotated of one file as well; of dated ones all are found at once.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn files(&self, with_rotated: bool) -> io::Result<Vec<LogFile>> {
        match self {
            Self::File { dir, name } => {
                let rotated = (1..=ROTATED).rev().filter(|_| with_rotated).map(|index| rotated(name, index));
                let names = rotated.chain([name.clone()]);
                names.filter_map(|name| log_file(dir, name).transpose()).collect()
            }
            Self::Dated { dir, stem } => {
                let entries = match std::fs::read_dir(dir) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    entries => entries?,
                };
                let names = entries.flatten().map(|entry| entry.file_name());
                let mut found: Vec<_> = names.filter_map(|name| Some((day_of(&name, stem)?, name))).collect();
                // A higher number is older: it was the first to be renamed.
                found.sort_by(|(a, _), (b, _)| {
                    (&a.0, std::cmp::Reverse(a.1)).cmp(&(&b.0, std::cmp::Reverse(b.1)))
                });
                let newest = found.split_off(found.len().saturating_sub(MAX_FILES));
                newest.into_iter().filter_map(|(_, name)| log_file(dir, name).transpose()).collect()
            }
        }
    }
}

fn log_file(dir: &Path, name: OsString) -> io::Result<Option<LogFile>> {
    match dir.join(&name).symlink_metadata() {
        Ok(metadata) => Ok(Some(LogFile { name, metadata })),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns the name that a file gets when it is rotated for the `index`th time.
fn rotated(name: &OsStr, index: u8) -> OsString {
    let path = Path::new(name);
    let mut rotated = path.file_stem().unwrap_or(name).to_owned();
    rotated.push(format!(".{index}"));
    if let Some(extension) = path.extension() {
        rotated.push(".");
        rotated.push(extension);
    }
    rotated
}

/// Returns the day and the number of rotations of a dated name: `openclaw-2026-11-21.log`, `openclaw-2026-11-21.1.log`.
fn day_of(name: &OsStr, stem: &str) -> Option<(String, u8)> {
    let rest = name.to_str()?.strip_prefix(stem)?.strip_prefix('-')?;
    let (day, rest) = rest.split_at_checked(10)?;
    let is_day = day.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let middle = rest.strip_suffix(".log").filter(|_| is_day)?;
    let index = match middle.strip_prefix('.') {
        Some(digits) => digits.parse().ok().filter(|index| (1..=ROTATED).contains(index))?,
        None if middle.is_empty() => 0,
        None => return None,
    };
    Some((day.to_owned(), index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_day_and_the_rotation() {
        for (name, expected) in [
            ("openclaw-2026-11-21.log", Some(("2026-11-21", 0))),
            ("openclaw-2026-11-21.5.log", Some(("2026-11-21", 5))),
            ("openclaw-2026-11-21.6.log", None),
            ("openclaw-2026-11-21.log.gz", None),
            ("openclaw-work-2026-11-21.log", None),
            ("openclaw-2026-1-211.log", None),
            ("openclaw-2026-11-2é.log", None),
        ] {
            let expected = expected.map(|(day, index)| (day.to_owned(), index));
            assert_eq!(day_of(OsStr::new(name), "openclaw"), expected, "{name}");
        }
        assert_eq!(rotated(OsStr::new("gateway.log"), 2), "gateway.2.log");
        assert_eq!(rotated(OsStr::new("gateway"), 1), "gateway.1");
    }

    #[test]
    fn a_path_is_taken_as_openclaw_takes_it() {
        let dated = |dir: &str, stem: &str| Place::Dated { dir: dir.into(), stem: stem.into() };
        for name in ["openclaw-YYYY-MM-DD.log", "openclaw-2026-01-02.log"] {
            assert_eq!(Place::of(&Path::new("/l").join(name)), dated("/l", "openclaw"));
        }
        let file = Place::of(Path::new("/l/openclaw-2026-01-02.1.log"));
        assert!(matches!(file, Place::File { .. }), "{file:?}");
        for (state_dir, stem) in [
            ("/h/.openclaw", "openclaw"),
            ("/h/.openclaw-work", "openclaw-work"),
            ("/h/.openclaw-a-b", "openclaw"),
            ("/data", "openclaw"),
        ] {
            let place = Place::by_default(Path::new(DEFAULT_DIR), Path::new(state_dir));
            assert_eq!(place, dated("/tmp/openclaw", stem), "{state_dir}");
        }
    }
}
