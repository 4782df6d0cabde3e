//! Opens files of a directory that others write to, without ever blocking or leaving it.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Why a name could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is gone: deleted or renamed between the look at the directory and the open.
    #[error("{0} is gone")]
    Vanished(PathBuf),
    /// It is a directory, FIFO, socket or device.
    #[error("{0} is no regular file; it is skipped")]
    NotAFile(PathBuf),
    /// It is a symbolic link out of its directory.
    #[error("{0} is a symbolic link out of its directory; it is skipped")]
    SymlinkOutside(PathBuf),
    /// The system refused.
    #[error(
        "cannot open {path} for reading: {source}; run as the gateway's user or give this user read access"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// A regular file, and what it was when it was opened.
#[derive(Debug)]
pub struct Regular {
    /// The file, open for reading.
    pub file: File,
    /// Its size and times then.
    pub metadata: Metadata,
}

/// Opens a regular file of `directory` for reading.
///
/// A symbolic link is followed only to a file in the same directory. A FIFO or device is recognised before
/// and after the open, which never waits for a writer.
///
/// # Errors
/// See [`OpenError`].
pub fn open_regular(directory: &Path, name: &Path) -> Result<Regular, OpenError> {
    let path = directory.join(name);
    let classify = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::Vanished(path.clone()),
        _ => OpenError::Unreadable { path: path.clone(), source },
    };
    let mut metadata = path.symlink_metadata().map_err(classify)?;
    let mut target = path.clone();
    if metadata.is_symlink() {
        let home = directory.canonicalize().map_err(classify)?;
        target = path.canonicalize().map_err(classify)?;
        if target.parent() != Some(home.as_path()) {
            return Err(OpenError::SymlinkOutside(path));
        }
        metadata = target.symlink_metadata().map_err(classify)?;
    }
    if !metadata.is_file() {
        return Err(OpenError::NotAFile(path));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        File::from(rustix::fs::open(&target, flags, Mode::empty()).map_err(|errno| classify(errno.into()))?);
    // The name may have been replaced between the look and the open.
    let metadata = file.metadata().map_err(classify)?;
    if metadata.is_file() { Ok(Regular { file, metadata }) } else { Err(OpenError::NotAFile(path)) }
}
