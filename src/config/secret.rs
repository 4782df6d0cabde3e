//! Secrets that are kept in files: bearer tokens, passwords, headers.
//!
//! Invariant: the content of these files appears in no error.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::value::Raw;
use super::{ConfigError, Origin};

/// Reads a small text file; [`read_small_file`] outside tests.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Largest file that is read as configuration or secret, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Returns the text of a regular file of at most 1 MiB; a named pipe or device is refused, not waited for.
///
/// # Errors
/// Whatever the system says; a file that is not regular, too large or not UTF-8.
pub fn read_small_file(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

/// A key that names a secret file.
pub(super) struct SecretFile<'a> {
    pub key: &'a str,
    pub path: PathBuf,
    pub origin: &'a Origin,
}

impl SecretFile<'_> {
    /// Returns what is in the file.
    pub(super) fn text(&self, read: ReadFile<'_>) -> Result<String, ConfigError> {
        read(&self.path).map_err(|source| ConfigError::Unreadable {
            path: self.path.clone(),
            origin: self.origin.clone(),
            source,
            remedy: "check the path and that this user may read the file",
        })
    }

    /// Returns the one line that the file holds.
    pub(super) fn line(&self, read: ReadFile<'_>, wanted: &str) -> Result<String, ConfigError> {
        self.one_line(&self.text(read)?, wanted).map(ToOwned::to_owned)
    }

    /// Returns the headers that the file stands for.
    pub(super) fn headers(&self, read: ReadFile<'_>) -> Result<Vec<(String, Raw)>, ConfigError> {
        let text = self.text(read)?;
        let header = |name: &str, value: String| (name.to_owned(), Raw::new(value, self.origin.clone()));
        match self.key.rsplit('.').next() {
            Some("bearer_token_file") => {
                let token = self.one_line(&text, "one line with the token")?;
                Ok(vec![header("Authorization", format!("Bearer {token}"))])
            }
            Some("basic_auth_file") => {
                let wanted = "one line of the form user:password";
                let login = self.one_line(&text, wanted)?;
                if !login.contains(':') {
                    return Err(self.wrong(format!("expected {wanted} in the file")));
                }
                Ok(vec![header("Authorization", format!("Basic {}", STANDARD.encode(login)))])
            }
            _ => text
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
                .map(|(i, line)| {
                    let (name, value) = line.split_once(':').ok_or_else(|| {
                        self.wrong(format!("expected `Name: value` in line {} of the file", i + 1))
                    })?;
                    Ok(header(name.trim(), value.trim().to_owned()))
                })
                .collect(),
        }
    }

    fn one_line<'t>(&self, text: &'t str, wanted: &str) -> Result<&'t str, ConfigError> {
        let line = text.trim();
        if line.is_empty() || line.chars().any(char::is_control) {
            return Err(self.wrong(format!("expected {wanted} in the file")));
        }
        Ok(line)
    }

    pub(super) fn wrong(&self, problem: String) -> ConfigError {
        ConfigError::SecretFile {
            key: self.key.to_owned(),
            path: self.path.clone(),
            origin: self.origin.clone(),
            problem,
        }
    }
}
