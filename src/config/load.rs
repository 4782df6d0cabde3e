//! From the command line, the environment and the files that they name to a configuration, as often as is wanted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::resolve::DEFAULT_LISTEN;
use super::secret::{ReadFile, read_small_file};
use super::value::Raw;
use super::{Config, ConfigError, Environment, FileText, Inputs, Origin, Overrides, file, resolve};

/// What a configuration follows from, but for the content of files.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Command line.
    pub flags: Overrides,
    /// Environment.
    pub env: Environment,
}

/// A configuration, and the files that it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, or the first thing that is wrong.
    pub config: Result<Config, ConfigError>,
    /// The configuration file, if one is named, and the files with secrets that were read, or tried to.
    pub files: BTreeSet<PathBuf>,
}

impl Source {
    /// Reads the configuration file that `--config` or `OPENCLAW_USAGE_CONFIG` names, and resolves everything. A reload
    /// calls this again.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let files = RefCell::default();
        let config = self.read(&files);
        Loaded { config, files: files.into_inner() }
    }

    /// Returns where the daemon of this configuration listens, whatever else in it may be wrong: one that runs goes on with
    /// the configuration that it had.
    ///
    /// # Errors
    /// The file cannot be read or is no TOML, or the address is none.
    pub fn listen(&self) -> Result<SocketAddr, ConfigError> {
        let stronger = self.flags.get("listen").or_else(|| self.env.setting("listen"));
        let raw = match (stronger, self.named()) {
            (Some(raw), _) => Some(raw),
            (None, Some(named)) => {
                let FileText { path, text } = read_named(named, &read_small_file)?;
                file::listen(&path, &text)?
            }
            (None, None) => None,
        };
        raw.map_or(Ok(DEFAULT_LISTEN), |raw| raw.parse("listen"))
    }

    /// Returns what names the configuration file.
    fn named(&self) -> Option<Raw> {
        let flag = self.flags.config.as_ref().map(|path| Raw::new(path, Origin::Flag("--config")));
        flag.or_else(|| self.env.get("OPENCLAW_USAGE_CONFIG"))
    }

    fn read(&self, files: &RefCell<BTreeSet<PathBuf>>) -> Result<Config, ConfigError> {
        let read = |path: &Path| {
            files.borrow_mut().insert(path.to_owned());
            read_small_file(path)
        };
        let file = self.named().map(|named| read_named(named, &read)).transpose()?;
        resolve(&Inputs { flags: self.flags.clone(), env: self.env.clone(), file }, &read)
    }
}

fn read_named(named: Raw, read: ReadFile<'_>) -> Result<FileText, ConfigError> {
    let path = PathBuf::from(named.text);
    match read(&path) {
        Ok(text) => Ok(FileText { path, text }),
        Err(source) => {
            let remedy = "check the path and that this user may read the file";
            Err(ConfigError::Unreadable { path, origin: named.origin, source, remedy })
        }
    }
}

/// Reads the configuration once: see [`Source::load`].
///
/// # Errors
/// The first thing that is wrong, in one line.
pub fn load(flags: &Overrides, env: &Environment) -> Result<Config, ConfigError> {
    Source { flags: flags.clone(), env: env.clone() }.load().config
}
