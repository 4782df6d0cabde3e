//! What one look at a source yields.

use super::{BilledCall, FailedCall, GatewayEvent, Position, RunKey, Runs, SourceId};

/// Why a piece of input was not counted: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The line is not JSON.
    InvalidJson,
    /// The line is JSON, but not a record of a finished run.
    NotARun,
    /// A count is negative, fractional or above 2^53.
    ImpossibleCount,
    /// A time lies before 2015 or years ahead.
    ImpossibleTime,
    /// The line, or the text of a row, is longer than 1 MiB.
    LineTooLong,
    /// The name is no regular file: a directory, FIFO, socket or device.
    NotAFile,
    /// The name is a symbolic link out of its directory.
    SymlinkOutside,
    /// The file could not be opened or read.
    Unreadable,
    /// The file is no database of SQLite's: empty, encrypted or damaged.
    NotADatabase,
    /// The database has none of the tables that are known to hold runs, or they lack a column.
    UnknownSchema,
}

impl RejectReason {
    /// All values.
    pub const ALL: [Self; 10] = [
        Self::InvalidJson,
        Self::NotARun,
        Self::ImpossibleCount,
        Self::ImpossibleTime,
        Self::LineTooLong,
        Self::NotAFile,
        Self::SymlinkOutside,
        Self::Unreadable,
        Self::NotADatabase,
        Self::UnknownSchema,
    ];

    /// Returns the value of the `openclaw.reason` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotARun => "not_a_run",
            Self::ImpossibleCount => "impossible_count",
            Self::ImpossibleTime => "impossible_time",
            Self::LineTooLong => "line_too_long",
            Self::NotAFile => "not_a_file",
            Self::SymlinkOutside => "symlink_outside",
            Self::Unreadable => "unreadable",
            Self::NotADatabase => "not_a_database",
            Self::UnknownSchema => "unknown_schema",
        }
    }
}

/// A piece of input that could not be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// Where it was and what shape it had. Never content: no value of a record appears here.
    pub sample: String,
    /// Hash of what it was, if it may be met again where nothing tells that it was met before: counted once then.
    pub mark: Option<u64>,
}

impl Reject {
    /// Returns a piece of input that is met once.
    #[must_use]
    pub const fn new(reason: RejectReason, sample: String) -> Self {
        Self { reason, sample, mark: None }
    }
}

/// What lies between two positions of a source: the unit that is committed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where it comes from.
    pub source: SourceId,
    /// The position at which it starts; must equal the stored one. `None`: never read before.
    pub from: Option<Position>,
    /// The position behind it.
    pub to: Position,
    /// The runs in the order in which they stand there.
    pub runs: Runs,
    /// Model calls, each with the run that it belongs to; told after the runs.
    pub calls: Vec<BilledCall>,
    /// Runs whose last call failed, whatever their record says.
    pub failed: Vec<FailedCall>,
    /// What the gateway's log says of its scheduler.
    pub events: Vec<GatewayEvent>,
    /// What runs said, each cut short; nothing unless somebody passes it on.
    pub summaries: Vec<(RunKey, String)>,
    /// What could not be counted.
    pub rejects: Vec<Reject>,
    /// Whether the last consumed line was gone: history between two looks may have been lost.
    pub gap: bool,
    /// Whether all of this was consumed before and is only held against what is known: what is known already and
    /// what cannot be counted is then not counted a second time.
    pub again: bool,
}

impl Batch {
    /// Returns a batch that moves nothing but the position.
    #[must_use]
    pub const fn new(source: SourceId, from: Option<Position>, to: Position) -> Self {
        Self {
            source,
            from,
            to,
            runs: Runs::new(),
            calls: Vec::new(),
            failed: Vec::new(),
            events: Vec::new(),
            summaries: Vec::new(),
            rejects: Vec::new(),
            gap: false,
            again: false,
        }
    }
}
