//! Where a value came from, and what can be wrong with it: always one line with value, origin and remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a configured value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A default that follows from the named environment variable, such as `HOME`.
    DefaultFrom(&'static str),
    /// A line, counted from 1, of the configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line of the key.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A command line flag, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::DefaultFrom(variable) => write!(f, "default, from {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A configuration that cannot be used. Each message is one line: the value, its origin, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that is named cannot be read.
    #[error("cannot read {} ({origin}): {source}; {remedy}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What named it.
        origin: Origin,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The configuration file is not TOML.
    #[error("{origin}: not valid TOML: {message}; correct that line")]
    Syntax {
        /// File and line.
        origin: Origin,
        /// The parser's words.
        message: String,
    },
    /// The configuration file has a key that does not exist.
    #[error("{origin}: unknown key `{key}`; {remedy}")]
    UnknownKey {
        /// File and line.
        origin: Origin,
        /// The key with its table, such as `ledger.pth`.
        key: String,
        /// The nearest key, else all keys of that table.
        remedy: String,
    },
    /// A value is not what its key needs. `value` is already masked where it may hold a secret.
    #[error("{key} = {value:?} ({origin}): {problem}")]
    Invalid {
        /// The key.
        key: String,
        /// The value, masked where needed.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Two settings exclude each other, or one needs another.
    #[error("{key} ({origin}): {problem}")]
    Conflict {
        /// The key.
        key: String,
        /// Where it came from.
        origin: Origin,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A secret file was read but does not hold what it should; its content is never shown.
    #[error("{key} = \"{}\" ({origin}): {problem}", path.display())]
    SecretFile {
        /// The key that names the file.
        key: String,
        /// The file.
        path: PathBuf,
        /// What named it.
        origin: Origin,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The home directory is needed to find a default place and is not known.
    #[error("cannot tell the default of {key}: HOME is not set; set HOME or give {remedy}")]
    NoHome {
        /// The key.
        key: &'static str,
        /// The flag to give instead.
        remedy: &'static str,
    },
}
