//! Notices that something changed: by file events where they come, by polling where they do not.
//!
//! Events are hints. What they miss, a sweep finds; a sweep that finds what no event told of is how the
//! automatic mode notices that this file system sends none (NFS and its like). Deliberately absent: reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::model::{FileId, UnixMs};

/// What an event told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something happened to this path.
    Path(PathBuf),
    /// Events were lost; look everywhere.
    Everything,
}

/// A file-event watch on some directories, none of which need exist.
pub struct Watcher {
    inner: RecommendedWatcher,
    armed: BTreeMap<PathBuf, FileId>,
}

impl Watcher {
    /// Starts watching nothing yet. `on_change` is called on the watch's own thread and must be quick.
    ///
    /// # Errors
    /// The system grants no more watches (`fs.inotify.max_user_instances`).
    pub fn new(on_change: impl Fn(Change) + Send + 'static) -> notify::Result<Self> {
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if event.need_rescan() => on_change(Change::Everything),
            Ok(event) if is_change(event.kind) => {
                event.paths.into_iter().for_each(|path| on_change(Change::Path(path)));
            }
            Ok(_) => {}
            Err(_) => on_change(Change::Everything),
        })?;
        Ok(Self { inner, armed: BTreeMap::new() })
    }

    /// Drops the watch of a directory that something happened to, so that [`cover`](Self::cover) sets a new one:
    /// what was deleted and made again may bear the same number.
    pub fn forget(&mut self, directory: &Path) {
        if self.armed.remove(directory).is_some() {
            // Fails if the directory is gone, and then the system has already dropped the watch.
            _ = self.inner.unwatch(directory);
        }
    }

    /// Makes the watch cover each directory, or the nearest ancestor that exists so that its appearance is
    /// noticed. Directories that were replaced are watched anew. Returns the directories that could not be
    /// watched, with the reason.
    pub fn cover<'a>(&mut self, directories: impl IntoIterator<Item = &'a Path>) -> Vec<(PathBuf, String)> {
        let mut wanted: BTreeMap<PathBuf, FileId> = BTreeMap::new();
        for directory in directories {
            for candidate in directory.ancestors() {
                if let Some(id) = directory_id(candidate) {
                    wanted.insert(candidate.to_path_buf(), id);
                    break;
                }
            }
        }
        let mut refused = Vec::new();
        for (path, id) in &self.armed {
            if wanted.get(path) != Some(id) {
                // Fails if the directory is gone, and then the system has already dropped the watch.
                let _ = self.inner.unwatch(path);
            }
        }
        self.armed.retain(|path, id| wanted.get(path) == Some(id));
        for (path, id) in wanted {
            if self.armed.contains_key(&path) {
                continue;
            }
            match self.inner.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.armed.insert(path, id),
                Err(error) => refused.push((path, error.to_string())),
            }
        }
        refused
    }
}

/// Openings and changes of mode are not changes: our own reads cause the first, OpenClaw's `chmod` after
/// every append the second.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)))
}

fn directory_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let metadata = path.metadata().ok()?;
    metadata.is_dir().then(|| FileId { dev: metadata.dev(), ino: metadata.ino() })
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMethod {
    /// By file events, with a sweep now and then.
    Events,
    /// By sweeps alone.
    Poll,
}

impl WatchMethod {
    /// Returns the value of the `openclaw.watch` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Poll => "poll",
        }
    }
}

/// Longest time between two sweeps in milliseconds.
const SWEEP_MS: i64 = 60_000;
/// First sweep while it is not known whether events come; doubles up to [`SWEEP_MS`].
const UNPROVEN_SWEEP_MS: i64 = 1_000;
/// How late an event may be before it counts as missing.
const EVENT_GRACE_MS: i64 = 1_000;

/// Decides when to sweep, and whether events can be relied on.
#[derive(Debug)]
pub struct Cadence {
    method: WatchMethod,
    /// The method may still change.
    automatic: bool,
    poll_ms: i64,
    sweep_ms: i64,
    last_sweep: UnixMs,
    /// Changes that a sweep found before any event told of them.
    untold: BTreeSet<PathBuf>,
}

