//! The files that a configuration was read from, and that one of them changed.
//!
//! File events tell of changes within a moment, and a look at what the files are, now and then, of those that no event
//! told of: a network file system, a directory above that was swapped. A file is another when it was replaced (by rename,
//! by a symlink's new target, as Kubernetes does with `..data`) or written to. Deliberately absent: what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::collector::{Stamp, stamp_of};
use crate::config::{Config, ConfigError, EndpointConfig, Loaded, Source};
use crate::tail::{Change, Watcher};

/// How long nothing must have happened to the files before they are read: writers take several steps.
const QUIET: Duration = Duration::from_millis(100);
/// Longest wait for that.
const UNREST: Duration = Duration::from_secs(1);
/// Time between two looks that no event asks for.
const LOOK: Duration = Duration::from_secs(15);
/// Reads of a configuration whose files are others each time.
const TRIES: usize = 3;

/// What files were at the time when they were read.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// Reads a configuration. Returns it with what its files were before they were read, so that no later change is missed.
pub fn load(source: &Source) -> (Result<Config, ConfigError>, Stamps) {
    let mut known = BTreeSet::new();
    for _ in 1..TRIES {
        let (config, stamps, is_all) = load_knowing(source, &mut known);
        if is_all {
            return (config, stamps);
        }
    }
    let (config, stamps, _) = load_knowing(source, &mut known);
    (config, stamps)
}

fn load_knowing(
    source: &Source,
    known: &mut BTreeSet<PathBuf>,
) -> (Result<Config, ConfigError>, Stamps, bool) {
    let mut stamps: Stamps = known.iter().map(|path| (path.clone(), stamp_of(path))).collect();
    let Loaded { config, mut files } = source.load();
    if let Ok(config) = &config {
        let endpoints = config.otlp.iter().chain(&config.events.otlp);
        files.extend(endpoints.flat_map(certificate_files).cloned());
    }
    let is_all = files.is_subset(known);
    stamps.retain(|path, _| files.contains(path));
    *known = files;
    (config, stamps, is_all)
}

fn certificate_files(endpoint: &EndpointConfig) -> impl Iterator<Item = &PathBuf> {
    [&endpoint.ca_file, &endpoint.client_cert_file, &endpoint.client_key_file].into_iter().flatten()
}

/// Returns a number that is another when a file with certificates of the endpoint is.
pub fn certificates(endpoint: &EndpointConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    certificate_files(endpoint).for_each(|path| stamp_of(path).hash(&mut hasher));
    hasher.finish()
}

/// A watch on files.
pub struct Files {
    stamps: Stamps,
    watcher: Option<Watcher>,
    stirred: Arc<Notify>,
    /// The names that events must be about.
    names: Arc<Mutex<BTreeSet<OsString>>>,
}

impl Files {
    /// Watches files that were so when they were read.
    pub fn new(stamps: Stamps) -> Self {
        let (stirred, names) = (Arc::new(Notify::new()), Arc::<Mutex<BTreeSet<OsString>>>::default());
        let (stir, about) = (Arc::clone(&stirred), Arc::clone(&names));
        let watcher = Watcher::new(move |change| {
            if concerns(&change, &about.lock().unwrap_or_else(PoisonError::into_inner)) {
                stir.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!("cannot watch the configuration: {error}; it is looked at every 15 s")
            })
            .ok();
        let mut files = Self { stamps: Stamps::new(), watcher, stirred, names };
        files.follow(stamps);
        files
    }

    /// Watches other files from now on.
    pub fn follow(&mut self, stamps: Stamps) {
        self.stamps = stamps;
        self.arm();
    }

    /// Waits until one of them is another than it was when it was read.
    pub async fn changed(&mut self) {
        while !self.are_others() {
            tokio::select! {
                () = self.stirred.notified() => self.rest().await,
                () = sleep(LOOK) => {}
            }
            self.arm();
        }
    }

    /// Waits until nothing more happens.
    async fn rest(&self) {
        let end = Instant::now() + UNREST;
        while timeout_at((Instant::now() + QUIET).min(end), self.stirred.notified()).await.is_ok() {}
    }

    fn are_others(&self) -> bool {
        self.stamps.iter().any(|(path, stamp)| stamp_of(path) != *stamp)
    }

    /// Watches the directories in which the files are, and those in which they really are.
    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let real = self.stamps.keys().filter_map(|path| path.canonicalize().ok());
        let paths: BTreeSet<PathBuf> = self.stamps.keys().cloned().chain(real).collect();
        let names = paths.iter().filter_map(|path| path.file_name()).map(ToOwned::to_owned).collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let directories = paths.iter().filter_map(|path| path.parent());
        let here = |path| if path == Path::new("") { Path::new(".") } else { path };
        for (directory, error) in watcher.cover(directories.map(here)) {
            tracing::debug!("cannot watch {}: {error}; it is looked at every 15 s", directory.display());
        }
    }
}

/// Returns whether a change may be one of files with these names; all that Kubernetes swaps begins with two dots.
fn concerns(change: &Change, names: &BTreeSet<OsString>) -> bool {
    let Change::Path(path) = change else { return true };
    path.file_name().is_some_and(|name| names.contains(name) || name.as_encoded_bytes().starts_with(b".."))
}
