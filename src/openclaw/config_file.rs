//! `openclaw.json` and what it includes, as far as prices need it: JSON5, `$include` resolved, two keys kept.
//!
//! Source: OpenClaw 2026.9.6. `$include` names a file or a list of files, relative to the one that it stands in,
//! within the directory of `openclaw.json`, at most 2 MiB each and 10 levels deep; lists are merged in their order,
//! keys beside it win, arrays are appended. Environment placeholders (`${NAME}`) are resolved later there and
//! never here.
//!
//! These files hold secrets: whatever is not asked for is skipped while parsing, and no error quotes a value.

use std::fmt;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Most bytes that a configuration and all it includes may have; the same bound as for `cron.store`.
const MAX_BYTES: u64 = 16 << 20;
/// Most bytes of one included file: OpenClaw's own bound.
const MAX_INCLUDED: u64 = 2 << 20;
/// How deep includes may nest: OpenClaw's own bound.
const MAX_INCLUDES_DEEP: usize = 10;
/// How many files may be included; a real configuration has a handful.
const MAX_FILES: usize = 256;
/// How deep values may nest: what the JSON parser allows too. The JSON5 parser has no bound and would
/// exhaust the stack.
const MAX_NESTING: usize = 128;

const INCLUDE: &str = "$include";
/// The keys that are kept.
const KEPT: [&str; 3] = ["models", "auth", INCLUDE];

/// Why prices could not be read; those known so far stay in force.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It is there and could not be read.
    #[error(
        "cannot read prices from {0}: {1}; give this user read access, prices known so far stay in force"
    )]
    Unreadable(PathBuf, io::Error),
    /// It is half written or not JSON5.
    #[error(
        "cannot read prices from {0}: it is not valid JSON5; prices known so far stay in force until it is"
    )]
    Invalid(PathBuf),
    /// It is absurdly large.
    #[error("cannot read prices from {0}: it is larger than {1} MiB; prices known so far stay in force")]
    TooLarge(PathBuf, u64),
    /// It includes what cannot be included.
    #[error("cannot read prices from {0}: an $include in it {1}; mend it, prices known so far stay in force")]
    Include(PathBuf, &'static str),
}

/// What was kept of a configuration.
#[derive(Default)]
pub(super) struct ConfigFile {
    /// The value of `models`.
    pub models: Value,
    /// The value of `auth`.
    pub auth: Value,
    /// All files that it was read from.
    pub files: Vec<PathBuf>,
    /// Files with an include that leads out of the configuration's directory. OpenClaw follows those that an
    /// environment variable of the gateway's allows, which nobody can see from here.
    pub outside: Vec<PathBuf>,
}

/// Reads a configuration with its includes. `None`: there is no such file.
pub(super) fn read_config(path: &Path) -> Result<Option<ConfigFile>, PricesError> {
    let mut left = MAX_BYTES;
    let Some(Projected(root)) = read_json5(path, MAX_BYTES, &mut left)? else { return Ok(None) };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut includes = Includes {
        folder: normalized(folder),
        real_folder: folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()),
        left,
        found: ConfigFile { files: vec![path.to_path_buf()], ..ConfigFile::default() },
    };
    let mut root = includes.resolve(Value::Object(root), &[normalized(path)], true)?;
    let mut take = |key: &str| root.get_mut(key).map(Value::take).unwrap_or_default();
    (includes.found.models, includes.found.auth) = (take("models"), take("auth"));
    Ok(Some(includes.found))
}

/// Reads a file of at most `most` bytes, which are taken off `left`. `None`: there is no such file.
pub(super) fn read_json5<T: DeserializeOwned>(
    path: &Path,
    most: u64,
    left: &mut u64,
) -> Result<Option<T>, PricesError> {
    let most = most.min(*left);
    let too_large = || PricesError::TooLarge(path.into(), most.max(1 << 20) >> 20);
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => return Ok(None),
        Ok(metadata) if metadata.len() > most => return Err(too_large()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PricesError::Unreadable(path.into(), error)),
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    match file {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PricesError::Unreadable(path.into(), error)),
    }
    // It may have grown since it was measured.
    let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    *left = left.checked_sub(read).filter(|_| read <= most).ok_or_else(too_large)?;
    let text = String::from_utf8(bytes).map_err(|_| PricesError::Invalid(path.into()))?;
    parse_json5(&text).map(Some).ok_or_else(|| PricesError::Invalid(path.into()))
}

/// Reads JSON5; `None` if it is none, or nests so deep that its parser, which recurses, would run out of stack.
pub(super) fn parse_json5<T: DeserializeOwned>(text: &str) -> Option<T> {
    // Written by OpenClaw it is plain JSON, which is the faster parser's; edited by hand it is JSON5.
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(_) if nests_deeper_than(text, MAX_NESTING) => None,
        Err(_) => json5::from_str(text).ok(),
    }
}

