//! The files of a bundle onto a disk.
//!
//! Invariants: if one file is somebody else's, none is written; what an earlier bundle wrote and this one does not have is
//! removed, since Prometheus would go on to load it. Deliberately absent: anything outside the directory.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::manifest::{self, Manifest};
use super::{BundleError, BundleFile};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or has another content.
    Written,
    /// It was there already.
    Unchanged,
    /// An earlier bundle had it.
    Removed,
}

/// Writes the files below a directory, which is created. Returns what became of each, in the order of their paths.
///
/// # Errors
/// A file is not from an earlier bundle and nobody said `force`, or the disk refuses.
pub fn write(folder: &Path, files: &[BundleFile], force: bool) -> Result<Vec<(String, Change)>, BundleError> {
    let index = folder.join(manifest::NAME);
    let before = Manifest::read(&String::from_utf8_lossy(&read(&index)?.unwrap_or_default()));
    let mut changes = Vec::new();
    let mut foreign = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        let there = read(&path)?;
        let change = match there {
            Some(content) if content == file.text.as_bytes() => Change::Unchanged,
            Some(content) if !force && !before.wrote(&file.path, &content) => {
                foreign.push(path);
                continue;
            }
            _ => Change::Written,
        };
        changes.push((file.path.clone(), change));
    }
    if !foreign.is_empty() {
        return Err(BundleError::Foreign(foreign));
    }
    // Known before it is written: a bundle that was cut short is not taken for somebody else's.
    let after = files.iter().map(|file| (file.path.clone(), manifest::hash(file.text.as_bytes()))).collect();
    put(&index, Manifest(after).text().as_bytes())?;
    for (file, (_, change)) in files.iter().zip(&changes) {
        if *change == Change::Written {
            put(&folder.join(&file.path), file.text.as_bytes())?;
        }
    }
    for path in before.0.keys().filter(|path| files.iter().all(|file| file.path != **path)) {
        let old = folder.join(path);
        if read(&old)?.is_some_and(|content| before.wrote(path, &content)) {
            fs::remove_file(&old).map_err(|source| BundleError::Write { path: old, source })?;
            changes.push((path.clone(), Change::Removed));
        }
    }
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(changes)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, BundleError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BundleError::Write { path: path.to_owned(), source }),
    }
}

/// Whole or not at all: Prometheus may read it at any moment.
fn put(path: &Path, content: &[u8]) -> Result<(), BundleError> {
    let failed = |source| BundleError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(content).map_err(failed)?;
    // A temporary file is for its owner alone; rules are read by others.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        new.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    new.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