impl Cadence {
    /// Starts with `method`. `automatic`: switch to polling when events prove not to come.
    #[must_use]
    pub const fn new(method: WatchMethod, automatic: bool, poll_ms: i64, now: UnixMs) -> Self {
        let sweep_ms = if automatic { UNPROVEN_SWEEP_MS } else { SWEEP_MS };
        Self { method, automatic, poll_ms, sweep_ms, last_sweep: now, untold: BTreeSet::new() }
    }

    /// Returns how changes are noticed now.
    #[must_use]
    pub const fn method(&self) -> WatchMethod {
        self.method
    }

    /// Notes that an event told of `path`: events do come.
    pub fn told(&mut self, path: &Path) {
        self.untold.remove(path);
        if self.automatic {
            self.sweep_ms = SWEEP_MS;
        }
    }

    /// Returns how long to wait for the next sweep, in milliseconds from `now`.
    #[must_use]
    pub fn wait_ms(&self, now: UnixMs) -> u64 {
        let interval = match self.method {
            WatchMethod::Poll => self.poll_ms,
            WatchMethod::Events if self.untold.is_empty() => self.sweep_ms,
            WatchMethod::Events => EVENT_GRACE_MS,
        };
        // A clock that stepped back must not stretch the wait.
        let passed = now.since(self.last_sweep).max(0);
        u64::try_from((interval - passed).clamp(0, interval)).unwrap_or(0)
    }

    /// Notes a finished sweep with the changed files that it found. Returns whether events have just proved
    /// not to come, so that from here on the files are polled.
    pub fn swept(&mut self, found: impl IntoIterator<Item = PathBuf>, now: UnixMs) -> bool {
        let overdue = !self.untold.is_empty();
        self.untold.clear();
        self.last_sweep = now;
        if self.method == WatchMethod::Poll {
            return false;
        }
        if overdue && self.automatic {
            self.method = WatchMethod::Poll;
            return true;
        }
        self.untold.extend(found);
        if self.automatic {
            self.sweep_ms = (self.sweep_ms * 2).min(SWEEP_MS);
        }
        false
    }
}

/// Returns whether `path` lies on a file system whose changes by others cause no events here: a network
/// file system or one in user space. Source: `statfs(2)`, the `linux/magic.h` numbers.
#[must_use]
pub fn is_remote(path: &Path) -> bool {
    const REMOTE: [i64; 8] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x6573_5546, // FUSE, virtiofs
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
    ];
    path.ancestors()
        .find_map(|ancestor| rustix::fs::statfs(ancestor).ok())
        .is_some_and(|stat| REMOTE.contains(&(stat.f_type & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_do_not_come_turn_the_automatic_mode_to_polling() {
        let mut cadence = Cadence::new(WatchMethod::Events, true, 500, UnixMs(0));
        assert_eq!(cadence.wait_ms(UnixMs(0)), 1_000);
        assert!(!cadence.swept([PathBuf::from("a.jsonl")], UnixMs(1_000)));
        assert_eq!(cadence.wait_ms(UnixMs(1_000)), 1_000, "the event has its grace");
        assert!(cadence.swept([], UnixMs(2_000)));
        assert_eq!(cadence.method(), WatchMethod::Poll);
        assert_eq!(cadence.wait_ms(UnixMs(2_000)), 500);
    }

    #[test]
    fn an_event_that_comes_late_proves_that_events_come() {
        let mut cadence = Cadence::new(WatchMethod::Events, true, 500, UnixMs(0));
        cadence.swept([PathBuf::from("a.jsonl")], UnixMs(1_000));
        cadence.told(Path::new("a.jsonl"));
        assert!(!cadence.swept([], UnixMs(2_000)));
        assert_eq!((cadence.method(), cadence.wait_ms(UnixMs(2_000))), (WatchMethod::Events, 60_000));
    }

    #[test]
    fn forced_events_never_become_polling_and_a_clock_step_back_never_stretches_the_wait() {
        let mut cadence = Cadence::new(WatchMethod::Events, false, 500, UnixMs(0));
        cadence.swept([PathBuf::from("a.jsonl")], UnixMs(60_000));
        assert!(!cadence.swept([], UnixMs(61_000)));
        assert_eq!(cadence.wait_ms(UnixMs(-3_600_000)), 60_000);
    }
}
