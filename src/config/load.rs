//! From the command line, the environment and the files that they name to a configuration, as often as is wanted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::secret::read_small_file;
use super::value::Raw;
use super::{Config, ConfigError, Environment, FileText, Inputs, Origin, Overrides, resolve};

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

    fn read(&self, files: &RefCell<BTreeSet<PathBuf>>) -> Result<Config, ConfigError> {
        let read = |path: &Path| {
            files.borrow_mut().insert(path.to_owned());
            read_small_file(path)
        };
        let flag = self.flags.config.as_ref().map(|path| Raw::new(path, Origin::Flag("--config")));
        let named = flag.or_else(|| self.env.get("OPENCLAW_USAGE_CONFIG"));
        let file = named
            .map(|raw| {
                let path = PathBuf::from(raw.text);
                match read(&path) {
                    Ok(text) => Ok(FileText { path, text }),
                    Err(source) => {
                        let remedy = "check the path and that this user may read the file";
                        Err(ConfigError::Unreadable { path, origin: raw.origin, source, remedy })
                    }
                }
            })
            .transpose()?;
        resolve(&Inputs { flags: self.flags.clone(), env: self.env.clone(), file }, &read)
    }
}

/// Reads the configuration once: see [`Source::load`].
///
/// # Errors
/// The first thing that is wrong, in one line.
pub fn load(flags: &Overrides, env: &Environment) -> Result<Config, ConfigError> {
    Source { flags: flags.clone(), env: env.clone() }.load().config
}
