//! How far a source has been read.

use std::fmt;

/// The stable name of one place that runs come from, such as `run-log/<job>.jsonl`.
///
/// It keys the stored position, so it must not change between versions or restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub String);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells one file from another under the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub dev: u64,
    /// Inode number. The system reuses it after a deletion, so it is a hint and never a proof.
    pub ino: u64,
}

/// What the last consumed line was, so that it can be found again in a rewritten file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LineMark {
    /// Hash of the line without its newline.
    pub hash: u64,
    /// Hash of the line before it; 0 if it was the first line of its file.
    pub previous: u64,
    /// Bytes from its beginning to the position behind it: the line, its newline and blank lines after it.
    pub len: u64,
}

/// How far a growing file of lines has been consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FilePosition {
    /// The file.
    pub file: FileId,
    /// Byte offset behind the last consumed line (behind its newline if it had one).
    pub offset: u64,
    /// That line; `None` while none was consumed.
    pub last: Option<LineMark>,
    /// Bytes behind `offset` that belong to an unfinished line over the length limit and are done with.
    pub skipped: u64,
}