/// Returns whether brackets nest deeper than `most`, those in strings and comments left out.
fn nests_deeper_than(text: &str, most: usize) -> bool {
    let bytes = text.as_bytes();
    let find = |from: usize, what: &[u8]| {
        let rest = bytes.get(from..).unwrap_or_default();
        memchr::memmem::find(rest, what).map_or(bytes.len(), |found| from + found + what.len())
    };
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'/' if bytes.get(at) == Some(&b'/') => at = find(at, b"\n"),
            b'/' if bytes.get(at) == Some(&b'*') => at = find(at + 1, b"*/"),
            b'"' | b'\'' => {
                while let Some(inner) = bytes.get(at).filter(|inner| *inner != byte) {
                    at += 1 + usize::from(*inner == b'\\');
                }
                at += 1;
            }
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// An object of which only [`KEPT`] is kept; the rest never becomes a value.
struct Projected(Map<String, Value>);

impl<'de> Deserialize<'de> for Projected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ProjectedVisitor).map(Projected)
    }
}

struct ProjectedVisitor;

impl<'de> Visitor<'de> for ProjectedVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if KEPT.contains(&key.as_str()) {
                kept.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}

/// Resolves includes within one folder.
struct Includes {
    folder: PathBuf,
    real_folder: PathBuf,
    /// Bytes that may still be read.
    left: u64,
    found: ConfigFile,
}

impl Includes {
    /// Returns the value with its includes in place. `chain` are the files that lead here, the innermost last; `top`
    /// means that the value is a whole configuration, of which only some keys matter.
    fn resolve(&mut self, value: Value, chain: &[PathBuf], top: bool) -> Result<Value, PricesError> {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.resolve(item, chain, false)).collect(),
            Value::Object(mut object) => {
                let include = object.remove(INCLUDE);
                let mut own = Map::new();
                for (key, value) in object {
                    let value = self.resolve(value, chain, false)?;
                    own.insert(key, value);
                }
                let Some(include) = include else { return Ok(Value::Object(own)) };
                let included = self.include(&include, chain, top)?;
                if own.is_empty() {
                    return Ok(included);
                }
                if !included.is_object() {
                    return Err(refuse(chain, "has keys beside it but is no object"));
                }
                Ok(merge(included, Value::Object(own)))
            }
            plain => Ok(plain),
        }
    }

    fn include(&mut self, value: &Value, chain: &[PathBuf], top: bool) -> Result<Value, PricesError> {
        match value {
            Value::String(name) => self.load(name, chain, top),
            Value::Array(names) => {
                names.iter().try_fold(Value::Object(Map::new()), |merged, name| match name {
                    Value::String(name) => Ok(merge(merged, self.load(name, chain, top)?)),
                    _ => Err(refuse(chain, "is no path")),
                })
            }
            _ => Err(refuse(chain, "is no path")),
        }
    }

    fn load(&mut self, name: &str, chain: &[PathBuf], top: bool) -> Result<Value, PricesError> {
        let from = chain.last().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        let path = normalized(&from.join(name));
        let nothing = Value::Object(Map::new());
        if name.contains('\0') || name.len() >= 4096 {
            return Err(refuse(chain, "is no path"));
        }
        if !path.starts_with(&self.folder) {
            self.found.outside.extend(chain.last().cloned());
            return Ok(nothing);
        }
        match path.canonicalize() {
            Ok(real) if !real.starts_with(&self.real_folder) => {
                self.found.outside.extend(chain.last().cloned());
                return Ok(nothing);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse(chain, "names a file that does not exist"));
            }
            Err(error) => return Err(PricesError::Unreadable(path, error)),
        }
        if chain.contains(&path) {
            return Err(refuse(chain, "leads in a circle"));
        }
        if chain.len() > MAX_INCLUDES_DEEP || self.found.files.len() > MAX_FILES {
            return Err(refuse(chain, "is one of too many"));
        }
        let value = if top {
            read_json5::<Projected>(&path, MAX_INCLUDED, &mut self.left)?
                .map(|Projected(map)| Value::Object(map))
        } else {
            read_json5::<Value>(&path, MAX_INCLUDED, &mut self.left)?
        };
        let value = value.ok_or_else(|| refuse(chain, "names no regular file"))?;
        self.found.files.push(path.clone());
        let chain: Vec<PathBuf> = chain.iter().cloned().chain([path]).collect();
        self.resolve(value, &chain, top)
    }
}

fn refuse(chain: &[PathBuf], problem: &'static str) -> PricesError {
    PricesError::Include(chain.last().cloned().unwrap_or_default(), problem)
}

/// Objects are merged, arrays appended; otherwise the second wins.
fn merge(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            for (key, value) in second {
                let merged = match first.remove(&key) {
                    Some(known) => merge(known, value),
                    None => value,
                };
                first.insert(key, merged);
            }
            Value::Object(first)
        }
        (Value::Array(mut first), Value::Array(second)) => {
            first.extend(second);
            Value::Array(first)
        }
        (_, second) => second,
    }
}

/// Returns the path without `.` and `..`, by its text alone.
fn normalized(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
