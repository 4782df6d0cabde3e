//! The files that the program carries, as `build.rs` packed them.

use std::io::{Cursor, Read};

use flate2::read::GzDecoder;

use super::{BundleError, BundleFile};

static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bundle.gz"));

/// Returns them under their paths in the repository, in the order of those.
pub fn files() -> Result<Vec<BundleFile>, BundleError> {
    let mut text = String::new();
    GzDecoder::new(Cursor::new(ARCHIVE))
        .read_to_string(&mut text)
        .map_err(|error| BundleError::Damaged(error.to_string()))?;
    let mut rest = text.as_str();
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (file, after) = next(rest).ok_or_else(|| BundleError::Damaged("a cut archive".into()))?;
        files.push(file);
        rest = after;
    }
    Ok(files)
}

fn next(rest: &str) -> Option<(BundleFile, &str)> {
    let (path, rest) = rest.split_once('\n')?;
    let (length, rest) = rest.split_once('\n')?;
    let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
    Some((BundleFile { path: path.to_owned(), text: text.to_owned() }, rest))
}
