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

/// How far a table of a database has been consumed, by the numbers that SQLite gives to its rows.
///
/// A new row gets a number above all others, whatever time it speaks of and in whichever order rows were finished,
/// so that only what was consumed before it was finished has to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TablePosition {
    /// The database's file.
    pub file: FileId,
    /// SQLite's schema cookie: it moves when a table is rebuilt or the file is vacuumed, and row numbers with it.
    pub schema: i64,
    /// Number of the newest consumed row; 0 while none was.
    pub row: i64,
    /// Hash of what identifies that row, to notice that its number was given to another.
    pub mark: u64,
    /// Numbers of rows up to there that were not finished when they were last looked at.
    pub open: Vec<i64>,
}

/// How far a source has been consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// A file of lines.
    File(FilePosition),
    /// A table of a database.
    Table(TablePosition),
}

impl Position {
    /// Returns the position in a file of lines, if it is one.
    #[must_use]
    pub const fn file(&self) -> Option<FilePosition> {
        match self {
            Self::File(position) => Some(*position),
            Self::Table(_) => None,
        }
    }

    /// Returns the position in a table, if it is one.
    #[must_use]
    pub const fn table(&self) -> Option<&TablePosition> {
        match self {
            Self::File(_) => None,
            Self::Table(position) => Some(position),
        }
    }
}
