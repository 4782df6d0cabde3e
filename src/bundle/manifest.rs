//! What an earlier bundle wrote into a directory, so that nothing of somebody else's is written over.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

/// The file in the bundle's directory.
pub const NAME: &str = ".openclaw-usage-bundle";

const HEAD: &str = "# What `openclaw-usage bundle` wrote here: hash and path. Files that were changed since are left alone.\n";

/// Paths below the directory and the hashes of what was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest(pub BTreeMap<String, u64>);

impl Manifest {
    /// Reads it; lines that are none of ours count for nothing.
    pub fn read(text: &str) -> Self {
        let line = |line: &str| {
            let (hash, path) = line.split_once("  ")?;
            Some((path.to_owned(), u64::from_str_radix(hash, 16).ok()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Returns its text.
    pub fn text(&self) -> String {
        let lines = self.0.iter().map(|(path, hash)| format!("{hash:016x}  {path}\n"));
        HEAD.to_owned() + &lines.collect::<String>()
    }

    /// Returns whether that is what was written.
    pub fn wrote(&self, path: &str, content: &[u8]) -> bool {
        self.0.get(path) == Some(&hash(content))
    }
}

/// The hash of a file's content.
pub fn hash(content: &[u8]) -> u64 {
    xxh3_64(content)
}
